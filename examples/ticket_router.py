"""The ticket router: issue reports go to the component they belong to, and the doubtful ones to a person.

Fine-tunes all-MiniLM-L6-v2 on CPython's changelog (eleven components, imbalanced), compares it with TF-IDF
and logistic regression on a held-out split, calibrates it, writes a report, saves everything into one folder,
serves it, and asks the server. `make demo` runs this; the `formers` commands do the same steps.

    python examples/ticket_router.py [--output demo-output] [--epochs 3]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from sklearn.model_selection import train_test_split

from formers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    Trainer,
    TrainingArguments,
    pipeline,
    set_seed,
)
from formers.evaluation import drift, golden
from formers.evaluation.baselines import tfidf_baseline
from formers.evaluation.calibration import fit_temperature
from formers.evaluation.metrics import classification, compute_metrics_for
from formers.evaluation.report import write_report
from formers.evaluation.thresholds import fit_thresholds
from formers.hub.card import model_card, save_card
from formers.training.data import label_maps, load_table, tokenize_rows
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

    step("Data")
    rows = load_table(DATA, text_column="text", label_column="label")
    rest, test = split(rows, 0.1)
    train, validation = split(rest, 0.1)
    id2label, label2id = label_maps(row["label"] for row in rows)
    print(f"{len(rows):,} entries, {len(id2label)} components: {len(train):,} to train on, "
          f"{len(validation):,} to calibrate on, {len(test):,} held out")  # fmt: skip

    step("Fine-tuning all-MiniLM-L6-v2")
    trainer = fine_tune(options, train, validation, id2label, label2id, model_folder)

    step("Calibration and thresholds, on the validation part")
    pipe = pipeline("text-classification", model=str(model_folder))
    names = [id2label[i] for i in range(len(id2label))]
    logits, labels = pipe.logits(texts(validation)), numbers(validation, label2id)
    calibration = fit_temperature(logits, labels)
    probabilities = calibration.apply(logits)
    thresholds = fit_thresholds(probabilities, labels, names, precision=0.9, floor=0.5)
    calibration.save(model_folder)
    thresholds.save(model_folder)
    drift.baseline(texts(validation), probabilities, label_names=names, tokenizer=pipe.tokenizer).save(
        model_folder
    )
    print(f"temperature {calibration.temperature:.3f}")

    step("Held-out part, beside TF-IDF and logistic regression")
    logits, labels = pipe.logits(texts(test)), numbers(test, label2id)
    ours = classification(labels, calibration.apply(logits), names)
    raw = classification(labels, logits, names, from_logits=True)
    base = tfidf_baseline(texts(rest), numbers(rest, label2id), texts(test), labels, names)
    handled = thresholds.measure(calibration.apply(logits), labels)
    for name, found in (("TF-IDF + logistic regression", base.metrics), ("formers", ours)):
        print(f"{name:<30} macro F1 {found['macro_f1']:.3f}   accuracy {found['accuracy']:.3f}")
    print(f"expected calibration error     {raw['ece']:.3f} before calibration, {ours['ece']:.3f} after")
    alone, right = handled["coverage"], handled["precision"] or 0
    print(f"answered without a person      {alone:.0%}, of which {right:.1%} right")

    step("Report, golden file, model card")
    report = write_report(
        report_folder,
        title="Ticket router: CPython's changelog by component",
        label_names=names,
        labels=labels,
        logits=logits,
        texts=texts(test),
        calibration=calibration,
        thresholds=thresholds,
        held_out=True,
        baseline_results={base.name: base.metrics},
        training_history=trainer.state.log_history,
        model_facts={
            "model": "all-MiniLM-L6-v2, fine-tuned",
            "parameters": f"{pipe.model.num_parameters():,}",
        },
    )
    card = model_card(
        name="Ticket router",
        base_model=options.model or HUB_ID,
        task="text-classification",
        language="en",
        datasets=["CPython's changelog"],
        labels=id2label,
        metrics={name: ours[name] for name in ("macro_f1", "accuracy", "ece")},
        training={
            name: getattr(trainer.args, name) for name in ("num_train_epochs", "learning_rate", "seed")
        },
        intended_use="A demonstration: which component of CPython an entry of its changelog belongs to.",
    )
    save_card(model_folder, card)

    pipe = pipeline("text-classification", model=str(model_folder))  # with its calibration this time
    golden_file = golden.record(
        lambda some: pipe(some, top_k=None),
        texts(test)[:50],
        options.output / "golden.jsonl",
        model=str(model_folder),
    )
    print(golden.check(lambda some: pipe(some, top_k=None), golden_file))

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


def split(rows: list[dict[str, str]], size: float) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    labels = [row["label"] for row in rows]
    most, rest = train_test_split(rows, test_size=size, random_state=0, stratify=labels)
    return most, rest


def texts(rows: list[dict[str, str]]) -> list[str]:
    return [row["text"] for row in rows]


def numbers(rows: list[dict[str, str]], label2id: dict[str, int]) -> list[int]:
    return [label2id[row["label"]] for row in rows]


def fine_tune(options, train, validation, id2label, label2id, folder):
    """Train with early stopping on macro F1, save model and tokenizer together, return the trainer."""
    set_seed(options.seed)
    name = options.model or minilm()
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForSequenceClassification.from_pretrained(name, id2label=id2label, label2id=label2id)
    measure = compute_metrics_for(id2label)

    def chosen(prediction):
        found = measure(prediction)
        return {name: found[name] for name in ("macro_f1", "accuracy")}

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(options.output / "checkpoints"),
            num_train_epochs=options.epochs,
            learning_rate=options.learning_rate,
            head_learning_rate=4 * options.learning_rate,  # the fresh head has further to go
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            warmup_ratio=0.1,
            ema_decay=0.995,  # judge and keep the average of the last steps' weights
            class_weights="sqrt",  # rare components count more, by the square root of their rarity
            bf16=not options.no_bf16,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="macro_f1",
            logging_steps=0.05,
            seed=options.seed,
        ),
        train_dataset=tokenize_rows(train, tokenizer, label2id=label2id),
        eval_dataset=tokenize_rows(validation, tokenizer, label2id=label2id),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda prediction: {
            key: measure(prediction)[key] for key in ("macro_f1", "accuracy")
        },
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
    )
    trainer.train()
    trainer.save_model(str(folder))
    shutil.rmtree(options.output / "checkpoints")
    return trainer


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
