"""The server over a real pipeline: a small BERT, its calibration, thresholds and drift baseline."""

from __future__ import annotations

import json

import httpx
import pytest
import torch

from formers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline
from formers.desk.drift import baseline
from formers.evaluation.calibration import Calibration
from formers.serving import running

SENTENCE = "the card was charged twice for one order please refund my lost parcel today"
WORDS = SENTENCE.split()
LABELS = ["billing", "delivery", "other"]
TEXTS = [" ".join(WORDS[(start + i) % len(WORDS)] for i in range(start % 9 + 1)) for start in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        initializer_range=0.6,
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    Calibration(temperature=2.0).save(folder)
    (folder / "thresholds.json").write_text(
        json.dumps({"labels": {"billing": 0.0, "delivery": None, "other": 0.5}})
    )
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline("text-classification", model=str(folder))


def test_answers_are_those_of_the_pipeline_and_thresholds_those_of_the_folder(folder, pipe, tmp_path):
    wanted = pipe(TEXTS, top_k=None)
    with running(
        str(folder), queue_path=tmp_path / "q", log_path=tmp_path / "log", max_batch_tokens=40
    ) as url:
        model = httpx.get(f"{url}/model").json()
        results = httpx.post(f"{url}/classify", json={"texts": TEXTS, "top_k": None}).json()["results"]
        long = httpx.post(f"{url}/classify", json={"text": "card " * 100}).json()
    assert (model["labels"], model["max_tokens"], model["revision"]) == (LABELS, 32, pipe.revision)
    assert model["thresholds"] == {"billing": 0.0, "delivery": None, "other": 0.5}
    for result, scores in zip(results, wanted, strict=True):
        assert [score["label"] for score in result["scores"]] == [score["label"] for score in scores]
        for found, score in zip(result["scores"], scores, strict=True):
            assert found["score"] == pytest.approx(score["score"], abs=1e-5)
        threshold = model["thresholds"][result["label"]]
        assert result["needs_human"] == (threshold is None or result["score"] < threshold)
    assert (long["tokens"], long["cut_tokens"]) == (32, 70)


def test_a_drift_baseline_beside_the_model_gives_gauges_and_a_line_in_the_log(folder, pipe, tmp_path):
    normal = [TEXTS[number % len(TEXTS)] for number in range(400)]
    lengths = [item.length for item in pipe.prepare(normal)]
    baseline(normal, results=pipe(normal), label_names=LABELS, lengths=lengths).save(tmp_path)
    options = {"drift_baseline": tmp_path, "queue_path": tmp_path / "q", "log_path": tmp_path / "log"}
    with running(pipe, threshold=0, **options) as url:
        for _ in range(8):
            strange = ["parcel " * 25] * 64
            assert httpx.post(f"{url}/classify", json={"texts": strange}, timeout=30).status_code == 200
        page = httpx.get(f"{url}/metrics").text
    gauges = {
        line.split()[0]: float(line.split()[1])
        for line in page.splitlines()
        if line.startswith("formers_drift_psi{")
    }
    assert gauges['formers_drift_psi{feature="length"}'] > 0.25
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if '"event"' in line]
    assert [event["verdict"] for event in events if event["event"] == "drift"][-1] == "drift"


def test_a_regression_is_refused_before_it_serves(folder, tmp_path, capsys):
    from formers import AutoTokenizer
    from formers.serving import serve

    config = BertConfig.from_pretrained(folder, num_labels=1, problem_type="regression")
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert serve(str(tmp_path), port=0, queue_path=tmp_path / "q") == 2
    assert "cannot serve a regression" in capsys.readouterr().err
