"""Speech to tokens beside the reference: languages, tasks, prompts, times, windows, fall-back, alignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers

# 50 words, their end, then what a text begins with, and times 0 to 1 s: a window has 100 frames
END, START, TRANSLATE, TRANSCRIBE, BEFORE, SILENT, TIMELESS, FIRST = 50, 51, 56, 57, 59, 60, 61, 62
LANGUAGES = {"<|en|>": 52, "<|de|>": 53, "<|fr|>": 54, "<|zh|>": 55}
CONFIG = {
    **{"vocab_size": 113, "num_mel_bins": 8, "d_model": 16, "max_source_positions": 50},
    **{"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2},
    **{"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_target_positions": 36, "median_filter_width": 3},
    **{"pad_token_id": END, "bos_token_id": END, "eos_token_id": END, "decoder_start_token_id": START},
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
SETTINGS = {
    **{"max_length": 36, "pad_token_id": END, "bos_token_id": END, "eos_token_id": END},
    **{"decoder_start_token_id": START, "no_timestamps_token_id": TIMELESS, "prev_sot_token_id": BEFORE},
    **{"is_multilingual": True, "lang_to_id": LANGUAGES, "max_initial_timestamp_index": 20},
    "task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE},
    "alignment_heads": [[0, 1], [1, 0]],
    "suppress_tokens": [3, 7, START, TRANSLATE, TRANSCRIBE, BEFORE, SILENT, *LANGUAGES.values()],
    "begin_suppress_tokens": [11, END],
    "return_timestamps": False,
}
PROMPT = torch.tensor([BEFORE, 4, 9, 21])
CARRIED = {"condition_on_prev_tokens": True}
FALLS = {
    **{"temperature": (0.0,), "logprob_threshold": -1.0, "compression_ratio_threshold": 1.2},
    "no_speech_threshold": 0.001,
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    torch.manual_seed(7)
    theirs = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**CONFIG)).eval()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            if value.dim() > 1:  # wide enough that the likeliest token changes as a text goes on
                value.normal_(0, 0.9 if "embed" in name else 0.45)
    theirs.generation_config = transformers.GenerationConfig(**SETTINGS)
    folder: Path = tmp_path_factory.mktemp("speech")
    theirs.save_pretrained(folder)
    return theirs, formers.WhisperForConditionalGeneration.from_pretrained(folder)


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
