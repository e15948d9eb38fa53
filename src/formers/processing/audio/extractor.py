"""A feature extractor: the settings of a checkpoint, and what sounds become by them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from formers.core.notices import notice, refuse_unknown
from formers.processing.audio.forms import FORMS, log_mel_of
from formers.processing.audio.padding import Lengths, padded
from formers.processing.audio.reading import BadSound, as_wave
from formers.processing.audio.recipes import SoundRecipe
from formers.processing.features import BatchFeature
from formers.processing.saving import Settings

_NOT_KEPT = ("feature_extractor_type", "image_processor_type", "processor_class", "mel_filters", "use_fast")
_OF_A_CALL = ("padding", "max_length", "truncation", "pad_to_multiple_of", "return_tensors", "device")
_FIRST = ("feature_size", "sampling_rate", "padding_value")


class SequenceFeatureExtractor(Settings):
    """Sounds to the arrays that a model reads.

    Its settings are attributes, by the names of `preprocessor_config.json`; each can be given for one call
    too. Unknown ones of a file are kept, and written back.

    Args:
        *numbers: `feature_size`, `sampling_rate` and `padding_value`, for classes of one's own.
        **settings: those that differ from the family's.
    """

    part = "feature_extractor"
    also = ("audio_processor",)
    feature_size: int
    sampling_rate: int
    padding_side: str
    padding_value: float
    return_attention_mask: bool
    recipe: ClassVar[SoundRecipe] = SoundRecipe({"padding_side": "right", "return_attention_mask": True})
    model_input_names: ClassVar[list[str]] = ["input_values", "attention_mask"]

    def __init__(self, *numbers: Any, **settings: Any) -> None:
        settings = {**dict(zip(_FIRST, numbers, strict=False)), **settings}
        for name in _NOT_KEPT:
            settings.pop(name, None)
        values = {**copy.deepcopy(dict(self.recipe.settings)), **settings}
        super().__init__(**{**values, **self.recipe.derives(values)})

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names of settings."""
        return {*cls.recipe.settings, *_NOT_KEPT, *_FIRST}

    @classmethod
    def get_feature_extractor_dict(cls, name: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `settings_of`."""
        return cls.settings_of(name, **options)

    def __call__(
        self, raw_speech: Any = None, sampling_rate: int | None = None, **options: Any
    ) -> BatchFeature:
        """Prepare sounds.

        Args:
            raw_speech: one sound or a list: an array, tensor or list of floats [T], an array [B, T] of
                several; paths, addresses, bytes, dictionaries with `array` and `sampling_rate`, decoders. For
                a model of two channels [2, T], or a list of those. `raw_audio` and `audio` are the same.
            sampling_rate: of arrays, in Hz; other sounds are brought to the rate of the model.
            **options: `audio_target`, sounds that a model is to say, where the family has such; settings
                for this call, and `padding` (True, "longest", "max_length", False),
                `max_length` and `truncation` (in samples, or frames where those are padded),
                `pad_to_multiple_of`, `return_attention_mask`, `return_tensors` ("pt", "np"), `device` on
                which spectra are computed.

        Returns:
            `input_values` or `input_features`, float32, and `attention_mask`, int32, where it is asked for.
            Beside sounds, those to say are `labels`, with a `decoder_attention_mask`.

        Raises:
            BadSound: names the sound that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for another rate than the model's, or different lengths where tensors are asked for.
        """
        for name in ("raw_audio", "audio"):
            raw_speech = options.pop(name, None) if raw_speech is None else raw_speech
        target = options.pop("audio_target", None) if self.recipe.targets is not None else None
        if target is not None:
            said = self._made(self.recipe.targets, target, sampling_rate, dict(options))
            if raw_speech is None:
                return said
            found = self._made(self.recipe.form, raw_speech, sampling_rate, options)
            found["labels"] = said["input_values"]
            if "attention_mask" in said:
                found["decoder_attention_mask"] = said["attention_mask"]
            return found
        return self._made(self.recipe.form, raw_speech, sampling_rate, options)

    def _made(self, form: Any, raw_speech: Any, rate: int | None, options: dict[str, Any]) -> BatchFeature:
        """Sounds in a form, by the settings of the class and of a call."""
        refuse_unknown(
            options, (*self._names, *_OF_A_CALL, *self.recipe.call, "sampling_rate"), type(self).__name__
        )
        now = {name: getattr(self, name) for name in (*self.recipe.settings, *self._names)}
        given = {**self.recipe.call, **{name: value for name, value in options.items() if value is not None}}
        tensors = given.pop("return_tensors", None)
        limit = given.get("max_length") or now.get("n_samples")
        known = {*now, *self.recipe.call, "device"}
        now |= {name: value for name, value in given.items() if name in known}
        sounds = self._sounds(raw_speech, rate)
        own = self.recipe.fits  # by words of its own
        how = Lengths.of(
            False if own else given.get("padding", False),
            limit,
            False if own else given.get("truncation", False),
            given.get("pad_to_multiple_of"),
            now["padding_side"],
            now["padding_value"],
        )
        made = FORMS[form](sounds, now, how)
        if not now["return_attention_mask"]:
            made.pop("attention_mask", None)
        return BatchFeature(made, tensors)

    def of_blocks(self, blocks: Iterable[Any]) -> tuple[BatchFeature, int] | None:
        """Features of a long sound that comes in blocks [t] at the model's rate, tensors; and its samples.

        None where the model reads a form that is made of whole sounds.
        """
        now = {name: getattr(self, name) for name in (*self.recipe.settings, *self._names)}
        if self.recipe.form != "log mel" or now.get("do_normalize") or now.get("dither"):
            return None
        found, samples = log_mel_of(blocks, now)
        return BatchFeature(found), samples

    def _sounds(self, given: Any, rate: int | None) -> list[Any]:
        """Every sound of a call as float32 [T], at the rate of the model."""
        if rate is not None and rate != self.sampling_rate:
            raise ValueError(
                f"the model reads sounds of {self.sampling_rate} samples per second, not {rate}: resample "
                "them, or pass {'array': ..., 'sampling_rate': ...}, which is resampled here"
            )
        if self.recipe.channels and self.feature_size > 1:
            return self._channels(given)
        if isinstance(given, (list, tuple)) and given and isinstance(given[0], (int, float, np.number)):
            given = np.asarray(given, np.float32)
        dims = getattr(given, "ndim", None)
        if dims is not None and dims > 2:
            raise ValueError(f"sounds are [T], or [B, T] for several, not {list(given.shape)}")
        each = list(given) if dims == 2 or isinstance(given, (list, tuple)) else [given]
        if not each:
            raise ValueError("no sound was given")
        arrays = [np.asarray(one, np.float32) if isinstance(one, (list, tuple)) else one for one in each]
        if rate is None and any(hasattr(one, "ndim") for one in arrays):
            notice(
                f"{type(self).__name__} was not told the sampling_rate of arrays: it takes them to have "
                f"{self.sampling_rate} samples per second"
            )
        count = len(arrays)
        return [
            as_wave(one, self.sampling_rate, f"sound {place} of {count}" if count > 1 else "")
            for place, one in enumerate(arrays)
        ]

    def _channels(self, given: Any) -> list[Any]:
        """Every sound of a call as float32 [T, channels]."""
        each = list(given) if isinstance(given, (list, tuple)) or getattr(given, "ndim", 0) == 3 else [given]
        found = []
        for place, one in enumerate(each):
            sound = one if hasattr(one, "ndim") else None
            if sound is None or sound.ndim != 2 or sound.shape[0] != self.feature_size or not sound.shape[1]:
                shape = type(one).__name__ if sound is None else list(sound.shape)
                raise BadSound(
                    f"sound {place} of {len(each)} must be an array [{self.feature_size}, T], a row for each "
                    f"channel of the model, not {shape}"
                )
            found.append(np.asarray(sound, np.float32).T)
        return found

    def pad(
        self,
        processed_features: Any,
        padding: Any = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
    ) -> BatchFeature:
        """Bring sounds that were prepared one by one to one length, as collators do.

        Args:
            processed_features: values by name with a list of rows each, or a list of such with one row.
            padding: True or "longest", "max_length", or False.
            max_length: in steps.
            truncation: whether longer rows are cut to it.
            pad_to_multiple_of: of which lengths are multiples.
            return_attention_mask: whether masks are returned; the setting where None.
            return_tensors: "pt" or "np"; where None what the rows are.

        Raises:
            ValueError: where the model's input is missing.
        """
        main = self.model_input_names[0]
        given = processed_features
        if isinstance(given, (list, tuple)):
            given = {name: [one[name] for one in given] for name in given[0]} if given else {main: []}
        if not isinstance(given, Mapping) or main not in given:
            raise ValueError(f"pad needs {main}, but got {', '.join(given)}")
        given = dict(given)
        rows = given.pop(main)
        if not len(rows):
            return BatchFeature({main: [], "attention_mask": []})
        if isinstance(rows[0], (int, float)):
            rows = [rows]
        if return_tensors is None:
            return_tensors = "pt" if hasattr(rows[0], "detach") else "np"
        arrays = [np.asarray(row) for row in rows]
        arrays = [row.astype(np.float32) if row.dtype == np.float64 else row for row in arrays]
        how = Lengths.of(
            padding, max_length, truncation, pad_to_multiple_of, self.padding_side, self.padding_value
        )
        found, masks = padded(arrays, how)
        if "attention_mask" in given:
            how = how._replace(value=0)
            masks = padded([np.asarray(mask, np.int32) for mask in given.pop("attention_mask")], how)[0]
        wanted = self.return_attention_mask if return_attention_mask is None else return_attention_mask
        masks = [np.array(mask) for mask in masks]
        made = {main: found, **given, **({"attention_mask": masks} if wanted else {})}
        one_length = len({row.shape for row in found}) == 1
        return BatchFeature(made, return_tensors if one_length else None)


FeatureExtractionMixin = SequenceFeatureExtractor  # for isinstance: all extractors here are of sequences
