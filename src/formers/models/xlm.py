"""XLM (Lample and Conneau 2019, arXiv:1901.07291): tokens have languages; parts of layers lie in lists."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.span_beams import Spec as Beams
from formers.tasks.specs import Labels, Sequences, Spans, Words


class XLMConfig(PretrainedConfig):
    """Configuration of XLM."""

    model_type = "xlm"
    attribute_map = {
        "hidden_size": "emb_dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "n_words": "vocab_size",
        "bos_index": "bos_token_id",
        "eos_index": "eos_token_id",
        "pad_index": "pad_token_id",
    }
    # an adaptive softmax and a decoder that reads an encoder are nowhere computed from these files
    _available = {
        "asm": (False,),
        "is_encoder": (True,),
        "summary_type": ("first", "last", "mean", "cls_index"),
    }
    vocab_size: int = 30145
    emb_dim: int = 2048
    n_layers: int = 12
    n_heads: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    gelu_activation: bool = True
    sinusoidal_embeddings: bool = False
    causal: bool = False
    asm: bool = False
    n_langs: int = 1
    use_lang_emb: bool = True
    max_position_embeddings: int = 512
    embed_init_std: float = 2048**-0.5
    layer_norm_eps: float = 1e-12
    init_std: float = 0.02
    unk_index: int = 3
    mask_index: int = 5
    is_encoder: bool = True
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    start_n_top: int = 5
    end_n_top: int = 5
    mask_token_id: int | None = 0
    lang_id: int = 0
    pad_token_id: int | None = 2
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="",
    layer={
        **{role: f"attentions.{{i}}.{role}_lin" for role in "qkv"},
        "o": "attentions.{i}.out_lin",
        "attention_norm": "layer_norm1.{i}",
        "up": "ffns.{i}.lin1",
        "act": "ffns.{i}.act",
        "down": "ffns.{i}.lin2",
        "feedforward_norm": "layer_norm2.{i}",
    },
    embeddings={
        "token": "embeddings",
        "position": "position_embeddings",
        "language": "lang_embeddings",
        "embedding_norm": "layer_norm_emb",
    },
)
READS = (
    *("input_ids", "attention_mask", "langs", "token_type_ids", "position_ids", "lengths", "inputs_embeds"),
    "output_attentions",
)


def stack(c: XLMConfig, norms_first: bool = False, layer_drop: float = 0.0) -> spec.Stack:
    """The encoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    mask = Causal() if c.causal else Full()
    attention = spec.Attention(spec.Heads.split(c.emb_dim, c.n_heads), mask, c.attention_dropout)
    feedforward = spec.FeedForward(4 * c.emb_dim, "gelu" if c.gelu_activation else "relu")
    order: Any = "pre" if norms_first else "post"
    parts = spec.layer(attention, feedforward, norm, order, dropout=c.dropout).parts
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.emb_dim,
            positions=spec.LearnedPositions(c.max_position_embeddings, waves=c.sinusoidal_embeddings),
            languages=c.n_langs if c.n_langs > 1 and c.use_lang_emb else 0,
            share_types=True,
            norm=norm,
            dropout=c.dropout,
            padding_idx=c.pad_token_id,
            hides_padding=True,
            tells_padding=True,
        ),
        layers=(spec.Layer(parts, hides_padding=True),) * c.n_layers,
        names=NAMES,
        width=c.emb_dim,
        layer_drop=layer_drop,
        initial_std=c.init_std,
        init={"embeddings.weight": c.embed_init_std},
    )


def words(c: Any) -> Words:
    """The token table, with a bias."""
    return Words("pred_layer.proj")


def summary(c: Any, out: str | None) -> Sequences:
    """As many numbers as there are labels, made of one place's state or of all, and what reads them.

    Raises:
        ValueError: where the config leaves out the layer that makes them.
    """
    if not (c.summary_use_proj and c.summary_proj_to_labels):
        raise ValueError(
            "this head's logits are what the summary is projected to: summary_use_proj and "
            "summary_proj_to_labels of its config are True"
        )
    pools: dict[str, Any] = {"first": "first", "mean": "all"}
    return Sequences(
        out,
        dense="sequence_summary.summary",
        inner=c.num_labels,
        pool=pools.get(c.summary_type, "right"),
        node="sequence_summary",
        act=c.summary_activation or "linear",
        act_path="sequence_summary.activation",
        pool_dropout=c.summary_first_dropout,
        pool_dropout_path="sequence_summary.first_dropout",
        dropout_path="sequence_summary.last_dropout",
    )


def beams(c: Any) -> Beams:
    """Starts, and ends that follow from them."""
    return Beams(c.start_n_top, c.end_n_top, spec.Norm("layer", c.layer_norm_eps), "qa_outputs")


XLM = register(
    Family(
        model_type="xlm",
        name="XLM",
        config=XLMConfig,
        base="transformer",
        assembly=Single(stack, reads=READS),
        heads={
            "WithLMHeadModel": Head("any_lm", words),
            "ForSequenceClassification": Head("sequence_classification", lambda c: summary(c, None)),
            "ForMultipleChoice": Head("multiple_choice", lambda c: summary(c, "logits_proj")),
            "ForTokenClassification": Head("token_classification", lambda c: Labels("classifier", c.dropout)),
            "ForQuestionAnsweringSimple": Head("question_answering", lambda c: Spans()),
            "ForQuestionAnswering": Head("span_beams", beams),
        },
        ignored=(r".*position_ids",),
        order=(("position_embeddings", "lang_embeddings", "embeddings"),),
    )
)
