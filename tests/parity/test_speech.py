"""Whisper beside the reference: dropouts, positions, encoders that ran before, checkpoints of other heads."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.seq2seq_shapes import SHAPES, decoder_batch, inputs_of, labels_of, write_checkpoint

PLAIN, MIXED = SHAPES["whisper"]
HEAD = {"layer_weights", "projector", "classifier"}


def _pair(name: str, folder: Path, shape: str = PLAIN, **values: Any) -> tuple[Any, Any]:
    theirs = write_checkpoint("whisper", shape, f"Whisper{name}", folder, **values)
    return theirs, getattr(formers, f"Whisper{name}").from_pretrained(folder)


def _close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def _first(model: Any, **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**{**inputs_of(model), **more})[0]


@pytest.mark.parametrize(
    "field",
    ["dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop"],
)
def test_what_is_dropped_in_training_is_what_the_reference_drops(field: str, tmp_path: Path) -> None:
    # at a rate of one nothing is left to chance
    theirs, ours = _pair("Model", tmp_path, **{field: 1.0})
    _close(_first(theirs), _first(ours))
    _close(_first(theirs.train()), _first(ours.train()))
    assert not torch.allclose(_first(ours), _first(ours.eval()))


@pytest.mark.parametrize(
    "values",
    [
        {"mask_time_prob": 1.0, "mask_time_length": 20},
        {"mask_time_prob": 0.0, "mask_feature_prob": 1.0, "mask_feature_length": 8},
    ],
    ids=["all frames", "all bins"],
)
def test_what_training_silences_is_what_the_reference_silences(
    values: dict[str, Any], tmp_path: Path
) -> None:
    # one span as long as the axis: nothing is left to chance
    theirs, ours = _pair("ForConditionalGeneration", tmp_path, apply_spec_augment=True, **values)
    given = {**inputs_of(ours), **labels_of(ours)}
    theirs.train(), ours.train()
    with torch.no_grad():
        found = ours(**given)
        expected = theirs(**copy.deepcopy(given))  # which writes into its input
    _close(expected.loss, found.loss)
    _close(expected.encoder_last_hidden_state, found.encoder_last_hidden_state)
    assert given["input_features"].all()


def test_the_decoders_tokens_can_be_told_where_they_stand(tmp_path: Path) -> None:
    theirs, ours = _pair("ForConditionalGeneration", tmp_path)
    places = {"decoder_position_ids": torch.arange(5, 11)[None].expand(4, -1)}
    _close(_first(theirs, **places), _first(ours, **places))
    assert not torch.allclose(_first(ours), _first(ours, **places))


def test_labels_alone_are_enough_to_train(tmp_path: Path) -> None:
    theirs, ours = _pair("ForConditionalGeneration", tmp_path)
    sounds, labels = {"input_features": inputs_of(ours)["input_features"]}, labels_of(ours)["labels"]
    with torch.no_grad():
        expected, found = theirs(**sounds, labels=labels), ours(**sounds, labels=labels)
        _close(expected.loss, found.loss)
        _close(expected.logits, found.logits)
        by_place = ours(sounds["input_features"], None, None, None, None, None, None, None, labels)
    _close(found.loss, by_place.loss)


@pytest.mark.parametrize("shape", [PLAIN, MIXED])
def test_sounds_that_were_encoded_before_are_classified(shape: str, tmp_path: Path) -> None:
    theirs, ours = _pair("ForAudioClassification", tmp_path, shape)
    sounds = inputs_of(ours)["input_features"]
    with torch.no_grad():
        encoded = ours.get_encoder()(sounds, output_hidden_states=True)
        expected = theirs(sounds).logits
        _close(expected, ours(encoder_outputs=encoded).logits)
        _close(expected, ours(encoder_outputs=(encoded[0], encoded.hidden_states)).logits)
        if shape == MIXED:
            with pytest.raises(ValueError, match="output_hidden_states=True"):
                ours(encoder_outputs=(encoded[0],))


def test_a_decoder_alone_reads_what_an_encoder_returned(tmp_path: Path) -> None:
    theirs, ours = _pair("ForCausalLM", tmp_path)
    ids, states = decoder_batch()["decoder_input_ids"], torch.randn(4, 10, 32)
    with torch.no_grad():
        expected = theirs(ids, encoder_outputs=(states,)).logits
        for given in ({"encoder_outputs": (states,)}, {"encoder_hidden_states": states}):
            _close(expected, ours(ids, **given).logits)
        past, steps = None, []
        for at in range(ids.shape[1]):
            out = ours(ids[:, at : at + 1], encoder_outputs=(states,), past_key_values=past, use_cache=True)
            past = out.past_key_values
            steps.append(out.logits)
    _close(expected, torch.cat(steps, dim=1))
    with pytest.raises(ValueError, match="give one of"):
        ours(ids, encoder_outputs=(states,), encoder_hidden_states=states)


@pytest.mark.parametrize("name", ["Model", "ForCausalLM", "ForAudioClassification"])
def test_a_checkpoint_of_a_whole_model_fills_its_parts(name: str, tmp_path: Path) -> None:
    _, whole = _pair("ForConditionalGeneration", tmp_path)
    if name == "ForAudioClassification":
        with pytest.warns(formers.core.notices.Notice, match="initialised afresh"):
            part = formers.WhisperForAudioClassification.from_pretrained(
                tmp_path, use_weighted_layer_sum=True
            )
        assert {name.split(".")[0] for name in part.load_report.new} == HEAD
        assert torch.equal(part.layer_weights, torch.full((3,), 1 / 3))
        part.freeze_base()
        assert {n.split(".")[0] for n, value in part.named_parameters() if value.requires_grad} == HEAD
    else:
        part = getattr(formers, f"Whisper{name}").from_pretrained(tmp_path)
        assert not part.load_report.new
    kept = "decoder" if name == "ForCausalLM" else "encoder"
    found, expected = (getattr(m, f"get_{kept}")().state_dict() for m in (part, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    assert part.config.is_encoder_decoder == (name != "ForCausalLM")


def test_auto_classes_find_every_head(tmp_path: Path) -> None:
    config = formers.WhisperConfig(**SHAPES["whisper"][PLAIN])
    for auto, expected in (
        (formers.AutoModel, "WhisperModel"),
        (formers.AutoModelForSpeechSeq2Seq, "WhisperForConditionalGeneration"),
        (formers.AutoModelForAudioClassification, "WhisperForAudioClassification"),
        (formers.AutoModelForCausalLM, "WhisperForCausalLM"),
    ):
        assert type(auto.from_config(copy.deepcopy(config))).__name__ == expected
    with pytest.raises(ValueError, match="AutoModelForSpeechSeq2Seq"):
        formers.AutoModelForSeq2SeqLM.from_config(config)
    _pair("ForConditionalGeneration", tmp_path)
    assert formers.AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path).can_generate()


def test_the_vocabulary_grows_in_both_of_its_places(tmp_path: Path) -> None:
    _, ours = _pair("ForConditionalGeneration", tmp_path)
    before = _first(ours)
    ours.resize_token_embeddings(120)
    assert ours.config.vocab_size == ours.proj_out.out_features == 120
    assert ours.proj_out.weight is ours.model.decoder.embed_tokens.weight
    _close(before, _first(ours)[..., :101])
    ours.save_pretrained(tmp_path / "grown")
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path / "grown").eval()
    _close(_first(theirs), _first(ours))


def test_the_encoder_can_be_frozen_and_gradients_asked_of_the_tokens(tmp_path: Path) -> None:
    _, ours = _pair("ForConditionalGeneration", tmp_path)
    ours.freeze_encoder()
    trained = {name.split(".")[1] for name, value in ours.named_parameters() if value.requires_grad}
    assert trained == {"decoder"}
    with pytest.raises(TypeError, match="no encoder beside a decoder"):
        formers.WhisperForCausalLM(copy.deepcopy(ours.config)).freeze_encoder()
    ours.requires_grad_(False)
    ours.enable_input_require_grads()
    assert ours(**inputs_of(ours)).logits.requires_grad


def test_models_survive_pickling_and_copying(tmp_path: Path) -> None:
    _, ours = _pair("ForConditionalGeneration", tmp_path)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert twin.proj_out.weight is twin.get_input_embeddings().weight
        assert torch.equal(_first(twin), _first(ours))
