"""Pipelines of one's own, as the ecosystem's guide adds them: in pieces, registered, saved, loaded again."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest

import formers
import tiny
from formers.pipelines import PIPELINE_REGISTRY, ChunkPipeline, PipelineException, pipeline

OWN = '''
    """Two texts that mean the same, or not."""
    import numpy as np

    from formers import Pipeline


    def softmax(outputs):
        shifted = np.exp(outputs - np.max(outputs, axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)


    class PairPipeline(Pipeline):
        def _sanitize_parameters(self, **kwargs):
            preprocess_kwargs = {}
            if "second_text" in kwargs:
                preprocess_kwargs["second_text"] = kwargs["second_text"]
            return preprocess_kwargs, {}, {}

        def preprocess(self, text, second_text=None):
            return self.tokenizer(text, text_pair=second_text, return_tensors=self.framework)

        def _forward(self, model_inputs):
            return self.model(**model_inputs)

        def postprocess(self, model_outputs):
            logits = model_outputs.logits[0].numpy()
            probabilities = softmax(logits)
            best = np.argmax(probabilities)
            label = self.model.config.id2label[best]
            return {"label": label, "score": probabilities[best].item(), "logits": logits.tolist()}
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny.save_classifier(tmp_path_factory.mktemp("classifier")))


@pytest.fixture
def registered():
    """Whatever a test registers is forgotten afterwards."""
    tasks = dict(PIPELINE_REGISTRY._tasks)
    yield PIPELINE_REGISTRY
    PIPELINE_REGISTRY._tasks = tasks


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The class, from a file of its own."""
    (tmp_path / "pair_pipeline.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("pair_pipeline").PairPipeline
    del sys.modules["pair_pipeline"]


@pytest.mark.parametrize("order", ["of version 5", "of version 4", "by name"])
def test_a_pipeline_of_the_guide_is_registered_saved_and_found(folder, own, registered, tmp_path, order):
    auto, default = formers.AutoModelForSequenceClassification, {"model": (folder, None)}
    given = {"of version 5": (default, "text"), "of version 4": (None, {"pt": default["model"]}, "text")}
    if order == "by name":
        registered.register_pipeline("pairs", pipeline_class=own, pt_model=auto, default=default, type="text")
    else:
        registered.register_pipeline("pairs", own, auto, *given[order])
    with pytest.warns(formers.core.notices.Notice, match="no model was named for 'pairs'"):
        pipe = pipeline("pairs")
    answer = pipe("late parcel", second_text="lost card")
    usual = pipeline("text-classification", model=folder)
    expected = usual({"text": "late parcel", "text_pair": "lost card"})
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-6)

    saved = tmp_path / "saved"
    pipe.save_pretrained(saved)
    assert (saved / "pair_pipeline.py").read_text() == textwrap.dedent(OWN)
    said = formers.AutoConfig.from_pretrained(saved).custom_pipelines["pairs"]
    assert said["impl"] == "pair_pipeline.PairPipeline"
    assert said["pt"] == ["AutoModelForSequenceClassification"]
    again = pipeline(model=str(saved))
    assert type(again) is own
    assert again("late parcel", second_text="lost card") == answer
    del registered._tasks["pairs"]
    with pytest.raises(ValueError, match=r"pair_pipeline.PairPipeline, and no code .*pipeline_class="):
        pipeline(model=str(saved))
    assert type(pipeline("pairs", model=str(saved), pipeline_class=own)) is own


class Sentences(ChunkPipeline):
    """Every sentence of a text by itself; the answer is the best of their scores."""

    def _sanitize_parameters(self, marks=None):
        return {} if marks is None else {"marks": marks}, {}, {}

    def preprocess(self, inputs, marks="."):
        parts = inputs.split(marks)
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            yield {"is_last": last, "part": part, **self.tokenizer(part, return_tensors="pt")}

    def _forward(self, model_inputs):
        kept = {name: model_inputs.pop(name) for name in ("is_last", "part")}
        rows = len(model_inputs["input_ids"])
        seen.append(rows)
        return {"scores": self.model(**model_inputs).logits.softmax(-1), **kept}

    def postprocess(self, model_outputs):
        return {one["part"]: one["scores"].max().item() for one in model_outputs}


seen: list[int] = []


def test_the_pieces_of_a_chunk_pipeline_run_side_by_side(folder):
    seen.clear()
    pipe = pipeline("text-classification", model=folder, pipeline_class=Sentences)
    texts = ["late parcel.my card.refund", "login", "crash error.lost"]
    alone = [pipe(text) for text in texts]
    assert [list(one) for one in alone] == [text.split(".") for text in texts]
    assert seen == [1] * 6
    for size in (None, 4, 2):
        seen.clear()
        found = pipe(texts, batch_size=size)
        assert len(list(pipe(text for text in texts))) == 3
        for one, other in zip(found, alone, strict=True):
            assert one == pytest.approx(other, abs=1e-6)
        assert max(seen) == (size or 1)
    assert list(pipe("late-lost", marks="-")) == ["late", "lost"]


def test_an_exception_of_a_pipeline_keeps_its_task_and_can_be_sent():
    import pickle

    error = pickle.loads(pickle.dumps(PipelineException("fill-mask", "me/model", "no mask")))
    assert (error.task, error.model, str(error)) == ("fill-mask", "me/model", "no mask")
