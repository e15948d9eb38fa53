"""Films, and what is pointed at in their frames, for models that follow objects through films."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.processing.features import BatchFeature
from formers.processing.grid_video import every_film, facts_of
from formers.processing.nested import NestedPrompts
from formers.processing.promptable_inputs import StretchedImageProcessor
from formers.processing.sessions import FilmSession
from formers.processing.video import FilmSettings, read_film

_CORNERS = (2, 3)  # labels of a box's corners, which are points too


class StretchedFilmProcessor(FilmSettings, StretchedImageProcessor):
    """Films whose frames fill what a model reads, whatever their form."""

    model_input_names: ClassVar[list[str]] = ["pixel_values_videos", "original_sizes", "reshaped_input_sizes"]

    def __call__(self, videos: Any = None, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare films.

        Args:
            videos: a film or a list of them: a path, an address, bytes, a list of frames, or an array or
                tensor [T, H, W, C] or [T, C, H, W].
            segmentation_maps: none are taken.
            **options: settings for this call, `device`, and `return_tensors`.

        Returns:
            `pixel_values_videos`, float32 [films, T, C, height, width] (a list where films are not equally
            long), and (height, width) of their frames as they came, `original_sizes`, and as they are read,
            `reshaped_input_sizes`.

        Raises:
            BadPicture: when a film cannot be read.
            TypeError: for an unknown keyword, and without films.
            ValueError: for a film without frames.
        """
        if videos is None:
            raise TypeError(f"{type(self).__name__} needs films: paths, or lists of frames")
        tensors, device = options.pop("return_tensors", None), options.pop("device", None)
        films, before, sizes = [], [], []
        for film in every_film(videos):
            count = facts_of(film, {}).count
            if not count:
                raise ValueError("a film has no frames")
            read = self._prepared(
                read_film(film, range(count)), segmentation_maps, {**options, "return_tensors": "np"}
            )
            films.append(read["pixel_values"])
            before.append(read["original_sizes"][0])
            sizes.append(read["pixel_values"].shape[2:])
        even = len({film.shape for film in films}) == 1
        made = {
            "original_sizes": np.array(before),
            "reshaped_input_sizes": np.array(sizes),
            "pixel_values_videos": np.stack(films) if even else films,
        }
        found = BatchFeature(made, tensors)
        return found if device is None else found.to(device)

    preprocess = __call__  # type: ignore[assignment]  # likewise


class FollowingPrompts(NestedPrompts):
    """As `NestedPrompts`, with what is pointed at in frames of films.

    Args:
        image_processor: a `StretchedImageProcessor`.
        video_processor: a `StretchedFilmProcessor`.
        target_size, point_pad_value: see `NestedPrompts`.
    """

    attributes: ClassVar[tuple[str, ...]] = ("image_processor", "video_processor")
    video_processor: Any

    def __init__(
        self, image_processor: Any = None, video_processor: Any = None, *args: Any, **named: Any
    ) -> None:
        super().__init__(image_processor, *args, video_processor=video_processor, **named)

    def init_video_session(
        self,
        video: Any = None,
        inference_device: Any = "cpu",
        inference_state_device: Any = None,
        processing_device: Any = None,
        video_storage_device: Any = None,
        max_vision_features_cache_size: int = 1,
        dtype: Any = "float32",
    ) -> FilmSession:
        """What holds a film while objects are followed through it.

        Args:
            video: a film, see `StretchedFilmProcessor`; None where frames come one by one.
            inference_device: where the model is.
            inference_state_device: where what was found is kept; there too, unless said.
            processing_device: where frames lie when they were prepared; likewise.
            video_storage_device: where they are kept; likewise.
            max_vision_features_cache_size: of how many frames the model's maps are held.
            dtype: of frames and memories.

        Raises:
            BadPicture: when the film cannot be read.
            ValueError: for several films.
        """
        here: dict[str, Any] = {"inference_device": inference_device}
        for name, said in (
            ("inference_state_device", inference_state_device),
            ("video_storage_device", video_storage_device),
        ):
            here[name] = inference_device if said is None else said
        if video is not None:
            device = inference_device if processing_device is None else processing_device
            read = self.video_processor(video, device=device, return_tensors="pt")
            if (count := len(read["pixel_values_videos"])) != 1:
                raise ValueError(f"a session is of one film, not of {count}: make one for each")
            high, wide = (int(side) for side in read["original_sizes"][0])
            here |= {"video": read["pixel_values_videos"][0], "video_height": high, "video_width": wide}
        return FilmSession(**here, dtype=dtype, max_vision_features_cache_size=max_vision_features_cache_size)

    def add_inputs_to_inference_session(
        self,
        inference_session: FilmSession,
        frame_idx: int,
        obj_ids: Any,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        input_masks: Any = None,
        original_size: Any = None,
        clear_old_inputs: bool = True,
    ) -> None:
        """Say what is meant in a frame: points with labels, boxes, both, or masks.

        Args:
            inference_session: what `init_video_session` made; changed in place.
            frame_idx: the frame's number.
            obj_ids: the object's id, or those of several, in the order of prompts.
            input_points: [[[(across, down), ..], ..]], points of every object, in pixels of the film.
            input_labels: [[[1 or 0, ..], ..]], likewise.
            input_boxes: [[(left, top, right, bottom), ..]], a box of every object.
            input_masks: a mask [height, width] of every object.
            original_size: (height, width) of frames that come one by one.
            clear_old_inputs: points that were said before of these objects in this frame are forgotten.

        Raises:
            ValueError: for prompts that do not fit each other, or the objects.
        """
        ids = list(obj_ids) if isinstance(obj_ids, (list, tuple)) else [obj_ids]
        if (input_points is None) != (input_labels is None):
            raise ValueError("input_points and input_labels must be given together")
        pointed = input_points is not None or input_boxes is not None
        if pointed == (input_masks is not None):
            raise ValueError(
                "input_points with input_labels, input_boxes, or input_masks alone must say what is meant"
            )
        if pointed:
            said = (input_points, input_labels, input_boxes, original_size, clear_old_inputs)
            self.process_new_points_or_boxes_for_video_frame(inference_session, frame_idx, ids, *said)
        else:
            self.process_new_mask_for_video_frame(inference_session, frame_idx, ids, input_masks)

    def process_new_points_or_boxes_for_video_frame(
        self,
        inference_session: FilmSession,
        frame_idx: int,
        obj_ids: Any,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        original_size: Any = None,
        clear_old_inputs: bool = True,
    ) -> None:
        """See `add_inputs_to_inference_session`."""
        import torch

        session = inference_session
        if original_size is not None:
            session.video_height, session.video_width = original_size
        elif session.video_height is None or session.video_width is None:
            raise ValueError("original_size must say how large the frames are that come one by one")
        if input_boxes is not None and not clear_old_inputs:
            raise ValueError("a box stands before all points: it takes clear_old_inputs=True")
        said = {"input_points": input_points, "input_labels": input_labels, "input_boxes": input_boxes}
        read = self(**said, original_sizes=[[session.video_height, session.video_width]], return_tensors="pt")
        for name in said:
            if name in read and read[name].shape[:2] != (1, len(obj_ids)):
                raise ValueError(
                    f"{name} are of {read[name].shape[1]} objects in {len(read[name])} pictures, but obj_ids "
                    f"names {len(obj_ids)}: one list for the frame, with one for each object"
                )
        points = read.get("input_points", torch.zeros(1, len(obj_ids), 0, 2))
        labels = read.get("input_labels", torch.zeros(1, len(obj_ids), 0)).to(torch.int32)
        if "input_boxes" in read:
            corners = read["input_boxes"].reshape(1, -1, 2, 2)
            kinds = torch.tensor(_CORNERS, dtype=torch.int32).expand(1, corners.shape[1], -1)
            points, labels = torch.cat((corners, points), dim=2), torch.cat((kinds, labels), dim=2)
        for place, name in enumerate(obj_ids):
            number = session.obj_id_to_idx(name)
            now = {
                "point_coords": points[:, place : place + 1],
                "point_labels": labels[:, place : place + 1],
            }
            before = session.point_inputs_per_obj[number].get(frame_idx)
            if before is not None and not clear_old_inputs:
                now = {key: torch.cat((before[key].to(one.device), one), dim=2) for key, one in now.items()}
            session.add_point_inputs(number, frame_idx, now)
            session.remove_mask_inputs(number, frame_idx)
        session.obj_with_new_inputs = list(obj_ids)

    def process_new_mask_for_video_frame(
        self, inference_session: FilmSession, frame_idx: int, obj_ids: Any, input_masks: Any
    ) -> None:
        """See `add_inputs_to_inference_session`."""
        import torch
        from torch.nn import functional as F

        session, side = inference_session, (self.target_size, self.target_size)
        masks = list(input_masks) if isinstance(input_masks, (list, tuple)) else [input_masks]
        if len(masks) != len(obj_ids):
            raise ValueError(f"there are {len(masks)} input_masks, but obj_ids names {len(obj_ids)}")
        for name, given in zip(obj_ids, masks, strict=True):
            mask = given if isinstance(given, torch.Tensor) else torch.tensor(np.asarray(given, dtype=bool))
            if not 2 <= mask.dim() <= 4 or mask.shape[:-2].numel() != 1:
                raise ValueError(f"a mask of input_masks is [height, width], not {list(mask.shape)}")
            mask = mask.reshape(1, 1, *mask.shape[-2:]).float().to(session.inference_device)
            if tuple(mask.shape[-2:]) != side:
                large = F.interpolate(mask, side, mode="bilinear", align_corners=False, antialias=True)
                mask = (large >= 0.5).float()
            number = session.obj_id_to_idx(name)
            session.add_mask_inputs(number, frame_idx, mask)
            session.remove_point_inputs(number, frame_idx)
        session.obj_with_new_inputs = list(obj_ids)
