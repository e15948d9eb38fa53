"""Maps of an image at several sizes, for detectors and segmenters to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from formers.core.outputs import BackboneOutput, ModelOutput
from formers.nn.nets.leaves import leaf_of
from formers.nn.nets.tree import compute, fill
from formers.nn.spec import multi_scale, nets
from formers.nn.tree import hold, leaf, place, wiring
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """How maps follow from hidden states.

    Attributes:
        widths: channels of the hidden states, the first one's before the first stage.
        norms: path of a node with a norm for each stage that is given out; None for no norms. If `every`, it
            is a list with one for every stage, and the patches themselves are never given out.
        norm: the spec of one, of so many channels; it reads `rows` [B, H * W, C], or the map.
        shared: path of one norm of all hidden states that are given out; whether it is `applied`, as that of
            the `last` one may be all the same (then whoever looks sees it called for all of them).
        shaped: what becomes of a hidden state, given the model, the state and the inputs; None: it stays.
        scales: name -> a record of `spec.nets`, for each map that is given out; None: they keep their sizes.
    """

    widths: Sequence[int]
    norms: str | None = None
    norm: Callable[[int], Any] | None = None
    rows: bool = False
    every: bool = False
    shared: str | None = None
    applied: bool = True
    last: bool = False
    shaped: Callable[[Any, Tensor, Mapping[str, Any]], Tensor] | None = None
    scales: Mapping[str, Any] | None = None


def of_patches(
    patch: tuple[int, int], before: int, maps: bool = True
) -> Callable[[Any, Tensor, Mapping[str, Any]], Tensor]:
    """States of patches of that size, behind `before` tokens, as maps: [B, T, E] -> [B, E, down, across].

    Or, without `maps`, as rows [B, patches, E].
    """

    def shaped(model: Any, state: Tensor, given: Mapping[str, Any]) -> Tensor:
        down, across = (
            size // side for size, side in zip(given["pixel_values"].shape[2:], patch, strict=True)
        )
        if not maps:
            return state[:, before:]
        rows = state[:, before:].transpose(1, 2)
        return rows.reshape(*rows.shape[:2], down, across)

    return shaped


class BackboneMixin:
    """What models of maps say of their stages; beside `PreTrainedModel`, models of one's own say it too.

    Attributes:
        stage_names: all stages, the stem first.
        num_features: channels of their maps; models set it.
        has_attentions: whether calls know `output_attentions`.
    """

    config: Any
    has_attentions: bool = True
    stage_names: list[str]
    num_features: list[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._init_backbone(self.config)

    def _init_backbone(self, config: Any) -> None:
        """Take the names of stages over; classes of packages call it by this name."""
        self.stage_names = list(config.stage_names)

    @property
    def out_features(self) -> list[str]:
        """Names of the stages whose maps are given out; they can be set."""
        found: list[str] = self.config.out_features
        return found

    @out_features.setter
    def out_features(self, value: list[str]) -> None:
        self.config.out_features = value

    @property
    def out_indices(self) -> list[int]:
        """Their numbers."""
        found: list[int] = self.config.out_indices
        return found

    @out_indices.setter
    def out_indices(self, value: list[int]) -> None:
        self.config.out_indices = value

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """Stage -> channels, for all stages."""
        return dict(zip(self.stage_names, self.num_features, strict=True))

    @property
    def channels(self) -> list[int]:
        """Channels of the maps that are given out."""
        return [self.out_feature_channels[stage] for stage in self.out_features]

    def forward_with_filtered_kwargs(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model without what it does not know of the keywords."""
        if not self.has_attentions:
            kwargs.pop("output_attentions", None)
        return self(*args, **kwargs)  # type: ignore[operator]  # a module is beside it


class Backbone(BackboneMixin, TaskModel):
    """Hidden states of the stages that `out_features` names, as maps."""

    _flat_pooler = False
    _targets = ()
    _options = ("return_dict",)
    _says = "Read images. `feature_maps`: a map [B, channels, height, width] for each of `out_features`."

    def _place_head(self, spec: Spec, config: Any) -> None:
        self._init_backbone(config)
        self.num_features = list(spec.widths)
        wiring(self._owner()).facts["maps"] = True  # a trunk below is asked for these alone
        if spec.shared is not None and spec.norm is not None:
            place(self, "shared", spec.shared, leaf_of(spec.norm(spec.widths[-1])))
        if spec.every and self.stage_names[0] in self.out_features:
            raise ValueError(
                f"{type(self).__name__} gives out maps of stages alone: leave {self.stage_names[0]!r} out of "
                "out_features"
            )
        if spec.norms is not None and spec.norm is not None and spec.every:
            hold(self, spec.norms, nn.ModuleList(leaf_of(spec.norm(width)) for width in spec.widths[1:]))
        elif spec.norms is not None and spec.norm is not None:
            channels = zip(self.out_features, self.channels, strict=True)
            norms = {stage: leaf_of(spec.norm(width)) for stage, width in channels}
            hold(self, spec.norms, nn.ModuleDict(norms))
        if spec.scales is not None:
            fill(self, nets.Node(spec.scales))

    def _optional_parts(self) -> list[str]:
        """The norms of maps, and what stands below the name of a trunk and gives no map."""
        spec: Spec = wiring(self).facts["head"]
        return [f"{self.base_model_prefix}.", *([f"{spec.norms}."] if spec.norms else [])]

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        wiring(self).facts["wanted"] = ask.hidden
        ask.hidden = True

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = wiring(self).facts["head"]
        norms: Any = None if spec.norms is None else self.get_submodule(spec.norms)
        maps: Any = []
        found = states.extras.get("maps") or states.hidden or ()
        for number, (stage, state) in enumerate(zip(self.stage_names, found, strict=False)):
            given_out = stage in self.out_features
            applied = spec.applied or (spec.last and stage == self.stage_names[-1])
            if spec.shared is not None and applied and (given_out or spec.last and states.watched):
                state = leaf(self, "shared")(state)
            if spec.every and number and states.watched and not given_out:
                _by_rows(norms[number - 1], state)  # who looks sees all of them
            if given_out:
                shaped = state if spec.shaped is None else spec.shaped(self, state, given)
                if norms is not None:
                    norm = norms[number - 1] if spec.every else norms[stage]
                    shaped = _by_rows(norm, shaped) if spec.rows else norm(shaped)
                maps.append(shaped)
        if spec.scales is not None:
            maps = compute(self, (multi_scale.Each(tuple(spec.scales)),), maps, [], None)
        hidden = states.hidden if wiring(self).facts["wanted"] else None
        return BackboneOutput(tuple(maps), hidden, states.attentions)


def _by_rows(norm: nn.Module, x: Tensor) -> Tensor:
    """A norm of rows on a map [B, C, H, W]."""
    normed: Tensor = norm(x.flatten(2).transpose(1, 2))
    return normed.transpose(1, 2).reshape(x.shape)
