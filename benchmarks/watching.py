"""What it costs to find out whether anybody looks inside a model, and to be looked at.

    python benchmarks/watching.py

For a MiniLM and a 12-layer BERT: the time of finding out, of one pass over one short text, their ratio, and
how much longer a batch of texts of different lengths takes while a hook is in the tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

import formers
from formers.nn.watch import watched

SHAPES = {
    "MiniLM, 6 layers of 384": {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
    "BERT base, 12 layers of 768": {},
}
SHORT = 12  # tokens of the one text


def best(call: Callable[[], object], repeats: int) -> float:
    """The shortest of several times, in microseconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times) * 1e6


def lengths(count: int) -> torch.Tensor:
    """Lengths of texts as they come: 8 to 64 tokens."""
    return torch.randint(8, 65, (count,), generator=torch.Generator().manual_seed(0))


def row(name: str, model: nn.Module) -> str:
    """What was measured of one model."""
    ids = torch.randint(5, 30000, (1, SHORT))
    texts = torch.randint(5, 30000, (16, 64))
    mask = (torch.arange(64)[None] < lengths(16)[:, None]).long()
    finding = best(lambda: [watched(model) for _ in range(100)], 20) / 100
    one = best(lambda: model(ids), 20)
    batch = best(lambda: model(texts, attention_mask=mask), 5)
    handle = model.bert.encoder.register_forward_hook(lambda *_: None)
    seen_one = best(lambda: model(ids), 20)
    seen = best(lambda: model(texts, attention_mask=mask), 5)
    handle.remove()
    modules = sum(1 for _ in model.modules())
    real = 100 * mask.float().mean()
    return (
        f"{name}, {modules} modules: finding out {finding:.1f} us; one text of {SHORT} tokens {one:.0f} us "
        f"({100 * finding / one:.2f} %), watched x {seen_one / one:.2f}; 16 texts, {real:.0f} % "
        f"of their places real, {batch / 1000:.1f} ms, watched x {seen / batch:.2f}"
    )


def main() -> None:
    """Print a row for each shape."""
    torch.manual_seed(0)
    for name, shape in SHAPES.items():
        model = formers.BertForSequenceClassification(formers.BertConfig(**shape)).eval()
        with torch.no_grad():
            print(row(name, model))


if __name__ == "__main__":
    main()
