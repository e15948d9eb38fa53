"""What a model says of pictures: captions, answers to questions, and whether a text fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.assemblies.multimodal.captioning import Captioning, begun
from formers.core.outputs import AnsweredOutput, CaptionOutput, MatchedOutput, ModelOutput
from formers.generation.mixin import GenerationMixin
from formers.nn.leaves import linear
from formers.nn.steps import apply
from formers.nn.tree import leaf, place
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """How texts begin and end.

    Attributes:
        begins: id of the token with which the model begins to write.
        ends: id of the one that ends it; `padding` of what stands behind that.
    """

    begins: int
    ends: int | None
    padding: int | None


class Writing(GenerationMixin, TaskModel):
    """A part writes; `generate` looks once, and lets that part write."""

    _assembly: ClassVar[Any]
    _options: ClassVar[tuple[str, ...]] = ("logits_to_keep", "return_dict")

    @classmethod
    def can_generate(cls) -> bool:
        """A part does."""
        return True

    def _place_head(self, spec: Spec, config: Any) -> None:
        """Nothing beside the parts."""

    @property
    def _writer(self) -> Any:
        return leaf(self, str(self._assembly.writer))

    def get_output_embeddings(self) -> nn.Module:
        """The writing part's output table."""
        table: nn.Module = self._writer.get_output_embeddings()
        return table

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace it."""
        self._writer.set_output_embeddings(value)

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table of the part that reads texts."""
        leaf(self, self._assembly.text).set_input_embeddings(value)

    def _written(self, seen: Tensor, real: Tensor | None, ids: Tensor, mask: Any, options: Any) -> Any:
        """What the part writes about states [B, S, E], after `ids` [B, T]."""
        spec: Spec = self._formers.facts["head"]
        settings = {"eos_token_id": spec.ends, "pad_token_id": spec.padding, **options}
        return self._writer.generate(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=real,
            **settings,
        )

    def _seen(self, pixel_values: Any, interpolate: bool) -> Tensor:
        """An image's states, [B, P, E]."""
        if not isinstance(pixel_values, Tensor):
            raise ValueError(f"{type(self).__name__} looks at pictures: pass pixel_values")
        read = {"pixel_values": pixel_values, "interpolate_pos_encoding": interpolate}
        found: Tensor = leaf(self, self._assembly.image)(**read).last_hidden_state
        return found


class Captions(Writing):
    """Texts about pictures, which may go on with one."""

    _says = "Predict texts about pictures. `labels`: [B, T], int64, -100 where there is none."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        told = {name: given.get(name) for name in ("input_ids", "attention_mask", "logits_to_keep")}
        if told["input_ids"] is None:
            raise ValueError(
                f"{type(self).__name__} reads texts beside pictures: pass input_ids, or generate"
            )
        labels = targets["labels"]
        told |= {} if labels is None else {"labels": labels, "num_items_in_batch": items, "use_cache": False}
        told = {name: value for name, value in told.items() if value is not None}
        said = self._writer(encoder_hidden_states=states.last, **told)
        last, seen = states.last, {"hidden_states": states.hidden, "attentions": states.attentions}
        return CaptionOutput(said.loss, said.logits, last, last, **seen)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # pictures in the place of a prompt
        self,
        pixel_values: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        interpolate_pos_encoding: bool = False,
        **options: Any,
    ) -> Any:
        """Write about pictures.

        Args:
            pixel_values: [B, channels, height, width].
            input_ids: [B, T], texts to go on with, with the special tokens around them.
            attention_mask: [B, T], 1 at their tokens.
            interpolate_pos_encoding: read images of another size than the model was trained on.
            **options: see `GenerationMixin.generate`.

        Raises:
            ValueError: without pictures, or for texts that do not fit them.
        """
        seen, spec = self._seen(pixel_values, interpolate_pos_encoding), self._formers.facts["head"]
        ids = begun(input_ids, spec.begins, len(seen), seen.device)
        mask = None if attention_mask is None or input_ids is None else attention_mask[:, :-1]
        return self._written(seen, None, ids, mask, options)


class Answers(Writing):
    """Answers to questions about pictures."""

    _options: ClassVar[tuple[str, ...]] = ("decoder_input_ids", "decoder_attention_mask", "return_dict")
    _says = (
        "Answer questions about pictures. `labels`: [B, T], int64, the answers, which are what the decoder "
        "reads too unless it is given something else; -100 where there is none."
    )

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        labels, ids = targets["labels"], given.get("decoder_input_ids")
        if labels is None and ids is None:
            raise ValueError("give decoder_input_ids or labels; generate() writes an answer without either")
        if ids is None:
            ids = labels.masked_fill(labels == -100, self._formers.facts["head"].padding or 0)
        told = {"input_ids": ids, "attention_mask": given.get("decoder_attention_mask")}
        told |= {} if labels is None else {"labels": labels, "num_items_in_batch": items, "use_cache": False}
        read = self._assembly.read(self, given, states.last)
        told |= {"encoder_hidden_states": read, "encoder_attention_mask": given.get("attention_mask")}
        said = self._writer(**{name: value for name, value in told.items() if value is not None})
        last, seen = states.last, {"hidden_states": states.hidden, "attentions": states.attentions}
        return AnsweredOutput(said.loss, last, last, **seen)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # pictures beside a question
        self,
        input_ids: Any = None,
        pixel_values: Any = None,
        attention_mask: Any = None,
        interpolate_pos_encoding: bool = False,
        **options: Any,
    ) -> Any:
        """Answer questions about pictures.

        Args:
            input_ids: [B, T], the questions.
            pixel_values: [B, channels, height, width].
            attention_mask: [B, T], 1 at their tokens.
            interpolate_pos_encoding: read images of another size than the model was trained on.
            **options: see `GenerationMixin.generate`.

        Raises:
            ValueError: without pictures or questions.
        """
        seen, spec = self._seen(pixel_values, interpolate_pos_encoding), self._formers.facts["head"]
        ids = None if input_ids is None else torch.as_tensor(input_ids, device=seen.device)
        read = self._assembly.read(self, {"input_ids": ids, "attention_mask": attention_mask}, seen)
        first = begun(None, spec.begins, len(read), read.device)
        return self._written(read, attention_mask, first, None, options)


@dataclass(frozen=True)
class MatchSpec:
    """How texts and pictures are compared.

    Attributes:
        out: path of the layer to two numbers, whether a text does not fit and whether it does.
        image: path of the projection of an image's vector; `text` likewise.
        width: of their shared space.
    """

    out: str
    image: str
    text: str
    width: int


class Matches(TaskModel):
    """Whether texts fit pictures: by one that looks at the other, or by the cosine of their vectors."""

    _assembly: ClassVar[Captioning]
    _targets = ()
    _options = ("use_itm_head", "return_dict")
    _says = (
        "Judge how well texts fit pictures; without a loss. `use_itm_head`: whether texts look at their "
        "pictures (the default), [B, 2], or every text and picture are compared, [pictures, texts]."
    )

    def _place_head(self, spec: MatchSpec, config: Any) -> None:
        image, text = (
            self._assembly.stack(config, name).width for name in (self._assembly.image, self._assembly.text)
        )
        place(self, "image_out", spec.image, linear("linear", image, spec.width))
        place(self, "text_out", spec.text, linear("linear", text, spec.width))
        place(self, "out", spec.out, linear("linear", text, 2))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        seen, looks = states.last, given.get("use_itm_head")
        looks = True if looks is None else bool(looks)
        read = self._assembly.read(self, given, seen if looks else None)
        if looks:
            score = apply(self, "out", read[:, 0], states.watched)
        else:
            image, text = (
                nn.functional.normalize(apply(self, role, rows[:, 0], states.watched), dim=-1)
                for role, rows in (("image_out", seen), ("text_out", read))
            )
            score = image @ text.t()
        return MatchedOutput(
            score,
            last_hidden_state=seen,
            hidden_states=states.hidden,
            attentions=states.attentions,
            question_embeds=read,
        )
