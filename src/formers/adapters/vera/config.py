"""VeRA's config (Kopiczko et al. 2023, arXiv:2310.11454)."""

from __future__ import annotations

from typing import ClassVar

from formers.adapters.config import PeftType, TargetedConfig, check_biases, check_ranks, declared


@declared
class VeraConfig(TargetedConfig):
    """Two drawn matrices that all leaves share, and two learned vectors for each leaf.

    Attributes:
        r: rank of the matrices.
        projection_prng_key: what they are drawn from.
        save_projection: whether files hold them.
        vera_dropout: of what the first reads, in training.
        d_initial: the first value of the vector between them.
        fan_in_fan_out: the weight is stored [in, out]; read off the leaf.
        bias: which biases are trained: "none", "all" or "vera_only".
        init_weights: begin with no change; else the vectors are drawn.
    """

    kind: ClassVar[PeftType | None] = PeftType.VERA
    own: ClassVar[tuple[str, ...]] = ("exclude_modules",)

    r: int = 256
    projection_prng_key: int = 0
    save_projection: bool = True
    vera_dropout: float = 0.0
    d_initial: float = 0.1
    fan_in_fan_out: bool = False
    bias: str = "none"
    init_weights: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranks(self.r)
        check_biases(self.bias, "vera_only")
