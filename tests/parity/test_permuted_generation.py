"""XLNet writes what the reference writes: by permutations, with memories of the tokens before."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from tests.parity.shapes import SHAPES, write_checkpoint

PROMPT = torch.randint(6, 30, (2, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=SHAPES["xlnet"])
def both(request: Any, tmp_path_factory: Any) -> tuple[Any, Any]:
    """The reference's model and ours, whose logits lie apart."""
    folder: Path = tmp_path_factory.mktemp("xlnet")
    theirs = write_checkpoint("xlnet", request.param, "XLNetLMHeadModel", folder)
    with torch.no_grad():
        for value in theirs.parameters():
            value.mul_(1.5)
    theirs.save_pretrained(folder)
    return theirs, formers.XLNetLMHeadModel.from_pretrained(folder)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_tokens_are_those_of_the_reference(both: tuple[Any, Any], settings: dict[str, Any]) -> None:
    given = {"max_new_tokens": 8, "eos_token_id": None, "pad_token_id": 0, "do_sample": False, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, ours = (model.generate(PROMPT, **given) for model in both)
    assert ours.tolist() == theirs.tolist()


def test_rows_end_as_those_of_the_reference_and_padding_is_refused(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    given: dict[str, Any] = {"max_new_tokens": 8, "pad_token_id": 0, "do_sample": False}
    end = int(ours.generate(PROMPT, **given, eos_token_id=None)[0, PROMPT.shape[1] + 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs.generate(PROMPT, **given, eos_token_id=end)
    assert ours.generate(PROMPT, **given, eos_token_id=end).tolist() == wanted.tolist()
    padded = torch.ones_like(PROMPT)
    padded[0, 0] = 0
    with pytest.raises(ValueError, match="prompts of one length"):
        ours.generate(PROMPT, attention_mask=padded, **given)
