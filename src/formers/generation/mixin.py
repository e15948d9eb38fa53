"""`generate`, and the methods beside it that subclasses override."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.core.outputs import ModelOutput
from formers.generation.by_name import LoopsByName
from formers.generation.decoder import longer

_GROWING = ("attention_mask", "position_ids", "token_type_ids", "cross_attention_mask")
_DECODER_GROWING = ("decoder_attention_mask", "decoder_position_ids", "decoder_token_type_ids")


class GenerationMixin(LoopsByName):
    """What models have that can predict the next token."""

    config: Any
    generation_config: Any
    _assembly: ClassVar[Any]
    _owner: Callable[[], Any]
    _prepends_start: ClassVar[bool] = (
        True  # decoder_input_ids of a caller get the start token where it is missing
    )

    @torch.no_grad()
    def generate(
        self,
        inputs: Any = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: Any = None,
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        custom_generate: Callable[..., Any] | None = None,
        *,
        tokenizer: Any = None,
        assistant_tokenizer: Any = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> Any:
        """Go on with a prompt.

        Args:
            inputs: [B, T], int64, what a decoder goes on with, or what an encoder reads; or a whole
                encoding of the tokenizer. None begins with the BOS token.
            generation_config: settings; keywords win over them, and they win over the model's own.
            logits_processor: processors of one's own, called after those that the settings make.
            stopping_criteria: criteria of one's own, likewise.
            prefix_allowed_tokens_fn: (row, ids [T]) -> ids that may follow.
            synced_gpus: every process goes on until all have ended.
            assistant_model: a smaller model that proposes tokens.
            streamer: gets the prompt and every token as it comes.
            negative_prompt_ids: [B, T], what `guidance_scale` leads away from.
            negative_prompt_attention_mask: its mask.
            custom_generate: a loop of one's own: (model, input_ids, logits_processor=, stopping_criteria=,
                generation_config=, ...), with what else it names and the inputs of the model.
            tokenizer: for `stop_strings`, `token_healing`, texts of a given form, and assistants with another
                vocabulary.
            assistant_tokenizer: of such an assistant.
            generator: the source of randomness; `seed=` makes one for each row instead.
            kwargs: settings, and what else the model reads. `json_schema=` (a schema or a pydantic class),
                `json_object=True`, `regex=` and `grammar=` say what the text may be (`structure_of`); with
                `tokenizer=`.

        Returns:
            [B * returned, T + new], int64 (of an encoder-decoder, the decoder's tokens alone); or a record
            where `return_dict_in_generate` is set.

        Raises:
            TypeError: for a keyword that is neither a setting nor an input.
            ValueError: for settings or inputs that do not fit each other.
        """
        from formers.generation.run import run

        return run(
            self,
            inputs,
            generation_config,
            dict(kwargs),
            {
                "logits_processor": logits_processor,
                "stopping_criteria": stopping_criteria,
                "prefix_allowed_tokens_fn": prefix_allowed_tokens_fn,
                "synced_gpus": synced_gpus,
                "assistant_model": assistant_model,
                "negative_prompt_ids": negative_prompt_ids,
                "negative_prompt_attention_mask": negative_prompt_attention_mask,
                "custom_generate": custom_generate,
                "tokenizer": tokenizer,
                "assistant_tokenizer": assistant_tokenizer,
            },
            streamer,
            generator,
        )

    @torch.no_grad()
    def heal_tokens(self, input_ids: Tensor, tokenizer: Any = None) -> Tensor:
        """Prompts [B, T], their last token the likeliest of those that begin with its text.

        Raises:
            ValueError: without a tokenizer.
        """
        from formers.generation.token_healing import healed

        return healed(self, input_ids, tokenizer, {})

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What `forward` is called with, from all tokens so far, [B, T].

        Args:
            input_ids: all tokens; with a cache, the last `next_sequence_length` of them are read.
            next_sequence_length: how many are new; None for all.
            past_key_values: the cache.
            attention_mask: [B, T]; of an encoder-decoder, the encoder's.
            inputs_embeds: the prompt as vectors, read in the first step in place of tokens.
            is_first_iteration: whether this is that step.
            kwargs: whatever else `forward` reads.
        """
        encodes = bool(self.config.is_encoder_decoder)
        later = past_key_values is not None and is_first_iteration is False
        unread = {"labels", *(self._assembly.once if later else ())}
        given = {name: value for name, value in kwargs.items() if value is not None and name not in unread}
        if next_sequence_length is not None and not later and not encodes:
            held = input_ids.shape[1] - next_sequence_length
            given = self._assembly.unread(self._owner(), input_ids, held, given)
        if inputs_embeds is not None and is_first_iteration and not encodes:
            rows = inputs_embeds if next_sequence_length is None else inputs_embeds[:, -next_sequence_length:]
            given["inputs_embeds"] = rows
        else:
            rows = input_ids if next_sequence_length is None else input_ids[:, -next_sequence_length:]
            given["decoder_input_ids" if encodes else "input_ids"] = rows
        if past_key_values is not None:
            given["past_key_values"] = past_key_values
        if attention_mask is not None:
            given["attention_mask"] = attention_mask
        for name in ("position_ids", "token_type_ids", "decoder_position_ids", "decoder_token_type_ids"):
            value = given.get(name)
            if isinstance(value, Tensor) and (name.startswith("decoder_") or not encodes):
                given[name] = value[..., -rows.shape[1] :]
        return given

    def _update_model_kwargs_for_generation(
        self,
        outputs: ModelOutput,
        model_kwargs: Mapping[str, Any],
        is_encoder_decoder: bool = False,
        num_new_tokens: int = 1,
    ) -> dict[str, Any]:
        """What the next step reads beside the tokens: the cache, and masks that reach further."""
        held = dict(model_kwargs)
        cache = getattr(outputs, self._assembly.cache, None)
        if cache is not None:
            held[self._assembly.cache] = cache
        for name in _DECODER_GROWING if is_encoder_decoder else _GROWING:
            value = held.get(name)
            if isinstance(value, Tensor):
                held[name] = longer(name, value, num_new_tokens)
        return held

    def _reorder_cache(self, past_key_values: Any, beam_idx: Tensor) -> Any:
        """Let a cache follow the beams, [rows]."""
        past_key_values.reorder_cache(beam_idx)
        return past_key_values

    def compute_transition_scores(
        self,
        sequences: Tensor,
        scores: tuple[Tensor, ...],
        beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """The score that each new token had when it was chosen.

        Args:
            sequences: [rows, T + L], what `generate` returned.
            scores: per step [rows, V], likewise; `output_scores=True`.
            beam_indices: [rows, L], of a beam search.
            normalize_logits: make the scores log-probabilities first.

        Returns:
            [rows, L], float; 0 behind the end of a beam.
        """
        if beam_indices is None:
            rows = torch.arange(scores[0].shape[0], device=sequences.device)
            beam_indices = rows[:, None].expand(-1, len(scores))
        stacked = torch.stack(scores)  # [L, rows, V]
        if normalize_logits:
            stacked = stacked.log_softmax(-1)
        ended = beam_indices < 0
        length = int((~ended).sum(-1).max())
        beams, ended = beam_indices[:, :length].clamp(min=0), ended[:, :length]
        new = sequences[:, sequences.shape[1] - beam_indices.shape[1] :][:, :length]
        steps = torch.arange(length, device=sequences.device)
        found = stacked[steps, beams, new.clamp(min=0)]  # [rows, length]
        return found.masked_fill(ended, 0.0)
