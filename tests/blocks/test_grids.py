"""Places on a grid of patches: biases by offset, sinusoids, turns; rows that are left out whole."""

from __future__ import annotations

import math

import pytest
import torch

import formers
from formers.nn.dropout import DropPath
from formers.nn.grids import Axial, Grid, GridBias, GridWaves

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": [8, 12],
    "patch_size": 4,
    "num_channels": 2,
}


def test_every_pair_of_places_reads_the_row_of_its_offset() -> None:
    grid = Grid(2, 3)
    index, places = grid.index(torch.device("cpu")), [(i // 3, i % 3) for i in range(6)]
    for i, (row, column) in enumerate(places):
        for j, (other_row, other_column) in enumerate(places):
            offset = (row - other_row + 1) * 5 + column - other_column + 2
            assert index[1 + i, 1 + j] == offset
    assert grid.count == 3 * 5 + 3
    assert (index[0, 1:] == 15).all()
    assert (index[1:, 0] == 16).all()
    assert index[0, 0] == 17


def test_a_bias_for_another_grid_is_drawn_out_by_rows_and_columns() -> None:
    table = GridBias(Grid(2, 3), heads=2)
    rows = torch.arange(3.0)[:, None].expand(3, 5)  # a bias that grows with the row alone
    with torch.no_grad():
        table.relative_position_bias_table[:15] = rows.reshape(15, 1)
    found = table(Grid(2, 5))[0, :, 1:, 1:]
    assert torch.allclose(found[:, 0, :5], torch.ones(2, 5))
    assert torch.allclose(found[:, 5, :5], torch.tensor(2.0))


def test_a_model_of_wide_images_reads_images_of_any_size() -> None:
    config = formers.BeitConfig(
        **SMALL, use_relative_position_bias=True, use_absolute_position_embeddings=True
    )
    model = formers.BeitModel(config).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 2, 16, 8)).last_hidden_state.shape == (2, 9, 16)


def test_sinusoids_of_a_grid_tell_the_column_and_then_the_row() -> None:
    table = torch.ones(1, 7, 8)
    GridWaves(2, 3).fill_(table)
    assert not table[0, 0].any()
    column, row = 2, 1
    expected = [f(at * 10_000**-i) for at in (column, row) for f in (math.sin, math.cos) for i in (0, 0.5)]
    torch.testing.assert_close(table[0, 1 + 3 * row + column], torch.tensor(expected))


def test_patches_are_turned_by_their_middles_and_moved_in_training_alone() -> None:
    rule = Axial(8, 100.0, (4, 4), rescale=2.0)
    cos, sin = rule.table(Grid(2, 4), torch.device("cpu"), moved=False)
    row, column = 1, 3
    turns = [2 * math.pi * at * 100.0**-i for at in (2 * 1.5 / 2 - 1, 2 * 3.5 / 4 - 1) for i in (0, 0.5)] * 2
    torch.testing.assert_close(cos[4 * row + column], torch.tensor(turns).cos())
    torch.testing.assert_close(sin[4 * row + column], torch.tensor(turns).sin())
    moved, _ = rule.table(Grid(2, 4), torch.device("cpu"), moved=True)
    assert not torch.allclose(moved, cos)


def test_rows_are_left_out_whole_in_training_and_the_others_scaled() -> None:
    torch.manual_seed(0)
    drop, rows = DropPath(0.25), torch.ones(64, 3, 2)
    found = drop(rows)
    kept = found[:, 0, 0] > 0
    assert 0 < kept.sum() < 64
    assert torch.equal(found, kept[:, None, None] * rows / 0.75)
    assert drop.eval()(rows) is rows


def test_layers_leave_out_rows_of_packed_batches_as_of_whole_ones() -> None:
    config = formers.Dinov2Config(**{k: v for k, v in SMALL.items() if k != "intermediate_size"}, mlp_ratio=2)
    config.drop_path_rate = 0.5
    model = formers.Dinov2Model(config).train()
    images, found = torch.randn(6, 2, 8, 12), []
    for watched in (False, True):
        handle = model.layernorm.register_forward_hook(lambda *_: None) if watched else None
        torch.manual_seed(0)
        found.append(model(images).last_hidden_state)
        if handle is not None:
            handle.remove()
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)


def test_films_and_hidden_patches_that_do_not_fit_are_refused() -> None:
    sizes = {**SMALL, "image_size": 8, "num_frames": 2}
    model = formers.VideoMAEForPreTraining(formers.VideoMAEConfig(**sizes))
    film, hidden = torch.zeros(2, 2, 2, 8, 8), torch.zeros(2, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\[B, 2, 2, 8, 8\], not \[1, 3, 2, 8, 8\]"):
        model(torch.zeros(1, 3, 2, 8, 8), bool_masked_pos=hidden[:1])
    with pytest.raises(ValueError, match="said by bool_masked_pos"):
        model(film)
    hidden[0, 1] = True
    with pytest.raises(ValueError, match="hides as many in every row"):
        model(film, bool_masked_pos=hidden)


def test_the_pixels_of_patches_make_the_image_again() -> None:
    sizes = {**SMALL, "image_size": 8, "decoder_hidden_size": 8, "decoder_num_attention_heads": 2}
    model = formers.ViTMAEForPreTraining(formers.ViTMAEConfig(**sizes, decoder_num_hidden_layers=1))
    images = torch.randn(2, 2, 8, 8)
    assert torch.equal(model.unpatchify(model.patchify(images)), images)
    with pytest.raises(ValueError, match="do not make an image of 1 by 2"):
        model.unpatchify(model.patchify(images), (4, 8))
    assert model(images, interpolate_pos_encoding=True).mask.sum() == 2 * 3


def test_codes_without_hidden_patches_are_refused() -> None:
    model = formers.BeitForMaskedImageModeling(formers.BeitConfig(**SMALL, vocab_size=5))
    with pytest.raises(ValueError, match="pass bool_masked_pos"):
        model(torch.zeros(1, 2, 8, 12), labels=torch.tensor([0]))
