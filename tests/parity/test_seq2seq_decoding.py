"""Decoding step by step: caches of every form, an encoder that runs once, and the reference's own steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers
from tests.parity.seq2seq_shapes import CLASSES, SHAPES, decoder_batch, inputs_of, write_checkpoint, writes

TOLERANCE = 1e-5
NAMES = {kind: next(name for name in names if writes(name)) for kind, names in CLASSES.items()}
WIDTHS = (2, 1, 1, 2)

each_shape = pytest.mark.parametrize(
    ("model_type", "shape"), [(family, shape) for family, shapes in SHAPES.items() for shape in shapes]
)
each_family = pytest.mark.parametrize("model_type", list(SHAPES))


def _load(model_type: str, shape: str, folder: Path) -> tuple[Any, Any]:
    theirs = write_checkpoint(model_type, shape, NAMES[model_type], folder)
    return theirs, getattr(formers, NAMES[model_type]).from_pretrained(folder)


def _heard(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the encoder reads."""
    return {name: value for name, value in inputs.items() if not name.startswith("decoder")}


def _close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def _steps(model: Any, inputs: dict[str, Any], past: Any = None, legacy: bool = False) -> tuple[Any, Any]:
    """Logits of the decoder's tokens, a few at a time, and the cache."""
    encoded = model.get_encoder()(**_heard(inputs), return_dict=True)
    ids, mask, steps, at = inputs["decoder_input_ids"], inputs["decoder_attention_mask"], [], 0
    # the reference's FSMT lets the tokens of one such call see each other, its ProphetNet takes one
    for width in [1] * sum(WIDTHS) if model.config.model_type in ("fsmt", "prophetnet") else WIDTHS:
        output = model(
            encoder_outputs=encoded,
            attention_mask=inputs.get("attention_mask"),
            decoder_input_ids=ids[:, at : at + width],
            decoder_attention_mask=mask[:, : at + width],
            past_key_values=past,
            use_cache=True,
        )
        past, at = output.past_key_values, at + width
        past = past.to_legacy_cache() if legacy else past
        steps.append(output.logits)
    return torch.cat(steps, dim=1), past


@each_shape
def test_steps_give_what_one_pass_gives_and_what_the_references_steps_give(
    model_type: str, shape: str, tmp_path: Path
) -> None:
    theirs, ours = _load(model_type, shape, tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        found, past = _steps(ours, inputs)
        expected, _ = _steps(theirs, inputs)
        whole = ours(**inputs, use_cache=False)
    real = inputs["decoder_attention_mask"].bool()
    assert whole.past_key_values is None
    assert past.get_seq_length() == sum(WIDTHS)
    _close(whole.logits[real], found[real])
    _close(expected[real], found[real])


@each_family
def test_a_cache_of_the_older_form_works(model_type: str, tmp_path: Path) -> None:
    _, ours = _load(model_type, next(iter(SHAPES[model_type])), tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        expected, _ = _steps(ours, inputs)
        found, past = _steps(ours, inputs, legacy=True)
    assert isinstance(past, tuple)
    assert {len(layer) for layer in past} == {4}
    assert past[0][0].shape[2] == sum(WIDTHS)
    assert past[0][2].shape[2] == ours(**inputs).encoder_last_hidden_state.shape[1]
    _close(expected, found)


@each_family
def test_a_cache_can_be_made_beforehand(model_type: str, tmp_path: Path) -> None:
    from formers.nn.cache import DynamicCache, EncoderDecoderCache

    _, ours = _load(model_type, next(iter(SHAPES[model_type])), tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        expected, made = _steps(ours, inputs)
        found, past = _steps(ours, inputs, past=EncoderDecoderCache(DynamicCache(), DynamicCache()))
    assert isinstance(made, EncoderDecoderCache)
    assert past.is_updated[0]
    _close(expected, found)


@each_shape
def test_a_cache_of_fixed_size_serves_the_decoder_whatever_the_encoders_depth(
    model_type: str, shape: str, tmp_path: Path
) -> None:
    from formers.nn.cache import EncoderDecoderCache, Static, StaticCache

    _, ours = _load(model_type, shape, tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        expected, _ = _steps(ours, inputs)
        past = EncoderDecoderCache(StaticCache(ours.config, max_cache_len=sum(WIDTHS)))
        found, past = _steps(ours, inputs, past=past)
    assert {type(slot) for slot in past.slots} == {Static}
    _close(expected, found)


@each_family
def test_beams_can_be_reordered_between_steps(model_type: str, tmp_path: Path) -> None:
    _, ours = _load(model_type, next(iter(SHAPES[model_type])), tmp_path)
    inputs = inputs_of(ours)
    order = torch.tensor([2, 2, 0, 1])
    swapped = {name: value[order] for name, value in inputs.items()}
    with torch.no_grad():
        _, past = _steps(ours, inputs)
        _, expected = _steps(ours, swapped)
        past.reorder_cache(order)
        token = torch.tensor([[5], [6], [7], [8]])
        more = {
            "attention_mask": swapped.get("attention_mask"),
            "encoder_outputs": (torch.zeros(4, past.cross[0][0].shape[2], 32),),  # the cache is what counts
            "decoder_input_ids": token,
        }
        _close(
            ours(**more, past_key_values=expected).logits,
            ours(**more, past_key_values=past).logits,
        )


@each_family
def test_the_encoder_can_run_beforehand(model_type: str, tmp_path: Path) -> None:
    theirs, ours = _load(model_type, next(iter(SHAPES[model_type])), tmp_path)
    inputs = inputs_of(ours)
    heard, mask = inputs[ours.main_input_name], inputs.get("attention_mask")
    rest = {k: v for k, v in inputs.items() if k != ours.main_input_name}
    with torch.no_grad():
        expected = theirs(**inputs).logits[inputs["decoder_attention_mask"].bool()]
        encoded = ours.get_encoder()(heard, attention_mask=mask)
        reference = theirs.get_encoder()(heard, attention_mask=mask)
        for given in (encoded, encoded.to_tuple(), [encoded[0]], reference):
            found = ours(**rest, encoder_outputs=given)
            _close(expected, found.logits[inputs["decoder_attention_mask"].bool()])
            assert torch.equal(found.encoder_last_hidden_state, given[0])


def test_training_keeps_no_cache_and_inference_does(tmp_path: Path) -> None:
    _, ours = _load("t5", next(iter(SHAPES["t5"])), tmp_path)
    inputs = inputs_of(ours)
    assert ours(**inputs).past_key_values is not None
    assert ours(**inputs, labels=inputs["decoder_input_ids"]).past_key_values is None
    assert ours.train()(**inputs).past_key_values is None


def test_a_decoder_alone_steps_with_and_without_an_encoder_to_read(tmp_path: Path) -> None:
    theirs = write_checkpoint("bart", "plain, deeper encoder", "BartForCausalLM", tmp_path)
    ours = formers.BartForCausalLM.from_pretrained(tmp_path)
    ids = decoder_batch()["decoder_input_ids"]
    across = {
        "encoder_hidden_states": torch.randn(4, 5, 32),
        "encoder_attention_mask": torch.tensor([[1] * 5, [1] * 3 + [0] * 2, [1] * 5, [1] * 4 + [0]]),
    }
    for more in ({}, across):
        past, steps = None, []
        with torch.no_grad():
            whole = theirs(ids, **more).logits
            _close(whole, ours(ids, **more).logits)
            for at in range(ids.shape[1]):
                output = ours(ids[:, at : at + 1], past_key_values=past, use_cache=True, **more)
                past = output.past_key_values
                steps.append(output.logits)
        _close(whole, torch.cat(steps, dim=1))


def test_only_the_last_places_get_logits_where_that_is_all_that_is_read(tmp_path: Path) -> None:
    theirs = write_checkpoint("bart", "plain, deeper encoder", "BartForCausalLM", tmp_path)
    ours = formers.BartForCausalLM.from_pretrained(tmp_path)
    ids = decoder_batch()["decoder_input_ids"]
    with torch.no_grad():
        _close(theirs(ids, logits_to_keep=2).logits, ours(ids, logits_to_keep=2).logits)


def test_generation_defaults_come_along(tmp_path: Path) -> None:
    _, ours = _load("bart", next(iter(SHAPES["bart"])), tmp_path)
    assert ours.can_generate()
    assert ours.generation_config.decoder_start_token_id == 2
    assert ours.generation_config.forced_eos_token_id == 2
    assert not formers.BartModel.can_generate()
    assert isinstance(transformers.GenerationConfig.from_pretrained(tmp_path), transformers.GenerationConfig)
