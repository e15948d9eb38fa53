"""The two products that a linear leaf can take: oneDNN's beside the one that `F.linear` takes.

`nn/kernels.py` chooses between them by the processor's maker, the rows and the size of the weight; this shows
whether the choice is right on a processor. Square weights and those of a feed-forward, float32, one thread;
CPU time of the thread, in turn, the median of the ratios. Above 1.0 oneDNN's is the faster one.

    python benchmarks/products.py [--rounds 9] [--record]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

SIZES = ((384, 384), (384, 1536), (768, 768), (768, 3072), (2048, 2048))
ROWS = (1, 4, 16, 128, 1024)


def seconds(call: Callable[[], Any], times: int) -> float:
    """CPU time of so many calls."""
    start = time.thread_time()
    for _ in range(times):
        call()
    return time.thread_time() - start


def ratio(leaf: Any, x: Any, trained: bool, rounds: int) -> float:
    """Seconds of the plain product over those of oneDNN's."""
    import torch

    from formers.nn import kernels

    given = [x, *leaf.parameters()]

    def run(mkl: bool) -> Callable[[], Any]:
        def call() -> Any:
            kernels._mkl = mkl  # what it finds out on import
            out = leaf(x) if mkl else kernels.project(leaf, x, None, watched=False)
            return torch.autograd.grad(out.sum(), given) if trained else out

        return call

    plain, other = run(True), run(False)
    times = max(1, int(2e8 / (x.shape[0] * leaf.weight.numel())))
    with torch.set_grad_enabled(trained):
        plain(), other()
        pairs = [(seconds(plain, times), seconds(other, times)) for _ in range(rounds)]
    return statistics.median(one / two for one, two in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    import torch

    import record

    torch.set_num_threads(1)
    table = [
        ["in x out", *(f"{rows} rows" for rows in ROWS), *(f"{rows} rows, trained" for rows in ROWS[2:])]
    ]
    for width_in, width_out in SIZES:
        leaf, row = torch.nn.Linear(width_in, width_out), [f"{width_in} x {width_out}"]
        for trained, counts in ((False, ROWS), (True, ROWS[2:])):
            for rows in counts:
                x = torch.randn(rows, width_in, requires_grad=trained)
                row.append(f"{ratio(leaf, x, trained, given.rounds):.2f}")
        table.append(row)
        print(*row, flush=True)
    record.show(table)
    if given.record:
        record.section("Products", table, command="python benchmarks/products.py --record")


if __name__ == "__main__":
    main()
