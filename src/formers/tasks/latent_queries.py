"""Texts that read what learned vectors found in pictures: their states, and words that follow."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.assemblies.multimodal.latent_queries import NOTHING, WHERE, LatentQueryText
from formers.core.latent_query_outputs import LatentImageOutput, LatentQueryOutput, LatentQueryTextOutput
from formers.core.outputs import ModelOutput
from formers.nn.tree import leaf
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.captioning import Writing

_SHOWN = ("output_attentions", "output_hidden_states")
_TOLD = ("attention_mask", "past_key_values", "use_cache", *_SHOWN)
_ORDER = (
    *("pixel_values", "input_ids", WHERE, "attention_mask", "past_key_values", "image_embeds"),
    *("inputs_embeds", "position_ids"),
)


class _Reading(TaskModel):
    """A text model reads pictures in their places."""

    _assembly: ClassVar[LatentQueryText]
    _keeps_cache: ClassVar[bool] = True
    _by_place: ClassVar[tuple[str, ...]] = _ORDER

    def _place_head(self, spec: Any, config: Any) -> None:
        """Nothing beside the parts."""

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        given |= {name: True for name, one in zip(_SHOWN, (ask.attentions, ask.hidden), strict=True) if one}

    def _read(self, states: States, given: dict[str, Any], **more: Any) -> tuple[Any, dict[str, Any]]:
        """The text model's record, and what is told of pictures."""
        rows = None if states.extras.pop(NOTHING, False) else states.last
        told = {name: given.get(name) for name in _TOLD}
        told |= {**self._assembly.placed(self, given, rows), **more}
        said = leaf(self, self._assembly.text)(**{k: v for k, v in told.items() if v is not None})
        return said, {"image_embeds": rows, **states.extras}

    def get_image_features(self, pixel_values: Any, **options: Any) -> LatentImageOutput:
        """What is found of pictures: `pooler_output` [B, Q, E] is what stands for them in texts.

        Args:
            pixel_values: [B, channels, height, width].
            **options: `output_attentions`, `output_hidden_states`, `interpolate_pos_encoding` of the image
                model.
        """
        weighed = bool(options.get("output_attentions")) or self.config._attn_implementation == "eager"
        return self._assembly.features(self, pixel_values, options, weighed)


class LatentQueryStates(_Reading):
    """States of texts that read pictures."""

    _targets = ()
    _options: ClassVar[tuple[str, ...]] = ("return_dict",)
    _says = "Read pictures in texts."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        said, seen = self._read(states, given)
        own = {name: said.get(name) for name in ("past_key_values", "hidden_states", "attentions")}
        return LatentQueryOutput(said.last_hidden_state, **own, **seen)


class LatentQueryTexts(_Reading, Writing):
    """Words behind texts that read pictures; `generate` looks once, and lets the text model write."""

    _says = "Predict the next words of texts in which pictures stand. `labels`: [B, T], int64, -100 for none."
    _options: ClassVar[tuple[str, ...]] = ("use_cache", "logits_to_keep", "return_dict", "num_items_in_batch")

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        more = {"logits_to_keep": given.get("logits_to_keep")}
        if targets.get("labels") is not None:
            more |= {"labels": targets["labels"], "num_items_in_batch": items, "use_cache": False}
        said, seen = self._read(states, given, **more)
        own = {name: said.get(name) for name in ("past_key_values", "hidden_states", "attentions")}
        return LatentQueryTextOutput(said.get("loss"), said.logits, **own, **seen)

    @torch.no_grad()
    def generate(  # type: ignore[override]  # pictures beside a prompt
        self,
        pixel_values: Any = None,
        image_embeds_position_mask: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        image_embeds: Any = None,
        inputs_embeds: Any = None,
        **options: Any,
    ) -> Any:
        """Write behind texts in which pictures stand.

        Args:
            pixel_values: [B, channels, height, width]; `inputs` is the same.
            image_embeds_position_mask: [B, T], 1 at the tokens in whose place a picture stands.
            input_ids: [B, T], the texts.
            attention_mask: [B, T], 1 at their tokens.
            image_embeds: [B, Q, E], what stands for the pictures, where it was computed before.
            inputs_embeds: [B, T, E], in place of ids; then the new tokens alone are returned.
            **options: see `GenerationMixin.generate`.

        Raises:
            ValueError: without pictures or texts, or for places that do not fit them.
        """
        first = options.pop("inputs", None)
        if first is not None and pixel_values is not None:
            raise ValueError("inputs and pixel_values are the same: leave one of them out")
        pixels = first if pixel_values is None else pixel_values
        rows = image_embeds
        if rows is None:
            rows = self.get_image_features(pixels).pooler_output
        given = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, WHERE: image_embeds_position_mask}
        x: Tensor = self._assembly.placed(self, given, rows)["inputs_embeds"]
        told = {"inputs_embeds": x, "attention_mask": attention_mask, "input_ids": input_ids}
        if attention_mask is None:
            told["attention_mask"] = torch.ones(x.shape[:2], dtype=torch.long, device=x.device)
        return self._writer.generate(**{k: v for k, v in told.items() if v is not None}, **options)
