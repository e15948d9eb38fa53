"""YOSO (Zeng et al. 2021, arXiv:2111.09714): BERT that attends by the chance that hashes collide."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import bert
from formers.models.nystromformer import NYSTROMFORMER, attending
from formers.models.registry import register
from formers.nn import spec


class YosoConfig(bert.BertConfig):
    """Configuration of YOSO."""

    model_type = "yoso"
    _available = {
        **bert.BertConfig._available,
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "use_expectation": (True,),  # hashes that are drawn give another result each time
    }
    vocab_size: int = 50265
    max_position_embeddings: int = 4096
    type_vocab_size: int = 1
    use_expectation: bool = True
    hash_code_len: int = 9
    num_hash: int = 64
    conv_window: int | None = None
    use_fast_hash: bool = True
    lsh_backward: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2


def stack(c: YosoConfig) -> spec.Stack:
    """The encoder."""
    attention = spec.HashedAttention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_probs_dropout_prob,
        drops=False,
        bits=c.hash_code_len,
        kernel=c.conv_window,
    )
    return attending(c, attention, "YosoLayer")


YOSO = register(
    replace(
        NYSTROMFORMER,
        model_type="yoso",
        name="Yoso",
        config=YosoConfig,
        base="yoso",
        assembly=Single(stack),
    )
)
