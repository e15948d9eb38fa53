"""Strategies called by their own names, as before version 4.39: the texts of `generate`."""

from __future__ import annotations

import pytest
import torch

import formers
from formers import BeamSearchScorer, MaxLengthCriteria, MinLengthLogitsProcessor, StoppingCriteriaList

SHAPE = {"vocab_size": 20, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
IDS = torch.tensor([[3, 4, 5], [6, 7, 8]])
ENDS = StoppingCriteriaList([MaxLengthCriteria(9)])


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = formers.GPT2LMHeadModel(
        formers.GPT2Config(**SHAPE, bos_token_id=0, eos_token_id=1, pad_token_id=2)
    )
    made.generation_config.repetition_penalty = 5.0  # which loops by name leave out
    return made.eval()


def scorer(**how):
    return BeamSearchScorer(batch_size=2, num_beams=4, **how)


CALLS = {
    "greedy": (lambda m: m.greedy_search(IDS, stopping_criteria=ENDS), {"do_sample": False}),
    "contrastive": (
        lambda m: m.contrastive_search(IDS, top_k=4, penalty_alpha=0.6, stopping_criteria=ENDS),
        {"top_k": 4, "penalty_alpha": 0.6},
    ),
    "sample": (
        lambda m: m.sample(IDS, logits_warper=[formers.TopKLogitsWarper(3)], stopping_criteria=ENDS),
        {"do_sample": True, "top_k": 3},
    ),
    "beams": (
        lambda m: m.beam_search(
            IDS.repeat_interleave(4, 0), scorer(length_penalty=2.0, num_beam_hyps_to_keep=2), max_length=9
        ),
        {"num_beams": 4, "length_penalty": 2.0, "num_return_sequences": 2},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_loop_by_name_writes_what_generate_writes(model, name):
    call, how = CALLS[name]
    torch.manual_seed(1)
    found = call(model)
    torch.manual_seed(1)
    expected = model.generate(IDS, max_length=9, repetition_penalty=1.0, **how)
    assert torch.equal(found, expected)
    assert not torch.equal(model.generate(IDS, max_length=9, **how), expected) or name != "greedy"


def test_processors_and_records_are_those_of_the_call(model):
    keeps = [MinLengthLogitsProcessor(8, 1, device="cpu")]
    made = model.greedy_search(
        IDS, logits_processor=keeps, max_length=8, return_dict_in_generate=True, output_scores=True
    )
    assert made.sequences.shape == (2, 8)
    assert len(made.scores) == 5


def test_what_does_not_fit_is_told(model):
    with pytest.raises(ValueError, match="should be 8"):
        model.beam_search(IDS, scorer(), max_length=8)
    with pytest.raises(ValueError, match="greedy_search"):
        BeamSearchScorer(batch_size=1, num_beams=1)
    with pytest.raises(NotImplementedError, match="constraints="):
        model.constrained_beam_search(IDS, None)
