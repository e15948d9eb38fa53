"""The stem of codes, and codes with delays, against what they mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import formers
from formers.generation.delay_pattern import obeyed, pattern, together

SMALL: dict[str, Any] = {
    **{"vocab_size": 9, "num_hidden_layers": 2, "ffn_dim": 12, "num_attention_heads": 2, "hidden_size": 8},
    **{"num_codebooks": 3, "bos_token_id": 9, "pad_token_id": 9},
}


def _model() -> Any:
    torch.manual_seed(0)
    return formers.MusicgenModel(formers.MusicgenDecoderConfig(**SMALL)).double().eval()


def test_what_enters_is_the_sum_of_vectors_and_of_the_place() -> None:
    model, ids = _model(), torch.randint(0, 10, (6, 5))
    tables = model.get_input_embeddings()
    turns = torch.arange(5)[:, None] * torch.exp(torch.arange(4) * (-torch.log(torch.tensor(1e4)) / 3))
    places = torch.cat((turns.cos(), turns.sin()), dim=1)
    for given, rows in (({"input_ids": ids}, ids), ({"input_ids": ids.view(2, 3, 5)}, ids)):
        vectors = sum(tables[i](rows.view(2, 3, 5)[:, i]) for i in range(3))
        found = model(**given, output_hidden_states=True)
        torch.testing.assert_close(found.hidden_states[0], vectors + places, atol=1e-6, rtol=1e-6)
    again = model(inputs_embeds=vectors).last_hidden_state
    torch.testing.assert_close(again, found.last_hidden_state)


def test_padding_and_caches_change_nothing() -> None:
    model, ids = _model(), torch.randint(0, 10, (6, 5))
    whole = model(ids).last_hidden_state
    first = model(ids[:, :3], use_cache=True)
    rest = model(ids[:, 3:], past_key_values=first.past_key_values).last_hidden_state
    torch.testing.assert_close(rest, whole[:, 3:])
    padded = torch.cat((ids, torch.full((6, 2), 9)), dim=1)
    mask = torch.tensor([[1] * 5 + [0] * 2] * 2)
    torch.testing.assert_close(model(padded, attention_mask=mask).last_hidden_state[:, :5], whole)


@pytest.mark.parametrize(("channels", "books"), [(1, 4), (2, 4), (1, 1)])
@pytest.mark.parametrize("prompt", [1, 3])
def test_delays_come_and_go(channels: int, books: int, prompt: int) -> None:
    """Book k is k steps late; who takes the delays away has the codes that were put in."""
    length, delays = 12, books // channels
    codes = torch.arange(2 * books * (length - delays)).view(2 * books, -1)
    start = torch.full((2 * books, 1), -9)
    begun, held = pattern(torch.cat((start, codes[:, : prompt - 1]), 1), books, channels, -9, length)
    assert begun.shape == (2 * books, prompt)
    written = torch.full((2 * books, length), -7)
    for row, book in enumerate(codes):
        late = (row % books) // channels
        written[row, 1 + late : 1 + late + len(book)] = book
        assert (held[row, : 1 + late] == -9).all()
    found = obeyed(written, held)
    assert torch.equal(together(found, books, channels, length).flatten(0, 1), codes)
    stopped = together(found[:, :9], books, channels, length).flatten(0, 1)
    assert torch.equal(stopped, codes[:, : 9 - delays])


def test_rows_too_short_have_no_delays() -> None:
    ids = torch.full((4, 1), -9)
    begun, held = pattern(ids, 4, 1, -9, 5)
    assert torch.equal(begun, ids)
    assert bool((held == -1).all())
    written = torch.arange(20).view(4, 5)
    assert torch.equal(together(obeyed(written, held), 4, 1, 5)[0], written[:, 1:])


@pytest.mark.parametrize("ids", [torch.zeros(4, 3), torch.zeros(2, 2, 2), torch.zeros(3)])
def test_rows_that_are_no_books_are_refused(ids: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="a row for each of 3 books of a sound"):
        _model()(ids.long())
