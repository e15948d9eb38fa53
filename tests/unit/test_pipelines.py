"""Calling a text-classification pipeline: inputs of every form, order, batches, results, long texts."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import torch

from formers.core.notices import Notice
from formers.pipelines import KeyDataset, KeyPairDataset, TextClassificationPipeline
from formers.pipelines.text_classification import ClassificationFunction
from unit.pipeline_fakes import LIMIT, TinyClassifier, tiny_tokenizer, words


def make(labels=3, problem_type=None, **kwargs):
    return TextClassificationPipeline(TinyClassifier(labels, problem_type), tiny_tokenizer(), **kwargs)


@pytest.fixture
def pipe():
    return make()


def alone(pipe, texts):
    """The answers, each text by itself."""
    return [pipe(text)[0] for text in texts]


def same(found, expected):
    assert [a["label"] for a in found] == [a["label"] for a in expected]
    assert [a["score"] for a in found] == pytest.approx([a["score"] for a in expected], abs=1e-6)


# -- forms of input --------------------------------------------------------------------------------


def test_one_string_gives_a_list_with_one_answer(pipe):
    (answer,) = pipe("w1 w2")
    assert set(answer) == {"label", "score"}
    logits = pipe.logits(["w1 w2"])[0]
    assert answer["label"] == f"L{logits.argmax()}"
    assert answer["score"] == pytest.approx((np.exp(logits) / np.exp(logits).sum()).max())


def test_a_list_gives_one_answer_per_text_in_order(pipe):
    texts = [words(count, start=count) for count in (3, 9, 1, 14, 5, 5, 2)]
    same(pipe(texts), alone(pipe, texts))


@pytest.mark.parametrize(
    "form",
    [tuple, np.array, lambda texts: dict(enumerate(texts)).values()],
    ids=["tuple", "numpy", "values"],
)
def test_other_ordered_collections_are_lists(pipe, form):
    texts = ["w1", "w2 w3", "w4"]
    found = pipe(form(texts))
    assert isinstance(found, list)
    same(found, alone(pipe, texts))


def test_an_empty_list_has_no_answers(pipe):
    assert pipe([]) == []


def test_an_empty_text_is_a_text(pipe):
    assert pipe("")[0]["label"].startswith("L")
    assert len(pipe(["", "w1", ""])) == 3


def test_an_empty_text_without_special_tokens_stands_for_one_token():
    pipe = TextClassificationPipeline(TinyClassifier(), tiny_tokenizer(special=False))
    with pytest.warns(Notice, match="empty text has no tokens"):
        found = pipe(["w1", ""])
    assert len(found) == 2
    pipe.tokenizer.pad_token = None
    with pytest.raises(ValueError, match="input 1 has no tokens"):
        pipe(["w1", ""])


def test_pairs_as_mappings_tuples_and_the_older_nested_list(pipe):
    pair = {"text": "w1 w2", "text_pair": "w3"}
    answer = pipe(pair)
    assert set(answer) == {"label", "score"}
    same(pipe([pair, ("w1 w2", "w3"), ["w1 w2", "w3"], [["w1 w2", "w3"]]]), [answer] * 4)
    same([answer], [pipe([("w1 w2", "w3")])[0]])
    assert pipe.logits([pair])[0] != pytest.approx(pipe.logits(["w1 w2 w3"])[0])


def test_pairs_and_single_texts_mix(pipe):
    mixed = ["w1", ("w1", "w2"), "w3 w4", {"text": "w5", "text_pair": None}]
    assert [a["label"] for a in pipe(mixed)] == [pipe([item])[0]["label"] for item in mixed]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "the input is None"),
        (7, "the input is of type int"),
        (b"w1", "the input is of type bytes"),
        (["w1", None], "input 1 is None"),
        (["w1", "w2", float("nan")], r"input 2 is of type float \(nan\)"),
        ([["w1", "w2", "w3"]], "input 0 is of type list"),
        ({"txt": "w1"}, "did you mean 'text'"),
        ([{"text": 3}], "'text' of input 0 is of type int"),
        ({"w1", "w2"}, "the input is of type set"),
    ],
)
def test_what_is_no_text_is_refused_by_place_and_type(pipe, inputs, message):
    with pytest.raises(TypeError, match=message):
        pipe(inputs)
    assert not pipe.model.shapes, "nothing runs before every input of a list was checked"


# -- streams and datasets --------------------------------------------------------------------------


def test_a_generator_is_answered_lazily_and_in_order(pipe):
    read = []

    def texts():
        for index in range(5000):
            read.append(index)
            yield words(index % 13 + 1, start=index)

    answers = pipe(texts())
    assert not read
    first = next(answers)
    assert 0 < len(read) < 100
    rest = [first, *(next(answers) for _ in range(299))]
    same(rest, alone(pipe, [words(i % 13 + 1, start=i) for i in range(300)]))
    assert len(read) < 1500


def test_a_generator_with_batch_size_1_reads_one_text_per_answer(pipe):
    read = []

    def texts():
        for index in range(3):
            read.append(index)
            yield "w1"

    answers = pipe(texts(), batch_size=1)
    for seen in (1, 2, 3):
        next(answers)
        assert len(read) == seen


def test_an_exception_of_a_generator_comes_after_the_answers_before_it(pipe):
    def texts():
        yield from ["w1", "w2", "w3"]
        raise RuntimeError("the source broke")

    answers = pipe(texts())
    assert len([next(answers) for _ in range(3)]) == 3
    with pytest.raises(RuntimeError, match="the source broke"):
        next(answers)


def test_a_wrong_item_of_a_generator_is_named_by_its_place(pipe):
    answers = pipe(item for item in ["w1", 5])
    next(answers)
    with pytest.raises(TypeError, match="input 1 is of type int"):
        next(answers)


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_a_torch_dataset_gives_an_iterator_with_a_length(pipe):
    texts = [words(i % 5 + 1, i) for i in range(40)]
    answers = pipe(Rows(texts))
    assert len(answers) == 40
    same(list(answers), alone(pipe, texts))
    assert len(list(answers)) == 40, "a dataset can be read again"


def test_key_datasets_pick_columns(pipe):
    from formers.pipelines.pt_utils import KeyDataset as TutorialKeyDataset

    rows = [{"id": i, "a": words(i + 1), "b": words(2, i)} for i in range(6)]
    assert TutorialKeyDataset is KeyDataset
    data = KeyDataset(Rows(rows), "a")
    assert len(data) == 6
    assert data[2] == words(3)
    same(list(pipe(data)), alone(pipe, [row["a"] for row in rows]))
    pairs = [{"text": row["a"], "text_pair": row["b"]} for row in rows]
    same(list(pipe(KeyPairDataset(Rows(rows), "a", "b"))), [pipe(pair) for pair in pairs])
    with pytest.raises(KeyError, match="no column 'c'"):
        list(pipe(KeyDataset(Rows(rows), "c")))


def test_datasets_of_the_datasets_package(pipe):
    datasets = pytest.importorskip("datasets")
    texts = [words(i % 5 + 1, i) for i in range(30)]
    table = datasets.Dataset.from_dict({"text": texts, "label": [0] * 30})
    expected = alone(pipe, texts)
    same(list(pipe(table)), expected)
    same(list(pipe(KeyDataset(table, "text"))), expected)
    same(pipe(table["text"]), expected)
    same(list(pipe(KeyDataset(table.to_iterable_dataset(), "text"))), expected)
    with pytest.raises(ValueError, match=r"no column 'text'.*KeyDataset\(dataset, 'body'\)"):
        pipe(table.rename_column("text", "body"))


# -- batches ---------------------------------------------------------------------------------------


def test_batches_hold_texts_of_like_length(pipe):
    texts = [words(1), words(12)] * 200
    pipe.max_batch_tokens = 400
    pipe.max_batch_padding = 100
    pipe(texts)
    real = sum(len(text.split()) + 2 for text in texts)
    assert pipe.model.tokens_computed < 1.2 * real
    assert len(pipe.model.shapes) > 5


def test_one_long_text_does_not_pad_many_short_ones(pipe):
    texts = [words(1)] * 300 + [words(14)] + [words(1)] * 300
    pipe.max_batch_padding = 200
    found = pipe(texts)
    assert pipe.model.tokens_computed < 600 * 3 + 16 + 200 + 1
    same([found[0], found[300], found[-1]], alone(pipe, [texts[0], texts[300], texts[-1]]))


def test_batch_size_caps_the_items_of_a_batch(pipe):
    pipe([words(3)] * 10, batch_size=4)
    assert [rows for rows, _ in pipe.model.shapes] == [4, 4, 2]
    capped = make(batch_size=5)
    capped([words(3)] * 10)
    assert [rows for rows, _ in capped.model.shapes] == [5, 5]


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
def test_a_batch_size_that_is_none_is_refused(pipe, size):
    with pytest.raises(ValueError, match="batch_size"):
        pipe(["w1"], batch_size=size)


def test_progress_is_shown_when_asked_for(pipe, capsys):
    pipe(["w1", "w2", "w3"])
    assert capsys.readouterr().err == ""
    pipe(["w1", "w2", "w3"], progress=True)
    assert "3/3" in capsys.readouterr().err


def test_dropout_is_off_and_training_mode_is_put_back(pipe):
    expected = pipe("w1 w2 w3")
    pipe.model.train()
    pipe.model.dropout.eval()  # frozen by its owner
    pipe.model.out.register_forward_hook(lambda module, *_: training.append(module.training))
    training = []
    assert pipe("w1 w2 w3") == expected
    assert training == [False]
    assert pipe.model.training
    assert pipe.model.out.training
    assert not pipe.model.dropout.training


# -- results ---------------------------------------------------------------------------------------


def test_top_k_ranks_labels(pipe):
    every = pipe("w1 w2", top_k=None)
    assert [a["score"] for a in every] == sorted((a["score"] for a in every), reverse=True)
    assert {a["label"] for a in every} == {"L0", "L1", "L2"}
    assert sum(a["score"] for a in every) == pytest.approx(1)
    assert pipe("w1 w2", top_k=2) == every[:2]
    assert pipe("w1 w2", top_k=1) == every[:1]
    assert pipe("w1 w2", top_k=99) == every
    assert pipe(["w1 w2"], top_k=2) == [every[:2]]


def test_top_k_of_the_constructor_nests_a_single_answer_as_ever():
    pipe = make(top_k=None)
    assert len(pipe("w1")[0]) == 3
    assert len(pipe(["w1", "w2"])[1]) == 3


def test_return_all_scores_is_the_older_spelling_and_keeps_the_labels_order(pipe):
    (every,) = pipe("w1", return_all_scores=True)
    assert [a["label"] for a in every] == ["L0", "L1", "L2"]
    assert {a["label"]: a["score"] for a in every} == {a["label"]: a["score"] for a in pipe("w1", top_k=None)}
    assert pipe("w1", return_all_scores=False) == pipe("w1")
    assert [len(answer) for answer in make(return_all_scores=True)(["w1", "w2"])] == [3, 3]


def test_the_function_is_the_callers_choice(pipe):
    logits = pipe.logits(["w1 w2"])[0]
    raw = {a["label"]: a["score"] for a in pipe("w1 w2", top_k=None, function_to_apply="none")}
    assert [raw[f"L{i}"] for i in range(3)] == pytest.approx(logits.tolist())
    for name in ("sigmoid", "SIGMOID", ClassificationFunction.SIGMOID):
        found = {a["label"]: a["score"] for a in pipe("w1 w2", top_k=None, function_to_apply=name)}
        assert [found[f"L{i}"] for i in range(3)] == pytest.approx((1 / (1 + np.exp(-logits))).tolist())
    assert pipe("w1 w2", function_to_apply="default") == pipe("w1 w2")
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        pipe("w1", function_to_apply="sofmax")


def test_sigmoid_of_large_logits_does_not_overflow():
    pipe = make(labels=1)
    with torch.no_grad():
        pipe.model.out.bias.fill_(-200.0)
    with np.errstate(all="raise", under="ignore"):
        assert pipe("w1")[0]["score"] == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize("top_k", [0, -1, True, "2"])
def test_a_top_k_that_is_none_is_refused(pipe, top_k):
    with pytest.raises((ValueError, TypeError), match="top_k"):
        pipe("w1", top_k=top_k)


@pytest.mark.parametrize("where", ["constructor", "call", "prepare", "run"])
def test_an_unknown_keyword_is_refused_with_a_suggestion(pipe, where):
    calls = {
        "constructor": lambda: make(topk=3),
        "call": lambda: pipe("w1", topk=3),
        "prepare": lambda: pipe.prepare(["w1"], max_lenght=3),
        "run": lambda: pipe.run(pipe.prepare(["w1"]), topk=3),
    }
    with pytest.raises(TypeError, match="did you mean '(top_k|max_length)'"):
        calls[where]()


def test_a_wrong_value_is_refused_when_the_pipeline_is_made():
    for wrong in (
        {"long_text": "windw"},
        {"truncation": "longest"},
        {"padding": "max"},
        {"aggregate": "sum"},
    ):
        with pytest.raises(ValueError, match="must be"):
            make(**wrong)


# -- long texts ------------------------------------------------------------------------------------


def test_a_long_text_is_cut_with_a_notice_that_comes_once(pipe):
    with pytest.warns(Notice, match=r"2 texts were longer than the 16 tokens.*longest had 62"):
        found = pipe([words(60), "w1", words(20)])
    same(found, alone(pipe, [words(LIMIT - 2), "w1", words(LIMIT - 2)]))


@pytest.mark.parametrize("asked", [{"truncation": True}, {"truncation": "only_first"}, {"max_length": 16}])
def test_asking_for_the_cut_makes_it_quiet(pipe, asked):
    same(pipe([words(60)], **asked), alone(pipe, [words(LIMIT - 2)]))


def test_max_length_cuts_earlier(pipe):
    same(pipe([words(60)], truncation=True, max_length=8), alone(pipe, [words(6)]))
    with pytest.warns(Notice, match="the model takes at most 16"):
        pipe("w1", max_length=99)


@pytest.mark.parametrize(
    "asked", [{"truncation": False}, {"long_text": "error"}, {"truncation": "do_not_truncate"}]
)
def test_a_long_text_can_be_an_error(pipe, asked):
    with pytest.raises(ValueError, match="input 1 has 62 tokens, more than the 16 allowed"):
        pipe(["w1", words(60)], **asked)


def test_a_long_text_far_into_a_stream_is_named_by_its_place(pipe):
    answers = pipe((words(60 if i == 70 else 2) for i in range(80)), truncation=False)
    with pytest.raises(ValueError, match="input 70 has 62 tokens"):
        list(answers)
    with pytest.raises(ValueError, match="the input has 62 tokens"):
        pipe(words(60), truncation=False)


def test_windows_cover_the_whole_text_and_are_averaged(pipe):
    text = words(30)
    parts = [words(14), words(14, start=12), words(6, start=24)]  # two words are shared
    expected = pipe.logits(parts)
    found = pipe.logits([text], long_text="window", stride=2)
    assert found[0] == pytest.approx(expected.mean(axis=0), abs=1e-6)
    assert pipe.logits([text], long_text="window", stride=2, aggregate="max")[0] == pytest.approx(
        expected.max(axis=0)
    )
    assert pipe.logits([text], long_text="window", stride=2, aggregate="first")[0] == pytest.approx(
        expected[0]
    )


def test_windows_leave_the_other_answers_alone(pipe):
    texts = [words(50), "w1 w2", words(33), "w3"]
    found = pipe(texts, long_text="window")
    same([found[1], found[3]], alone(pipe, ["w1 w2", "w3"]))
    same([found[0]], pipe([texts[0]], long_text="window"))


def test_windows_of_a_pair_run_over_its_first_text(pipe):
    (prepared,) = pipe.prepare([(words(30), "w7 w8")], long_text="window", stride=0)
    assert len(prepared.windows) > 2
    assert all(window.tolist()[-3:] == [11, 12, 3] for window in prepared.windows)
    assert len(pipe([(words(30), "w7 w8")], long_text="window")) == 1


def test_many_windows_run_within_the_token_budget(pipe):
    pipe.max_batch_tokens = 64
    whole = pipe.logits([words(190)], long_text="window")
    assert max(rows * width for rows, width in pipe.model.shapes) <= 64
    pipe.max_batch_tokens = 10_000
    assert pipe.logits([words(190)], long_text="window") == pytest.approx(whole, abs=1e-6)


def test_contradictions_about_long_texts_are_refused(pipe):
    with pytest.raises(ValueError, match="contradict"):
        pipe("w1", truncation=False, long_text="truncate")
    with pytest.raises(ValueError, match="long_text='window'"):
        pipe("w1", stride=4)


# -- the two halves of a call ----------------------------------------------------------------------


def test_prepare_and_run_are_the_halves_of_a_call(pipe):
    texts = ["w1 w2", words(14), words(40), ""]
    prepared = pipe.prepare(texts, truncation=True)
    assert [item.length for item in prepared] == [4, 16, 16, 2]
    assert [item.cut for item in prepared] == [0, 0, 26, 0]
    same(pipe.run(prepared), pipe(texts, truncation=True))
    assert pipe.model.shapes[0] == (4, 16), "one forward pass"
    assert pipe.run([]) == []
    ranked = pipe.run(prepared, top_k=None)
    assert [len(answer) for answer in ranked] == [3] * 4


def test_run_may_be_called_by_threads(pipe):
    texts = [words(i % 12 + 1, i) for i in range(64)]
    expected = pipe(texts)
    found = {}

    def work(place):
        found[place] = pipe.run(pipe.prepare(texts[place : place + 8]))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(0, 64, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same([answer for place in sorted(found) for answer in found[place]], expected)


def test_the_revision_follows_the_weights(pipe):
    assert pipe.revision == make().revision
    changed = make()
    with torch.no_grad():
        changed.model.out.bias += 1
    assert changed.revision != pipe.revision
    pinned = make()
    pinned.model.config._commit_hash = "abc123"
    assert pinned.revision == "abc123"


def test_max_length_is_the_smaller_of_model_and_tokenizer(pipe):
    assert pipe.max_length == LIMIT
    assert TextClassificationPipeline(TinyClassifier(), tiny_tokenizer(limit=9)).max_length == 9


def test_a_pipeline_can_be_pickled(pipe):
    twin = pickle.loads(pickle.dumps(pipe))
    same(twin(["w1", "w2 w3"]), pipe(["w1", "w2 w3"]))


# -- calibration -----------------------------------------------------------------------------------


def test_a_calibration_divides_the_logits_unless_told_not_to():
    from formers.evaluation.calibration import Calibration

    plain, pipe = make(), make(calibration=Calibration(2.0))
    logits = plain.logits(["w1 w2"])[0]
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    assert pipe("w1 w2")[0]["score"] == pytest.approx(expected.max(), abs=1e-6)
    assert pipe("w1 w2", calibrated=False) == plain("w1 w2")
    assert pipe("w1 w2", function_to_apply="none") == plain("w1 w2", function_to_apply="none")
    assert pipe.logits(["w1 w2"])[0] == pytest.approx(logits)
    assert "temperature=2" in repr(pipe)


def test_the_calibration_beside_a_model_is_used(tmp_path):
    from formers.evaluation.calibration import Calibration

    Calibration(1.5).save(tmp_path)
    model = TinyClassifier()
    model.config.name_or_path = str(tmp_path)
    assert TextClassificationPipeline(model, tiny_tokenizer()).calibration.temperature == 1.5


# -- inputs that cannot be answered, and say why -----------------------------------------------------


@pytest.mark.parametrize("text", [words(20), "w1"])
def test_windows_that_would_not_move_on_are_refused(pipe, text):
    with pytest.raises(ValueError, match="stride=6 must be smaller than the 6 tokens of text"):
        pipe(text, max_length=8, long_text="window", stride=6)
    assert pipe(words(20), max_length=8, long_text="window", stride=5)


def test_the_second_text_of_a_pair_counts_against_the_stride(pipe):
    pair = {"text": words(30), "text_pair": words(11)}  # beside it and 3 special tokens, 2 of 16 are left
    with pytest.raises(ValueError, match="stride=2 must be smaller than the 2 tokens"):
        pipe(pair, long_text="window", stride=2)
    assert len(pipe.prepare([pair], long_text="window")[0].windows) == 29  # the default makes room


def test_a_tokenizer_call_with_too_wide_a_stride_is_refused_before_the_backend_breaks():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="stride=6: the stride must be smaller"):
        tokenizer(words(20), max_length=8, truncation=True, stride=6, return_overflowing_tokens=True)
    with pytest.raises(ValueError, match="less the other text of a pair"):
        tokenizer(words(20), words(3), max_length=8, truncation="only_first", stride=3)
    assert tokenizer(words(20), max_length=8, truncation=True, stride=5)["input_ids"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_length": 1}, "max_length=1 leaves no room for a text: the special tokens alone are 2"),
        ({"truncation": "only_second"}, r"input 1 \(22 tokens, 16 allowed\) is a single text"),
    ],
)
def test_a_single_text_that_cannot_be_cut_is_not_called_a_pair(pipe, asked, message):
    with pytest.raises(ValueError, match=message):
        pipe(["w1", words(20)] if "truncation" in asked else words(20), **asked)


def test_a_pair_whose_other_text_is_too_long_is_named_by_its_place(pipe):
    with pytest.raises(ValueError, match="the pair of input 1, 43 tokens, to 16: the other text alone"):
        pipe([("w1", "w2"), (words(20), words(20))], truncation="only_first")
    with pytest.raises(ValueError, match="Pass long_text='truncate'"):
        pipe([(words(20), words(20))], long_text="window")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("ab\ud800", r"^the input holds half of a surrogate pair, '\\ud800' at character 2"),
        (["w1", "ab\ud800"], "^input 1 holds half"),
        ([("w1", "w2"), ("w1", "\udc80")], "^the second text of input 1 holds half"),
        ((text for text in ["w1"] * 20 + ["\ud800"]), "^input 20 holds half"),
    ],
)
def test_half_a_surrogate_pair_is_named_by_its_place(pipe, inputs, message):
    with pytest.raises(ValueError, match=message):
        list(pipe(inputs))


def test_tables_are_refused_and_say_what_to_pass(pipe):
    frame = pd.DataFrame({"text": ["w1", "w2"], "label": [0, 1]})
    for call in (pipe, pipe.prepare, lambda table: KeyDataset(table, "text")):
        with pytest.raises(TypeError, match=r"a DataFrame is no list of texts.*pass one of them.*'text'"):
            call(frame)
    assert len(pipe(frame["text"])) == 2


def test_a_dictionary_of_datasets_is_refused_and_says_what_to_pass(pipe):
    datasets = pytest.importorskip("datasets")
    splits = datasets.DatasetDict({"test": datasets.Dataset.from_dict({"text": ["w1"]})})
    for call in (pipe, lambda table: KeyDataset(table, "text")):
        with pytest.raises(TypeError, match=r"a DatasetDict holds several datasets.*dataset\['test'\]"):
            call(splits)


def test_numbers_of_numpy_are_numbers(pipe):
    texts = [words(3), words(20)]
    four, eight = np.int64(4), np.int64(8)
    assert pipe(texts, batch_size=four, max_length=eight) == pipe(texts, batch_size=4, max_length=8)
