"""BigBird (Zaheer et al. 2020, arXiv:2007.14062): BERT whose blocks see their neighbours and few others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.core.notices import notice
from formers.models import bert, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.specs import AfterQuestion, PreTrainingSpec, Sequences


class BigBirdConfig(bert.BertConfig):
    """Configuration of BigBird. `attention_type` is that of encoders: decoders see all that came before."""

    model_type = "big_bird"
    _available = {
        **bert.BertConfig._available,
        "attention_type": ("block_sparse", "original_full"),
    }
    vocab_size: int = 50358
    hidden_act: str = "gelu_new"
    max_position_embeddings: int = 4096
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    sep_token_id: int | None = 66
    attention_type: str = "block_sparse"
    use_bias: bool = True
    rescale_embeddings: bool = False
    block_size: int = 64
    num_random_blocks: int = 3


def sparse(c: Any, full: spec.Attention) -> spec.BlockSparse:
    """The same attention, by blocks."""
    made = {"block": c.block_size, "random": c.num_random_blocks, "longest": c.max_position_embeddings}
    return spec.BlockSparse(**vars(full), **made)


def stack(c: BigBirdConfig) -> spec.Stack:
    """BERT's stack. By blocks there is no dropout of weights, and no module for it."""
    made = bert.stack(c, "BigBirdLayer")
    assert isinstance(made.stem, spec.Tokens)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    across = spec.Attention(heads, dropout=c.attention_probs_dropout_prob, bias=c.use_bias, cross=True)
    full = replace(across, mask=Causal() if c.is_decoder else Full(), cross=False)
    by_blocks = c.attention_type == "block_sparse" and not c.add_cross_attention
    if by_blocks and c.is_decoder:
        notice("attention_type='block_sparse' is for encoders: this decoder sees all that came before")
    layer = spec.layer(
        sparse(c, full) if by_blocks and not c.is_decoder else full,
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        spec.Norm("layer", c.layer_norm_eps),
        cross=across if c.add_cross_attention else None,
        dropout=c.hidden_dropout_prob,
    )
    return replace(
        made,
        stem=replace(made.stem, scale=c.hidden_size**0.5 if c.rescale_embeddings else 1.0, drops_first=True),
        layers=(layer,) * c.num_hidden_layers,
        names=bert.NAMES.with_(
            layer={"weights_dropout": None} if by_blocks else {},
            stack={"pooler": "pooler", "pooler_act": "activation"},
        ),
    )


def pretraining(c: BigBirdConfig) -> PreTrainingSpec:
    """BERT's; labels of words have a loss of their own."""
    return replace(bert.words(c), words_suffice=True)


def sequences(c: BigBirdConfig) -> Sequences:
    """A label by the first token's state; the head chooses it itself."""
    return replace(roberta.labels(bert.dropout(c)), act=c.hidden_act)


def answers(c: BigBirdConfig) -> AfterQuestion:
    """The ends of a span behind the question, by a feed-forward of the head's own."""
    part = spec.Part(
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        "feedforward",
        after=spec.Norm("layer", c.layer_norm_eps),
        dropout=c.hidden_dropout_prob,
    )
    inside = {
        "dropout": "dropout",
        "up": "intermediate.dense",
        "act": "intermediate.intermediate_act_fn",
        "down": "output.dense",
        "feedforward_dropout": "output.dropout",
        "feedforward_norm": "output.LayerNorm",
        "feedforward_add": "output",
        "out": "qa_outputs",
    }
    paths = {role: f"qa_classifier.{path}" for role, path in inside.items()}
    return AfterQuestion(part, paths, ends=c.sep_token_id, dropout=c.hidden_dropout_prob)


_HEADS = bert.BERT.heads
BIG_BIRD = register(
    Family(
        model_type="big_bird",
        name="BigBird",
        config=BigBirdConfig,
        base="bert",
        assembly=Single(stack),
        heads={
            "ForPreTraining": Head("pretraining", pretraining, pooler=True),
            "ForMaskedLM": replace(_HEADS["ForMaskedLM"], pooler=True),
            "ForCausalLM": replace(_HEADS["LMHeadModel"], pooler=True),
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", roberta.choices, pooler=True),
            "ForTokenClassification": replace(_HEADS["ForTokenClassification"], pooler=True),
            "ForQuestionAnswering": Head("answers_after_question", answers),
        },
        ignored=bert.BERT.ignored,
    )
)
