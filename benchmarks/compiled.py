"""Models under torch.compile: graphs, recompiles and seconds over 40 lengths, beside the model as it is.

all-MiniLM-L6-v2 reads texts of 40 lengths, one at a time and four with padding; a decoder of 110 million
weights in the shape of LLaMA reads prompts of 40 lengths, and goes on with one, token by token over a static
cache. One graph is made for the first length, and a recompile is each further one; `speed` is the eager
seconds over the compiled ones, both over all lengths, the better of the rounds, in turn in one process.

    python benchmarks/compiled.py [--lengths 40] [--longest 320] [--rounds 2] [--backend inductor]
        [--only NAME] [--threads N]

`--backend eager --rounds 0` counts graphs alone, and needs no C++ compiler.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
DECODER = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
}


class Counting:
    """A backend that counts the graphs which it hands on to another."""

    def __init__(self, name: str) -> None:
        from torch._dynamo.backends.registry import lookup_backend

        self.inner, self.graphs = lookup_backend(name), 0

    def __call__(self, graph: torch.fx.GraphModule, example: list[Any]) -> Callable[..., Any]:
        """What runs a graph."""
        self.graphs += 1
        made: Callable[..., Any] = self.inner(graph, example)
        return made


def lengths(count: int, longest: int) -> list[int]:
    """So many lengths from 8 on, short and long by turns."""
    found = [8 + i * (longest - 8) // max(count - 1, 1) for i in range(count)]
    return [one for pair in zip(found, reversed(found), strict=True) for one in pair][:count]


def encoder() -> Any:
    """MiniLM."""
    from formers import AutoModel

    sys.path.insert(0, str(ROOT / "examples"))
    from minilm import minilm

    return AutoModel.from_pretrained(minilm())


def decoder() -> Any:
    """A LLaMA of random weights, 112 million."""
    from formers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**DECODER)).eval()


def rows(batch: int) -> Callable[[int], dict[str, torch.Tensor]]:
    """Rows of a length, the last of several padded to the right."""

    def made(length: int) -> dict[str, torch.Tensor]:
        ids = torch.arange(batch * length).view(batch, length) % 20000 + 1000
        real = torch.ones_like(ids)
        if batch > 1:
            real[-1, length // 2 :] = 0
        return {"input_ids": ids, "attention_mask": real}

    return made


def whole(model: Any, call: Any, inputs: Any, sizes: list[int]) -> Iterator[torch.Tensor]:
    """What is returned for every length."""
    for length in sizes:
        yield call(**inputs(length))[0]


def steps(model: Any, call: Any, inputs: Any, sizes: list[int]) -> Iterator[torch.Tensor]:
    """A prompt of 32 tokens, and one token after the other, as many as there are lengths."""
    from formers import StaticCache

    cache = StaticCache(model.config, 512)
    given = inputs(32)
    model(**given, past_key_values=cache)
    for i in range(len(sizes)):
        token = torch.full((1, 1), 1000 + i)
        mask = torch.ones(1, 33 + i, dtype=torch.int64)
        yield call(input_ids=token, attention_mask=mask, past_key_values=cache)[0]


STORIES: dict[str, tuple[Any, Any, Any]] = {
    "MiniLM, one text": (encoder, whole, rows(1)),
    "MiniLM, four texts": (encoder, whole, rows(4)),
    "LLaMA 110 M, prompt": (decoder, whole, rows(1)),
    "LLaMA 110 M, steps": (decoder, steps, rows(1)),
}


def measure(name: str, options: argparse.Namespace) -> str:
    """A line of the table."""
    make, story, inputs = STORIES[name]
    torch._dynamo.reset()
    model, counting = make(), Counting(options.backend)
    compiled = torch.compile(model, backend=counting, dynamic=True, fullgraph=True)
    best = {"eager": float("inf"), "compiled": float("inf")}
    sizes, worst = lengths(options.lengths, options.longest), 0.0
    with torch.no_grad():
        start = time.perf_counter()
        for a, b in zip(
            story(model, model, inputs, sizes), story(model, compiled, inputs, sizes), strict=True
        ):
            shown = a.shape[0] - (a.shape[0] > 1)  # the last of several has padding
            worst = max(worst, float((a[:shown] - b[:shown]).abs().max()))
        first = time.perf_counter() - start
        for _ in range(options.rounds):
            for kind, call in (("eager", model), ("compiled", compiled)):
                start = time.perf_counter()
                for _ in story(model, call, inputs, sizes):
                    pass
                best[kind] = min(best[kind], time.perf_counter() - start)
    each = {kind: 1000 * seconds / len(sizes) for kind, seconds in best.items()}
    speed = f"{each['eager']:.1f} | {each['compiled']:.1f} | {best['eager'] / best['compiled']:.2f}"
    speed = speed if options.rounds else "- | - | -"
    graphs = f"{min(counting.graphs, 1)} | {counting.graphs - 1}"
    return f"| {name} | {graphs} | {worst:.1e} | {speed} | {first:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, default=40)
    parser.add_argument("--longest", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"backend {options.backend}, {options.lengths} lengths, {options.threads} threads\n")
    print("| what | graph | recompiles | difference | eager ms | compiled ms | speed | first pass s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in STORIES:
        if options.only in name:
            print(measure(name, options), flush=True)


if __name__ == "__main__":
    main()
