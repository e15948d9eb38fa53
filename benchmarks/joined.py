"""Seconds of a model that talks about pictures, beside the reference's `generate`.

LLaVA's shape with random weights: CLIP ViT-B/16 (196 tokens a picture) and a LLaMA of 110 million parameters,
float32 on a CPU, greedily. The first question shows a picture; the second is asked about the same one behind
the first answer: formers goes on from the cache that holds both, the reference reads all of it again, as
`generate` does unless its caller keeps a cache too. The two run in turn in one process, and the median of the
ratios is given, of whole answers and of their first token, behind which both read all weights for every
token: what a processor's memory gives bounds the whole. Answers must be token for token the same. The parts
of the first answer (the picture, the prompt, each further token) stand beside what this machine computes and
reads at most: no ratio of a part can be larger than the reference's seconds over those that the peak leaves.

    python benchmarks/joined.py [--new-tokens 32] [--rounds 5] [--chunk N] [--threads N] [--record]

Rows are printed as they come.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import record
from generation import bandwidth
from pipelines import alternating

QUESTION, BEFORE = 24, 8  # tokens of a question, and of what stands before the picture
PICTURE, VOCABULARY = 31999, 32000
WANTED = (2.5, 5)  # times the reference's speed, for the first question and the second


@dataclass(frozen=True)
class Row:
    """One line of the table: how many times the reference's speed, and our seconds."""

    name: str
    ratio: float
    ours: float
    says: str

    @property
    def theirs(self) -> float:
        """The reference's seconds."""
        return self.ratio * self.ours

    @property
    def cells(self) -> list[str]:
        """As texts."""
        return [self.name, f"{self.ratio:.2f}", f"{self.ours * 1e3:.4g} ms", self.says]


def checkpoint(folder: str) -> str:
    """A LLaVA of the reference in that shape."""
    import torch
    import transformers

    torch.manual_seed(0)
    wide = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    config = transformers.LlavaConfig(
        text_config={
            **{"model_type": "llama", **wide, "intermediate_size": 2048, "vocab_size": VOCABULARY},
            **{"tie_word_embeddings": True, "eos_token_id": None, "pad_token_id": 0},
        },
        vision_config={
            **{"model_type": "clip_vision_model", **wide, "intermediate_size": 3072},
            **{"image_size": 224, "patch_size": 16, "projection_dim": 512},
        },
        image_token_index=PICTURE,
        tie_word_embeddings=True,
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def prompt() -> dict[str, Any]:
    """A picture between a few tokens and a question."""
    import torch

    drawn = torch.Generator().manual_seed(0)
    words = torch.randint(3, PICTURE, (1, BEFORE + QUESTION), generator=drawn)
    ids = torch.cat((words[:, :BEFORE], torch.full((1, 196), PICTURE), words[:, BEFORE:]), 1)
    pixels = torch.randn(1, 3, 224, 224, generator=drawn)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def beside(what: str, calls: list[Any], rounds: int) -> tuple[Row, Any]:
    """One row, and what formers wrote: the two in turn."""
    for call in calls:
        call()
    ratio, seconds, theirs, ours = alternating(*calls, rounds)
    same = "same" if bool((theirs == ours).all()) else "differ"
    return Row(what, ratio, seconds, same), ours


def second(
    model: Any, asked: dict[str, Any], told: Any, settings: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """The prompt with a question behind that answer, and a cache of all before it that can be cut back."""
    import torch

    from formers.nn.cache import DynamicCache

    more = torch.randint(3, PICTURE, (1, QUESTION), generator=torch.Generator().manual_seed(1))
    ids, cache = torch.cat((told, more), 1), DynamicCache()
    model.generate(**asked, past_key_values=cache, **settings)
    return {**asked, "input_ids": ids, "attention_mask": torch.ones_like(ids)}, cache


def going_on(model: Any, whole: dict[str, Any], cache: Any, settings: dict[str, Any]) -> Any:
    """An answer behind what the cache holds, which holds no more afterwards than before."""
    held = cache.get_seq_length()

    def run() -> Any:
        found = model.generate(**whole, past_key_values=cache, **settings)
        cache.crop(held)
        return found

    return run


def measured(models: list[Any], settings: dict[str, Any], rounds: int) -> Iterator[Row]:
    """A row for the answer to each question, and for its first token alone."""
    asked, told = prompt(), None
    one = {**settings, "max_new_tokens": 1}
    for what, how in (("first question, its first token", one), ("first question", settings)):
        calls = [functools.partial(model.generate, **asked, **how) for model in models]
        row, told = beside(what, calls, rounds)
        yield row
    whole, cache = second(models[1], asked, told, settings)
    for what, how in (("second question, its first token", one), ("second question", settings)):
        theirs = functools.partial(models[0].generate, **whole, **how)
        yield beside(what, [theirs, going_on(models[1], whole, cache, how)], rounds)[0]


def seconds(call: Callable[[], Any], rounds: int) -> float:
    """The median, after one call that does not count."""
    call()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def most_computed(rounds: int) -> float:
    """Floating-point operations a second of a product of large squares."""
    import torch

    a, b = torch.randn(2, 2048, 2048)
    return 2 * 2048**3 / seconds(lambda: a @ b, rounds)


@dataclass(frozen=True)
class Bounds:
    """What this machine can do at most.

    Attributes:
        computed: floating-point operations a second.
        read: bytes a second.
        held: bytes of the text model's weights, all of which every token reads.
        least: seconds of the picture, of the prompt behind it and of each further token at those peaks.
    """

    computed: float
    read: float
    held: int
    least: tuple[float, float, float]

    @classmethod
    def of(cls, model: Any, calls: list[Callable[[Any], Any]], rounds: int) -> Bounds:
        """Those of a model; `calls`: its picture alone, and that with the prompt."""
        from torch.utils.flop_counter import FlopCounterMode

        work = []
        for call in calls:
            with FlopCounterMode(display=False) as counted:
                call(model)
            work.append(counted.get_total_flops())
        held = sum(one.numel() * one.element_size() for one in model.model.language_model.parameters())
        fast, wide = most_computed(rounds), bandwidth() * 1e9
        return cls(fast, wide, held, (work[0] / fast, (work[1] - work[0]) / fast, held / wide))

    def notes(self, rows: dict[str, Row], options: argparse.Namespace) -> str:
        """What answers could take at most, beside what they took."""
        (seen, asked, token), new = self.least, options.new_tokens
        again = max(token, asked * QUESTION / prompt()["input_ids"].shape[1])  # a question, one reading
        least = (seen + asked + (new - 1) * token, again + (new - 1) * token)
        took = [rows[f"{which} question"].theirs for which in ("first", "second")]
        most = [one / two for one, two in zip(took, least, strict=True)]
        return (
            f"{options.rounds} rounds. Wanted: {WANTED[0]} for the first question and {WANTED[1]} for the "
            f"second. Each further token reads all weights of the text model, {self.held / 1e6:.0f} MB, on "
            f"either side; at this machine's most that takes {token * 1e3:.0f} ms. With every part at its "
            f"peak the first answer would take {least[0]:.2f} s (the reference took {took[0]:.2f} s) and the "
            f"second {least[1]:.2f} s ({took[1]:.2f} s): at most {most[0]:.1f} and {most[1]:.1f} times as "
            "fast, so that only fewer bytes a token, or several tokens a reading, lead further."
        )


def parts(models: list[Any], settings: dict[str, Any], rounds: int) -> tuple[Bounds, list[Row]]:
    """A row for each part of the first answer: ratio, ours, share of the peak of both, largest ratio."""
    asked, new = prompt(), settings["max_new_tokens"]
    calls: list[Callable[[Any], Any]] = [
        lambda model: model.get_image_features(pixel_values=asked["pixel_values"]),
        lambda model: model.generate(**asked, **{**settings, "max_new_tokens": 1}),
        lambda model: model.generate(**asked, **settings),
    ]
    bounds = Bounds.of(models[0], calls[:2], rounds)
    taken = [[seconds(functools.partial(call, model), rounds) for call in calls] for model in models]
    theirs, ours = ((seen, first - seen, (whole - first) / (new - 1)) for seen, first, whole in taken)
    names = ("the picture's vectors", "the prompt behind them", "each further token")
    rows = []
    for name, one, two, least in zip(names, theirs, ours, bounds.least, strict=True):
        shares = f"{least / two:.0%} of the peak (reference {least / one:.0%}): at most {one / least:.2f}"
        rows.append(Row(name, one / two, two, shares))
    return bounds, rows


def main() -> None:
    """Measure, show, and record where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=None, help="read prompts in chunks of so many tokens")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch
    import transformers

    import formers

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    settings: dict[str, Any] = {"max_new_tokens": options.new_tokens, "do_sample": False}
    if options.chunk is not None:
        settings["prefill_chunk_size"] = options.chunk
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        checkpoint(folder)
        models = [
            module.LlavaForConditionalGeneration.from_pretrained(folder).eval()
            for module in (transformers, formers)
        ]
        for row in measured(models, settings, options.rounds):
            rows[row.name] = row
            print("  ".join(row.cells), flush=True)
        bounds, more = parts(models, settings, options.rounds)
    head = ["", "times the reference's speed", "ours", "answers, or share of the peak"]
    peaks = ["peaks", "", "", f"{bounds.computed / 1e9:.0f} GFLOP/s, {bounds.read / 1e9:.1f} GB/s"]
    table = [head, *(row.cells for row in (*rows.values(), *more)), peaks]
    record.show(table)
    notes = bounds.notes(rows, options)
    print(notes)
    if options.record:
        command = " ".join(("python benchmarks/joined.py", *sys.argv[1:]))
        record.section("Pictures and words", table, command=command, notes=notes)


if __name__ == "__main__":
    main()
