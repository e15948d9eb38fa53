"""SqueezeBERT (Iandola et al. 2020, arXiv:2006.11316): BERT with convolutions in groups."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import bert, fnet
from formers.models.registry import register
from formers.nn import spec


class SqueezeBertConfig(bert.BertConfig):
    """Configuration of SqueezeBERT."""

    model_type = "squeezebert"
    embedding_size: int = 768
    q_groups: int = 4
    k_groups: int = 4
    v_groups: int = 4
    post_attention_groups: int = 1
    intermediate_groups: int = 4
    output_groups: int = 4


NAMES = replace(
    bert.NAMES,
    layers="encoder.layers",
    layer={
        "q": "attention.query",
        "k": "attention.key",
        "v": "attention.value",
        "weights_dropout": "attention.dropout",
        "o": "post_attention.conv1d",
        "attention_dropout": "post_attention.dropout",
        "attention_norm": "post_attention.layernorm",
        "up": "intermediate.conv1d",
        "act": "intermediate.act",
        "down": "output.conv1d",
        "feedforward_dropout": "output.dropout",
        "feedforward_norm": "output.layernorm",
    },
)


def stack(c: SqueezeBertConfig) -> spec.Stack:
    """BERT's stack of turned layers."""
    if c.embedding_size != c.hidden_size:
        raise ValueError(
            f"nothing takes embeddings of {c.embedding_size} features to {c.hidden_size}; let embedding_size "
            f"be hidden_size"
        )
    attention = spec.Channels(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_probs_dropout_prob,
        groups=(c.q_groups, c.k_groups, c.v_groups, c.post_attention_groups),
    )
    feedforward = spec.FeedForward(
        c.intermediate_size,
        c.hidden_act,
        linear=spec.Grouped(c.intermediate_groups, pointwise=True),
        down=spec.Grouped(c.output_groups, pointwise=True),
    )
    # whatever the config says: its epsilon is that of the norms outside of the layers
    norm = spec.Norm(eps=1e-12, channels=True)
    layer = spec.layer(attention, feedforward, norm, dropout=c.hidden_dropout_prob)
    made = bert.stack(c, "SqueezeBertModule")
    layers = (replace(layer, turned=True),) * c.num_hidden_layers
    return replace(made, layers=layers, names=NAMES)


SQUEEZEBERT = register(
    replace(
        bert.BERT,
        model_type="squeezebert",
        name="SqueezeBert",
        config=SqueezeBertConfig,
        base="transformer",
        assembly=Single(stack),
        heads={
            ending: fnet.FNET.heads[ending]
            for ending in (
                "ForMaskedLM",
                "ForSequenceClassification",
                "ForMultipleChoice",
                "ForTokenClassification",
                "ForQuestionAnswering",
            )
        },
    )
)
