"""The stem of sounds: fixed positions, spans that training silences, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.whisper.modeling_whisper import _compute_mask_indices

import formers
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.spec import Spans
from formers.nn.stems.frames import chosen_spans

SMALL = {
    "vocab_size": 20,
    "d_model": 16,
    "num_mel_bins": 4,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_source_positions": 10,
    "max_target_positions": 12,
    "pad_token_id": 0,
    "decoder_start_token_id": 1,
}
IDS = torch.tensor([[1, 5, 6]])


def small(name: str = "Model", **values: Any) -> Any:
    torch.manual_seed(0)
    return getattr(formers, f"Whisper{name}")(formers.WhisperConfig(**{**SMALL, **values}))


def heard(model: Any, sounds: Tensor, **more: Any) -> Tensor:
    """What the first convolution of a model in training reads."""
    seen: list[Tensor] = []
    conv = model.get_encoder().conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(sounds, decoder_input_ids=IDS.expand(len(sounds), -1), **more)
    conv.remove()
    return seen[0]


# -- positions --------------------------------------------------------------------------------------


def test_a_fresh_model_tells_rows_apart_by_sines_and_cosines_that_are_not_trained() -> None:
    table = small().encoder.embed_positions.weight
    assert not table.requires_grad
    for place in range(10):
        for i in range(8):
            turn = place / 10_000 ** (i / 7)
            assert table[place, i].item() == pytest.approx(math.sin(turn), abs=1e-5)
            assert table[place, i + 8].item() == pytest.approx(math.cos(turn), abs=1e-5)


# -- spans that are silenced ------------------------------------------------------------------------


def runs(hidden: Tensor) -> list[int]:
    """Lengths of the hidden stretches of a row."""
    text = "".join("x" if one else " " for one in hidden.tolist())
    return [len(stretch) for stretch in text.split()]


def test_spans_have_their_length_and_lie_where_the_sound_is() -> None:
    torch.manual_seed(0)
    real = torch.tensor([40, 25, 3, 4])
    for _ in range(20):
        hidden = chosen_spans(Spans(0.3, 4, 1), 4, 40, real)
        assert not hidden[2].any()  # no span fits
        for row, length in zip(hidden, real.tolist(), strict=True):
            assert not row[length:].any()
            assert all(stretch >= 4 for stretch in runs(row))
        assert runs(hidden[3]) == [4]


@pytest.mark.parametrize(
    ("share", "length", "least"), [(0.05, 10, 2), (0.3, 4, 0), (0.02, 5, 0), (0.9, 3, 0)], ids=str
)
def test_as_much_is_hidden_as_in_the_reference(share: float, length: int, least: int) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    real = torch.tensor([60] * 8 + [35] * 8)
    mask = torch.arange(60) < real[:, None]
    found = torch.stack([chosen_spans(Spans(share, length, least), 16, 60, real) for _ in range(300)])
    drawn = [_compute_mask_indices((16, 60), share, length, mask, least) for _ in range(300)]
    expected = torch.from_numpy(np.stack(drawn))
    for rows in (slice(0, 8), slice(8, 16)):
        one, two = (hidden[:, rows].float().mean().item() for hidden in (found, expected))
        assert one == pytest.approx(two, rel=0.08, abs=0.004)
    at = found.float().mean((0, 1))[:35] - expected.float().mean((0, 1))[:35]
    assert at.abs().max() < 0.05


def test_a_model_in_training_hears_silence_in_spans_and_leaves_its_input_alone() -> None:
    model = small(apply_spec_augment=True, mask_time_prob=0.2, mask_time_length=5).train()
    sounds = torch.ones(3, 4, 20)
    found = heard(model, sounds)
    silent = (found == 0).all(1)
    assert torch.equal(found == 0, silent[:, None].expand(-1, 4, -1))
    assert all(5 <= sum(runs(row)) < 20 for row in silent)
    assert sounds.all()
    assert heard(model.eval(), sounds).all()
    assert heard(small(mask_time_prob=0.9).train(), sounds).all()  # not asked for


def test_spans_are_chosen_among_real_frames_where_a_mask_says_which_those_are() -> None:
    model = small(apply_spec_augment=True, mask_time_prob=0.3, mask_time_length=4).train()
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[1, 8:] = 0
    for _ in range(10):
        found = heard(model, torch.ones(2, 4, 20), attention_mask=mask)
        assert (found[1, :, 8:] == 1).all()
        assert (found[1, :, :8] == 0).any()


def test_spans_of_bins_are_silenced_over_all_frames() -> None:
    model = small(
        apply_spec_augment=True, mask_time_prob=0.0, mask_feature_prob=0.5, mask_feature_length=2
    ).train()
    silent = (heard(model, torch.ones(8, 4, 20)) == 0).all(2)
    assert torch.equal(silent.sum(1), torch.tensor([2]).expand(8))
    assert {tuple(row.nonzero().flatten().tolist()) for row in silent} == {(0, 1), (1, 2), (2, 3)}


def test_spans_that_do_not_fit_are_refused() -> None:
    sounds = torch.ones(1, 4, 20)
    for length in (0, 21):
        model = small(apply_spec_augment=True, mask_time_length=length).train()
        with pytest.raises(ValueError, match="must be 1 to 20 long"):
            model(sounds, decoder_input_ids=IDS)


# -- what is refused --------------------------------------------------------------------------------


def test_sounds_that_do_not_fit_are_refused_with_what_fits() -> None:
    model = small("ForConditionalGeneration")
    with pytest.raises(ValueError, match=r"\[B, 4, 20\], not \[1, 4, 18\]: pad or cut"):
        model(torch.zeros(1, 4, 18), decoder_input_ids=IDS)
    with pytest.raises(ValueError, match=r"\[B, 4, 20\], not \[1, 5, 20\]"):
        model(torch.zeros(1, 5, 20), decoder_input_ids=IDS)
    with pytest.raises(TypeError, match="a feature extractor makes it"):
        model(decoder_input_ids=IDS)
    with pytest.raises(TypeError, match="a feature extractor makes it"):
        model.train()(decoder_input_ids=IDS)
    with pytest.raises(ValueError, match="attention_mask must have shape"):
        model(torch.zeros(1, 4, 20), attention_mask=torch.ones(1, 10), decoder_input_ids=IDS)
    with pytest.raises(TypeError, match="input_ids"):
        model(input_ids=IDS)
    with pytest.raises(ValueError, match="nothing to read"):
        model(torch.zeros(1, 4, 20))
    with pytest.raises(ValueError, match="12 positions"):
        model(torch.zeros(1, 4, 20), decoder_input_ids=torch.ones(1, 13, dtype=torch.long))


def test_a_narrow_model_hears_sounds_of_any_dtype() -> None:
    model = small().bfloat16()
    assert model(torch.zeros(1, 4, 20), decoder_input_ids=IDS).last_hidden_state.dtype is torch.bfloat16


def test_signatures_and_docstrings_follow_from_what_the_stacks_read() -> None:
    model = small()
    for part, main in (
        (model, "input_features"),
        (model.encoder, "input_features"),
        (model.decoder, "input_ids"),
    ):
        assert part.main_input_name == main
        assert f"{main}: [B" in part.forward.__doc__
    assert "1 at real frames" in model.forward.__doc__
    assert "token_type_ids" not in model.encoder.forward.__doc__


# -- what stands for a sound ------------------------------------------------------------------------


def test_the_mean_of_a_sequence_leaves_padding_out_in_every_layout() -> None:
    x, real = torch.randn(3, 5, 4), torch.tensor([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1] * 5]).bool()
    expected = torch.stack([row[kept].mean(0) for row, kept in zip(x, real, strict=True)])
    at, dense, packed = torch.arange(5)[None], Layout.dense(3, 5), Layout.of(real)
    masked = Pass(Geometry(dense, at), Visibility(real), eager)
    for rows in (x, x.flatten(0, 1)):
        torch.testing.assert_close(masked.mean(rows), expected)
    torch.testing.assert_close(Pass(Geometry(packed, at), Visibility(), eager).mean(packed.pack(x)), expected)
    torch.testing.assert_close(Pass(Geometry(dense, at), Visibility(), eager).mean(x), x.mean(1))
