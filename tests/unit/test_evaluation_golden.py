"""Golden files notice what a new release answers differently, and nothing else."""

from __future__ import annotations

import json

import pytest

from formers.desk.golden import check, read, record

TEXTS = ["Refund request", "Wo ist mein Paket? 📦", "line\nbreak", "Refund request"]


def router(shift=0.0, wrong=(), labels=("billing", "shipping", "returns")):
    """A predictor whose best score is 0.8 + shift, with another answer for the texts in `wrong`."""

    def predict(texts):
        rows = []
        for text in texts:
            order = labels[::-1] if text in wrong else labels
            scores = (0.8 + shift, 0.15 - shift, 0.05)
            rows.append([{"label": name, "score": score} for name, score in zip(order, scores, strict=True)])
        return rows

    return predict


@pytest.fixture
def golden(tmp_path):
    return record(router(), TEXTS, tmp_path / "golden.jsonl", model="router", revision="abc123")


def test_the_same_answers_pass(golden):
    report = check(router(), golden)
    assert report.ok
    assert (report.exit_status, report.total, report.largest) == (0, 4, 0.0)
    assert "4 of 4 answers as recorded" in str(report)


def test_the_header_says_what_was_recorded(golden):
    header, rows = read(golden)
    assert (header["model"], header["revision"], header["count"]) == ("router", "abc123", 4)
    assert {"python", "formers", "torch"} <= set(header["versions"])
    assert [row["text"] for row in rows] == TEXTS


def test_a_score_within_the_tolerance_passes_and_beyond_it_fails(golden):
    assert check(router(shift=0.0009), golden).ok
    report = check(router(shift=0.002), golden)
    assert {change.kind for change in report.changes} == {"score"}
    assert report.largest == pytest.approx(0.002)
    assert report.exit_status == 1
    assert check(router(shift=0.002), golden, tolerance=0.01).ok


def test_a_changed_label_is_told_with_both_answers(golden):
    report = check(router(wrong=("line\nbreak",)), golden)
    (change,) = report.changes
    assert (change.kind, change.expected, change.found) == ("label", ("billing", 0.8), ("returns", 0.8))
    assert "billing 0.8000 -> returns 0.8000" in str(report)


def test_a_label_that_is_gone_is_missing(golden):
    report = check(router(labels=("billing", "shipping", "refunds")), golden)
    assert {change.kind for change in report.changes} == {"missing"}
    assert report.changes[0].expected == ("returns", 0.05)


def test_a_predictor_that_gives_the_best_label_alone_is_compared_on_that(golden):
    assert check(lambda texts: [{"label": "billing", "score": 0.8} for _ in texts], golden).ok


def test_other_versions_are_named_when_something_changed(golden):
    lines = golden.read_text().split("\n")
    header = json.loads(lines[0])
    header["versions"]["torch"] = "1.0"
    golden.write_text("\n".join([json.dumps(header), *lines[1:]]))
    report = check(router(shift=0.1), golden)
    assert report.other_versions["torch"][0] == "1.0"
    assert "torch: 1.0 ->" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "is empty"),
        (lambda text: "not json\n" + text, "line 1 is not JSON"),
        (lambda text: text.replace("formers-golden", "other"), "not a golden file"),
        (lambda text: "\n".join(text.split("\n")[:3]), "announces 4 texts but holds 2"),
        (lambda text: text.split("\n")[0], "announces 4 texts but holds 0"),
        (lambda text: text[:-20], "is not JSON"),
        (lambda text: text.replace('"label": "billing", "score"', '"name": "billing", "score"', 1), "line 2"),
        (lambda text: text.split("\n")[0] + "\n[1]", "must be a JSON object"),
        (lambda text: text + "[" * 100_000, "line 6 nests lists and objects more than 100 deep"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(golden, damage, message):
    golden.write_text(damage(golden.read_text()))
    with pytest.raises(ValueError, match=message):
        check(router(), golden)


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="formers golden record"):
        check(router(), tmp_path / "none.jsonl")


def test_nothing_to_record_and_strange_answers_are_refused(tmp_path):
    path = tmp_path / "golden.jsonl"
    with pytest.raises(ValueError, match="no texts"):
        record(router(), [], path)
    with pytest.raises(ValueError, match="tolerance"):
        record(router(), TEXTS, path, tolerance=-1)
    with pytest.raises(ValueError, match="4 texts were given, 1 answers came back"):
        record(lambda texts: [{"label": "a", "score": 1.0}], TEXTS, path)
    with pytest.raises(ValueError, match="must be"):
        record(lambda texts: ["billing"] * len(texts), TEXTS, path)
    with pytest.raises(ValueError, match="no number"):
        record(lambda texts: [{"label": "a", "score": float("nan")} for _ in texts], TEXTS, path)
    assert not path.exists()


def test_a_model_that_has_lost_a_label_is_told(golden):
    def fewer(texts):
        return [[{"label": "billing", "score": 0.8}, {"label": "shipping", "score": 0.15}] for _ in texts]

    report = check(fewer, golden)
    assert {change.kind for change in report.changes} == {"missing"}
    assert report.changes[0].expected == ("returns", 0.05)


@pytest.mark.parametrize(
    ("line", "key", "value", "message"),
    [
        (1, "scores", [1], "line 2: 'scores' must be an object"),
        (1, "scores", {"billing": float("nan")}, "line 2: the score of 'billing' must be a finite number"),
        (1, "score", float("nan"), "line 2: the score of 'score' must be a finite number, found nan"),
        (1, "score", True, "must be a finite number"),
        (1, "score", 10**400, "must be a finite number"),
        (2, "score", 0.3, "line 3: 'score' says 0.3 for 'billing' and 'scores' says 0.8"),
        (1, "label", "unheard", "'scores' says None"),
        (1, "label", 7, "'label' must be a string"),
        (0, "tolerance", None, "line 1: 'tolerance' must be a number of at least 0, found None"),
        (0, "tolerance", -1, "line 1: 'tolerance' must be"),
        (0, "versions", "1.0", "'versions' must be an object"),
    ],
)
def test_values_that_cannot_be_compared_are_refused_by_line(golden, line, key, value, message):
    lines = golden.read_text().split("\n")
    lines[line] = json.dumps({**json.loads(lines[line]), key: value})
    golden.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        check(router(), golden)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "golden.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="golden.jsonl is not UTF-8"):
        read(path)
