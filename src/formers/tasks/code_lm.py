"""Predict the next codes of a sound, those of all books at once: `MusicgenForCausalLM`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.core.outputs import ModelOutput, TaskOutput
from formers.generation import resolve
from formers.generation.delay_pattern import go_on, obeyed, pattern
from formers.generation.mixin import GenerationMixin
from formers.nn.losses import cross_entropy
from formers.nn.steps import apply
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.speech_stages import Books, place_tables


class CodeLM(GenerationMixin, TaskModel):
    """A table for each book over the states of a decoder; rows are the books of a sound in a row."""

    _keeps_cache = True
    _options: ClassVar[tuple[str, ...]] = ("return_dict",)
    _says = (
        "Predict codes. `labels`: [B, T, books], int64, -100 or padding where there is none; not shifted, "
        "unless they are what is read too."
    )

    @classmethod
    def can_generate(cls) -> bool:
        """There are next codes to predict."""
        return True

    @property
    def num_codebooks(self) -> int:
        """How many codes a place has."""
        return int(self.config.num_codebooks)

    def _place_head(self, spec: Books, config: Any) -> None:
        place_tables(self, spec, self._width())

    def get_output_embeddings(self) -> nn.Module:
        """The output tables, one for each book."""
        spec: Books = self._formers.facts["head"]
        return self.get_submodule(spec.path)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        labels = targets["labels"]
        if labels is None:
            return
        if not isinstance(labels, Tensor) or labels.dim() != 3 or labels.shape[2] != self.num_codebooks:
            raise ValueError(
                f"labels are the codes of every place, [B, T, {self.num_codebooks}], not "
                f"{list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__}"
            )
        ask.keep_padding = given.get("attention_mask") is not None
        if given.get("input_ids") is None and given.get("inputs_embeds") is None:
            given["input_ids"] = shifted(labels, self.config)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits = torch.stack(
            [
                states.spread(apply(self, f"out_{i}", states.rows, states.watched))
                for i in range(self.num_codebooks)
            ],
            dim=1,
        )  # [B, books, T, V]
        labels, loss = targets["labels"], None
        if labels is not None:
            judged = logits[:, :, -labels.shape[1] :]
            labels = labels.masked_fill(labels == self.config.pad_token_id, -100)
            each = [cross_entropy(judged[:, i], labels[..., i]) for i in range(self.num_codebooks)]
            loss = torch.stack(each).mean()
        passed = self._assembly.passed_on(states)
        return TaskOutput(
            loss, logits.flatten(0, 1), **{"cross_attentions": states.cross_attentions, **passed}
        )

    def build_delay_pattern_mask(
        self, input_ids: Tensor, pad_token_id: int, max_length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """What rows of codes begin with, and what stands where; see `generation.delay_pattern.pattern`."""
        length = self.generation_config.max_length if max_length is None else max_length
        config = self.config
        return pattern(input_ids, self.num_codebooks, config.audio_channels, int(pad_token_id), length)

    @staticmethod
    def apply_delay_pattern_mask(input_ids: Tensor, decoder_pad_token_mask: Tensor) -> Tensor:
        """Rows with what the pattern says of their columns."""
        return obeyed(input_ids, decoder_pad_token_mask)

    def prepare_inputs_for_generation(  # type: ignore[override]  # rows are books
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        delay_pattern_mask: Tensor | None = None,
        guidance_scale: float | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What `forward` is called with, from all codes so far, [B * books, T].

        Args:
            input_ids: all codes; with a cache, the last `next_sequence_length` of them are read.
            next_sequence_length: how many are new; None for all.
            past_key_values: the cache.
            attention_mask: [B, T].
            delay_pattern_mask: of `build_delay_pattern_mask`.
            guidance_scale: above 1 all rows are read twice, with texts and without.
            kwargs: whatever else `forward` reads.
        """
        if delay_pattern_mask is None:
            start = self.generation_config.pad_token_id
            input_ids, delay_pattern_mask = self.build_delay_pattern_mask(input_ids, start)
        ids = obeyed(input_ids, delay_pattern_mask)
        if next_sequence_length is not None:
            ids = ids[:, -next_sequence_length:]
        if guidance_scale is not None and guidance_scale > 1:
            ids = ids.repeat(2, 1)
            attention_mask = None if attention_mask is None else attention_mask.repeat(2, 1)
        held = {"input_ids": ids, "attention_mask": attention_mask, "past_key_values": past_key_values}
        held |= {name: value for name, value in kwargs.items() if name != "is_first_iteration"}
        return {name: value for name, value in held.items() if value is not None}

    @torch.no_grad()
    def generate(  # type: ignore[override]  # codes
        self,
        inputs: Tensor | None = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        synced_gpus: bool | None = None,
        streamer: Any = None,
        *,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> Any:
        """Go on with codes.

        Args:
            inputs: [B * books, T], int64, the books of a sound in a row, each behind the code that stands
                before sounds; None begins one sound.
            generation_config: settings; keywords win over them, and they win over the model's own.
            logits_processor: processors of one's own.
            stopping_criteria: criteria of one's own.
            synced_gpus: not offered.
            streamer: gets the prompt and every step [B * books].
            generator: the source of randomness.
            kwargs: settings, and what else the model reads.

        Returns:
            [B, books, places], int64; or a record with those as `sequences`.

        Raises:
            TypeError: for a keyword that is neither a setting nor an input.
            ValueError: for settings that do not fit.
        """
        if synced_gpus:
            raise ValueError("synced_gpus is not offered for models of codes")
        config = resolve.settings(self, generation_config, kwargs)
        inputs = kwargs.pop("input_ids", None) if inputs is None else inputs
        resolve.refuse(self, kwargs)
        if inputs is None:
            start = config.bos_token_id
            if start is None:
                raise ValueError("there is nothing to go on with, and no bos_token_id: pass input_ids")
            inputs = torch.full((self.num_codebooks, 1), int(start), device=self.device)
        given = {name: value for name, value in kwargs.items() if value is not None}
        ids, given = copied(inputs, given, self.num_codebooks, config.num_return_sequences)
        codes, record = go_on(
            self, ids, config, given, logits_processor, stopping_criteria, streamer, generator
        )
        if record is None:
            return codes
        record.sequences = codes
        return record


def shifted(labels: Tensor, config: Any) -> Tensor:
    """What is read to predict codes [B, T, books]: [B, books, T], the start before them, the last left out.

    Raises:
        ValueError: where the config names no start or padding.
    """
    start = getattr(config, "decoder_start_token_id", None)
    start, pad = config.bos_token_id if start is None else start, config.pad_token_id
    if start is None or pad is None:
        raise ValueError(
            "bos_token_id and pad_token_id of the decoder's config say what is read before codes"
        )
    ids = labels.transpose(1, 2).masked_fill(labels.transpose(1, 2) == -100, pad)
    return torch.cat((torch.full_like(ids[..., :1], start), ids[..., :-1]), dim=-1)


def copied(ids: Tensor, given: dict[str, Any], books: int, count: int) -> tuple[Tensor, dict[str, Any]]:
    """Rows [B * books, T], and what goes with sounds [B, ..], `count` times each."""
    if count == 1:
        return ids, given
    rows = ids.reshape(-1, books, ids.shape[-1]).repeat_interleave(count, 0).flatten(0, 1)
    spread = {
        name: value.repeat_interleave(count, 0) if isinstance(value, Tensor) else value
        for name, value in given.items()
    }
    return rows, spread
