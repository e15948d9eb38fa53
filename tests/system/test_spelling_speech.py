"""A model learns from nothing to spell speech, here with too few sentences to be good at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import formers
from formers.audio_utils import load_audio

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "spelling_speech.py"
SMALL = ["--sentences", "16", "--unseen", "4", "--epochs", "1", "--width", "32", "--layers", "1"]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng speaks the sentences")
def test_the_example_speaks_learns_judges_and_saves(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path / "model"), *SMALL]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert "16 sentences to learn from" in done.stdout
    assert re.search(r"word error rate \d+\.\d % on 4 unseen sentences, after \d+\.\d minutes", done.stdout)
    said = re.search(r"said: +(.+)", done.stdout)
    assert said is not None
    sound = tmp_path / "sound.wav"
    subprocess.run(["espeak-ng", "-w", str(sound), said[1]], check=True)
    pipe = formers.pipeline("automatic-speech-recognition", model=str(tmp_path / "model"))
    assert set(pipe(load_audio(str(sound), sampling_rate=16000))["text"]) <= set(
        " abcdefghijklmnopqrstuvwxyz<unk>"
    )


def test_no_judged_sentence_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import spelling_speech

    assert len(set(spelling_speech.WORDS)) == 60
    learned = [one.text for one in spelling_speech.sentences(50)]
    unseen = [one.text for one in spelling_speech.sentences(50, learned, seed=0)]
    assert len(set(learned)) == len(set(unseen)) == 50
    assert not set(learned) & set(unseen)
