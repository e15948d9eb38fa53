"""Pictures and sounds to arrays. Importing this package imports neither NumPy nor what reads files."""

from __future__ import annotations

import importlib
from typing import Any

from formers.processing.audio.recipes import CLASSES as SOUNDS
from formers.processing.pairs import CLASSES as PAIRS
from formers.processing.recipes import CLASSES, MODEL_TYPES
from formers.processing.video_recipes import FILM_CLASSES

# module -> the public names that it defines
TABLE: dict[str, tuple[str, ...]] = {
    "audio.extractor": ("FeatureExtractionMixin", "SequenceFeatureExtractor"),
    "audio.live": (
        *("chunk_bytes_iter", "ffmpeg_microphone", "ffmpeg_microphone_live", "ffmpeg_read", "live_chunks"),
    ),
    "audio.reading": ("BadSound", "load_audio"),
    "audio.spectra": (
        *("amplitude_to_db", "hertz_to_mel", "mel_filter_bank", "mel_to_hertz", "optimal_fft_length"),
        *("power_to_db", "spectrogram", "spectrogram_batch", "window_function"),
    ),
    "auto": ("AutoFeatureExtractor", "AutoImageProcessor", "named_class", "named_extractor"),
    "auto_video": ("AutoVideoProcessor",),
    "features": ("BatchFeature",),
    "grouping": ("group_images_by_shape", "reorder_images"),
    "image": ("BaseImageProcessor", "BaseImageProcessorFast", "ImageProcessingMixin"),
    "image_text": ("ProcessorMixin",),
    "keywords": ("AudioKwargs", "ImagesKwargs", "ProcessingKwargs", "TextKwargs", "VideosKwargs"),
    "kinds": (
        *("AnnotationFormat", "ChannelDimension", "ImageType", "VideoInput", "get_channel_dimension_axis"),
        *("get_image_size", "get_image_type", "get_max_height_width", "infer_channel_dimension_format"),
        *("is_batched", "is_pil_image", "is_scaled_image", "is_valid_image", "load_images"),
        *("make_flat_list_of_images", "make_list_of_images", "make_nested_list_of_images"),
        *("to_channel_dimension_format", "to_numpy_array", "valid_images"),
    ),
    "reading": ("BadPicture", "ImageInput", "load_image"),
    "recipes": (
        *("IMAGENET_DEFAULT_MEAN", "IMAGENET_DEFAULT_STD", "IMAGENET_STANDARD_MEAN", "IMAGENET_STANDARD_STD"),
        *("OPENAI_CLIP_MEAN", "OPENAI_CLIP_STD", "PILImageResampling"),
    ),
    "sizes": ("SizeDict", "VALID_SIZE_DICT_KEYS", "get_size_dict", "is_valid_size_dict"),
    "transforms": (
        *("PaddingMode", "center_crop", "convert_to_rgb", "flip_channel_order"),
        *("get_resize_output_image_size", "normalize", "pad", "rescale", "resize", "to_pil_image"),
    ),
}
_MODULE_OF = {name: module for module, names in TABLE.items() for name in names}

__all__ = ["CLASSES", "MODEL_TYPES", *_MODULE_OF, *CLASSES, *FILM_CLASSES, *SOUNDS, *PAIRS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in CLASSES:
        value: Any = importlib.import_module("formers.processing.auto").named_class(name)
    elif name in FILM_CLASSES:
        value = importlib.import_module("formers.processing.auto").named_films(name)
    elif name in SOUNDS:
        value = importlib.import_module("formers.processing.auto").named_extractor(name)
    elif name in PAIRS:
        value = importlib.import_module("formers.processing.processor_classes").named_pair(name)
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"formers.processing.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'formers.processing' has no attribute {name!r}")
    globals()[name] = value
    return value
