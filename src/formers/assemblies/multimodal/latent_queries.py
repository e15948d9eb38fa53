"""An image model, learned vectors that ask it, and a text model that reads the answers: KOSMOS-2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.assemblies.base import Assembly, states_in, ties_within
from formers.assemblies.composite import Composite
from formers.core.latent_query_outputs import LatentImageOutput
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn.latent_projection import LatentProjection, LatentQueries
from formers.nn.layout import Layout
from formers.nn.recording import recording
from formers.nn.stems import stem_of
from formers.nn.stems.tokens import check_ids, look_up
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import Ask, States

NOTHING = "no picture is read"  # of states: a cache holds what pictures showed
WHERE = "image_embeds_position_mask"
_SEEN = ("output_attentions", "output_hidden_states")
_READS = (
    *("pixel_values", "input_ids", WHERE, "attention_mask", "past_key_values", "image_embeds"),
    *("inputs_embeds", "position_ids", "use_cache"),
)


class LatentQueryText(Composite):
    """Texts that read images (Peng et al. 2023, arXiv:2306.14824).

    The states that a task gets are what stands for the images.

    Args:
        model_of: a config -> the class of its family, which holds its stack under a name.
        text, image: see `Composite`.
        between: config -> the vectors that ask.
        home: path of those.
        writer_of: a config -> the class of the text model with its head; None where it has none.
        parts: assemblies of heads that have other parts, by the name in `Head.over`.
    """

    by_processor = True

    def __init__(
        self,
        model_of: Callable[[Any], type[Any]],
        text: tuple[str, str],
        image: tuple[str, str],
        between: Callable[[Any], LatentQueries],
        home: str,
        writer_of: Callable[[Any], type[PreTrainedModel]] | None = None,
        parts: Mapping[str, Assembly] | None = None,
    ) -> None:
        super().__init__(model_of, text, image)
        self.between, self.home, self.writer, self.writer_of = between, home, self.text, writer_of
        self.others, self.main = dict(parts or {}), "pixel_values"
        stretched = () if writer_of else ("interpolate_pos_encoding",)
        self.inputs = (*_READS, *stretched, *_SEEN, "return_dict")
        self.means = {
            WHERE: "[B, T], 1 at the tokens in whose place an image stands.",
            "image_embeds": "[B, Q, E], what stands for the images, where it was computed before.",
        }

    # -- what there is -----------------------------------------------------------------------------

    def part(self, config: Any, name: str) -> tuple[type[Any], Any]:
        """The class and the config of a part."""
        kind, own = super().part(config, name)
        return (kind if name != self.text or self.writer_of is None else self.writer_of(own)), own

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both models, and the vectors that ask.

        Raises:
            ValueError: for a part that reads something else.
        """
        for name in self.fields:
            self._check(config, name)
            kind, own = self.part(config, name)
            place(model, name, name, kind(own))
        place(model, "between", self.home, LatentProjection(self.between(config)))
        text = leaf(model, self.text)
        wiring(model).roles["token"] = (
            *(self.text, text.base_model_prefix),
            *wiring(text.base_model).roles["token"],
        )

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One of the `parts`."""
        return self.others[part] if part in self.others else super().alone(part, config_class)

    def ties(self, model: Any) -> dict[str, str]:
        """Those of the parts, by the names that they have in this tree."""
        return ties_within(self.stacks(model))

    def text_options(self, model: Any) -> dict[str, Any]:
        """As many tokens stand for a picture as vectors ask."""
        return {"num_image_tokens": self.between(model.config).count}

    # -- what is computed --------------------------------------------------------------------------

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """What stands for the images; nothing looks at them behind a cache, which holds what they showed.

        Raises:
            ValueError: without images.
        """
        rows, weights, seen = given.get("image_embeds"), None, None
        pixels, past = given.get("pixel_values"), given.get("past_key_values")
        if rows is None and pixels is None and past is not None and past.get_seq_length():
            states = states_in(torch.zeros(1, 1, 1))
            states.extras[NOTHING] = True
            return states
        weighed = ask.attentions or ask.backend == "eager"
        if rows is None and self.writer_of is None:
            names = (*_SEEN, "interpolate_pos_encoding")
            seen = self.features(model, pixels, {name: given.get(name) for name in names}, weighed)
            rows, weights = seen.pooler_output, seen.projection_attentions
        elif rows is None:
            seen = self.looked(model, pixels, {})
            rows, weights = self.asked(model, seen, weighed)
        states = states_in(rows)
        states.extras |= {"projection_attentions": weights, "vision_model_output": seen}
        return states

    def looked(self, model: Any, pixels: Any, options: Mapping[str, Any]) -> Any:
        """The image model's record.

        Raises:
            ValueError: without images.
        """
        if not isinstance(pixels, Tensor):
            raise ValueError(f"{type(model).__name__} looks at pictures: pass pixel_values, or image_embeds")
        told = {name: value for name, value in options.items() if value is not None}
        return leaf(model, self.image)(pixel_values=pixels, **told, return_dict=True)

    def asked(self, model: Any, seen: Any, weighed: bool) -> tuple[Tensor, Tensor | None]:
        """What the vectors find in an image model's record, [B, Q, E], and by which weights."""
        normed = leaf(leaf(model, self.image).base_model, "pooler")(seen.last_hidden_state)
        found: tuple[Tensor, Tensor | None] = leaf(model, "between")(
            F.normalize(normed, dim=-1), weighed=weighed
        )
        return found

    def features(
        self, model: Any, pixels: Any, options: Mapping[str, Any], weighed: bool
    ) -> LatentImageOutput:
        """The image model's record, with what the vectors find."""
        seen = self.looked(model, pixels, options)
        rows, weights = self.asked(model, seen, weighed)
        own = (seen.get("hidden_states"), seen.get("attentions"))
        return LatentImageOutput(seen.last_hidden_state, rows, *own, weights)

    def placed(self, model: Any, given: dict[str, Any], rows: Tensor | None) -> dict[str, Any]:
        """What the text model reads: vectors [B, T, E], with images in their places, and where they stand.

        Raises:
            ValueError: without texts, or for other places than the images fill.
        """
        ids: Any = given.get("input_ids")
        x: Any = given.get("inputs_embeds")
        where: Any = given.get(WHERE)
        if (ids is None) == (x is None):
            raise ValueError(
                f"{type(model).__name__} reads texts beside pictures: give exactly one of input_ids and "
                "inputs_embeds"
            )
        text, past = leaf(model, self.text).base_model, given.get("past_key_values")
        held = 0 if past is None else int(past.get_seq_length())
        told = {"position_ids": given.get("position_ids")}
        if x is None:
            check_ids(ids)
            x = look_up(text, "token", ids, "input_ids")
            if told["position_ids"] is None:
                stem = stem_of(wiring(text).facts["spec"].stem)
                told["position_ids"] = stem.positions({"input_ids": ids}, Layout.dense(*ids.shape), held)
        if rows is None or held:
            return {**told, "inputs_embeds": x}
        self._check_places(model, where, x, rows)
        return {**told, "inputs_embeds": x.masked_scatter(where.bool()[..., None], rows.to(x))}

    def _check_places(self, model: Any, where: Any, x: Tensor, rows: Tensor) -> None:
        """See `placed`."""
        advice = f"pass the {WHERE} that the processor returns beside input_ids"
        if not isinstance(where, Tensor):
            raise ValueError(f"{type(model).__name__} must know where pictures stand in texts: {advice}")
        if where.shape != x.shape[:2]:
            raise ValueError(
                f"{WHERE} is {list(where.shape)}, and the texts are {list(x.shape[:2])}: {advice}"
            )
        if rows.dim() != 3 or rows.shape[2] != x.shape[2]:
            raise ValueError(
                f"image_embeds are [pictures, {self.between(model.config).count}, {x.shape[2]}], what stands "
                f"for each picture, not {list(rows.shape)}"
            )
        counts = where.bool().sum(1)
        if not recording() and (len(rows) != len(x) or bool((counts != rows.shape[1]).any())):
            raise ValueError(
                f"{WHERE} marks {counts.tolist()} places in {len(x)} texts, and each of {len(rows)} pictures "
                f"fills {rows.shape[1]}: {advice}"
            )

    def output(self, model: Any, states: States) -> ModelOutput:
        """What stands for the images."""
        return LatentImageOutput(pooler_output=states.last, **states.extras)
