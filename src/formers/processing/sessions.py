"""A film while objects are followed through it: its frames, what was pointed at, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from formers.core.devices import named_dtype

if TYPE_CHECKING:
    from torch import Tensor

_PROMPTED, _FOLLOWED = "cond_frame_outputs", "non_cond_frame_outputs"


def _moved(value: Any, device: Any) -> Any:
    """Tensors, and those in lists, on a device."""
    if isinstance(value, (list, tuple)):
        return [_moved(one, device) for one in value]
    return value.to(device, non_blocking=True) if hasattr(value, "to") else value


class FrameCache:
    """What a model made of the frames that it read last, so that the next object need not read them again.

    Args:
        inference_device: where it is used.
        inference_state_device: where it is kept.
        max_vision_features_cache_size: how many frames are held.
    """

    def __init__(
        self,
        inference_device: Any = "cpu",
        inference_state_device: Any = "cpu",
        max_vision_features_cache_size: int = 1,
    ) -> None:
        self.inference_device, self.inference_state_device = inference_device, inference_state_device
        self.max_vision_features_cache_size = max_vision_features_cache_size
        self._frames: dict[int, dict[str, Any]] = {}

    def cache_vision_features(self, frame_idx: int, features: Mapping[str, Any]) -> None:
        """Hold what was made of a frame; the one that came first makes room."""
        while self._frames and len(self._frames) >= self.max_vision_features_cache_size:
            del self._frames[next(iter(self._frames))]
        self._frames[frame_idx] = {
            name: _moved(one, self.inference_state_device) for name, one in features.items()
        }

    def get_vision_features(self, frame_idx: int) -> dict[str, Any] | None:
        """What was made of a frame; None where nothing is held."""
        held = self._frames.get(frame_idx)
        return held and {name: _moved(one, self.inference_device) for name, one in held.items()}

    def clear_all(self) -> None:
        """Hold nothing."""
        self._frames.clear()


class FilmSession:
    """Frames of a film, prompts by object and frame, and what was found by object and frame.

    Objects are numbered in the order in which their ids first come.

    Args:
        video: frames [T, C, H, W] as the model reads them; None where they come one by one.
        video_height, video_width: pixels of frames as they came.
        inference_device: where the model is; `inference_state_device` where what was found is kept,
            `video_storage_device` where frames are.
        dtype: of frames and memories.
        max_vision_features_cache_size: of how many frames the model's maps are held.

    Attributes:
        obj_ids: ids of the objects.
        obj_with_new_inputs: ids of those that were pointed at, and not looked for yet.
        processed_frames: number -> frame [C, H, W].
        point_inputs_per_obj, mask_inputs_per_obj: object -> frame -> prompt.
        output_dict_per_obj: object -> kind of frame -> frame -> what was found.
        frames_tracked_per_obj: object -> frames in which it was followed.
    """

    def __init__(
        self,
        video: Any = None,
        video_height: int | None = None,
        video_width: int | None = None,
        inference_device: Any = "cpu",
        inference_state_device: Any = "cpu",
        video_storage_device: Any = "cpu",
        dtype: Any = "float32",
        max_vision_features_cache_size: int = 1,
    ) -> None:
        self.video_height, self.video_width = video_height, video_width
        self.inference_device, self.inference_state_device = inference_device, inference_state_device
        self.video_storage_device, self.dtype = video_storage_device, named_dtype(dtype)
        self.max_vision_features_cache_size = max_vision_features_cache_size
        self.cache = FrameCache(inference_device, inference_state_device, max_vision_features_cache_size)
        self.processed_frames: dict[int, Tensor] | None = None
        if video is not None:
            self.processed_frames = dict(enumerate(video.to(video_storage_device, dtype=self.dtype)))
        self.obj_ids: list[Any] = []
        self.obj_with_new_inputs: list[Any] = []
        self.point_inputs_per_obj: dict[int, dict[int, Any]] = {}
        self.mask_inputs_per_obj: dict[int, dict[int, Any]] = {}
        self.output_dict_per_obj: dict[int, dict[str, dict[int, dict[str, Any]]]] = {}
        self.frames_tracked_per_obj: dict[int, dict[int, Any]] = {}

    # -- objects -----------------------------------------------------------------------------------

    def obj_id_to_idx(self, obj_id: Any) -> int:
        """The number of an object, which is a new one where its id is new."""
        if obj_id not in self.obj_ids:
            number = len(self.obj_ids)
            self.obj_ids.append(obj_id)
            for held in (self.point_inputs_per_obj, self.mask_inputs_per_obj, self.frames_tracked_per_obj):
                held[number] = {}
            self.output_dict_per_obj[number] = {_PROMPTED: {}, _FOLLOWED: {}}
        return self.obj_ids.index(obj_id)

    def obj_idx_to_id(self, obj_idx: int) -> Any:
        """The id of an object."""
        return self.obj_ids[obj_idx]

    def get_obj_num(self) -> int:
        """How many objects there are."""
        return len(self.obj_ids)

    # -- frames ------------------------------------------------------------------------------------

    @property
    def num_frames(self) -> int | None:
        """How many frames there are; None before the first came."""
        return None if self.processed_frames is None else len(self.processed_frames)

    def add_new_frame(self, pixel_values: Tensor, frame_idx: int | None = None) -> int:
        """Take a frame, [C, H, W] or [1, C, H, W], behind the others or at a place; returns its number.

        Raises:
            ValueError: for several frames.
        """
        if pixel_values.dim() == 4 and len(pixel_values) == 1:
            pixel_values = pixel_values[0]
        if pixel_values.dim() != 3:
            raise ValueError(
                f"a frame is [channels, height, width], or has one frame in front, not "
                f"{list(pixel_values.shape)}"
            )
        held = self.processed_frames = {} if self.processed_frames is None else self.processed_frames
        place = len(held) if frame_idx is None else frame_idx
        held[place] = pixel_values.to(self.video_storage_device, dtype=self.dtype, non_blocking=True)
        return place

    def get_frame(self, frame_idx: int) -> Tensor:
        """A frame, [C, H, W].

        Raises:
            ValueError: for one that is not there.
        """
        held = self.processed_frames or {}
        if frame_idx not in held:
            raise ValueError(f"there is no frame {frame_idx}: the session holds {len(held)} frames")
        return held[frame_idx].to(self.inference_device, non_blocking=True)

    # -- prompts -----------------------------------------------------------------------------------

    def add_point_inputs(self, obj_idx: int, frame_idx: int, inputs: Mapping[str, Any]) -> None:
        """Hold points and their labels."""
        held = {name: _moved(value, self.inference_device) for name, value in inputs.items()}
        self.point_inputs_per_obj[obj_idx][frame_idx] = held

    def remove_point_inputs(self, obj_idx: int, frame_idx: int) -> None:
        """Forget points."""
        self.point_inputs_per_obj[obj_idx].pop(frame_idx, None)

    def add_mask_inputs(self, obj_idx: int, frame_idx: int, inputs: Tensor) -> None:
        """Hold a mask."""
        held = inputs.to(self.inference_device, dtype=self.dtype, non_blocking=True)
        self.mask_inputs_per_obj[obj_idx][frame_idx] = held

    def remove_mask_inputs(self, obj_idx: int, frame_idx: int) -> None:
        """Forget a mask."""
        self.mask_inputs_per_obj[obj_idx].pop(frame_idx, None)

    # -- what was found ----------------------------------------------------------------------------

    def store_output(
        self,
        obj_idx: int,
        frame_idx: int,
        output_key: str | None = None,
        output_value: Any = None,
        is_conditioning_frame: bool = True,
    ) -> None:
        """Hold something of an object in a frame; without a key, all of a dictionary in place of the rest.

        Vectors and scores stay where the model is, maps go where state is kept.
        """
        kind = _PROMPTED if is_conditioning_frame else _FOLLOWED
        held = self.output_dict_per_obj[obj_idx][kind]
        if output_key is None:
            held[frame_idx] = {}
            for name, value in dict(output_value).items():
                self.store_output(obj_idx, frame_idx, name, value, is_conditioning_frame)
            return
        small = output_key in ("object_pointer", "object_score_logits")
        held[frame_idx][output_key] = (
            output_value if small else _moved(output_value, self.inference_state_device)
        )

    def get_output(
        self, obj_idx: int, frame_idx: int, output_key: str, is_conditioning_frame: bool = True
    ) -> Any:
        """What is held of an object in a frame, where the model is; None where nothing is."""
        kind = _PROMPTED if is_conditioning_frame else _FOLLOWED
        found = self.output_dict_per_obj[obj_idx][kind].get(frame_idx)
        return None if found is None else _moved(found[output_key], self.inference_device)

    def prompted(self, obj_idx: int) -> dict[int, dict[str, Any]]:
        """Frame -> what was found of an object, of frames in which it was pointed at first."""
        return self.output_dict_per_obj[obj_idx][_PROMPTED]

    def followed(self, obj_idx: int) -> dict[int, dict[str, Any]]:
        """Likewise of all other frames."""
        return self.output_dict_per_obj[obj_idx][_FOLLOWED]

    def reset_tracking_data(self) -> None:
        """Forget objects, prompts and what was found; frames, and what the model made of them, stay."""
        self.obj_ids, self.obj_with_new_inputs = [], []
        for held in (
            self.point_inputs_per_obj,
            self.mask_inputs_per_obj,
            self.output_dict_per_obj,
            self.frames_tracked_per_obj,
        ):
            held.clear()

    def reset_inference_session(self) -> None:
        """Forget all but the frames."""
        self.reset_tracking_data()
        self.cache.clear_all()


Sam2VideoInferenceSession = FilmSession  # as the ecosystem calls it
