"""FNet (Lee-Thorp et al. 2021, arXiv:2105.03824): BERT whose tokens mix by a Fourier transform."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences


class FNetConfig(PretrainedConfig):
    """Configuration of FNet."""

    model_type = "fnet"
    # matrices in place of the transform, right for texts of one length alone
    _available = {"use_tpu_fourier_optimizations": (False,)}
    vocab_size: int = 32000
    hidden_size: int = 768
    num_hidden_layers: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 4
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    use_tpu_fourier_optimizations: bool = False
    tpu_short_seq_length: int = 512
    pad_token_id: int | None = 3
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        "fourier": "fourier.self",
        "attention_add": "fourier.output",
        "attention_norm": "fourier.output.LayerNorm",
        **{role: bert.NAMES.layer[role] for role in ("up", "act", "down")},
        **{role: bert.NAMES.layer[role] for role in ("feedforward_dropout", "feedforward_norm")},
    },
    embeddings={**bert.NAMES.embeddings, "embedding_projection": "embeddings.projection"},
    stack=bert.NAMES.stack,
)


def stack(c: FNetConfig) -> spec.Stack:
    """The encoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
    layer = spec.Layer(
        (
            spec.Part(spec.Fourier(), "attention", after=norm),
            spec.Part(feedforward, "feedforward", after=norm, dropout=c.hidden_dropout_prob),
        )
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            types=c.type_vocab_size,
            norm=norm,
            projects="sum",
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="FNetLayer",
        pooler=c.hidden_size,
        initial_std=c.initializer_range,
    )


def sequences(c: FNetConfig) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=c.hidden_dropout_prob, dropout_path="dropout")


def tokens(c: FNetConfig) -> Labels:
    """A label for each token."""
    return Labels("classifier", c.hidden_dropout_prob)


FNET = register(
    replace(
        bert.BERT,
        model_type="fnet",
        name="FNet",
        config=FNetConfig,
        base="fnet",
        assembly=Single(stack),
        heads={
            "ForPreTraining": bert.BERT.heads["ForPreTraining"],
            "ForMaskedLM": Head("masked_lm", bert.words, pooler=True),
            "ForNextSentencePrediction": bert.BERT.heads["ForNextSentencePrediction"],
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head("token_classification", tokens, pooler=True),
            "ForQuestionAnswering": replace(bert.BERT.heads["ForQuestionAnswering"], pooler=True),
        },
    )
)
