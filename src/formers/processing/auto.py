"""Which processor reads a checkpoint's pictures or sounds, and the classes by name."""

from __future__ import annotations

import functools
from typing import Any

from formers.configs import PretrainedConfig
from formers.hub import split_hub_keywords
from formers.processing import post_processing
from formers.processing.anyres_tiles import PinnedImageProcessor
from formers.processing.aspect_ratio_tiles import FormImageProcessor
from formers.processing.audio.extractor import SequenceFeatureExtractor
from formers.processing.audio.recipes import CLASSES as SOUND_CLASSES
from formers.processing.audio.recipes import MODEL_TYPES as SOUND_MODEL_TYPES
from formers.processing.audio.recipes import RECIPES as SOUND_RECIPES
from formers.processing.crops_and_whole import CropsImageProcessor
from formers.processing.detection_inputs import ObjectImageProcessor
from formers.processing.dynamic_tiles import CanvasImageProcessor
from formers.processing.grid_video import FrameFilmProcessor, GridFilmProcessor
from formers.processing.grids import GridImageProcessor
from formers.processing.header_patches import HeadedImageProcessor
from formers.processing.image import BaseImageProcessor
from formers.processing.image_pairs import PairedImageProcessor
from formers.processing.page_images import PageImageProcessor
from formers.processing.pan_and_scan import ScannedImageProcessor
from formers.processing.patch_words import PatchWordsImageProcessor
from formers.processing.patches import PatchImageProcessor
from formers.processing.promptable_inputs import PointedImageProcessor, StretchedImageProcessor
from formers.processing.recipes import CLASSES, MODEL_TYPES, RECIPES
from formers.processing.reflect_padded import RingedImageProcessor
from formers.processing.segmentation_inputs import SegmentImageProcessor
from formers.processing.square_tiles import SquareImageProcessor
from formers.processing.square_video import SquareFilmProcessor
from formers.processing.task_segmentation_inputs import TaskedImageProcessor
from formers.processing.timm_inputs import TimmImageProcessor, is_timm
from formers.processing.video import FilmImageProcessor, FilmSettings
from formers.processing.video_mask_inputs import StretchedFilmProcessor
from formers.processing.video_recipes import FILM_CLASSES, FILM_RECIPES


class UnknownProcessor(ValueError):
    """A checkpoint names a processor of another kind, or one that is not part of this version."""


@functools.cache
def _class_of(family: str) -> type[BaseImageProcessor]:
    name = f"{family}ImageProcessor"
    says = f"Pictures for the models of the family {family}; see `BaseImageProcessor`."
    recipe = RECIPES[family]
    own: dict[str, Any] = {
        f"post_process_{what}": staticmethod(getattr(post_processing, how))
        for what, how in recipe.answers.items()
    }
    if recipe.sized:
        own["model_input_names"] = ["pixel_values", "image_sizes"]
    if recipe.masks and not recipe.tasked:
        own["model_input_names"] = ["pixel_values", "pixel_mask"]
    base = ObjectImageProcessor if recipe.objects else BaseImageProcessor
    base = SegmentImageProcessor if recipe.segments else base
    base = TaskedImageProcessor if recipe.tasked else base
    base = PatchImageProcessor if recipe.fit == "patches" else base
    base = GridImageProcessor if recipe.fit == "pixels" else base
    base = PageImageProcessor if "apply_ocr" in recipe.settings else base
    base = HeadedImageProcessor if "max_patches" in recipe.settings else base
    base = PatchWordsImageProcessor if "codebook_size" in recipe.settings else base
    base = FilmImageProcessor if recipe.films else base
    base = PairedImageProcessor if recipe.paired else base
    base = PointedImageProcessor if recipe.pointed else base
    base = StretchedImageProcessor if recipe.stretched else base
    base = RingedImageProcessor if recipe.ringed else base
    base = ScannedImageProcessor if recipe.scanned else base
    base = CanvasImageProcessor if recipe.canvas else base
    base = SquareImageProcessor if recipe.squares else base
    base = FormImageProcessor if recipe.forms else base
    base = PinnedImageProcessor if recipe.pinned else base
    base = TimmImageProcessor if "crop_mode" in recipe.settings else base
    base = CropsImageProcessor if recipe.crops else base
    return type(name, (base,), {"recipe": recipe, "__doc__": says, **own})


def named_class(name: str) -> type[BaseImageProcessor]:
    """The class behind `ViTImageProcessor`, `ViTImageProcessorFast`, `ViTFeatureExtractor`, ..."""
    return _class_of(CLASSES[name])


@functools.cache
def _extractor_of(family: str) -> type[SequenceFeatureExtractor]:
    name = f"{family}FeatureExtractor"
    says = f"Sounds for the models of the family {family}; see `SequenceFeatureExtractor`."
    recipe = SOUND_RECIPES[family]
    own = {"recipe": recipe, "model_input_names": list(recipe.inputs), "__doc__": says}
    return type(name, (SequenceFeatureExtractor,), own)


def named_extractor(name: str) -> type[SequenceFeatureExtractor]:
    """The class behind `WhisperFeatureExtractor`, ..."""
    return _extractor_of(SOUND_CLASSES[name])


@functools.cache
def named_films(name: str) -> type[FilmSettings]:
    """The class behind `Qwen2VLVideoProcessor`, ..."""
    family = FILM_CLASSES[name]
    recipe = FILM_RECIPES[family]
    base: type[FilmSettings] = (
        GridFilmProcessor if recipe.fit in ("pixels", "film pixels") else FrameFilmProcessor
    )
    base = StretchedFilmProcessor if recipe.stretched else base
    base = SquareFilmProcessor if recipe.squares else base
    says = f"Films for the models of the family {family}; see `{base.__name__}`."
    return type(name, (base,), {"recipe": recipe, "__doc__": says})


_own: dict[str, type[Any]] = {}


class AutoImageProcessor:
    """The image processor that a checkpoint names, or that its model type has."""

    def __init__(self) -> None:
        raise OSError("AutoImageProcessor is used through AutoImageProcessor.from_pretrained(name)")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the processor of a folder or Hub id; keywords as `BaseImageProcessor.from_pretrained`.

        Raises:
            OSError: when there is no preprocessor_config.json.
            UnknownProcessor: for a processor that is not part of this version; a ValueError.
        """
        options.pop("config", None)
        hub, _ = split_hub_keywords(dict(options))
        try:
            values, rest = BaseImageProcessor.get_image_processor_dict(
                pretrained_model_name_or_path, **options
            )
        except OSError:  # timm's checkpoints say in config.json how pictures are prepared
            if not is_timm(pretrained_model_name_or_path, hub):
                raise
            return named_class("TimmWrapperImageProcessor").from_pretrained(
                pretrained_model_name_or_path, **options
            )
        said = values.get("image_processor_type") or values.get("feature_extractor_type")
        model_type = None
        if said not in CLASSES or not said:
            model_type = PretrainedConfig.get_config_dict(pretrained_model_name_or_path, **hub)[0].get(
                "model_type"
            )
            if model_type in _own:
                return _own[model_type].from_dict(values, **rest)
        if said is None and model_type in MODEL_TYPES:
            return _class_of(MODEL_TYPES[model_type]).from_dict(values, **rest)
        if said not in CLASSES:
            raise UnknownProcessor(
                f"{pretrained_model_name_or_path} names {said or 'no image processor'} "
                f"(model type {model_type!r}), which is not part of this version; those that are: "
                f"{', '.join(f'{name}ImageProcessor' for name in RECIPES)}"
            )
        return named_class(said).from_dict(values, **rest)

    @staticmethod
    def register(
        config_class: type[PretrainedConfig],
        image_processor_class: Any = None,
        slow_image_processor_class: Any = None,
        fast_image_processor_class: Any = None,
        exist_ok: bool = False,
    ) -> None:
        """Make a processor class of one's own the answer for a config class.

        Raises:
            TypeError: for what has no `from_dict`.
            ValueError: when the config class has one already.
        """
        own = fast_image_processor_class or image_processor_class or slow_image_processor_class
        if not (isinstance(own, type) and hasattr(own, "from_dict")):
            raise TypeError(f"AutoImageProcessor.register takes a class with a from_dict, but got {own!r}")
        kind = config_class.model_type
        if (kind in _own or kind in MODEL_TYPES) and not exist_ok:
            raise ValueError(f"model type {kind!r} has an image processor already")
        _own[kind] = own


class AutoFeatureExtractor:
    """What prepares a checkpoint's sounds; under an older name, its pictures."""

    def __init__(self) -> None:
        raise OSError("AutoFeatureExtractor is used through AutoFeatureExtractor.from_pretrained(name)")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the extractor of a folder or Hub id; keywords as `SequenceFeatureExtractor.from_pretrained`.

        Raises:
            OSError: when there is no preprocessor_config.json.
            UnknownProcessor: for an extractor that is not part of this version; a ValueError.
        """
        name = pretrained_model_name_or_path
        config = options.pop("config", None)
        hub, _ = split_hub_keywords(dict(options))
        values, rest = SequenceFeatureExtractor.settings_of(name, **options)
        said = values.get("feature_extractor_type")
        kind = getattr(config, "model_type", None)
        if said not in SOUND_CLASSES and said not in CLASSES and kind is None:
            kind = PretrainedConfig.get_config_dict(name, **hub)[0].get("model_type")
        if kind in _own_sounds:
            return _own_sounds[kind].from_dict(values, **rest)
        if said in SOUND_CLASSES:
            return named_extractor(said).from_dict(values, **rest)
        if said is None and kind in SOUND_MODEL_TYPES:
            return _extractor_of(SOUND_MODEL_TYPES[kind]).from_dict(values, **rest)
        if said in CLASSES or kind in MODEL_TYPES or kind in _own or values.get("image_processor_type"):
            return AutoImageProcessor.from_pretrained(name, **options)
        raise UnknownProcessor(
            f"{name} names {said or 'no feature extractor'} (model type {kind!r}), which is not part of this "
            f"version; those that are: {', '.join(SOUND_CLASSES)}"
        )

    @staticmethod
    def register(
        config_class: type[PretrainedConfig], feature_extractor_class: Any, exist_ok: bool = False
    ) -> None:
        """Make an extractor class of one's own the answer for a config class.

        Raises:
            TypeError: for what has no `from_dict`.
            ValueError: when the config class has one already.
        """
        own = feature_extractor_class
        if not (isinstance(own, type) and hasattr(own, "from_dict")):
            raise TypeError(f"AutoFeatureExtractor.register takes a class with a from_dict, but got {own!r}")
        kind = config_class.model_type
        if (kind in _own_sounds or kind in SOUND_MODEL_TYPES) and not exist_ok:
            raise ValueError(f"model type {kind!r} has a feature extractor already")
        _own_sounds[kind] = own


_own_sounds: dict[str, type[Any]] = {}
