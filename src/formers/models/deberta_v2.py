"""DeBERTa v2 and v3 (He et al. 2020, arXiv:2006.03654): contents and relative positions attend apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.base import first_set
from formers.tasks.specs import Labels, Sequences, Spans


class DebertaConfig(PretrainedConfig):
    """What the configurations of both share."""

    _available = {"legacy": (True,)}  # others would be left out without a word
    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-7
    relative_attention: bool = False
    max_relative_positions: int = -1
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    position_biased_input: bool = True
    pos_att_type: str | list[str] | None = None
    pooler_dropout: float = 0.0
    pooler_hidden_act: str = "gelu"
    pooler_hidden_size: int | None = None
    cls_dropout: float | None = None
    legacy: bool = True
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if isinstance(self.pos_att_type, str):
            self.pos_att_type = [kind.strip() for kind in self.pos_att_type.lower().split("|")]
        self.pooler_hidden_size = self.pooler_hidden_size or self.hidden_size
        sizes = dict.fromkeys(("pooler_hidden_size", "embedding_size"), self.hidden_size)
        sizes["attention_head_size"] = self.hidden_size // max(self.num_attention_heads, 1)
        wrong = {name: size for name, size in sizes.items() if values.get(name) not in (None, size)}
        if wrong:
            raise ValueError(f"sizes follow from each other: these must be {wrong}")


class DebertaV2Config(DebertaConfig):
    """Configuration of DeBERTa v2 and v3."""

    model_type = "deberta-v2"
    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    position_buckets: int = -1
    share_att_key: bool = False
    norm_rel_ebd: str = "none"
    conv_kernel_size: int = 0
    conv_groups: int = 1
    conv_act: str = "tanh"


NAMES = bert.NAMES.with_(
    layer={
        "q": "attention.self.query_proj",
        "k": "attention.self.key_proj",
        "v": "attention.self.value_proj",
        "position_k": "attention.self.pos_key_proj",
        "position_q": "attention.self.pos_query_proj",
        "position_dropout": "attention.self.pos_dropout",
    },
    stack={
        "relative": "encoder.rel_embeddings",
        "relative_norm": "encoder.LayerNorm",
        "conv": "encoder.conv.conv",
        "conv_dropout": "encoder.conv.dropout",
        "conv_norm": "encoder.conv.LayerNorm",
    },
)
NAMES = replace(NAMES, stack={role: path for role, path in NAMES.stack.items() if "pool" not in role})


def attention(c: DebertaConfig, **more: Any) -> spec.Disentangled:
    """What both versions have in common."""
    return terms(c, c.attention_probs_dropout_prob, c.hidden_dropout_prob, **more)


def terms(c: Any, dropout: float, position_dropout: float, **more: Any) -> spec.Disentangled:
    """Attention in terms that are told apart; as many as there are share the variance."""
    heads, kinds = spec.Heads.split(c.hidden_size, c.num_attention_heads), set(c.pos_att_type or ())
    if strange := kinds - {"c2p", "p2c"}:
        raise ValueError(f"pos_att_type holds c2p and p2c alone, not {', '.join(sorted(strange))}")
    scale = (heads.width * (1 + len(kinds))) ** -0.5
    made = spec.Disentangled(heads, dropout=dropout, scale=scale, **more)
    if not c.relative_attention:
        return made
    span = c.max_relative_positions if c.max_relative_positions > 0 else c.max_position_embeddings
    made = replace(made, span=span, position_dropout=position_dropout)
    return replace(made, to_position="c2p" in kinds, to_content="p2c" in kinds)


def encoder(c: DebertaConfig, mixer: spec.Disentangled, names: spec.Names, layer_class: str) -> spec.Stack:
    """The encoder."""
    norm, places = spec.Norm("layer", c.layer_norm_eps), spec.LearnedPositions(c.max_position_embeddings)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    layer = spec.layer(mixer, feedforward, norm, dropout=c.hidden_dropout_prob)
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=places if c.position_biased_input else None,
            types=c.type_vocab_size,
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
            hides_padding=True,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=names,
        width=c.hidden_size,
        layer_class=layer_class,
        initial_std=c.initializer_range,
    )


def relations(c: Any, dropout: float, position_dropout: float) -> spec.Disentangled:
    """Attention whose distances may stand in buckets, and go through the projections of contents."""
    mixer = terms(c, dropout, position_dropout, shared=c.share_att_key)
    if c.position_buckets > 0 and mixer.span:
        return replace(mixer, span=c.position_buckets, distance=mixer.span)
    return mixer


def norms_table(c: Any) -> bool:
    """Whether a norm stands behind the table of relative positions."""
    return "layer_norm" in [kind.strip() for kind in c.norm_rel_ebd.lower().split("|")]


def stack(c: DebertaV2Config) -> spec.Stack:
    """The encoder, whose distances may stand in buckets."""
    rates = c.attention_probs_dropout_prob, c.hidden_dropout_prob
    made = encoder(c, relations(c, *rates), NAMES, "DebertaV2Layer")
    norm, beside = spec.Norm("layer", c.layer_norm_eps), None
    if c.conv_kernel_size > 0:
        beside = spec.Convolution(c.conv_kernel_size, norm, c.conv_groups, c.conv_act, c.hidden_dropout_prob)
    return replace(made, relative_norm=norm if norms_table(c) else None, convolution=beside)


def sequences(c: DebertaConfig) -> Sequences:
    """A label by the first token's state, through a layer of its own."""
    found = Sequences("classifier", "pooler.dense", pool="first", node="pooler", act=c.pooler_hidden_act)
    found = replace(found, pool_dropout=c.pooler_dropout, pool_dropout_path="pooler.dropout")
    return replace(found, dropout=first_set(c.cls_dropout, c.hidden_dropout_prob), dropout_path="dropout")


DEBERTA_V2 = register(
    Family(
        model_type="deberta-v2",
        name="DebertaV2",
        config=DebertaV2Config,
        base="deberta",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": bert.BERT.heads["ForMaskedLM"],
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
            "ForMultipleChoice": Head("multiple_choice", sequences),
        },
        ignored=(r".*position_embeddings.*", r".*embeddings\.position_ids", r".*mask_predictions.*"),
    )
)
