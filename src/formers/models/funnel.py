"""Funnel Transformer (Dai et al. 2020, arXiv:2006.03236): blocks that read half as many places each.

A place counts where all its tokens do. Where a short text leaves a block with none, as behind padding on the
left, its places see each other as if there were no padding. So do the reference's, but with scores less 1e6,
of which float32 keeps sixteenths: there its answers are 1e-3 apart from these.
"""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.text.pooled_blocks import PooledBlocks
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.fresh import BySize
from formers.tasks.specs import Labels, Replaced, Sequences, Spans, Words


class FunnelConfig(PretrainedConfig):
    """Configuration of Funnel Transformer."""

    model_type = "funnel"
    attribute_map = {"hidden_size": "d_model", "num_attention_heads": "n_head"}
    _available = {"pooling_type": ("mean", "max"), "attention_type": ("relative_shift", "factorized")}
    vocab_size: int = 30522
    block_sizes: list[int] = [4, 4, 4]
    block_repeats: list[int] | None = None
    num_decoder_layers: int = 2
    d_model: int = 768
    n_head: int = 12
    d_head: int = 64
    d_inner: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    initializer_range: float = 0.1
    initializer_std: float | None = None
    layer_norm_eps: float = 1e-9
    pooling_type: str = "mean"
    attention_type: str = "relative_shift"
    separate_cls: bool = True
    truncate_seq: bool = True
    pool_q_only: bool = True
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.block_repeats is None:
            self.block_repeats = [1] * len(self.block_sizes)

    @property
    def num_hidden_layers(self) -> int:
        """Layers of all blocks."""
        return sum(self.block_sizes)

    @property
    def num_blocks(self) -> int:
        """How many blocks there are."""
        return len(self.block_sizes)


NAMES = spec.Names(
    layers="encoder.blocks",
    layer={
        **{role: f"attention.{role}_head" for role in "qkv"},
        "o": "attention.post_proj",
        "r": "attention.r_kernel",
        "content_bias": "attention.r_w_bias",
        "distance_bias": "attention.r_r_bias",
        "segment_bias": "attention.r_s_bias",
        "segment": "attention.seg_embed",
        "weights_dropout": "attention.attention_dropout",
        "attention_dropout": "attention.hidden_dropout",
        "attention_norm": "attention.layer_norm",
        "up": "ffn.linear_1",
        "act": "ffn.activation_function",
        "inner_dropout": "ffn.activation_dropout",
        "down": "ffn.linear_2",
        "feedforward_dropout": "ffn.dropout",
        "feedforward_norm": "ffn.layer_norm",
    },
    embeddings={
        "token": "embeddings.word_embeddings",
        "embedding_norm": "embeddings.layer_norm",
        "embedding_dropout": "embeddings.dropout",
    },
)
PATHS = {
    "blocks": "encoder.blocks",
    "last": "decoder.layers",
    "sine_dropout": "attention_structure.sin_dropout",
    "cosine_dropout": "attention_structure.cos_dropout",
}


def stack(c: FunnelConfig) -> spec.Funnel:
    """Blocks, and layers over all tokens."""
    norm, dropout = spec.Norm("layer", c.layer_norm_eps), c.hidden_dropout
    attention = spec.Pooled(
        spec.Heads(c.n_head, c.n_head, c.d_head),
        dropout=c.attention_dropout,
        lone=c.separate_cls,
        bound=c.initializer_range,
    )
    feedforward = spec.FeedForward(c.d_inner, c.hidden_act, dropout=c.activation_dropout)
    layer = spec.layer(attention, feedforward, norm, dropout=dropout)
    std = c.initializer_std
    first = spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.d_model, norm=norm, dropout=dropout, padding_idx=c.pad_token_id),
        layers=(layer,) * (c.num_hidden_layers + c.num_decoder_layers),
        names=NAMES,
        width=c.d_model,
        layer_class="FunnelLayer",
        reports="plain",
        initial_std=BySize() if std is None else std,
        init={"word_embeddings.weight": 1.0 if std is None else std},
    )
    return spec.Funnel(
        first,
        blocks=tuple(c.block_sizes),
        repeats=tuple(c.block_repeats or ()),
        paths=PATHS,
        pool="max" if c.pooling_type == "max" else "mean",
        lone=c.separate_cls,
        cut=c.truncate_seq,
        queries=c.pool_q_only,
        factors=c.attention_type == "factorized",
        dropout=dropout,
    )


def sequences(c: FunnelConfig) -> Sequences:
    """A label by the first place of the last block."""
    return Sequences(
        "classifier.linear_out",
        dense="classifier.linear_hidden",
        pool="left",
        act="tanh",
        dropout=c.hidden_dropout,
        dropout_path="classifier.dropout",
    )


def replaced(c: FunnelConfig) -> Replaced:
    """A number for each token."""
    return Replaced(
        "discriminator_predictions.dense_prediction",
        dense="discriminator_predictions.dense",
        act=c.hidden_act,
        act_path=None,
    )


FUNNEL = register(
    Family(
        model_type="funnel",
        name="Funnel",
        config=FunnelConfig,
        base="funnel",
        assembly=PooledBlocks(stack),
        heads={
            "BaseModel": Head("encoder", lambda c: None, over="encoder"),
            "ForPreTraining": Head("replaced_tokens", replaced),
            "ForMaskedLM": Head("masked_lm", lambda c: Words("lm_head")),
            "ForSequenceClassification": Head("sequence_classification", sequences, over="encoder"),
            "ForMultipleChoice": Head("multiple_choice", sequences, over="encoder"),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout)
            ),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
        },
    )
)
