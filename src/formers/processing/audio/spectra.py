"""Spectra of sounds: windows, mel filters, decibels. Arrays are NumPy's; torch computes the transforms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from formers.core.notices import notice

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]
Log = Literal["log", "log10", "dB"]

_BLOCK = 4096  # frames that are transformed at once

_SLANEY = 1000.0, 15.0, 27.0 / math.log(6.4)  # Hz and mel where the scale becomes logarithmic; mel per e-fold
_HTK = {"htk": 2595.0 / math.log(10), "kaldi": 1127.0}


def _known_scale(scale: str) -> None:
    if scale not in ("slaney", *_HTK):
        raise ValueError(f"mel_scale is one of htk, kaldi, slaney, not {scale!r}")


def hertz_to_mel(freq: Any, mel_scale: str = "htk") -> Any:
    """Frequencies in Hz on a mel scale: "htk", "kaldi" or "slaney".

    Raises:
        ValueError: for another scale.
    """
    _known_scale(mel_scale)
    if mel_scale in _HTK:
        return _HTK[mel_scale] * np.log(1.0 + freq / 700.0)
    edge, mel, step = _SLANEY
    return np.where(freq < edge, 3.0 * freq / 200.0, mel + np.log(np.maximum(freq, edge) / edge) * step)[()]


def mel_to_hertz(mels: Any, mel_scale: str = "htk") -> Any:
    """The inverse of `hertz_to_mel`.

    Raises:
        ValueError: for another scale.
    """
    _known_scale(mel_scale)
    if mel_scale in _HTK:
        return 700.0 * (np.exp(mels / _HTK[mel_scale]) - 1.0)
    edge, mel, step = _SLANEY
    return np.where(mels < mel, 200.0 * mels / 3.0, edge * np.exp((np.maximum(mels, mel) - mel) / step))[()]


def mel_triangles(
    num_frequency_bins: int,
    num_mel_filters: int,
    min_frequency: float,
    max_frequency: float,
    sampling_rate: int,
    norm: str | None = None,
    mel_scale: str = "htk",
    triangularize_in_mel_space: bool = False,
    dtype: Any = np.float64,
) -> Array:
    """Triangles that overlap by half, evenly spaced on a mel scale.

    Args:
        num_frequency_bins: F, of the spectrum.
        num_mel_filters: M.
        min_frequency: where the first begins, in Hz.
        max_frequency: where the last ends, in Hz.
        sampling_rate: in Hz.
        norm: "slaney" for triangles of one area; else they have one height.
        mel_scale: see `hertz_to_mel`.
        triangularize_in_mel_space: whether their sides are straight in mel; else in Hz.
        dtype: of the result.

    Returns:
        [F, M].

    Raises:
        ValueError: for an unknown norm, fewer than 2 bins, or limits in the wrong order.
    """
    if norm not in (None, "slaney"):
        raise ValueError(f"norm is None or slaney, not {norm!r}")
    if num_frequency_bins < 2 or min_frequency > max_frequency:
        raise ValueError(
            f"mel filters need two frequency bins or more, and a min_frequency up to max_frequency; got "
            f"{num_frequency_bins} bins, {min_frequency} and {max_frequency} Hz"
        )
    ends = hertz_to_mel(min_frequency, mel_scale), hertz_to_mel(max_frequency, mel_scale)
    mels = np.linspace(*ends, num_mel_filters + 2)
    edges = mels if triangularize_in_mel_space else mel_to_hertz(mels, mel_scale)
    if triangularize_in_mel_space:
        width = sampling_rate / ((num_frequency_bins - 1) * 2)
        bins = hertz_to_mel(width * np.arange(num_frequency_bins), mel_scale)
    else:
        bins = np.linspace(0, sampling_rate // 2, num_frequency_bins)
    away, gaps = edges[None] - bins[:, None], np.diff(edges)
    made = np.clip(np.minimum(-away[:, :-2] / gaps[:-1], away[:, 2:] / gaps[1:]), 0, None)
    if norm == "slaney":
        made *= 2.0 / (edges[2:] - edges[:-2])
    found: Array = made.astype(dtype, copy=False)
    return found


def mel_filter_bank(num_frequency_bins: int, num_mel_filters: int, *settings: Any, **named: Any) -> Array:
    """`mel_triangles`; those that lie between two bins, and are zero, are noticed."""
    made = mel_triangles(num_frequency_bins, num_mel_filters, *settings, **named)
    if (made.max(0) == 0).any():
        notice(
            f"some of {num_mel_filters} mel filters lie between two of {num_frequency_bins} frequency bins "
            "and are zero: take fewer filters, or a longer transform"
        )
    return made


def optimal_fft_length(window_length: int) -> int:
    """The next power of two."""
    return 1 << (window_length - 1).bit_length()


def window_function(
    window_length: int,
    name: str = "hann",
    periodic: bool = True,
    frame_length: int | None = None,
    center: bool = True,
) -> Array:
    """A window [window_length] ("boxcar", "hamming", "hann" or "povey"), float64.

    Args:
        window_length: in samples.
        name: its kind.
        periodic: whether the next sample would begin it again; else it is symmetric.
        frame_length: zeros fill it up to that length, on both sides if `center`.
        center: see there.

    Raises:
        ValueError: for another kind, or a frame that is shorter.
    """
    length = window_length + 1 if periodic else window_length
    kinds: dict[str, Callable[[int], Array]] = {"boxcar": np.ones, "hamming": np.hamming, "hann": np.hanning}
    kind = name.removesuffix("_window")
    if kind == "povey":
        made = np.hanning(length) ** 0.85
    elif kind in kinds:
        made = kinds[kind](length)
    else:
        raise ValueError(f"a window is one of {', '.join(kinds)}, povey; not {name!r}")
    made = made[:window_length]
    if frame_length is None:
        return made
    if window_length > frame_length:
        raise ValueError(f"a window of {window_length} samples does not fit a frame of {frame_length}")
    left = (frame_length - window_length) // 2 if center else 0
    return np.pad(made, (left, frame_length - window_length - left))


def magnitudes(
    waves: Tensor,
    window: Tensor,
    hop: int,
    length: int | None = None,
    power: float | None = 2.0,
    filters: Tensor | None = None,
    frames: int | None = None,
    *,
    onesided: bool = True,
    dither: float = 0.0,
    offset: bool = False,
    preemphasis: float | None = None,
) -> Tensor:
    """Spectra of equally long sounds, frame by frame, in the dtype of the window.

    Args:
        waves: [B, T].
        window: [W], as long as a frame.
        hop: samples from frame to frame.
        length: of the transform; W where None.
        power: of the magnitudes; None for complex numbers.
        filters: [F, M], by which magnitudes are summed.
        frames: how many are read; all that fit where None.
        onesided: whether the mirrored half is left out.
        dither: standard deviation of noise that is added.
        offset: whether each frame's mean is taken off.
        preemphasis: share of the sample before that is taken off each.

    Returns:
        [B, frames, F or M].
    """
    import torch

    transform, size = (torch.fft.rfft if onesided else torch.fft.fft), len(window)
    fit = 1 + (waves.shape[1] - size) // hop if waves.shape[1] >= size else 0
    count, found = fit if frames is None else min(fit, frames), []
    rows = waves.unfold(1, size, hop) if fit else waves.new_empty(len(waves), 0, size)
    for at in range(0, max(count, 1), _BLOCK):
        block = rows[:, at : min(at + _BLOCK, count)].to(window.dtype)
        if dither:
            block = block + dither * torch.randn_like(block)
        if offset:
            block = block - block.mean(-1, keepdim=True)
        if preemphasis is not None:
            before = torch.cat([block[..., :1], block[..., :-1]], -1)
            block = block - preemphasis * before
        spectrum = transform(block * window, n=length)
        if power is None:
            found.append(spectrum)
            continue
        block = spectrum.abs() ** power
        found.append(block if filters is None else block @ filters)
    return found[0] if len(found) == 1 else torch.cat(found, 1)


def spectrogram_batch(
    waveform_list: Sequence[Array],
    window: Array,
    frame_length: int,
    hop_length: int,
    fft_length: int | None = None,
    power: float | None = 1.0,
    center: bool = True,
    pad_mode: str = "reflect",
    onesided: bool = True,
    dither: float = 0.0,
    preemphasis: float | None = None,
    mel_filters: Array | None = None,
    mel_floor: float = 1e-10,
    log_mel: Log | None = None,
    reference: float = 1.0,
    min_value: float = 1e-10,
    db_range: float | None = None,
    remove_dc_offset: bool = False,
    dtype: Any = np.float32,
) -> list[Array]:
    """Spectra of sounds [T], each [F or M, frames]; computed in float64.

    Args:
        waveform_list: the sounds.
        window: [frame_length].
        frame_length: in samples.
        hop_length: samples from frame to frame.
        fft_length: of the transform, `frame_length` where None.
        power: 1 for amplitudes, 2 for power, None for complex numbers.
        center: whether frames are centred: half a frame is put before and behind, as `pad_mode` of
            `numpy.pad` says.
        pad_mode: see there.
        onesided: whether the mirrored half is left out.
        dither: standard deviation of noise that is added.
        preemphasis: share of the sample before that is taken off each, in every frame.
        mel_filters: [F, M]; what they find is at least `mel_floor`.
        mel_floor: see there.
        log_mel: "log", "log10" or "dB" with `reference`, `min_value` and `db_range` of `power_to_db`.
        reference: see there.
        min_value: see there.
        db_range: see there.
        remove_dc_offset: whether each frame's mean is taken off.
        dtype: of a result in logarithms.

    Raises:
        ValueError: for shapes and settings that do not go together.
    """
    import torch

    if len(window) != frame_length or frame_length > (fft_length or frame_length) or hop_length < 1:
        raise ValueError(
            "a window must be as long as a frame, a frame no longer than the transform, a hop 1 or more; got "
            f"a window of {len(window)}, frame_length={frame_length}, fft_length={fft_length}, "
            f"hop_length={hop_length}"
        )
    if power is None and (mel_filters is not None or log_mel is not None):
        raise ValueError("mel filters and logarithms need a power: complex spectra have neither")
    found = []
    for wave in waveform_list:
        if wave.ndim != 1 or np.iscomplexobj(wave):
            raise ValueError(f"a waveform is real and has shape [T], not {wave.dtype} {list(wave.shape)}")
        edge = frame_length // 2
        how: Any = pad_mode  # NumPy knows which there are
        padded = np.pad(wave, (edge, edge), mode=how) if center else wave
        made = (
            magnitudes(
                torch.from_numpy(np.ascontiguousarray(padded, np.float64))[None],
                torch.from_numpy(np.asarray(window, np.float64)),
                hop_length,
                fft_length,
                power,
                None if mel_filters is None else torch.from_numpy(np.asarray(mel_filters, np.float64)),
                onesided=onesided,
                dither=dither,
                offset=remove_dc_offset,
                preemphasis=preemphasis,
            )[0]
            .numpy()
            .T
        )
        if power is None:
            found.append(made.astype(np.complex64))
            continue
        made = made if mel_filters is None else np.maximum(mel_floor, made)
        found.append(_in_logarithms(made, log_mel, power, (reference, min_value, db_range), dtype))
    return found


def _in_logarithms(
    values: Array, log_mel: str | None, power: float, decibels: tuple[float, float, float | None], dtype: Any
) -> Array:
    if log_mel is None:
        return values
    if log_mel in ("log", "log10"):
        values = np.log(values) if log_mel == "log" else np.log10(values)
    elif log_mel == "dB" and power in (1.0, 2.0):
        values = (amplitude_to_db if power == 1.0 else power_to_db)(values, *decibels)
    else:
        raise ValueError(f"log_mel is log, log10 or (for powers 1 and 2) dB, not {log_mel!r} for {power}")
    return np.asarray(values, dtype)


def spectrogram(waveform: Array, window: Array, frame_length: int, hop_length: int, **settings: Any) -> Array:
    """The spectrum of one sound [T]; see `spectrogram_batch`."""
    return spectrogram_batch([waveform], window, frame_length, hop_length, **settings)[0]


def power_to_db(
    spectrogram: Array, reference: float = 1.0, min_value: float = 1e-10, db_range: float | None = None
) -> Array:
    """Power in decibels above `reference`.

    Args:
        spectrogram: of any shape.
        reference: what 0 dB are.
        min_value: smaller ones count as that.
        db_range: how far below the largest values may lie.

    Raises:
        ValueError: for numbers that are not above 0.
    """
    if reference <= 0 or min_value <= 0 or (db_range is not None and db_range <= 0):
        raise ValueError("reference, min_value and db_range must be above 0")
    found: Array = 10.0 * (
        np.log10(np.clip(spectrogram, min_value, None)) - np.log10(max(min_value, reference))
    )
    if db_range is not None:
        found = np.clip(found, found.max() - db_range, None)
    return found


def amplitude_to_db(
    spectrogram: Array, reference: float = 1.0, min_value: float = 1e-5, db_range: float | None = None
) -> Array:
    """Amplitudes in decibels above `reference`; see `power_to_db`."""
    # twice as many decibels for each factor; the range is of the result
    return 2 * power_to_db(spectrogram, reference, min_value, None if db_range is None else db_range / 2)
