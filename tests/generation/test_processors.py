"""Every processor of scores: the reference's result, over its settings, and on each row alone."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers.generation.logits_process as theirs

import formers.generation as ours

VOCABULARY, ROWS, LENGTH = 23, 4, 9
END = [3, 11]
SOURCE = torch.tensor([[1, 2, 3, 1, 2, 5], [7, 7, 8, 9, 7, 7]])
WHISPER = SimpleNamespace(
    no_timestamps_token_id=12, eos_token_id=10, bos_token_id=9, max_initial_timestamp_index=4
)
STARTS = torch.tensor([0, 2, 5, 8])


def ids(length: int = LENGTH, seed: int = 0, low: int = 0, rows: int = ROWS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, VOCABULARY, (rows, length), generator=generator)


def few(length: int = LENGTH, seed: int = 0) -> torch.Tensor:
    """Ids of a small alphabet, so that runs come again."""
    return ids(length, seed) % 3 + 1


def logits(seed: int = 0, rows: int = ROWS, size: int = VOCABULARY) -> torch.Tensor:
    return 2 * torch.randn(rows, size, generator=torch.Generator().manual_seed(seed + 1))


def holed(seed: int = 0) -> torch.Tensor:
    """Scores of which earlier processors took some away."""
    scores = logits(seed)
    return scores.masked_fill(logits(seed + 7) > 1.5, -math.inf)


BIAS = {(4,): 2.5, (1, 2): -3.0, (2, 1, 3): 4.0, (3, 3): 1.0, (1, 3): -1.0}
FLOATS = (0.05, 0.3, 0.9)

# name, arguments, ids
CASES: list[tuple[str, dict[str, Any], torch.Tensor]] = [
    *[("MinLength", {"min_length": n, "eos_token_id": END}, ids()) for n in (0, LENGTH, LENGTH + 1)],
    *[
        (
            "MinNewTokensLength",
            {"prompt_length_to_skip": 6, "min_new_tokens": n, "eos_token_id": torch.tensor(END)},
            ids(),
        )
        for n in (3, 4)
    ],
    ("MinLength", {"min_length": 99, "eos_token_id": [3, 999]}, ids()),
    *[("Temperature", {"temperature": t}, ids()) for t in (0.3, 1.7)],
    *[("TopK", {"top_k": k, "min_tokens_to_keep": m}, ids()) for k, m in ((1, 1), (5, 1), (2, 3), (99, 1))],
    *[("TopP", {"top_p": p, "min_tokens_to_keep": m}, ids()) for p in (0.0, *FLOATS, 1.0) for m in (1, 3)],
    *[("MinP", {"min_p": p, "min_tokens_to_keep": m}, ids()) for p in (0.0, *FLOATS, 1.0) for m in (1, 3)],
    *[("TopH", {"top_h": p}, ids()) for p in FLOATS],
    *[("Typical", {"mass": p, "min_tokens_to_keep": m}, ids()) for p in FLOATS for m in (1, 3)],
    *[("Epsilon", {"epsilon": p, "min_tokens_to_keep": m}, ids()) for p in FLOATS for m in (1, 3)],
    *[("Eta", {"epsilon": p, "min_tokens_to_keep": m}, ids()) for p in FLOATS for m in (1, 3)],
    ("TopP", {"top_p": 0.5, "filter_value": -7.0}, ids()),
    *[
        ("RepetitionPenalty", {"penalty": p, "prompt_ignore_length": start}, ids(low=low))
        for p in (0.5, 1.3)
        for start in (None, 0, 4, LENGTH, STARTS, STARTS + 1)
        for low in (0, 17)
    ],
    ("RepetitionPenalty", {"penalty": 1.3}, ids() * 2),  # some beyond the vocabulary of the scores
    *[("EncoderRepetitionPenalty", {"penalty": p, "encoder_input_ids": SOURCE}, ids()) for p in (0.5, 1.3)],
    *[("NoRepeatNGram", {"ngram_size": n}, few(length, n)) for n in (1, 2, 3, 4) for length in (1, 3, 9, 40)],
    *[
        (
            "EncoderNoRepeatNGram",
            {"encoder_ngram_size": n, "encoder_input_ids": SOURCE},
            SOURCE.repeat_interleave(2, 0)[:, :length],
        )
        for n in (1, 2, 3, 7)
        for length in (1, 2, 4, 5)
    ],
    *[("SequenceBias", {"sequence_bias": BIAS}, few(length, length)) for length in (1, 2, 9)],
    ("SequenceBias", {"sequence_bias": [[[4], 2.5], [[1, 2], -3.0]]}, few()),
    *[
        ("NoBadWords", {"bad_words_ids": [[4], [3], [1, 2], [2, 1, 3]], "eos_token_id": e}, few())
        for e in (None, 3, END)
    ],
    ("SuppressTokens", {"suppress_tokens": [1, 5, 22]}, ids()),
    ("SuppressTokens", {"suppress_tokens": []}, ids()),
    *[("SuppressTokensAtBegin", {"begin_suppress_tokens": [1, 5], "begin_index": n}, ids()) for n in (8, 9)],
    *[("ForcedBOSToken", {"bos_token_id": 4}, ids(n)) for n in (1, 2)],
    *[("ForcedEOSToken", {"max_length": n, "eos_token_id": END}, ids()) for n in (9, 10, 11)],
    *[
        (
            "ExponentialDecayLengthPenalty",
            {
                "exponential_decay_length_penalty": (n, 1.1),
                "eos_token_id": END,
                "input_ids_seq_length": 4,
            },
            ids(),
        )
        for n in (0, 4, 5)
    ],
    ("InfNanRemove", {}, ids()),
    ("LogitNormalization", {}, ids()),
    *[
        ("AlternatingCodebooks", {"input_start_len": n, "semantic_vocab_size": 5, "codebook_size": 8}, ids())
        for n in (4, 5)
    ],
    *[("BarkEosPrioritizer", {"eos_token_id": END, "min_eos_p": p}, ids()) for p in (None, 0.02, 0.2)],
    *[("DiaEOSChannelFilter", {"num_channels": n, "eos_token_id": 20}, ids()) for n in (1, 2, 4)],
    *[
        (
            "WhisperTimeStamp",
            {"generate_config": WHISPER, "begin_index": n, "_detect_timestamp_from_logprob": detect},
            torch.cat([ids(3, seed), ids(6, seed, low)], 1),
        )
        for n in (2, 7, 8, 9)
        for detect in (None, False)
        for seed, low in ((0, 0), (1, 9), (2, 13))
    ],
    *[
        ("Watermark", {"vocab_size": VOCABULARY, "device": "cpu", "seeding_scheme": s, **more}, ids())
        for s in ("lefthash",)
        for more in ({}, {"greenlist_ratio": 0.5, "bias": 1.0, "hashing_key": 7}, {"context_width": 3})
    ],
]


def name_of(case: Any) -> str:
    end = (
        "Warper"
        if case[0] in ("Temperature", "TopK", "TopP", "MinP", "TopH", "Typical", "Epsilon", "Eta")
        else "Processor"
    )
    return case[0] if hasattr(ours, case[0]) else f"{case[0]}Logits{end}"


def both(case: Any) -> tuple[Any, Any]:
    name, keywords = name_of(case), case[1]
    return getattr(ours, name)(**keywords), getattr(theirs, name)(**keywords)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
@pytest.mark.parametrize("scores", [logits(), holed(3), logits(5)], ids=["plain", "holed", "other"])
def test_a_processor_gives_the_scores_of_the_reference(case: Any, scores: torch.Tensor) -> None:
    mine, other = both(case)
    given = scores.clone()
    result = mine(case[2], given)
    torch.testing.assert_close(result, other(case[2], scores.clone()), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(given, scores, rtol=0, atol=0)  # it wrote into nothing of its caller's


@pytest.mark.parametrize("case", [case for case in CASES if both(case)[0].row_wise], ids=lambda case: case[0])
def test_what_says_that_it_reads_rows_alone_does(case: Any) -> None:
    rows = torch.tensor([2, 0])
    whole = both(case)[0](case[2], logits())
    torch.testing.assert_close(both(case)[0](case[2][rows], logits()[rows]), whole[rows])


def test_only_what_holds_something_for_each_row_reads_more_than_rows() -> None:
    more = {case[0] for case in CASES if not both(case)[0].row_wise}
    assert more == {
        "RepetitionPenalty",
        "EncoderRepetitionPenalty",
        "EncoderNoRepeatNGram",
        "DiaEOSChannelFilter",
    }
    assert ours.RepetitionPenaltyLogitsProcessor(1.3).row_wise
    assert not ours.LogitsProcessor.row_wise
