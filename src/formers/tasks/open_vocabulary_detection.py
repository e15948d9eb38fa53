"""Boxes around what texts, or an image, ask for: OWL-ViT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.assemblies.base import asked, returned, states_of
from formers.assemblies.multimodal.contrastive import DualTowers
from formers.core.boxes import corners, overlap
from formers.core.outputs import ModelOutput, QueriedObjectsOutput, SimilarObjectsOutput
from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.grids import patch_boxes
from formers.nn.leaves import norm
from formers.nn.nets.tree import NetNode, fill
from formers.nn.patch_similarity import Queried
from formers.nn.spec import nets
from formers.nn.tree import has, leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """Layers over patches.

    Attributes:
        width: E, of the patches; `shared` of the queries.
        labels: path of what compares them, `inside` the paths of its leaves by role.
        nodes: role -> path, and what stands there: `boxes`, `objects` (whether there is anything).
        norm: path, and which, of patches times the class token.
        squash: path of the boxes' sigmoid.
        patch: height and width of a patch in pixels.
    """

    width: int
    shared: int
    labels: str
    inside: Mapping[str, str]
    nodes: Mapping[str, tuple[str, nets.Node]]
    norm: tuple[str, spec.Norm]
    squash: str
    patch: tuple[int, int]


class OpenVocabularyDetection(TaskModel):
    """Every patch says what it shows, and where that is."""

    _targets = ()
    _options = ("return_dict",)
    _unread_inputs = ("position_ids", "return_loss")
    _says: ClassVar[str] = (
        "Find what texts ask for. `input_ids`: [B * Q, T], Q texts for each image; one that begins with 0 "
        "asks for nothing."
    )

    def _place_head(self, spec: Spec, config: Any) -> None:
        place(self, "labels", spec.labels, Queried(spec.width, spec.shared, spec.inside))
        for role, (path, node) in spec.nodes.items():
            made = NetNode()
            fill(made, node)
            place(self, role, path, made)
        place(self, "norm", spec.norm[0], norm(spec.norm[1], spec.width))
        place(self, "squash", spec.squash, Activation("sigmoid"))

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With the records of both towers."""
        states = states_of(self.base_model, given, ask)
        if "text_embeds" not in states.extras:
            found = self._assembly.output(self.base_model, states)
            names = ("text_embeds", "text_model_output", "vision_model_output")
            states.extras.update({name: found[name] for name in names})
        return states

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        seen, ids = states.extras["vision_model_output"], given["input_ids"]
        maps = self._maps(seen.last_hidden_state, given["pixel_values"])
        patches, count = maps.flatten(1, 2), len(maps)
        if len(ids) % count:
            raise ValueError(f"each of {count} images needs as many texts, but there are {len(ids)}")
        queries = states.extras["text_embeds"].unflatten(0, (count, -1))
        logits, vectors = leaf(self, "labels")(patches, queries, ids[:, 0].view(count, -1) > 0)
        return QueriedObjectsOutput(
            logits=logits,
            objectness_logits=self._objects(patches),
            pred_boxes=self._boxes(maps),
            text_embeds=queries,
            image_embeds=maps,
            class_embeds=vectors,
            text_model_output=states.extras["text_model_output"],
            vision_model_output=seen,
        )

    def image_guided_detection(
        self,
        pixel_values: Tensor,
        query_pixel_values: Tensor,
        interpolate_pos_encoding: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Find what other images show.

        Args:
            pixel_values: [B, C, H, W], where to look.
            query_pixel_values: [B, C, H, W], what for: of each the patch that shows most of it.
            interpolate_pos_encoding: images of any size are read.
            output_attentions: of the images where to look.
            output_hidden_states: likewise.
            return_dict: a record (default) or a tuple.
        """
        ask = Ask(
            attentions=asked(output_attentions, self.config, "output_attentions"),
            hidden=asked(output_hidden_states, self.config, "output_hidden_states"),
            backend=self.config._attn_implementation,
        )
        shown, _ = self._seen(query_pixel_values, interpolate_pos_encoding, Ask(backend=ask.backend))
        maps, record = self._seen(pixel_values, interpolate_pos_encoding, ask)
        _, vectors = leaf(self, "labels")(shown.flatten(1, 2))
        boxes = self._boxes(shown)
        queries = vectors.gather(1, self._chosen(shown, boxes, vectors).expand(-1, -1, vectors.shape[-1]))
        logits, found = leaf(self, "labels")(maps.flatten(1, 2), queries)
        made = SimilarObjectsOutput(
            logits=logits,
            image_embeds=maps,
            query_image_embeds=shown,
            target_pred_boxes=self._boxes(maps),
            query_pred_boxes=boxes,
            class_embeds=found,
            vision_model_output=record,
        )
        return returned(made, return_dict, self.config)

    def _seen(self, images: Tensor, free: bool, ask: Ask) -> tuple[Tensor, Any]:
        """What the image tower makes of images: maps, and its record."""
        base, towers = self.base_model, self._towers
        given = {"pixel_values": images, "interpolate_pos_encoding": free}
        record = towers.record(base, towers.image, towers.states(base, towers.image, given, ask))
        return self._maps(record.last_hidden_state, images), record

    @property
    def _towers(self) -> DualTowers:
        assert isinstance(self._assembly, DualTowers)
        return self._assembly

    def _maps(self, last: Tensor, images: Tensor) -> Tensor:
        """[B, 1 + N, E] -> [B, down, across, E]: the patches times the class token."""
        x = leaf(leaf(self.base_model, self._towers.image), "pooler")(last)
        x = leaf(self, "norm")(x[:, 1:] * x[:, :1])
        patch: tuple[int, int] = self._formers.facts["head"].patch
        maps: Tensor = x.unflatten(1, (images.shape[-2] // patch[0], images.shape[-1] // patch[1]))
        return maps

    def _boxes(self, maps: Tensor) -> Tensor:
        """[B, down, across, E] -> [B, down * across, 4]."""
        own: Tensor = leaf(self, "boxes")(maps.flatten(1, 2))
        found: Tensor = leaf(self, "squash")(own + patch_boxes(*maps.shape[1:3]).to(own))
        return found

    def _objects(self, patches: Tensor) -> Tensor | None:
        """[B, N]: whether a patch shows anything; what that learns changes nothing else."""
        return leaf(self, "objects")(patches.detach())[..., 0] if has(self, "objects") else None

    def _chosen(self, maps: Tensor, boxes: Tensor, vectors: Tensor) -> Tensor:
        """The patch that stands for its image, [B, 1, 1]: surest that it shows something.

        Else, of those whose boxes cover nearly as much as the best, the one least like all others.
        """
        sure = self._objects(maps.flatten(1, 2))
        if sure is not None:
            return sure.argmax(1)[:, None, None]
        whole = overlap(boxes.new_tensor([0, 0, 1, 1]), corners(boxes))
        alike = (vectors @ vectors.mean(1)[..., None])[..., 0]
        far = alike.masked_fill(whole < whole.amax(1, keepdim=True) * 0.8, torch.inf)
        return far.argmin(1)[:, None, None]
