"""Pictures in tiles and squares: sizes, lines, squares of patches, positions; against the definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from formers.assemblies.multimodal.native_resolution import NativeResolution
from formers.core.tiles import Lines, best_size, borders, canvas, most_tiles, within
from formers.nn import spec
from formers.nn.layout import Layout
from formers.nn.stems import STEMS
from formers.nn.tiling import halved, in_lines, shuffled

SIZES = [[4, 8], [8, 4], [8, 8]]


@pytest.mark.parametrize(
    ("picture", "found"),
    [((4, 8), (4, 8)), ((40, 20), (8, 4)), ((9, 9), (8, 8)), ((3, 3), (4, 8)), ((1, 90), (4, 8))],
)
def test_the_best_size_keeps_most_and_is_least_empty(
    picture: tuple[int, int], found: tuple[int, int]
) -> None:
    assert best_size(*picture, SIZES) == found
    with pytest.raises(ValueError, match="names no sizes"):
        best_size(*picture, [])


def test_a_picture_lies_in_the_middle_of_its_size() -> None:
    assert within(10, 40, (8, 8)) == (2, 8)
    assert within(41, 10, (8, 8)) == (8, 2)
    assert borders(10, 40, (8, 8)) == (3, 0)
    assert borders(40, 10, (8, 8)) == (0, 3)
    assert borders(5, 5, (8, 8)) == (0, 0)


@pytest.mark.parametrize(
    ("picture", "found"), [((10, 10), (1, 1)), ((10, 20), (1, 2)), ((30, 10), (3, 1)), ((90, 90), (2, 2))]
)
def test_a_canvas_has_the_form_of_its_picture(picture: tuple[int, int], found: tuple[int, int]) -> None:
    assert canvas(picture, (16, 16), 1, 4) == found


def test_lines_leave_out_what_shows_nothing_and_end_in_a_vector() -> None:
    lines = Lines(grid=(2, 1), edge=4, picture=(20, 5))
    tiles, end = torch.randn(3, 16, 2), torch.full((2,), 9.0)
    down = tiles[1:].reshape(8, 4, 2)[:, 1:3]  # 20 x 5 in 8 x 4: two columns of four
    rows: list[Tensor] = list(tiles[0])
    for line in down:
        rows += [*line, end]
    assert torch.equal(in_lines(lines, tiles, end), torch.stack(rows))
    assert lines.count == 8 * 3
    assert in_lines(Lines(None, 4, (20, 5)), tiles[:1], end).shape == (17, 2)
    with pytest.raises(ValueError, match="has 15 vectors"):
        in_lines(lines, tiles[:, 1:], end)


def test_many_patches_become_fewer() -> None:
    lines = Lines(grid=(2, 2), edge=4, picture=(9, 9), most=most_tiles("anyres_max_1"))
    assert lines.count == 4 * 5
    assert in_lines(lines, torch.randn(5, 16, 2), torch.zeros(2)).shape == (16 + 20, 2)
    with pytest.raises(ValueError, match="anyres_max_9"):
        most_tiles("pad")


def test_squares_of_patches_are_one_each() -> None:
    maps = torch.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3)
    found = shuffled(maps, 2)
    for down in range(2):
        for across in range(2):
            square = maps[:, 2 * down : 2 * down + 2, 2 * across : 2 * across + 2]
            assert torch.equal(found[:, down, across], square.flatten(1))
    with pytest.raises(ValueError, match="no whole squares"):
        shuffled(maps, 3)


def test_half_as_many_patches_lie_between_them() -> None:
    maps = torch.randn(2, 16, 3)
    expected = maps.view(2, 2, 2, 2, 2, 3).mean((2, 4)).flatten(1, 2)
    assert torch.allclose(halved(maps, 4), expected, atol=1e-6)
    assert halved(torch.randn(2, 9, 3), 3).shape == (2, 4, 3)


def test_a_patch_stands_where_its_share_of_a_square_is() -> None:
    stem = STEMS[spec.SharedPatches](spec.SharedPatches(3, (16, 16), (4, 4), 8, flat=True, leads=()))
    given = {"pixel_values": torch.zeros(2, 3, 8, 16)}
    real = torch.tensor([[True] * 8, [True, True, False, False] * 2])
    layout = Layout.dense(2, 8)
    found = stem.positions(given, layout, 0, real)
    assert found.tolist() == [[0, 1, 2, 3, 8, 9, 10, 11], [0, 2, 0, 0, 8, 10, 0, 0]]
    with pytest.raises(ValueError, match="an entry for every patch"):
        stem.rows_mask(torch.ones(2, 3, 4), given)


def test_patches_of_pictures_of_any_size_lie_end_to_end() -> None:
    stem = STEMS[spec.SizedPatches](spec.SizedPatches(3, (4, 4), 8))
    given = {"pixel_values": torch.zeros(2, 3, 8, 8), "image_sizes": torch.tensor([[8, 4], [4, 8]])}
    assert stem.shape(given) == (1, 4)
    found = stem.positions(given, Layout.dense(1, 4), 0)
    assert found.tolist() == [[[0, 0], [1, 0], [0, 0], [0, 1]]]
    for sizes, says in (
        ([[8, 4]], "there are 2 pictures"),
        ([[8, 3], [8, 8]], "smaller than a patch"),
        ([[8, 12], [8, 8]], "larger than what holds it"),
        ([8, 8], r"\[pictures, 2\], not \[2\]"),
    ):
        with pytest.raises(ValueError, match=says):
            stem.shape({**given, "image_sizes": torch.tensor(sizes)})


def test_sizes_are_for_image_models_that_read_them() -> None:
    import formers

    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = formers.LlavaConfig(
        text_config={"model_type": "llama", "vocab_size": 9, **small},
        vision_config={"model_type": "clip_vision_model", "image_size": 8, "patch_size": 4, **small},
        image_token_index=8,
    )
    model = formers.LlavaModel(config)
    assert isinstance(model._assembly, NativeResolution)
    ids, pixels = torch.full((1, 4), 8), torch.zeros(1, 3, 8, 8)
    assert model(ids, pixels).last_hidden_state.shape == (1, 4, 16)
    with pytest.raises(ValueError, match="take no image_sizes"):
        model(ids, pixels, image_sizes=torch.tensor([[8, 8]]))
