"""OFT's config (Qiu et al. 2023, arXiv:2306.07280)."""

from __future__ import annotations

from typing import ClassVar

from formers.adapters.config import PeftType, TargetedConfig, check_biases, declared


@declared
class OFTConfig(TargetedConfig):
    """What a leaf reads is rotated, block by block.

    Attributes:
        r: number of blocks; or `oft_block_size`: features of a block. The other is 0.
        module_dropout: share of the blocks that are left as they are, in training.
        fan_in_fan_out: the weight is stored [in, out]; read off the leaf.
        bias: which biases are trained: "none", "all" or "oft_only".
        init_weights: begin with no rotation; else rotations are drawn.
        coft: keep rotations within `eps` of none.
        block_share: one rotation for all blocks.
        use_cayley_neumann: make rotations of `num_cayley_neumann_terms` of a series, with no inverse.
    """

    kind: ClassVar[PeftType | None] = PeftType.OFT

    r: int = 0
    oft_block_size: int = 32
    module_dropout: float = 0.0
    fan_in_fan_out: bool = False
    bias: str = "none"
    init_weights: bool = True
    coft: bool = False
    eps: float = 6e-5
    block_share: bool = False
    use_cayley_neumann: bool = True
    num_cayley_neumann_terms: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_biases(self.bias, "oft_only")
        if (self.r != 0) == (self.oft_block_size != 0):
            raise ValueError(
                f"give one of r and oft_block_size, and 0 for the other: got {self.r} and "
                f"{self.oft_block_size}; their product is the width that a leaf reads"
            )
