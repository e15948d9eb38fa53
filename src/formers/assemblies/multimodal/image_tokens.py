"""Pictures as codes, and texts in which those stand as words: Chameleon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor

from formers.assemblies.base import Assembly, BaseModel, bound, owner_of, refuse_inputs, returned, states_in
from formers.assemblies.multimodal.encoder_outputs import SEEN, seen_before
from formers.assemblies.multimodal.image_text import InPlace, placed_at
from formers.assemblies.single import Single
from formers.core.image_token_outputs import PictureCodesOutput
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.nets.tree import compute, fill
from formers.nn.nets.vector_quantization import NearestVectors, words_of_codes
from formers.nn.spec import nets
from formers.nn.stems.base import maps_in
from formers.nn.stems.tokens import check_ids, look_up
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_PIXELS = "pixel_values"


@dataclass(frozen=True)
class Coder:
    """What tells pictures as codes.

    Attributes:
        net: what makes of pictures the map whose places are told.
        states: what of its run makes the states that callers see, before the rest does its part.
        count, width: of the vectors by which places are told.
        paths: of `codes` and in it of `table`.
        std: deviation of fresh weights.
    """

    net: nets.Net
    states: tuple[nets.Run, ...]
    count: int
    width: int
    paths: Mapping[str, str]
    std: float = 0.02


class ImageTokenizer(Assembly):
    """Pictures as numbers of vectors.

    Args:
        coder: config -> what tells them.
    """

    inputs = (_PIXELS, "return_dict")
    main = _PIXELS
    means: Mapping[str, str] = MappingProxyType({_PIXELS: "[B, channels, height, width], floating."})

    def __init__(self, coder: Callable[[Any], Coder]) -> None:
        self.coder = coder
        self.offers = {"encode": _encode}

    def spec(self, config: Any) -> Any:
        """The network."""
        return self.coder(config).net

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network and the vectors."""
        made = wiring(model).facts["coder"] = self.coder(config)
        fill(model, made.net)
        place(
            model, "codes", made.paths["codes"], NearestVectors(made.count, made.width, made.paths["table"])
        )

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Tell pictures as codes.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape.
        """
        made: Coder = wiring(model).facts["coder"]
        x = maps_in({_PIXELS: given.get(_PIXELS)}, made.net.channels).to(next(model.parameters()))
        last = compute(model, made.states, x, [], None)
        near, far, codes = leaf(model, "codes")(compute(model, made.net.steps, last, [], None))
        states = states_in(last)
        states.extras.update(quantized_last_hidden_state=near, embedding_loss=far, image_tokens=codes)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, the nearest vectors, and their numbers."""
        return PictureCodesOutput(states.last, **states.extras)

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """One for all."""
        return wiring(model).facts["coder"].std, {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """None: no part is a layer."""
        return []


def _encode(model: Any, pixel_values: Tensor, return_dict: bool | None = None) -> Any:
    """What is called with pictures [B, channels, H, W]: the last map, codes [B * h * w], and more."""
    return model(pixel_values, return_dict=return_dict)


class ImageTokens(InPlace, Single):
    """A text model in whose texts the codes of pictures stand as words (arXiv:2405.09818).

    Args:
        stack: config -> the spec of the text model.
        model_of: a config -> the class without a head of its family.
        coder: path of what tells pictures as codes, and field of the config that describes it.
        token: config -> id of the places that pictures take; None where nothing says it.
    """

    once = (_PIXELS, SEEN)

    def __init__(
        self,
        stack: Callable[[Any], spec.Stack],
        model_of: Callable[[Any], type[BaseModel]],
        coder: tuple[str, str],
        token: Callable[[Any], int | None],
    ) -> None:
        reads = (
            *("input_ids", _PIXELS, "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
            *("use_cache", SEEN, "cache_position"),
        )
        super().__init__(stack, reads=reads)
        self.model_of, self.path, self.field, self.token = model_of, coder[0], coder[1], token
        self.means = {**self.means, _PIXELS: "[pictures, channels, height, width], floating."}
        self.offers = {"get_image_features": self._features(), "get_image_tokens": self._tokens()}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the text model, and what tells pictures as codes."""
        super().place(model, config, pooler, masked)
        own = getattr(config, self.field)
        place(model, "coder", self.path, self.model_of(own)(own, part=True))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Write the words of pictures into the text, and run the text model.

        Raises:
            ValueError: when texts have more or fewer tokens than the pictures fill, or pictures are given
                twice.
        """
        ask.padded = watched(model) if ask.padded is None else ask.padded
        before = seen_before(given)
        pixels, _ = given.pop(_PIXELS, None), given.pop(SEEN, None)
        if pixels is None and before is None:
            return super().run(model, given, ask)
        ids, x, token = given.pop("input_ids", None), given.get("inputs_embeds"), self._token(model.config)
        if (ids is None) == (x is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if ids is not None:
            check_ids(ids)
            x = look_up(model, "token", ids, "input_ids")
        rows = cast(Tensor, (self.seen(model, pixels) if before is None else before).pooler_output)
        given["inputs_embeds"] = placed_at(model, token, ids, x, rows.flatten(0, 1))[0]
        return super().run(model, given, ask)

    def _token(self, config: Any) -> int:
        found = self.token(config)
        if found is None:
            raise ValueError(
                "the config's vocabulary_map names no <image>, so that no text can show a picture: pass the "
                "tokenizer's vocabulary in it"
            )
        return found

    def tokens(self, config: Any) -> dict[str, int]:
        """Of pictures."""
        return {"image": self._token(config)}

    def words(self, model: Any, codes: Tensor, pictures: int) -> Tensor:
        """The tokens of codes, [pictures, places], int64.

        Raises:
            ValueError: for a code that the vocabulary does not name.
        """
        known = wiring(model).facts.get("words")
        if known is None:
            known = wiring(model).facts["words"] = words_of_codes(model.config.vocabulary_map or {})
        if int(codes.max()) >= len(known):
            raise ValueError(
                f"a picture has the code {int(codes.max())}, but vocabulary_map names {len(known)} codes: it "
                "is of another model"
            )
        return cast(Tensor, known.to(codes.device)[codes].view(pictures, -1))

    def seen(self, model: Any, pixels: Any) -> PictureCodesOutput:
        """What is told of pictures, and their words as vectors, `pooler_output` [pictures, places, E]."""
        record: PictureCodesOutput = leaf(model, "coder")(pixels, return_dict=True)
        assert record.image_tokens is not None
        words = self.words(model, record.image_tokens, len(pixels))
        record.pooler_output = look_up(model, "token", words, "vocabulary_map")
        return record

    def _features(self) -> Callable[..., Any]:
        names = (_PIXELS, "return_dict")

        def features(model: Any, *args: Any, **given: Any) -> Any:
            """What is told of pictures; `pooler_output` holds what stands for each, [pictures, places, E]."""
            given = bound(model, names, args, given)
            refuse_inputs(model, given, names)
            found = self.seen(owner_of(model), given.get(_PIXELS))
            return returned(found, given.get("return_dict"), model.config)

        return features

    def _tokens(self) -> Callable[..., Any]:
        def tokens(model: Any, pixel_values: Tensor) -> Tensor:
            """The words of pictures, [pictures, places], int64."""
            owner = owner_of(model)
            record = leaf(owner, "coder")(pixel_values, return_dict=True)
            return self.words(owner, record.image_tokens, len(pixel_values))

        return tokens

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with the pictures that `which` names, by the tokens of all and how many each fills."""
        pixels = given.get(_PIXELS)
        if pixels is None:
            return given
        here = ids == self._token(model.config)
        kept = which(here, [int(here.sum()) // len(pixels)] * len(pixels))
        rest = {name: value for name, value in given.items() if name != _PIXELS}
        return {**rest, _PIXELS: pixels[kept]} if kept else rest
