"""Sentence embeddings as a folder declares them, in any batch; and the states of tokens alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import formers
import tiny
from formers.core.notices import Notice
from formers.pipelines.text.embedding import Dense, Recipe, activation_of

TEXTS = ["my card was charged again", "late", "the parcel is lost please help", "", "login error", "refund"]
POOLS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def parts(folder):
    return formers.AutoModel.from_pretrained(folder).eval(), formers.AutoTokenizer.from_pretrained(folder)


def made(parts, **recipe):
    return formers.SentenceEmbeddingPipeline(*parts, recipe=Recipe(**recipe), device="cpu")


def states(parts, text, **options):
    """Each text by itself, so that there is no padding: [T, E]."""
    model, tokenizer = parts
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt", **options)).last_hidden_state[0].numpy()


def by_hand(pool, rows, start=0):
    places = np.arange(1, len(rows) + 1)
    rows, places = rows[start:], places[start:]
    return {
        "cls": rows[0],
        "max": rows.max(0),
        "mean": rows.mean(0),
        "mean_sqrt_len_tokens": rows.sum(0) / len(rows) ** 0.5,
        "weightedmean": (rows * places[:, None]).sum(0) / places.sum(),
        "lasttoken": rows[-1],
    }[pool]


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_reads_the_real_tokens_of_every_text_of_a_batch(parts, pool):
    found = made(parts, pools=(pool,)).encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [by_hand(pool, states(parts, text)) for text in TEXTS], atol=1e-5)


def test_several_pools_are_laid_side_by_side(parts):
    pipe = made(parts, pools=("max", "mean"))
    found = pipe("late")
    assert pipe.width == 64 == len(found)
    rows = states(parts, "late")
    np.testing.assert_allclose(found, [*rows.max(0), *rows.mean(0)], atol=1e-5)


def test_a_model_that_is_watched_gives_the_same_vectors(parts):
    pipe = made(parts)
    expected = pipe.encode(TEXTS)
    seen = []
    handle = parts[0].register_forward_hook(lambda *_: seen.append(1))
    try:
        np.testing.assert_allclose(pipe.encode(TEXTS), expected, atol=1e-5)
    finally:
        handle.remove()
    assert seen


def test_a_head_is_left_out_and_a_model_from_elsewhere_is_called(parts):
    expected = made(parts).encode(TEXTS)
    headed = formers.BertForMaskedLM(parts[0].config)
    headed.base_model.load_state_dict(parts[0].state_dict(), strict=False)
    np.testing.assert_allclose(made((headed, parts[1])).encode(TEXTS), expected, atol=1e-5)

    class Elsewhere(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.config = parts[0], parts[0].config

        def forward(self, input_ids, attention_mask):
            return (self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state,)

    np.testing.assert_allclose(made((Elsewhere(), parts[1])).encode(TEXTS), expected, atol=1e-5)


def test_prompts_stand_before_texts_and_may_be_left_out_of_the_pool(parts):
    prompts = {"query": "please help ", "passage": "the "}
    pipe = made(parts, prompts=prompts, default_prompt_name="passage")
    for given, begin in (({}, "the "), ({"prompt_name": "query"}, "please help "), ({"prompt": ""}, "")):
        expected = by_hand("mean", states(parts, f"{begin}late"))
        np.testing.assert_allclose(pipe("late", **given), expected, atol=1e-5)
    with pytest.raises(ValueError, match="no prompt 'querry'.*did you mean 'query'"):
        pipe("late", prompt_name="querry")
    for pool in POOLS:
        bare = made(parts, prompts=prompts, include_prompt=False, pools=(pool,))
        found = bare.encode(["late", "lost parcel"], prompt_name="query")
        for text, vector in zip(["late", "lost parcel"], found, strict=True):
            expected = by_hand(pool, states(parts, f"please help {text}"), start=3)
            np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_prepared_texts_with_different_prompts_share_a_batch(parts):
    pipe = made(parts, prompts={"query": "please help "}, include_prompt=False)
    prepared = pipe.prepare(["late"], prompt_name="query") + pipe.prepare(["late parcel"])
    found = pipe.run(prepared, normalize=True)
    for one, expected in zip(
        found, [states(parts, "please help late")[3:], states(parts, "late parcel")], strict=True
    ):
        mean = expected.mean(0)
        np.testing.assert_allclose(one, mean / np.linalg.norm(mean), atol=1e-5)


def test_vectors_are_cut_and_get_length_one(parts):
    pipe = made(parts, normalize=True)
    whole = pipe.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    bare = pipe.encode(TEXTS, normalize=False)
    np.testing.assert_allclose(bare / np.linalg.norm(bare, axis=1, keepdims=True), whole, atol=1e-6)
    cut = pipe.encode(TEXTS, truncate_dim=5)
    np.testing.assert_allclose(
        cut, bare[:, :5] / np.linalg.norm(bare[:, :5], axis=1, keepdims=True), atol=1e-6
    )
    with pytest.raises(ValueError, match="dimensions=33, but the model's vectors have 32 numbers"):
        pipe("late", dimensions=33)


def test_windows_of_a_long_text_are_averaged_and_no_text_has_no_vector(parts):
    pipe = made(parts, max_length=6)
    text = "my card was charged again with the refund"
    windows = [" ".join(text.split()[i : i + 4]) for i in (0, 4)]
    expected = np.mean([pipe(window) for window in windows], axis=0)
    np.testing.assert_allclose(pipe(text, long_text="window", stride=0), expected, atol=1e-5)
    np.testing.assert_allclose(pipe(text, truncation=True), pipe(windows[0]), atol=1e-6)
    assert pipe.encode([]).shape == (0, 32)


def test_a_declared_folder_is_read_and_written_alike(parts, folder, tmp_path):
    torch.manual_seed(1)
    steps = torch.nn.Sequential(Dense(64, 8, activation_function="torch.nn.modules.activation.GELU"))
    recipe = Recipe(
        pools=("mean", "lasttoken"),
        steps=steps,
        normalize=True,
        prompts={"query": "the "},
        max_length=9,
        lower=True,
        similarity_fn_name="dot",
        width=32,
    )
    pipe = formers.SentenceEmbeddingPipeline(*parts, recipe=recipe)
    pipe.save_pretrained(tmp_path)
    names = [
        entry["type"].rpartition(".")[2] for entry in json.loads((tmp_path / "modules.json").read_text())
    ]
    assert names == ["Transformer", "Pooling", "Dense", "Normalize"]
    again = formers.pipeline("sentence-embeddings", model=str(tmp_path))
    assert (again.width, again.max_length, again.recipe.pools) == (8, 9, ("mean", "lasttoken"))
    expected = pipe.encode(TEXTS, prompt_name="query")
    np.testing.assert_allclose(again.encode(TEXTS, prompt_name="query"), expected, atol=1e-6)
    rows = states(parts, "the late")
    with torch.no_grad():
        projected = steps(torch.tensor([*rows.mean(0), *rows[-1]]))
    np.testing.assert_allclose(again("the LATE"), projected / projected.norm(), atol=1e-5)
    np.testing.assert_allclose(again.similarity(expected, expected[0]), expected @ expected[:1].T, atol=1e-5)


def test_the_model_may_lie_in_a_folder_inside_and_be_the_encoder_of_a_t5(folder, tmp_path):
    inside, pooling, projection = (tmp_path / name for name in ("0_Transformer", "1_Pooling", "2_Dense"))
    for path in (inside, pooling, projection):
        path.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (inside / name).write_bytes((folder / name).read_bytes())
    torch.manual_seed(2)
    config = formers.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    model = formers.T5EncoderModel(config).eval()
    model.save_pretrained(inside)
    (inside / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    (pooling / "config.json").write_text('{"word_embedding_dimension": 16, "pooling_mode_mean_tokens": true}')
    identity = "torch.nn.modules.linear.Identity"
    dense = {"in_features": 16, "out_features": 4, "bias": False, "activation_function": identity}
    (projection / "config.json").write_text(json.dumps(dense))
    weight = torch.randn(4, 16)
    torch.save({"linear.weight": weight}, projection / "pytorch_model.bin")
    places = [
        ("Transformer", inside.name), ("Pooling", pooling.name), ("Dense", projection.name), ("Normalize", "")
    ]  # fmt: skip
    entries = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in places]
    (tmp_path / "modules.json").write_text(json.dumps(entries))
    pipe = formers.pipeline("sentence-embeddings", model=str(tmp_path), device="cpu")
    assert (type(pipe.model).__name__, pipe.width, pipe.max_length) == ("T5EncoderModel", 4, 7)
    rows = states((model, pipe.tokenizer), TEXTS[0], return_token_type_ids=False)
    vector = torch.tensor(rows.mean(0)) @ weight.T
    np.testing.assert_allclose(pipe(TEXTS[0]), vector / vector.norm(), atol=1e-5)
    pipe.save_pretrained(tmp_path / "again")
    again = formers.pipeline("sentence-embeddings", model=str(tmp_path / "again"), device="cpu")
    np.testing.assert_allclose(again(TEXTS[0]), pipe(TEXTS[0]), atol=1e-6)


def test_a_folder_that_declares_nothing_gives_the_mean_and_says_so(folder, parts):
    with pytest.warns(Notice, match="no modules.json"):
        pipe = formers.pipeline("sentence-embeddings", model=str(folder))
    np.testing.assert_allclose(pipe("late"), by_hand("mean", states(parts, "late")), atol=1e-5)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "2_CNN", "type": "sentence_transformers.models.CNN"}, "'CNN', which is not known"),
        ({"path": "", "type": "custom_st.Transformer"}, "'custom_st.Transformer', which is not known"),
        ({"path": "2_Dense", "type": "sentence_transformers.models.Dense"}, "is no Dense"),
    ],
)
def test_a_module_that_is_not_known_is_refused_by_name(tmp_path, entry, message):
    (tmp_path / "modules.json").write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match=message):
        Recipe.of(formers.hub.Source.of(tmp_path))


def test_only_activations_of_torch_are_made():
    assert isinstance(activation_of("torch.nn.modules.linear.Identity"), torch.nn.Identity)
    for name in ("os.system", "torch.nn.modules.activation.warnings", "torch.nn.Linear"):
        with pytest.raises(ValueError, match="is no activation of torch.nn"):
            activation_of(name)


# -- the states of every token ---------------------------------------------------------------------


def test_features_are_nested_lists_of_each_text_in_its_own_length(folder, parts):
    pipe = formers.pipeline("feature-extraction", model=str(folder))
    assert type(pipe) is formers.FeatureExtractionPipeline
    for text, found in zip(TEXTS, pipe(TEXTS), strict=True):
        np.testing.assert_allclose(found, [states(parts, text)], atol=1e-5)
    tensor = pipe(TEXTS[0], return_tensors=True)
    assert tensor.shape == (1, 7, 32)
    cut = pipe(TEXTS[0], tokenize_kwargs={"truncation": True, "max_length": 4})
    np.testing.assert_allclose(cut, [states(parts, TEXTS[0], truncation=True, max_length=4)], atol=1e-5)
    padded = pipe(TEXTS[0], return_tensors=True, padding="max_length", max_length=12)
    assert padded.shape == (1, 12, 32)
    assert not padded[0, 7:].any()
    with pytest.raises(ValueError, match="truncation is given twice"):
        pipe("late", truncation=True, tokenize_kwargs={"truncation": True})
    with pytest.raises(TypeError, match="did you mean 'truncation'"):
        pipe("late", tokenize_kwargs={"truncate": True})


def test_features_of_windows_are_rows(folder, parts):
    pipe = formers.pipeline("feature-extraction", model=str(folder), return_tensors=True)
    found = pipe([TEXTS[0], "late"], long_text="window", max_length=6, stride=0)
    assert [one.shape for one in found] == [(2, 6, 32), (1, 3, 32)]
    np.testing.assert_allclose(found[0][1, :3], states(parts, "again"), atol=1e-5)
    assert not found[0][1, 3:].any()


def test_features_of_a_model_with_a_head_are_its_first_output(folder, parts):
    model = formers.BertForSequenceClassification(parts[0].config).eval()
    found = formers.FeatureExtractionPipeline(model, parts[1])(["late", "lost"])
    assert np.array(found).shape == (2, 1, 2)
