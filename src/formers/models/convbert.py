"""ConvBERT (Jiang et al. 2020, arXiv:2008.02496): half of the heads convolve, as spans tell them."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import bert, electra, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences


class ConvBertConfig(bert.BertConfig):
    """Configuration of ConvBERT."""

    model_type = "convbert"
    # a convolution looks ahead; what tells a choice: the mean would read padding
    _available = {
        **bert.BertConfig._available,
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "summary_type": ("last", "first"),
    }
    embedding_size: int = 768
    head_ratio: int = 2
    conv_kernel_size: int = 9
    num_groups: int = 1
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    summary_type: str = "last"
    summary_use_proj: bool = False
    summary_activation: str | None = None
    summary_last_dropout: float = 0.0


def stack(c: ConvBertConfig) -> spec.Stack:
    """ELECTRA's stack, whose attention has fewer heads."""
    heads = max(1, c.num_attention_heads // c.head_ratio)
    both = spec.Heads.split(c.hidden_size, heads).width  # of a head that attends and one that convolves
    if both % 2:
        raise ValueError(f"{c.hidden_size} features do not make {2 * heads} equal heads")
    attention = spec.SpanConvolution(
        spec.Heads(heads, heads, both // 2),
        dropout=c.attention_probs_dropout_prob,
        kernel=c.conv_kernel_size,
    )
    feedforward = spec.FeedForward(
        c.intermediate_size,
        c.hidden_act,
        linear=spec.Grouped(c.num_groups) if c.num_groups > 1 else "linear",
    )
    layer = spec.layer(
        attention, feedforward, spec.Norm("layer", c.layer_norm_eps), dropout=c.hidden_dropout_prob
    )
    made = bert.stack(c, "ConvBertLayer")
    assert isinstance(made.stem, spec.Tokens)
    own = {
        "span_key": "attention.self.key_conv_attn_layer",
        "span_kernel": "attention.self.conv_kernel_layer",
        "span_value": "attention.self.conv_out_layer",
    }
    beside = {"projection": "embeddings_project"} if c.embedding_size != c.hidden_size else {}
    return replace(
        made,
        stem=replace(made.stem, width=c.embedding_size),
        layers=(layer,) * c.num_hidden_layers,
        names=replace(bert.NAMES.with_(layer=own), stack=beside),
        pooler=None,
    )


def sequences(c: ConvBertConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return replace(roberta.labels(bert.dropout(c)), act=c.hidden_act)


def choices(c: ConvBertConfig) -> Sequences:
    """A score by a summary of one place, the last one where nothing else is said."""
    idle = {"first_dropout": True, "summary": not c.summary_use_proj, "activation": not c.summary_activation}
    return Sequences(
        "classifier",
        dense="sequence_summary.summary" if c.summary_use_proj else None,
        pool="right" if c.summary_type == "last" else "first",
        node="sequence_summary",
        act=c.summary_activation,
        act_path="sequence_summary.activation" if c.summary_activation else None,
        dropout=c.summary_last_dropout,
        dropout_path="sequence_summary.last_dropout",
        idle=tuple(f"sequence_summary.{name}" for name, unused in idle.items() if unused),
    )


CONVBERT = register(
    replace(
        electra.ELECTRA,
        model_type="convbert",
        name="ConvBert",
        config=ConvBertConfig,
        base="convbert",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", electra.words),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", choices),
            "ForTokenClassification": bert.BERT.heads["ForTokenClassification"],
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
    )
)
