"""Places of maps told as the nearest vectors, and what makes those maps, held to their definitions."""

from __future__ import annotations

import pytest
import torch

from formers.nn.nets.tree import NetNode, fill
from formers.nn.nets.vector_quantization import NearestVectors, picture_words, words_of_codes
from formers.nn.program import Flow
from formers.nn.spec import multi_scale, nets
from formers.nn.steps import Bar


def test_every_place_is_told_by_its_nearest_vector_and_learns_as_if_it_were_that() -> None:
    torch.manual_seed(0)
    book, x = NearestVectors(5, 3, "table"), torch.randn(2, 3, 2, 2, requires_grad=True)
    near, far, codes = book(x)
    for b in range(2):
        for i in range(2):
            for j in range(2):
                best = min(
                    range(5), key=lambda n: float((book.table.weight[n] - x[b, :, i, j]).square().sum())
                )
                assert int(codes.view(2, 2, 2)[b, i, j]) == best
                assert torch.allclose(near[b, :, i, j], book.table.weight[best], atol=1e-6)
    assert torch.allclose(far, 1.25 * (near - x).square().mean())
    near.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_names_of_a_vocabulary_say_the_words_of_codes() -> None:
    named = {"<image>": 3, "IMGIMGAZ": 9, "IMGIMGBAZ": 5, "cat": 4}
    assert words_of_codes(named).tolist() == [9, *[0] * 9, 5]
    assert picture_words(named) == (5, 9)
    assert picture_words(None) == ()
    with pytest.raises(ValueError, match="names no tokens of pictures"):
        words_of_codes({"cat": 4})


def test_places_look_at_each_other_by_one_head() -> None:
    torch.manual_seed(0)
    node, x = NetNode(), torch.randn(1, 4, 2, 3)
    parts = {name: nets.Conv(4, 4, bias=True) for name in "qkv"}
    fill(node, nets.Node(parts, (multi_scale.Looks("q", "k", "v"),)))
    q, k, v = (getattr(node, name)(x).flatten(2)[0].t() for name in "qkv")
    expected = ((q @ k.t()) / 2).softmax(-1) @ v
    assert torch.allclose(node(x), expected.t().view(1, 4, 2, 3), atol=1e-6)


def test_what_is_barred_is_the_lowest_and_nothing_else_changes() -> None:
    x = torch.randn(2, 6)
    flow = Flow(x, None)  # type: ignore[arg-type]  # it asks nothing of a pass
    Bar([4, 1, 2]).run(None, flow)
    assert bool((flow.x[:, [1, 2, 4]] == torch.finfo(x.dtype).min).all())
    assert torch.equal(flow.x[:, [0, 3, 5]], x[:, [0, 3, 5]])
