"""Losses by the names that models written by hand call them, over those of `losses`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from formers.nn import losses

Loss = Callable[..., Any]


def fixed_cross_entropy(
    source: Tensor, target: Tensor, num_items_in_batch: Any = None, ignore_index: int = -100, **_: Any
) -> Tensor:
    """Mean cross entropy [N, C], [N] -> scalar, or the sum divided by the items of a whole window."""
    return losses.cross_entropy(source, target, num_items_in_batch, ignore_index)


def ForCausalLMLoss(  # noqa: N802 - the ecosystem's name
    logits: Tensor,
    labels: Tensor | None,
    vocab_size: int,
    num_items_in_batch: Any = None,
    ignore_index: int = -100,
    shift_labels: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """Cross entropy of each token given those before it.

    Args:
        logits: [B, T, V], or [N, V].
        labels: [B, T], int64; None where `shift_labels` says what comes behind each place.
        vocab_size: V.
        num_items_in_batch: divisor in place of the number of labels here.
        ignore_index: the label that is left out.
        shift_labels: labels that are one place earlier already.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: without labels.
    """
    if shift_labels is None:
        if labels is None:
            raise ValueError("ForCausalLMLoss needs labels, or shift_labels")
        shift_labels = losses.following(labels)
    return losses.cross_entropy(
        logits.reshape(-1, vocab_size), shift_labels, num_items_in_batch, ignore_index
    )


def ForMaskedLMLoss(  # noqa: N802 - the ecosystem's name
    logits: Tensor,
    labels: Tensor,
    vocab_size: int,
    num_items_in_batch: Any = None,
    ignore_index: int = -100,
    **_: Any,
) -> Tensor:
    """Cross entropy of each labelled token. `logits` [B, T, V], `labels` [B, T] -> scalar, float32."""
    return losses.cross_entropy(logits.reshape(-1, vocab_size), labels, num_items_in_batch, ignore_index)


def ForSequenceClassificationLoss(  # noqa: N802 - the ecosystem's name
    labels: Tensor, pooled_logits: Tensor, config: Any, **_: Any
) -> Tensor:
    """Loss of a classifier: `labels` [B] or [B, C], `pooled_logits` [B, C] -> scalar.

    `config.problem_type` is set where it was None, as the labels say.
    """
    loss, config.problem_type = losses.classification(
        pooled_logits, labels, config.problem_type, config.num_labels
    )
    return loss


def ForQuestionAnsweringLoss(  # noqa: N802 - the ecosystem's name
    start_logits: Tensor,
    end_logits: Tensor,
    start_positions: Tensor | None,
    end_positions: Tensor | None,
    **_: Any,
) -> Tensor | None:
    """Mean of the losses of first and last token. Logits [B, T], positions [B] -> scalar; None without."""
    if start_positions is None or end_positions is None:
        return None
    return losses.span(start_logits, end_logits, start_positions, end_positions)


def ForTokenClassification(  # noqa: N802 - the ecosystem's name
    logits: Tensor, labels: Tensor, config: Any, num_items_in_batch: Any = None, **_: Any
) -> Tensor:
    """Cross entropy of each labelled token. `logits` [B, T, C], `labels` [B, T] -> scalar, float32."""
    return losses.cross_entropy(logits.reshape(-1, config.num_labels), labels, num_items_in_batch)


# how a class's name ends -> its loss
LOSS_MAPPING: dict[str, Loss] = {
    "ForCausalLM": ForCausalLMLoss,
    "ForConditionalGeneration": ForCausalLMLoss,
    "ForMaskedLM": ForMaskedLMLoss,
    "ForQuestionAnswering": ForQuestionAnsweringLoss,
    "ForSequenceClassification": ForSequenceClassificationLoss,
    "ForTokenClassification": ForTokenClassification,
}
