"""Models whose layers read fewer rows than a sound makes (SEW, SEW-D), beside the reference."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.speech_shapes import SHAPES
from tests.parity.test_families import _close

KINDS = {"SEW": SHAPES["sew"], "SEWD": SHAPES["sew-d"]}


def _config(kind: str, **values: Any) -> dict[str, Any]:
    return {**next(iter(KINDS[kind].values())), **values}


def _pair(folder: Path, kind: str, ending: str, **values: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**_config(kind, **values))
    theirs = getattr(transformers, kind + ending)(config).eval()
    theirs.save_pretrained(folder)
    return theirs, getattr(formers, kind + ending).from_pretrained(folder)


def _sounds() -> dict[str, torch.Tensor]:
    """Sounds that make 19 rows, 14, 13 and 1: of the last rows some are no whole group."""
    counts = torch.tensor([400, 300, 285, 41])
    mask = (torch.arange(400) < counts[:, None]).long()
    made = torch.randn(4, 400, generator=torch.Generator().manual_seed(1))
    return {"input_values": made * mask, "attention_mask": mask}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("ending", ["ForCTC", "ForSequenceClassification"])
def test_sounds_of_several_lengths_are_heard_as_the_reference_hears_them(
    kind: str, ending: str, tmp_path: Path
) -> None:
    theirs, ours = _pair(tmp_path, kind, ending)
    given = _sounds()
    count = ours._get_feat_extract_output_lengths(given["attention_mask"].sum(1))
    assert count.tolist() == theirs._get_feat_extract_output_lengths(given["attention_mask"].sum(1)).tolist()
    real = torch.arange(19) < count[:, None] if ending == "ForCTC" else None
    with torch.no_grad():
        expected = theirs(**copy.deepcopy(given)).logits
        _close(expected, ours(**given).logits, real)
        for module in ours.modules():  # now every node is called, padding included
            module.register_forward_hook(lambda *_: None)
        _close(expected, ours(**given).logits, real)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_layers_made_has_the_rows_that_they_read(kind: str, tmp_path: Path) -> None:
    theirs, ours = _pair(tmp_path, kind, "Model")
    given = _sounds()
    with torch.no_grad():
        expected = theirs(**copy.deepcopy(given), output_hidden_states=True)
        found = ours(**given, output_hidden_states=True)
    real = torch.arange(9) < torch.tensor([9, 7, 7, 1])[:, None]  # of one row alone, half is padding
    assert [tuple(one.shape) for one in found.hidden_states] == [(4, 9, 32)] * 3
    for theirs_, ours_ in zip(expected.hidden_states, found.hidden_states, strict=True):
        _close(theirs_, ours_, real)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_gradients_of_several_lengths_are_the_references(kind: str, tmp_path: Path) -> None:
    theirs, ours = _pair(tmp_path, kind, "ForCTC")
    given = {**_sounds(), "labels": torch.tensor([[3, 4, 5], [6, 7, -100], [8, 9, 3], [4, -100, -100]])}
    for model in (theirs, ours):
        model(**copy.deepcopy(given)).loss.backward()
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert sorted(found) == sorted(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_what_layers_cannot_read_fewer_of_is_refused() -> None:
    with pytest.raises(ValueError, match="squeeze_factor is 2 or more, not 1"):
        formers.SEWModel(formers.SEWConfig(**_config("SEW", squeeze_factor=1)))
    with pytest.raises(ValueError, match="use_weighted_layer_sum=True"):
        formers.SEWForSequenceClassification(formers.SEWConfig(**_config("SEW", use_weighted_layer_sum=True)))
    model = formers.SEWModel(formers.SEWConfig(**_config("SEW"))).eval()
    with pytest.raises(ValueError, match="make 1 rows, of which the layers read one of every 2: pad them"):
        model(torch.randn(1, 45))
