"""What specs of every kind are made of: heads, norms, slots, names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Paths = Mapping[str, "str | None"]  # role -> path of its leaf; None leaves the role out


class SpecError(ValueError):
    """A spec and its names do not fit each other."""


@dataclass(frozen=True)
class Grouped:
    """A linear leaf of `count` parts, each from its share of the features to its share of the results.

    The weight is [count, in / count, out / count], or that of a `pointwise` convolution, which sees [B, E, T]
    where somebody looks.
    """

    count: int
    pointwise: bool = False


LinearKind = Literal["linear", "conv1d"] | Grouped


@dataclass(frozen=True)
class Heads:
    """Head geometry: `query` heads share `key_value` heads, each `width` features wide."""

    query: int
    key_value: int
    width: int

    def __post_init__(self) -> None:
        if self.query <= 0 or self.key_value <= 0 or self.query % self.key_value:
            raise ValueError(
                f"the number of key/value heads must divide the number of attention heads ({self.query}), "
                f"but is {self.key_value}"
            )

    @classmethod
    def split(cls, hidden: int, query: int) -> Heads:
        """Uniform heads that share `hidden` features evenly."""
        if query <= 0 or hidden % query:
            raise ValueError(
                f"the hidden size ({hidden}) must be a multiple of the number of attention heads ({query})"
            )
        return cls(query, query, hidden // query)


@dataclass(frozen=True)
class Norm:
    """Normalisation of the last axis: `layer` (mean and variance), `rms` (root mean square), or `none`.

    In place of one, `affine` scales and shifts alone.
    `offset` (of a `layer` norm: 1) is added to the stored weight. A norm may lack its weight and bias.
    The weight of a `wide` RMS norm is applied in float32 too. Where somebody looks, a `layer` norm of
    `channels` sees [B, E, T].
    """

    kind: Literal["layer", "rms", "affine", "none"] = "layer"
    eps: float = 1e-12
    offset: float = 0.0
    weight: bool = True
    bias: bool = True
    wide: bool = False
    channels: bool = False


@dataclass(frozen=True)
class SlotSpec:
    """What a mixer keeps between calls.

    Keys and values of all tokens (`growing`) or of the last `size` (`ring`), what they are read from
    (`latent`), a state (`recurrent`), or a state beside keys and values of all tokens (`hybrid`); or keys and
    values of no tokens, which stand beside the text (`kept`).
    """

    kind: Literal["growing", "ring", "latent", "recurrent", "hybrid", "kept"] = "growing"
    size: int = 0


@dataclass(frozen=True)
class Names:
    """Where each role's leaf is registered: the module tree of the ecosystem's checkpoints.

    `layer` maps a role to its path inside a layer; a path of None leaves the role out. `{role}_add` names
    the node in which a residual sum belongs, where that does not follow from the leaves around it.
    `layers` is the path of their list; where it is empty, no node holds a layer: its parts lie in lists
    beside each other, `attentions.{i}.q`, and `{i}` is its number.
    """

    layers: str
    layer: Paths
    embeddings: Paths
    stack: Paths = field(default_factory=dict)

    def with_(self, *, layers: str | None = None, **roles: Paths) -> Names:
        """A copy in which the given tables (`layer`, `embeddings`, `stack`) are updated."""
        updated = {name: {**getattr(self, name), **table} for name, table in roles.items()}
        return replace(self, **{**updated, **({"layers": layers} if layers else {})})  # type: ignore[arg-type]


def crossed(paths: Paths) -> dict[str, str | None]:
    """The paths of self attention's roles as those of cross attention's: `q` -> `cross_q`, and so on."""
    return {f"cross_{role.removeprefix('attention_')}": path for role, path in paths.items()}
