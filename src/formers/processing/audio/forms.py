"""The forms in which models read sounds. A form gets waves [T], the settings, and the lengths asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from formers.processing.audio.padding import Array, Lengths, padded, standardised
from formers.processing.audio.reading import BadSound
from formers.processing.audio.spectra import (
    magnitudes,
    mel_triangles,
    optimal_fft_length,
    spectrogram,
    window_function,
)
from formers.tokenization.options import PaddingStrategy

if TYPE_CHECKING:
    from torch import Tensor

Settings = Mapping[str, Any]
Found = dict[str, Any]

_AT_ONCE = 1 << 14  # frames
_SHEET = 1 << 17  # likewise, of features that wait for the rest of a sound
_FLOOR = 1.192092955078125e-07  # Kaldi's: the gap between 1 and the next float32


def waves(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_values`, one wave after the other."""
    rows, masks = padded(sounds, how)
    if now["do_normalize"]:
        known = bool(now["return_attention_mask"]) and how.strategy is not PaddingStrategy.DO_NOT_PAD
        rows = standardised(rows, masks if known else None, how.value)
    return {"input_values": rows, "attention_mask": [np.array(mask) for mask in masks]}


def chunks(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_values` [channels, T], of whole chunks or hops where there are any, and `padding_mask` [T].

    Raises:
        BadSound: for sounds to cut that are shorter than a chunk.
    """
    pads, cuts, limit = now["padding"], bool(now["truncation"]), how.limit
    in_chunks = now.get("chunk_length_s") is not None and now["overlap"] is not None
    if in_chunks and limit is None and (cuts or pads):
        chunk = int(now["chunk_length_s"] * now["sampling_rate"])
        stride = max(1, int((1.0 - now["overlap"]) * chunk))
        lengths = [len(sound) for sound in sounds]
        steps = min(lengths) // stride if cuts else -(-max(lengths) // stride)
        if not steps:
            raise BadSound(f"a sound of {min(lengths)} samples is shorter than the {stride} of one step")
        limit = (steps - 1) * stride + chunk
        pads = pads if cuts else "max_length"
    how = Lengths.of(pads, limit, cuts, how.multiple or now.get("hop_length"), how.side, how.value)
    rows, masks = padded(sounds, how)
    made = {"input_values": [np.atleast_2d(row.T) for row in rows]}
    return {**made, "padding_mask": masks} if pads else made


@functools.lru_cache(maxsize=8)
def _slaney(bins: int, filters: int, rate: int, high: float = 8000.0) -> Any:
    import torch

    made = mel_triangles(bins, filters, 0.0, high, rate, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(made.astype(np.float32))


@functools.lru_cache(maxsize=8)
def _kaldi(bins: int, filters: int, low: float, high: float, rate: int) -> Any:
    import torch

    return torch.from_numpy(
        mel_triangles(bins, filters, low, high, rate, None, "kaldi", triangularize_in_mel_space=True)
    )


def log_mel(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_features` [B, bins, frames]: log10 of mel bins, no more than 8 below the loudest, around 0."""
    import torch

    hop, size = now["hop_length"], now["n_fft"]
    rows, masks = padded(sounds, how)
    if now.get("do_normalize"):
        rows = standardised(rows, masks, how.value)
    lengths = {len(row) for row in rows}
    if min(lengths) <= size // 2 or len(lengths) > 1:
        raise BadSound(
            f"the sounds have {min(lengths)} to {max(lengths)} samples: their spectra need one length, above "
            f"{size // 2}; leave padding at 'max_length' or, for long ones, 'longest'"
        )
    device = now.get("device") or "cpu"
    whole = torch.from_numpy(rows[0][None] if len(rows) == 1 else np.stack(rows)).to(device)
    if now["dither"]:
        whole = whole + now["dither"] * torch.randn_like(whole)
    frames = lengths.pop() // hop
    made = torch.empty(len(whole), now["feature_size"], frames, device=device)
    for first in range(0, frames, _AT_ONCE):  # a sound of hours is never there a second time
        count = min(_AT_ONCE, frames - first)
        made[:, :, first : first + count] = _log_mel(whole, 0, first, count, now)
    torch.maximum(made, made.amax((1, 2), keepdim=True) - 8.0, out=made)
    found = made.add_(4.0).div_(4.0).cpu().numpy()
    return {
        "input_features": found,
        "attention_mask": [mask[::hop][: found.shape[2]].copy() for mask in masks],
    }


def _log_mel(held: Any, at: int, first: int, count: int, now: Settings) -> Any:
    """log10 of mel bins of some frames, [B, bins, count], of samples [B, t] whose first is the one `at`.

    What is missing at the ends is reflected.
    """
    import torch

    hop, size = now["hop_length"], now["n_fft"]
    window = torch.hann_window(size, device=held.device)
    filters = _slaney(1 + size // 2, now["feature_size"], now["sampling_rate"]).to(held.device)
    start, end = first * hop - size // 2, (first + count - 1) * hop + size - size // 2
    part = held[:, max(start, 0) - at : end - at]
    edges = max(-start, 0), max(end - at - held.shape[1], 0)
    if any(edges):
        part = torch.nn.functional.pad(part[:, None], edges, mode="reflect")[:, 0]
    block = magnitudes(part, window, hop, filters=filters, frames=count)
    return block.clamp_(min=1e-10).log10_().transpose(1, 2)


def log_mel_of(blocks: Iterable[Array], now: Settings) -> tuple[Found, int]:
    """As `log_mel` of a long sound that comes in blocks and is never there as a whole; and its samples."""
    import torch

    hop, half, count = now["hop_length"], now["n_fft"] // 2, _AT_ONCE // 8
    held, at, total, done = np.empty(0, np.float32), 0, 0, 0
    sheets: list[Array] = []  # [bins, frames] each, so large that what is given back is free at once

    def write(frames: int) -> None:
        if done % _SHEET == 0:
            sheets.append(np.empty((now["feature_size"], _SHEET), np.float32))
        made = _log_mel(torch.from_numpy(held)[None], at, done, frames, now)[0]
        sheets[-1][:, done % _SHEET : done % _SHEET + frames] = made

    for block in blocks:
        held, total = np.concatenate((held, block)), total + len(block)
        while done + count <= (total - half) // hop:
            write(count)
            done += count
            first = max(done * hop - half, 0)
            held, at = held[first - at :].copy(), first
    frames = total // hop
    if frames > done:
        write(frames - done)
    found, end = np.empty((1, now["feature_size"], frames), np.float32), frames
    while sheets:
        start = (len(sheets) - 1) * _SHEET
        found[0, :, start:end] = sheets.pop()[:, : end - start]
        end = start
    made = torch.from_numpy(found)
    made.clamp_(min=float(made.max()) - 8.0).add_(4.0).div_(4.0)
    return {"input_features": made, "attention_mask": torch.ones(1, frames, dtype=torch.int32)}, total


def _banks(wave: Array, now: Settings, window: str, loudness: float = 1.0) -> Any:
    """Logarithms of Kaldi's filter banks, float32 [frames, bins]: 25 ms every 10 ms."""
    import torch

    made: Tensor = magnitudes(
        torch.from_numpy(wave.astype(np.float64) * loudness)[None],
        torch.from_numpy(window_function(400, window, periodic=False)),
        160,
        512,
        filters=_kaldi(257, now["num_mel_bins"], 20, now["sampling_rate"] // 2, now["sampling_rate"]),
        dither=now.get("dither") or 0.0,
        offset=True,
        preemphasis=0.97,
    )
    return made[0].clamp(min=_FLOOR).log().float().numpy()


def filled_banks(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_values` [max_length, bins]: zeros behind, and then all by one mean and deviation."""
    rows, masks = [], []
    for wave in sounds:
        made = _banks(wave, now, "hann") if len(wave) >= 400 else np.zeros((0, now["num_mel_bins"]), "f4")
        made = made[: now["max_length"]]
        behind = now["max_length"] - len(made)
        masks.append(np.pad(np.ones(len(made), np.int32), (0, behind)))
        made = np.pad(made, ((0, behind), (0, 0)))
        rows.append((made - now["mean"]) / (now["std"] * 2) if now["do_normalize"] else made)
    return {"input_values": rows, "attention_mask": masks}


def banks(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_features` [frames, bins], each bin with mean 0 and variance 1 over the real frames."""
    shortest = min(map(len, sounds))
    if shortest < 400:
        raise BadSound(f"a sound of {shortest} samples is shorter than one frame of 400")
    rows, masks = padded([_banks(wave, now, "povey", 1 << 15) for wave in sounds], how)
    if now["do_ceptral_normalize"]:
        for place, (row, mask) in enumerate(zip(rows, masks, strict=True)):
            real = row[mask == 1].astype(np.float64)  # a bin that never changes has no deviation
            made = row - real.mean(0) if now["normalize_means"] else row
            spread = real.std(0) if now["normalize_vars"] else np.float64(1)
            made = made / np.where(spread > 0, spread, 1)
            made[mask == 0] = how.value
            rows[place] = made.astype(np.float32)
    return {"input_features": rows, "attention_mask": [np.array(mask) for mask in masks]}


def stacked_banks(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_features` [frames / stride, bins * stride], bins with mean 0 and variance 1 over a sound."""
    shortest = min(map(len, sounds))
    if shortest < 560:
        raise BadSound(f"a sound of {shortest} samples is shorter than two frames, which take 560")
    rows = [_banks(wave, now, "povey", 1 << 15) for wave in sounds]
    if now["do_normalize_per_mel_bins"]:
        rows = [(row - row.mean(0)) / np.sqrt(row.var(0, ddof=1) + 1e-7) for row in rows]
    rows, masks = padded(rows, how)
    step, found, kept = now["stride"], [], []
    for row, mask in zip(rows, masks, strict=True):
        whole = len(row) // step
        found.append(row[: whole * step].reshape(whole, -1))
        kept.append(mask[: whole * step][min(1, step - 1) :: step])  # by the second of the frames in a row
    return {"input_features": found, "attention_mask": kept}


@functools.lru_cache(maxsize=8)
def _hertz(bins: int, filters: int, low: float, high: float, rate: int, scale: str) -> Any:
    import torch

    norm = "slaney" if scale == "slaney" else None
    return torch.from_numpy(mel_triangles(bins, filters, low, high, rate, norm, scale))


def _decibels(wave: Array, now: Settings, scale: str) -> Array:
    """Mel bins in decibels, float32 [frames, bins]."""
    found = spectrogram(
        wave,
        window_function(now["fft_window_size"], "hann"),
        now["fft_window_size"],
        now["hop_length"],
        power=2.0,
        mel_filters=_hertz(
            *(now["fft_window_size"] // 2 + 1, now["feature_size"], now["frequency_min"]),
            *(now["frequency_max"], now["sampling_rate"], scale),
        ).numpy(),
        log_mel="dB",
    )
    return found.T


def _filled(wave: Array, length: int, padding: Any) -> Array:
    """A short wave at that length: again and again, or with zeros behind it."""
    times = length // len(wave)
    if padding == "repeat":
        wave = np.tile(wave, times + 1)[:length]
    elif padding in ("repeatpad", True):
        wave = np.tile(wave, times)
    return np.pad(wave, (0, length - len(wave)))


def _crops(made: Array, frames: int) -> Array:
    """Spectra [T, bins] of a long sound: all of it drawn together, and a piece of each third."""
    import torch

    starts = np.array_split(np.arange(len(made) - frames + 1), 3)
    at = [int(np.random.choice(third)) if len(third) else 0 for third in starts]  # noqa: NPY002  (its seed)
    whole = torch.from_numpy(np.ascontiguousarray(made))[None, None]
    whole = torch.nn.functional.interpolate(whole, (frames, made.shape[1]), mode="bilinear")
    return np.stack([whole[0, 0].numpy(), *(made[start : start + frames] for start in at)])


def crops(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_features` [1 or 4, frames, bins] in decibels, and `is_longer`, whether they are of a long sound.

    Where pieces are chosen, NumPy's own generator draws them, so that its seed settles which.
    """
    pattern, padding = now["truncation"], now["padding"]
    if pattern not in ("fusion", "rand_trunc"):
        raise ValueError(f"truncation is 'fusion' or 'rand_trunc', not {pattern!r}")
    if padding not in ("repeatpad", "repeat", "pad", True):
        raise ValueError(f"padding is 'repeatpad', 'repeat' or 'pad', not {padding!r}")
    length = how.limit or now["max_length_s"] * now["sampling_rate"]
    fused, rows, longer = pattern == "fusion", [], []
    scale = "htk" if fused else "slaney"
    for wave in sounds:
        if not len(wave):
            raise BadSound("a sound without samples fills no time")
        long = len(wave) > length
        if long and not fused:
            start = np.random.randint(0, len(wave) - length + 1)  # noqa: NPY002
            wave = wave[start : start + length]
        elif len(wave) < length:
            wave = _filled(wave, length, padding)
        made, frames = _decibels(wave, now, scale), length // now["hop_length"] + 1
        long = long and not (fused and len(made) == frames)  # a part of a hop is no more
        rows.append(_crops(made, frames) if long and fused else np.stack([made] * (4 if fused else 1)))
        longer.append(long)
    if fused and not any(longer):  # models are trained with one at least
        longer[np.random.randint(0, len(longer))] = True  # noqa: NPY002
    return {"input_features": rows, "is_longer": [[one] for one in longer]}


@functools.lru_cache(maxsize=8)
def _said(bins: int, filters: int, low: float, high: float, rate: int) -> Any:
    return mel_triangles(bins, filters, low, high, rate, "slaney", "slaney")


def mel(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_values` [frames, bins]: logarithms of mel bins; windows and steps are in milliseconds."""
    size, hop = (int(now[name] * now["sampling_rate"] // 1000) for name in ("win_length", "hop_length"))
    if min(size, hop) < 1:
        raise ValueError(f"win_length and hop_length of {size} and {hop} samples make no frames")
    shortest = min(map(len, sounds))
    if shortest <= size // 2:
        raise BadSound(f"a sound of {shortest} samples is shorter than half a frame of {size}")
    fft = optimal_fft_length(size)
    edges = now["fmin"], now["fmax"]
    how_seen = {
        "window": window_function(size, now["win_function"]),
        "mel_filters": _said(fft // 2 + 1, now["num_mel_bins"], *edges, now["sampling_rate"]),
    }
    limits = {"fft_length": fft, "mel_floor": now["mel_floor"], "log_mel": "log10"}
    rows, masks = padded(
        [spectrogram(wave, frame_length=size, hop_length=hop, **how_seen, **limits).T for wave in sounds], how
    )
    return {"input_values": rows, "attention_mask": [np.array(mask) for mask in masks]}


def normed_mel(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`input_features` [B, frames, bins]: logarithms of mel bins, with mean 0 and variance 1 over a sound.

    Frames behind a sound's last whole hop are zeros, and `attention_mask` [B, frames], bool, is False there.
    """
    import torch

    hop, size, wide = now["hop_length"], now["n_fft"], now["win_length"]
    counts = torch.tensor([len(how.cut(sound)) for sound in sounds])
    shortest = int(counts.min())
    if shortest < 2 * hop:
        raise BadSound(f"a sound of {shortest} samples is shorter than two frames, which take {2 * hop}")
    rows, _ = padded(sounds, how)
    if len({len(row) for row in rows}) > 1:
        raise BadSound("sounds of several lengths are prepared as one batch: leave padding at 'longest'")
    device = now.get("device") or "cpu"
    waves_ = torch.from_numpy(np.stack(rows)).float()
    if now["preemphasis"] is not None:
        before = torch.nn.functional.pad(waves_[:, :-1], (1, 0))
        waves_ = waves_ - now["preemphasis"] * before
        waves_ = waves_.masked_fill(torch.arange(waves_.shape[1]) >= counts[:, None], 0.0)
    around = size - wide
    window = torch.hann_window(wide, periodic=False, device=device)
    window = torch.nn.functional.pad(window, (around // 2, around - around // 2))
    waves_ = torch.nn.functional.pad(waves_.to(device), (size // 2, size // 2))
    rate = now["sampling_rate"]
    filters = _slaney(1 + size // 2, now["feature_size"], rate, rate / 2).to(device)
    found = (magnitudes(waves_, window, hop, filters=filters) + 2.0**-24).log().cpu()
    real = torch.arange(found.shape[1]) < (counts // hop)[:, None]  # [B, frames]
    mask, whole = real[..., None], (counts // hop)[:, None, None]
    mean = (found * mask).sum(1, keepdim=True) / whole
    spread = (((found - mean) ** 2 * mask).sum(1, keepdim=True) / (whole - 1)).sqrt()
    found = (found - mean) / (spread + 1e-5) * mask
    return {"input_features": found.numpy(), "attention_mask": real.numpy()}


def framed_mel(sounds: Sequence[Array], now: Settings, how: Lengths) -> Found:
    """`audio_input_features` [B, frames, bins]: logarithms of mel bins of Kaldi's frames, none below 0.

    `audio_embed_sizes` [B] says how many tokens each takes; of several sounds, `audio_attention_mask`
    [B, frames], bool, which frames are whole.
    """
    import torch

    hop, wide, size = now["hop_length"], now["win_length"], now["n_fft"]
    counts = torch.tensor([len(how.cut(sound)) for sound in sounds])
    if int(counts.min()) < wide:
        raise BadSound(f"a sound of {int(counts.min())} samples is shorter than one frame of {wide}")
    rows, _ = padded(sounds, how)
    if len({len(row) for row in rows}) > 1:
        raise BadSound("sounds of several lengths are prepared as one batch: leave padding at 'longest'")
    device = now.get("device") or "cpu"
    edges = now["mel_min_frequency"], now["mel_max_frequency"], now["sampling_rate"]
    filters = _kaldi(1 + size // 2, now["feature_size"], *edges).to(device)
    window = torch.hamming_window(wide, periodic=False, dtype=torch.float64, device=device)
    waves_ = torch.from_numpy(np.stack(rows)).to(device) * 32768.0
    found = magnitudes(waves_, window, hop, size, filters=filters, preemphasis=now["preemphasis"])
    found = found.clamp(min=1.0).log().float().cpu()
    whole = (counts - wide) // hop + 1  # [B]
    ends = torch.arange(found.shape[1])
    silent = (whole[:, None] <= ends) & (ends < (counts // hop - 1)[:, None])  # the frame in which one ends
    found = found.masked_fill((silent & (counts < counts.max())[:, None])[..., None], 0.0)
    frames = whole * now["audio_feat_stride"]
    tokens = frames
    for rate in (now["audio_compression_rate"], now["audio_downsample_rate"]):
        tokens = -(-tokens // rate)
    made = {"audio_input_features": found.numpy(), "audio_embed_sizes": tokens.numpy()}
    if len(counts) > 1 and now["return_attention_mask"]:
        made["audio_attention_mask"] = (ends < frames[:, None]).numpy()
    return made


FORMS: dict[str, Callable[[Sequence[Array], Settings, Lengths], Found]] = {
    "waves": waves,
    "log mel": log_mel,
    "filled banks": filled_banks,
    "banks": banks,
    "stacked banks": stacked_banks,
    "crops": crops,
    "chunks": chunks,
    "mel": mel,
    "normed mel": normed_mel,
    "framed mel": framed_mel,
}
