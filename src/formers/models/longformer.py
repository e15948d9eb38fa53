"""Longformer (Beltagy et al. 2020, arXiv:2004.05150): RoBERTa within windows, where some tokens see all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Window
from formers.tasks.specs import Sequences


class LongformerConfig(roberta.RobertaConfig):
    """Configuration of Longformer. `attention_window` counts both sides, for all layers or for each."""

    model_type = "longformer"
    _available = {**bert.BertConfig._available, "is_decoder": (False,), "add_cross_attention": (False,)}
    attention_window: int | list[int] = 512
    vocab_size: int = 30522
    sep_token_id: int | None = 2
    onnx_export: bool = False


def within(made: spec.Stack, windows: int | list[int]) -> spec.Stack:
    """A stack whose layers attend within windows, of both sides, each its own.

    Raises:
        ValueError: for windows that are odd, or not as many as layers.
    """
    count = len(made.layers)
    each = [windows] * count if isinstance(windows, int) else list(windows)
    if len(each) != count or any(window <= 0 or window % 2 for window in each):
        raise ValueError(
            f"attention_window is one even number, or one for each of {count} layers, not {windows}"
        )
    attention, *rest = made.layers[0].parts
    full = attention.mixer
    assert isinstance(full, spec.Attention)
    plain = spec.WindowsAndGlobal(full.heads, dropout=full.dropout, time_first=True)
    by_window = {
        window: spec.Layer((replace(attention, mixer=replace(plain, mask=Window(window // 2))), *rest))
        for window in each
    }
    return replace(made, layers=tuple(by_window[window] for window in each))


def windows(node: str) -> dict[str, str | None]:
    """Where the projections lie, those of tokens that see all beside the others."""
    whole = {"q": "query", "k": "key", "v": "value"}
    own = {f"{role}_global": f"{node}.{name}_global" for role, name in whole.items()}
    return {**{role: f"{node}.{name}" for role, name in whole.items()}, **own, "weights_dropout": None}


def stack(c: LongformerConfig) -> spec.Stack:
    """RoBERTa's stack, each layer with a window of its own."""
    made = within(roberta.stack(c, "LongformerLayer"), c.attention_window)
    return replace(made, names=bert.NAMES.with_(layer=windows("attention.self")))


def sequences(c: Any) -> Sequences:
    """A label by the first token's state."""
    return roberta.labels(c.hidden_dropout_prob)


_HEADS = roberta.ROBERTA.heads
LONGFORMER = register(
    Family(
        model_type="longformer",
        name="Longformer",
        config=LongformerConfig,
        base="longformer",
        assembly=Single(stack, marks=True),
        heads={
            "ForMaskedLM": _HEADS["ForMaskedLM"],
            "ForSequenceClassification": Head("sequence_classification", sequences, marks="first"),
            "ForMultipleChoice": replace(_HEADS["ForMultipleChoice"], marks="choice"),
            "ForTokenClassification": _HEADS["ForTokenClassification"],
            "ForQuestionAnswering": replace(_HEADS["ForQuestionAnswering"], marks="question"),
        },
        ignored=bert.BERT.ignored,
        order=roberta.ROBERTA.order,
    )
)
