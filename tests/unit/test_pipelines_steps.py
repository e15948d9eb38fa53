"""The three steps of a pipeline: over batches where a class says how, item by item where one was replaced."""

from __future__ import annotations

import types

import pytest
import torch

from formers.core.notices import Notice
from formers.core.outputs import TaskOutput
from formers.pipelines import KeyDataset, Pipeline, TextClassificationPipeline
from unit.pipeline_fakes import TinyClassifier, tiny_tokenizer, words

TEXTS = [words(count, start=count) for count in (3, 9, 1, 14, 5, 5, 2)]


def made(kind=TextClassificationPipeline, **kwargs):
    return kind(TinyClassifier(), tiny_tokenizer(), **kwargs)


def same(found, expected):
    assert [a["label"] for a in found] == [a["label"] for a in expected]
    assert [a["score"] for a in found] == pytest.approx([a["score"] for a in expected], rel=1e-5)


class Cleaned:
    """Texts lose what stands in brackets."""

    def preprocess(self, inputs, **params):
        assert isinstance(inputs, str), "one text at a time"
        model_inputs = super().preprocess(inputs.replace("<br>", ""), **params)
        assert model_inputs["input_ids"].shape[0] == 1
        assert set(model_inputs) == {"input_ids", "attention_mask", "token_type_ids"}
        return model_inputs


class Colder:
    """Logits are halved."""

    def _forward(self, model_inputs, **params):
        assert not torch.is_grad_enabled()
        outputs = super()._forward(model_inputs, **params)
        return TaskOutput(logits=outputs.logits / 2)


class Percent:
    """Scores are percentages."""

    def postprocess(self, model_outputs, **params):
        assert model_outputs.logits.shape[0] == 1, "one text at a time"
        answer = super().postprocess(model_outputs, **params)
        return {**answer, "score": 100 * answer["score"]}


def colder(texts):
    pipe = made()
    with torch.no_grad():
        for parameter in pipe.model.out.parameters():
            parameter /= 2
    return pipe(texts)


EXPECTED = {
    Cleaned: lambda: made()(TEXTS),
    Colder: lambda: colder(TEXTS),
    Percent: lambda: [{**a, "score": 100 * a["score"]} for a in made()(TEXTS)],
}
GIVEN = [f"{text}<br>" for text in TEXTS]


def given_to(*steps):
    return GIVEN if Cleaned in steps else TEXTS


@pytest.mark.parametrize("step", [Cleaned, Colder, Percent])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_subclass_that_replaces_one_step_is_run_through_it(step, batch_size):
    pipe = made(type("Own", (step, TextClassificationPipeline), {}))
    same(pipe(given_to(step), batch_size=batch_size), EXPECTED[step]())
    same(list(pipe((text for text in given_to(step)), batch_size=batch_size)), EXPECTED[step]())
    same(pipe(given_to(step)[1]), EXPECTED[step]()[1:2])
    rows = {rows for rows, _ in pipe.model.shapes}
    assert max(rows) == (batch_size or 1)


@pytest.mark.parametrize(
    ("first", "second"), [(Cleaned, Colder), (Cleaned, Percent), (Colder, Percent)], ids=lambda s: s.__name__
)
def test_a_subclass_may_replace_two_steps(first, second):
    pipe = made(type("Own", (first, second, TextClassificationPipeline), {}))
    expected = colder(TEXTS) if Colder in (first, second) else made()(TEXTS)
    if second is Percent:
        expected = [{**a, "score": 100 * a["score"]} for a in expected]
    for batch_size in (None, 4):
        same(pipe(given_to(first, second), batch_size=batch_size), expected)


def test_what_a_step_gets_is_not_padded_unless_a_batch_was_asked_for():
    class Lengths(TextClassificationPipeline):
        def _forward(self, model_inputs):
            return {"logits": torch.zeros(len(model_inputs["input_ids"]), 3), **model_inputs}

        def postprocess(self, model_outputs):
            return model_outputs["input_ids"].shape[1]

    pipe = made(Lengths)
    assert pipe(TEXTS) == [len(text.split()) + 2 for text in TEXTS]
    assert pipe(TEXTS[:2], batch_size=2) == [11, 11]


def test_batches_of_a_subclass_are_padded_on_the_tokenizer_s_side():
    class Last(TextClassificationPipeline):
        def _forward(self, model_inputs):
            return {"last": model_inputs["input_ids"][:, -1]}

        def postprocess(self, model_outputs):
            return int(model_outputs["last"])

    pipe = made(Last)
    pipe.tokenizer.padding_side = "left"
    assert pipe(TEXTS, batch_size=4) == [3] * len(TEXTS), "every row ends with [SEP]"


def test_a_class_whose_module_is_named_like_this_library_s_is_honoured_too():
    source = (
        "class Own(TextClassificationPipeline):\n"
        "    def postprocess(self, model_outputs, **params):\n"
        "        return 'own'\n"
    )
    module = types.ModuleType("formers.pipelines.accident")
    module.TextClassificationPipeline = TextClassificationPipeline
    exec(source, module.__dict__)
    assert module.Own.__module__.startswith("formers.")
    assert made(module.Own)(["w1", "w2"]) == ["own", "own"]


def test_a_mixin_of_another_module_counts_only_where_it_comes_first():
    module = types.ModuleType("elsewhere")
    exec(
        "class Loud:\n    def postprocess(self, model_outputs, **params):\n        return 'loud'\n",
        vars(module),
    )
    assert module.Loud.__module__ == "elsewhere"
    before = type("Before", (module.Loud, TextClassificationPipeline), {})
    after = type("After", (TextClassificationPipeline, module.Loud), {})
    assert made(before)(["w1", "w2"]) == ["loud", "loud"]
    pipe = made(after)
    same(pipe(TEXTS), made()(TEXTS))
    assert len(pipe.model.shapes) == 1, "one batch"


def test_a_step_that_is_replaced_on_the_instance_is_honoured():
    pipe = made()
    expected = [answer["label"] for answer in pipe(TEXTS)]
    plain = pipe.postprocess
    pipe.postprocess = lambda outputs, **params: plain(outputs, **params)["label"]
    assert pipe(TEXTS) == expected
    assert pipe.run(pipe.prepare(TEXTS)) == expected, "a server goes through it too"


def test_a_subclass_may_replace_a_step_over_batches_and_keep_them():
    seen = []

    class Counted(TextClassificationPipeline):
        def postprocess_batch(self, outputs, prepared, **params):
            seen.append(len(prepared))
            return super().postprocess_batch(outputs, prepared, **params)

    same(made(Counted)(TEXTS), made()(TEXTS))
    assert seen == [len(TEXTS)]

    class Below(Counted):
        def postprocess(self, model_outputs, **params):
            return super().postprocess(model_outputs, **params)["label"]

    assert made(Below)(TEXTS) == [a["label"] for a in made()(TEXTS)]
    assert len(seen) == 1, "the step for one text, further down, comes first"


def test_a_pipeline_over_batches_needs_no_steps_for_one_item():
    class Sums(Pipeline):
        def _sanitize_parameters(self, times=None):
            return {}, {}, {} if times is None else {"times": times}

        def preprocess(self, inputs):
            return {"x": torch.tensor([inputs])}

        def _forward(self, model_inputs):
            return {"sum": model_inputs["x"].sum(1), "names": ["a"] * len(model_inputs["x"])}

        def postprocess(self, model_outputs):
            raise AssertionError("never called")

        def postprocess_batch(self, outputs, prepared, times=1):
            return [times * value for value in outputs["sum"].tolist()]

    pipe = Sums(TinyClassifier())
    assert pipe([[1, 2], [3, 4], [5, 6]], batch_size=2) == [3, 7, 11]
    assert pipe([[1, 2]], times=10) == [30]


def test_run_single_and_forward_may_be_replaced():
    class Told(TextClassificationPipeline):
        def run_single(self, inputs, preprocess_params, forward_params, postprocess_params):
            answer = super().run_single(inputs, preprocess_params, forward_params, postprocess_params)
            return {**answer, "text": inputs}

        def forward(self, model_inputs, **forward_params):
            forwarded.append(model_inputs["input_ids"].shape[0])
            return super().forward(model_inputs, **forward_params)

    forwarded = []
    found = made(Told)(TEXTS)
    assert [answer["text"] for answer in found] == TEXTS
    assert forwarded == [1] * len(TEXTS)
    same(found, made()(TEXTS))


def test_windows_of_a_replaced_step_stay_with_their_text():
    pipe = made(type("Own", (Colder, TextClassificationPipeline), {}))
    long = [words(40), "w1", words(30)]
    single = [pipe([text], long_text="window")[0] for text in long]
    same(pipe(long, long_text="window", batch_size=3), single)


# -- small things -----------------------------------------------------------------------------------


def test_workers_are_noticed_once():
    with pytest.warns(Notice, match="num_workers=4 has no effect"):
        pipe = made(num_workers=4)
    same(pipe(TEXTS, num_workers=2), made()(TEXTS))  # a second notice would be an error here
    assert made(num_workers=0)("w1")


def test_a_stream_that_does_not_know_its_columns_is_read_by_its_rows():
    datasets = pytest.importorskip("datasets")
    pipe = made()
    rows = [{"text": text, "label": 0} for text in TEXTS]
    table = datasets.Dataset.from_list(rows)
    for stream in (
        table.to_iterable_dataset().map(lambda row: row),
        datasets.IterableDataset.from_generator(lambda: iter(rows)),
    ):
        answers = pipe(stream)
        same(list(answers), pipe(TEXTS))
        same(list(answers), pipe(TEXTS))
    pairs = [{"text": text, "text_pair": "w1"} for text in TEXTS if len(text) < 30]
    same(list(pipe(datasets.IterableDataset.from_generator(lambda: iter(pairs)))), pipe(pairs))
    mixed = [{"text": "w1"}, {"text": "w2", "text_pair": "w3"}, {"text": "w3", "text_pair": None}]
    same(list(pipe(datasets.IterableDataset.from_generator(lambda: iter(mixed)))), pipe(mixed))
    bodies = datasets.IterableDataset.from_generator(lambda: iter([{"body": "w1"}]))
    with pytest.raises(ValueError, match=r"no column 'text'; its columns are \['body'\]"):
        next(pipe(bodies))
    same(list(pipe(KeyDataset(bodies, "body"))), pipe(["w1"]))
    with pytest.raises(KeyError, match="no column 'bodi'.*did you mean 'body'"):
        next(pipe(KeyDataset(bodies, "bodi")))


def test_batches_of_a_loader_are_not_taken_for_pairs():
    loader = torch.utils.data.DataLoader(["w1", "w2"], batch_size=2)
    with pytest.raises(TypeError, match=r"pass its dataset, loader\.dataset"):
        made()(loader)


def test_a_model_that_is_told_to_return_tuples_answers():
    from formers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=204,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    pipe = TextClassificationPipeline(BertForSequenceClassification(config), tiny_tokenizer())
    expected = pipe(TEXTS)
    pipe.model.config.return_dict = False
    assert pipe(TEXTS) == expected


def test_a_class_of_one_s_own_is_not_judged_by_the_head_it_was_made_from():
    from formers import BertConfig, BertModel

    class Own(BertModel):
        def __init__(self, config):
            super().__init__(config)
            self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def forward(self, input_ids, attention_mask=None, **kwargs):
            states = super().forward(input_ids, attention_mask=attention_mask).last_hidden_state
            return TaskOutput(logits=self.classifier(states[:, 0]))

    config = BertConfig(
        vocab_size=204,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    assert TextClassificationPipeline(Own(config), tiny_tokenizer())(TEXTS)
    with pytest.raises(ValueError, match="sequence-classification head, got BertModel"):
        TextClassificationPipeline(BertModel(config), tiny_tokenizer())
