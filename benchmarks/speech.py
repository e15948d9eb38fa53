"""Speech to text beside the reference's pipeline and faster-whisper, on sentences that espeak-ng speaks.

The same weights in float32 on a CPU, all in turn in one process: texts that are equal, word error rates
(through jiwer, of normalized texts), seconds, and how far times of words lie from those of formers.
faster-whisper computes features of its own. With `--long` the sentences are one recording, read window
after window.

    python benchmarks/speech.py MODEL [--ct2 FOLDER] [--count 6] [--beams 1] [--long] [--words]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

SENTENCES = (
    "The weather in London is often cloudy with a chance of rain.",
    "Please leave your message after the tone and we will call you back.",
    "The train to Manchester leaves at half past seven in the morning.",
    "Scientists have discovered a new planet orbiting a distant star.",
    "He bought three apples, two oranges and a loaf of bread.",
    "The meeting has been moved to Thursday afternoon.",
    "Remember to switch off the lights before you go home.",
    "We are going to visit our grandparents next weekend.",
)
VOICES = ("en-us", "en-gb", "en-gb-scotland")


def spoken(count: int) -> list[tuple[Any, str]]:
    """Sounds at 16 kHz, and what is said in them."""
    from formers import load_audio

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for place in range(count):
            text = SENTENCES[place % len(SENTENCES)]
            path = Path(folder) / f"{place}.wav"
            voice = VOICES[place // len(SENTENCES) % len(VOICES)]
            subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", str(path), text], check=True)
            found.append((load_audio(str(path)), text))
    return found


def readers(args: argparse.Namespace) -> dict[str, Any]:
    """Name -> sound -> (text, times of its words)."""
    import transformers

    import formers

    asked: dict[str, Any] = {"generate_kwargs": {"num_beams": args.beams, "language": "en"}}
    asked["return_timestamps"] = "word" if args.words else True if args.long else None
    found: dict[str, Any] = {}
    for name, library in (("reference", transformers), ("formers", formers)):
        pipe = library.pipeline("automatic-speech-recognition", model=args.model, device="cpu")

        def read(wave: Any, pipe: Any = pipe) -> tuple[str, list[float]]:
            answer = pipe(wave.copy(), **{k: v for k, v in asked.items() if v is not None})
            return answer["text"], [one["timestamp"][0] for one in answer.get("chunks", ())]

        found[name] = read
    if args.ct2:
        from faster_whisper import WhisperModel

        model = WhisperModel(args.ct2, device="cpu", compute_type="float32", cpu_threads=args.threads)

        def other(wave: Any) -> tuple[str, list[float]]:
            parts, _ = model.transcribe(
                wave, beam_size=args.beams, language="en", word_timestamps=args.words, temperature=0.0,
                without_timestamps=not (args.long or args.words),
            )  # fmt: skip
            said = list(parts)
            words = [word.start for part in said for word in part.words or ()]
            return "".join(part.text for part in said), words

        found["faster-whisper"] = other
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--ct2")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--words", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    import jiwer
    import torch

    from formers.tokenization.normalizers import EnglishTextNormalizer

    torch.set_num_threads(args.threads)
    sounds = spoken(args.count)
    if args.long:
        gap = np.zeros(8000, np.float32)
        joined = np.concatenate([part for wave, _ in sounds for part in (wave, gap)])
        sounds = [(joined, " ".join(text for _, text in sounds))]
    every, clean = readers(args), EnglishTextNormalizer()
    seconds = {name: [] for name in every}
    texts: dict[str, list[str]] = {name: [] for name in every}
    words: dict[str, list[list[float]]] = {name: [] for name in every}
    for read in every.values():
        read(sounds[0][0][:16000])  # what is made once
    for wave, _ in sounds:
        for name, read in every.items():
            start = time.perf_counter()
            text, times = read(wave)
            seconds[name].append(time.perf_counter() - start)
            texts[name].append(text)
            words[name].append(times)
    length = sum(len(wave) for wave, _ in sounds) / 16000
    print(f"{len(sounds)} sounds, {length:.0f} s, {args.beams} beams, {args.threads} threads")
    for name in every:
        wrong = jiwer.wer([clean(said) for _, said in sounds], [clean(one) for one in texts[name]])
        ratios = [a / b for a, b in zip(seconds[name], seconds["formers"], strict=True)]
        same = sum(a == b for a, b in zip(texts[name], texts["formers"], strict=True))
        off = [
            abs(a - b)
            for ours, theirs in zip(words["formers"], words[name], strict=True)
            if len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True)
        ]
        print(
            f"{name:15} {sum(seconds[name]):7.1f} s  real-time factor {sum(seconds[name]) / length:.2f}  "
            f"x{statistics.median(ratios):.2f} of formers' time  WER {wrong:.3f}  same text {same}  "
            f"times off {statistics.median(off) if off else 0:.3f} s"
        )


if __name__ == "__main__":
    main()
