"""Pictures for networks of the timm package, as its `pretrained_cfg` says; timm itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from formers.configs.base import CONFIG_NAME, TIMM_KEY, PretrainedConfig
from formers.core.extras import need
from formers.core.notices import notice, refuse_unknown
from formers.hub import split_hub_keywords
from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor
from formers.processing.recipe import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from formers.processing.sizes import SizeDict, by_size

_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_MODES = ("center", "squash", "border")
_DEFAULTS: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "mean": tuple(IMAGENET_DEFAULT_MEAN),
    "std": tuple(IMAGENET_DEFAULT_STD),
    "crop_pct": 0.875,
    "crop_mode": "center",
}


def is_timm(name: Any, hub: Mapping[str, Any]) -> bool:
    """Whether the config.json of a checkpoint is timm's; not where there is none."""
    try:
        return TIMM_KEY in PretrainedConfig.get_config_dict(name, **hub)[0]
    except OSError:
        return False


class TimmImageProcessor(BaseImageProcessor):
    """Pictures resized, cut and scaled as timm's transforms for evaluation do it.

    Args:
        pretrained_cfg: timm's own record: `input_size`, `interpolation`, `mean`, `std`, `crop_pct` and
            `crop_mode`; what is left out is timm's default.
        architecture: name of the network.
        **settings: those that differ, by the names of `preprocessor_config.json`.

    Raises:
        ValueError: for a filter or a way of cutting that is not known.
    """

    def __init__(
        self,
        pretrained_cfg: Mapping[str, Any] | None = None,
        architecture: str | None = None,
        **settings: Any,
    ) -> None:
        refuse_unknown(settings, self.known_settings(), type(self).__name__)
        given = pretrained_cfg or {}
        said = {name: given.get(name) or default for name, default in _DEFAULTS.items()}
        self._check(said)
        height, width = said["input_size"][-2:]
        room = {"height": int(height), "width": int(width)}
        own = {
            **{"size": room, "crop_size": dict(room), "resample": _FILTERS[said["interpolation"]]},
            **{"image_mean": list(said["mean"]), "image_std": list(said["std"])},
            **{"crop_pct": said["crop_pct"], "crop_mode": said["crop_mode"]},
        }
        super().__init__(**{**own, **settings})
        self.architecture = architecture
        self.data_config = {
            name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
        }

    @staticmethod
    def _check(said: Mapping[str, Any]) -> None:
        for name, known in (("interpolation", tuple(_FILTERS)), ("crop_mode", _MODES)):
            if said[name] not in known:
                raise ValueError(f"pretrained_cfg: {name}={said[name]!r} is not known: it is one of {known}")
        if len(said["input_size"]) != 3 or said["input_size"][0] not in (1, 3):
            raise ValueError(
                f"pretrained_cfg: input_size is (channels, height, width) of 1 or 3 channels, not "
                f"{said['input_size']!r}"
            )

    # -- files -------------------------------------------------------------------------------------

    @classmethod
    def settings_of(cls, name: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """What config.json of a checkpoint says, and the keywords that are not the Hub's.

        Raises:
            OSError: when there is no such file, or it is not timm's.
        """
        hub, rest = split_hub_keywords(options)
        found, _ = PretrainedConfig.get_config_dict(name, **hub)
        if TIMM_KEY not in found:
            raise OSError(f"{name}: {CONFIG_NAME} has no {TIMM_KEY!r}, so it is no checkpoint of timm's")
        return {key: found.get(key) for key in (TIMM_KEY, "architecture")}, rest

    def written(self, folder: Any) -> list[str]:
        """Nothing: the model's config.json has it all."""
        notice(
            "pictures of timm's networks are prepared as config.json says, which the model's save_pretrained "
            "writes: the processor has no file of its own"
        )
        return []

    def to_dict(self) -> dict[str, Any]:
        """The settings in timm's names, and the name of the class."""
        return {
            "image_processor_type": type(self).__name__,
            "architecture": self.architecture,
            "data_config": self.data_config,
        }

    # -- timm's own transforms ---------------------------------------------------------------------

    @property
    def val_transforms(self) -> Any:
        """Timm's transforms for evaluation; they need timm and torchvision."""
        return self._transforms(False)

    @property
    def train_transforms(self) -> Any:
        """Timm's augmentation for training, likewise."""
        return self._transforms(True)

    def _transforms(self, training: bool) -> Any:
        need("torchvision", "timm", "timm's own transforms")
        data = need("timm.data", "timm", "timm's own transforms")
        return data.create_transform(**self.data_config, is_training=training)

    # -- calls -------------------------------------------------------------------------------------

    def preprocess(
        self, images: Any, segmentation_maps: Any = None, return_tensors: Any = "pt", **options: Any
    ) -> BatchFeature:
        """Prepare pictures; see `BaseImageProcessor.preprocess`. Tensors are what is returned by default."""
        return super().preprocess(images, segmentation_maps, return_tensors=return_tensors, **options)

    def _sized(self, image: Any, now: dict[str, Any], name: str) -> Any:
        """One picture as an array [H, W, C], as `crop_mode` says."""
        grey = len(now["image_mean"]) == 1
        image = (
            image if isinstance(image, np.ndarray) else image.convert("L") if grey else steps.to_rgb(image)
        )
        if isinstance(image, np.ndarray) and not grey:
            image = steps.to_rgb(image)
        if now["do_resize"]:
            before = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
            size = _resized_to(before[0], before[1], now["size"], now["crop_pct"], now["crop_mode"])
            image = steps.resized(image, *size, int(now["resample"]), name)
        elif not isinstance(image, np.ndarray):
            image = steps.pixels(image)
        if not now["do_center_crop"]:
            return image
        fill = [round(255 * one) for one in now["image_mean"]] if now["crop_mode"] == "border" else 0
        return _cut(image, now["crop_size"]["height"], now["crop_size"]["width"], fill)


def _resized_to(height: int, width: int, size: SizeDict, share: float, mode: str) -> tuple[int, int]:
    """(height, width) of a picture before it is cut to a `share` of itself."""
    down, across = int(size["height"] / share), int(size["width"] / share)
    if mode == "squash":
        return down, across
    if mode == "center" and down == across:
        return by_size(height, width, SizeDict(shortest_edge=down))
    ratio = (max if mode == "border" else min)(height / down, width / across)
    return round(height / ratio), round(width / ratio)


def _cut(image: Any, height: int, width: int, fill: Any) -> Any:
    """The middle of a picture, half a pixel to even places; one that is smaller stands on `fill`."""
    down, across = image.shape[:2]
    if down < height or across < width:
        room = np.empty((max(height, down), max(width, across), image.shape[2]), image.dtype)
        room[:] = fill
        top, left = max(0, height - down) // 2, max(0, width - across) // 2
        room[top : top + down, left : left + across] = image
        image, (down, across) = room, room.shape[:2]
    top, left = round((down - height) / 2), round((across - width) / 2)
    return image[top : top + height, left : left + width]
