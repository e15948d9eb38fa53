"""Models that predict words and choose among continuations at once compute what the reference computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.plain_shapes import GPT2

TOLERANCE = 1e-5
KINDS = [("gpt2", "GPT2"), ("openai-gpt", "OpenAIGPT")]
SUMMARIES: dict[str, dict[str, Any]] = {
    "at a place": {},
    "last": {"summary_type": "last", "summary_activation": "tanh"},
    "first, as it is": {"summary_type": "first", "summary_use_proj": False},
    "mean, to the width": {"summary_type": "mean", "summary_proj_to_labels": False},
}


def _pair(kind: tuple[str, str], fields: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """The reference's model and ours, from one folder."""
    torch.manual_seed(0)
    name = f"{kind[1]}DoubleHeadsModel"
    config = transformers.AutoConfig.for_model(kind[0], **{**GPT2, **fields})
    theirs = getattr(transformers, name)(config).eval()
    theirs.save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


def _choices() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Three examples of two choices each, and which places are real."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 101, (3, 2, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 1, 6:] = mask[2, :, 4:] = 0
    return {"input_ids": ids, "token_type_ids": ids % 2}, mask


def _close(expected: torch.Tensor, found: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("fields", SUMMARIES.values(), ids=list(SUMMARIES))
@pytest.mark.parametrize("kind", KINDS, ids=[kind for kind, _ in KINDS])
def test_words_and_choices_are_the_references(
    kind: tuple[str, str], fields: dict[str, Any], tmp_path: Path
) -> None:
    theirs, ours = _pair(kind, fields, tmp_path)
    inputs, mask = _choices()
    mc_labels = torch.tensor([1, 0, 1])
    if fields:  # beside "cls_index" the reference takes the axis of choices for that of places
        inputs, mask = {name: ids.flatten(0, 1) for name, ids in inputs.items()}, mask.flatten(0, 1)
        mc_labels = torch.tensor([3] if "summary_activation" in fields else [3] * 6)
    # the reference's GPT reads the mask as rows alone
    flat = mask.view(-1, 9) if kind[0] == "openai-gpt" else mask
    given = {**inputs, "attention_mask": flat}
    labels = {"labels": inputs["input_ids"].masked_fill(mask == 0, -100), "mc_labels": mc_labels}
    places = {"mc_token_ids": mask.sum(-1) - 1}
    for more in ({}, labels, {**labels, **places}):
        expected, found = theirs(**given, **more), ours(**inputs, attention_mask=mask, **more)
        assert set(found) - {"past_key_values"} == set(expected) - {"past_key_values"}
        _close(expected.mc_logits, found.mc_logits)
        _close(expected.logits[mask.bool()], found.logits[mask.bool()])
    _close(expected.loss, found.loss)
    _close(expected.mc_loss, found.mc_loss)
    for model in (theirs, ours):
        model.zero_grad()
    (expected.loss + expected.mc_loss).backward(), (found.loss + found.mc_loss).backward()
    gradients = {key: p.grad for key, p in ours.named_parameters(remove_duplicate=False)}
    for key, parameter in theirs.named_parameters():
        _close(parameter.grad, gradients[key])


def test_a_summary_that_nobody_can_make_is_refused() -> None:
    config = formers.GPT2Config(**GPT2, summary_type="attn")
    with pytest.raises(ValueError, match="summary_type of the config is 'cls_index' or .* not 'attn'"):
        formers.GPT2DoubleHeadsModel(config)
