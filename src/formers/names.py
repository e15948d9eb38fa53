"""Which module a derived public name comes from, without importing it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from formers.models.table import FAMILIES, OLDER_NAMES
from formers.tasks.table import AUTO


def find(name: str) -> tuple[str, str] | None:
    """Module and attribute behind a name such as `BertForMaskedLM`, `BertConfig` or `BertTokenizer`."""
    from formers.core import available
    from formers.tokenization.recipes import CLASSES

    if name in CLASSES:
        return "formers.tokenization", name
    if available.answers(name):
        return "formers.core.available", name
    if name in PLAIN_MAPS or auto_of_map(name) is not None:
        return "formers.mappings", name
    if "Output" in name and name in _named_outputs():
        return "formers.core.named_outputs", name
    name = OLDER_NAMES.get(name, name)
    if any(name.startswith(prefix) for _, prefix in FAMILIES.values()):
        return "formers.auto", name
    return None


PLAIN_MAPS = ("CONFIG_MAPPING", "CONFIG_MAPPING_NAMES", "TOKENIZER_MAPPING", "TOKENIZER_MAPPING_NAMES")


def auto_of_map(name: str) -> str | None:
    """The Auto class whose map is called `name` (`MODEL_FOR_MASKED_LM_MAPPING`); None where there is none."""
    end = next((end for end in ("_MAPPING_NAMES", "_MAPPING") if name.endswith(end)), None)
    if end is None or not name.startswith("MODEL_"):
        return None
    word = name.removesuffix(end).replace("_", "").replace("SEQTOSEQCAUSALLM", "SEQ2SEQLM")
    return next((one for one in ("AutoModel", *AUTO) if one.removeprefix("Auto").upper() == word), None)


def _named_outputs() -> Mapping[str, str]:
    from formers.core import named_outputs

    return named_outputs.FIELDS


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
    ("AutoModelForImageText", "this task of images is"),
    ("AutoModelForImageTo", "this task of images is"),
    ("AutoModelForObjectDetection", "this task of images is"),
    ("AutoModelForVision2Seq", "this task of images is"),
    ("AutoModelForSpeech", "models of audio are"),
    ("AutoModelForAudio", "models of audio are"),
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
    from formers.core import available
    from formers.tokenization.recipes import CLASSES

    yield from CLASSES
    yield from available.names()
    yield from _named_outputs()
    yield from PLAIN_MAPS
    for auto in ("AutoModel", *AUTO):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", auto.removeprefix("Auto")).upper()
        yield from (f"{name}_MAPPING", f"{name}_MAPPING_NAMES")
    yield from derived_names()
