"""Models that hear waves beside the reference: sounds of several lengths, hidden moments, older files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from tests.parity.speech_shapes import SHAPES, bands
from tests.parity.test_families import _close

SHAPE = SHAPES["wav2vec2"]
PLAIN, STABLE = SHAPE


def _pair(folder: Path, name: str, shape: str, **values: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**{**SHAPE[shape], **values})
    theirs = getattr(transformers, f"Wav2Vec2{name}")(config).eval()
    theirs.save_pretrained(folder)
    return theirs, getattr(formers, f"Wav2Vec2{name}").from_pretrained(folder)


def _sounds() -> dict[str, torch.Tensor]:
    mask = torch.ones(3, 400, dtype=torch.long)
    mask[1, 300:] = mask[2, 123:] = 0
    return {"input_values": torch.randn(3, 400) * mask, "attention_mask": mask}


@pytest.mark.parametrize("shape", [PLAIN, STABLE])
@pytest.mark.parametrize(
    "name", ["Model", "ForCTC", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector"]
)
def test_sounds_of_several_lengths_are_heard_as_the_reference_hears_them(
    name: str, shape: str, tmp_path: Path
) -> None:
    theirs, ours = _pair(tmp_path, name, shape)
    given = _sounds()
    count = ours._get_feat_extract_output_lengths(given["attention_mask"].sum(1))
    assert count.tolist() == theirs._get_feat_extract_output_lengths(given["attention_mask"].sum(1)).tolist()
    real = torch.arange(19) < count[:, None]
    with torch.no_grad():
        expected = theirs(**copy.deepcopy(given))[0]
        _close(expected, ours(**given)[0], real)
        with_weights = ours.train(False).requires_grad_(False)
        seen: list[Any] = []
        with_weights.register_forward_hook(lambda *_: seen.append(1))
        for module in ours.modules():
            module.register_forward_hook(lambda *_: None)
        _close(expected, ours(**given)[0], real)
        assert seen


@pytest.mark.parametrize("kind", ["relative", "rotary", None])
def test_conformers_read_what_stands_behind_a_sound_as_the_reference_does(
    kind: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (shape,) = SHAPES["wav2vec2-conformer"].values()
    config = transformers.Wav2Vec2ConformerConfig(**{**shape, "position_embeddings_type": kind})
    theirs = transformers.Wav2Vec2ConformerForCTC(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, given = formers.Wav2Vec2ConformerForCTC.from_pretrained(tmp_path), _sounds()
    real = torch.arange(19) < ours._get_feat_extract_output_lengths(given["attention_mask"].sum(1))[:, None]
    with torch.no_grad():
        _close(theirs(**copy.deepcopy(given)).logits, ours(**given).logits, real)
    with pytest.raises(ValueError, match="'sinusoids' is none of those"):
        formers.Wav2Vec2ConformerModel(
            formers.Wav2Vec2ConformerConfig(**{**shape, "position_embeddings_type": "sinusoids"})
        )
    with pytest.raises(ValueError, match="no vocab_size"):
        formers.Wav2Vec2ConformerForCTC(formers.Wav2Vec2ConformerConfig(**{**shape, "vocab_size": None}))


BEHIND = {"add_adapter": True, "num_adapter_layers": 2, "output_hidden_size": 24}
BETWEEN = {**BEHIND, "use_intermediate_ffn_before_adapter": True}


@pytest.mark.parametrize("hooked", [False, True], ids=["alone", "with hooks"])
@pytest.mark.parametrize(
    ("name", "model_type", "values"),
    [
        ("Wav2Vec2", "wav2vec2", BEHIND),
        ("Wav2Vec2Conformer", "wav2vec2-conformer", BEHIND),
        ("Wav2Vec2Bert", "wav2vec2-bert", BETWEEN),
    ],
)
def test_layers_behind_an_encoder_make_its_rows_fewer(
    name: str, model_type: str, values: dict[str, Any], hooked: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    shape = next(iter(SHAPES[model_type].values()))
    config = getattr(transformers, f"{name}Config")(**{**shape, **values})
    theirs = getattr(transformers, f"{name}ForCTC")(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = formers.AutoModelForCTC.from_pretrained(tmp_path)
    given = bands(config) if model_type.endswith("bert") else _sounds()
    mask = given["attention_mask"]
    counts = ours._get_feat_extract_output_lengths(mask.sum(1))
    assert counts.tolist() == theirs._get_feat_extract_output_lengths(mask.sum(1)).tolist()
    without = ours._get_feat_extract_output_lengths(mask.sum(1), add_adapter=False)
    assert without.tolist() == theirs._get_feat_extract_output_lengths(mask.sum(1), False).tolist()
    given["labels"] = torch.tensor([[3], [4], [5], [6]])[: len(mask)]
    if hooked:
        for module in ours.modules():
            module.register_forward_hook(lambda *_: None)
    expected, found = theirs(**copy.deepcopy(given)), ours(**given, output_hidden_states=True)
    real = torch.arange(found.logits.shape[1]) < counts[:, None]
    assert found.hidden_states[-1].shape == (len(mask), 19, 32)
    _close(expected.logits, found.logits, real)
    _close(expected.loss, found.loss)
    expected.loss.backward()
    found.loss.backward()
    grads = {path: value.grad for path, value in theirs.named_parameters()}
    for path, value in ours.named_parameters():
        if value.grad is not None:
            _close(grads[path], value.grad)
    base = ours.base_model.adapter
    assert base(torch.randn(2, 19, 32)).shape == (2, 5, 24)


def test_the_loss_of_several_lengths_is_the_references(tmp_path: Path) -> None:
    theirs, ours = _pair(tmp_path, "ForCTC", STABLE, ctc_loss_reduction="mean")
    given = {**_sounds(), "labels": torch.tensor([[3, 4, 5, 5], [3, 7, -100, -100], [1, -100, -100, -100]])}
    _close(theirs(**copy.deepcopy(given)).loss, ours(**given).loss)
    with pytest.raises(ValueError, match="labels reach 20, but vocab_size is 20"):
        ours(**{**given, "labels": torch.tensor([[20]] * 3)})


def test_hidden_moments_are_replaced(tmp_path: Path) -> None:
    theirs, ours = _pair(tmp_path, "Model", PLAIN, apply_spec_augment=True)
    hidden = torch.rand(3, 19) > 0.5
    given = {**_sounds(), "mask_time_indices": hidden}
    with torch.no_grad():
        real = (
            torch.arange(19) < ours._get_feat_extract_output_lengths(given["attention_mask"].sum(1))[:, None]
        )
        _close(theirs(**copy.deepcopy(given))[0], ours(**given)[0], real)
        ours.train()
        assert not torch.equal(ours(given["input_values"])[0], ours(given["input_values"])[0])


def test_files_that_hold_a_kernel_by_older_names_are_read(tmp_path: Path) -> None:
    theirs, _ = _pair(tmp_path, "ForCTC", PLAIN)
    file = tmp_path / "model.safetensors"
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    held = load_file(file)
    for new, old in names.items():
        held = {name.replace(new, old): value for name, value in held.items()}
    save_file(held, file, metadata={"format": "pt"})
    ours = formers.AutoModelForCTC.from_pretrained(tmp_path)
    assert not ours.load_report.new
    sound = _sounds()["input_values"]
    with torch.no_grad():
        _close(theirs(sound).logits, ours(sound).logits)


def test_what_is_not_there_or_cannot_be_read_is_said(tmp_path: Path) -> None:
    values = SHAPE[PLAIN]
    with pytest.raises(ValueError, match="read the encoder's own rows"):
        formers.Wav2Vec2ForSequenceClassification(formers.Wav2Vec2Config(**values, add_adapter=True))
    with pytest.raises(ValueError, match="Hubert models have no layers behind"):
        formers.HubertModel(
            formers.HubertConfig(**SHAPES["hubert"][next(iter(SHAPES["hubert"]))], add_adapter=True)
        )
    with pytest.raises(ValueError, match="conv_pos_batch_norm=True is not available"):
        formers.HubertConfig(conv_pos_batch_norm=True)
    learns = formers.Wav2Vec2ForPreTraining(formers.Wav2Vec2Config(**values, add_adapter=True))
    hidden = torch.ones(1, 19, dtype=torch.bool)
    with pytest.raises(ValueError, match="there is no loss"):
        learns(
            torch.zeros(1, 400),
            mask_time_indices=hidden,
            sampled_negative_indices=torch.zeros(1, 19, 3, dtype=torch.long),
        )
    made = formers.Wav2Vec2ForCTC(formers.Wav2Vec2Config(**values))
    with pytest.raises(ValueError, match="makes a row of 30"):
        made(torch.zeros(1, 29))
    with pytest.raises(ValueError, match="an entry for each sample"):
        made(torch.zeros(1, 400), attention_mask=torch.ones(1, 19))
    with pytest.raises(TypeError, match="feature extractor"):
        made([0.0])
    made.freeze_feature_encoder()
    assert not any(p.requires_grad for p in made.wav2vec2.feature_extractor.parameters())
    assert made.lm_head.weight.requires_grad


def test_the_layer_that_holds_the_distances_of_all_is_never_left_out() -> None:
    torch.manual_seed(0)
    config = formers.WavLMConfig(**{**SHAPES["wavlm"]["plain"], "layerdrop": 1.0})
    made = formers.WavLMModel(config).train()
    made(torch.randn(2, 400)).last_hidden_state.square().sum().backward()
    first, second = (layer.attention.q_proj.weight.grad for layer in made.encoder.layers)
    assert first is not None
    assert second is None
