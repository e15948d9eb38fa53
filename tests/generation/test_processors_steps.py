"""Processors that remember, ask others, or that the reference dropped; their list; what they refuse."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers.generation.logits_process as theirs

import formers.generation as ours
from formers.core.notices import Notice
from generation.test_processors import VOCABULARY, ids, logits

SYNTH = {
    "ngram_len": 3,
    "keys": [654, 400, 836],
    "sampling_table_size": 64,
    "sampling_table_seed": 1,
    "context_history_size": 4,
    "device": "cpu",
}


def steps(start: int, end: int, rows: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    text = ids(end, 5, rows=rows)
    text[:, start + 5 : start + 9] = text[:, start : start + 4][
        :, : max(0, end - start - 5)
    ]  # contexts come again
    return [(text[:, :length], logits(length, rows)) for length in range(start, end)]


@pytest.mark.parametrize("top_p", [0.5, 0.97, 0.9999])
def test_the_nucleus_of_a_large_vocabulary_is_the_reference_s(top_p: float) -> None:
    scores = 3 * torch.randn(2, 6000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mine = ours.TopPLogitsWarper(top_p)(ids(), scores)
    torch.testing.assert_close(mine, theirs.TopPLogitsWarper(top_p)(ids(), scores))


def test_the_nucleus_of_half_precision_is_that_of_its_values() -> None:
    scores = logits().bfloat16()
    kept = ours.TopPLogitsWarper(0.5)(ids(), scores).isfinite()
    assert torch.equal(kept, ours.TopPLogitsWarper(0.5)(ids(), scores.float()).isfinite())


@pytest.mark.parametrize(
    "more", [{}, {"sampling_table_size": 60}, {"skip_first_ngram_calls": True}, {"debug_mode": True}]
)
def test_tournaments_are_the_reference_s_step_by_step(more: dict[str, Any]) -> None:
    mine = ours.SynthIDTextWatermarkLogitsProcessor(**{**SYNTH, **more})
    other = theirs.SynthIDTextWatermarkLogitsProcessor(**{**SYNTH, **more})
    for text, scores in steps(4, 24):
        torch.testing.assert_close(mine(text, scores), other(text, scores), rtol=1e-4, atol=1e-4)


def test_a_tournament_of_a_new_text_begins_anew() -> None:
    reused, fresh = (ours.SynthIDTextWatermarkLogitsProcessor(**SYNTH) for _ in range(2))
    for text, scores in steps(4, 12):
        reused(text, scores)
    for text, scores in steps(4, 12):
        assert torch.equal(reused(text, scores), fresh(text, scores))


def test_what_a_detector_asks_of_tournaments_is_the_reference_s() -> None:
    mine = ours.SynthIDTextWatermarkLogitsProcessor(**SYNTH)
    other = theirs.SynthIDTextWatermarkLogitsProcessor(**SYNTH)
    text = ids(40) % 4
    assert torch.equal(mine.compute_g_values(text), other.compute_g_values(text))
    mask = mine.compute_context_repetition_mask(text)
    assert torch.equal(mask, other.compute_context_repetition_mask(text))
    assert mask.any()
    assert not mask.all()
    assert torch.equal(mine.compute_eos_token_mask(text[:2], 3), other.compute_eos_token_mask(text[:2], 3))
    assert mine.expected_mean_g_value(100) == other.expected_mean_g_value(100)
    coins = mine.compute_g_values(ids(VOCABULARY + 2))
    torch.testing.assert_close(
        mine.update_scores(logits(), coins), other.update_scores(logits(), coins), rtol=1e-4, atol=1e-4
    )


def test_a_green_list_of_the_token_itself_is_the_reference_s() -> None:
    settings = {"vocab_size": 60, "device": "cpu", "seeding_scheme": "selfhash", "context_width": 3}
    scores = logits(size=60)
    mine = ours.WatermarkLogitsProcessor(**settings)(ids(), scores)
    torch.testing.assert_close(mine, theirs.WatermarkLogitsProcessor(**settings)(ids(), scores))


def test_a_watermark_that_cannot_begin_yet_says_so() -> None:
    processor = ours.WatermarkLogitsProcessor(60, context_width=5)
    with pytest.warns(Notice, match="looks at 5 tokens and there are 2"):
        assert torch.equal(processor(ids(2), logits(size=60)), logits(size=60))


def test_what_a_function_allows_is_the_reference_s() -> None:
    def allowed(batch: int, text: torch.Tensor) -> list[int]:
        return [int(text[-1]), 3, 5] if batch == 0 else [7]

    scores = logits()
    scores[2:, 7] = -math.inf  # both beams of the second entry: nothing allowed is left
    mine = ours.PrefixConstrainedLogitsProcessor(allowed, 2)(ids(), scores)
    assert torch.equal(mine, theirs.PrefixConstrainedLogitsProcessor(allowed, 2)(ids(), scores))
    with pytest.raises(ValueError, match="allows no token for entry 0"):
        ours.PrefixConstrainedLogitsProcessor(lambda batch, text: [], 2)(ids(), scores)


@pytest.mark.parametrize("name", ["ClassifierFreeGuidance", "DiaClassifierFreeGuidance"])
def test_guidance_of_doubled_batches_is_the_reference_s(name: str) -> None:
    name = f"{name}LogitsProcessor"
    for more in ({}, {"guidance_top_k": 3}) if name.startswith("Dia") else ({},):
        mine, other = (getattr(room, name)(2.5, **more) for room in (ours, theirs))
        torch.testing.assert_close(mine(ids(), logits(rows=8)), other(ids(), logits(rows=8)))
    with pytest.raises(ValueError, match="twice as many rows"):
        mine(ids(), logits())


class Counter(torch.nn.Module):
    """A model whose scores tell all that it was given: a sum over the tokens, through cache and mask."""

    def forward(
        self, ids: torch.Tensor, attention_mask: torch.Tensor, use_cache: bool, past_key_values: Any
    ) -> Any:
        past = 0 if past_key_values is None else past_key_values
        seen = (ids * attention_mask[:, -ids.shape[1] :]).cumsum(1) + past
        steps = torch.arange(VOCABULARY)
        out = SimpleNamespace(logits=torch.sin(seen[..., None] * (steps + 1.0)))
        out.past_key_values = seen[:, -1:] if use_cache else None
        out.get = lambda name, default: getattr(out, name, default)
        return out


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("negative", [None, torch.tensor([[0, 4, 5], [6, 7, 8]])])
def test_guidance_by_a_second_pass_is_the_reference_s(cached: bool, negative: torch.Tensor | None) -> None:
    mask = None if negative is None else (negative > 0).long()
    keywords = {"unconditional_ids": negative, "unconditional_attention_mask": mask, "use_cache": cached}
    mine = ours.UnbatchedClassifierFreeGuidanceLogitsProcessor(1.5, Counter(), **keywords)
    other = theirs.UnbatchedClassifierFreeGuidanceLogitsProcessor(1.5, Counter(), **keywords)
    for text, scores in steps(3, 9):
        torch.testing.assert_close(mine(text, scores), other(text, scores))


def test_guidance_follows_beams_that_change_places() -> None:
    cached, plain = (
        ours.UnbatchedClassifierFreeGuidanceLogitsProcessor(1.5, Counter(), use_cache=cache)
        for cache in (True, False)
    )
    for step, (text, scores) in enumerate(steps(3, 9)):
        text = text.flip(0) if step % 2 else text
        torch.testing.assert_close(cached(text, scores), plain(text, scores))


def test_channels_end_one_after_another_as_the_reference_s() -> None:
    def processors() -> Any:
        for room in (ours, theirs):
            yield room.DiaEOSDelayPatternLogitsProcessor([0, 2, 3], 20, max_generation_len=14)

    mine, other = processors()
    for length in range(1, 14):
        scores = logits(length, rows=6)
        if length == 4:
            scores[0, 20] = 99.0
        torch.testing.assert_close(
            mine(ids(length, rows=6), scores), other(ids(length, rows=6), scores.clone())
        )


def test_silence_is_noted_at_the_beginning_as_the_reference_does() -> None:
    mine, other = (room.WhisperNoSpeechDetection(4, 1) for room in (ours, theirs))
    for processor in (mine, other):
        for text, scores in steps(1, 4):
            assert torch.equal(processor(text, scores), scores)
    torch.testing.assert_close(mine.no_speech_prob, other.no_speech_prob)


def test_a_group_of_beams_avoids_what_the_groups_before_it_took() -> None:
    processor = ours.HammingDiversityLogitsProcessor(0.5, num_beams=4, num_beam_groups=2)
    taken = torch.tensor([3, 3, 0, 0, 5, 6, 0, 0])  # two texts; the second group has taken nothing yet
    scores = torch.zeros(4, 8)
    expected = torch.zeros(4, 8)
    expected[:2, 3] = -1.0
    expected[2:, 5] = expected[2:, 6] = -0.5
    assert torch.equal(processor(ids(rows=4), scores, taken, beam_group_idx=1), expected)
    assert torch.equal(processor(ids(rows=4), scores, taken, beam_group_idx=0), scores)


def test_forced_tokens_come_at_their_places() -> None:
    processor = ours.ForceTokensLogitsProcessor([[2, 7], [4, 1]])
    assert torch.equal(processor(ids(3), logits()), logits())
    forced = processor(ids(4), logits())
    assert forced.argmax(1).tolist() == [1] * 4
    assert forced.isfinite().sum() == 4


def test_a_list_calls_processors_and_functions_in_order() -> None:
    class Own(ours.LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any, offset: float, scale: float = 1.0) -> Any:
            return scores * scale + offset

    def function(input_ids: Any, scores: Any) -> Any:
        return scores.clamp(max=5)

    processors = ours.LogitsProcessorList([ours.TemperatureLogitsWarper(0.5), Own(), function])
    assert torch.equal(processors(ids(), logits(), offset=1.0, other=0), (logits() * 2 + 1).clamp(max=5))
    assert torch.equal(processors(ids(), logits(), offset=1.0, scale=2.0), (logits() * 4 + 1).clamp(max=5))
    with pytest.raises(ValueError, match="Own also takes offset"):
        processors(ids(), logits())
    assert not processors.row_wise
    assert ours.LogitsProcessorList(processors[:1]).row_wise


def test_a_processor_without_a_call_says_what_it_needs() -> None:
    class Empty(ours.LogitsProcessor):
        pass

    with pytest.raises(NotImplementedError, match="Empty has to define __call__"):
        ours.LogitsProcessorList([Empty()])(ids(), logits())


REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    *[("TemperatureLogitsWarper", (t,), "temperature") for t in (0, 0.0, -1.0, math.nan, "1", True)],
    *[("TopKLogitsWarper", (k,), "top_k") for k in (0, -1, 2.5, None)],
    *[("TopPLogitsWarper", (p,), "top_p") for p in (-0.1, 1.1, math.nan, "x")],
    *[("MinPLogitsWarper", (p,), "min_p") for p in (-0.1, 1.1)],
    *[("TopHLogitsWarper", (p,), "top_h") for p in (0.0, 1.1)],
    *[("TypicalLogitsWarper", (p,), "typical_p") for p in (0.0, 1.0)],
    *[("EpsilonLogitsWarper", (p,), "epsilon_cutoff") for p in (0.0, 1.0)],
    *[("EtaLogitsWarper", (p,), "eta_cutoff") for p in (0.0, 1.0)],
    ("TopPLogitsWarper", (0.5, -math.inf, 0), "min_tokens_to_keep"),
    *[("RepetitionPenaltyLogitsProcessor", (p,), "repetition_penalty") for p in (0, -1.0)],
    ("RepetitionPenaltyLogitsProcessor", (1.1, -1), "prompt_ignore_length"),
    ("RepetitionPenaltyLogitsProcessor", (1.1, torch.zeros(2, 2)), "prompt_ignore_length"),
    ("EncoderRepetitionPenaltyLogitsProcessor", (0.0, ids()), "encoder_repetition_penalty"),
    ("NoRepeatNGramLogitsProcessor", (0,), "no_repeat_ngram_size"),
    ("EncoderNoRepeatNGramLogitsProcessor", (-1, ids()), "encoder_no_repeat_ngram_size"),
    ("HammingDiversityLogitsProcessor", (0.0, 4, 2), "diversity_penalty"),
    ("HammingDiversityLogitsProcessor", (0.5, 2, 4), "at most num_beams"),
    *[("SequenceBiasLogitsProcessor", (b,), "sequence_bias") for b in ({}, [], None, {(): 1.0}, [[1, 2.0]])],
    *[("SequenceBiasLogitsProcessor", ({(1,): b},), "the bias of") for b in ("x", None)],
    *[("SequenceBiasLogitsProcessor", ({(b,): 1.0},), "token of sequence_bias") for b in (-1, 0.5)],
    *[("NoBadWordsLogitsProcessor", (w,), "bad_words_ids") for w in ([], [[]], None, [3], [[-1]])],
    *[("MinLengthLogitsProcessor", (n, 3), "min_length") for n in (-1, 1.5)],
    *[("MinLengthLogitsProcessor", (4, e), "eos_token_id") for e in (-1, [2.5])],
    ("ForceTokensLogitsProcessor", ([[1]],), "force_token_map"),
    ("ExponentialDecayLengthPenalty", ((1,), 3, 4), "exponential_decay_length_penalty"),
    ("ClassifierFreeGuidanceLogitsProcessor", (1.0,), "guidance_scale"),
    ("WatermarkLogitsProcessor", (60, "cpu", 1.0), "greenlist_ratio"),
    ("WatermarkLogitsProcessor", (60, "cpu", 0.5, 2.0, 1, "midhash"), "seeding_scheme"),
    ("BarkEosPrioritizerLogitsProcessor", (3, 0.0), "min_eos_p"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), REFUSED)
def test_settings_that_make_no_sense_are_refused(name: str, arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        getattr(ours, name)(*arguments)


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        (ours.SequenceBiasLogitsProcessor({(2, 99): 1.0}), "sequence_bias names token 99"),
        (ours.NoBadWordsLogitsProcessor([[99]]), "bad_words_ids names token 99"),
        (ours.SuppressTokensLogitsProcessor([2, 99]), "suppress_tokens names token 99"),
        (ours.ForcedBOSTokenLogitsProcessor(99), "forced_bos_token_id names token 99"),
    ],
)
def test_a_token_that_the_vocabulary_lacks_is_named(processor: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"{words}, and the model's vocabulary has 23 tokens"):
        processor(ids(1), logits())


def test_an_end_that_the_vocabulary_lacks_cannot_come_and_is_no_mistake() -> None:
    processor = ours.NoBadWordsLogitsProcessor([[3]], eos_token_id=3)
    assert torch.equal(processor(ids(), logits()), logits())
    assert torch.equal(ours.MinLengthLogitsProcessor(99, 99)(ids(), logits()), logits())


def test_source_rows_that_fit_no_batch_are_named() -> None:
    processor = ours.EncoderRepetitionPenaltyLogitsProcessor(1.5, ids(rows=3))
    with pytest.raises(ValueError, match="scores for 4 rows and encoder ids for 3"):
        processor(ids(), logits())
