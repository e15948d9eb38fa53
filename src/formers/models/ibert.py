"""I-BERT (Kim et al. 2021, arXiv:2101.01321): RoBERTa that can compute in integers alone (`quant_mode`)."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences


class IBertConfig(PretrainedConfig):
    """Configuration of I-BERT."""

    model_type = "ibert"
    _available = {
        "hidden_act": ("gelu",),
        "force_dequant": ("none", "gelu", "softmax", "layernorm", "nonlinear"),
    }
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    quant_mode: bool = False
    force_dequant: str = "none"
    tie_word_embeddings: bool = True


NAMES = bert.NAMES.with_(
    layer={
        **{f"{role}_act": f"attention.self.{bert.ATTENTION[role][5:]}_activation" for role in "qkv"},
        "softmax": "attention.self.softmax",
        "context_act": "attention.self.output_activation",
        "attention_sum": "attention.output.ln_input_act",
        "attention_act": "attention.output.output_activation",
        "read_act": "pre_intermediate_act",
        "inner_act": "intermediate.output_activation",
        "between_act": "pre_output_act",
        "feedforward_sum": "output.ln_input_act",
        "feedforward_act": "output.output_activation",
    },
    embeddings={
        "sum_act": "embeddings.embeddings_act1",
        "idle_act": "embeddings.embeddings_act2",
        "embedding_act": "embeddings.output_activation",
    },
)


def stack(c: IBertConfig) -> spec.Stack:
    """RoBERTa's stack, of parts that may count in integers."""
    norm, dropout = spec.Norm("layer", c.layer_norm_eps), c.hidden_dropout_prob
    exact = {"gelu", "softmax", "layernorm"} if c.force_dequant == "nonlinear" else {c.force_dequant}
    arithmetic = spec.Arithmetic(c.quant_mode, frozenset(exact))
    attention = spec.IntegerAttention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_probs_dropout_prob,
        arithmetic=arithmetic,
    )
    feedforward = spec.IntegerFeedForward(c.intermediate_size, c.hidden_act, arithmetic=arithmetic)
    layer = spec.layer(attention, feedforward, norm, dropout=dropout)
    return spec.Stack(
        stem=spec.IntegerTokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings, padding_idx=c.pad_token_id),
            types=c.type_vocab_size,
            norm=norm,
            dropout=dropout,
            padding_idx=c.pad_token_id,
            arithmetic=arithmetic,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="IBertLayer",
        pooler=c.hidden_size,
        initial_std=c.initializer_range,
    )


def sequences(c: IBertConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return roberta.labels(c.hidden_dropout_prob)


IBERT = register(
    Family(
        model_type="ibert",
        name="IBert",
        config=IBertConfig,
        base="ibert",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", roberta.words),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": roberta.ROBERTA.heads["ForMultipleChoice"],
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
        ignored=bert.BERT.ignored,
    )
)
