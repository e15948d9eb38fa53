"""Parts of processors that packages write: which there are, how they are loaded, and what they read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from formers.core.notices import refuse_unknown
from formers.processing.audio.recipes import CLASSES as SOUNDS
from formers.processing.auto import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    named_class,
    named_extractor,
    named_films,
)
from formers.processing.auto_video import AutoVideoProcessor
from formers.processing.recipes import CLASSES
from formers.processing.video_recipes import FILM_CLASSES

# name of a part -> what finds it, the classes that may be named for it, and how one is found
_KINDS: dict[str, tuple[Any, Mapping[str, Any], Any]] = {
    "image_processor": (AutoImageProcessor, CLASSES, named_class),
    "video_processor": (AutoVideoProcessor, FILM_CLASSES, named_films),
    "feature_extractor": (AutoFeatureExtractor, SOUNDS, named_extractor),
}
PARTS = ("tokenizer", *_KINDS)


def _parameters(cls: type[Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls.__init__).parameters


def own_parts(cls: type[Any]) -> tuple[str, ...]:
    """The parts that a class names as parameters of its own `__init__`, or by their classes; or none."""
    if "__init__" in cls.__dict__ and (found := tuple(name for name in _parameters(cls) if name in PARTS)):
        return found
    said = (name.removesuffix("_class") for name in cls.__dict__ if name.endswith("_class"))
    return tuple(name for name in said if name in PARTS)


def takes(cls: type[Any], name: str) -> bool:
    """Whether a class can be made with that keyword."""
    found = _parameters(cls)
    return name in found or any(one.kind is one.VAR_KEYWORD for one in found.values())


def own_settings(cls: type[Any]) -> list[str]:
    """Parameters of `__init__` that are no parts."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = [name for name, one in _parameters(cls).items() if one.kind not in kinds]
    return [name for name in found if name not in (*PARTS, "self", "chat_template")]


def loaded_parts(cls: Any, source: Any, hub: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """All parts of a class but its tokenizer, with the settings of `options` that each knows.

    Raises:
        TypeError: for a setting that none knows, and a part that nothing here finds.
        OSError: when the files of a part are missing.
    """
    strange = [name for name in cls.attributes if name not in PARTS]
    if strange:
        raise TypeError(
            f"{cls.__name__} has parts that are not found by themselves ({', '.join(strange)}): those that "
            f"are have the names {', '.join(PARTS)}; load the others in a from_pretrained of its own"
        )
    found, known = {}, set[str]()
    for name in cls.attributes:
        if name == "tokenizer":
            continue
        kind, classes, named = _KINDS[name]
        said = getattr(cls, f"{name}_class", None)
        part = (named(said) if said in classes else kind).from_pretrained(source, **hub)
        own = {key: options[key] for key in [*options] if key in part.known_settings()}
        found[name] = type(part).from_dict(part.to_dict(), **own) if own else part
        known |= part.known_settings()
    refuse_unknown(options, known, f"{cls.__name__}.from_pretrained")
    return found


def read_beside(self: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What `videos` and `audio` become; they and the keywords of their parts are taken out of `options`.

    Raises:
        TypeError: where there is no such part.
    """
    found: dict[str, Any] = {}
    both = {name: options[name] for name in ("return_tensors",) if name in options}
    for word, name, call in (
        ("videos", "video_processor", ("video_metadata", "num_frames", "fps", "do_sample_frames")),
        ("audio", "feature_extractor", ("sampling_rate",)),
    ):
        given = options.pop(word, None)
        if given is None:
            continue
        if name not in self.attributes:
            raise TypeError(f"{type(self).__name__} has no {name}, so it reads no {word}")
        part, own = getattr(self, name), dict(options.pop(f"{word}_kwargs", None) or {})
        known = {*call, *(part.known_settings() if "image_processor" not in self.attributes else ())}
        own = {**{key: options.pop(key) for key in [*options] if key in known}, **own}
        found |= part(given, **both, **own)
    return found
