"""Questions about tables cost what they cost in the reference, whatever is known of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.plain_shapes import ENCODER
from tests.parity.shapes import inputs_of, labels

_WEAK = {
    "num_aggregation_labels": 4,
    "use_answer_as_supervision": True,
    "cell_selection_preference": 0.5,
    "huber_loss_delta": 1.5,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "cells alone": {},
    "cells of any column": {"select_one_column": False, "positive_label_weight": 3.0},
    "cells of any column, their mean": {"select_one_column": False, "average_logits_per_cell": True},
    "no column may be chosen, colder": {"allow_empty_column_selection": True, "temperature": 0.4},
    "operators are known": {"num_aggregation_labels": 4, "aggregation_loss_weight": 0.3},
    "operators alone": {"num_aggregation_labels": 4, "disable_per_token_loss": True},
    "the answer is known": _WEAK,
    "relative errors, large ones left out": {
        **_WEAK,
        "use_normalized_answer_loss": True,
        "answer_loss_cutoff": 0.4,
        "answer_loss_importance": 0.7,
    },
    "averages of first order": {**_WEAK, "average_approximation_function": "first_order"},
    "averages of second order, warmer operators": {
        **_WEAK,
        "average_approximation_function": "second_order",
        "aggregation_temperature": 2.0,
    },
    "cells and operators are drawn": {
        **_WEAK,
        "use_gumbel_for_cells": True,
        "use_gumbel_for_aggregation": True,
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_tables_cost_what_they_cost_in_the_reference(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.TapasConfig(
        **{**ENCODER, "max_num_rows": 5, "max_num_columns": 4, "num_hidden_layers": 1, **SETTINGS[name]},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    )
    theirs = transformers.TapasForQuestionAnswering(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = formers.TapasForQuestionAnswering.from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    given = labels("TapasForQuestionAnswering", inputs)
    if not config.select_one_column:
        given["labels"] = given["labels"].float()  # there the reference takes no whole numbers
    found = []
    for model in (theirs, ours):
        torch.manual_seed(1)
        output = model(**inputs, **given)
        output.loss.backward()
        gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
        found.append((output.loss, output.logits[inputs["attention_mask"].bool()], gradients))
    (loss, logits, gradients), (our_loss, our_logits, our_gradients) = found
    torch.testing.assert_close(our_loss, loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(our_logits, logits, atol=1e-4, rtol=1e-5)  # some are -10,000 and a little
    for key, value in gradients.items():
        torch.testing.assert_close(our_gradients[key], value, atol=1e-5, rtol=1e-4)


def test_what_is_missing_of_an_answer_is_named() -> None:
    config = formers.TapasConfig(**{**ENCODER, **_WEAK})
    model = formers.TapasForQuestionAnswering(config)
    inputs = inputs_of(model)
    given = labels("TapasForQuestionAnswering", inputs)
    with pytest.raises(ValueError, match="pass float_answer"):
        model(**inputs, labels=given["labels"])
    with pytest.raises(ValueError, match="pass numeric_values"):
        model(**inputs, labels=given["labels"], float_answer=given["float_answer"])
