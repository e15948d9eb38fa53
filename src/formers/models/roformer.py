"""RoFormer (Su et al. 2021, arXiv:2104.09864): BERT whose queries and keys are turned by their positions."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Rotary
from formers.tasks.specs import Labels, Sequences


class RoFormerConfig(bert.BertConfig):
    """Configuration of RoFormer. Embeddings are as wide as states where `embedding_size` is None."""

    model_type = "roformer"
    _available = {
        **bert.BertConfig._available,
        "classifier_dropout": (None,),
        "summary_type": ("last",),
        "summary_use_proj": (False,),
        "summary_activation": ("",),
    }
    vocab_size: int = 50000
    embedding_size: int | None = None
    max_position_embeddings: int = 1536
    rotary_value: bool = False
    summary_type: str = "last"
    summary_use_proj: bool = False
    summary_activation: str | None = None
    summary_first_dropout: float = 0.0
    summary_last_dropout: float = 0.0


NAMES = bert.NAMES.with_(embeddings={"position": None})


def width(c: RoFormerConfig) -> int:
    """Of embeddings."""
    return c.embedding_size or c.hidden_size


def stack(c: RoFormerConfig) -> spec.Stack:
    """BERT's stack, with sines and cosines in place of a table of positions."""
    made = bert.stack(c, "RoFormerLayer")
    attending, *rest = made.layers[0].parts
    mixer = attending.mixer
    assert isinstance(made.stem, spec.Tokens)
    assert isinstance(mixer, spec.Attention)
    turned = Rotary(mixer.heads.width, trained_length=c.max_position_embeddings, adjacent=True)
    attending = replace(attending, mixer=replace(mixer, rotary=turned, rotary_value=c.rotary_value))
    names = {"rotary_table": "encoder.embed_positions"}
    if width(c) != c.hidden_size:
        names["projection"] = "embeddings_project"
    return replace(
        made,
        stem=replace(made.stem, width=width(c), positions=None),
        layers=(spec.Layer((attending, *rest)),) * c.num_hidden_layers,
        names=replace(NAMES, stack=names),
        pooler=None,
    )


def sequences(c: RoFormerConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return replace(roberta.labels(c.hidden_dropout_prob), act=c.hidden_act)


def choices(c: RoFormerConfig) -> Sequences:
    """A score by the state of the last place."""
    return Sequences(
        "classifier",
        pool="right",
        node="sequence_summary",
        pool_dropout=c.summary_first_dropout,
        pool_dropout_path="sequence_summary.first_dropout",
        idle=("sequence_summary.summary", "sequence_summary.activation"),
        dropout=c.summary_last_dropout,
        dropout_path="sequence_summary.last_dropout",
    )


ROFORMER = register(
    Family(
        model_type="roformer",
        name="RoFormer",
        config=RoFormerConfig,
        base="roformer",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", lambda c: replace(bert.words(c), width=width(c))),
            "ForCausalLM": Head("causal_lm", lambda c: replace(bert.words(c), width=width(c))),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForMultipleChoice": Head("multiple_choice", choices),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
            "ForQuestionAnswering": bert.BERT.heads["ForQuestionAnswering"],
        },
        ignored=bert.BERT.ignored,
    )
)
