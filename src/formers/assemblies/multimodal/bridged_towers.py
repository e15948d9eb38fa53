"""A text tower and an image tower, and layers over both that read every layer of the towers: BridgeTower."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel, states_in
from formers.assemblies.composite import Composite
from formers.core.bridged_tower_outputs import BridgedTowersOutput
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.first_row import FirstRow
from formers.nn.leaves import linear, norm
from formers.nn.masks import Full, Mask, Padding, Written
from formers.nn.mutual_layers import Crossing, ReadingLayer
from formers.nn.passing import plain_pass
from formers.nn.stems import stem_of
from formers.nn.stems.base import place_stem
from formers.nn.tower_bridges import Block, Blocks, Link, Visual
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")
_PIXELS = ("pixel_values", "interpolate_pos_encoding")


@dataclass(frozen=True)
class Seeing:
    """An image tower.

    Attributes:
        stem: of patches.
        embeddings: names of the stem's roles.
        blocks: behind it.
        separate: norms that files hold for each block, and nothing reads.
    """

    stem: spec.Patches
    embeddings: Mapping[str, str | None]
    blocks: Blocks
    separate: int = 0


class SeeingTower(Assembly):
    """Patches and blocks.

    Args:
        about: config -> what it is made of.
        path: of the node that holds it.
    """

    inputs = (*_PIXELS, *_SEEN)
    main = "pixel_values"

    def __init__(self, about: Callable[[Any], Seeing], path: str) -> None:
        self._about, self._path = about, path

    def spec(self, config: Any) -> Any:
        """Its stem and width, as a stack without layers."""
        s = self._about(config)
        return spec.Stack(
            stem=s.stem,
            layers=(),
            names=spec.Names(layers="", layer={}, embeddings=dict(s.embeddings), stack={}),
            width=s.blocks.width,
        )

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both."""
        s = self._about(config)
        node = Visual(s.blocks, s.separate)
        wiring(model).facts["stem"] = stem_of(s.stem)
        wiring(model).facts["home"] = place_stem(node, stem_of(s.stem), dict(s.embeddings))[0]
        place(model, "visual", self._path, node)

    @staticmethod
    def read(model: Any, given: Mapping[str, Any]) -> list[Tensor]:
        """What enters the first block and what each block makes, [P, B, E]."""
        node, facts = leaf(model, "visual"), wiring(model).facts
        told = {name: given[name] for name in _PIXELS if given.get(name) is not None}
        facts["stem"].shape(told)
        told["pixel_values"] = told["pixel_values"].to(next(node.parameters()).dtype)
        found: list[Tensor] = node.states(node.get_submodule(facts["home"])(**told))
        return found

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The last block's states, normalised."""
        made = self.read(model, given)
        states = states_in(leaf(model, "visual").closed(made[-1]))
        if ask.hidden:
            states.pass_.trace["hidden_states"] = [one.transpose(0, 1) for one in made]
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states, and what was asked for."""
        return BaseModelOutput(states.last, hidden_states=states.hidden)

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of what does not draw itself."""
        s = self._about(model.config).blocks
        return 0.05 * s.factor, {"position_embedding.weight": s.deviation("read")}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Blocks."""
        return [Block.__name__]

    def layer_class(self, name: str) -> type[nn.Module]:
        """Likewise."""
        return Block


@dataclass(frozen=True)
class Above:
    """The layers over both towers.

    Attributes:
        crossing: each of them, once for texts and once for images.
        count: how many.
        width: E.
        norm: before the first, and in links.
        link: kind of the links.
        one_way, one_link: the layers from the towers' widths, and the links, are one for all layers above.
        factor: on the deviations of fresh weights.
    """

    crossing: Crossing
    count: int
    width: int
    norm: spec.Norm
    link: str
    one_way: bool
    one_link: bool
    factor: float = 1.0


class BridgedTowers(Composite):
    """Two towers and layers over both (Xu et al. 2022, arXiv:2206.08657).

    Hidden states and attention weights are always returned.

    Args:
        model_of, text, image: see `Composite`.
        above: config -> the layers over both.
    """

    inputs = (
        *("input_ids", "attention_mask", "token_type_ids", "pixel_values", "pixel_mask", "inputs_embeds"),
        *("image_embeds", "image_token_type_idx", "interpolate_pos_encoding", *_SEEN),
    )
    means: Mapping[str, str] = {
        "pixel_values": "[B, channels, height, width], floating.",
        "pixel_mask": "nothing reads it: pictures are of one size.",
        "image_embeds": "not read: pass pixel_values.",
        "inputs_embeds": "not read: pass input_ids.",
        "image_token_type_idx": "which row of the table of sides stands for images; 1.",
        "interpolate_pos_encoding": "read images of another size than the model was trained on.",
    }

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        image: tuple[str, str],
        above: Callable[[Any], Above],
    ) -> None:
        super().__init__(model_of, text, image)
        self.above = above

    def spec(self, config: Any) -> spec.Stack:
        """The texts', as wide as the layers above."""
        return replace(self.stack(config, self.text), projected=self.above(config).width)

    def join(self, model: PreTrainedModel, config: Any, parts: Mapping[str, Any]) -> None:
        """Register the towers, and what lies above.

        Raises:
            ValueError: for fewer layers in a tower than there are above.
        """
        s = wiring(model).facts["above"] = self.above(config)
        for name, side in self._sides():
            read = self.stack(config, name).width
            way = [linear("linear", read, s.width) for _ in range(1 if s.one_way else s.count)]
            self._list(model, f"cross_modal_{side}_transform", way, s.one_way)
        place(model, "sides", "token_type_embeddings", nn.Embedding(2, s.width))
        super().join(model, config, parts)
        texts = len(self.stack(config, self.text).layers)
        seen = len(leaf(leaf(model, self.image), "visual").transformer.resblocks)
        if not s.count <= texts + 1 or seen < texts:
            raise ValueError(
                f"{s.count} layers above read a layer of either tower each, but there are {texts} layers for "
                f"texts and {seen} for images: num_hidden_layers above is at most one more than in "
                "text_config, and vision_config has as many as that"
            )
        for side in ("image", "text"):
            layers = nn.ModuleList(ReadingLayer(s.crossing) for _ in range(s.count))
            place(model, f"{side}_layers", f"cross_modal_{side}_layers", layers)
        for side in ("image", "text"):
            place(model, f"{side}_pooler", f"cross_modal_{side}_pooler", FirstRow(s.width))
        for side in ("text", "image"):
            place(model, f"{side}_norm", f"cross_modal_{side}_layernorm", norm(s.norm, s.width))
        for side in ("text", "image"):
            links = [Link(s.link, s.width, s.norm) for _ in range(1 if s.one_link else s.count - 1)]
            self._list(model, f"cross_modal_{side}_link_tower", links, s.one_link)

    def _sides(self) -> tuple[tuple[str, str], ...]:
        return (self.text, "text"), (self.image, "image")

    @staticmethod
    def _list(model: Any, path: str, made: list[Any], one: bool) -> None:
        model.add_module(path, made[0] if one else nn.ModuleList(made))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read both, and let the layers above read them and each other.

        Raises:
            ValueError: without texts or images, or for what stands for them.
        """
        for name, instead in (("inputs_embeds", "input_ids"), ("image_embeds", "pixel_values")):
            if given.get(name) is not None:
                raise ValueError(f"{type(model).__name__} reads no {name}: pass {instead}")
        ids, pixels, mask = (given.get(name) for name in ("input_ids", "pixel_values", "attention_mask"))
        if ids is None or pixels is None:
            raise ValueError(
                f"{type(model).__name__} reads texts beside images: pass input_ids and pixel_values"
            )
        if ids.shape[0] != pixels.shape[0]:
            raise ValueError(f"there are {len(ids)} texts and {len(pixels)} images: pass as many")
        ask.padded = watched(model) if ask.padded is None else ask.padded
        read = {"input_ids": ids, "attention_mask": mask, "token_type_ids": given.get("token_type_ids")}
        inner = Ask(hidden=True, backend=ask.backend, rows=False, padded=ask.padded)
        texts = self.states(model, self.text, read, inner).hidden
        assert texts is not None
        images = SeeingTower.read(leaf(model, self.image), given)
        which = given.get("image_token_type_idx")
        over = self._above(model, texts, images, mask, 1 if which is None else int(which), ask)
        pass_ = plain_pass((ids.shape[0], ids.shape[1]), ids.device, ask.backend, {}, True)
        last = over[-1][:2]
        pass_.trace["hidden_states"] = [texts, tuple(images), tuple(one[:2] for one in over)]
        pass_.trace["attentions"] = [one[2] for one in over]
        pooled = [
            leaf(model, f"{side}_pooler")(one) for side, one in zip(("text", "image"), last, strict=True)
        ]
        return States(last[0], pass_, pooled=torch.cat(pooled, dim=-1), extras={"image_features": last[1]})

    def _above(
        self,
        model: Any,
        texts: tuple[Tensor, ...],
        images: list[Tensor],
        mask: Tensor | None,
        which: int,
        ask: Ask,
    ) -> list[Any]:
        """What every layer above makes of texts and of images, and by which weights each reads itself."""
        s: Above = wiring(model).facts["above"]
        visual = leaf(leaf(model, self.image), "visual")
        first, device = len(texts) - s.count, texts[0].device
        kinds = {side: torch.full((1,), i, device=device) for side, i in (("text", 0), ("image", which))}
        marks = {side: leaf(model, "sides")(kind) for side, kind in kinds.items()}
        seen: Mask = Full() if mask is None else Written(Padding(mask.bool()))
        backend = plain_pass((1, 1), device, ask.backend, {"attentions": []}, True).backend
        x = y = texts[0]
        found = []
        for i in range(s.count):
            below = {"text": texts[first + i], "image": visual.closed(images[first + i])}
            rows = {side: _one(model, f"cross_modal_{side}_transform", i)(z) for side, z in below.items()}
            both = {side: z + marks[side] for side, z in rows.items()}
            if i == 0:
                x, y = (leaf(model, f"{side}_norm")(both[side]) for side in ("text", "image"))
            else:
                x = _one(model, "cross_modal_text_link_tower", i - 1)(both["text"], x)
                y = _one(model, "cross_modal_image_link_tower", i - 1)(both["image"], y)
            words, own = leaf(model, "text_layers")[i](x, y, masks=(seen, Full()), backend=backend)
            places, other = leaf(model, "image_layers")[i](y, x, masks=(Full(), seen), backend=backend)
            x, y = words, places
            found.append((x, y, (own, other)))
        return found

    def brought(self, model: Any, seen: Tensor) -> Tensor:
        """States of images as wide as the layers above: [B, P, E] -> [B, P, E]."""
        found: Tensor = _one(model, "cross_modal_image_transform", -1)(seen)
        return found

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states of both, and all before them."""
        return BridgedTowersOutput(
            states.last, states.extras["image_features"], states.pooled, **self.passed_on(states)
        )

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states and weights."""
        names = ("hidden_states", "attentions")
        return {name: tuple(states.pass_.trace[name]) for name in names}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of what lies above."""
        return 0.05 * self.above(model.config).factor, {}

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the towers, and above."""
        text = self.stack(config_class(), self.text).layer_classes
        return [*text, Block.__name__, ReadingLayer.__name__]

    def layer_class(self, name: str) -> type[nn.Module]:
        """The one of that name."""
        known = {"Block": Block, "ReadingLayer": ReadingLayer}
        return known[name] if name in known else super().layer_class(name)


def _one(model: Any, path: str, number: int) -> Any:
    """A part, or one of a list."""
    part = model._modules[path]
    return part[number] if isinstance(part, nn.ModuleList) else part
