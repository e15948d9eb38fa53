"""MobileBERT (Sun et al. 2020, arXiv:2004.02984): thin layers between bottlenecks, many feed-forwards."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import PreTrainingSpec


class MobileBertConfig(bert.BertConfig):
    """Configuration of MobileBERT."""

    model_type = "mobilebert"
    hidden_size: int = 512
    num_hidden_layers: int = 24
    num_attention_heads: int = 4
    intermediate_size: int = 512
    hidden_act: str = "relu"
    hidden_dropout_prob: float = 0.0
    embedding_size: int = 128
    trigram_input: bool = True
    use_bottleneck: bool = True
    intra_bottleneck_size: int = 128
    use_bottleneck_attention: bool = False
    key_query_shared_bottleneck: bool = True
    num_feedforward_networks: int = 4
    normalization_type: str = "no_norm"
    classifier_activation: bool = True


def norm(c: MobileBertConfig, eps: float) -> spec.Norm:
    """What stands where BERT has its norms."""
    return spec.Norm(eps=eps) if c.normalization_type == "layer_norm" else spec.Norm("affine")


def names(c: MobileBertConfig) -> spec.Names:
    """BERT's, and those of the bottleneck and the further feed-forwards."""
    count, kept = range(c.num_feedforward_networks - 1), ("up", "act", "down", "feedforward_norm")
    further = {
        f"ffn{i}_{role.removeprefix('feedforward_')}": f"ffn.{i}.{bert.NAMES.layer[role]}"
        for i in count
        for role in kept
    }
    copies = {"narrow": "input", **({"shared": "attention"} if c.key_query_shared_bottleneck else {})}
    neck = {
        **{f"{role}_dense": f"bottleneck.{name}.dense" for role, name in copies.items()},
        **{f"{role}_norm": f"bottleneck.{name}.LayerNorm" for role, name in copies.items()},
        **{f"widen_{role}": f"output.bottleneck.{role}" for role in ("dense", "dropout")},
        "widen_norm": "output.bottleneck.LayerNorm",
        "attention_dropout": None,
        "feedforward_dropout": None,
    }
    own = {**further, **(neck if c.use_bottleneck else {})}
    return bert.NAMES.with_(
        layer=own,
        embeddings={"embedding_projection": "embeddings.embedding_transformation"},
        stack={"pooler_act": None, "pool": "pooler"},
    )


def layer(c: MobileBertConfig) -> spec.Layer:
    """One layer."""
    width = c.intra_bottleneck_size if c.use_bottleneck else c.hidden_size
    rate = 0.0 if c.use_bottleneck else c.hidden_dropout_prob
    attention = spec.Attention(
        spec.Heads.split(width, c.num_attention_heads), dropout=c.attention_probs_dropout_prob
    )
    if c.use_bottleneck and not c.use_bottleneck_attention:
        attention = spec.WideValues(attention.heads, dropout=attention.dropout, source=c.hidden_size)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    each = norm(c, c.layer_norm_eps)
    stacked = (
        spec.Part(replace(feedforward, prefix=f"ffn{i}_"), f"ffn{i}", after=each)
        for i in range(c.num_feedforward_networks - 1)
    )
    return spec.Layer(
        (
            spec.Part(attention, "attention", after=each, dropout=rate),
            *stacked,
            spec.Part(feedforward, "feedforward", after=norm(c, 1e-5), dropout=rate),  # torch's own epsilon
        ),
        bottleneck=spec.Bottleneck(width, each, c.hidden_dropout_prob, c.key_query_shared_bottleneck)
        if c.use_bottleneck
        else None,
    )


def stack(c: MobileBertConfig) -> spec.Stack:
    """The encoder."""
    if not (c.key_query_shared_bottleneck or c.use_bottleneck_attention) and c.use_bottleneck:
        raise ValueError(
            "in a bottleneck queries and keys are narrow: set key_query_shared_bottleneck or "
            "use_bottleneck_attention"
        )
    if c.embedding_size == c.hidden_size and not c.trigram_input:
        raise ValueError(
            "embeddings as wide as states would leave their projection unused: set trigram_input"
        )
    made = bert.stack(c, "MobileBertLayer")
    assert isinstance(made.stem, spec.Tokens)
    stem = replace(
        made.stem,
        projects="tokens",
        table_width=c.embedding_size,
        trigrams=c.trigram_input,
        norm=norm(c, 1e-5),
    )
    pooler = c.hidden_size if c.classifier_activation else spec.Summary()
    layers = (layer(c),) * c.num_hidden_layers
    return replace(made, stem=stem, layers=layers, names=names(c), pooler=pooler)


def words(c: MobileBertConfig) -> PreTrainingSpec:
    """A transformed state; the token table reads as much of it as it can, a second one the rest."""
    return replace(bert.words(c), width=c.embedding_size, beside="cls.predictions.dense")


MOBILEBERT = register(
    replace(
        bert.BERT,
        model_type="mobilebert",
        name="MobileBert",
        config=MobileBertConfig,
        base="mobilebert",
        assembly=Single(stack),
        heads={
            **{ending: head for ending, head in bert.BERT.heads.items() if ending != "LMHeadModel"},
            "ForPreTraining": Head("pretraining", words, pooler=True),
            "ForMaskedLM": Head("masked_lm", words),
        },
    )
)
