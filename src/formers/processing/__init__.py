"""Pictures to arrays, on Pillow and NumPy. Importing this package imports neither."""

from __future__ import annotations

import importlib
from typing import Any

from formers.processing.pairs import CLASSES as PAIRS
from formers.processing.recipes import CLASSES, MODEL_TYPES

# module -> the public names that it defines
TABLE: dict[str, tuple[str, ...]] = {
    "auto": ("AutoFeatureExtractor", "AutoImageProcessor", "named_class"),
    "features": ("BatchFeature",),
    "image": ("BaseImageProcessor",),
    "joined": ("ProcessorMixin",),
    "reading": ("BadPicture", "ImageInput", "load_image"),
    "recipes": (
        *("IMAGENET_DEFAULT_MEAN", "IMAGENET_DEFAULT_STD", "IMAGENET_STANDARD_MEAN", "IMAGENET_STANDARD_STD"),
        *("OPENAI_CLIP_MEAN", "OPENAI_CLIP_STD", "PILImageResampling"),
    ),
    "sizes": ("SizeDict",),
}
_MODULE_OF = {name: module for module, names in TABLE.items() for name in names}

__all__ = ["CLASSES", "MODEL_TYPES", *_MODULE_OF, *CLASSES, *PAIRS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in CLASSES:
        value: Any = importlib.import_module("formers.processing.auto").named_class(name)
    elif name in PAIRS:
        value = importlib.import_module("formers.processing.joined").named_pair(name)
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"formers.processing.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'formers.processing' has no attribute {name!r}")
    globals()[name] = value
    return value
