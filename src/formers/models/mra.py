"""MRA (Zeng et al. 2022, arXiv:2207.10284): BERT whose attention has two resolutions."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import bert
from formers.models.nystromformer import NYSTROMFORMER, attending
from formers.models.registry import register
from formers.nn import spec

_BLOCK = 32  # tokens


class MraConfig(bert.BertConfig):
    """Configuration of MRA."""

    model_type = "mra"
    # a mean looks ahead
    _available = {
        **bert.BertConfig._available,
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "approx_mode": ("full", "sparse"),
    }
    vocab_size: int = 50265
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    block_per_row: int = 4
    approx_mode: str = "full"
    initial_prior_first_n_blocks: int = 0
    initial_prior_diagonal_n_blocks: int = 0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2


def stack(c: MraConfig) -> spec.Stack:
    """The encoder."""
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    blocks = c.max_position_embeddings // _BLOCK
    attention = spec.MultiResolution(
        heads,
        dropout=c.attention_probs_dropout_prob,
        drops=False,
        scale=max(heads.width, 32) ** -0.5,  # narrower heads were trained among zeros
        block=_BLOCK,
        chosen=min(blocks * c.block_per_row, blocks**2),
        coarse=c.approx_mode == "full",
        first=c.initial_prior_first_n_blocks,
        diagonal=c.initial_prior_diagonal_n_blocks,
    )
    made = attending(c, attention, "MraLayer")
    assert isinstance(made.stem, spec.Tokens)
    positions = spec.LearnedPositions(c.max_position_embeddings + 2, first=2, numbers=True)
    names = made.names.with_(embeddings={"position_numbers": "embeddings.position_ids"})
    return replace(made, stem=replace(made.stem, positions=positions), names=names)


MRA = register(
    replace(
        NYSTROMFORMER,
        model_type="mra",
        name="Mra",
        config=MraConfig,
        base="mra",
        assembly=Single(stack),
        ignored=(),
    )
)
