"""GPT-2 (Radford et al. 2019): pre-norm decoder, learned positions, fused projections stored transposed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.base import first_set
from formers.tasks.specs import DoubleHeads, Labels, Sequences, Spans, Words


class GPT2Config(PretrainedConfig):
    """Configuration of GPT-2."""

    model_type = "gpt2"
    attribute_map = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    summary_type: str = "cls_index"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    scale_attn_weights: bool = True
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    pad_token_id: int | None = None
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


ACROSS = {
    "attention_norm": "ln_cross_attn",
    "q": "crossattention.q_attn",
    "kv": "crossattention.c_attn",
    "weights_dropout": "crossattention.attn_dropout",
    "o": "crossattention.c_proj",
    "attention_dropout": "crossattention.resid_dropout",
}
NAMES = spec.Names(
    layers="h",
    layer={
        **spec.crossed(ACROSS),
        "attention_norm": "ln_1",
        "qkv": "attn.c_attn",
        "weights_dropout": "attn.attn_dropout",
        "o": "attn.c_proj",
        "attention_dropout": "attn.resid_dropout",
        "feedforward_norm": "ln_2",
        "up": "mlp.c_fc",
        "act": "mlp.act",
        "down": "mlp.c_proj",
        "feedforward_dropout": "mlp.dropout",
    },
    embeddings={"token": "wte", "position": "wpe", "embedding_dropout": "drop"},
    stack={"final_norm": "ln_f"},
)


def layer(c: GPT2Config, i: int) -> spec.Layer:
    """Layer `i`; some configs divide its scores by i + 1."""
    heads = spec.Heads.split(c.n_embd, c.n_head)
    scale = heads.width**-0.5 if c.scale_attn_weights else 1.0
    attention = spec.Attention(
        heads,
        mask=Causal(),
        dropout=c.attn_pdrop,
        scale=scale / (i + 1) if c.scale_attn_by_inverse_layer_idx else scale,
        fused="blocks",
        linear="conv1d",
    )
    return spec.layer(
        attention,
        spec.FeedForward(c.n_inner or 4 * c.n_embd, c.activation_function, linear="conv1d"),
        spec.Norm("layer", c.layer_norm_epsilon),
        order="pre",
        cross=replace(attention, mask=Full(), cross=True) if c.add_cross_attention else None,
        dropout=c.resid_pdrop,
    )


def stack(c: GPT2Config) -> spec.Stack:
    """The decoder."""
    residual = c.initializer_range / (2 * c.n_layer or 1) ** 0.5
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.n_embd,
            positions=spec.LearnedPositions(c.n_positions),
            share_types=True,
            dropout=c.embd_pdrop,
        ),
        layers=tuple(layer(c, i) for i in range(c.n_layer)),
        names=NAMES,
        width=c.n_embd,
        layer_class="GPT2Block",
        decoder=True,
        final_norm=spec.Norm("layer", c.layer_norm_epsilon),
        initial_std=c.initializer_range,
        init={"c_proj.weight": residual},
    )


def labels(c: GPT2Config) -> Labels:
    """A label for every token."""
    own = (getattr(c, name, None) for name in ("classifier_dropout", "hidden_dropout"))
    return Labels("classifier", first_set(*own, default=0.1))


def both(c: Any, leads: bool = False) -> DoubleHeads:
    """Words, and a score by one state."""
    return DoubleHeads(
        "lm_head",
        bias=False,
        leads=leads,
        summary="multiple_choice_head",
        chosen=c.summary_type,
        outputs=(c.num_labels if c.summary_proj_to_labels else c.n_embd) if c.summary_use_proj else None,
        summary_act=c.summary_activation,
        first_dropout=c.summary_first_dropout,
        last_dropout=getattr(c, "summary_last_dropout", 0.0),
    )


HEADS = {
    "LMHeadModel": Head("causal_lm", lambda c: Words("lm_head", bias=False)),
    "ForSequenceClassification": Head(
        "sequence_classification", lambda c: Sequences("score", pool="last", bias=False)
    ),
    "ForTokenClassification": Head("token_classification", labels),
    "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
}
GPT2 = register(
    Family(
        model_type="gpt2",
        name="GPT2",
        config=GPT2Config,
        base="transformer",
        assembly=Single(stack),
        heads={**HEADS, "DoubleHeadsModel": Head("double_heads", both)},
        order=(
            ("ln_1", "attn", "ln_2", "crossattention", "ln_cross_attn", "mlp"),
            ("c_attn", "q_attn", "c_proj"),
        ),
        # causal masks that older versions stored as buffers
        ignored=(r".*attn\.(bias|masked_bias)",),
    )
)
