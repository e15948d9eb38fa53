"""Which module a derived public name comes from, without importing it."""

from __future__ import annotations

from collections.abc import Iterator

from formers.models.table import FAMILIES, OLDER_NAMES


def find(name: str) -> tuple[str, str] | None:
    """Module and attribute behind a name such as `BertForMaskedLM`, `BertConfig` or `BertTokenizer`."""
    from formers.tokenization.recipes import CLASSES

    if name in CLASSES:
        return "formers.tokenization", name
    name = OLDER_NAMES.get(name, name)
    if any(name.startswith(prefix) for _, prefix in FAMILIES.values()):
        return "formers.auto", name
    return None


# Names that scripts ask for and that this version does not have: the beginning, and what it belongs to.
_ABSENT: tuple[tuple[str, str], ...] = (
    ("BitsAndBytesConfig", "quantized loading is"),
    ("GPTQConfig", "quantized loading is"),
    ("AwqConfig", "quantized loading is"),
    ("TextStreamer", "text generation is"),
    ("TextIteratorStreamer", "text generation is"),
    ("StoppingCriteria", "text generation is"),
    ("LogitsProcessor", "text generation is"),
    ("AutoProcessor", "processors of images and audio are"),
    ("AutoImageProcessor", "processors of images and audio are"),
    ("AutoFeatureExtractor", "processors of images and audio are"),
    ("AutoModelForImageSegmentation", "this task of images is"),
    ("AutoModelForImageTo", "this task of images is"),
    ("AutoModelForObjectDetection", "this task of images is"),
    ("AutoModelForVision2Seq", "this task of images is"),
    ("AutoModelForCTC", "this task of audio is"),
    ("AutoModelForAudioFrame", "this task of audio is"),
    ("AutoModelForAudioXVector", "this task of audio is"),
)


def reason_of_absence(name: str) -> str:
    """Why there is no such name, as the end of a sentence; empty where nothing is known of it."""
    for prefix in ("TF", "Flax"):
        if name.startswith(prefix) and name[len(prefix) :][:1].isupper():
            return f": models run on PyTorch alone; use {name.removeprefix(prefix)}"
    for beginning, what in _ABSENT:
        if name.startswith(beginning):
            return f": {what} not part of this version"
    return ""


def known() -> Iterator[str]:
    """Every derived name; this imports the families."""
    from formers.auto import derived_names
    from formers.tokenization.recipes import CLASSES

    yield from CLASSES
    yield from derived_names()
