"""The loss of a task by a function of the caller's own: `model.loss_function = ...`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formers.model.handwritten import loss_of
from formers.nn.named_losses import LOSS_MAPPING


def put_own_loss(model: Any, made: Any, targets: Mapping[str, Any], items: Any) -> None:
    """Compute the loss of what a head made, and put it there.

    Args:
        model: whose `loss_function` was set.
        made: scores, without a loss.
        targets: as the head's inputs name them.
        items: divisor of the summed loss.

    Raises:
        TypeError: for a head whose loss goes by no such function.
    """
    kind = loss_of(model, LOSS_MAPPING)
    count = {} if items is None else {"num_items_in_batch": items}
    if kind == "ForQuestionAnswering":
        ends = (targets["start_positions"], targets["end_positions"])
        loss = model.loss_function(made.start_logits, made.end_logits, *ends)
    elif kind == "ForSequenceClassification":
        loss = model.loss_function(labels=targets["labels"], pooled_logits=made.logits, config=model.config)
    elif kind == "ForTokenClassification":
        loss = model.loss_function(logits=made.logits, labels=targets["labels"], config=model.config, **count)
    elif kind and "labels" in targets:
        size = made.logits.shape[-1]
        loss = model.loss_function(logits=made.logits, labels=targets["labels"], vocab_size=size, **count)
    else:
        raise TypeError(
            f"{type(model).__name__} computes its loss by no function of scores and labels alone: leave "
            "loss_function as it was, and compute the loss from the outputs"
        )
    made["loss"] = loss
