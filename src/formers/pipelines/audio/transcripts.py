"""How models write what they hear, and how that is read: one record for each way."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.assemblies.audio.waveform_encoder import rows_of
from formers.processing.audio.reading import gathered
from formers.tokenization.spoken import overlapping, spoken

_LONG = 4  # windows, from which on a sound is heard while it is read


class Decoding:
    """One way.

    Args:
        pipe: the pipeline, whose model, tokenizer and feature extractor are there when it is called.

    Attributes:
        kind: its name in the ecosystem.
        align: samples of which lengths of pieces are multiples.
    """

    kind: ClassVar[str] = ""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    @classmethod
    def reads(cls, model: Any, decoder: Any) -> bool:
        """Whether a model writes in this way."""
        raise NotImplementedError(f"{cls.__name__} has to define reads(model, decoder)")

    @property
    def align(self) -> int:
        """See above."""
        return 1

    def check(self, times: Any) -> None:
        """Refuse times that the model cannot tell."""

    def check_language(self) -> None:
        """Refuse languages that the model cannot tell."""
        raise ValueError(f"{type(self.pipe.model).__name__} tells no language: leave return_language out")

    def heard(self, blocks: Iterator[Any]) -> tuple[Any, int]:
        """A whole sound that comes in blocks, as `prepared` takes it, and its samples."""
        wave = gathered([*blocks])
        return wave, len(wave)

    def prepared(
        self, waves: list[Any], strides: list[Any], more: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """What the model reads of several pieces, one after the other."""
        made = self._features(waves)
        dtype = self.pipe.dtype
        for place in range(len(waves)):
            piece = {name: value[place : place + 1] for name, value in made.items()}
            if dtype is not None:
                piece = {n: v.to(dtype) if v.is_floating_point() else v for n, v in piece.items()}
            yield {**piece, "stride": torch.tensor([strides[place]]), "more": [more]}

    def _features(self, waves: list[Any]) -> Any:
        extractor = self.pipe.feature_extractor
        asked = {"return_tensors": "pt", "return_attention_mask": True}
        return extractor(waves, sampling_rate=extractor.sampling_rate, **asked, **self._lengths(waves))

    def _lengths(self, waves: list[Any]) -> dict[str, Any]:
        """Keywords that say how long features are."""
        return {"padding": True}

    def written(self, inputs: dict[str, Any], times: Any, **options: Any) -> dict[str, Any]:
        """What the model writes about pieces side by side."""
        raise NotImplementedError(f"{type(self).__name__} has to define written(inputs, times)")

    def read(
        self, outputs: Sequence[Any], times: Any, language: bool | None, options: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The text of a sound from what was written about its pieces, and what else is wanted."""
        raise NotImplementedError(f"{type(self).__name__} has to define read(outputs, times, language)")


class Tokens(Decoding):
    """An encoder reads sounds and a decoder writes texts without times."""

    kind = "seq2seq"

    @classmethod
    def reads(cls, model: Any, decoder: Any) -> bool:
        """Models of both, that write."""
        return bool(getattr(model.config, "is_encoder_decoder", False)) and model.can_generate()

    def check(self, times: Any) -> None:
        """It tells none.

        Raises:
            ValueError: for any.
        """
        if times:
            raise ValueError(
                f"{type(self.pipe.model).__name__} tells no times: leave return_timestamps out, or take a "
                "Whisper"
            )

    def written(self, inputs: dict[str, Any], times: Any, **options: Any) -> dict[str, Any]:
        """Tokens [B, T]."""
        return {"tokens": self.pipe.model.generate(**inputs, **self.pipe.generation_settings(options))}

    def read(
        self, outputs: Sequence[Any], times: Any, language: bool | None, options: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The text of all pieces."""
        special = set(self.pipe.tokenizer.all_special_ids)
        rows = [[i for i in one["tokens"][0].tolist() if i not in special] for one in outputs]
        return self.pipe.tokenizer.decode(overlapping(rows)[0], skip_special_tokens=True), {}


class TimedTokens(Tokens):
    """Likewise, with times among the tokens: Whisper."""

    kind = "seq2seq_whisper"

    @classmethod
    def reads(cls, model: Any, decoder: Any) -> bool:
        """Models that read windows of sounds of any length."""
        return super().reads(model, decoder) and hasattr(model, "detect_language")

    def check(self, times: Any) -> None:
        """It tells those of segments and of words.

        Raises:
            ValueError: for others.
        """
        if times not in (True, False, "word"):
            raise ValueError(
                f"return_timestamps is True for segments or 'word' for words with this model, not {times!r}"
            )

    def check_language(self) -> None:
        """It tells them."""

    def heard(self, blocks: Iterator[Any]) -> tuple[Any, int]:
        """Features of a long one, so that hours of it are never there as a wave."""
        extractor, first = self.pipe.feature_extractor, list[Any]()
        for block in blocks:
            first.append(block)
            if sum(map(len, first)) > _LONG * extractor.n_samples and hasattr(extractor, "of_blocks"):
                found = extractor.of_blocks(chain(first, blocks))
                if found is not None:
                    made: tuple[Any, int] = found
                    return made
        wave = gathered(first)
        return wave, len(wave)

    def _features(self, waves: list[Any]) -> Any:
        return waves[0] if isinstance(waves[0], Mapping) else super()._features(waves)

    def _lengths(self, waves: list[Any]) -> dict[str, Any]:
        longer = any(len(wave) > self.pipe.feature_extractor.n_samples for wave in waves)
        return {"truncation": False, "padding": "longest"} if longer else {}

    def written(
        self, inputs: dict[str, Any], times: Any, return_language: bool | None = None, **options: Any
    ) -> dict[str, Any]:
        """Tokens [B, T], when each was said, and what language they are in."""
        model, asked = self.pipe.model, dict(options)
        if times:
            asked["return_timestamps"] = True
        elif inputs["input_features"].shape[-1] > self._window():
            asked.setdefault("return_timestamps", True)
        words = times == "word"
        asked |= {"return_token_timestamps": True} if words else {}
        asked |= {"return_segments": True} if words or return_language else {}
        out = model.generate(**inputs, **self.pipe.generation_settings(asked))
        if not isinstance(out, Mapping):
            return {"tokens": out}
        found = {"tokens": out["sequences"]}
        segments = out.get("segments") or []
        if words:
            found["token_timestamps"] = _said(segments, out["sequences"].shape[1])
        if return_language:
            ids = [self._language(row) for row in segments]
            heard = torch.tensor(ids, device=out["sequences"].device)[:, None]
            found["tokens"] = torch.cat((heard, found["tokens"]), dim=1)
            if words:
                found["token_timestamps"] = nn.functional.pad(found["token_timestamps"], (1, 0))
        return found

    def _window(self) -> int:
        extractor = self.pipe.feature_extractor
        return int(extractor.n_samples // extractor.hop_length)

    def _language(self, segments: list[dict[str, Any]]) -> int:
        """The id of the language that a text begins with, or else that of its end, which says nothing."""
        known = set((getattr(self.pipe.model.generation_config, "lang_to_id", None) or {}).values())
        row = segments[0]["result"] if segments else []
        ids = row["sequences"] if isinstance(row, Mapping) else row
        end = int(self.pipe.tokenizer.eos_token_id)
        return next((token for token in map(int, ids) if token in known), end)

    def read(
        self, outputs: Sequence[Any], times: Any, language: bool | None, options: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The text of all pieces, and its segments or words."""
        extractor = self.pipe.feature_extractor
        rate = extractor.sampling_rate
        pieces = [
            {**one, "stride": tuple(count / rate for count in one["stride"].reshape(-1).tolist())}
            for one in outputs
        ]
        seconds = extractor.chunk_length / self.pipe.model.config.max_source_positions
        return spoken(self.pipe.tokenizer, pieces, times or None, bool(language), seconds)


class Letters(Decoding):
    """A letter or a blank for every moment of a sound (CTC): the likeliest."""

    kind = "ctc"
    _of_rows: ClassVar[str] = "tokens"
    _times: ClassVar[tuple[str, ...]] = ("char", "word")

    @classmethod
    def reads(cls, model: Any, decoder: Any) -> bool:
        """Models that spell."""
        return type(model).__name__.endswith("ForCTC")

    @property
    def align(self) -> int:
        """Samples of a moment."""
        return int(self.pipe.model.config.inputs_to_logits_ratio)

    def check(self, times: Any) -> None:
        """It tells those of letters and of words.

        Raises:
            ValueError: for others.
        """
        if times not in (None, False, *self._times):
            known = " or ".join(map(repr, self._times))
            raise ValueError(f"return_timestamps is {known} with this model, not {times!r}")
        reader = self.pipe.tokenizer
        if times and "output_word_offsets" not in inspect.signature(reader.decode).parameters:
            raise ValueError(
                f"{type(reader).__name__} tells no times of what it reads: leave return_timestamps out"
            )

    def prepared(
        self, waves: list[Any], strides: list[Any], more: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Likewise each in its own length, which counts; those shorter than a moment say nothing."""
        for wave, stride in zip(waves, strides, strict=True):
            if self._moments(len(wave)) > 0:
                yield from super().prepared([wave], [stride], more)

    def _moments(self, samples: int) -> int:
        return int(rows_of(self.pipe.model, samples))

    def written(self, inputs: dict[str, Any], times: Any, **options: Any) -> dict[str, Any]:
        """Tokens [B, T].

        Raises:
            TypeError: for settings of `generate`.
        """
        if options:
            raise TypeError(f"{type(self.pipe.model).__name__} does not generate: leave {[*options]} out")
        return {self._of_rows: self._of(self.pipe.model(**inputs).logits)}

    def _of(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1)

    def _rows(self, outputs: Sequence[Any]) -> Tensor:
        """What was written at all moments, without those that pieces share or that are padding: [T, ..]."""
        kept = []
        for one in outputs:
            samples, left, right = one["stride"].reshape(-1).tolist()
            count = round(samples / self.align)
            first, behind = (round(side / samples * count) for side in (left, right))
            kept.append(one[self._of_rows][0, first : min(count - behind, self._moments(samples))])
        return torch.cat(kept) if kept else torch.zeros(0, dtype=torch.long)

    def read(
        self, outputs: Sequence[Any], times: Any, language: bool | None, options: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The text of all pieces, and its letters or words."""
        rows = self._rows(outputs).tolist()
        if not times:
            return self.pipe.tokenizer.decode(rows), {}
        found = self.pipe.tokenizer.decode(rows, **{f"output_{times}_offsets": True})
        return found.text, {"chunks": self._chunks(found[f"{times}_offsets"], times)}

    def _chunks(self, offsets: Sequence[Mapping[str, Any]], times: str) -> list[dict[str, Any]]:
        rate = self.pipe.feature_extractor.sampling_rate

        def seconds(moment: int) -> float:
            return float(moment * self.align / rate)

        return [
            {"text": one[times], "timestamp": (seconds(one["start_offset"]), seconds(one["end_offset"]))}
            for one in offsets
        ]


class Beams(Letters):
    """Likewise, chosen by a language model: `decoder` is a `pyctcdecode.BeamSearchDecoderCTC`."""

    kind = "ctc_with_lm"
    _of_rows = "logits"
    _times = ("word",)

    @classmethod
    def reads(cls, model: Any, decoder: Any) -> bool:
        """Models that spell, with a decoder."""
        return super().reads(model, decoder) and decoder is not None

    def _of(self, logits: Tensor) -> Tensor:
        return logits.float()

    def read(
        self, outputs: Sequence[Any], times: Any, language: bool | None, options: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The likeliest text of all pieces, and its words."""
        if not outputs:
            return "", {"chunks": []} if times else {}
        best = self.pipe.decoder.decode_beams(self._rows(outputs).numpy(), **options)[0]
        words = [{"word": word, "start_offset": start, "end_offset": end} for word, (start, end) in best[2]]
        return best[0], {"chunks": self._chunks(words, "word")} if times else {}


def _said(segments: Sequence[Sequence[Mapping[str, Any]]], width: int) -> Tensor:
    """When the tokens of each row were said, [B, width], in seconds since the sound began."""
    rows = [
        torch.cat([one["token_timestamps"] for one in row]) if row else torch.zeros(0) for row in segments
    ]
    return torch.stack([nn.functional.pad(row, (0, width - len(row))) for row in rows])


# in the order in which models are asked for
DECODINGS: tuple[type[Decoding], ...] = (TimedTokens, Tokens, Beams, Letters)
