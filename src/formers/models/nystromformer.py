"""Nyströmformer (Xiong et al. 2021, arXiv:2102.03902): BERT that attends through landmarks."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import bert, fnet, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Sequences


class NystromformerConfig(bert.BertConfig):
    """Configuration of Nyströmformer."""

    model_type = "nystromformer"
    # landmarks look ahead
    _available = {**bert.BertConfig._available, "is_decoder": (False,), "add_cross_attention": (False,)}
    vocab_size: int = 30000
    hidden_act: str = "gelu_new"
    max_position_embeddings: int = 510
    segment_means_seq_len: int = 64
    num_landmarks: int = 64
    conv_kernel_size: int = 65
    inv_coeff_init_option: bool = False
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2


def attending(c: bert.BertConfig, attention: spec.Attention, layer_class: str) -> spec.Stack:
    """BERT's stack without a pooler, with another attention, and places counted from two."""
    made = bert.stack(c, layer_class)
    assert isinstance(made.stem, spec.Tokens)
    layer = spec.layer(
        attention,
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        spec.Norm("layer", c.layer_norm_eps),
        dropout=c.hidden_dropout_prob,
    )
    return replace(
        made,
        stem=replace(made.stem, positions=spec.LearnedPositions(c.max_position_embeddings + 2, first=2)),
        layers=(layer,) * c.num_hidden_layers,
        pooler=None,
        names=replace(bert.NAMES.with_(layer={"value_conv": "attention.self.conv"}), stack={}),
    )


def stack(c: NystromformerConfig) -> spec.Stack:
    """The encoder."""
    attention = spec.LandmarkAttention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_probs_dropout_prob,
        drops=False,
        count=c.num_landmarks,
        length=c.segment_means_seq_len,
        kernel=c.conv_kernel_size,
        exact=c.inv_coeff_init_option,
    )
    return attending(c, attention, "NystromformerLayer")


def sequences(c: bert.BertConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return replace(roberta.labels(c.hidden_dropout_prob), act=c.hidden_act)


def choices(c: bert.BertConfig) -> Sequences:
    """A score by the first token's state."""
    return Sequences("classifier", dense="pre_classifier", pool="first", act="relu")


NYSTROMFORMER = register(
    replace(
        bert.BERT,
        model_type="nystromformer",
        name="Nystromformer",
        config=NystromformerConfig,
        base="nystromformer",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": bert.BERT.heads["ForMaskedLM"],
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", choices),
            "ForTokenClassification": Head("token_classification", fnet.tokens),
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
    )
)
