"""An image processor: the settings of a checkpoint, and the steps that they stand for."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from formers.core.notices import notice, refuse_unknown
from formers.processing import steps, transforms
from formers.processing.features import BatchFeature
from formers.processing.keywords import ImagesKwargs
from formers.processing.reading import as_pillow_or_array, channels_last, is_picture, listed, load_image
from formers.processing.recipe import BICUBIC, BILINEAR, NEAREST, Recipe
from formers.processing.saving import Settings
from formers.processing.sizes import SizeDict, by_size, fitted, get_size_dict, size_of

# Settings that any processor knows, beside those of its recipe.
_COMMON = (
    *("do_convert_rgb", "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale"),
    *("rescale_factor", "do_normalize", "image_mean", "image_std", "do_pad", "pad_size", "size_divisor"),
)
OF_A_CALL = ("return_tensors", "data_format", "input_data_format", "device", "return_mask", "timeout")
_WITHOUT_EFFECT = ("disable_grouping", "use_fast", "backend", "trust_remote_code", "default_to_square")
# Names that files of older versions have.
_OLDER = {
    "reduce_labels": "do_reduce_labels",
    "size_divisibility": "size_divisor",
    "pad_and_return_pixel_mask": "do_pad",
    "rescale": "do_rescale",
}
# (height, width) of a picture as it came, as it was resized, and of the room that it is padded to
Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
_SIZES = (
    *("size", "crop_size", "pad_size", "mask_size", "mask_pad_size", "codebook_size", "codebook_crop_size"),
)
_NOT_KEPT = ("feature_extractor_type", "image_processor_type", "processor_class", "_valid_processor_keys")


class ImageProcessingMixin(Settings):
    """What is saved as `preprocessor_config.json`, of pictures."""

    part = "image_processor"

    @classmethod
    def get_image_processor_dict(cls, name: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `settings_of`."""
        return cls.settings_of(name, **options)

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Pictures of paths and addresses, in the same nest; pictures stay."""
        if isinstance(image_url_or_urls, (list, tuple)):
            return [self.fetch_images(one) for one in image_url_or_urls]
        return image_url_or_urls if is_picture(image_url_or_urls) else load_image(image_url_or_urls)


class BaseImageProcessor(ImageProcessingMixin):
    """Pictures to the arrays that a model reads.

    Its settings are attributes, by the names of `preprocessor_config.json`; each can be given for one call
    too. Unknown ones of a file are kept, and written back. A class of one's own may say what a call does, in
    `preprocess`, and has `rescale`, `normalize` and `center_crop` for it.

    Args:
        **settings: those that differ from the family's.

    Raises:
        ValueError: for a size that says nothing.
    """

    recipe: ClassVar[Recipe] = Recipe()
    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(self, **settings: Any) -> None:
        for name in (*_NOT_KEPT, *_WITHOUT_EFFECT[:-1]):
            settings.pop(name, None)
        settings = {_OLDER.get(name, name): value for name, value in settings.items()}
        if self.recipe.mirrored and settings.get("pad_size") is not None:  # as older files call it
            settings = {"size_divisor": settings.pop("pad_size"), **settings}
        longest, square = settings.pop("max_size", None), settings.pop("default_to_square", None)
        values = dict.fromkeys(_COMMON) | copy.deepcopy(dict(self.recipe.settings)) | settings
        square = self.recipe.square if square is None else bool(square)
        values = _with_sizes(values, square, self.recipe.framed)
        if longest is not None and values["size"] is not None and "shortest_edge" in values["size"]:
            values["size"]["longest_edge"] = int(longest)
        super().__init__(**values)

    @property
    def is_fast(self) -> bool:
        """Whether batches of equal work run as one array operation: they do."""
        return True

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names of settings, today's and older ones."""
        return {*_COMMON, *_OLDER, *_WITHOUT_EFFECT, *cls.recipe.settings, "max_size"}

    def _none_is_written(self, name: str) -> bool:
        return self.recipe.settings.get(name) is not None

    # -- calls -------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **options: Any) -> BatchFeature:
        """Prepare pictures; see `preprocess`."""
        return self.preprocess(*args, **options)

    def preprocess(self, images: Any, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare pictures.

        Args:
            images: one picture or a (nested) list: Pillow images, arrays or tensors ([H, W], [C, H, W] or
                [H, W, C], or several in one), paths, addresses, bytes, base64.
            segmentation_maps: for each the labels of its pixels, [H, W]; where the family takes them.
            **options: settings for this call, and `return_tensors` ("pt", "np"; None for a list of arrays),
                `data_format` and `input_data_format` ("channels_first", "channels_last"), `return_mask` (of
                padding), `device` for the tensors, `timeout` of addresses in seconds.

        Returns:
            `pixel_values`, float32 [B, C, H, W]; `labels`, int64 [B, H, W], for maps; `pixel_mask` where it
            is asked for.

        Raises:
            BadPicture: names the picture that cannot be read.
            TypeError: for an unknown keyword.
            ValueError: for pictures of different sizes where tensors are asked for.
        """
        return self._prepared(images, segmentation_maps, options)

    def rescale(self, image: Any, scale: float, **options: Any) -> Any:
        """See `transforms.rescale`."""
        return transforms.rescale(image, scale, **options)

    def normalize(self, image: Any, mean: Any, std: Any, **options: Any) -> Any:
        """See `transforms.normalize`."""
        return transforms.normalize(image, mean, std, **options)

    def center_crop(self, image: Any, size: Any, **options: Any) -> Any:
        """See `transforms.center_crop`; `size` is a dictionary, or what makes one.

        Raises:
            ValueError: for a size without height and width.
        """
        edges = get_size_dict(size)
        if set(edges) != {"height", "width"}:
            raise ValueError(f"size must say height and width, not {', '.join(edges)}")
        return transforms.center_crop(image, (edges["height"], edges["width"]), **options)

    def _prepared(self, images: Any, beside: Any, options: dict[str, Any]) -> BatchFeature:
        known = (*self._names, *_COMMON, *OF_A_CALL, *_WITHOUT_EFFECT)
        refuse_unknown(options, known, type(self).__name__)
        call = {name: options.pop(name, None) for name in OF_A_CALL}
        square = options.pop("default_to_square", None)
        given = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
        now = {name: getattr(self, name, None) for name in self._names}
        square = self.recipe.square if square is None else square
        now = _with_sizes({**now, **given}, square, self.recipe.framed)
        found, sizes = self._pixel_values(images, now, call)
        found |= self._beside(sizes)
        if beside is not None:
            found["labels"] = self._labels(beside, now, sizes)
        made = self._made(found, call["return_tensors"])
        return made if call["device"] is None else made.to(call["device"])

    def _made(self, found: dict[str, Any], tensors: Any) -> BatchFeature:
        """What is returned: `found`, as such tensors."""
        return BatchFeature(found, tensors)

    def _beside(self, sizes: list[Sizes]) -> dict[str, Any]:
        """What goes along with the pictures of those sizes."""
        return {"image_sizes": [part for _, part, _ in sizes]} if self.recipe.sized else {}

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        pictures = listed(images)
        if not pictures:
            raise ValueError("no picture was given")
        count, arrays, before = len(pictures), [], []
        for place, one in enumerate(pictures):
            image = as_pillow_or_array(one, place, count, call["timeout"])
            if isinstance(image, np.ndarray):
                image = channels_last(image, call["input_data_format"])
                _notice_scaled(image, now)
            name = f"picture {place} of {count}" if count > 1 else "the picture"
            before.append(_edges(image))
            arrays.append(self._sized(image, now, name))
        found = _in_groups(arrays, lambda batch: _standardised(batch, now))
        if now.get("do_grayscale"):
            found = [steps.grey(one) for one in found]
        if now.get("do_flip_channel_order") or self.recipe.blue_first:
            found = [one[::-1] for one in found]
        made: dict[str, Any] = {"pixel_values": found}
        padded = self.recipe.framed or self.recipe.ringed or self.recipe.fit == "blurred square"
        pads = (now["do_pad"] or self.recipe.segments) and not padded
        if pads and now["size_divisor"] and not self.recipe.masks:
            pad = steps.mirrored_to_multiple if self.recipe.mirrored else steps.padded_to_multiple
            found = [pad(one, now["size_divisor"]) for one in found]
        elif pads:
            height, width = np.max([one.shape[1:] for one in found], axis=0)
            if now["pad_size"] is not None:
                height, width = now["pad_size"]["height"], now["pad_size"]["width"]
            stacked, mask = steps.padded(found, int(height), int(width))
            found = list(stacked)
            if call["return_mask"] or self.recipe.masks:
                made["pixel_mask"] = list(mask)
        sizes = [
            (whole, part.shape[:2], room.shape[1:])
            for whole, part, room in zip(before, arrays, found, strict=True)
        ]
        if getattr(call["data_format"], "value", call["data_format"]) in ("channels_last", "last"):
            found = [np.moveaxis(one, 0, -1) for one in found]
        whole = call["return_tensors"] is not None and len({one.shape for one in found}) == 1
        made["pixel_values"] = _as_one(found) if whole else found
        return made, sizes

    def _sized(self, image: Any, now: dict[str, Any], name: str) -> Any:
        """One picture as an array [H, W, C] of the size that the model reads."""
        if now["do_convert_rgb"] or (now["do_convert_rgb"] is None and _wants_rgb(image, now)):
            image = steps.to_rgb(image)
        square = self.recipe.fit == "blurred square"
        if self.recipe.framed:
            image = self._framed(image, now, name)
        elif self.recipe.ringed:
            image = self._ringed(image, now)
        elif now["do_resize"] and not square:
            image = self._resized(image, now, now["resample"], name)
        elif not isinstance(image, np.ndarray):
            image = steps.pixels(image)
        if square:
            image = steps.squared(image) if now["do_pad"] else image
            image = steps.blurred(image, *by_size(*_edges(image), now["size"])) if now["do_resize"] else image
        if now["do_center_crop"]:
            size = now["crop_size"]
            edge = None if size is None else size.shortest_edge  # of a square
            if size is None or (size.height is None and edge is None):
                raise ValueError(f"do_center_crop needs a crop_size with height and width, not {size}")
            image = steps.cut(image, int(size.height or edge or 0), int(size.width or edge or 0))
        return image

    def _framed(self, image: Any, now: dict[str, Any], name: str) -> Any:
        """A picture turned as its room is, resized, made to fit into it, and put in the middle of it."""
        size: SizeDict = now["size"]
        if size is None or size.height is None:
            raise ValueError(f"size must say height and width, not {size}")
        wide, tall = size["width"] > size["height"], size["width"] < size["height"]
        if now.get("do_crop_margin"):
            image = steps.without_margins(image)
        height, width = _edges(image)
        if now["do_align_long_axis"] and ((tall and width > height) or (wide and width < height)):
            image = np.rot90(image if isinstance(image, np.ndarray) else steps.pixels(image), 3)
        if now["do_resize"]:
            image = self._resized(image, now, now["resample"], name)
        elif not isinstance(image, np.ndarray):
            image = steps.pixels(image)
        if now["do_thumbnail"]:
            how = now["resample"] or BICUBIC if self.recipe.thumbnail is None else self.recipe.thumbnail
            image = steps.thumbnail(image, size["height"], size["width"], how, name)
        return steps.in_the_middle(image, size["height"], size["width"]) if now["do_pad"] else image

    def _resized(self, image: Any, now: dict[str, Any], resample: Any, name: str) -> Any:
        height, width = _edges(image)
        if now["size"] is None and self.recipe.fit not in ("floor", "patches"):
            raise ValueError("do_resize needs a size")
        (down, across), middle = fitted(self.recipe.fit, height, width, now["size"] or SizeDict(), now)
        found = steps.resized(image, down, across, BILINEAR if resample is None else int(resample), name)
        return found if middle is None else steps.cut(found, *middle)

    def _ringed(self, image: Any, now: dict[str, Any]) -> Any:
        array = image if isinstance(image, np.ndarray) else steps.pixels(image)
        if now["do_pad"]:
            array = steps.mirrored_around(array, *map(steps.ring, array.shape[:2]))
        if not now["do_resize"]:
            return array
        high, wide = array.shape[:2]
        size, _ = fitted(self.recipe.fit, high, wide, now["size"], now)
        return steps.stretched(array, *size, BILINEAR if now["resample"] is None else int(now["resample"]))

    def _labels(self, maps: Any, now: dict[str, Any], sizes: list[Sizes]) -> list[Any]:
        """Maps of labels, resized and cut as their pictures are: int64 [H, W]."""
        if not self.recipe.maps:
            raise TypeError(f"{type(self).__name__} takes no segmentation_maps")
        as_they_are = {**now, "do_convert_rgb": False, "resample": NEAREST}  # no label lies between two
        found = []
        pictures = listed(maps, 2)
        for place, one in enumerate(pictures):
            image = as_pillow_or_array(one, place, len(pictures))
            if not isinstance(image, np.ndarray):
                image = np.asarray(image)
            if image.ndim != 2:
                raise ValueError(f"a segmentation map is [height, width], not {list(image.shape)}")
            if now.get("do_reduce_labels"):
                image = steps.reduced(image)
            sized = self._sized(image[..., None], as_they_are, f"map {place}")
            found.append(sized[..., 0].astype(np.int64))
        return found


class BaseImageProcessorFast(BaseImageProcessor):
    """A base of classes whose attributes are the settings that they start from.

        class Own(BaseImageProcessorFast):
            size = {"height": 224, "width": 224}
            do_resize = do_rescale = do_normalize = True
            image_mean, image_std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    Settings of one's own are annotations of `valid_kwargs`.

    Raises:
        TypeError: for a class with hooks that are not part of this version.
    """

    valid_kwargs: ClassVar[Any] = ImagesKwargs

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("_preprocess", "_preprocess_image_like_inputs", "process_image"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__}.{name} would not be called: the steps run on arrays of many pictures at "
                    "once. Say what a call does in preprocess"
                )
        names = {*_COMMON, *cls.valid_kwargs.__annotations__} - {*OF_A_CALL, *_WITHOUT_EFFECT}
        said = {name: getattr(cls, name) for name in sorted(names) if hasattr(cls, name)}
        own = dict.fromkeys(sorted(names - {*_COMMON})) | said
        cls.recipe = Recipe(
            {"rescale_factor": 1 / 255, **own}, square=getattr(cls, "default_to_square", True)
        )


def _with_sizes(values: dict[str, Any], square: bool, turned: bool = False) -> dict[str, Any]:
    if turned and isinstance(values["size"], (list, tuple)):
        values["size"] = values["size"][::-1]
    for name in _SIZES:
        if values.get(name) is not None:
            values[name] = size_of(values[name], name, square or name != "size")
    return values


def _edges(image: Any) -> tuple[int, int]:
    """(height, width) of a Pillow image or an array [H, W, C]."""
    return image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)


def _wants_rgb(image: Any, now: dict[str, Any]) -> bool:
    """Whether a picture that nobody said anything about has to become RGB to be read."""
    mean = now["image_mean"] if now["do_normalize"] else None
    wanted = len(mean) if isinstance(mean, (list, tuple)) else 3
    if isinstance(image, np.ndarray):
        return wanted == 3 and image.shape[-1] == 4
    return wanted == 3 and image.mode != "RGB"


def _notice_scaled(image: Any, now: dict[str, Any]) -> None:
    """Say it where a picture was scaled before it came: what steps make of dark ones would look like that."""
    if not now["do_rescale"] or now["rescale_factor"] >= 1 or not isinstance(image, np.ndarray):
        return
    if image.size and image.dtype.kind == "f" and 0 <= image.min() <= image.max() <= 1:
        notice("these pictures hold values from 0 to 1 and are scaled once more: pass do_rescale=False")


def _standardised(batch: Any, now: dict[str, Any]) -> Any:
    factor = now["rescale_factor"] if now["do_rescale"] else None
    mean, std = (now["image_mean"], now["image_std"]) if now["do_normalize"] else (None, None)
    if now["do_normalize"] and (mean is None or std is None):
        raise ValueError("do_normalize needs image_mean and image_std")
    offset = -1.0 if factor is not None and (now.get("rescale_offset") or now.get("offset")) else 0.0
    twice = bool(now.get("include_top"))
    return steps.standardised(batch, factor, offset, mean, std or now["image_std"], twice)


def _in_groups(arrays: list[Any], work: Any) -> list[Any]:
    """`work` on all arrays of one shape and dtype at once; the results in the order of the arrays."""
    groups: dict[Any, list[int]] = {}
    for place, one in enumerate(arrays):
        groups.setdefault((one.shape, one.dtype), []).append(place)
    found: list[Any] = [None] * len(arrays)
    for places in groups.values():
        batch = arrays[places[0]][None] if len(places) == 1 else np.stack([arrays[place] for place in places])
        for place, row in zip(places, work(batch), strict=True):
            found[place] = row
    return found


def _as_one(rows: list[Any]) -> Any:
    """Rows of one array as that array, where they are all of it in their order; else a new one."""
    whole = rows[0].base
    if whole is not None and whole.shape == (len(rows), *rows[0].shape):
        starts = [row.__array_interface__["data"][0] for row in rows]
        first = whole.__array_interface__["data"][0]
        if starts == [first + place * whole.strides[0] for place in range(len(rows))]:
            return whole
    return np.stack(rows)
