"""`formers map`: one answer for every row, by this process and by workers of a cluster that die."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time

import pytest

import tiny
from formers.core.extras import MissingExtra
from formers.jobs.mapping import answers_of, map_files
from system.cli_command import in_this_process, process
from system.mapping_data import TASK, held, said_alone, save_each_kind, write_csv


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    return tiny.save_classifier(tmp_path_factory.mktemp("router"))


@pytest.fixture(scope="module")
def texts():
    return [text for text, _ in tiny.tickets(80)]


@pytest.fixture(scope="module")
def expected(router, texts):
    return said_alone(router, texts)


@pytest.fixture
def data(tmp_path, texts):
    save_each_kind(tmp_path / "in", texts)
    return tmp_path / "in"


def test_every_kind_of_table_is_answered_row_for_row(router, data, tmp_path, texts, expected):
    report = map_files(TASK, router, data, tmp_path / "out", rows=9, device="cpu")
    assert (report.rows, report.errors, report.skipped) == (240, 0, 0)
    held(list(answers_of(tmp_path / "out")), texts, expected)


def test_a_bad_row_says_why_and_stops_no_other(router, tmp_path):
    table, lines = tmp_path / "a.csv", tmp_path / "b.jsonl"
    table.write_bytes(b'id,text\n1,help\n2,\n3\n4,"the\nparcel"\n5,a\xff\n6,"x"y\n7,the screen\n')
    lines.write_text(
        '{"text": "help", "id": "h"}\n{"text": 3}\n[1]\n{"text": "half \\ud800"}\nno\n{"id": 1}\n'
    )
    report = map_files(TASK, router, [table, lines], tmp_path / "out", keep=["id"], device="cpu")
    rows = list(answers_of(tmp_path / "out"))
    assert [(row.get("id"), "answer" in row) for row in rows] == [
        ("1", True), ("2", False), (None, False), ("4", True), ("5", False), (None, False), ("7", True),
        ("h", True), (None, False), (None, False), (None, False), (None, False), (1, False),
    ]  # fmt: skip
    assert report.errors == 9
    said = [
        "is empty",
        "1 fields",
        "half a character",
        "no CSV",
        "holds 3",
        "not list",
        "half",
        "JSON",
        "is empty",
    ]
    errors = [row["error"] for row in rows if "error" in row]
    for part, error in zip(said, errors, strict=True):
        assert part in error


def test_pictures_are_rows_and_a_broken_one_says_why(tmp_path):
    from PIL import Image

    import formers

    config = formers.ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=8,
        patch_size=4,
    )
    formers.ViTForImageClassification(config).save_pretrained(tmp_path / "model")
    formers.ViTImageProcessor(size=8).save_pretrained(tmp_path / "model")
    (tmp_path / "in").mkdir()
    for number in range(5):
        Image.new("RGB", (9, 9), (40 * number, 0, 0)).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "2.png").write_bytes(b"no picture at all")
    task = "image-classification"
    report = map_files(task, tmp_path / "model", tmp_path / "in", tmp_path / "out", rows=4, device="cpu")
    rows = list(answers_of(tmp_path / "out"))
    assert (report.rows, report.errors, report.blocks) == (5, 1, 2)
    assert ["error" in row for row in rows] == [False, False, True, False, False]
    pipe = formers.pipeline(task, model=str(tmp_path / "model"), device="cpu")
    alone = pipe(str(tmp_path / "in" / "4.png"))
    assert rows[4]["answer"][0]["score"] == pytest.approx(alone[0]["score"], abs=1e-5)


def test_sounds_lie_in_tables_as_data_sets_keep_them(tmp_path):
    import io

    import numpy
    import pyarrow
    import soundfile
    from pyarrow import parquet

    import formers
    from generation.small_spelling import write

    write(tmp_path / "model", "ForSequenceClassification", num_labels=3)
    waves = [numpy.random.default_rng(seed).normal(size=1600).astype("float32") for seed in range(3)]
    held = []
    for wave in waves:
        soundfile.write(stream := io.BytesIO(), wave, 16_000, format="WAV", subtype="FLOAT")
        held.append({"bytes": stream.getvalue(), "path": None})
    held[1] = {"bytes": b"no sound", "path": None}
    parquet.write_table(pyarrow.table({"id": [7, 8, 9], "audio": held}), tmp_path / "a.parquet")
    task = "audio-classification"
    report = map_files(
        task, tmp_path / "model", tmp_path / "a.parquet", tmp_path / "out", keep=["id"], device="cpu"
    )
    rows = list(answers_of(tmp_path / "out"))
    assert [(row["id"], "error" in row) for row in rows] == [(7, False), (8, True), (9, False)]
    assert report.errors == 1
    alone = formers.pipeline(task, model=str(tmp_path / "model"), device="cpu")(waves[2])
    assert rows[2]["answer"][0]["score"] == pytest.approx(alone[0]["score"], abs=1e-5)


def test_several_columns_are_asked_together(tmp_path):
    import formers

    encoder = tiny.save_encoder(tmp_path / "encoder")
    config = formers.AutoConfig.from_pretrained(encoder)
    formers.BertForQuestionAnswering(config).save_pretrained(tmp_path / "model")
    formers.AutoTokenizer.from_pretrained(encoder).save_pretrained(tmp_path / "model")
    rows = [
        {"q": "what is late", "context": f"the parcel {word} my card"} for word in ("help", "was", "please")
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"q": "what"}]))
    columns = ["question=q", "context"]
    task = "question-answering"
    map_files(task, tmp_path / "model", tmp_path / "a.jsonl", tmp_path / "out", columns=columns, device="cpu")
    found = list(answers_of(tmp_path / "out"))
    assert found.pop()["error"] == "the column 'context' is empty"
    pipe = formers.pipeline(task, model=str(tmp_path / "model"), device="cpu")
    for row, answer in zip(rows, found, strict=True):
        alone = pipe(question=row["q"], context=row["context"])
        assert answer["answer"]["answer"] == alone["answer"]


def test_a_model_that_is_broken_stops_the_run(router, tmp_path):
    write_csv(tmp_path / "a.csv", ["help"] * 3)
    folder = tmp_path / "router"
    shutil.copytree(router, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(Exception, match="layer"):
        map_files(TASK, folder, tmp_path / "a.csv", tmp_path / "out", device="cpu")


def test_another_run_into_the_same_folder_is_refused(router, tmp_path):
    table, out = tmp_path / "a.csv", tmp_path / "out"
    write_csv(table, ["help", "the screen"])
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        map_files(TASK, router, table, out, device="cpu", parameters={"top_kk": 2})
    map_files(TASK, router, table, out, device="cpu")
    again = map_files(TASK, router, table, out, device="cpu", batch_size=1)
    assert (again.skipped, again.blocks, again.rows) == (1, 0, 0)
    for other, said in (({"parameters": {"top_k": 2}}, "parameters was {}"), ({"keep": ["id"]}, "keep was"),
                        ({"columns": "id"}, "columns was"), ({"rows": 7}, "rows was 1000")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            map_files(TASK, router, table, out, device="cpu", **other)
    before = table.read_bytes()
    for changed in (before.replace(b"help", b"halt"), before + b"2,more\r\n"):
        table.write_bytes(changed)
        with pytest.raises(ValueError, match="changed since"):
            map_files(TASK, router, table, out, device="cpu")
    table.write_bytes(before)
    os.utime(table, ns=(0, 0))  # written since, but the same
    assert map_files(TASK, router, table, out, device="cpu").skipped == 1
    with pytest.raises(ValueError, match="revision was"):
        map_files(TASK, tiny.save_classifier(tmp_path / "other", seed=1), table, out, device="cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": "txt"}, "no column 'txt'; did you mean 'text'"),
        ({"keep": ["row"]}, "keep row"),
        ({"task": "text-clasification"}, "text-classification"),
        ({"inputs": "s3://bucket/a.parquet"}, "address"),
        ({"inputs": "nothing-*.csv"}, "there is no file"),
        ({"output": "in"}, "lies in"),
        ({"output": "taken"}, "something else"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_done_is_refused_before_the_work(router, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    for name in ("in", "taken"):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "a.csv", ["help"])
    given = {"task": TASK, "model": router, "inputs": "in/a.csv", "output": "out", "device": "cpu", **options}
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        map_files(**given)
    assert not (tmp_path / "out").exists()


def test_without_ray_one_process_does_it_and_a_cluster_is_refused(router, tmp_path, monkeypatch):
    write_csv(tmp_path / "a.csv", ["help"])
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"formers\[ray\]"):
        map_files(TASK, router, tmp_path / "a.csv", tmp_path / "out", workers=2, device="cpu")
    assert map_files(TASK, router, tmp_path / "a.csv", tmp_path / "out", device="cpu").rows == 1


def test_a_driver_that_is_killed_is_gone_on_with(
    router, data, tmp_path, texts, expected, capsys, monkeypatch
):
    command = [
        "map",
        "--task",
        TASK,
        "--model",
        router,
        data,
        tmp_path / "out",
        "--rows",
        "2",
        "--device",
        "cpu",
    ]
    driver = process(*command)
    while driver.poll() is None and len(list(tmp_path.glob("out/block-*"))) < 3:
        time.sleep(0.001)
    driver.kill()
    driver.communicate()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/block-*")}
    assert 3 <= len(done) < 120
    with pytest.raises(ValueError, match="lacks"):
        answers_of(tmp_path / "out")
    status, _, said = in_this_process(capsys, monkeypatch)(*command)
    assert status == 0, said
    assert f"{len(done)} of 120 blocks were there" in said
    assert {path: path.stat().st_mtime_ns for path in done} == done
    held(list(answers_of(tmp_path / "out")), texts, expected)
    assert not list(tmp_path.glob("out/.*"))


def test_ctrl_c_says_how_to_go_on(router, data, tmp_path, texts, expected, capsys, monkeypatch):
    from formers.jobs.mapping.folder import Folder

    run, write = in_this_process(capsys, monkeypatch), Folder.write

    def interrupted(self, block, rows):
        if block.index == 4:
            raise KeyboardInterrupt
        return write(self, block, rows)

    command = [
        "map",
        "--task",
        TASK,
        "--model",
        router,
        data,
        tmp_path / "out",
        "--rows",
        "9",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(Folder, "write", interrupted)
    status, _, said = run(*command)
    assert status == 130
    assert "the same command goes on" in said
    monkeypatch.setattr(Folder, "write", write)
    status, shown, _ = run(*command, "--json")
    assert status == 0
    assert json.loads(shown)["skipped"] == 4
    held(list(answers_of(tmp_path / "out")), texts, expected)


def test_a_block_that_kills_every_worker_ends_the_run(router, tmp_path):
    from formers.jobs.mapping.folder import Folder
    from formers.jobs.mapping.inputs import Block

    folder, block = Folder(tmp_path), Block(0, 0, 0, 3)
    for _ in range(2):
        folder.begin(block, 2)
    with pytest.raises(RuntimeError, match="died 2 times over block 0"):
        folder.begin(block, 2)
    folder.tidy()
    folder.begin(block, 2)
    folder.end(block)
    assert not list(tmp_path.iterdir())


def test_a_worker_tells_its_notices_and_what_was_raised(tmp_path):
    from formers.jobs.mapping.answering import Work
    from formers.jobs.mapping.on_ray import Worker

    encoder = tiny.save_encoder(tmp_path / "encoder")  # without a head
    write_csv(tmp_path / "a.csv", ["help"])
    (tmp_path / "out").mkdir()
    block = json.dumps([[0, 0, 0, 1, 8, 7], [str(tmp_path / "a.csv")]])
    for options, kind, notices in (({}, dict, True), ({"top_kk": 3}, list, False)):
        work = Work(str(tmp_path / "out"), TASK, str(encoder), None, {"text": "text"}, options=options)
        (told,) = Worker(work, 1)({"block": [block]})["receipt"]
        became, said = json.loads(told)
        assert type(became) is kind
        assert any("initialised afresh" in text for text in said) is notices
        (tmp_path / "out" / "block-0000000.jsonl").unlink(missing_ok=True)
    assert became[0] == "TypeError"
    assert not list((tmp_path / "out").iterdir())
