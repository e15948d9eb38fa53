"""What models say of pictures through vectors that ask: texts, vectors, and whether a text fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.assemblies.multimodal.image_text import placed_at
from formers.assemblies.multimodal.query_bridge import QueryBridge
from formers.core.outputs import ContrastOutput, EmbeddingOutput, ModelOutput
from formers.core.query_bridge_outputs import AskedImageOutput, BridgedOutput
from formers.nn.leaves import linear
from formers.nn.losses import next_token
from formers.nn.recording import recording
from formers.nn.steps import apply
from formers.nn.tree import leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.captioning import Writing

_SHOWN = ("output_attentions", "output_hidden_states")
_READ = ("attention_mask", "decoder_input_ids", "decoder_attention_mask", "use_cache")


def _asked(given: dict[str, Any]) -> Ask:
    """What a caller wants to see."""
    attentions, hidden = (bool(given.get(name)) for name in _SHOWN)
    return Ask(attentions=attentions, hidden=hidden)


class BridgedTexts(Writing):
    """Texts about pictures; `generate` looks once, and lets the text model write."""

    _assembly: ClassVar[QueryBridge]
    _options: ClassVar[tuple[str, ...]] = ("use_cache", "return_dict", "num_items_in_batch")
    _shows_all: ClassVar[bool] = False  # whether hidden states of the parts that look are asked for too
    _says = (
        "Predict texts about pictures, which have as many image tokens as vectors ask. `labels`: [B, T], "
        "int64, -100 where there is none."
    )

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        given |= {name: True for name, one in zip(_SHOWN, (ask.attentions, ask.hidden), strict=True) if one}
        if not self._shows_all:
            ask.attentions = ask.hidden = False

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        ids, labels, shown = given.get("input_ids"), targets.get("labels"), self._shown(states, given)
        told = {name: given.get(name) for name in (*_READ, *_SHOWN)}
        told["inputs_embeds"], told["attention_mask"] = self._read(
            ids, given.get("inputs_embeds"), told["attention_mask"], shown.pooler_output
        )
        alone = not self._writer.config.is_encoder_decoder
        strange = [name for name in ("decoder_input_ids", "decoder_attention_mask") if told[name] is not None]
        if alone and strange:
            raise ValueError(
                f"the text model of this {type(self).__name__} has no encoder beside it: leave "
                f"{' and '.join(strange)} out"
            )
        apart = labels is not None and alone
        if labels is not None and not apart:
            told |= {"labels": labels, "num_items_in_batch": items}
        said = self._writer(**{name: value for name, value in told.items() if value is not None})
        loss, logits = said.get("loss"), said.get("logits")
        if labels is not None and apart:  # they may be those of a text behind its picture
            logits = logits[:, -labels.shape[1] :]
            loss = next_token(logits, labels, items)
        return BridgedOutput(loss, logits, shown.vision_outputs, shown.qformer_outputs, said)

    def _shown(self, states: States, given: dict[str, Any]) -> AskedImageOutput:
        """What is found of pictures, by a call or before it."""
        if "before" in states.extras:
            found: AskedImageOutput = states.extras["before"]
            return found
        ask = _asked(given) if self._shows_all else None
        return self._asked(self._assembly.output(self, states), ask, **self._instruction(given))

    def _instruction(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is told to the vectors that ask: nothing."""
        return {}

    def _asked(self, seen: Any, ask: Ask | None = None, **instruction: Any) -> AskedImageOutput:
        """What is found of pictures, by the image model's record."""
        last = seen.last_hidden_state
        asked = self._assembly.asked(self, last, ask, **instruction)
        found = asked.last_hidden_state[:, : self.config.num_query_tokens]
        answers = self._assembly.projected(self, found, last)
        own = (seen.get("hidden_states"), seen.get("attentions"))
        return AskedImageOutput(last, answers, *own, seen, asked)

    def _read(
        self, ids: Tensor | None, vectors: Tensor | None, mask: Tensor | None, answers: Any
    ) -> tuple[Tensor, Tensor | None]:
        """What the text model reads, [B, T, E], and its mask: texts, with what was answered in its place.

        Texts without image tokens have it before them, as models had before there were such tokens.

        Raises:
            ValueError: without texts, or for more or fewer image tokens than vectors ask.
        """
        if ids is None and vectors is None:
            raise ValueError(
                f"{type(self).__name__} reads texts beside pictures: pass input_ids, or generate"
            )
        table, token = self._writer.get_input_embeddings(), self.config.image_token_index
        x = table(ids) if vectors is None else vectors
        if token is not None and (ids is None or recording() or bool((ids == token).any())):
            return placed_at(self._writer.base_model, token, ids, x, answers.flatten(0, 1))[0], mask
        real = torch.ones(x.shape[:2], dtype=torch.long, device=x.device) if mask is None else mask
        before = real.new_ones(answers.shape[:2])
        return torch.cat((answers.to(x), x), dim=1), torch.cat((before, real), dim=1)

    def get_image_features(
        self, pixel_values: Any, interpolate_pos_encoding: bool = False, **options: Any
    ) -> Any:
        """What is found of pictures: `pooler_output` [B, Q, F] is what the text model reads.

        Args:
            pixel_values: [B, channels, height, width].
            interpolate_pos_encoding: read images of another size than the model was trained on.
            **options: `output_attentions`, `output_hidden_states` of the image model.
        """
        return self._asked(self._looked(pixel_values, interpolate_pos_encoding, options))

    def _looked(self, pixel_values: Any, interpolate: bool, options: dict[str, Any]) -> Any:
        if not isinstance(pixel_values, Tensor):
            raise ValueError(f"{type(self).__name__} looks at pictures: pass pixel_values")
        read = {"pixel_values": pixel_values, "interpolate_pos_encoding": interpolate, **options}
        return leaf(self, self._assembly.image)(**read, return_dict=True)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # pictures beside a prompt
        self,
        pixel_values: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        interpolate_pos_encoding: bool = False,
        **options: Any,
    ) -> Any:
        """Write about pictures.

        Args:
            pixel_values: [B, channels, height, width].
            input_ids: [B, T], texts to go on with, with their image tokens; without them texts begin.
            attention_mask: [B, T], 1 at their tokens.
            inputs_embeds: [B, T, E], in place of ids.
            interpolate_pos_encoding: read images of another size than the model was trained on.
            **options: see `GenerationMixin.generate`.

        Raises:
            ValueError: without pictures, or for texts that do not fit them.
        """
        shown = self.get_image_features(pixel_values, interpolate_pos_encoding)
        return self._said(shown.pooler_output, input_ids, attention_mask, inputs_embeds, options)

    def _said(self, answers: Tensor, given_ids: Any, mask: Any, vectors: Any, options: Any) -> Any:
        """What the text model writes about answers [B, Q, F], behind texts."""
        writer, ids = self._writer, None if given_ids is None else torch.as_tensor(given_ids)
        if ids is None and vectors is None:
            ids = self._beginning(len(answers))
        ids = ids if ids is None else ids.to(answers.device)
        x, mask = self._read(ids, vectors, mask, answers)
        given = {"inputs_embeds": x, "attention_mask": mask}
        if mask is None:
            given["attention_mask"] = torch.ones(x.shape[:2], dtype=torch.long, device=x.device)
        named = self.config.image_token_index is not None and ids is not None
        if named and not writer.config.is_encoder_decoder:
            given["input_ids"] = ids  # which stand before what is written
        return writer.generate(**given, **options)

    def _beginning(self, count: int) -> Tensor:
        """What texts begin with, [B, T]."""
        token, first = self.config.image_token_index, self._writer.config.bos_token_id
        if first is None:
            raise ValueError(
                "there is no prompt, and no bos_token_id in text_config that could begin one: pass input_ids"
            )
        pictures = [] if token is None else [token] * self.config.num_query_tokens
        return torch.tensor([[*pictures, first]] * count)


class BridgedStates(BridgedTexts):
    """The same without `generate`, and with what each part makes by itself."""

    _unread_inputs = ("inputs_embeds", "mm_encoder_outputs")
    _shows_all: ClassVar[bool] = True

    @classmethod
    def can_generate(cls) -> bool:
        """Only the class for texts does."""
        return False

    def get_image_features(
        self, pixel_values: Any, interpolate_pos_encoding: bool = False, **options: Any
    ) -> Any:
        """The image model's record."""
        return self._looked(pixel_values, interpolate_pos_encoding, options)

    def get_qformer_features(self, pixel_values: Any, interpolate_pos_encoding: bool = False) -> Tensor:
        """What the vectors found that ask, [B, Q, E]."""
        seen = self._looked(pixel_values, interpolate_pos_encoding, {}).last_hidden_state
        found: Tensor = self._assembly.asked(self, seen).last_hidden_state
        return found

    def get_text_features(self, input_ids: Any, attention_mask: Any = None, **options: Any) -> Any:
        """The record of the text model without its head; of its encoder, where it has one."""
        writer = self._writer
        reads = writer.get_encoder() if writer.config.is_encoder_decoder else writer.base_model
        return reads(input_ids=input_ids, attention_mask=attention_mask, **options)


@dataclass(frozen=True)
class Spec:
    """Layers into the space that texts and pictures share.

    Attributes:
        width: of that space.
        image: path of the layer of what is found of images; `text` likewise; empty where there is none.
        out: path of the layer to two numbers, whether a text does not fit and whether it does.
    """

    width: int
    image: str = ""
    text: str = ""
    out: str = ""


class _Shared(TaskModel):
    """What is found is projected to vectors of length one."""

    _assembly: ClassVar[QueryBridge]
    _targets = ()
    _options: ClassVar[tuple[str, ...]] = ("return_dict",)

    def _place_head(self, spec: Spec, config: Any) -> None:
        width = self._assembly.stack(config, self._assembly.bridge).width
        for role, path, out in (
            ("image_out", spec.image, spec.width),
            ("text_out", spec.text, spec.width),
            ("out", spec.out, 2),
        ):
            if path:
                place(self, role, path, linear("linear", width, out))

    def _vectors(self, role: str, states: Tensor) -> Tensor:
        """[.., E] -> [.., P], of length one."""
        read = states.to(leaf(self, role).weight.dtype)
        return nn.functional.normalize(apply(self, role, read, watched=True), dim=-1)


class BridgedVectors(_Shared):
    """Vectors of what was found of a picture, [B, Q, P], or of the tokens of a text, [B, T, P]."""

    _says = "Project into the space that texts and images share."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        texts = images = None
        if self._assembly.looks:
            found = self._assembly.asked(self, states.last).last_hidden_state
            images = self._vectors("image_out", found)
        else:
            texts = self._vectors("text_out", states.last)
        return EmbeddingOutput(
            texts,
            images,
            last_hidden_state=states.last,
            hidden_states=states.hidden,
            attentions=states.attentions,
        )


class BridgedMatches(_Shared):
    """How well texts fit pictures: by vectors, or by texts that look at the picture."""

    _options: ClassVar[tuple[str, ...]] = ("use_image_text_matching_head", "return_dict")
    _says = (
        "Judge how well texts fit pictures; without a loss. `use_image_text_matching_head`: texts look at "
        "their pictures, [B, 2]; otherwise (the default) every text and picture are compared, "
        "[pictures, texts]."
    )

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        parts, seen = self._assembly, states.last
        record = parts.output(self, states)
        ids, mask = self._texts(given)
        x = parts.embedded(self, ids)
        if given.get("use_image_text_matching_head"):
            real = torch.ones_like(ids) if mask is None else mask
            before = real.new_ones(real.shape[0], self.config.num_query_tokens)
            found = parts.asked(self, seen, behind=x, mask=torch.cat((before, real), dim=1))
            texts = found.last_hidden_state.to(leaf(self, "out").weight.dtype)
            asking = texts[:, : self.config.num_query_tokens]
            score = apply(self, "out", asking, watched=True).mean(dim=1)
            return ContrastOutput(None, score, score.t(), texts, seen, found, record)
        image = self._vectors("image_out", parts.asked(self, seen).last_hidden_state)
        found = parts.read(self, x, mask)
        text = self._vectors("text_out", found.last_hidden_state[:, 0])
        score = (image @ text.t()).amax(dim=1)
        return ContrastOutput(None, score, score.t(), text, image, found, record)

    def _texts(self, given: dict[str, Any]) -> tuple[Any, Any]:
        """Ids [B, T] and their mask, without the image tokens that a processor writes before texts."""
        ids, mask, token = given.get("input_ids"), given.get("attention_mask"), self.config.image_token_index
        count = self.config.num_query_tokens
        if isinstance(ids, Tensor) and token is not None and bool((ids[:, :count] == token).all()):
            ids, mask = ids[:, count:], None if mask is None else mask[:, count:]
        return ids, mask
