"""Checkpoints of other times and other heads, saved configs, resized vocabularies, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from tests.parity.seq2seq_shapes import SHAPES, inputs_of, write_checkpoint

T5, T5_APART = list(SHAPES["t5"])[:2]
BART, BART_SCALED = list(SHAPES["bart"])[:2]


def _close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def _rewrite(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({name: t.clone().contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})


def _logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs_of(model))[0]


# -- other times ---------------------------------------------------------------------------------------


def test_every_copy_of_the_table_may_lie_in_the_files(tmp_path: Path) -> None:
    theirs = write_checkpoint("t5", T5, "T5ForConditionalGeneration", tmp_path)
    copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    _rewrite(
        tmp_path, lambda t: {**t, **dict.fromkeys(copies, t["shared.weight"]), unread: torch.zeros(8, 4)}
    )
    ours = formers.T5ForConditionalGeneration.from_pretrained(tmp_path)
    assert ours.lm_head.weight is ours.shared.weight is ours.encoder.embed_tokens.weight
    assert ours.load_report.ignored == [unread]
    _close(_logits(theirs), _logits(ours))


def test_one_copy_of_the_table_is_enough_whichever_it_is(tmp_path: Path) -> None:
    theirs = write_checkpoint("t5", T5, "T5ForConditionalGeneration", tmp_path)
    for name in ("encoder.embed_tokens.weight", "lm_head.weight"):
        held = "shared.weight" if name.startswith("encoder") else "encoder.embed_tokens.weight"
        _rewrite(
            tmp_path, lambda t, held=held, name=name: {name if k == held else k: v for k, v in t.items()}
        )
        ours = formers.T5ForConditionalGeneration.from_pretrained(tmp_path)
        assert ours.lm_head.weight is ours.shared.weight is ours.decoder.embed_tokens.weight
        _close(_logits(theirs), _logits(ours))


def test_a_file_without_the_prefix_and_with_version_marks_loads(tmp_path: Path) -> None:
    theirs = write_checkpoint("bart", BART, "BartModel", tmp_path)
    marks = {"encoder.version": torch.tensor([3.0]), "decoder.version": torch.tensor([3.0])}
    _rewrite(tmp_path, lambda t: {**t, **marks})
    ours = formers.BartForConditionalGeneration.from_pretrained(tmp_path)
    assert not ours.final_logits_bias.any()
    assert "final_logits_bias" in ours.state_dict()
    assert sorted(ours.load_report.ignored) == sorted(marks)
    with torch.no_grad():
        found = ours.model(**inputs_of(theirs)).last_hidden_state
    _close(_logits(theirs), found)


def test_an_output_table_apart_stays_apart(tmp_path: Path) -> None:
    theirs = write_checkpoint("t5", T5_APART, "T5ForConditionalGeneration", tmp_path / "a")
    # what a newer writer makes of it: declared tied, not scaled
    assert '"tie_word_embeddings": true' in (tmp_path / "a" / "config.json").read_text()
    ours = formers.T5ForConditionalGeneration.from_pretrained(tmp_path / "a")
    assert ours.lm_head.weight is not ours.shared.weight
    ours.save_pretrained(tmp_path / "b")
    again = formers.T5ForConditionalGeneration.from_pretrained(tmp_path / "b")
    _close(_logits(theirs), _logits(again))
    # what the older writers wrote: declared apart, and nothing about the scale
    config = transformers.T5Config.from_pretrained(tmp_path / "b").to_dict()
    for key in ("scale_decoder_outputs", "dense_act_fn", "is_gated_act"):
        config.pop(key)
    older = formers.T5Config.from_dict({**config, "tie_word_embeddings": False})
    assert (older.scale_decoder_outputs, older.dense_act_fn, older.is_gated_act) == (False, "gelu_new", True)
    _close(
        _logits(theirs),
        _logits(formers.T5ForConditionalGeneration.from_pretrained(tmp_path / "b", config=older)),
    )


def test_tables_that_the_config_keeps_apart_stay_apart(tmp_path: Path) -> None:
    theirs = write_checkpoint("bart", BART_SCALED, "BartModel", tmp_path, tie_word_embeddings=False)
    ours = formers.BartModel.from_pretrained(tmp_path)
    assert ours.encoder.embed_tokens.weight is not ours.shared.weight
    _close(_logits(theirs), _logits(ours))


# -- other heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("T5ForConditionalGeneration", "T5Model", "encoder"),
        ("T5ForConditionalGeneration", "T5EncoderModel", "encoder"),
        ("T5ForSequenceClassification", "T5EncoderModel", "encoder"),
        ("T5ForSequenceClassification", "T5ForConditionalGeneration", "encoder"),
        ("BartForConditionalGeneration", "BartModel", "encoder"),
        ("BartModel", "BartForCausalLM", "decoder"),
        ("BartForConditionalGeneration", "BartForCausalLM", "decoder"),
    ],
)
def test_a_checkpoint_of_another_head_gives_its_trunk_without_a_word(
    source: str, target: str, kept: str, tmp_path: Path
) -> None:
    model_type = "t5" if source.startswith("T5") else "bart"
    write_checkpoint(model_type, next(iter(SHAPES[model_type])), source, tmp_path)
    whole = getattr(formers, source).from_pretrained(tmp_path)
    part = getattr(formers, target).from_pretrained(tmp_path)  # a notice would be an error here
    assert not part.load_report.new
    found = getattr(part, f"get_{kept}")().state_dict()
    expected = getattr(whole, f"get_{kept}")().state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("name", ["T5ForQuestionAnswering", "T5ForTokenClassification"])
def test_a_new_head_is_drawn_and_named(name: str, tmp_path: Path) -> None:
    write_checkpoint("t5", T5, "T5ForConditionalGeneration", tmp_path)
    with pytest.warns(formers.core.notices.Notice, match="initialised afresh"):
        model = getattr(formers, name).from_pretrained(tmp_path)
    head = "qa_outputs" if "Question" in name else "classifier"
    assert model.load_report.new == [f"{head}.weight", f"{head}.bias"]
    model.freeze_base()
    assert [n for n, p in model.named_parameters() if p.requires_grad] == model.load_report.new


# -- configs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "shape"), [(family, shape) for family, shapes in SHAPES.items() for shape in shapes]
)
def test_configs_say_what_the_references_say(model_type: str, shape: str, tmp_path: Path) -> None:
    theirs = transformers.AutoConfig.for_model(model_type, **SHAPES[model_type][shape])
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoConfig.from_pretrained(tmp_path)
    asked = SHAPES[model_type][shape]
    derived = ("num_labels",) if ours.sub_configs else ("num_hidden_layers", "hidden_size", "num_labels")
    for name in (*(set(asked) - set(ours.sub_configs)), *derived):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ours.sub_configs:
        assert {**getattr(ours, name).to_dict(), **asked[name]} == getattr(ours, name).to_dict(), name
    ours.save_pretrained(tmp_path)
    again = type(theirs).from_pretrained(tmp_path)
    for name in theirs.to_dict():
        if name not in ("dtype", "torch_dtype", "transformers_version", *ours.sub_configs):
            both = [getattr(one, name) for one in (again, theirs)]
            read, made = (list(one) if isinstance(one, tuple) else one for one in both)  # as JSON does
            assert read == made, name


@pytest.mark.parametrize("count", [None, 2, 3, 7])
def test_bart_has_three_labels_unless_told_otherwise(count: int | None, tmp_path: Path) -> None:
    given = {} if count is None else {"num_labels": count}
    config = formers.BartConfig(**given)
    config.save_pretrained(tmp_path)
    assert config.num_labels == (count or 3)
    assert formers.BartConfig.from_pretrained(tmp_path).num_labels == (count or 3)
    assert transformers.BartConfig.from_pretrained(tmp_path).num_labels == (count or 3)


def test_a_feed_forward_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="gated-gelu"):
        formers.T5Config(feed_forward_proj="plated-gelu")


def test_auto_classes_find_every_head(tmp_path: Path) -> None:
    config = formers.T5Config(vocab_size=11, d_model=8, d_kv=4, d_ff=8, num_heads=2, num_layers=1)
    for auto, expected in (
        (formers.AutoModel, "T5Model"),
        (formers.AutoModelForSeq2SeqLM, "T5ForConditionalGeneration"),
        (formers.AutoModelForSequenceClassification, "T5ForSequenceClassification"),
        (formers.AutoModelForTokenClassification, "T5ForTokenClassification"),
        (formers.AutoModelForQuestionAnswering, "T5ForQuestionAnswering"),
    ):
        assert type(auto.from_config(config)).__name__ == expected
    write_checkpoint("bart", BART, "BartForConditionalGeneration", tmp_path)
    assert isinstance(
        formers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path), formers.BartForConditionalGeneration
    )
    assert isinstance(formers.AutoModelForCausalLM.from_pretrained(tmp_path), formers.BartForCausalLM)


# -- vocabularies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "shape"), [("t5", T5), ("t5", T5_APART), ("bart", BART), ("bart", BART_SCALED)]
)
def test_the_vocabulary_grows_and_shrinks_in_every_place(model_type: str, shape: str, tmp_path: Path) -> None:
    name = {"t5": "T5", "bart": "Bart"}[model_type] + "ForConditionalGeneration"
    write_checkpoint(model_type, shape, name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    before, tied = _logits(ours), shape != T5_APART
    ours.resize_token_embeddings(120)
    assert ours.config.vocab_size == ours.get_output_embeddings().out_features == 120
    assert (ours.lm_head.weight is ours.get_input_embeddings().weight) == tied
    assert ours.get_encoder().embed_tokens.weight is ours.get_decoder().embed_tokens.weight
    _close(before, _logits(ours)[..., :101])
    ours.resize_token_embeddings(101)
    _close(before, _logits(ours))
    ours.resize_token_embeddings(128)
    ours.save_pretrained(tmp_path / "grown")
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "grown").eval()
    _close(_logits(theirs), _logits(ours))


def test_tables_apart_each_grow_by_themselves(tmp_path: Path) -> None:
    write_checkpoint("bart", BART, "BartModel", tmp_path, tie_word_embeddings=False)
    ours = formers.BartModel.from_pretrained(tmp_path)
    before = _logits(ours)
    ours.resize_token_embeddings(120)
    assert ours.encoder.embed_tokens.num_embeddings == ours.decoder.embed_tokens.num_embeddings == 120
    assert ours.encoder.embed_tokens.weight is not ours.shared.weight
    _close(before, _logits(ours))


# -- training ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the model is in training mode")
@pytest.mark.parametrize(
    "field", ["dropout", "attention_dropout", "activation_dropout", "classifier_dropout"]
)
def test_dropout_falls_where_the_references_falls(field: str, tmp_path: Path) -> None:
    # at a rate of one nothing is left to chance
    theirs = write_checkpoint("bart", BART, "BartForSequenceClassification", tmp_path, **{field: 1.0})
    ours = formers.BartForSequenceClassification.from_pretrained(tmp_path)
    quiet = _logits(ours)
    _close(_logits(theirs.train()), _logits(ours.train()))
    assert not torch.allclose(quiet, _logits(ours))


@pytest.mark.parametrize("field", ["encoder_layerdrop", "decoder_layerdrop"])
def test_layers_are_left_out_in_training_alone(field: str, tmp_path: Path) -> None:
    theirs = write_checkpoint("bart", BART, "BartModel", tmp_path, **{field: 1.0})
    ours = formers.BartModel.from_pretrained(tmp_path)
    _close(_logits(theirs), _logits(ours))
    _close(_logits(theirs.train()), _logits(ours.train()))


def test_gradients_can_be_asked_of_what_enters_both_stacks(tmp_path: Path) -> None:
    write_checkpoint("t5", T5, "T5Model", tmp_path)
    ours = formers.T5Model.from_pretrained(tmp_path)
    ours.requires_grad_(False)
    assert not ours(**inputs_of(ours))[0].requires_grad
    ours.enable_input_require_grads()
    assert ours(**inputs_of(ours))[0].requires_grad
    ours.disable_input_require_grads()
    assert not ours(**inputs_of(ours))[0].requires_grad


# -- refusals ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier() -> Any:
    config = formers.BartConfig(
        vocab_size=20,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
    )
    return formers.BartForSequenceClassification(config).eval()


def test_sequences_that_do_not_end_alike_are_refused(classifier: Any) -> None:
    with pytest.raises(ValueError, match="same number of end-of-sequence"):
        classifier(torch.tensor([[5, 2, 2], [5, 6, 2]]))
    with pytest.raises(ValueError, match="must contain the end-of-sequence"):
        classifier(torch.tensor([[5, 2], [5, 6]]))
    with pytest.raises(ValueError, match="input_ids of shape"):
        classifier(inputs_embeds=torch.randn(1, 3, 8), decoder_input_ids=torch.tensor([[2, 5, 6]]))


def test_unknown_and_unfit_inputs_are_refused(classifier: Any) -> None:
    ids = torch.tensor([[5, 6, 2]])
    with pytest.raises(TypeError, match="decoder_input_ids"):
        classifier(ids, decoder_inputs_ids=ids)
    with pytest.raises(TypeError, match="token_type_ids"):
        classifier(ids, token_type_ids=ids)
    with pytest.raises(ValueError, match=r"\[1, 3\].*\[1, 2\]"):
        classifier(ids, attention_mask=torch.ones(1, 2))
    with pytest.raises(ValueError, match="one entry for every token that the encoder reads"):
        classifier(ids, encoder_outputs=(torch.randn(1, 3, 8),), attention_mask=torch.ones(1, 2))


def test_a_decoder_with_nothing_to_read_says_so() -> None:
    config = formers.T5Config(vocab_size=11, d_model=8, d_kv=4, d_ff=8, num_heads=2, num_layers=1)
    model, ids = formers.T5ForConditionalGeneration(config), torch.tensor([[5, 6, 1]])
    with pytest.raises(ValueError, match="decoder_input_ids or decoder_inputs_embeds, or labels"):
        model(ids)
    with pytest.raises(ValueError, match="set model.config.decoder_start_token_id"):
        model(ids, labels=ids)
    model.config.decoder_start_token_id = 0
    assert model(ids, labels=ids).loss.isfinite()


def test_a_file_without_the_tables_of_sinusoids_loads_as_if_it_had_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = formers.PegasusConfig(**SHAPES["pegasus"]["plain"])
    whole = formers.PegasusModel(config).eval()
    tensors = {name: t for name, t in whole.state_dict().items() if "embed_positions" not in name}
    whole.save_pretrained(tmp_path, state_dict=tensors)
    found = formers.PegasusModel.from_pretrained(tmp_path)
    assert found.load_report.new == []
    expected = transformers.PegasusModel(transformers.PegasusConfig(**SHAPES["pegasus"]["plain"]))
    for half in (found.encoder, found.decoder):
        torch.testing.assert_close(half.embed_positions.weight, expected.encoder.embed_positions.weight)
        assert not half.embed_positions.weight.requires_grad


def test_one_vocabulary_of_marian_grows_and_two_are_not_grown_by_one_number() -> None:
    one, _, two = (formers.MarianMTModel(formers.MarianConfig(**v)) for v in SHAPES["marian"].values())
    one.resize_token_embeddings(110)
    assert one.config.decoder_vocab_size == one.final_logits_bias.shape[1] == 110
    with pytest.raises(ValueError, match="token tables of their own, which do not grow by one number"):
        two.resize_token_embeddings(130)


def test_ways_to_route_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r"second_expert_policy='best'.*'all' or 'sampling' or 'random'"):
        formers.NllbMoeConfig(second_expert_policy="best")
    with pytest.raises(ValueError, match="router_dtype='bfloat16'"):
        formers.NllbMoeConfig(router_dtype="bfloat16")
