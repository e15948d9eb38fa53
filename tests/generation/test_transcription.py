"""Speech to tokens beside the reference: languages, tasks, prompts, times, windows, fall-back, alignment."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.generation.small_speech import BEFORE, START, TIMELESS, TRANSCRIBE, both

PROMPT = torch.tensor([BEFORE, 4, 9, 21])
CARRIED = {"condition_on_prev_tokens": True}
FALLS = {
    **{"temperature": (0.0,), "logprob_threshold": -1.0, "compression_ratio_threshold": 1.2},
    "no_speech_threshold": 0.001,
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return both(tmp_path_factory.mktemp("speech"))


def _sounds(count: int = 3, frames: int = 100, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    sounds = torch.randn(count, 8, frames) * 2
    mask = torch.ones(count, frames, dtype=torch.int64)
    for i in range(1, count):
        mask[i, frames - 37 * i :] = 0
    return {"input_features": sounds * mask[:, None], "attention_mask": mask}


def _same(pair: tuple[Any, Any], sounds: dict[str, torch.Tensor], **asked: Any) -> Any:
    expected, found = (model.generate(**sounds, **asked) for model in pair)
    if not isinstance(expected, dict):
        assert torch.equal(expected, found)
        return found
    assert torch.equal(expected["sequences"], found["sequences"])
    for name in ("token_timestamps", "sequences_scores"):
        if expected.get(name) is not None:
            torch.testing.assert_close(found[name], expected[name])
    for ours, theirs in zip(found.get("segments", []), expected.get("segments", []), strict=True):
        assert [one["tokens"].tolist() for one in ours] == [one["tokens"].tolist() for one in theirs]
        for edge in ("start", "end"):
            edges = ([float(one[edge]) for one in each] for each in (ours, theirs))
            assert next(edges) == pytest.approx(next(edges))
    return found


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"language": "german", "task": "translate"},
        {"language": ["en", "<|fr|>", "mandarin"]},
        {"task": "transcribe", "num_beams": 3},
        {"return_timestamps": True},
        {"return_timestamps": True, "num_beams": 2, "language": "en"},
        {"prompt_ids": PROMPT, "max_new_tokens": 6},
        {"decoder_input_ids": torch.tensor([[START, 53, TRANSCRIBE, TIMELESS, 5]] * 3)},
        {"force_unique_generate_call": True, "return_timestamps": True},
        {"return_dict_in_generate": True, "output_scores": True, "num_beams": 2},
        {"temperature": 0.0, "logprob_threshold": -0.1, "language": "en"},
    ],
    ids=str,
)
def test_short_sounds_become_the_references_tokens(pair: tuple[Any, Any], asked: dict[str, Any]) -> None:
    _same(pair, _sounds(), **asked)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        CARRIED,
        {**CARRIED, "prompt_ids": PROMPT},
        {**CARRIED, "prompt_ids": PROMPT, "prompt_condition_type": "all-segments"},
        {"prompt_ids": PROMPT, "num_beams": 2},
        {**FALLS, **CARRIED},
        {"return_token_timestamps": True, "return_segments": True},
    ],
    ids=str,
)
def test_a_long_sound_is_read_window_after_window(pair: tuple[Any, Any], asked: dict[str, Any]) -> None:
    _same(pair, _sounds(1, 470), language="en", return_timestamps=True, **asked)


@pytest.mark.parametrize("asked", [{}, {"return_segments": True}, {**FALLS}], ids=str)
def test_long_sounds_of_a_batch_end_each_for_itself(pair: tuple[Any, Any], asked: dict[str, Any]) -> None:
    _same(pair, _sounds(3, 330), language="en", return_timestamps=True, **asked)


def test_words_are_found_in_the_sound_of_each_row_alone(pair: tuple[Any, Any]) -> None:
    sounds = _sounds(2)
    asked = {"return_token_timestamps": True, "language": "en", "return_timestamps": True}
    together = pair[1].generate(**sounds, **asked)
    for row in range(2):
        alone = _same(pair, {name: value[row : row + 1] for name, value in sounds.items()}, **asked)
        length = alone["token_timestamps"].shape[1]
        torch.testing.assert_close(together["token_timestamps"][row, :length], alone["token_timestamps"][0])


def test_a_text_that_will_not_do_is_decoded_again_at_the_next_temperature(pair: tuple[Any, Any]) -> None:
    ours, sounds = pair[1], _sounds(3)
    asked = {"language": "en", "compression_ratio_threshold": 0.5}
    first = ours.generate(**sounds, language="en")
    assert torch.equal(ours.generate(**sounds, **asked, temperature=(0.0,)), first)
    torch.manual_seed(0)
    drawn = ours.generate(**sounds, **asked, temperature=(0.0, 1.0))
    torch.manual_seed(0)
    assert torch.equal(ours.generate(**sounds, language="en", temperature=1.0), drawn)
    assert not torch.equal(first[:, :5], drawn[:, :5])


def test_the_language_is_heard_and_encoders_that_ran_before_serve(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    sounds = _sounds(3)["input_features"]
    heard = ours.detect_language(sounds)
    assert torch.equal(heard, theirs.detect_language(sounds))
    encoded = ours.get_encoder()(sounds)
    assert torch.equal(ours.detect_language(encoder_outputs=encoded), heard)
    once = {"force_unique_generate_call": True}
    assert torch.equal(ours.generate(encoder_outputs=encoded, **once), ours.generate(sounds, **once))


def test_progress_and_tokens_are_told_as_they_come(pair: tuple[Any, Any]) -> None:
    class Heard:
        def __init__(self) -> None:
            self.tokens: list[list[int]] = []
            self.ends = 0

        def put(self, value: torch.Tensor) -> None:
            self.tokens.append(value.reshape(-1).tolist())

        def end(self) -> None:
            self.ends += 1

    heard, seen = Heard(), list[list[int]]()
    sounds = _sounds(1, 250)
    asked = {"language": "en", "return_timestamps": True, "task": "transcribe"}
    pair[1].generate(
        **sounds, **asked, streamer=heard, monitor_progress=lambda seeks: seen.append(seeks[0].tolist())
    )
    assert heard.tokens[0] == [START, 52, TRANSCRIBE]
    assert heard.ends == 1
    assert seen[0] == [0, 250] != seen[-1]
    assert seen == sorted(seen)
    assert sum(one == heard.tokens[0] for one in heard.tokens) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"language": "klingon"}, "no language"),
        ({"task": "sing"}, "task is"),
        ({"language": ["en"]}, "1 languages for 3 sounds"),
        ({"no_speech_threshold": 0.5}, "logprob_threshold"),
        ({"prompt_condition_type": "all-segments"}, "condition_on_prev_tokens"),
        ({"max_new_tokens": 40}, "max_new_tokens is 40"),
        ({"is_multilingual": False, "task": "translate"}, "English alone"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(pair: tuple[Any, Any], asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pair[1].generate(**_sounds(), **asked)


def test_long_sounds_need_to_know_where_they_end(pair: tuple[Any, Any]) -> None:
    sounds = _sounds(2, 300)["input_features"]
    with pytest.raises(ValueError, match="attention_mask"):
        pair[1].generate(sounds)
    with pytest.raises(ValueError, match="leave return_timestamps=False out"):
        pair[1].generate(sounds[:1], return_timestamps=False)
    with pytest.raises(TypeError, match="input_features"):
        pair[1].generate(sounds[0])
