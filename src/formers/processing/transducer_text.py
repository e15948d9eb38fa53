"""Sounds and their transcripts for models that spell by pieces of words, moment by moment."""

from __future__ import annotations

from typing import Any

from formers.core.jsonfile import read_json_object
from formers.hub import Source, split_hub_keywords
from formers.processing.features import BatchFeature
from formers.processing.saving import NESTED_FILE
from formers.processing.speech import SpeechProcessor
from formers.tokenization.options import CALL_KEYWORDS

_KINDS = (None, "ctc", "rnnt", "tdt")


class TranscriptProcessor(SpeechProcessor):
    """Sounds to the inputs of a model, and transcripts to its labels, as tensors.

    Args:
        feature_extractor: of sounds.
        tokenizer: of transcripts.
        blank_token: what a decoder that reads labels begins with.
        decoder_type: how tokens are read: "ctc", where what repeats is one; "rnnt" or "tdt", where it is not.
            None for "tdt" where the vocabulary has the blank token, and "ctc" where not.

    Raises:
        ValueError: for another `decoder_type`.
    """

    def __init__(
        self,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        blank_token: str = "<blank>",  # noqa: S107  (no password)
        decoder_type: str | None = None,
        **named: Any,
    ) -> None:
        if decoder_type not in _KINDS:
            raise ValueError(f"decoder_type is ctc, rnnt, tdt or None, not {decoder_type!r}")
        super().__init__(feature_extractor, tokenizer, **named)
        self.blank_token, self.decoder_type = blank_token, decoder_type
        self.blank_token_id = tokenizer.convert_tokens_to_ids(blank_token)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        return [*self.feature_extractor.model_input_names, "labels", "decoder_input_ids"]

    @property
    def _groups(self) -> bool:
        known = self.decoder_type or ("tdt" if self.blank_token in self.tokenizer.get_vocab() else "ctc")
        return known == "ctc"

    def __call__(  # type: ignore[override]  # transcripts come second
        self, audio: Any = None, text: Any = None, sampling_rate: int | None = None, **options: Any
    ) -> BatchFeature:
        """Prepare sounds, and their transcripts.

        Args:
            audio: as the feature extractor takes it.
            text: a transcript, or a list of them.
            sampling_rate: of arrays, in Hz.
            **options: keywords of the two; those that both know are for both.

        Returns:
            What the feature extractor gives; ids of transcripts as `labels`, and with the blank token before
            them as `decoder_input_ids`. Tensors, unless `return_tensors` says otherwise.

        Raises:
            TypeError: for a keyword that neither takes.
            ValueError: without sounds.
        """
        if audio is None:
            raise ValueError(f"{type(self).__name__} needs audio=; texts alone are the tokenizer's")
        options = {"return_tensors": "pt", **options}
        known = {*self.feature_extractor.known_settings(), "return_tensors", "max_length", "truncation"}
        heard = {n: one for n, one in options.items() if n in known or n not in CALL_KEYWORDS or text is None}
        found: BatchFeature = self.feature_extractor(audio, sampling_rate=sampling_rate, **heard)
        if text is not None:
            usual = {} if self.pair is None else self.pair.text
            said = {**usual, **{name: one for name, one in options.items() if name in CALL_KEYWORDS}}
            texts = [text] if isinstance(text, str) else list(text)
            found["labels"] = self.tokenizer(texts, **said)["input_ids"]
            begun = [self.blank_token + one for one in texts]
            found["decoder_input_ids"] = self.tokenizer(begun, **said)["input_ids"]
        return found

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """The tokenizer's `decode`, where what repeats is one token as the models' kind has it."""
        return self.tokenizer.decode(*args, **{"group_tokens": self._groups, **kwargs})

    def batch_decode(self, *args: Any, **kwargs: Any) -> Any:
        """Likewise of several."""
        return self.tokenizer.batch_decode(*args, **{"group_tokens": self._groups, **kwargs})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the parts and the settings; see `SpeechProcessor.from_pretrained`."""
        hub, _ = split_hub_keywords(dict(options))
        path = Source.of(pretrained_model_name_or_path, **hub).find(NESTED_FILE)
        own = cls._own_settings({} if path is None else read_json_object(path), options)
        made = super().from_pretrained(pretrained_model_name_or_path, **options)
        return cls(made.feature_extractor, made.tokenizer, **own)
