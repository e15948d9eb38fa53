"""`pipeline(...)`: tasks, models and tokenizers by name or object, devices, dtypes, and what is noticed."""

from __future__ import annotations

import warnings

import pytest
import torch

import formers
from formers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, pipeline
from formers.core.notices import Notice
from formers.pipelines import PIPELINE_REGISTRY, Pipeline, TextClassificationPipeline, registry
from unit.pipeline_fakes import TinyClassifier, tiny_tokenizer, words

SMALL = {
    "vocab_size": 204,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
}


def save(folder, model_class=BertForSequenceClassification, dtype=None, **config):
    torch.manual_seed(0)
    model = model_class(BertConfig(**{**SMALL, **config}))
    (model.to(dtype) if dtype else model).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "model", num_labels=3)


@pytest.fixture
def registered():
    """Whatever a test registers is forgotten afterwards."""
    tasks, aliases = dict(PIPELINE_REGISTRY._tasks), dict(PIPELINE_REGISTRY.task_aliases)
    yield PIPELINE_REGISTRY
    PIPELINE_REGISTRY._tasks, PIPELINE_REGISTRY.task_aliases = tasks, aliases


# -- tasks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["text-classification", "sentiment-analysis", None])
def test_a_task_its_alias_and_no_task_at_all_give_the_same_pipeline(folder, task):
    pipe = pipeline(task, model=folder)
    assert type(pipe) is TextClassificationPipeline
    assert pipe("w1 w2")[0]["label"].startswith("LABEL_")
    assert pipe.framework == "pt"


def test_an_unknown_task_names_those_that_there_are(folder):
    with pytest.raises(KeyError, match="did you mean 'sentiment-analysis'.*text-classification"):
        pipeline("sentiment-analisys", model=folder)


def test_a_task_that_cannot_be_read_off_the_model_must_be_named(tmp_path):
    other = save(tmp_path, BertModel)
    with pytest.raises(ValueError, match="BertModel.*name it"):
        pipeline(model=other)


def test_neither_task_nor_model_is_refused():
    with pytest.raises(ValueError, match="needs a task or a model"):
        pipeline()


def test_a_task_without_a_model_takes_its_default_and_says_so(folder, monkeypatch):
    asked = []

    def from_pretrained(name, **options):
        asked.append((name, options.get("revision")))
        raise OSError("no network here")

    monkeypatch.setattr("formers.auto.AutoConfig.from_pretrained", from_pretrained)
    with pytest.warns(Notice, match="no model was named"), pytest.raises(OSError, match="no network"):
        pipeline("sentiment-analysis")
    assert asked == [("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "714eb0f")]


def test_a_tokenizer_without_its_model_is_refused():
    with pytest.raises(ValueError, match="without its model"):
        pipeline("text-classification", tokenizer="anything")


# -- parts -----------------------------------------------------------------------------------------


def test_model_and_tokenizer_as_objects(folder):
    model = BertForSequenceClassification.from_pretrained(folder)
    tokenizer = formers.AutoTokenizer.from_pretrained(folder)
    expected = pipeline("text-classification", model=folder)(["w1", "w2 w3"])
    assert pipeline("text-classification", model=model, tokenizer=tokenizer)(["w1", "w2 w3"]) == expected
    assert pipeline(model=model, tokenizer=folder)(["w1", "w2 w3"]) == expected
    assert pipeline(model=model, tokenizer=(folder, {"model_max_length": 9})).max_length == 9
    assert pipeline(model=model)(["w1", "w2 w3"]) == expected, "the model knows where it came from"


def test_a_model_that_came_from_nowhere_needs_a_tokenizer():
    with pytest.raises(ValueError, match="pass tokenizer="):
        pipeline("text-classification", model=BertForSequenceClassification(BertConfig(**SMALL)))


def test_a_config_in_place_of_the_models_own(folder):
    config = BertConfig.from_pretrained(folder)
    config.id2label = {0: "red", 1: "green", 2: "blue"}
    pipe = pipeline("text-classification", model=folder, config=config)
    assert pipe("w1")[0]["label"] in {"red", "green", "blue"}


def test_a_model_with_another_head_is_refused(tmp_path):
    folder = save(tmp_path, BertModel)
    with pytest.raises(ValueError, match="needs a model with a sequence-classification head, got BertModel"):
        pipeline("text-classification", model=BertModel.from_pretrained(folder), tokenizer=folder)


def test_a_head_that_was_never_trained_is_noticed(tmp_path):
    folder = save(tmp_path, BertForMaskedLM)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline("text-classification", model=folder)
    assert any("never trained (bert.pooler" in str(one.message) for one in caught)


def test_a_tokenizer_of_another_model_is_noticed(tmp_path):
    folder = save(tmp_path, vocab_size=50)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline("text-classification", model=folder)
    assert any("204 tokens, the model has embeddings for 50" in str(one.message) for one in caught)


def test_a_processor_that_the_task_does_not_use_is_noticed(folder):
    with pytest.warns(Notice, match="does not use a image_processor"):
        pipeline("text-classification", model=folder, image_processor=object())


# -- keywords --------------------------------------------------------------------------------------


def test_keywords_of_calls_can_be_given_once(folder):
    pipe = pipeline(
        "text-classification", model=folder, top_k=None, batch_size=2, max_length=8, truncation=True
    )
    assert [len(answer) for answer in pipe([words(30), "w1", "w2"])] == [3, 3, 3]
    assert pipe.prepare([words(30)])[0].length == 8


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("topk", "top_k"), ("return_all_score", "return_all_scores"), ("batchsize", "batch_size")],
)
def test_an_unknown_keyword_is_refused_with_a_suggestion_before_anything_is_loaded(
    folder, wrong, near, monkeypatch
):
    monkeypatch.setattr("formers.auto.AutoModelForSequenceClassification.from_pretrained", None)
    with pytest.raises(TypeError, match=f"{wrong!r}; did you mean {near!r}"):
        pipeline("text-classification", model=folder, **{wrong: 1})


def test_older_and_newer_spellings_are_one(folder):
    for spelling in (
        {"dtype": "float64"},
        {"torch_dtype": torch.float64},
        {"model_kwargs": {"dtype": "float64"}},
    ):
        pipe = pipeline("text-classification", model=folder, **spelling)
        assert pipe.dtype is pipe.torch_dtype is torch.float64
    with pytest.raises(ValueError, match="contradict"):
        pipeline("text-classification", model=folder, dtype="float64", torch_dtype="float32")
    with pytest.raises(ValueError, match="contradict"):
        pipeline("text-classification", model=folder, token="a", use_auth_token="b")
    assert pipeline("text-classification", model=folder, use_auth_token="a", local_files_only=True)("w1")


def test_model_keywords_reach_the_model_and_are_not_changed(folder):
    given = {"attn_implementation": "eager", "dtype": "float64"}
    pipe = pipeline("text-classification", model=folder, model_kwargs=given)
    assert pipe.model.config.attn_implementation == "eager"
    assert given == {"attn_implementation": "eager", "dtype": "float64"}


@pytest.mark.parametrize("framework", ["tf", "flax"])
def test_a_framework_that_is_gone_is_refused(folder, framework):
    with pytest.raises(ValueError, match="run on PyTorch"):
        pipeline("text-classification", model=folder, framework=framework)
    assert pipeline("text-classification", model=folder, framework="pt")("w1")


def test_remote_code_is_noticed(folder):
    with pytest.warns(Notice, match="no code is loaded"):
        pipeline("text-classification", model=folder, trust_remote_code=True)


# -- devices and number formats --------------------------------------------------------------------


@pytest.mark.parametrize("device", [None, -1, "cpu", torch.device("cpu")])
def test_the_cpu_by_all_its_names(folder, device, monkeypatch):
    monkeypatch.setattr("formers.core.devices.infer_device", lambda: "cpu")
    assert pipeline("text-classification", model=folder, device=device).device == torch.device("cpu")


@pytest.mark.parametrize("device", [0, "cuda:0"])
def test_a_device_that_is_not_there_is_an_error(folder, device, monkeypatch):
    monkeypatch.setattr("formers.core.devices.infer_device", lambda: "cpu")
    with pytest.raises(ValueError, match="found: cpu"):
        pipeline("text-classification", model=folder, device=device)


def test_device_and_device_map_contradict_each_other(folder):
    with pytest.raises(ValueError, match="leave one out"):
        pipeline("text-classification", model=folder, device="cpu", device_map="auto")


def test_half_precision_on_a_cpu_that_is_slow_at_it_becomes_float32(tmp_path, monkeypatch):
    monkeypatch.setattr("formers.core.devices.infer_device", lambda: "cpu")
    monkeypatch.setattr("formers.core.devices.fast_on_cpu", lambda dtype: dtype == torch.float32)
    folder = save(tmp_path, dtype=torch.float16)
    with pytest.warns(Notice, match="stored in float16, which is slow on this CPU: loaded in float32"):
        pipe = pipeline("text-classification", model=folder, device="cpu")
    assert pipe.dtype is torch.float32
    with pytest.warns(Notice, match="slow on this CPU"):
        kept = pipeline("text-classification", model=folder, device="cpu", dtype="float16")
    assert kept.dtype is torch.float16


def test_a_dtype_casts_a_model_that_was_given(folder):
    model = BertForSequenceClassification.from_pretrained(folder)
    assert pipeline(model=model, tokenizer=folder, dtype=torch.float64).dtype is torch.float64


# -- saving ----------------------------------------------------------------------------------------


def test_a_saved_pipeline_answers_as_before(folder, tmp_path):
    from formers.evaluation.calibration import Calibration

    pipe = pipeline("text-classification", model=folder, calibration=Calibration(1.7))
    pipe.save_pretrained(tmp_path / "saved")
    again = pipeline(model=str(tmp_path / "saved"))
    assert again.calibration.temperature == 1.7
    assert again(["w1", "w2 w3"]) == pipe(["w1", "w2 w3"])
    assert again.revision == pipe.revision


def test_saving_over_a_file_is_refused(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file"):
        pipeline(model=folder).save_pretrained(tmp_path / "file")


def test_pushing_uploads_the_saved_folder(folder, tmp_path, monkeypatch):
    from pathlib import Path

    sent = {}

    def push_folder(path, repo_id, **options):
        sent.update(names={file.name for file in Path(path).iterdir()}, repo=repo_id, **options)
        return "address"

    monkeypatch.setattr("formers.hub.pushable.push_folder", push_folder)
    assert pipeline(model=folder).push_to_hub("me/router", private=True) == "address"
    assert sent["repo"] == "me/router"
    assert sent["private"] is True
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= sent["names"]
    sent.clear()
    pipeline(model=folder).save_pretrained(tmp_path / "router", push_to_hub=True)
    assert sent["repo"] == "router"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= sent["names"]


# -- pipelines of one's own ------------------------------------------------------------------------


class WordCount(Pipeline):
    """The custom pipeline of the ecosystem's guides, in small."""

    def _sanitize_parameters(self, maybe_arg=None, scale=None):
        return {"maybe_arg": maybe_arg} if maybe_arg else {}, {}, {"scale": scale} if scale else {}

    def preprocess(self, inputs, maybe_arg=2):
        return {**self.tokenizer(inputs, return_tensors=self.framework), "extra": maybe_arg}

    def _forward(self, model_inputs):
        extra = model_inputs.pop("extra")
        assert not torch.is_grad_enabled()
        return {"logits": self.model(**model_inputs).logits, "extra": extra}

    def postprocess(self, model_outputs, scale=1.0):
        return {
            "score": model_outputs["logits"].softmax(-1).max().item() * scale,
            "extra": model_outputs["extra"],
        }


def test_a_pipeline_class_of_ones_own_runs_through_its_hooks(folder):
    pipe = pipeline("text-classification", model=folder, pipeline_class=WordCount)
    assert type(pipe) is WordCount
    answer = pipe("w1 w2", maybe_arg=5)
    assert answer["extra"] == 5
    assert pipe("w1 w2", scale=2.0)["score"] == pytest.approx(2 * answer["score"])
    assert pipe(["w1 w2", "w3"])[0]["score"] == pytest.approx(answer["score"])
    assert len(list(pipe(text for text in ["w1", "w2"]))) == 2
    with pytest.raises(TypeError, match="did you mean 'scale'"):
        pipe("w1", scal=3)


def test_hooks_run_side_by_side_with_a_batch_size(folder):
    pipe = pipeline("text-classification", model=folder, pipeline_class=WordCount)
    texts = [words(n) for n in (1, 5, 3, 8, 2)]
    alone = [pipe(text)["score"] for text in texts]
    assert [a["score"] for a in pipe(texts, batch_size=2)] == pytest.approx(alone, abs=1e-5)


def test_a_task_of_ones_own_is_registered_and_made(folder, registered):
    registered.register_pipeline(
        "count-words",
        pipeline_class=WordCount,
        pt_model=formers.AutoModelForSequenceClassification,
        type="text",
    )
    assert "count-words" in formers.pipelines.get_supported_tasks()
    pipe = pipeline("count-words", model=folder, scale=3.0)
    assert pipe.task == "count-words"
    assert pipe("w1")["score"] > 1
    with pytest.warns(Notice, match="registered again"):
        registered.register_pipeline("count-words", pipeline_class=WordCount)


def test_a_default_is_read_in_its_older_and_newer_spelling(registered):
    for given in (
        ("me/m", "abc"),
        {"pt": ("me/m", "abc")},
        {"model": ("me/m", "abc")},
        {"model": {"pt": ("me/m", "abc")}},
    ):
        registered.register_pipeline(f"task-{len(str(given))}", pipeline_class=WordCount, default=given)
        assert registered.get(f"task-{len(str(given))}").default == ("me/m", "abc")


def test_a_later_task_adds_a_record(registered):
    registry.register("yes-or-no", pipeline_class=TextClassificationPipeline, aliases=("bool",))
    assert PIPELINE_REGISTRY.check_task("bool")[0] == "yes-or-no"


class Percent(TextClassificationPipeline):
    """A subclass that changes one hook."""

    def postprocess(self, model_outputs, **kwargs):
        answer = super().postprocess(model_outputs, **kwargs)
        answer["score"] *= 100
        return answer


def test_an_overridden_hook_of_text_classification_is_honoured(folder):
    plain, percent = pipeline(model=folder), pipeline(model=folder, pipeline_class=Percent)
    texts = ["w1 w2", words(9), ("w1", "w2")]
    expected = [100 * a["score"] for a in plain(texts)]
    assert [a["score"] for a in percent(texts)] == pytest.approx(expected, abs=1e-3)
    assert [a["score"] for a in percent(texts, batch_size=3)] == pytest.approx(expected, abs=1e-3)
    assert percent("w1 w2")[0]["score"] == pytest.approx(expected[0], abs=1e-3)
    long = [words(40), "w1", words(30)]
    whole = [100 * a["score"] for a in plain(long, long_text="window")]
    assert [a["score"] for a in percent(long, long_text="window", batch_size=3)] == pytest.approx(
        whole, abs=1e-3
    )


def test_the_classes_are_made_directly_too(folder):
    model, tokenizer = TinyClassifier(), tiny_tokenizer()
    assert TextClassificationPipeline(model=model, tokenizer=tokenizer)("w1")
    assert (
        TextClassificationPipeline(model, tokenizer, task="sentiment-analysis").task == "sentiment-analysis"
    )
    with pytest.raises(TypeError, match="takes a loaded model"):
        TextClassificationPipeline(model=folder)
    with pytest.raises(ValueError, match="needs a tokenizer"):
        TextClassificationPipeline(model=model)


def test_the_scikit_learn_spelling(folder):
    pipe = pipeline(model=folder)
    assert pipe.predict(["w1", "w2"]) == pipe.transform(["w1", "w2"]) == pipe(["w1", "w2"])


def test_tensors_are_put_on_the_device(folder):
    pipe = pipeline(model=folder)
    moved = pipe.ensure_tensor_on_device(a=torch.ones(2), b=[torch.ones(1)], c="text")
    assert moved["a"].device == pipe.device
    assert moved["c"] == "text"
    with pipe.device_placement():
        assert torch.ones(1).device.type == "cpu"


def test_check_model_type_notices_a_strange_class(folder):
    pipe = pipeline(model=folder)
    pipe.check_model_type(["BertForSequenceClassification"])
    with pytest.warns(Notice, match="BertForSequenceClassification is not a model for"):
        pipe.check_model_type({"gpt2": "GPT2ForSequenceClassification"})
