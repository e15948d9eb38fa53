"""XLNet (Yang et al. 2019, arXiv:1906.08237): distances in the scores, memories, predictions in any order."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.text.permutation import Permutation
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.span_beams import Spec as Beams
from formers.tasks.specs import Labels, Sequences, Spans, Words


class XLNetConfig(PretrainedConfig):
    """Configuration of XLNet. `d_head` is `d_model // n_head`."""

    model_type = "xlnet"
    keys_to_ignore_at_inference = ["mems"]
    attribute_map = {
        "n_token": "vocab_size",
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    _available = {
        "attn_type": ("bi", "uni"),
        "summary_type": ("last", "first", "mean", "cls_index"),
    }
    vocab_size: int = 32000
    d_model: int = 1024
    n_layer: int = 24
    n_head: int = 16
    d_inner: int = 4096
    d_head: int | None = None
    ff_activation: str = "gelu"
    attn_type: str = "bi"
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1
    mem_len: int | None = 512
    reuse_len: int | None = None
    use_mems_eval: bool = True
    use_mems_train: bool = False
    bi_data: bool = False
    clamp_len: int = -1
    same_length: bool = False
    summary_type: str = "last"
    summary_use_proj: bool = True
    summary_activation: str | None = "tanh"
    summary_last_dropout: float = 0.1
    start_n_top: int = 5
    end_n_top: int = 5
    pad_token_id: int | None = 5
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="layer",
    layer={
        **{role: f"rel_attn.{role}" for role in "qkvor"},
        "content_bias": "rel_attn.r_w_bias",
        "distance_bias": "rel_attn.r_r_bias",
        "segment_bias": "rel_attn.r_s_bias",
        "segment": "rel_attn.seg_embed",
        "weights_dropout": "rel_attn.dropout",
        "attention_dropout": "rel_attn.dropout",
        "attention_norm": "rel_attn.layer_norm",
        "up": "ff.layer_1",
        "act": "ff.activation_function",
        "inner_dropout": "ff.dropout",
        "down": "ff.layer_2",
        "feedforward_dropout": "ff.dropout",
        "feedforward_norm": "ff.layer_norm",
    },
    embeddings={"token": "word_embedding", "embedding_dropout": "dropout"},
    stack={"blank": "mask_emb", "final_dropout": "dropout"},
)


def stack(c: XLNetConfig) -> spec.Stack:
    """The stack.

    Raises:
        ValueError: for heads of another width than the hidden size leaves them.
    """
    heads = spec.Heads.split(c.d_model, c.n_head)
    if c.d_head not in (None, heads.width):
        raise ValueError(f"d_head is d_model // n_head, {heads.width}, not {c.d_head}")
    one_way = c.attn_type == "uni"
    attention = spec.Relative(
        heads,
        Causal() if one_way else Full(),
        c.dropout,
        clamp=c.clamp_len,
        halves=c.bi_data,
        same_length=one_way and c.same_length,
        memory=c.mem_len or 0,
        reuse=c.reuse_len or 0,
        std=c.initializer_range,
    )
    feedforward = spec.FeedForward(c.d_inner, c.ff_activation, dropout=c.dropout)
    layer = spec.layer(attention, feedforward, spec.Norm("layer", c.layer_norm_eps), dropout=c.dropout)
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.d_model, dropout=c.dropout),
        layers=(layer,) * c.n_layer,
        names=NAMES,
        width=c.d_model,
        layer_class="XLNetLayer",
        final_dropout=c.dropout,
        reports="plain",
        initial_std=c.initializer_range,
    )


def sequences(c: XLNetConfig) -> Sequences:
    """A label by a summary of all states; the last column's by default, whatever it holds."""
    pools: dict[str, Any] = {"first": "left", "mean": "all"}
    return Sequences(
        "logits_proj",
        dense="sequence_summary.summary" if c.summary_use_proj else None,
        pool=pools.get(c.summary_type, "right"),
        node="sequence_summary",
        act=c.summary_activation,
        act_path="sequence_summary.activation",
        dropout=c.summary_last_dropout,
        dropout_path="sequence_summary.last_dropout",
        idle=("sequence_summary.first_dropout",),
    )


def beams(c: XLNetConfig) -> Beams:
    """Starts, and ends that follow from them."""
    return Beams(c.start_n_top, c.end_n_top, spec.Norm("layer", c.layer_norm_eps))


XLNET = register(
    Family(
        model_type="xlnet",
        name="XLNet",
        config=XLNetConfig,
        base="transformer",
        assembly=Permutation(stack),
        heads={
            "LMHeadModel": Head("permuted_lm", lambda c: Words("lm_loss", shifts=False)),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", sequences),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", dropout_path=None)
            ),
            "ForQuestionAnswering": Head("span_beams", beams),
            "ForQuestionAnsweringSimple": Head("question_answering", lambda c: Spans()),
        },
    )
)
