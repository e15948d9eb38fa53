"""Ranking documents for a query, and how a cross-encoder's folder says what its scores are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import formers
import tiny

QUERY = "my card was charged again"
DOCUMENTS = ["refund", "the parcel is lost please help", "late", "card payment", "login error"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tiny.save_classifier(tmp_path_factory.mktemp("ranker"))
    config = formers.AutoConfig.from_pretrained(path, num_labels=1)
    torch.manual_seed(3)
    formers.BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.fixture
def pipe(folder):
    return formers.pipeline("text-ranking", model=str(folder))


def logits(pipe):
    """Every pair by itself, so that there is no padding."""
    pairs = [pipe.tokenizer(QUERY, text, return_tensors="pt") for text in DOCUMENTS]
    with torch.no_grad():
        return np.array([pipe.model(**pair).logits.item() for pair in pairs])


def test_documents_come_the_best_first_with_their_places(pipe):
    found = pipe(QUERY, DOCUMENTS)
    scores = 1 / (1 + np.exp(-logits(pipe)))
    assert [one["index"] for one in found] == np.argsort(-scores).tolist()
    np.testing.assert_allclose([one["score"] for one in found], np.sort(scores)[::-1], atol=1e-6)
    two = pipe(QUERY, DOCUMENTS, top_k=2, return_documents=True)
    assert [one["text"] for one in two] == [DOCUMENTS[one["index"]] for one in found[:2]]


def test_many_queries_and_the_cross_encoder_s_own_methods(pipe):
    given = [{"query": QUERY, "documents": DOCUMENTS}, {"query": "late", "documents": ["late"]}]
    alone = pipe(QUERY, DOCUMENTS)
    found = pipe(given)
    assert [one["index"] for one in found[0]] == [one["index"] for one in alone]
    assert len(found[1]) == 1
    assert len(list(pipe(one for one in given))) == 2
    assert [one["corpus_id"] for one in pipe.rank(QUERY, DOCUMENTS)] == [one["index"] for one in alone]
    bare = pipe.predict([(QUERY, text) for text in DOCUMENTS], function_to_apply="none")
    np.testing.assert_allclose(bare, logits(pipe), atol=1e-5)


@pytest.mark.parametrize(
    ("file", "entry"),
    [
        ("config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}),
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}),
        ("config_sentence_transformers.json", {"activation_fn": "torch.nn.modules.linear.Identity"}),
    ],
)
def test_the_folder_says_what_makes_scores(folder, tmp_path, file, entry):
    import shutil

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / file
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**held, **entry}))
    pipe = formers.pipeline("text-ranking", model=str(tmp_path))
    assert isinstance(pipe.activation, torch.nn.Identity)
    made = formers.TextRankingPipeline(pipe.model, pipe.tokenizer)
    for each in (pipe, made):
        best = each(QUERY, DOCUMENTS)[0]
        assert best["score"] == pytest.approx(logits(pipe).max(), abs=1e-5)


def test_what_is_no_query_with_documents_is_refused(pipe, tmp_path):
    for wrong in ("a text", ["a", "b"], {"query": "a"}):
        with pytest.raises(TypeError, match="must be {'query': a text"):
            pipe(wrong)
    for documents in ("one text", [], ["a", 3]):
        with pytest.raises(TypeError, match="documents that are a list of texts"):
            pipe("a query", documents)
    with pytest.raises(ValueError, match="this one has 3"):
        formers.pipeline("text-ranking", model=str(tiny.save_classifier(tmp_path)))
