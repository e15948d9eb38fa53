"""Networks over grids that grow coarser, maps of their stages, and masks of what is pointed at in those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.assemblies.base import assembly_of, refuse_inputs, states_in, taken_ask
from formers.assemblies.vision.promptable_masks import (
    Gridded,
    PointedMasks,
    check_prompts,
    positions,
    prompt_embeddings,
    walk_of,
)
from formers.core.outputs import BaseModelOutput, ModelOutput, SharpMasksOutput, StagesOutput
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Constant
from formers.nn.nets.grid_layers import Walk
from formers.nn.nets.pooled_grids import PyramidNet, fill_grid, fill_pyramid, node_class, pyramid, stages
from formers.nn.nets.prompted_masks import PlaceWaves, PromptEncoder, SharpMaskDecoder
from formers.nn.spec.grid_layers import Pointed, Prompts
from formers.nn.spec.pooled_grids import PooledGrid, Pyramid
from formers.nn.stems.base import maps_in
from formers.nn.tree import leaf, place, place_tensor, wiring
from formers.stacks.stack import Ask, States

_ASKED = ("output_attentions", "output_hidden_states", "return_dict")


class PooledGrids(Gridded):
    """One network over a grid that grows coarser, on the model itself.

    Args:
        net: config -> its spec.
    """

    def __init__(self, net: Callable[[Any], PooledGrid]) -> None:
        super().__init__(net, "")  # type: ignore[arg-type]  # another kind of grid

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the network.

        Raises:
            TypeError: for options of other models of images.
        """
        self._refuse(config, pooler, masked)
        made = wiring(model).facts["spec"] = self.spec(config)
        self._fill(model, made, config)
        wiring(model).roles["token"] = self._first(model, made)

    @staticmethod
    def _refuse(config: Any, pooler: bool | None, masked: bool) -> None:
        if pooler or masked:
            raise TypeError(f"add_pooling_layer and use_mask_token are not for {config.model_type!r} models")

    def _fill(self, model: Any, made: PooledGrid, config: Any) -> None:
        fill_grid(model, made)

    def _first(self, model: Any, made: PooledGrid) -> tuple[str, ...]:
        """The path of what makes patches."""
        return tuple(made.names["patch"].split(".")[:-1])

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images and compute the maps of all stages.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape.
        """
        images = maps_in(given, wiring(model).facts["spec"].channels)
        walk = walk_of(model, ask)
        found = self._read(model, images.to(next(model.parameters()).dtype), walk)
        hidden, weights = (None if one is None else tuple(one) for one in (walk.hidden, walk.weights))
        states = states_in(BaseModelOutput(found.last_hidden_state, hidden_states=hidden, attentions=weights))
        states.extras["maps"] = found
        return states

    def _read(self, model: Any, images: Tensor, walk: Walk) -> StagesOutput:
        return stages(model, images, walk)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, those of all stages, and what was asked for."""
        found: StagesOutput = states.extras["maps"]
        found.hidden_states, found.attentions = states.hidden, states.attentions
        return StagesOutput(**found)

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of layers of that name."""
        return node_class(name)


class Pyramids(PooledGrids):
    """Such a network under a path, and maps of one width of its stages.

    Args:
        net, neck: config -> their specs.
    """

    def __init__(self, net: Callable[[Any], PooledGrid], neck: Callable[[Any], Pyramid]) -> None:
        super().__init__(net)
        self.neck = neck

    def _fill(self, model: Any, made: PooledGrid, config: Any) -> None:
        fill_pyramid(model, made, self.neck(config))

    def _first(self, model: Any, made: PooledGrid) -> tuple[str, ...]:
        return (*wiring(model).roles["grid"], *super()._first(model, made))

    def _read(self, model: Any, images: Tensor, walk: Walk) -> StagesOutput:
        return pyramid(model, images, walk, True)


class HighResolutionMasks(PointedMasks):
    """Maps of all stages of a network, what encodes prompts, and what makes masks of both: SAM 2.

    Args:
        net, neck, prompts, decoder: config -> their specs.
        sizes: config -> (height, width) of the maps that are read, the finest first.
        paths: of `net`, `prompts`, `decoder`, `places`, and `alone`, what is added to the coarsest map where
            no film is.
    """

    means: Mapping[str, str] = MappingProxyType(
        {
            **PointedMasks.means,
            "input_labels": "[B, P, n]: 1 in what is meant (the default), 0 outside, -1 for no place, "
            "-10 for no point, 2 and 3 for two corners.",
            "input_masks": "[B, 1, h, w], logits of an earlier pass, of any size.",
            "image_embeddings": "in place of `pixel_values`, the maps that `get_image_embeddings` returned.",
        }
    )

    def __init__(
        self,
        net: Callable[[Any], PooledGrid],
        neck: Callable[[Any], Pyramid],
        prompts: Callable[[Any], Prompts],
        decoder: Callable[[Any], Pointed],
        sizes: Callable[[Any], tuple[tuple[int, int], ...]],
        paths: Mapping[str, str],
    ) -> None:
        super().__init__(net, paths["net"], prompts, decoder, paths)  # type: ignore[arg-type]  # another grid
        self.neck, self.sizes = neck, sizes
        self.offers = {
            "get_image_embeddings": image_embeddings,
            "get_image_features": image_features,
            "get_prompt_embeddings": prompt_embeddings,
            "get_image_wide_positional_embeddings": positions,
        }

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all of it.

        Raises:
            TypeError: for options of other models of images.
        """
        PooledGrids._refuse(config, pooler, masked)
        prompts, (home, _, name) = self.prompts(config), self.paths["places"].rpartition(".")
        facts, neck, net = wiring(model).facts, self.neck(config), PyramidNet()
        facts["spec"], facts["sizes"] = self.spec(config), self.sizes(config)
        zeros = torch.zeros(1, 1, neck.width)
        place_tensor(model, "alone", self.paths["alone"], zeros, Constant(0.0))
        place(model, "places", home, PlaceWaves(prompts, name))
        fill_pyramid(net, facts["spec"], neck)
        place(model, "net", self.path, net)
        first = facts["spec"].names["patch"].split(".")[:-1]
        wiring(model).roles["token"] = (self.path, *wiring(net).roles["grid"], *first)
        place(model, "prompts", self.paths["prompts"], PromptEncoder(prompts))
        place(model, "decoder", self.paths["decoder"], SharpMaskDecoder(self.decoder(config)))

    def ties(self, model: Any) -> dict[str, str]:
        """Places of prompts and of the map are told by a tensor each."""
        return {}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images, or what was made of them, and prompts.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for inputs that do not fit each other.
        """
        if (given.get("pixel_values") is None) == (given.get("image_embeddings") is None):
            raise ValueError("pixel_values or image_embeddings must be given, and not both")
        walk = walk_of(model, ask)
        if given.get("image_embeddings") is None:
            maps = self.maps(model, self.read(model, given, walk))
        else:
            maps = [*given["image_embeddings"]]
            if len(maps) != len(wiring(model).facts["sizes"]):
                raise ValueError(
                    f"image_embeddings are {len(wiring(model).facts['sizes'])} maps, as get_image_embeddings "
                    f"returns them, not {len(maps)}"
                )
        check_prompts(given, len(maps[-1]))
        found = self.masks(model, maps, given, walk.watched)
        hidden, weights = (None if one is None else tuple(one) for one in (walk.hidden, walk.weights))
        states = states_in(BaseModelOutput(maps[-1], hidden_states=hidden, attentions=weights))
        states.extras.update(masks=found[0], quality=found[1], there=found[3], maps=maps)
        return states

    @staticmethod
    def masks(
        model: Any, maps: list[Tensor], given: Mapping[str, Any], watched: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Masks of what prompts mean in maps; see `SharpMaskDecoder`."""
        found: tuple[Tensor, Tensor, Tensor, Tensor] = leaf(model, "decoder")(
            maps[-1],
            positions(model),
            *_prompted(model, given, maps[-1]),
            given.get("multimask_output") is not False,
            tuple(maps[:-1]),
            given.get("attention_similarity"),
            given.get("target_embedding"),
            watched,
        )
        return found

    def read(self, model: Any, given: dict[str, Any], walk: Walk, placed: bool = False) -> StagesOutput:
        """The maps of images, those that masks are made with projected, and their places.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for images whose maps have other sizes than the config says.
        """
        node, decoder = leaf(model, "net"), leaf(model, "decoder")
        images = maps_in(given, wiring(model).facts["spec"].channels)
        found: StagesOutput = node(images.to(next(node.parameters()).dtype), walk, placed)
        fine, mid, *rest = found.fpn_hidden_states or ()
        maps = (leaf(decoder, "near0")(fine), leaf(decoder, "near1")(mid), *rest)
        made, wanted = tuple(tuple(one.shape[2:]) for one in maps), wiring(model).facts["sizes"]
        if made != wanted:
            raise ValueError(
                f"maps of these images have {list(made)} places, but the config's backbone_feature_sizes say "
                f"{list(wanted)}: the model's image processor brings pictures to the size that fits"
            )
        found.fpn_hidden_states = maps
        return found

    @staticmethod
    def maps(model: Any, found: StagesOutput) -> list[Tensor]:
        """The maps that masks are made of, the finest first."""
        *finer, last = found.fpn_hidden_states or ()
        return [*finer, last + leaf(model, "alone").transpose(1, 2)[..., None]]

    def output(self, model: Any, states: States) -> ModelOutput:
        """Masks, their quality, whether there is anything, the maps, and what was asked for."""
        made = states.extras
        told = made["quality"], made["masks"], made["there"], made["maps"]
        return SharpMasksOutput(*told, states.hidden, states.attentions)

    def layer_class(self, name: str) -> type[nn.Module]:
        """The class of layers of that name."""
        return node_class(name)


def _prompted(model: Any, given: Mapping[str, Any], last: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and a map of prompts; of none a point that stands for no place."""
    points, labels, boxes = (given.get(f"input_{name}") for name in ("points", "labels", "boxes"))
    if points is None and boxes is None:
        points = last.new_zeros(last.shape[0], 1, 1, 2)
        labels = torch.full(points.shape[:3], -1, device=last.device)
    elif points is not None and labels is None:
        labels = torch.ones(points.shape[:3], dtype=torch.int, device=points.device)
    masks, side = given.get("input_masks"), 4 * wiring(leaf(model, "prompts")).facts["spec"].grid
    if masks is not None and tuple(masks.shape[-2:]) != (side, side):
        small = F.interpolate(
            masks.float(), (side, side), mode="bilinear", align_corners=False, antialias=True
        )
        masks = small.to(masks.dtype)
    found: tuple[Tensor, Tensor] = leaf(model, "prompts")(points, labels, boxes, masks)
    return found


@torch.no_grad()
def image_embeddings(model: Any, pixel_values: Tensor, **given: Any) -> list[Tensor]:
    """[B, channels, height, width] -> maps that `image_embeddings` takes, the finest first; no gradient."""
    found, _ = _read(model, pixel_values, given)
    maps: list[Tensor] = assembly_of(model).maps(model, found)
    return maps


def image_features(model: Any, pixel_values: Tensor, **given: Any) -> ModelOutput | tuple[Any, ...]:
    """What the network makes of images, its maps and their places as rows [H * W, B, E], the finest first."""
    wanted = given.pop("return_dict", None)
    found, walk = _read(model, pixel_values, given, True)
    rows: Any = (
        [one.flatten(2).permute(2, 0, 1) for one in maps or ()]
        for maps in (found.fpn_hidden_states, found.fpn_position_encoding)
    )
    hidden, weights = (None if one is None else tuple(one) for one in (walk.hidden, walk.weights))
    record = StagesOutput(found.last_hidden_state, None, hidden, weights, *rows)
    return record.to_tuple() if wanted is False else record


def _read(
    model: Any, images: Tensor, given: dict[str, Any], placed: bool = False
) -> tuple[StagesOutput, Walk]:
    refuse_inputs(model, given, _ASKED)
    given.pop("return_dict", None)
    walk = walk_of(model, taken_ask(model, given))
    return assembly_of(model).read(model, {"pixel_values": images}, walk, placed), walk
