"""automatic-speech-recognition: what was said, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from torch import nn

from formers.core.extras import MissingExtra
from formers.core.notices import notice
from formers.hub import Source
from formers.pipelines.audio.transcripts import DECODINGS
from formers.pipelines.frame import ChunkPipeline, number, side_by_side
from formers.processing.audio.rates import Wave, checked_rate
from formers.processing.audio.reading import wave_blocks
from formers.processing.language_model_decoding import load_decoder, names_language_model

_TOGETHER = 8  # pieces whose features are computed at once
_OF_A_SOUND = ("array", "raw", "path", "bytes", "sampling_rate", "stride")
_LONG = ("input_features", "input_values", "attention_mask")  # along time, wherever that axis is
# where neither the caller nor the model says
_DEFAULTS = {"num_beams": 5, "max_new_tokens": 256}


class AutomaticSpeechRecognitionPipeline(ChunkPipeline):
    """Sounds to texts.

    Sounds are paths, addresses, bytes, arrays at the model's rate, `{"array" or "raw", "sampling_rate"}` at
    any, or decoders. Keywords of every call, and of the constructor as defaults:

        return_timestamps: True for times of segments, or "word" for those of words; of models that spell
            (CTC) "word" or "char" for those of letters. They are `chunks` of the answer.
        return_language: also the language of each chunk.
        chunk_length_s: cut sounds into pieces of so many seconds, which are read side by side, `batch_size`
            of them at once; without it a long sound is read window after window, which is slower and makes
            fewer mistakes at the edges.
        stride_length_s: seconds that a piece shares with the one before, and the one behind; a sixth of its
            length where nobody says.
        generate_kwargs: settings of `generate`; they may also stand beside the others. Five beams search,
            unless they or the model's own settings say otherwise.
        decoder_kwargs: keywords of `decoder.decode_beams`, where the constructor was given a
            `pyctcdecode.BeamSearchDecoderCTC` as `decoder`, or the model's files name one.
        timeout: seconds for an address to answer.

    An answer is `{"text": ...}`, with `chunks` of `{"text", "timestamp": (start, end)}` in seconds.

    Raises:
        BadSound: for a sound that cannot be read.
        ValueError: without a feature extractor or a tokenizer; for times that the model cannot tell.
    """

    default_task: ClassVar[str] = "automatic-speech-recognition"
    _load_tokenizer: ClassVar[bool | None] = True
    _load_feature_extractor: ClassVar[bool | None] = True
    _load_image_processor: ClassVar[bool | None] = False

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        decoder: Any = None,
        assistant_model: Any = None,
        generation_config: Any = None,
        **kwargs: Any,
    ) -> None:
        if decoder is None:  # of a processor that searches with a language model
            decoder = getattr(kwargs.get("processor"), "decoder", None)
        self.decoder, self.assistant_model = decoder, assistant_model
        self.generation_config = generation_config
        found = next((one for one in DECODINGS if one.reads(model, decoder)), None)
        if found is None:
            raise ValueError(
                f"{type(model).__name__} turns no speech into text: load it with AutoModelForSpeechSeq2Seq "
                "or AutoModelForCTC"
            )
        if decoder is not None and found.kind != "ctc_with_lm":
            raise ValueError(f"decoder= is for models that spell, which {type(model).__name__} does not")
        self.type = found.kind
        self._decoding = found(self)
        super().__init__(model, tokenizer, **kwargs)
        for name in ("feature_extractor", "tokenizer"):
            if getattr(self, name) is None:
                raise ValueError(f"{type(self).__name__} needs {name}=, or processor= that has one")

    @classmethod
    def _declared(cls, source: Source) -> dict[str, Any]:
        """The search with a language model, where the files name one and what reads it is there."""
        if not names_language_model(source):
            return {}
        try:
            return {"decoder": load_decoder(source)}
        except MissingExtra as error:
            notice(f"{source} has a language model, and texts are spelled without it: {error}")
            return {}

    def _sanitize_parameters(
        self,
        chunk_length_s: float | None = None,
        stride_length_s: Any = None,
        ignore_warning: bool | None = None,
        decoder_kwargs: Mapping[str, Any] | None = None,
        return_timestamps: Any = None,
        return_language: bool | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **generate: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        given = {
            "chunk_length_s": number("chunk_length_s", chunk_length_s, "seconds"),
            "stride_length_s": None
            if stride_length_s is None
            else _both_sides("stride_length_s", stride_length_s),
            "timeout": timeout,
        }
        before = {name: value for name, value in given.items() if value is not None}
        forward = {**(generate_kwargs or {}), **generate}
        if decoder_kwargs is not None and self.decoder is None:
            raise ValueError("decoder_kwargs are keywords of decoder=, and there is none")
        behind: dict[str, Any] = {} if decoder_kwargs is None else {"decoder_kwargs": decoder_kwargs}
        own = getattr(getattr(self.model, "generation_config", None), "return_timestamps", False)
        asked = own if return_timestamps is None else return_timestamps
        if asked is not None and (return_timestamps is not None or own):
            self._decoding.check(asked)
            forward["return_timestamps"] = behind["return_timestamps"] = asked
        if return_language is not None:
            self._decoding.check_language()
            forward["return_language"] = behind["return_language"] = return_language
        return before, forward, behind

    # -- the steps ------------------------------------------------------------------------------------

    def preprocess(  # type: ignore[override]  # all of its keywords are named
        self,
        inputs: Any,
        chunk_length_s: float = 0,
        stride_length_s: Any = None,
        timeout: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The pieces of one sound, each as the model reads it, with its `stride` in samples.

        Raises:
            ValueError: for strides that leave nothing of a piece.
        """
        rate = int(self.feature_extractor.sampling_rate)
        more, stride = {}, [0, 0]
        if isinstance(inputs, Mapping):
            more = {name: value for name, value in inputs.items() if name not in _OF_A_SOUND}
            ratio = rate / checked_rate(inputs.get("sampling_rate") or rate)
            stride = [round(one * ratio) for one in _both_sides("stride", inputs.get("stride") or 0)]
        if not chunk_length_s:
            heard, samples = self._decoding.heard(wave_blocks(inputs, rate, timeout=timeout))
            _check_strides(samples, *stride)
            yield from self._decoding.prepared([heard], [(samples, *stride)], more)
            return
        step = self._decoding.align
        sides = stride_length_s if stride_length_s is not None else chunk_length_s / 6
        sides = _both_sides("stride_length_s", sides)
        length, left, right = (round(one * rate / step) * step for one in (chunk_length_s, *sides))
        _check_strides(length, left, right)
        pieces = _pieces(wave_blocks(inputs, rate, timeout=timeout), length, left, right)
        while part := list(islice(pieces, _TOGETHER)):
            yield from self._decoding.prepared(
                [wave for wave, _ in part], [stride for _, stride in part], more
            )

    def _collate(self, prepared: Sequence[Any]) -> Any:
        """Pieces side by side, those of long sounds with silence behind the shorter ones."""
        if len(prepared) == 1:
            return dict(prepared[0])
        names = [name for name in _LONG if name in prepared[0]]
        sizes = {
            name: [max(many) for many in zip(*(one[name].shape for one in prepared), strict=True)]
            for name in names
        }
        even = [dict(one) for one in prepared]
        for one in even:
            for name, size in sizes.items():
                short = [want - have for want, have in zip(size, one[name].shape, strict=True)]
                one[name] = nn.functional.pad(one[name], [end for more in short[::-1] for end in (0, more)])
        return side_by_side(even, self.tokenizer)

    def _forward(self, model_inputs: Any, return_timestamps: Any = False, **generate: Any) -> Any:
        """What the model writes about pieces side by side."""
        inputs = dict(model_inputs)
        held = {name: inputs.pop(name) for name in ("stride", "more")}
        return {**self._decoding.written(inputs, return_timestamps, **generate), **held}

    def postprocess(  # type: ignore[override]  # likewise
        self,
        model_outputs: Any,
        decoder_kwargs: Mapping[str, Any] | None = None,
        return_timestamps: Any = None,
        return_language: bool | None = None,
    ) -> dict[str, Any]:
        """The answer for one sound, from what came of its pieces."""
        text, optional = self._decoding.read(
            model_outputs, return_timestamps, return_language, dict(decoder_kwargs or {})
        )
        more: dict[str, list[Any]] = {}
        for one in model_outputs:
            for name, value in one["more"][0].items():
                more.setdefault(name, []).append(value)
        return {"text": text, **optional, **more}

    def generation_settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Settings of `generate`: those of a call, and the pipeline's where nobody else says anything."""
        if self.generation_config is not None:
            given.setdefault("generation_config", self.generation_config)
        if self.assistant_model is not None:
            given.setdefault("assistant_model", self.assistant_model)
        configs = (given.get("generation_config"), getattr(self.model, "generation_config", None))

        def said(name: str) -> bool:
            return name in given or any(one is not None and one.is_set(name) for one in configs)

        for name, value in _DEFAULTS.items():
            beams = name == "num_beams" and given.get("assistant_model") is not None
            if not said(name) and not beams and not (name == "max_new_tokens" and said("max_length")):
                given[name] = value
        pad = getattr(self.tokenizer, "pad_token_id", None)
        if not said("pad_token_id") and pad is not None:
            given["pad_token_id"] = pad
        return given


def _both_sides(name: str, given: Any) -> list[float]:
    """What is shared on the left and on the right, from a pair, or from one number for both.

    Raises:
        ValueError: for anything else.
    """
    sides = given if isinstance(given, (list, tuple)) else [given, given]
    found = [number(name, one, "a number, or a pair for the left and the right") for one in sides]
    if len(found) != 2 or None in found:
        raise ValueError(f"{name} is a number, or a pair for the left and the right, not {given!r}")
    return [one for one in found if one is not None]


def _check_strides(length: int, left: int, right: int) -> None:
    """Refuse strides that leave nothing of a piece.

    Raises:
        ValueError: naming them.
    """
    if left < 0 or right < 0 or left + right >= length:
        raise ValueError(
            f"pieces of {length} samples cannot share {left} with the one before and {right} with the one "
            "behind: choose a longer chunk_length_s, or a shorter stride_length_s"
        )


def _pieces(
    blocks: Iterable[Wave], length: int, left: int, right: int
) -> Iterator[tuple[Wave, tuple[int, int, int]]]:
    """Pieces of a sound that comes in blocks, with their lengths and strides; no more of it is held."""
    held, before = np.empty(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        start = 0
        while len(held) - start > length:  # more follows
            yield held[start : start + length].copy(), (length, before, right)
            start, before = start + length - left - right, left
        held = held[start:].copy()
    if len(held) > before:
        yield held, (len(held), before, 0)
