"""Speech to text beside the reference's pipeline and faster-whisper, on sentences that espeak-ng speaks.

The same weights in float32 on a CPU, all in turn in one process; faster-whisper computes features of its
own. Word error rates are of normalized texts (jiwer). Parts, each of which may run by itself:

    sentences   sixty of them in three voices: texts that are equal, word errors
    recording   ten minutes of those, one behind the other: word errors, and how far the times of first words
                lie from where sentences were put
    speed       seconds a sentence for beams of 1 and 5, a recording in batches, wav2vec 2.0 of the base
                shape, and products a second beside the most that this machine makes
    memory      the most that a process holds that reads a minute

    python benchmarks/speech.py MODEL --ct2 FOLDER [--parts sentences speed] [--keep FILE] [--record]

Rows of all parts are kept in a file, from which `--record` writes the section. FOLDER is what
`ct2-transformers-converter --model MODEL --copy_files tokenizer.json preprocessor_config.json` writes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import record

SENTENCES = (
    "The weather in London is often cloudy with a chance of rain.",
    "Please leave your message after the tone and we will call you back.",
    "The train to Manchester leaves at half past seven in the morning.",
    "Scientists have discovered a new planet orbiting a distant star.",
    "He bought three apples, two oranges and a loaf of bread.",
    "The meeting has been moved to Thursday afternoon.",
    "Remember to switch off the lights before you go home.",
    "We are going to visit our grandparents next weekend.",
    "The library is closed on Sundays and public holidays.",
    "My brother plays the guitar in a small band.",
    "It takes about twenty minutes to walk to the station.",
    "The old bridge was built more than two hundred years ago.",
    "She forgot her umbrella on the bus this morning.",
    "Fresh vegetables are sold at the market every Saturday.",
    "The doctor told him to drink more water.",
    "A strong wind blew the leaves across the garden.",
    "The children were playing football in the park.",
    "Turn left at the corner and go straight ahead.",
    "The new museum has a large collection of paintings.",
    "I would like a cup of coffee without sugar.",
)
VOICES = ("en-us", "en-gb", "en-gb-scotland")
RATE, GAP = 16000, 0.5  # seconds of silence between sentences
MINUTES = 10
PARTS = ("sentences", "recording", "speed", "memory")


@dataclass(frozen=True)
class Placed:
    """A sentence in a recording, and the seconds at which it is heard to begin."""

    text: str
    begin: float


Reader = Callable[..., tuple[str, list[tuple[str, float]]]]  # sound -> text, words and when they begin


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


def joined(sounds: Sequence[tuple[Any, str]], seconds: float) -> tuple[Any, list[Placed]]:
    """Sounds one behind the other, again from the first until there are so many seconds."""
    parts, placed, at = [], [], 0
    for wave, text in itertools.cycle(sounds):
        if at >= seconds * RATE:
            break
        loud = int(np.argmax(np.abs(wave) > 0.02 * np.abs(wave).max()))
        placed.append(Placed(text, (at + loud) / RATE))
        parts += [wave, np.zeros(int(GAP * RATE), np.float32)]
        at += len(wave) + int(GAP * RATE)
    return np.concatenate(parts), placed


def readers(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Reader]:
    """How each library reads a sound: `read(wave, beams, times, batch)`, batches in pieces of 30 s."""
    found: dict[str, Reader] = {}
    for name in names:
        found[name] = other(args) if name == "faster-whisper" else piped(args, name)
    return found


def piped(args: argparse.Namespace, name: str) -> Reader:
    """The pipeline of formers, or of the reference."""
    import transformers

    import formers

    library = {"formers": formers, "reference": transformers}[name]
    pipe = library.pipeline("automatic-speech-recognition", model=args.model, device="cpu")

    def read(wave: Any, beams: int = 1, times: Any = None, batch: int = 0) -> tuple[str, list[Any]]:
        asked: dict[str, Any] = {"generate_kwargs": {"num_beams": beams, "language": "en"}}
        asked |= {"return_timestamps": times} if times else {}
        asked |= {"chunk_length_s": 30, "stride_length_s": 0, "batch_size": batch} if batch else {}
        answer = pipe(wave.copy(), **asked)
        words = [(one["text"], one["timestamp"][0]) for one in answer.get("chunks", ())]
        return answer["text"], words

    return read


def other(args: argparse.Namespace) -> Reader:
    """faster-whisper with the same weights."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(args.ct2, device="cpu", compute_type="float32", cpu_threads=args.threads)
    together = BatchedInferencePipeline(model)

    def read(wave: Any, beams: int = 1, times: Any = None, batch: int = 0) -> tuple[str, list[Any]]:
        asked = {"beam_size": beams, "language": "en", "temperature": 0.0}
        if batch:
            pieces = [
                {"start": i, "end": min(i + 30.0, len(wave) / RATE)} for i in range(0, len(wave) // RATE, 30)
            ]
            parts, _ = together.transcribe(
                wave, batch_size=batch, vad_filter=False, clip_timestamps=pieces, **asked
            )
        else:
            parts, _ = model.transcribe(
                wave, word_timestamps=times == "word", without_timestamps=not times, **asked
            )
        said = list(parts)
        words = [(word.word, word.start) for part in said for word in part.words or ()]
        return "".join(part.text for part in said), words

    return read


def errors(said: Sequence[str], heard: Sequence[str]) -> float:
    """The word error rate of normalized texts."""
    import jiwer

    from formers.tokenization.normalizers import EnglishTextNormalizer

    clean = EnglishTextNormalizer()
    return float(jiwer.wer([clean(one) for one in said], [clean(one) for one in heard]))


def off(placed: Sequence[Placed], words: Sequence[tuple[str, float]]) -> list[float]:
    """How far the first word of each sentence lies from where the sentence was put, in seconds."""
    import jiwer

    def plain(text: str) -> str:
        return "".join(sign for sign in text.lower() if sign.isalnum()) or "-"

    said = [[plain(word) for word in one.text.split()] for one in placed]
    heard = [plain(word) for word, _ in words]
    firsts = [0, *itertools.accumulate(map(len, said))][:-1]
    aligned = jiwer.process_words(" ".join(word for one in said for word in one), " ".join(heard))
    at = {}
    for chunk in aligned.alignments[0]:
        if chunk.type in ("equal", "substitute"):
            count = chunk.ref_end_idx - chunk.ref_start_idx
            at |= {chunk.ref_start_idx + i: chunk.hyp_start_idx + i for i in range(count)}
    pairs = zip(firsts, placed, strict=True)
    return [abs(words[at[first]][1] - one.begin) for first, one in pairs if first in at]


def of_sentences(args: argparse.Namespace) -> list[list[str]]:
    """Texts of all sentences, beside the reference."""
    sounds, every = spoken(args.count), readers(args, ("reference", "formers"))
    heard = {name: [read(wave)[0] for wave, _ in sounds] for name, read in every.items()}
    same = sum(a == b for a, b in zip(*heard.values(), strict=True))
    said = [text for _, text in sounds]
    rates = [errors(said, texts) for texts in heard.values()]
    return [
        [f"{len(said)} sentences, word errors", f"{rates[0]:.2%}", f"{rates[1]:.2%}", "", ""],
        ["texts like the reference's", "", f"{same} of {len(said)}", "", ""],
    ]


def of_recording(args: argparse.Namespace) -> list[list[str]]:
    """Words of a recording and when they begin."""
    wave, placed = joined(spoken(args.count), 60 * args.minutes)
    said = " ".join(one.text for one in placed)
    names = ("reference", "formers", *(("faster-whisper",) if args.ct2 else ()))
    found = {}
    for name, read in readers(args, names).items():
        text, words = read(wave, times="word")
        found[name] = (text, errors([said], [text]), off(placed, words))
        print(name, f"{found[name][1]:.4f}", len(found[name][2]), flush=True)
    what = f"recording of {len(wave) / RATE / 60:.1f} min"
    third = [found[name] for name in names[2:]]
    alike = "the reference's text" if found["reference"][0] == found["formers"][0] else "another text"
    return [
        [
            f"{what}, word errors",
            *(f"{found[n][1]:.2%}" for n in names[:2]),
            *(f"{one[1]:.2%}" for one in third),
            alike,
        ],
        [
            f"{what}, first words off, median",
            *(f"{statistics.median(found[n][2]):.2f} s" for n in names[:2]),
            *(f"{statistics.median(one[2]):.2f} s" for one in third),
            f"of {len(found['formers'][2])} sentences",
        ],
    ]


def in_turn(every: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(rounds):
        for name, run in every.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compared(what: str, seconds: dict[str, list[float]], length: float) -> list[str]:
    """A row: seconds of each library, and how much longer the others take (median of pairs)."""

    def ratio(name: str) -> str:
        if name not in seconds:
            return ""
        pairs = zip(seconds[name], seconds["formers"], strict=True)
        return f"{statistics.median(a / b for a, b in pairs):.2f}"

    cells = [
        f"{sum(seconds[name]):.1f} s" if name in seconds else ""
        for name in ("reference", "formers", "faster-whisper")
    ]
    ratios = f"x{ratio('reference')}" + (
        f", x{ratio('faster-whisper')}" if "faster-whisper" in seconds else ""
    )
    factor = sum(seconds["formers"]) / length if length else 0
    return [what, *cells, ratios + (f"; real-time factor {factor:.3f}" if length else "")]


def of_speed(args: argparse.Namespace) -> list[list[str]]:
    """Seconds, all libraries in turn."""
    sounds = spoken(args.count)[:: max(1, args.count // args.timed)]
    names = ("reference", "formers", *(("faster-whisper",) if args.ct2 else ()))
    every, rows = readers(args, names), []
    for read in every.values():
        read(sounds[0][0], beams=2)  # what is made once
    length = sum(len(wave) for wave, _ in sounds) / RATE
    for beams in (1, 5):
        seconds: dict[str, list[float]] = {name: [] for name in every}
        for wave, _ in sounds:
            once = in_turn({n: lambda r=read, w=wave, b=beams: r(w, b) for n, read in every.items()}, 1)
            seconds = {name: [*seconds[name], *once[name]] for name in every}
        rows.append(compared(f"{len(sounds)} sentences, beam {beams}", seconds, length))
        print(rows[-1], flush=True)
    wave, _ = joined(sounds, args.batched)
    runs = {n: lambda r=read: r(wave, batch=8) for n, read in every.items()}
    rows.append(compared(f"{len(wave) / RATE:.0f} s in batches of 8", in_turn(runs, 2), 2 * len(wave) / RATE))
    print(rows[-1], flush=True)
    return [*rows, *of_products(args), of_waves()]


def of_products(args: argparse.Namespace) -> list[list[str]]:
    """Products a second in Whisper's encoder, beside those of one large product of matrices."""
    import torch
    import transformers

    import formers

    left, right = torch.randn(1500, 512), torch.randn(512, 2048)
    most = 2 * 1500 * 512 * 2048 / min(in_turn({"": lambda: left @ right}, 30)[""]) / 1e9
    models = [
        lib.WhisperForConditionalGeneration.from_pretrained(args.model) for lib in (transformers, formers)
    ]
    c = models[1].config
    rows, wide, ff = c.max_source_positions, c.d_model, c.encoder_ffn_dim
    layer = 2 * rows * wide * (4 * wide + 2 * ff) + 4 * rows * rows * wide
    count = c.encoder_layers * layer + 2 * 2 * rows * 3 * wide * (c.num_mel_bins + wide / 2)
    x = torch.randn(1, c.num_mel_bins, 2 * rows)
    encoders = dict(zip(("reference", "formers"), (m.eval().get_encoder() for m in models), strict=True))
    with torch.inference_mode():
        seconds = in_turn({n: lambda e=one: e(x) for n, one in encoders.items()}, 6)
    cells = [f"{count / min(seconds[name]) / 1e9:.0f} GFLOP/s" for name in encoders]
    row = [
        "encoder of a window",
        *cells,
        "",
        f"{most:.0f} GFLOP/s in one product; {min(seconds['formers']):.2f} s",
    ]
    print(row, flush=True)
    return [row]


def of_waves() -> list[str]:
    """wav2vec 2.0 of the base shape with drawn weights, on ten seconds."""
    import torch
    import transformers

    import formers

    torch.manual_seed(0)
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config()).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = formers.Wav2Vec2ForCTC.from_pretrained(folder)
    wave = torch.randn(1, 10 * RATE)
    with torch.inference_mode():
        seconds = in_turn({"reference": lambda: theirs(wave), "formers": lambda: ours(wave)}, 6)
    return compared("wav2vec 2.0, base, 5 times 10 s", {n: one[1:] for n, one in seconds.items()}, 50)


def of_memory(args: argparse.Namespace) -> list[list[str]]:
    """What processes hold at most that read one minute each."""
    names = ("reference", "formers", *(("faster-whisper",) if args.ct2 else ()))
    cells = []
    for name in names:
        command = [sys.executable, __file__, args.model, "--ct2", args.ct2 or "", "--alone", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        cells.append(f"{int(done.stdout.split()[-1]) / 1024:.0f} MiB")
    return [["most memory, a minute read", *cells, *[""] * (3 - len(cells)), ""]]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--ct2")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--count", type=int, default=60, help="sentences")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of the recording")
    parser.add_argument("--timed", type=int, default=12, help="sentences that are timed")
    parser.add_argument("--batched", type=float, default=120, help="seconds of a recording that is timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("speech.json"), help="where rows are kept")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(args.threads)
    if args.alone:
        wave, _ = joined(spoken(20), 60)
        readers(args, (args.alone,))[args.alone](wave, times=True)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    kept = json.loads(args.keep.read_text()) if args.keep.exists() else {}
    measure = {"sentences": of_sentences, "recording": of_recording, "speed": of_speed, "memory": of_memory}
    for part in args.parts:
        kept[part] = measure[part](args)
        args.keep.write_text(json.dumps(kept))
    head = ["Whisper base, float32", "reference", "formers", "faster-whisper", ""]
    table = [head, *(row for part in PARTS for row in kept.get(part, ()))]
    record.show(table)
    if args.record:
        record.section(
            "Speech",
            table,
            command="python benchmarks/speech.py MODEL --ct2 FOLDER --record",
            notes="Ratios (x) are times as fast as the reference, and as faster-whisper: medians of pairs in "
            f"turn; {args.threads} threads. espeak-ng speaks the sentences in three voices; the recording's "
            "first words are compared with where the sentences were put.",
        )


if __name__ == "__main__":
    main()
