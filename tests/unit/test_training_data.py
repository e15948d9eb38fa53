"""Examples in: files as they really are, labels, columns; and the order in which examples are seen."""

import bz2
import gzip
import json
import lzma
import math
import os
import subprocess
import sys

import pytest
import torch

from formers.core.notices import Notice
from formers.training.data import check_columns, label_maps, lengths_of, load_table, tokenize_rows
from formers.training.data.samplers import EpochOrder, EvalBatches, StreamShare, TrainBatches, rebalanced


def test_a_spreadsheet_s_csv_is_read_as_it_is(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_bytes(
        '\ufefftext,label\r\n"He said ""no"", twice\nand left",complaint\r\n\r\nplain,praise\r\n'.encode()
    )
    assert load_table(path, "text", "label") == [
        {"text": 'He said "no", twice\nand left', "label": "complaint"},
        {"text": "plain", "label": "praise"},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(tmp_path, end):
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(["text;label", "a, b;x", '"c";y', ""]).encode())
    assert load_table(path, "text", "label") == [{"text": "a, b", "label": "x"}, {"text": "c", "label": "y"}]


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".tsv", ".csv", ".jsonl.gz", ".csv.gz"])
def test_every_form_of_table_gives_the_same_rows(tmp_path, ending):
    rows = [{"body": "a; b, c", "kind": "x"}, {"body": "d", "kind": "y"}]
    tab = "\t" if "tsv" in ending else ";"
    if "csv" in ending or "tsv" in ending:
        text = f"body{tab}kind\n" + "\n".join(f'"{row["body"]}"{tab}{row["kind"]}' for row in rows)
    elif "jsonl" in ending:
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        text = json.dumps(rows, indent=2)
    path = tmp_path / f"table{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode())
    assert load_table(path) == rows
    assert load_table(path, label_column="kind")[0] == {"text": "a; b, c", "label": "x"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "header but no rows"),
        ("a.csv", "text,label\nhello\n", "line 2: 1 fields where the header has 2"),
        (
            "a.csv",
            "text,lable\nhello,x\n",
            "no column 'label'; did you mean 'lable'; it has|no column 'label'",
        ),
        ("a.csv", "text,label\n  ,x\n", "line 2: the column 'text' is empty"),
        ("a.jsonl", '{"text": "a"\n', "line 1"),
        ("a.jsonl", '["a"]\n', "expected an object"),
        ("a.xlsx", "x", "expected .csv"),
        ("a.json", '[{"text": "a"},\n {"text" "b"}]', "a.json is not JSON: Expecting .* line 2 column"),
        ("a.json", '[{"text": 42, "label": "x"}]', "entry 1: the column 'text' holds 42 .int."),
        ("a.json", '[{"text": "a", "label": {"b": 1}}]', "entry 1: the column 'label' holds {'b': 1} .dict."),
        ("a.json", '[{"text": "a", "label": NaN}]', "entry 1: the column 'label' holds nan"),
        (
            "a.json",
            '[{"text": "a\\ud800", "label": "x"}]',
            "entry 1: .* half a character .U.D800. at place 1",
        ),
        ("a.csv.gz", "text,label\nhello,x\n", "a.csv.gz is no whole gzip file"),
    ],
)
def test_a_table_that_cannot_be_read_says_where_and_why(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        load_table(tmp_path / name, "text", "label")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,label,text\na,x,b\n", "the header names 'text' 2 times"),
        ("a.csv", "text,label,label\na,x,y\n", "the header names 'label' 2 times"),
        (
            "a.jsonl",
            '{"text": "a", "label": "x"}\n{"text": "a", "text": "b"}',
            "line 2 is not JSON: .* key 'text' twice",
        ),
        ("a.json", '[{"text": "a", "meta": {"n": 1, "n": 2}}]', "key 'n' twice"),
        ("a.csv", 'text,label\n"5 inch,x\nplain,y\nhe said "ok",z\n', "line 2: a field that begins"),
        ("a.csv", 'text,label\na,x\n"never closed,y\n', "line 3: a field that begins"),
        ("a.csv", "text,label\n\n\na,x\nb,\n", "line 5: the column 'label' is empty"),
        ("a.csv", 'text,label\n"two\nlines",x\nb,\n', "line 4: the column 'label' is empty"),
        (
            "a.jsonl",
            '\n{"text": "a", "label": "x"}\n\n{"text": 1, "label": "x"}',
            "line 4: the column 'text'",
        ),
        ("a.json", "[" * 100_000, "a.json nests lists and objects more than 100 deep"),
        ("a.csv", "t\0e\0x\0t\0,\0l\0", "iconv -f utf-16le -t utf-8"),
        ("a.csv", "PK\3\4 and so on", "an Excel workbook: .* save its table as CSV"),
    ],
)
def test_a_table_that_would_lose_rows_or_columns_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        load_table(tmp_path / name, "text", "label")


def test_columns_that_nobody_reads_may_have_no_name_or_the_same(tmp_path):
    (tmp_path / "a.csv").write_text(",,id,id,text,label\n0,1,2,3,a,x\n")
    assert load_table(tmp_path / "a.csv", "text", "label") == [{"text": "a", "label": "x"}]
    with pytest.raises(ValueError, match="the header names '' 2 times"):
        load_table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (
            ['"Hello there', "plain", 'She said "ok" now', "end"],
            ['"Hello there', "plain", 'She said "ok" now'],
        ),
        (['"Hi" he said', "b"], ['"Hi" he said', "b"]),
        (['"a film"', "b"], ['"a film"', "b"]),
        (['"one', 'two "'], ['"one', 'two "']),
        (['"He said ""no"""', "b"], ['He said "no"', "b"]),
        (['"every field"', '"is quoted"'], ["every field", "is quoted"]),
        (['"two\nlines and a\ttab"', "b"], ["two\nlines and a\ttab", "b"]),
    ],
)
def test_quotes_in_a_table_with_tabs_are_read_as_they_were_written(tmp_path, lines, texts):
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f"{line}\t1\n" for line in lines))
    assert [row["text"] for row in load_table(tmp_path / "a.tsv", "text", "label")][: len(texts)] == texts


@pytest.mark.parametrize(
    "header",
    [
        '"text";"label";"note, free"',
        'text;label;"a, b, c, d"',
        "text;label;a, b, c, d",
        "text|label|x",
        "text\tlabel\tn",
    ],
)
def test_the_delimiter_is_the_one_that_separates_the_columns(tmp_path, header):
    mark = next(mark for mark in ";|\t" if mark in header)
    (tmp_path / "a.csv").write_text(f"{header}\n{mark.join(('a, b', 'x', '1'))}\n")
    assert load_table(tmp_path / "a.csv", "text", "label") == [{"text": "a, b", "label": "x"}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_obeyed(tmp_path, encoding):
    (tmp_path / "a.tsv").write_bytes("text\tlabel\ncafé\tx\n".encode(encoding))
    assert load_table(tmp_path / "a.tsv", "text", "label") == [{"text": "café", "label": "x"}]


def test_a_packed_file_is_unpacked_whatever_its_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"text,label\na,x\n"))
    assert load_table(tmp_path / "a.csv", "text", "label") == [{"text": "a", "label": "x"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bz2.compress(b"text,label\na,x\n"), "packed with bzip2"),
        (lzma.compress(b"text,label\na,x\n"), "packed with xz"),
        (b"PAR1\x15\x04", "a Parquet table: give it the ending .parquet"),
    ],
    ids=["bzip2", "xz", "parquet"],
)
def test_a_file_of_another_form_than_its_name_says_is_named(tmp_path, content, said):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        load_table(tmp_path / "a.csv", "text", "label")


def test_labels_that_differ_in_blanks_around_them_are_one(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x\nb, x\nc,x \n")
    assert {row["label"] for row in load_table(tmp_path / "a.csv", "text", "label")} == {"x"}


def test_another_encoding_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\ncafé,x\n".encode("latin-1"))
    with pytest.raises(ValueError, match="encoding="):
        load_table(tmp_path / "a.csv", "text", "label")
    assert load_table(tmp_path / "a.csv", "text", "label", encoding="latin-1")[0]["text"] == "café"


def test_a_line_separator_inside_a_json_text_ends_no_line(tmp_path):
    rows = [{"text": "one\u2028two\x85three", "label": 1}, {"text": "b", "label": 0.5}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert load_table(tmp_path / "a.jsonl", "text", "label") == rows


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_a_file_that_was_cut_off_is_named(tmp_path, cut):
    packed = gzip.compress(b"text,label\nhello,x\n")
    (tmp_path / "A.CSV.GZ").write_bytes(packed)
    assert load_table(tmp_path / "A.CSV.GZ", "text", "label") == [{"text": "hello", "label": "x"}]
    (tmp_path / "A.CSV.GZ").write_bytes(packed[:-cut])
    with pytest.raises(ValueError, match=r"A\.CSV\.GZ is no whole gzip file"):
        load_table(tmp_path / "A.CSV.GZ")


@pytest.mark.parametrize("label", [["a", "b"], {"a": 1}, None, float("nan")])
def test_what_is_no_single_label_becomes_no_class(label):
    with pytest.raises(ValueError, match="row 2 holds"):
        label_maps(["a", label])


def test_a_text_that_is_no_string_is_not_tokenized():
    with pytest.raises(ValueError, match="row 2: the column 'text' holds None"):
        tokenize_rows([{"text": "a"}, {"text": None}], lambda texts, **options: {})


def test_labels_become_numbers_in_a_stable_order():
    assert label_maps(["b", "a", "b"]) == ({0: "a", 1: "b"}, {"a": 0, "b": 1})
    assert label_maps([10, 9])[1] == {"9": 0, "10": 1}


def test_labels_that_are_the_same_number_have_one_order_in_every_process():
    code = "from formers.training.data import label_names as n; print(n(['1', '01', '001', '7', '-1']))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }  # fmt: skip
    assert said == {"['-1', '001', '01', '1', '7']\n"}


@pytest.mark.parametrize("names", [["2", "²"], ["--5", "1"], ["3", "٣"], ["0", "-0"], ["1.0", "1"]])
def test_labels_that_only_look_like_numbers_are_put_in_order_too(names):
    assert sorted(label_maps(names)[1]) == sorted(names)
    assert label_maps(names) == label_maps(names[::-1])


@pytest.mark.parametrize("other", ["cafe\u0301", "caf\xe9\u200b"])
def test_labels_that_look_the_same_are_named(other):
    with pytest.warns(Notice, match=r"'caf\\xe9'.* look the same") as said:
        names, _ = label_maps(["caf\xe9", other, "Caf\xe9"])
    assert len(names) == 3
    assert ascii(other) in str(said[0].message)


def test_an_unknown_label_is_refused_with_a_suggestion():
    def tokenizer(texts, truncation):
        return {"input_ids": [[1] * len(text) for text in texts]}

    rows = [{"text": "ab", "label": "praise"}]
    assert tokenize_rows(rows, tokenizer, label2id={"praise": 4}) == [{"input_ids": [1, 1], "labels": 4}]
    with pytest.raises(ValueError, match="did you mean 'praises'"):
        tokenize_rows(rows, tokenizer, label2id={"praises": 0})


def test_a_hub_dataset_tells_its_lengths_without_being_gone_through():
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    data = datasets.Dataset.from_dict({"input_ids": [[1, 2], [3]], "label": [0, 1]})
    assert lengths_of(data) == [2, 1]
    assert lengths_of(data.with_transform(lambda batch: batch)) is None


def test_columns_that_a_model_cannot_take_are_named():
    with pytest.raises(ValueError, match="found \\['sentence', 'label'\\].*tokenizer"):
        check_columns(["sentence", "label"], ["label"], ["input_ids", "labels"], "Model")


# ---- order ---------------------------------------------------------------------------------------


def test_processes_share_each_batch_and_every_example_once():
    for count in (1, 5, 16, 17, 23):
        whole = TrainBatches(EpochOrder(count, 1), 6)
        parts = [TrainBatches(EpochOrder(count, 1), 3, process=p, processes=2) for p in (0, 1)]
        for step, batch in enumerate(whole):
            shares = [list(part)[step][: part.real_items(step)] for part in parts]
            assert shares[0] + shares[1] == batch
        assert len(parts[0]) == len(parts[1]) == len(whole)


def test_skipping_gives_the_rest_of_the_very_same_epoch():
    first, second = TrainBatches(EpochOrder(20, 5), 3), TrainBatches(EpochOrder(20, 5), 3)
    for sampler in (first, second):
        sampler.set_epoch(4)
    second.skip = 3
    assert list(first)[3:] == list(second)
    first.set_epoch(5)
    assert list(first)[3:] != list(second)


def test_rebalanced_groups_hold_the_same_examples_with_even_loads():
    lengths = [1, 9, 2, 8, 3, 7, 4, 6]
    order = rebalanced(range(8), lengths, 8, 2)
    assert sorted(order) == list(range(8))
    assert sum(lengths[i] for i in order[:4]) == sum(lengths[i] for i in order[4:]) == 20


def test_evaluation_batches_cover_the_set_once_over_all_processes():
    lengths = [3, 50, 4, 4, 30, 2, 9]
    seen = [
        i
        for p in (0, 1)
        for b in EvalBatches(range(7), 2, lengths=lengths, process=p, processes=2)
        for i in b
    ]
    assert sorted(seen) == list(range(7))
    assert list(EvalBatches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_no_evaluation_batch_is_larger_than_was_asked_for():
    lengths = [2] * 30 + [60]
    batches = list(EvalBatches(range(31), 4, lengths=lengths))
    assert max(len(batch) for batch in batches) == 4
    assert batches[0][0] == 30


@pytest.mark.parametrize("count", [0, 1, 8, 9, 10, 11, 12])
def test_a_stream_is_shared_without_repeats(count):
    judged = [list(StreamShare(range(count), 2, process, 2)) for process in (0, 1)]
    assert sorted(judged[0] + judged[1]) == list(range(count))
    trained = [list(StreamShare(range(count), 2, process, 2, seed=0)) for process in (0, 1)]
    steps = [math.ceil(len(part) / 2) for part in trained]
    assert steps[0] == steps[1]  # each has something at each step
    assert sorted(trained[0] + trained[1]) == list(range(count if count not in (1, 9) else count - 1))
    assert [len(StreamShare(range(count), 2, p, 2, seed=0)) for p in (0, 1)] == [len(p) for p in trained]


def test_workers_draw_the_same_numbers_however_many_they_are():
    from formers.training.data.loaders import Reproducible

    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return torch.rand(())

    def draw(workers, skip):
        sampler = TrainBatches(EpochOrder(8, 0), 2)
        sampler.skip = skip
        loader = torch.utils.data.DataLoader(
            Reproducible(Noisy(), 3), batch_sampler=sampler, num_workers=workers
        )
        return torch.stack(list(loader))

    assert torch.equal(draw(1, 0)[2:], draw(2, 2))


def test_a_parquet_table_is_read_as_others_are(tmp_path):
    import pyarrow
    from pyarrow import parquet

    columns = {"text": ["a", "b"], "label": [" x ", "y"], "n": [1, None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert load_table(tmp_path / "a.parquet", label_column="label") == [
        {"text": "a", "label": "x"},
        {"text": "b", "label": "y"},
    ]
    assert load_table(tmp_path / "a.parquet")[1] == {"text": "b", "label": "y", "n": None}
    parquet.write_table(pyarrow.table({"text": ["a", None], "label": ["x", "y"]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="row 2: the column 'text'"):
        load_table(tmp_path / "b.parquet", "text", "label")
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (b"", b"x", whole[:-20], whole[:40] + whole[-40:]):
        (tmp_path / "c.parquet").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"c\.parquet is no whole Parquet file"):
            load_table(tmp_path / "c.parquet")
