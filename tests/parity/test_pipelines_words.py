"""The reference's pipelines for hidden words, labels of one's own and states give the same answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import formers
import tiny
from formers.core.notices import Notice
from formers.pipelines import PipelineException

transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-5  # float32
LABELLED = dict(enumerate(("contradiction", "neutral", "entailment")))
NLI = {"id2label": LABELLED, "label2id": {label: place for place, label in LABELLED.items()}}
SHAPES = {
    "bert": {"num_hidden_layers": 1},
    "bart": {
        **{f"{half}_{name}": size for half in ("encoder", "decoder") for name, size in (("layers", 1),)},
        **{f"{half}_{name}": 2 for half in ("encoder", "decoder") for name in ("attention_heads",)},
        **{"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "d_model": 16},
        **{"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3},
    },
}


def written(folder, model_type, auto, **fields):
    """A random checkpoint of the reference's, with the tokenizer of `tiny`."""
    tiny.save_encoder(folder)
    plain = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(2)
    sizes = {
        **{"vocab_size": plain.vocab_size, "max_position_embeddings": 32, "hidden_size": 32},
        **{"num_attention_heads": 2, "intermediate_size": 48, "initializer_range": 0.5, "init_std": 0.5},
    }
    sizes |= {"hidden_size": 16} if model_type == "bart" else {}
    config = transformers.AutoConfig.for_model(model_type, **{**sizes, **SHAPES[model_type], **fields})
    getattr(transformers, auto).from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["bert", "bart"])
def masked(request, tmp_path_factory):
    return written(tmp_path_factory.mktemp("masked"), request.param, "AutoModelForMaskedLM")


@pytest.fixture(scope="module", params=["bert", "bart"])
def inferring(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nli")
    return written(folder, request.param, "AutoModelForSequenceClassification", **NLI)


def both(task, folder, **options):
    pipes = [
        module.pipeline(task, model=folder, device="cpu", **options) for module in (formers, transformers)
    ]
    for pipe in pipes:  # a type for each segment, which bart does not read
        if pipe.model.config.model_type == "bart":
            pipe.tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return pipes


def same(ours, theirs):
    """Equal shape and words, numbers within the tolerance."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for name in theirs:
            same(ours[name], theirs[name])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=TOLERANCE)
    else:
        assert ours == theirs


MASKED = {
    "one": ("my [MASK] was charged again", {}),
    "alone": ("[MASK]", {"top_k": 2}),
    "several": ("my [MASK] was [MASK] , [MASK]", {"top_k": 3}),
    "list of one": (["the [MASK]"], {}),
    "list": (["the [MASK] is late", "[MASK]", "unknowable ümläut [MASK] 🙂", "[MASK] [MASK]"], {}),
    "a target": ("the [MASK] is late", {"targets": "parcel"}),
    "targets": (["the [MASK]", "[MASK] late"], {"targets": ["parcel", "refund", "parcel"], "top_k": 9}),
    "cut": ("the [MASK] " + "is late " * 40, {"tokenizer_kwargs": {"truncation": True}}),
    "no special tokens": ("the [MASK]", {"tokenizer_kwargs": {"add_special_tokens": False}}),
}


@pytest.mark.parametrize("form", MASKED)
def test_hidden_words_are_the_same(masked, form):
    inputs, options = MASKED[form]
    ours, theirs = both("fill-mask", masked)
    same(ours(inputs, **options), theirs(inputs, **options))


def test_a_target_that_is_no_token_is_said(masked):
    ours, theirs = both("fill-mask", masked, targets=["the"])
    same(ours("the [MASK]"), theirs("the [MASK]"))
    with pytest.warns(Notice, match=r"'late parcel' is no token of the vocabulary: 'late'"):
        found = ours("the [MASK]", targets=["late parcel"])
    assert [one["token_str"] for one in found] == ["late"]
    with pytest.warns(Notice, match="has no token"), pytest.raises(ValueError, match="holds no word"):
        ours("the [MASK]", targets=[" "])


def test_a_text_without_a_mask_is_refused_by_its_place(masked):
    pipe = formers.pipeline("fill-mask", model=masked)
    with pytest.raises(PipelineException, match=r"input 1 has no mask token \(\[MASK\]\)"):
        pipe(["the [MASK]", "the parcel"])
    with pytest.raises(PipelineException, match="tokens at its end were cut off"):
        pipe("late " * 40 + "[MASK]", truncation=True)
    with pytest.raises(ValueError, match="reads a text in one piece"):
        pipe("the [MASK]", long_text="window")


LABELS = ["parcel", "card refund", "login", "ümläut"]
INFERRED = {
    "one": ("my card was charged again", {}),
    "string of labels": ("the parcel is late", {"candidate_labels": "parcel, card refund,login"}),
    "one label": ("late", {"candidate_labels": ["parcel"]}),
    "several may be true": ("late parcel", {"multi_label": True}),
    "template": ("late parcel", {"hypothesis_template": "the {} is late"}),
    "list": (["late", "my card was charged again", "🙂 unknowable", "late"], {}),
    "list of one": (["late"], {"multi_label": True}),
    "cut": ("late parcel " * 40, {}),
}


@pytest.mark.parametrize("form", INFERRED)
@pytest.mark.filterwarnings("ignore:.*longer than the 32 tokens")
def test_labels_of_one_s_own_are_the_same(inferring, form):
    inputs, options = INFERRED[form]
    ours, theirs = both("zero-shot-classification", inferring)
    options = {"candidate_labels": LABELS, **options}
    same(ours(inputs, **options), theirs(inputs, **options))


def test_older_spellings_and_streams_of_zero_shot(inferring):
    pipe = formers.pipeline("zero-shot-classification", model=inferring, candidate_labels=LABELS)
    one = pipe("late", LABELS, multi_class=True)
    same(pipe(sequences="late", multi_label=True), one)
    same(list(pipe((text for text in ("late", "lost")), multi_label=True))[0], one)
    pipe.max_batch_tokens = 8  # a text's pairs in several passes
    same(pipe(["late", "lost"], multi_label=True)[0], one)
    with pytest.raises(ValueError, match="has no {} where the label goes"):
        pipe("late", hypothesis_template="the parcel")
    with pytest.raises(ValueError, match="there are no labels"):
        pipe("late", candidate_labels=[])


def test_a_model_that_knows_no_entailment_takes_the_last_label_and_says_so(tmp_path):
    folder = written(tmp_path, "bert", "AutoModelForSequenceClassification", num_labels=3)
    with pytest.warns(Notice, match="no label of the model's config begins with 'entail'"):
        ours, theirs = both("zero-shot-classification", folder)
    same(ours("late", candidate_labels=LABELS), theirs("late", candidate_labels=LABELS))


@pytest.mark.filterwarnings("ignore:.*were initialised afresh")
def test_states_are_the_same(masked):
    texts = ["my card was charged again", "", "late", "unknowable ümläut 🙂", "[MASK]"]
    ours, theirs = both("feature-extraction", masked)
    for one, other in zip(ours(texts), theirs(texts), strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)
    for options in ({"truncation": True}, {"tokenize_kwargs": {"truncation": True, "max_length": 4}}):
        found = [pipe("late " * 40, return_tensors=True, **options) for pipe in (ours, theirs)]
        torch.testing.assert_close(*found, atol=TOLERANCE, rtol=0)
