"""A network of the timm package, which makes and computes it; here it is a model with a config and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import Assembly
from formers.core.extras import need
from formers.core.outputs import BaseModelOutputWithPooling, ModelOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.stems.base import maps_in
from formers.nn.tree import wiring
from formers.stacks.stack import Ask, States

NETWORK = "timm_model"  # where it lies


@dataclass(frozen=True)
class Made:
    """A network whose parts are another package's.

    Attributes:
        kinds: what it is made of, in words.
    """

    kinds: tuple[str, ...] = ("a network of timm",)


class TimmNetwork(Assembly):
    """One network by its name in timm.

    Args:
        labelled: with the head that timm gives it, whose logits are `States.pooled`; else without one.
    """

    inputs = ("pixel_values", "do_pooling", "output_attentions", "output_hidden_states", "return_dict")
    main = "pixel_values"
    returns = BaseModelOutputWithPooling
    means: Mapping[str, str] = MappingProxyType(
        {
            "pixel_values": "[B, channels, height, width], floating.",
            "do_pooling": "return `pooler_output`, [B, E]; as the config says by default.",
            "output_hidden_states": "return what every stage or layer makes, or those of such numbers.",
            "output_attentions": "timm's networks return no weights: False alone is taken.",
        }
    )

    def __init__(self, labelled: bool = False) -> None:
        self._labelled = labelled

    def spec(self, config: Any) -> Any:
        """What is known of it here."""
        return Made()

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Let timm make the network, with its values: tables that no file holds are among them.

        Raises:
            MissingExtra: without timm.
            ValueError: for a network that timm does not know, or one that cannot be made so.
        """
        timm = need("timm", "timm", f"the network {config.architecture!r}")
        # newer files have the number of labels among the arguments too
        more = {**(config.model_args or {}), "num_classes": config.num_labels if self._labelled else 0}
        try:
            with torch.device("cpu"):  # not without storage: timm computes tables while it makes it
                network = timm.create_model(config.architecture, pretrained=False, **more)
        except RuntimeError as error:
            if "Unknown model" not in str(error):
                raise
            raise ValueError(
                f"timm {timm.__version__} has no network {config.architecture!r}; a newer one may: "
                "pip install -U timm"
            ) from error
        except TypeError as error:
            raise ValueError(
                f"timm cannot make {config.architecture!r} with model_args={config.model_args!r}: {error}"
            ) from error
        mark_filled(network)
        model.add_module(NETWORK, network)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read images and compute.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a tensor of another shape, for what the network cannot return, and where layers
                should be recomputed and it cannot.
        """
        network = getattr(model, NETWORK)
        if ask.attentions:
            raise ValueError("output_attentions=True: timm's networks return no weights; leave it out")
        x = maps_in(given, int((model.config.model_args or {}).get("in_chans", 3)))
        weight = next(network.parameters())
        _recompute(model, network, model.gradient_checkpointing and model.training)
        found, hidden = _features(network, x.to(weight.device, weight.dtype), ask.hidden)
        last = found[-1] if isinstance(found, (list, tuple)) else found
        layout, at = Layout.dense(last.shape[0], 1), torch.zeros(1, 1, dtype=torch.long, device=last.device)
        pass_ = Pass(Geometry(layout, at), Visibility(), eager, watched=True)
        if hidden is not None:
            pass_.trace["hidden_states"] = list(hidden)
        states = States(last, pass_, spread_out=True, extras={"found": found})
        pools = given.get("do_pooling")
        pools = model.config.do_pooling if pools is None else pools
        if (self._labelled or pools) and found is last:
            states.pooled = network.forward_head(last)
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map or rows (of a network of features alone all maps), vectors, and what was asked for."""
        hidden = states.hidden
        return BaseModelOutputWithPooling(states.extras["found"], states.pooled, hidden_states=hidden)

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states."""
        return {"hidden_states": states.hidden}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of heads that a checkpoint lacks; the rest has the values that timm drew."""
        return model.config.initializer_range, {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """None that are known here: the layers are timm's."""
        return []

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """The network with its head."""
        if part != "labelled":
            return super().alone(part, config_class)
        return TimmNetwork(labelled=True)


def head_names(model: Any) -> list[str]:
    """Paths of the layers that make the logits, as timm's own record of the network says."""
    said = getattr(getattr(model, NETWORK), "default_cfg", None) or {}
    found = said.get("classifier") or ()
    return [f"{NETWORK}.{name}" for name in ((found,) if isinstance(found, str) else found)]


def _features(network: Any, x: Tensor, hidden: Any) -> tuple[Any, Any]:
    """What the network makes before its head, and hidden states where they are wanted."""
    if not hasattr(network, "forward_features"):  # of features alone
        maps = network(x)
        return maps, maps if hidden else None
    if not hidden:
        return network.forward_features(x), None
    read: Callable[..., Any] | None = getattr(network, "forward_intermediates", None)
    if read is None:
        raise ValueError(
            f"output_hidden_states: timm's {type(network).__name__} does not return them; leave it out"
        )
    found, kept = read(x, **({"indices": hidden} if isinstance(hidden, list) else {}))
    return found, kept


def _recompute(model: Any, network: Any, wanted: bool) -> None:
    """Let the network compute its layers again in the backward pass, or no longer.

    Raises:
        ValueError: for one that cannot.
    """
    facts = wiring(model).facts
    if facts.get("recomputes", False) == wanted:
        return
    try:
        network.set_grad_checkpointing(wanted)
    except (AttributeError, AssertionError) as error:
        raise ValueError(
            f"timm's {type(network).__name__} cannot compute layers again: "
            "call gradient_checkpointing_disable()"
        ) from error
    facts["recomputes"] = wanted
