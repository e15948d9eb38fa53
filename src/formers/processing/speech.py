"""A tokenizer and a feature extractor as one: what prepares sounds and transcripts for a model of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from formers.hub import split_hub_keywords
from formers.processing.auto import AutoFeatureExtractor
from formers.processing.features import BatchFeature
from formers.processing.joined import ProcessorMixin
from formers.tokenization import load
from formers.tokenization.classes import SETTINGS, TOLERATED
from formers.tokenization.options import CALL_KEYWORDS

_BOTH = ("padding", "max_length", "truncation", "pad_to_multiple_of", "return_tensors")


class SpeechProcessor(ProcessorMixin):
    """Sounds to the inputs of a model, and transcripts to its labels."""

    attributes: ClassVar[tuple[str, ...]] = ("feature_extractor", "tokenizer")
    feature_extractor: Any

    def __call__(  # type: ignore[override]  # sounds in the place of pictures
        self,
        audio: Any = None,
        sampling_rate: int | None = None,
        text: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Prepare sounds, transcripts, or both.

        Args:
            audio: as the feature extractor takes it.
            sampling_rate: of arrays, in Hz.
            text: as the tokenizer takes it.
            **options: keywords of the two; those that both know are for both.

        Returns:
            What the feature extractor gives, with the ids of transcripts as `labels`; or what the tokenizer
            gives for transcripts alone.

        Raises:
            TypeError: for a keyword that neither takes.
            ValueError: without sounds and transcripts.
        """
        if audio is None and text is None:
            raise ValueError(f"{type(self).__name__} needs audio=, text= or both")
        if audio is None:
            return self.tokenizer(text, **options)  # type: ignore[no-any-return]  # an encoding
        own = options
        if text is not None:
            known = self.feature_extractor.known_settings()
            own = {name: one for name, one in options.items() if name in _BOTH or name in known}
            own |= {name: one for name, one in options.items() if name not in CALL_KEYWORDS}
        found: BatchFeature = self.feature_extractor(audio, sampling_rate=sampling_rate, **own)
        if text is not None:
            said = {name: one for name, one in options.items() if name in CALL_KEYWORDS}
            found["labels"] = self.tokenizer(text, **said)["input_ids"]
        return found

    def get_prompt_ids(self, text: str, return_tensors: str | None = "np") -> Any:
        """The tokenizer's `get_prompt_ids`."""
        return self.tokenizer.get_prompt_ids(text, return_tensors)

    def get_decoder_prompt_ids(self, *args: Any, **kwargs: Any) -> Any:
        """The tokenizer's `get_decoder_prompt_ids`."""
        return self.tokenizer.get_decoder_prompt_ids(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the parts that lie in a folder or under a Hub id; see `ProcessorMixin.from_pretrained`."""
        hub, rest = split_hub_keywords(options)
        for name in ("use_fast", "trust_remote_code", "config"):
            rest.pop(name, None)
        told = {name: rest.pop(name) for name in [*rest] if name in SETTINGS or name in TOLERATED}
        extractor = AutoFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **hub, **rest)
        return cls(extractor, load(pretrained_model_name_or_path, **hub, **told))

    def written(self, folder: Path) -> list[str]:
        """Write the tokenizer's files, `preprocessor_config.json` and `processor_config.json`."""
        return [*self.feature_extractor.written(folder), *super().written(folder)]
