"""Objects followed through the frames of a film, by what earlier frames left behind: SAM 2 of films."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.assemblies.base import states_in
from formers.assemblies.vision.promptable_masks import walk_of
from formers.assemblies.vision.promptable_pyramids import HighResolutionMasks
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.core.segment_outputs import FollowedOutput
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Constant
from formers.nn.leaves import linear
from formers.nn.nets.grid_layers import Walk
from formers.nn.nets.linear_chain import Chain
from formers.nn.nets.memory_attention import MemoryEncoder, MemoryLayers, pointers_at
from formers.nn.spec.memory_attention import FrameMemory
from formers.nn.tree import leaf, place, place_tensor, wiring
from formers.stacks.stack import Ask, States

_NOTHING = -1024.0  # the logits of a mask where nothing is found
_SHARES = (20.0, -10.0)  # what makes logits of a mask that was given


class VideoMasks(HighResolutionMasks):
    """As `HighResolutionMasks`, of frames of a film: memories of earlier ones are read before masks are made.

    Args:
        parts: arguments of `HighResolutionMasks`, in their order.
        memory: config -> what is remembered.
    """

    inputs: tuple[str, ...] = (
        "inference_session",
        "frame_idx",
        "frame",
        "reverse",
        "run_mem_encoder",
        "return_dict",
    )
    means: Mapping[str, str] = MappingProxyType(
        {
            "inference_session": "a film, as a processor's `init_video_session` makes it; changed in place.",
            "frame_idx": "the number of the frame to look at.",
            "frame": "a frame that comes now, [C, H, W] or [1, C, H, W], floating.",
            "reverse": "memories are those of later frames.",
            "run_mem_encoder": "make a memory of this frame (the default).",
        }
    )

    def __init__(self, parts: tuple[Any, ...], memory: Callable[[Any], FrameMemory]) -> None:
        super().__init__(*parts)
        self.memory = memory
        self.offers = {**self.offers, "propagate_in_video_iterator": propagate}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all of it."""
        super().place(model, config, pooler, masked)
        s = wiring(model).facts["memory"] = self.memory(config)
        last = tuple(reversed(wiring(model).facts["sizes"][-1]))
        if s.recall.grid != last:
            raise ValueError(
                f"the config's last of backbone_feature_sizes has {list(last)} places across and down, but "
                f"memory_attention_rope_feat_sizes says {list(s.recall.grid)}"
            )
        path = s.names
        place(model, "recall", path["recall"], MemoryLayers(s.recall))
        place(model, "encoder", path["encoder"], MemoryEncoder(s))
        vectors = {
            "unread": torch.zeros(1, 1, s.width),
            "when": torch.zeros(s.frames, 1, 1, s.kept),
            "none": torch.zeros(1, s.width),
            **({"hidden": torch.zeros(1, s.kept)} if s.occluded else {}),
        }
        for role, zeros in vectors.items():
            place_tensor(model, role, path[role], zeros, Constant(0.0))
        place(model, "shrink", path["shrink"], nn.Conv2d(1, 1, kernel_size=4, stride=4))
        place(model, "pointer", path["pointer"], Chain(s.pointer, (s.width,) * (len(s.pointer.names) + 1)))
        when = linear("linear", s.width, s.kept) if s.timed else nn.Identity()
        place(model, "pointer_when", path["pointer_when"], when)

    @torch.no_grad()
    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Look for all objects in a frame, and remember what was found; no gradient.

        Raises:
            TypeError: for what is no session.
            ValueError: without objects or a frame to look at.
        """
        session: Any = given.get("inference_session")
        at, frame = given.get("frame_idx"), given.get("frame")
        if not hasattr(session, "output_dict_per_obj"):
            raise TypeError(
                f"inference_session is what processor.init_video_session(video=...) makes, not "
                f"{type(session).__name__}; pictures by themselves are for the model's class of pictures"
            )
        if frame is not None:
            at = session.add_new_frame(frame, at)
        if at is None:
            raise ValueError("frame_idx or frame must say which frame to look at")
        if session.get_obj_num() == 0:
            raise ValueError(
                "there is nothing to look for: processor.add_inputs_to_inference_session says first what is "
                "meant in some frame"
            )
        step = _Step(self, model, session, int(at), walk_of(model, ask), frame is not None)
        remembers = given.get("run_mem_encoder") is not False
        masks, there = step.run(bool(given.get("reverse")), remembers)
        states = states_in(BaseModelOutput(masks))
        states.extras.update(there=there, ids=list(session.obj_ids), at=int(at))
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Objects, their masks, whether they are there, and the frame's number."""
        made = states.extras
        return FollowedOutput(made["ids"], states.rows, made["there"], made["at"])


class _Step:
    """One frame: what is looked for in it, what is read before, and what is kept."""

    def __init__(
        self, assembly: VideoMasks, model: Any, session: Any, at: int, walk: Walk, streams: bool
    ) -> None:
        self.assembly, self.model, self.session, self.at = assembly, model, session, at
        self.walk, self.streams = walk, streams
        self.s: FrameMemory = wiring(model).facts["memory"]

    def run(self, back: bool, remembers: bool) -> tuple[Tensor, Tensor]:
        """Masks [objects, 1, h, w] and logits of there being anything [objects, 1]."""
        session, found, new = self.session, [], []
        for number in range(session.get_obj_num()):
            name = session.obj_idx_to_id(number)
            asked = name in session.obj_with_new_inputs
            known = session.prompted(number).get(self.at)
            if known is not None and not asked:
                kept = (session.get_output(number, self.at, key) for key in ("pred_masks", _THERE))
                found.append(tuple(kept))
                continue
            first = asked and self.at not in session.frames_tracked_per_obj[number]
            # objects after one that is pointed at here read earlier frames too, as in the ecosystem
            back = back and not first
            points = session.point_inputs_per_obj[number].get(self.at) if asked else None
            mask = session.mask_inputs_per_obj[number].get(self.at) if asked else None
            made, large = self._look(number, first, points, mask, back)
            session.store_output(number, self.at, output_value=made, is_conditioning_frame=first)
            if points is not None or mask is not None:
                session.obj_with_new_inputs.remove(name)
            found.append((made["pred_masks"], made[_THERE]))
            new.append((number, large, made[_THERE], points is not None or mask is not None))
            if not first:
                session.frames_tracked_per_obj[number][self.at] = {"reverse": back}
        if remembers and self.s.frames and new:
            self._remember(new)
        masks, there = (torch.cat(one) for one in zip(*found, strict=True))
        return masks, there.squeeze(-1)

    # -- reading -----------------------------------------------------------------------------------

    def maps(self) -> tuple[list[Tensor], Tensor]:
        """The frame's maps, the finest first, and the places of the last, [1, E, H, W]."""
        held = self.session.cache.get_vision_features(self.at)
        if held is not None:
            return held["vision_feats"], held["vision_pos_embeds"][-1]
        images = {"pixel_values": self.session.get_frame(self.at)[None]}
        read = self.assembly.read(self.model, images, self.walk, self.walk.watched)
        maps = list(read.fpn_hidden_states or ())
        if read.fpn_position_encoding:
            at = read.fpn_position_encoding[-1]
        else:  # those of the finer maps, which are large, nobody reads
            node = leaf(leaf(leaf(self.model, "net"), "neck"), "places")
            at = node(maps[-1].shape, maps[-1].device, maps[-1].dtype)
        self.session.cache.cache_vision_features(self.at, {"vision_feats": maps, "vision_pos_embeds": [at]})
        return maps, at

    def _look(
        self, number: int, first: bool, points: Any, mask: Tensor | None, back: bool
    ) -> tuple[dict[str, Any], Tensor]:
        """What is found of an object, and its mask in pixels of what is read."""
        (*finer, last), at = self.maps()
        if mask is not None:
            return self._taken([*finer, last], mask)
        if first and self.s.frames:
            last = last + leaf(self.model, "alone").transpose(1, 2)[..., None]
        elif self.s.frames:
            last = self._recalled(last, at, number, back)
        points = points or {}
        said = {"input_points": points.get("point_coords"), "input_labels": points.get("point_labels")}
        count = points["point_labels"].shape[2] if points else 0
        least, most = self.s.several or (1, 0)
        several = (first or self.s.tracked) and least <= count <= most
        return self._found([*finer, last], {**said, "multimask_output": several})

    def _found(self, maps: list[Tensor], given: dict[str, Any]) -> tuple[dict[str, Any], Tensor]:
        """The best mask, and the vector of what it shows."""
        several = given.get("multimask_output") is not False
        masks, quality, tokens, there = self.assembly.masks(self.model, maps, given, self.walk.watched)
        seen = there > 0
        masks = torch.where(seen[..., None, None], masks, _NOTHING)
        side = (self.s.image, self.s.image)
        best = quality.argmax(-1) if several else quality.new_zeros(quality.shape[:2], dtype=torch.long)
        rows = torch.arange(len(masks), device=masks.device)[:, None], torch.zeros_like(best), best
        chosen = masks[rows]
        large = F.interpolate(chosen.float(), side, mode="bilinear", align_corners=False).to(masks.dtype)
        pointer = leaf(self.model, "pointer")(tokens[rows], self.walk.watched)
        return {
            "pred_masks": chosen,
            "object_pointer": self._seen(pointer, seen),
            _THERE: there,
        }, large

    def _seen(self, pointer: Tensor, seen: Tensor) -> Tensor:
        """A vector, or what stands for nothing."""
        share = seen.to(pointer.dtype)
        vector: Tensor = share * pointer + (1 - share) * leaf(self.model, "none")
        return vector

    def _taken(self, maps: list[Tensor], mask: Tensor) -> tuple[dict[str, Any], Tensor]:
        """A mask [1, 1, h, w] that was given is what is found; its vector is made as of any other."""
        given, side = mask.to(maps[-1].dtype), (self.s.image, self.s.image)
        if tuple(given.shape[-2:]) != side:
            given = _smaller(given, side)
        times, plus = _SHARES
        large = given * times + plus
        prompts = wiring(leaf(self.model, "prompts")).facts["spec"]
        small = _smaller(large, (4 * prompts.grid, 4 * prompts.grid))
        made, _ = self._found(maps, {"input_masks": leaf(self.model, "shrink")(given)})
        seen = (mask.flatten(1) > 0).any(1)[:, None]
        there = (times * seen.to(given.dtype) + plus)[..., None]
        pointer = self._seen(made["object_pointer"], seen)
        return {"pred_masks": small, "object_pointer": pointer, _THERE: there}, large

    # -- memories ----------------------------------------------------------------------------------

    def _recalled(self, last: Tensor, at: Tensor, number: int, back: bool) -> Tensor:
        """The frame's map [1, E, H, W], having read what is remembered of an object."""
        held, device, session = self.session.prompted(number), last.device, self.session
        if not held:
            raise ValueError(
                f"object {session.obj_idx_to_id(number)} was pointed at in no frame that was looked at yet: "
                "call the model on a frame where it was first, or begin there"
            )
        near = _nearest(held, self.at, self.s.prompted)
        rest = {frame: one for frame, one in held.items() if frame not in near}
        kept: list[tuple[int, Any]] = [(0, one) for one in near.values()]
        for ago in range(self.s.frames - 1, 0, -1):
            frame = self.at + ago if back else self.at - ago
            kept.append((ago, session.followed(number).get(frame, rest.get(frame))))
        memories, places, when = [], [], leaf(self.model, "when")
        for ago, one in kept:
            if one is not None:
                if "maskmem_features" not in one:
                    raise ValueError(
                        "a frame that memories are read of was looked at with run_mem_encoder=False: look at "
                        "it again without"
                    )
                memories.append(one["maskmem_features"].to(device, non_blocking=True))
                places.append(one["maskmem_pos_enc"].to(device, non_blocking=True) + when[ago - 1])
        vectors, ago_of, most = self._vectors(number, back, device)
        unplaced = 0
        if vectors:
            pointers, pointer_places = pointers_at(self.s, self.model, vectors, ago_of, most)
            memories.append(pointers)
            places.append(pointer_places)
            unplaced = len(pointers)
        rows, rows_at = (one.flatten(2).permute(2, 0, 1) for one in (last, at))
        memory = torch.cat(memories).to(session.dtype)
        watched = (self.walk.watched,) if isinstance(leaf(self.model, "recall"), MemoryLayers) else ()
        found = leaf(self.model, "recall")(rows, memory, rows_at, torch.cat(places), unplaced, *watched)
        made: Tensor = found.squeeze(1).transpose(1, 2).reshape(last.shape)
        return made

    def _vectors(self, number: int, back: bool, device: Any) -> tuple[list[Tensor], list[int], int]:
        """Vectors of an object, how many frames ago each was made, and how many frames back they go."""
        count, session = self.session.num_frames or 0, self.session
        most = self.s.pointers if self.streams else min(count, self.s.pointers)
        vectors, ago = [], []
        for frame, one in session.prompted(number).items():
            since = (frame - self.at) if back else (self.at - frame)
            if since >= 0:
                ago.append(since)
                vectors.append(one["object_pointer"].to(device))
        for since in range(1, most):
            frame = self.at + since if back else self.at - since
            if frame < 0 or (not self.streams and frame >= count):
                break
            one = session.followed(number).get(frame)
            if one is not None:
                ago.append(since)
                vectors.append(one["object_pointer"].to(device))
        return [one.flatten(0, -2) for one in vectors], ago, most

    def _remember(self, new: list[tuple[int, Tensor, Tensor, bool]]) -> None:
        """Make memories of what was found of objects, all at once, and keep them beside that."""
        masks, there = torch.cat([one[1] for one in new]), torch.cat([one[2] for one in new])
        side = 16 * wiring(leaf(self.model, "prompts")).facts["spec"].grid
        if tuple(masks.shape[2:]) != (side, side):
            masks = _smaller(masks, (side, side))
        said = any(one[3] for one in new)
        shares = (masks > 0).to(masks.dtype) if said and not self.model.training else masks.sigmoid()
        times, plus = self.s.sigmoid
        last = self.maps()[0][-1].expand(len(new), -1, -1, -1)
        memory, at = leaf(self.model, "encoder")(last, shares * times + plus)
        if self.s.occluded:
            gone = 1 - (there > 0).float()[..., None]
            memory = memory + gone * leaf(self.model, "hidden")[..., None, None]
        # in half of the bits, which is what the weights were trained with
        memory, at = (
            one.flatten(2).permute(2, 0, 1) for one in (memory.to(torch.bfloat16), at.to(masks.dtype))
        )
        for i, (number, *_) in enumerate(new):
            first = self.at in self.session.prompted(number)
            for key, one in (("maskmem_features", memory), ("maskmem_pos_enc", at)):
                self.session.store_output(number, self.at, key, one[:, i : i + 1], first)


_THERE = "object_score_logits"


def _smaller(x: Tensor, side: tuple[int, int]) -> Tensor:
    """A map of another size, smoothed where it shrinks."""
    made = F.interpolate(x.float(), side, mode="bilinear", align_corners=False, antialias=True)
    return made.to(x.dtype)


def _nearest(held: Mapping[int, Any], at: int, most: int) -> dict[int, Any]:
    """Of frames that were pointed at those to read: the last before, the first from here on, the nearest."""
    if most == -1 or len(held) <= most:
        return dict(held)
    before, after = [frame for frame in held if frame < at], [frame for frame in held if frame >= at]
    first = [*([max(before)] if before else ()), *([min(after)] if after else ())]
    others = sorted((frame for frame in held if frame not in first), key=lambda frame: abs(frame - at))
    return {frame: held[frame] for frame in [*first, *others[: max(most - len(first), 0)]]}


def propagate(
    model: Any,
    inference_session: Any,
    start_frame_idx: int | None = None,
    max_frame_num_to_track: int | None = None,
    reverse: bool = False,
    show_progress_bar: bool = False,
) -> Iterator[Any]:
    """Follow all objects through a film, frame by frame.

    Args:
        model: what follows.
        inference_session: the film, with what was pointed at in it.
        start_frame_idx: the first frame; the earliest in which something was pointed at and looked for.
        max_frame_num_to_track: how many frames more; all.
        reverse: towards the beginning.
        show_progress_bar: show how far it is.

    Returns:
        Of every frame what the model's call returns.

    Raises:
        ValueError: where nothing says where to begin.
    """
    session = inference_session
    if start_frame_idx is None:
        begins = [frame for number in range(session.get_obj_num()) for frame in session.prompted(number)]
        if not begins:
            raise ValueError(
                "start_frame_idx must say where to begin: nothing was looked for yet in a frame where it was "
                "pointed at"
            )
        start_frame_idx = min(begins)
    count = session.num_frames or 0
    most = count if max_frame_num_to_track is None else max_frame_num_to_track
    shown: Any = range(start_frame_idx, min(start_frame_idx + most, count - 1) + 1)
    if reverse:  # before the first frame there is none to follow anything to
        shown = range(start_frame_idx, max(start_frame_idx - most, 0) - 1, -1) if start_frame_idx else ()
    if show_progress_bar:
        from huggingface_hub.utils.tqdm import tqdm

        shown = tqdm(shown, desc="frames")  # type: ignore[no-untyped-call]  # tqdm has no types
    for frame in shown:
        yield model(inference_session=session, frame_idx=frame, reverse=reverse)
