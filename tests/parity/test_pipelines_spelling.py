"""automatic-speech-recognition with models that spell, beside the reference's pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

import formers
from tests.generation.small_spelling import LETTERS, write
from tests.parity.test_pipelines_speech import RATE, _wave

TASK = "automatic-speech-recognition"


@pytest.fixture(scope="module", params=[False, True], ids=["masks", "no masks"])
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("spelled")
    write(folder, grouped=request.param)
    theirs = transformers.pipeline(TASK, model=str(folder), device="cpu")
    return theirs, formers.pipeline(TASK, model=str(folder), device="cpu")


@pytest.mark.parametrize(
    ("seconds", "asked"),
    [
        (0.3, {}),
        (0.3, {"return_timestamps": "char"}),
        (0.3, {"return_timestamps": "word"}),
        (0.73, {"chunk_length_s": 0.3}),
        (0.73, {"chunk_length_s": 0.3, "stride_length_s": (0.05, 0.02), "return_timestamps": "word"}),
        (0.61, {"chunk_length_s": 0.3, "stride_length_s": 0, "return_timestamps": "char"}),
    ],
    ids=str,
)
def test_answers_are_those_of_the_reference(
    pair: tuple[Any, Any], seconds: float, asked: dict[str, Any]
) -> None:
    expected = pair[0](_wave(seconds), **asked)
    assert pair[1](_wave(seconds), **asked) == expected
    assert pair[1](_wave(seconds), **asked, batch_size=3) == expected


def test_sounds_side_by_side_say_what_they_say_alone(pair: tuple[Any, Any]) -> None:
    ours, waves = pair[1], [_wave(0.11, 1), _wave(0.2, 2), _wave(0.13, 3)]
    expected = [ours(wave, return_timestamps="char") for wave in waves]
    assert all(one["chunks"] for one in expected)
    if ours.feature_extractor.return_attention_mask:
        assert ours(waves, return_timestamps="char", batch_size=3) == expected
    assert ours(np.zeros(10, "float32")) == {"text": ""}
    cut = {"chunk_length_s": 0.1, "stride_length_s": 0, "return_timestamps": "char"}
    whole = _wave(0.2 + 10 / RATE)  # ends with less than a moment
    assert ours(whole, **cut) == ours(whole[:-10], **cut)


def test_a_part_of_a_sound_may_be_for_context_alone(pair: tuple[Any, Any]) -> None:
    given = {"raw": _wave(0.3), "sampling_rate": RATE, "stride": (1600, 800)}
    expected = pair[0](dict(given), return_timestamps="char")
    assert pair[1](given, return_timestamps="char") == expected


class Prefers:
    """A decoder as those of `pyctcdecode`, which finds a word wherever a letter is likely enough."""

    def decode_beams(self, logits: Any, least: float = 0.0) -> list[Any]:
        """The text of the best beam, its state, (word, (start, end)) of each word, its two scores."""
        at = [i for i, row in enumerate(logits[:, 5:]) if row.max() > least]
        words = [LETTERS[5 + int(logits[i, 5:].argmax())] for i in at]
        return [(" ".join(words), None, [(w, (i, i + 1)) for w, i in zip(words, at, strict=True)], 0.0, 0.0)]


def test_a_language_model_may_choose(pair: tuple[Any, Any]) -> None:
    decoder = Prefers()
    theirs, ours = (
        of(
            model=pipe.model,
            tokenizer=pipe.tokenizer,
            decoder=decoder,
            **{"feature_extractor": pipe.feature_extractor},
        )
        for of, pipe in zip(
            (
                transformers.AutomaticSpeechRecognitionPipeline,
                formers.AutomaticSpeechRecognitionPipeline,
            ),
            pair,
            strict=True,
        )
    )
    assert ours.type == "ctc_with_lm"
    asked = {"return_timestamps": "word", "chunk_length_s": 0.2, "decoder_kwargs": {"least": 1.0}}
    assert ours(_wave(0.3), **asked) == theirs(_wave(0.3), **asked)
    with pytest.raises(ValueError, match="'word' with this model, not 'char'"):
        ours(_wave(0.1), return_timestamps="char")


def test_what_models_that_spell_cannot_do_is_refused(pair: tuple[Any, Any]) -> None:
    ours = pair[1]
    with pytest.raises(ValueError, match="'char' or 'word' with this model, not True"):
        ours(_wave(0.1), return_timestamps=True)
    with pytest.raises(ValueError, match="tells no language"):
        ours(_wave(0.1), return_language=True)
    with pytest.raises(TypeError, match=r"does not generate: leave \['num_beams'\] out"):
        ours(_wave(0.1), num_beams=2)
    with pytest.raises(ValueError, match="keywords of decoder="):
        ours(_wave(0.1), decoder_kwargs={})
