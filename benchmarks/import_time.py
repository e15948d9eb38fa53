"""What importing costs: `import formers`, and the names of a training script beside torch alone.

Each case runs in fresh processes, in turn with the others; the medians of the user-visible wall time, and of
the processor's time, are given. `--reference` adds the same names imported from transformers.

    python benchmarks/import_time.py [--runs 9] [--reference] [--record]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

NAMES = "pipeline, AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments"
CASES = {
    "python alone": "pass",
    "import formers": "import formers",
    "import transformers, by formers.dropin": (
        "import formers.dropin; formers.dropin.install(); import transformers"
    ),
    "import torch": "import torch",
    "formers: names of a training script": f"from formers import {NAMES}",
}
_MORE = 5  # times that cases without torch run as often: they are told apart by less
REFERENCE = {"transformers: names of a training script": f"from transformers import {NAMES}"}
COUNT = "; import sys; sys.stdout.write(f\"{len(sys.modules)} {int('torch' in sys.modules)}\")"


def spent() -> float:
    """Seconds of processor time that ended child processes took."""
    held = resource.getrusage(resource.RUSAGE_CHILDREN)
    return held.ru_utime + held.ru_stime


def run(code: str) -> tuple[float, int, bool, float]:
    """Seconds of a fresh interpreter that runs `code`, its modules, whether torch is one, processor time."""
    start, before = time.perf_counter(), spent()
    done = subprocess.run([sys.executable, "-c", code + COUNT], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    modules, torch = done.stdout.split()[-2:]
    return seconds, int(modules), torch == "1", spent() - before


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    args = parser.parse_args()
    cases = {**CASES, **(REFERENCE if args.reference else {})}
    for code in cases.values():
        run(code)  # fills the file cache and writes byte code
    taken: dict[str, list[tuple[float, int, bool, float]]] = {name: [] for name in cases}
    for _ in range(args.runs):
        for name, code in cases.items():
            for _ in range(1 if "torch" in code or "from" in code else _MORE):
                taken[name].append(run(code))
    median = {name: statistics.median(row[0] for row in rows) for name, rows in taken.items()}
    base = dict.fromkeys(("import formers", "import torch"), "python alone")
    base["import transformers, by formers.dropin"] = "import formers"
    table = [("case", "median s", "adds s", "over", "processor ms", "modules", "loads torch")]
    for name, rows in taken.items():
        over = base.get(name, "import torch") if name != "python alone" else ""
        adds = f"{median[name] - median[over]:+.3f}" if over else ""
        table.append(
            (
                name,
                f"{median[name]:.3f}",
                adds,
                over,
                f"{1000 * statistics.median(row[3] for row in rows):.1f}",
                str(rows[0][1]),
                "yes" if rows[0][2] else "no",
            )
        )
    import record

    record.show(table)
    if args.record:
        reference = " --reference" if args.reference else ""
        record.section(
            "Import time",
            table,
            command=f"python benchmarks/import_time.py --runs {args.runs}{reference} --record",
        )


if __name__ == "__main__":
    main()
