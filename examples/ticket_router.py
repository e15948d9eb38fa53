"""The ticket router: issue reports go to the component they belong to, and the doubtful ones to a person.

Fine-tunes all-MiniLM-L6-v2 on CPython's changelog (eleven components, imbalanced), compares it with TF-IDF
and logistic regression on a held-out split, calibrates it, writes a report, saves everything into one folder,
serves it, and asks the server. `make demo` runs this; the `formers` commands do the same steps.

    python examples/ticket_router.py [--output demo-output] [--epochs 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from formers import set_seed
from formers.desk import drift, golden
from formers.desk.report import write_report
from formers.evaluation.baselines import tfidf_baseline
from formers.evaluation.metrics import classification
from formers.jobs.classification import Outcome, Plan, run
from minilm import HUB_ID, minilm

DATA = Path(__file__).parent / "data" / "cpython-changelog.csv.gz"
TICKETS = [
    "Fix a crash in the garbage collector when a weak reference callback resurrects its object.",
    "The Windows installer no longer adds its own directory to PATH twice.",
    "Update the tutorial's description of f-strings and fix a broken link.",
    "IDLE: the completion window now closes when the Escape key is pressed.",
    "Something is wrong.",
]


def main() -> None:
    options = arguments()
    model_folder, report_folder = options.output / "model", options.output / "report"
    started = time.monotonic()

    step("Fine-tuning all-MiniLM-L6-v2, calibration and thresholds")
    outcome = train(options, model_folder)
    names, predictor = outcome.predictor.labels, outcome.predictor
    held_out, train_rows = outcome.judged, outcome.training + outcome.validation
    print(f"{len(train_rows) + len(held_out.texts):,} entries, {len(names)} components")
    drift.baseline(
        texts(outcome.validation),
        outcome.probabilities,
        label_names=names,
        tokenizer=predictor.pipe.tokenizer,
    ).save(model_folder)

    step("Held-out part, beside TF-IDF and logistic regression")
    ours, handled = held_out.metrics, held_out.metrics["thresholds"]
    raw = classification(held_out.labels, held_out.logits, names, from_logits=True)
    labels = [row["label"] for row in train_rows]
    base = tfidf_baseline(texts(train_rows), labels, held_out.texts, held_out.labels, names)
    for name, found in (("TF-IDF + logistic regression", base.metrics), ("formers", ours)):
        print(f"{name:<30} macro F1 {found['macro_f1']:.3f}   accuracy {found['accuracy']:.3f}")
    print(f"expected calibration error     {raw['ece']:.3f} before calibration, {ours['ece']:.3f} after")
    alone, right = handled["coverage"], handled["precision"] or 0
    print(f"answered without a person      {alone:.0%}, of which {right:.1%} right")

    step("Report and golden file")
    report = write_report(
        report_folder,
        title="Ticket router: CPython's changelog by component",
        label_names=names,
        labels=held_out.labels,
        logits=held_out.logits,
        texts=held_out.texts,
        calibration=predictor.pipe.calibration,
        thresholds=predictor.thresholds,
        held_out=True,
        baseline_results={base.name: base.metrics},
        training_history=outcome.history,
        model_facts={
            "model": "all-MiniLM-L6-v2, fine-tuned",
            "parameters": f"{predictor.pipe.model.num_parameters():,}",
        },
    )
    golden_file = golden.record(
        predictor.predict, held_out.texts[:50], options.output / "golden.jsonl", model=str(model_folder)
    )
    print(golden.check(predictor.predict, golden_file))

    step("Serving")
    serve_and_ask(model_folder, options.output)

    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at")
    for what, where in (
        ("the report", report.html),
        ("its picture", report.png),
        ("the model", model_folder),
    ):
        print(f"  {what:<12} {where}")
    print(f"  {'serve it':<12} formers serve --model {model_folder}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder to write to")
    parser.add_argument("--model", default=None, help="folder or Hub id of the encoder")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--no-bf16", action="store_true", help="float32 throughout")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def step(what: str) -> None:
    print(f"\n== {what}", flush=True)


def texts(rows: list[dict[str, str]]) -> list[str]:
    return [row["text"] for row in rows]


def train(options: argparse.Namespace, folder: Path) -> Outcome:
    """What `formers train` does: split, fine-tune, calibrate, set thresholds, judge, and save."""
    set_seed(options.seed)
    plan = Plan(
        data=DATA,
        model=options.model or minilm(),
        output=folder,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        head_learning_rate=4 * options.learning_rate,  # the fresh head has further to go
        class_weights="sqrt",  # rare components count more, by the square root of their rarity
        ema_decay=0.995,  # judge and keep the average of the last steps' weights
        bf16=False if options.no_bf16 else None,  # None: where the hardware has it
        seed=options.seed,
        overwrite=True,
        card={
            "name": "Ticket router",
            "base_model": options.model or HUB_ID,
            "language": "en",
            "datasets": ["CPython's changelog"],
            "intended_use": "A demonstration: which component of CPython an entry belongs to.",
        },
    )
    return run(plan)


def serve_and_ask(model: Path, output: Path) -> None:
    """Start `formers serve` as a process of its own, ask it over HTTP, look into the human queue, stop it."""
    command = [sys.executable, "-m", "formers", "serve", "--model", str(model), "--port", "0"]
    command += ["--queue", str(output / "human-queue.sqlite3"), "--log", str(output / "requests.log")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server_address(server)
        for ticket in TICKETS:
            answer = call(f"{url}/classify", {"text": ticket})
            where = f"to a person (item {answer['queue_id']})" if answer["needs_human"] else answer["label"]
            print(f"{answer['confidence']:.2f}  {where:<24} {ticket}")
        waiting = call(f"{url}/queue?status=open")
        print(f"\nwaiting for a person: {waiting['open']}")
        for item in waiting["items"]:
            print(f"  {item['id']:>3}  perhaps {item['label']} ({item['score']:.2f}): {item['text']}")
        for item in waiting["items"][:1]:
            call(f"{url}/queue/{item['id']}/resolve", {"label": item["label"], "by": "the demonstration"})
            print(f"a person decides item {item['id']}; left: {call(f'{url}/queue?status=open')['open']}")
    finally:
        server.terminate()  # SIGTERM: the server answers what it holds, then stops
        server.wait(timeout=60)


def server_address(server: subprocess.Popen[str], seconds: float = 60) -> str:
    """The URL from the server's first line, once it says that it is ready."""
    line = server.stdout.readline()
    if "http://" not in line:
        raise SystemExit(f"the server did not start: {line.strip() or 'see above'}")
    url = "http://" + line.split("http://")[1].split()[0]
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            call(f"{url}/health")
            return url
        except urllib.error.HTTPError as error:  # 503 while it warms up
            error.close()
        except urllib.error.URLError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"the server was not ready after {seconds:.0f} s")


def call(url: str, body: dict[str, object] | None = None) -> dict:
    """GET, or POST with a JSON body; the answer's JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted") from None
