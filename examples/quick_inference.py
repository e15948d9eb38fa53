"""One call for each of a few tasks: what a model makes of a text, a picture or a sound.

python examples/quick_inference.py sentiment-analysis "I love this" "I hate this"
python examples/quick_inference.py image-classification photo.jpg --model google/vit-base-patch16-224
python examples/quick_inference.py zero-shot-classification "My card was charged" --labels billing,shipping

Without a task it says which there are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from formers import pipeline
from formers.pipelines.table import TASKS


def main(given: Sequence[str] | None = None) -> list[Any]:
    options = arguments(given)
    if options.task is None:
        for task in TASKS:
            print(f"{task.name:32} {(task.default or ('name a model',))[0]}")
        return []
    ask = pipeline(options.task, model=options.model)
    keywords = {"candidate_labels": options.labels.split(",")} if options.labels else {}
    answers = list(ask(options.inputs, **keywords))
    for given_one, answer in zip(options.inputs, answers, strict=True):
        print(f"{given_one}: {answer}")
    return answers


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", help="as in pipeline(task)")
    parser.add_argument("inputs", nargs="*", help="texts, or files and addresses of pictures and sounds")
    parser.add_argument("--model", help="folder or Hub id; the task's own when left out")
    parser.add_argument("--labels", help="of your own, with commas between, for zero-shot tasks")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
