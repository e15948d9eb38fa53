"""What pipelines that write text share: settings of `generate`, prompts side by side, texts out of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

import torch

from formers.configs import GenerationConfig
from formers.core.notices import refuse_unknown
from formers.pipelines.frame import FRAME_KEYWORDS, Pipeline, side_by_side

_OF_GENERATE = (
    *("assistant_model", "assistant_tokenizer", "custom_generate", "generation_config", "generator"),
    *("logits_processor", "negative_prompt_attention_mask", "negative_prompt_ids"),
    *("prefix_allowed_tokens_fn", "stopping_criteria", "streamer", "synced_gpus", "tokenizer"),
)
_LENGTHS = {"max_new_tokens": "max_length", "min_new_tokens": "min_length"}


class ReturnType(Enum):
    """What an answer holds: token ids, the new text, or the prompt and the new text."""

    TENSORS = 0
    NEW_TEXT = 1
    FULL_TEXT = 2


class WritingPipeline(Pipeline):
    """A pipeline whose model generates.

    Settings of `generate` may be given to the constructor and to every call. Those that neither gives are the
    model's own (`generation_config.json`), then those that the config has for this task
    (`task_specific_params`), then the pipeline's.

    Args:
        model: a model that generates.
        tokenizer: its tokenizer.
        assistant_model: a smaller model that proposes tokens.
        assistant_tokenizer: its tokenizer, where that is another.
        **kwargs: those of `Pipeline`, of the task, and settings of `generate`.

    Raises:
        ValueError: for a model that does not generate.
    """

    _load_tokenizer: ClassVar[bool | None] = True
    defaults: ClassVar[Mapping[str, Any]] = {}
    run_keywords: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        assistant_model: Any = None,
        assistant_tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(model, str) and not getattr(type(model), "can_generate", lambda: True)():
            raise ValueError(
                f"{type(model).__name__} has no head that predicts the next token; load the checkpoint with "
                "AutoModelForCausalLM or AutoModelForSeq2SeqLM"
            )
        self.assistant_model, self.assistant_tokenizer = assistant_model, assistant_tokenizer
        super().__init__(model, tokenizer, **kwargs)

    @property
    def generation_config(self) -> GenerationConfig:
        """The model's own settings."""
        own = self.model.generation_config
        return own if own is not None else GenerationConfig()

    def _of_task(self) -> dict[str, Any]:
        """What the model's config has for this task: settings, and a prefix for its texts."""
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        return dict(tasks.get(self.task) or {})

    @property
    def prefix(self) -> str:
        """What stands before every text."""
        return str(self._of_task().get("prefix") or getattr(self.model.config, "prefix", None) or "")

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        names = (*cls.run_keywords, *_OF_GENERATE, *GenerationConfig().known_names())
        return frozenset(names) | cls._constructor_keywords()

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """The settings of `generate` among the keywords, all others having been taken out.

        Raises:
            TypeError: for what is none.
        """
        known = (*GenerationConfig().known_names(), *_OF_GENERATE)
        refuse_unknown(given, [*known, *self.run_keywords, *FRAME_KEYWORDS], type(self).__name__)
        return given

    def _filled(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with those that nobody gave: of the task, and the pipeline's own."""
        own, given = self.generation_config, settings.get("generation_config")
        names = GenerationConfig().known_names()
        found: dict[str, Any] = {}
        for source, beats in (
            ({k: v for k, v in self._of_task().items() if k in names}, True),
            (self.defaults, False),
        ):
            for name, value in source.items():
                chosen = [name, _LENGTHS.get(name, name)]
                if name in found or any(one in settings or one in found for one in chosen):
                    continue
                if given is not None and any(given.is_set(one) for one in chosen):
                    continue
                if beats or not any(own.is_set(one) for one in chosen):
                    found[name] = value
        found.update(settings)
        if found.get("stop_strings") is not None or own.stop_strings is not None:
            found.setdefault("tokenizer", self.tokenizer)
        if self.assistant_model is not None:
            found.setdefault("assistant_model", self.assistant_model)
        if self.assistant_tokenizer is not None:
            found.setdefault("assistant_tokenizer", self.assistant_tokenizer)
            found.setdefault("tokenizer", self.tokenizer)
        pad = getattr(self.tokenizer, "pad_token_id", None)
        if own.pad_token_id is None and pad is not None and (given is None or given.pad_token_id is None):
            found.setdefault("pad_token_id", pad)
        return found

    def _beside(self, prepared: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Prompts side by side, [B, T], padded where the model wants it: a decoder goes on at the right."""
        rows = [
            {name: value for name, value in one.items() if isinstance(value, torch.Tensor)}
            for one in prepared
        ]
        if len(rows) == 1:
            return rows[0]
        return dict(side_by_side(rows, _Padding(self.tokenizer, not self.model.config.is_encoder_decoder)))

    def _decoded(self, ids: Any, options: Mapping[str, Any]) -> str:
        """Tokens to text; special ones are left out unless the options say otherwise."""
        options = {name: value for name, value in options.items() if value is not None}
        return str(self.tokenizer.decode(ids, **{"skip_special_tokens": True, **options}))


class _Padding:
    """How prompts are padded to stand side by side."""

    def __init__(self, tokenizer: Any, left: bool) -> None:
        pad = getattr(tokenizer, "pad_token_id", None)
        # masked places are read by nobody: any token will do where there is none for padding
        self.pad_token_id = pad if pad is not None else getattr(tokenizer, "eos_token_id", None)
        self.padding_side = "left" if left else "right"


def return_type_of(
    return_type: Any, return_full_text: bool | None, return_text: bool | None, return_tensors: bool | None
) -> ReturnType | None:
    """What an answer holds, from whichever keyword says it; None where none does.

    Raises:
        ValueError: when two of them contradict each other.
    """
    said = {
        "return_full_text": return_full_text,
        "return_text": return_text,
        "return_tensors": return_tensors,
    }
    given = [name for name, value in said.items() if value is not None]
    if len(given) > 1 and not (
        given == ["return_text", "return_tensors"] and return_text is not return_tensors
    ):
        raise ValueError(f"{' and '.join(given)} contradict each other: give one")
    if return_type is not None:
        return return_type if isinstance(return_type, ReturnType) else ReturnType(return_type)
    if return_full_text is not None:
        return ReturnType.FULL_TEXT if return_full_text else ReturnType.NEW_TEXT
    if return_tensors:
        return ReturnType.TENSORS
    return None if return_text is None else ReturnType.NEW_TEXT if return_text else ReturnType.TENSORS
