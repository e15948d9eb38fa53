"""Keywords of processors as types, for annotations of classes of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from formers.core.notices import refuse_unknown


class TextKwargs(TypedDict, total=False):
    """Of tokenizers."""

    text_pair: Any
    text_target: Any
    text_pair_target: Any
    add_special_tokens: bool | None
    padding: Any
    truncation: Any
    max_length: int | None
    stride: int | None
    is_split_into_words: bool | None
    pad_to_multiple_of: int | None
    return_token_type_ids: bool | None
    return_attention_mask: bool | None
    return_overflowing_tokens: bool | None
    return_special_tokens_mask: bool | None
    return_offsets_mapping: bool | None
    return_length: bool | None
    verbose: bool | None
    padding_side: str | None
    return_tensors: Any


class _PixelKwargs(TypedDict, total=False):
    """What processors of pictures and of films both take."""

    do_convert_rgb: bool | None
    do_resize: bool | None
    size: Any
    default_to_square: bool | None
    crop_size: Any
    resample: int | None
    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: Any
    image_std: Any
    do_pad: bool | None
    do_center_crop: bool | None
    data_format: Any
    input_data_format: Any
    device: Any
    return_tensors: Any


class ImagesKwargs(_PixelKwargs, total=False):
    """Of processors of pictures."""

    pad_size: Any
    disable_grouping: bool | None


class VideosKwargs(_PixelKwargs, total=False):
    """Of processors of films."""

    do_sample_frames: bool | None
    video_metadata: Any
    fps: float | None
    num_frames: int | None
    return_metadata: bool | None


class AudioKwargs(TypedDict, total=False):
    """Of extractors of sounds."""

    sampling_rate: int | None
    raw_speech: Any
    padding: Any
    max_length: int | None
    truncation: Any
    pad_to_multiple_of: int | None
    return_attention_mask: bool | None
    device: Any
    return_tensors: Any


class ProcessingKwargs(TypedDict, total=False):
    """Of processors of several kinds; a class of one's own may have defaults by kind in `_defaults`."""

    text_kwargs: TextKwargs
    images_kwargs: ImagesKwargs
    videos_kwargs: VideosKwargs
    audio_kwargs: AudioKwargs
    return_mm_token_type_ids: bool


_KINDS: dict[str, Any] = {
    "text_kwargs": TextKwargs,
    "images_kwargs": ImagesKwargs,
    "videos_kwargs": VideosKwargs,
    "audio_kwargs": AudioKwargs,
}


def merged(
    kind: Any,
    usual: Mapping[str, Mapping[str, Any]] | None = None,
    of_the_tokenizer: Mapping[str, Any] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Keywords of a call, told apart by what takes them; the later ones win.

    Args:
        kind: `ProcessingKwargs`, or a class of one's own under it, with further defaults in `_defaults`.
        usual: of each kind the keywords that hold where nobody says anything.
        of_the_tokenizer: its settings, for every kind that has such keywords.
        **given: `common_kwargs` for all, keywords that go to every kind that has them, keywords of the
            processor itself, and those of one kind, as `text_kwargs={...}`.

    Returns:
        For each of `text_kwargs`, `images_kwargs`, `videos_kwargs` and `audio_kwargs` its keywords, and those
        of the processor itself by their names.

    Raises:
        TypeError: for a keyword that no kind has.
        ValueError: for one that is given twice, alone and by kind.
    """
    defaults, said = getattr(kind, "_defaults", {}), dict(given)
    common = {**defaults.get("common_kwargs", {}), **(said.pop("common_kwargs", None) or {})}
    by_kind = {name: dict(said.pop(name, None) or {}) for name in _KINDS}
    own = {name: said.pop(name) for name in [*said] if name in kind.__annotations__}
    found, known = dict[str, Any](own), {*_KINDS, "common_kwargs", *kind.__annotations__}
    for name, usual_kind in _KINDS.items():
        names = {*usual_kind.__annotations__, *getattr(kind.__annotations__.get(name), "__annotations__", {})}
        twice = sorted(names & set(said) & set(by_kind[name]))
        if twice:
            raise ValueError(f"{twice[0]} is given twice, alone and in {name}")
        found[name] = {
            **(usual or {}).get(name, {}),
            **defaults.get(name, {}),
            **{key: value for key, value in (of_the_tokenizer or {}).items() if key in names},
            **common,
            **{key: value for key, value in said.items() if key in names},
            **by_kind[name],
        }
        known |= names
    refuse_unknown({key: value for key, value in said.items() if key not in known}, known, kind.__name__)
    return found
