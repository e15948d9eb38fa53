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
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import record
from generation import bandwidth
from pipelines import alternating

QUESTION, BEFORE = 24, 8  # tokens of a question, and of what stands before the picture
PICTURE, VOCABULARY = 31999, 32000


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


def beside(what: str, calls: list[Any], rounds: int) -> tuple[list[str], Any]:
    """One row, and what formers wrote: the two in turn."""
    for call in calls:
        call()
    ratio, seconds, theirs, ours = alternating(*calls, rounds)
    same = "same" if bool((theirs == ours).all()) else "differ"
    return [what, f"{ratio:.2f}", f"{seconds * 1e3:.0f} ms", same], ours


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


def measured(models: list[Any], settings: dict[str, Any], rounds: int) -> list[list[str]]:
    """A row for the answer to each question, and for its first token alone."""
    asked, rows, told = prompt(), list[list[str]](), None
    one = {**settings, "max_new_tokens": 1}
    for what, how in (("first question, its first token", one), ("first question", settings)):
        calls = [functools.partial(model.generate, **asked, **how) for model in models]
        row, told = beside(what, calls, rounds)
        rows.append(row)
    whole, cache = second(models[1], asked, told, settings)
    for what, how in (("second question, its first token", one), ("second question", settings)):
        theirs = functools.partial(models[0].generate, **whole, **how)
        rows.append(beside(what, [theirs, going_on(models[1], whole, cache, how)], rounds)[0])
    return rows


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


def parts(models: list[Any], settings: dict[str, Any], rounds: int) -> list[list[str]]:
    """A row for each part of the first answer: ratio, ours, share of the peak of both, largest ratio."""
    from torch.utils.flop_counter import FlopCounterMode

    asked, rows, new = prompt(), list[list[str]](), settings["max_new_tokens"]
    calls: list[Callable[[Any], Any]] = [
        lambda model: model.get_image_features(pixel_values=asked["pixel_values"]),
        lambda model: model.generate(**asked, **{**settings, "max_new_tokens": 1}),
        lambda model: model.generate(**asked, **settings),
    ]
    work = []
    for call in calls[:2]:
        with FlopCounterMode(display=False) as counted:
            call(models[0])
        work.append(counted.get_total_flops())
    held = sum(one.numel() * one.element_size() for one in models[0].model.language_model.parameters())
    taken = [[seconds(functools.partial(call, model), rounds) for call in calls] for model in models]
    theirs, ours = ((seen, first - seen, (whole - first) / (new - 1)) for seen, first, whole in taken)
    fast, wide = most_computed(rounds), bandwidth() * 1e9
    names = ("the picture's vectors", "the prompt behind them", "each further token")
    for name, one, two, least in zip(
        names, theirs, ours, (work[0] / fast, (work[1] - work[0]) / fast, held / wide), strict=True
    ):
        shares = f"{least / two:.0%} of the peak (reference {least / one:.0%}): at most {one / least:.2f}"
        rows.append([name, f"{one / two:.2f}", f"{two * 1e3:.1f} ms", shares])
    return [*rows, ["peaks", "", "", f"{fast / 1e9:.0f} GFLOP/s, {wide / 1e9:.1f} GB/s"]]


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
    table: list[Any] = [["", "times the reference's speed", "ours", "answers, or share of the peak"]]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        checkpoint(folder)
        models = [
            module.LlavaForConditionalGeneration.from_pretrained(folder).eval()
            for module in (transformers, formers)
        ]
        table += measured(models, settings, options.rounds)
        table += parts(models, settings, options.rounds)
    record.show(table)
    if options.record:
        record.section("Pictures and words", table, command="python benchmarks/joined.py --record")


if __name__ == "__main__":
    main()
