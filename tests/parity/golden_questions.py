"""The cases of golden_questions.json, and the command that writes their answers.

The reference answers questions up to its release 4.57. With that release in place of the present one,

    PYTHONPATH=src:tests python tests/parity/golden_questions.py

writes the answers of its pipeline, on checkpoints with the weights of `span_zoo.draw`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parity.tokenization_samples import AWKWARD, SENTENCES
from span_zoo import KINDS, LONG, write_checkpoint

FILE = Path(__file__).with_suffix(".json")
QUESTIONS = ["What was charged twice?", "Où est 日本 👍🏽?"]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"top_k": 4},
    {"top_k": 3, "align_to_words": False, "max_answer_len": 4},
    {"handle_impossible_answer": True, "top_k": 2},
    {"max_seq_len": 48, "doc_stride": 16, "top_k": 5},
    {"max_seq_len": 64, "padding": "max_length"},
]
# texts of which nothing can be an answer: there the reference gives one or several that are empty
_LEFT_OUT = ("one space",)


def cases() -> Iterator[dict[str, Any]]:
    """The calls: one for each kind of tokenizer, text, question and setting that is worth one."""
    short = [text for name, text in AWKWARD.items() if name not in _LEFT_OUT]
    for kind in KINDS:
        for index, context in enumerate([*SENTENCES[7:13], *short, " ".join(SENTENCES[5:12]), LONG]):
            every = SETTINGS if len(context) > 300 else [SETTINGS[index % 4], SETTINGS[(index + 1) % 4]]
            for number, options in enumerate(every):
                question = QUESTIONS[(index + number) % 2]
                yield {"kind": kind, "question": question, "context": context, "options": options}


def main() -> None:
    import transformers

    if not transformers.__version__.startswith("4.57"):
        sys.exit(f"transformers {transformers.__version__} does not answer questions: run this with 4.57")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        pipes = {}
        for kind in KINDS:
            path = write_checkpoint(kind, "ForQuestionAnswering", Path(folder, kind))
            pipes[kind] = transformers.pipeline("question-answering", model=str(path), device="cpu")
        for case in cases():
            given = {name: case[name] for name in ("question", "context")}
            found.append(pipes[case["kind"]](**given, **case["options"]))
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in found)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(found)} answers written")


if __name__ == "__main__":
    main()
