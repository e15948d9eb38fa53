"""Pipelines about spans: what calls take, words, windows, exact characters, and what is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pandas
import pytest
from torch.utils.data import Dataset

import formers
from formers import SquadExample, pipeline
from formers.tokenization.placed import place
from span_zoo import KINDS, LABELS, LONG, TEXTS, write_checkpoint
from tiny import save_classifier

QUESTION, CONTEXT = "What was charged twice?", "My card was charged twice for the same invoice."
TABLE = {"Name": ["Anna", "Ben"], "Age": ["31", "45"]}


def made(tmp_path_factory: Any, kind: str, ending: str, **config: Any) -> Path:
    return write_checkpoint(kind, ending, tmp_path_factory.mktemp("spans"), **config)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: Any) -> dict[str, Path]:
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    return {kind: made(tmp_path_factory, kind, "ForTokenClassification", **names) for kind in KINDS}


@pytest.fixture(scope="module")
def ner(labelled: dict[str, Path]) -> Any:
    return pipeline("ner", model=labelled["wordpiece"], device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return made(tmp_path_factory, "wordpiece", "ForQuestionAnswering")


@pytest.fixture(scope="module")
def qa(folder: Path) -> Any:
    return pipeline("question-answering", model=folder, device="cpu")


def near(found: Any, expected: Any) -> None:
    """Equal but for rounding: batches sum in another order."""
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            near(one, other)
    else:
        assert found == {**expected, "score": pytest.approx(expected["score"], abs=1e-5)}


class Rows(Dataset[Any]):
    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


# -- tokens and their characters ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_characters_are_exact_for_every_kind_of_tokenizer(labelled: dict[str, Path], kind: str) -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(labelled[kind])
    for text, whole in zip(TEXTS, place(tokenizer, TEXTS), strict=True):
        covered = {i for start, end in whole.spans.tolist() for i in range(start, end)}
        # WordPiece drops control characters, SentencePiece puts marks into the letter before them
        lost = (text[place] for place in range(len(text)) if place not in covered)
        assert all(one.isspace() or unicodedata.combining(one) or not one.isprintable() for one in lost)


def test_windows_share_their_stride_and_leave_nothing_out(labelled: dict[str, Path]) -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(labelled["wordpiece"])
    (whole,) = place(tokenizer, [QUESTION], [LONG])
    asked = (whole.sequences != 1).sum()
    for limit, stride in ((40, 0), (41, 7), (100, 50)):
        windows = whole.windows(limit, stride, sequence=1)
        theirs = tokenizer(
            QUESTION,
            LONG,
            truncation="only_second",
            max_length=limit,
            stride=stride,
            return_overflowing_tokens=True,
        )
        assert [one.ids.tolist() for one in windows] == theirs["input_ids"]
        assert sum(len(one.ids) - asked - stride for one in windows) + stride == len(whole.ids) - asked


# -- labels ------------------------------------------------------------------------------------------


def test_a_long_text_gets_one_label_for_each_token_wherever_windows_end(ner: Any) -> None:
    every = ner(LONG, ignore_labels=[])
    assert [one["index"] for one in every] == list(range(1, len(every) + 1))
    (grouped,) = ner([LONG], aggregation_strategy="simple", ignore_labels=[])
    assert grouped[0]["start"] == 0
    assert grouped[-1]["end"] == len(LONG)
    short = ner(LONG, ignore_labels=[], truncation=True)
    assert len(short) == ner.max_length - 2 < len(every)


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_those_of_the_tokenizer_where_that_is_asked(labelled: dict[str, Path], kind: str) -> None:
    pipe = pipeline("ner", model=labelled[kind], device="cpu", by_word_ids=True, ignore_labels=[])
    words = ["Harbor", "U.S.", "pneumono", "E\u0301cole"]
    (found,) = pipe(words, is_split_into_words=True, aggregation_strategy="max")
    # a group may hold several words, but none ends inside of one
    edges = {0, 6, 7, 11, 12, 20, 21, 27}
    assert {place for one in found for place in (one["start"], one["end"])} <= edges


def test_a_word_ends_before_punctuation_where_the_tokenizer_says_so(labelled: dict[str, Path]) -> None:
    pipe = pipeline("ner", model=labelled["byte bpe"], device="cpu", aggregation_strategy="first")
    with pytest.warns(UserWarning, match="Pass by_word_ids=True"):
        words = pipe._goes_on(_tokens(pipe, "the end."), False).tolist()
    assert words[-1]
    assert not pipe._goes_on(_tokens(pipe, "the end."), True)[-1]


def _tokens(pipe: Any, text: str) -> Any:
    from formers.pipelines.text.token_classification import _Tokens

    prepared = pipe.prepare([text])
    pipe.postprocess_batch(pipe.forward_batch(prepared), prepared, aggregation_strategy="first")
    return _Tokens.of(pipe.forward_batch(prepared)["logits"].numpy(), prepared)


def test_older_names_of_strategies_mean_the_newer(ner: Any) -> None:
    text = TEXTS[0]
    assert ner(text, grouped_entities=True) == ner(text, aggregation_strategy="simple")
    assert ner(text, grouped_entities=True, ignore_subwords=True) == ner(text, aggregation_strategy="first")
    assert ner(text, grouped_entities=False) == ner(text)
    with pytest.raises(ValueError, match="contradicts 'max'"):
        ner(text, grouped_entities=True, aggregation_strategy="max")


def test_labels_of_lists_generators_and_datasets_are_those_of_single_texts(ner: Any) -> None:
    texts = TEXTS[:5]
    single = [ner(text) for text in texts]
    near(ner(texts), single)
    near(list(ner(text for text in texts)), single)
    near(list(ner(formers.KeyDataset(Rows([{"text": text} for text in texts]), "text"))), single)
    words = [text.split() for text in texts]
    near(
        list(ner(iter(words), is_split_into_words=True)),
        [ner(one, is_split_into_words=True)[0] for one in words],
    )
    assert ner([]) == []
    assert ner("") == []


class Shouting(formers.TokenClassificationPipeline):
    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        found = super().postprocess(model_outputs, **params)
        return [{**one, "word": one["word"].upper()} for one in found]


class Turned(formers.QuestionAnsweringPipeline):
    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        outputs = super()._forward(model_inputs, **params)
        return {**outputs, "end_logits": outputs["end_logits"] + 0.0}


@pytest.mark.parametrize("size", [None, 3])
def test_a_subclass_may_replace_a_step_for_single_items(ner: Any, qa: Any, size: int | None) -> None:
    texts = [*TEXTS[:3], LONG]
    loud = Shouting(ner.model, ner.tokenizer, device="cpu")(texts, batch_size=size)
    expected = [[{**one, "word": one["word"].upper()} for one in each] for each in ner(texts)]
    near(loud, expected)
    asked = {"question": [QUESTION] * 3, "context": [CONTEXT, LONG, TEXTS[1]]}
    turned = Turned(qa.model, qa.tokenizer, device="cpu")(**asked, batch_size=size)
    near(turned, qa(**asked))


# -- answers -----------------------------------------------------------------------------------------


def test_questions_may_be_asked_in_every_form(qa: Any) -> None:
    one = qa(question=QUESTION, context=CONTEXT)
    assert set(one) == {"score", "start", "end", "answer"}
    assert one["answer"] == CONTEXT[one["start"] : one["end"]]
    item = {"question": QUESTION, "context": CONTEXT}
    for given in (item, [item], SquadExample(None, QUESTION, CONTEXT), qa.create_sample(QUESTION, CONTEXT)):
        assert qa(given) == one
    assert qa(QUESTION, CONTEXT) == qa(data=item) == qa(question=[QUESTION], context=[CONTEXT]) == one
    other = {"question": "Who?", "context": TEXTS[1], "id": 7, "answers": {}}
    both = [one, qa(question="Who?", context=TEXTS[1])]
    near(qa([item, other]), both)
    near(list(qa(each for each in (item, other))), both)
    near(list(qa(Rows([item, other]))), both)
    near(qa(question=[QUESTION, "Who?"], context=CONTEXT), [one, qa(question="Who?", context=CONTEXT)])
    near(qa(question=QUESTION, context=[CONTEXT, TEXTS[1]])[0], one)


def test_columns_of_a_dataset_are_asked_row_by_row(qa: Any) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"question": [QUESTION] * 2, "context": [CONTEXT, TEXTS[1]]})
    near(list(qa(rows)), qa(question=[QUESTION] * 2, context=[CONTEXT, TEXTS[1]]))
    with pytest.raises(
        ValueError, match=r"needs columns 'question' and 'context'; its columns are \['text'\]"
    ):
        qa(datasets.Dataset.from_dict({"text": ["a"]}))


def test_several_answers_are_distinct_and_the_best_comes_first(qa: Any) -> None:
    several = qa(question=QUESTION, context=CONTEXT, top_k=3)
    assert several == qa(question=QUESTION, context=CONTEXT, topk=3)
    scores = [one["score"] for one in several]
    assert scores == sorted(scores, reverse=True)
    assert len({one["answer"].lower() for one in several}) == 3
    assert qa(question=QUESTION, context="card", top_k=3)["answer"] == "card"
    assert qa(question=QUESTION, context="  ") == {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def test_a_question_is_cut_where_that_is_asked(qa: Any) -> None:
    long = "the boats are leaving " * 100
    with pytest.raises(ValueError, match="128 tokens leave no room for the input"):
        qa(question=long, context=CONTEXT)
    found = qa(question=long, context=CONTEXT, max_question_len=4)
    near(found, qa(question="the boats are leaving", context=CONTEXT))


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "given", "kind", "said"),
    [
        ((), {"question": QUESTION}, ValueError, "pass question=... and context=..."),
        ((), {"question": "", "context": CONTEXT}, ValueError, "the question of the input is empty"),
        ((), {"question": QUESTION, "context": ""}, ValueError, "the context of the input is empty"),
        ((), {"question": QUESTION, "context": None}, ValueError, "context of the input is NoneType"),
        (([{"question": "a", "context": "b"}, {"question": "a"}],), {}, KeyError, "input 1 has no 'context'"),
        (("a", 3), {}, TypeError, "input 0 is of type str"),
        ((), {"question": ["a", "b"], "context": ["c"] * 3}, ValueError, "2 questions and 3 contexts"),
        (({"question": "a", "context": "b"},), {"doc_stride": 400}, ValueError, "doc_stride=400 must be"),
        (({"question": "a", "context": "b"},), {"top_k": 0}, ValueError, "top_k must be a number of answers"),
        (({"question": "a", "context": "b"},), {"topk": 1, "top_k": 2}, ValueError, "leave topk out"),
        (({"question": "a", "context": "b"},), {"max_answer_lem": 1}, TypeError, "max_answer_len"),
        (({"question": "a", "context": "b"},), {"padding": "some"}, ValueError, "padding must be"),
    ],
)
def test_what_is_no_question_is_refused(qa: Any, args: Any, given: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind, match=said):
        qa(*args, **given)


@pytest.mark.parametrize(
    ("inputs", "options", "kind", "said"),
    [
        ("a", {"aggregation_strategy": "firts"}, ValueError, "did you mean 'first'"),
        ("a", {"ignore_labels": "O"}, ValueError, r"pass \['O'\]"),
        ("a", {"agregation_strategy": "first"}, TypeError, "aggregation_strategy"),
        (["a", {"text": "a", "text_pair": "b"}], {}, TypeError, "input 1 is a pair"),
        (["a", 3], {}, TypeError, "input 1 is of type int"),
        ([["a", "b"]], {}, TypeError, "is_split_into_words=False expects a text"),
        ("a", {"is_split_into_words": True}, TypeError, "is_split_into_words=True expects a list of words"),
        (["a", "b"], {"offset_mapping": [[(0, 1)]]}, ValueError, "for 1 texts, but there are 2"),
        ("a", {"offset_mapping": [(0, 1)]}, ValueError, "has 1 entries for the input, which has 3 tokens"),
        (LONG, {"offset_mapping": [(0, 1)]}, ValueError, "is for one window"),
        (LONG, {"long_text": "error"}, ValueError, "more than the 128 allowed"),
        (LONG, {"stride": 126}, ValueError, "stride=126 must be smaller than the 126 tokens"),
    ],
)
def test_what_cannot_be_labelled_is_refused(
    ner: Any, inputs: Any, options: Any, kind: Any, said: str
) -> None:
    with pytest.raises(kind, match=said):
        ner(inputs, **options)


@pytest.mark.parametrize("task", ["ner", "question-answering", "table-question-answering"])
def test_a_model_with_another_head_is_refused(task: str, tmp_path: Path) -> None:
    save_classifier(tmp_path)
    model = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    tokenizer = formers.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"-(answering|classification) head, got BertForSequenceClassification"
    ):
        pipeline(task, model=model, tokenizer=tokenizer)


def test_heads_whose_names_end_alike_are_told_apart(folder: Path, qa: Any) -> None:
    assert pipeline(model=folder).task == "question-answering"
    sizes = {
        "vocab_size": len(qa.tokenizer),
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    tapas = formers.TapasForQuestionAnswering(formers.TapasConfig(**sizes, intermediate_size=8))
    with pytest.raises(ValueError, match="a question-answering head, got TapasForQuestionAnswering"):
        pipeline("question-answering", model=tapas, tokenizer=qa.tokenizer)
    with pytest.raises(ValueError, match="a table-question-answering head, got BertForQuestionAnswering"):
        pipeline("table-question-answering", model=qa.model, tokenizer=qa.tokenizer)


@pytest.mark.parametrize(
    ("args", "given", "kind", "said"),
    [
        ((TABLE,), {}, ValueError, "a table needs a question"),
        ((None, "How old?"), {}, TypeError, "table of the input is of type NoneType"),
        (("Anna", "How old?"), {}, TypeError, "expected a pandas.DataFrame"),
        (({"a": ["b"], "c": []}, "How old?"), {}, ValueError, "is no table"),
        ((pandas.DataFrame(), "How old?"), {}, ValueError, "table of the input is empty"),
        ((TABLE, ""), {}, ValueError, "a question of the input is empty"),
        ((TABLE, 3), {}, TypeError, "must be a question"),
        (([{"table": TABLE, "query": "a"}, {"table": TABLE}],), {}, KeyError, "input 1 has no 'query'"),
        (([3, 4],), {}, TypeError, "input 0 is of type int"),
    ],
)
def test_what_is_no_table_is_refused(args: Any, given: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind, match=said):
        formers.TableQuestionAnsweringArgumentHandler()(*args, **given)


def test_names_of_the_reference_are_here() -> None:
    assert formers.NerPipeline is formers.TokenClassificationPipeline
    assert formers.AggregationStrategy("max") is formers.AggregationStrategy.MAX
    handle = formers.TokenClassificationArgumentHandler()
    assert handle(["a", "b"], is_split_into_words=True, delimiter="-") == ([["a", "b"]], True, None, "-")
    (example,) = formers.QuestionAnsweringArgumentHandler()(QUESTION, CONTEXT)
    assert (example.question_text, example.context_text) == (QUESTION, CONTEXT)
    for task, default in (
        ("ner", ("dbmdz/bert-large-cased-finetuned-conll03-english", "4c53496")),
        ("question-answering", ("distilbert/distilbert-base-cased-distilled-squad", "564e9b5")),
        ("table-question-answering", ("google/tapas-base-finetuned-wtq", "e3dde19")),
    ):
        assert formers.check_task(task)[1].default == default
