"""Pixels that show what a text, or another image, asks for (Lüddecke & Ecker 2021, arXiv:2112.10003)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.assemblies.base import states_in
from formers.core.outputs import ModelOutput, PromptedMapsOutput, TaskOutput
from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.nets.tree import fill
from formers.nn.passing import plain_pass
from formers.nn.spec import Paths, nets
from formers.nn.tree import Group, hold, leaf, place, wiring
from formers.stacks.layer import LayerRun
from formers.stacks.stack import Ask, States, place_stack
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A decoder of the states of an image tower.

    Attributes:
        stack: its layers, one for every number in `chosen`.
        node: where they lie; `paths` in it of `times` and `plus`, which tell what is asked for, `narrow`, a
            layer for each of the states, and `large`, which makes pixels of places.
        large: what stands there.
        chosen: numbers of the tower's layers whose states are read, the last one first.
        told: the layer before which it is told what is asked for.
        width: E, of the tower; `shared` P, of what is asked for.
        patch: height and width of a patch in pixels.
    """

    stack: spec.Stack
    node: str
    paths: Paths
    large: Any
    chosen: tuple[int, ...]
    told: int
    width: int
    shared: int
    patch: tuple[int, int]


class MapDecoder(Group):
    """Layers over sums of states, and the pixels of what they make."""

    def __init__(self, s: Spec) -> None:
        super().__init__()
        inner, paths = s.stack.width, s.paths
        wiring(self).facts["head"] = s
        for role in ("times", "plus"):
            place(self, role, str(paths[role]), nn.Linear(s.shared, inner))
        fill(self, nets.Node({str(paths["large"]): s.large}))
        narrow = nn.ModuleList(nn.Linear(s.width, inner) for _ in s.chosen)
        hold(self, str(paths["narrow"]), narrow)
        place_stack(self, s.stack)

    def forward(
        self,
        hidden_states: Sequence[Tensor],
        conditional_embeddings: Tensor,
        grid: tuple[int, int] | None = None,
        ask: Ask | None = None,
        checkpointing: bool = False,
    ) -> TaskOutput:
        """Look for what is asked for.

        Args:
            hidden_states: [B, 1 + N, E] each, in the order of `chosen`.
            conditional_embeddings: [B, P].
            grid: patches down and across; a square, where nothing is said.
            ask: what is wanted beside `logits` [B, height, width].
            checkpointing: layers are computed again in the backward pass.
        """
        s: Spec = wiring(self).facts["head"]
        ask = ask or Ask(padded=True)
        seen, states = bool(ask.padded), list(reversed(hidden_states))
        wanted = {"hidden_states": ask.hidden, "attentions": ask.attentions}
        trace: dict[str, list[Any]] = {name: [] for name, one in wanted.items() if one}
        (batch, count), device = states[0].shape[:2], states[0].device
        pass_ = plain_pass((batch, count), device, ask.backend, trace, seen)
        times, plus = (leaf(self, role)(conditional_embeddings)[:, None] for role in ("times", "plus"))
        x: Tensor | None = None
        narrow: Any = self._modules[str(s.paths["narrow"])]
        for i, (state, layer) in enumerate(zip(states, leaf(self, "layers"), strict=True)):
            own = project(narrow[i], state, None, seen)
            x = own if x is None else own + x.view(own.shape)
            if i == s.told:
                x = times * x + plus
            x = x if seen else x.flatten(0, 1)
            x = LayerRun(checkpointing, goes_on=i > 0)((layer,), x, pass_)
        assert x is not None
        side = math.isqrt(count - 1)
        maps = x.view(batch, count, -1)[:, 1:].transpose(1, 2).reshape(batch, -1, *(grid or (side, side)))
        large: Any = self._modules[str(s.paths["large"])]
        logits = large(maps)[:, 0]
        hidden, weights = (trace.get(name) for name in wanted)
        if hidden is not None and not seen:
            hidden = [one.view(batch, count, -1) for one in hidden]
        return TaskOutput(
            logits=logits,
            hidden_states=None if hidden is None else tuple(hidden),
            attentions=None if weights is None else tuple(weights),
        )


class PromptedSegmentation(TaskModel):
    """A decoder over the image tower; neither tower learns."""

    _options = ("return_dict",)
    _unread_inputs = ("return_loss",)
    _by_place = ("input_ids", "pixel_values", "conditional_pixel_values", "conditional_embeddings")
    _says: ClassVar[str] = (
        "Find what is asked for, one thing in each of B images, by `input_ids` [B, T], "
        "`conditional_pixel_values` [B, C, H, W] or `conditional_embeddings` [B, P]. `labels`: [B, height, "
        "width], floating, 1 at pixels that show it and 0 elsewhere."
    )

    def _place_head(self, spec: Spec, config: Any) -> None:
        hold(self, spec.node, MapDecoder(spec))

    def _initial_deviations(self) -> tuple[float, Mapping[str, float]]:
        """The decoder's layers have their own."""
        std, special = super()._initial_deviations()
        spec: Spec = wiring(self).facts["head"]
        return std, {**special, **spec.stack.init}

    @torch.no_grad()
    def get_conditional_embeddings(
        self,
        batch_size: int | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        conditional_pixel_values: Tensor | None = None,
    ) -> Tensor:
        """Vectors [B, P] of texts, or else of images; no gradient.

        Raises:
            ValueError: without both, or where there are not `batch_size` of them.
        """
        asks = conditional_pixel_values if input_ids is None else input_ids
        if asks is None:
            raise ValueError(
                "input_ids, conditional_pixel_values or conditional_embeddings must say what to look for"
            )
        if batch_size is not None and len(asks) != batch_size:
            raise ValueError(f"each of {batch_size} images is asked for one thing, but there are {len(asks)}")
        base: Any = self.base_model
        if input_ids is None:
            found = base.get_image_features(asks, return_dict=True)
        else:
            masks = {"attention_mask": attention_mask, "position_ids": position_ids}
            found = base.get_text_features(input_ids, **masks, return_dict=True)
        vectors: Tensor = found.pooler_output
        return vectors

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """The image tower's, what is asked for, and what the decoder makes of both."""
        s: Spec = wiring(self).facts["head"]
        images, asks = given.get("pixel_values"), given.get("conditional_embeddings")
        if images is None:
            raise ValueError("pixel_values must be given: the images to look at")
        base: Any = self.base_model
        with torch.no_grad():
            seen = base.get_image_features(
                images,
                interpolate_pos_encoding=given.get("interpolate_pos_encoding"),
                output_attentions=ask.attentions,
                output_hidden_states=True,
                return_dict=True,
            )
        if asks is None:
            names = ("input_ids", "attention_mask", "position_ids", "conditional_pixel_values")
            asks = self.get_conditional_embeddings(len(images), **{name: given.get(name) for name in names})
        elif tuple(asks.shape) != (len(images), s.shared):
            raise ValueError(
                f"conditional_embeddings must have shape {[len(images), s.shared]}, not {list(asks.shape)}"
            )
        node: Any = self._modules[s.node]
        size = tuple(side // edge for side, edge in zip(images.shape[2:], s.patch, strict=True))
        own = (size, ask, self.gradient_checkpointing and self.training and torch.is_grad_enabled())
        states = tuple(seen.hidden_states[i + 1] for i in s.chosen)  # the first is what enters the tower
        decoded = node(states, asks, *(own if isinstance(node, MapDecoder) else ()))
        seen.hidden_states = seen.hidden_states if ask.hidden else None
        found = states_in(seen)
        found.extras.update(seen=seen, asks=asks, decoded=decoded)
        return found

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        made, labels = states.extras, targets["labels"]
        logits, loss = made["decoded"].logits, None
        if labels is not None:
            if labels.shape != logits.shape:
                raise ValueError(f"labels must have shape {list(logits.shape)}, not {list(labels.shape)}")
            loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits))
        return PromptedMapsOutput(
            loss=loss,
            logits=logits,
            conditional_embeddings=made["asks"],
            pooled_output=made["seen"].pooler_output,
            vision_model_output=made["seen"],
            decoder_output=made["decoded"],
        )
