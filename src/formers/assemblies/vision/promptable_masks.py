"""A network over a grid, and masks of what is pointed at in its maps: SAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import (
    Assembly,
    assembly_of,
    bound,
    initial_deviations,
    refuse_inputs,
    states_in,
    taken_ask,
)
from formers.core.outputs import BaseModelOutput, ModelOutput, PointedMasksOutput
from formers.model.base import PreTrainedModel
from formers.nn.nets.grid_layers import GridEncoder, Walk, fill_encoder, grid_encoder, last_map, node_class
from formers.nn.nets.prompted_masks import MaskDecoder, PlaceWaves, PromptEncoder, everywhere
from formers.nn.spec.grid_layers import GridLayers, Pointed, Prompts
from formers.nn.stems.base import maps_in
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_ASKED = ("output_attentions", "output_hidden_states", "return_dict")
_PROMPTS = ("input_points", "input_labels", "input_boxes", "input_masks")
# the processor returns them beside what the model reads, so that model(**inputs) is what people type
_SIZES = ("original_sizes", "reshaped_input_sizes")


class Gridded(Assembly):
    """One network over a grid, under a path.

    Args:
        net: config -> its spec.
        path: of its node; empty where the model itself holds it.
    """

    inputs: tuple[str, ...] = ("pixel_values", *_ASKED)
    main = "pixel_values"
    means: Mapping[str, str] = MappingProxyType({"pixel_values": "[B, channels, height, width], floating."})

    def __init__(self, net: Callable[[Any], GridLayers], path: str) -> None:
        self.net, self.path = net, path

    def spec(self, config: Any) -> Any:
        """The network."""
        return self.net(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network.

        Raises:
            TypeError: for options of other models of images.
        """
        if pooler or masked:
            raise TypeError(f"add_pooling_layer and use_mask_token are not for {config.model_type!r} models")
        made = wiring(model).facts["spec"] = self.spec(config)
        home = tuple(made.names["patch"].rpartition(".")[0].split("."))
        if not self.path:
            fill_encoder(model, made)
            wiring(model).roles["token"] = home
            return
        place(model, "net", self.path, grid_encoder(made))
        wiring(model).roles["token"] = (*self.path.split("."), *home)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images and compute the last map.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape.
        """
        node: Any = leaf(model, "net") if self.path else model
        images = maps_in(given, wiring(model).facts["spec"].stem.channels)
        images, walk = images.to(next(node.parameters()).dtype), walk_of(model, ask)
        if self.path:
            own = (walk,) if isinstance(node, GridEncoder) else ()
            found = node(images, *own)[0]
        else:
            found = last_map(model, images, walk)
        hidden, weights = (None if one is None else tuple(one) for one in (walk.hidden, walk.weights))
        return states_in(BaseModelOutput(found, hidden_states=hidden, attentions=weights))

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, [B, C, H, W], and what was asked for."""
        return BaseModelOutput(states.rows, hidden_states=states.hidden, attentions=states.attentions)

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """From the spec."""
        return wiring(model).facts["spec"].std, {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of layers of that name."""
        return node_class(name)


def walk_of(model: Any, ask: Ask) -> Walk:
    """What a pass shares, by what is asked for."""
    return Walk(
        watched=watched(model) or bool(ask.padded),
        eager=ask.attentions or ask.backend == "eager",
        recompute=model.gradient_checkpointing and model.training and torch.is_grad_enabled(),
        hidden=[] if ask.hidden else None,
        weights=[] if ask.attentions else None,
    )


class PointedMasks(Gridded):
    """A network over a grid, what encodes prompts, and what makes masks of both.

    Args:
        net, path: see `Gridded`.
        prompts, decoder: config -> their specs.
        paths: of `prompts`, `decoder` and `places`, whose waves those of the prompts share.
    """

    inputs: tuple[str, ...] = (
        "pixel_values",
        *_PROMPTS,
        "image_embeddings",
        "multimask_output",
        "attention_similarity",
        "target_embedding",
        *_SIZES,
        *_ASKED,
    )
    means: Mapping[str, str] = MappingProxyType(
        {
            **Gridded.means,
            "input_points": "[B, P, n, 2], pixels across and down, n points for each of P masks.",
            "input_labels": "[B, P, n]: 1 in what is meant (the default), 0 outside, -10 for no point.",
            "input_boxes": "[B, P, 4], left, top, right, bottom, in pixels.",
            "input_masks": "[B, 1, h, w], logits of an earlier pass.",
            "image_embeddings": "in place of `pixel_values`, what `get_image_embeddings` returned.",
            "multimask_output": "three masks for each prompt (the default), or one.",
            "attention_similarity": "added to scores between tokens and places (arXiv:2305.03048).",
            "target_embedding": "added to the tokens before every layer, likewise.",
            **dict.fromkeys(_SIZES, "of the processor, for `post_process_masks`; no model reads it."),
        }
    )

    def __init__(
        self,
        net: Callable[[Any], GridLayers],
        path: str,
        prompts: Callable[[Any], Prompts],
        decoder: Callable[[Any], Pointed],
        paths: Mapping[str, str],
    ) -> None:
        super().__init__(net, path)
        self.prompts, self.decoder, self.paths = prompts, decoder, paths
        self.offers = {
            "get_image_embeddings": image_embeddings,
            "get_prompt_embeddings": prompt_embeddings,
            "get_image_wide_positional_embeddings": positions,
        }

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all three."""
        prompts, (home, _, name) = self.prompts(config), self.paths["places"].rpartition(".")
        place(model, "places", home, PlaceWaves(prompts, name))
        super().place(model, config, pooler, masked)
        place(model, "prompts", self.paths["prompts"], PromptEncoder(prompts))
        place(model, "decoder", self.paths["decoder"], MaskDecoder(self.decoder(config)))

    def ties(self, model: Any) -> dict[str, str]:
        """Places of prompts and of the map are said by one tensor."""
        inner = wiring(leaf(model, "prompts")).facts["spec"].names["place"]
        return {f"{self.paths['prompts']}.{inner}": self.paths["places"]}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """The config's, but for the network's."""
        std, own = wiring(model).facts["spec"].std, leaf(model, "net").named_parameters()
        return initial_deviations(model)[0], {f"{self.path}.{name}": std for name, _ in own}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images, or what was made of them, and prompts.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for inputs that do not fit each other.
        """
        if (given.get("pixel_values") is None) == (given.get("image_embeddings") is None):
            raise ValueError("pixel_values or image_embeddings must be given, and not both")
        if given.get("image_embeddings") is None:
            states = super().run(model, given, ask)
        else:
            states = states_in(BaseModelOutput(given["image_embeddings"]))
        check_prompts(given, len(states.rows))
        looked = watched(model) or bool(ask.padded)
        points, labels = given.get("input_points"), given.get("input_labels")
        if points is not None and labels is None:
            labels = torch.ones(points.shape[:3], dtype=torch.int, device=points.device)
        sparse, dense = leaf(model, "prompts")(
            points, labels, given.get("input_boxes"), given.get("input_masks")
        )
        wanted, node = given.get("multimask_output"), leaf(model, "decoder")
        states.extras["masks"], states.extras["quality"] = node(
            states.rows,
            positions(model),
            sparse,
            dense,
            True if wanted is None else bool(wanted),
            given.get("attention_similarity"),
            given.get("target_embedding"),
            *((looked,) if isinstance(node, MaskDecoder) else ()),
        )
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Masks, their quality, and what was asked for of the network."""
        made = states.extras
        return PointedMasksOutput(made["quality"], made["masks"], states.hidden, states.attentions)


def check_prompts(given: Mapping[str, Any], batch: int) -> None:
    """Refuse prompts that do not fit each other, or the images."""
    points, boxes = given.get("input_points"), given.get("input_boxes")
    for name, value, dim, last in (("input_points", points, 4, 2), ("input_boxes", boxes, 3, 4)):
        if value is None:
            continue
        wanted = f"[{batch}, P{', n' * (dim == 4)}, {last}], for P masks of each image"
        if value.dim() != dim or value.shape[-1] != last or len(value) != batch:
            raise ValueError(f"{name} must have shape {wanted}, not {list(value.shape)}")
    if points is not None and boxes is not None and points.shape[1] != boxes.shape[1]:
        raise ValueError(
            f"points and boxes are for the same masks, but there are points for {points.shape[1]} and boxes "
            f"for {boxes.shape[1]} of them"
        )


@torch.no_grad()
def image_embeddings(model: Any, pixel_values: Tensor, **given: Any) -> Tensor:
    """[B, channels, height, width] -> the map that `image_embeddings` takes, [B, E, H, W]; no gradient."""
    refuse_inputs(model, given, _ASKED)
    given.pop("return_dict", None)
    ask = taken_ask(model, given)
    return Gridded.run(assembly_of(model), model, {"pixel_values": pixel_values}, ask).rows


@torch.no_grad()
def prompt_embeddings(model: Any, *args: Any, **given: Any) -> tuple[Tensor | None, Tensor]:
    """Tokens [B, P, n, E] of points and boxes, and a map [B, E, H, W] of a mask; no gradient."""
    given = bound(model, _PROMPTS, args, given)
    refuse_inputs(model, given, _PROMPTS)
    found: tuple[Tensor | None, Tensor] = leaf(model, "prompts")(**given)
    return found


def positions(model: Any) -> Tensor:
    """Where the places of the map are, [1, E, H, W]."""
    return everywhere(leaf(model, "places"), wiring(leaf(model, "prompts")).facts["spec"].grid)
