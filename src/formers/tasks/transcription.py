"""Turn speech into text with times: logits of the next token, and windows of sounds of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.tasks.seq2seq import ConditionalGeneration


class Transcription(ConditionalGeneration):
    """The vocabulary head over a decoder that says what an encoder of windows of sound heard."""

    _prepends_start = False  # a prompt may stand before the start

    @torch.no_grad()
    def generate(  # type: ignore[override]  # what the ecosystem's class takes, in its order
        self,
        input_features: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        return_timestamps: bool | None = None,
        task: str | None = None,
        language: str | Sequence[str] | None = None,
        is_multilingual: bool | None = None,
        prompt_ids: Tensor | None = None,
        prompt_condition_type: str | None = None,
        condition_on_prev_tokens: bool | None = None,
        temperature: float | Sequence[float] | None = None,
        compression_ratio_threshold: float | None = None,
        logprob_threshold: float | None = None,
        no_speech_threshold: float | None = None,
        num_segment_frames: int | None = None,
        attention_mask: Tensor | None = None,
        time_precision: float = 0.02,
        time_precision_features: float = 0.01,
        return_token_timestamps: bool | None = None,
        return_segments: bool = False,
        return_dict_in_generate: bool | None = None,
        force_unique_generate_call: bool | None = None,
        monitor_progress: Callable[[Tensor], None] | None = None,
        *,
        inputs: Tensor | None = None,
        streamer: Any = None,
        assistant_model: Any = None,
        tokenizer: Any = None,
        assistant_tokenizer: Any = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> Any:
        """Transcribe or translate sounds.

        A sound of more than a window (30 s) is decoded window after window, each going on behind the last
        segment that the one before it ended (Radford et al. 2022, section 3.8).

        Args:
            input_features: [B, bins, frames], floating, of any length; `inputs` is the same.
            generation_config: settings; keywords win over them, and they win over the model's own.
            logits_processor: processors of one's own.
            stopping_criteria: criteria of one's own.
            prefix_allowed_tokens_fn: (row, ids [T]) -> ids that may follow.
            synced_gpus: every process goes on until all have ended.
            return_timestamps: write tokens of times; long sounds always do.
            task: "transcribe", or "translate" into English.
            language: its name or code, or one for each sound; None hears it.
            is_multilingual: whether the model knows languages, where its settings are silent.
            prompt_ids: [n], int64, of `tokenizer.get_prompt_ids`: words and spellings to expect.
            prompt_condition_type: "first-segment", or "all-segments" with `condition_on_prev_tokens`.
            condition_on_prev_tokens: whether each window is told what was said before.
            temperature: 0 takes the likeliest token; a list is gone through until a text will do.
            compression_ratio_threshold: above it a text repeats itself and will not do.
            logprob_threshold: below it the mean log-probability of a text will not do.
            no_speech_threshold: above it silence is likelier than a text that misses `logprob_threshold`.
            num_segment_frames: frames of a window; None for what the encoder reads.
            attention_mask: [B, frames], 1 at real frames: where long sounds of a batch end.
            time_precision: seconds between two tokens of times.
            time_precision_features: seconds of a frame.
            return_token_timestamps: also when each token was said, by the attention of the heads that
                `generation_config.alignment_heads` names.
            return_segments: also the segments, each with `start`, `end`, `tokens` and `result`.
            return_dict_in_generate: a record; with times, as `return_segments`.
            force_unique_generate_call: decode the first window alone, and return it with its prompt.
            monitor_progress: told before every window how far each sound is, [B, 2] in frames.
            inputs: see `input_features`.
            streamer: gets every token as it comes.
            assistant_model: a smaller model that proposes tokens.
            tokenizer: for `stop_strings` and assistants with another vocabulary.
            assistant_tokenizer: of such an assistant.
            generator: the source of randomness.
            kwargs: settings of generation, and what else the model reads.

        Returns:
            [B, T], int64, tokens without prompt and end, padded behind; a dictionary of `sequences`,
            `token_timestamps` and `segments` where those are wanted; or a record of the one decoding.

        Raises:
            TypeError: for a keyword that is neither a setting nor an input, or features of another form.
            ValueError: for what this model cannot do, or settings that contradict each other.
        """
        from formers.generation.transcription import Speech, transcribe

        if input_features is not None and inputs is not None:
            raise ValueError("the sounds came twice, as input_features and as inputs: leave one out")
        given = locals()
        speech = Speech(**{name: given[name] for name in Speech.__dataclass_fields__})
        names = (
            *("logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "synced_gpus"),
            *("assistant_model", "tokenizer", "assistant_tokenizer"),
        )
        extras = {name: given[name] for name in names}
        features = inputs if input_features is None else input_features
        kwargs = {**kwargs, "attention_mask": attention_mask}
        return transcribe(self, features, generation_config, speech, kwargs, extras, streamer, generator)

    @torch.no_grad()
    def detect_language(
        self,
        input_features: Tensor | None = None,
        encoder_outputs: Any = None,
        generation_config: GenerationConfig | None = None,
        num_segment_frames: int = 3000,
    ) -> Tensor:
        """The language of each sound, as the id of its token: [B], int64.

        Args:
            input_features: [B, bins, frames]; the first window is heard.
            encoder_outputs: what the encoder made of them, in their place.
            generation_config: in place of the model's; `lang_to_id` names the tokens.
            num_segment_frames: frames of a window.

        Raises:
            ValueError: without sounds, with both forms of them, or for a model that knows one language.
        """
        from formers.generation.transcription import detect_language

        if (input_features is None) == (encoder_outputs is None):
            raise ValueError("detect_language() takes one of input_features and encoder_outputs")
        config = generation_config or self.generation_config
        if getattr(config, "lang_to_id", None) is None:
            raise ValueError("the generation_config of this model has no lang_to_id: it knows one language")
        if encoder_outputs is None:
            assert input_features is not None
            encoder_outputs = self.get_encoder()(input_features[:, :, :num_segment_frames])
        memory = encoder_outputs if hasattr(encoder_outputs, "keys") else (encoder_outputs[0],)
        return detect_language(self, memory, config)
