"""What each kind of slot keeps between calls, and how a cache gives every layer the one that it asks for."""

from __future__ import annotations

import pytest
import torch

from formers.nn.cache import Cache, DynamicCache, Growing, Hybrid, Recurrent, Ring, StaticCache
from formers.nn.masks import Causal, materialise
from formers.nn.passing import Visibility
from formers.nn.spec import Attention, Heads, SlotSpec


def keys(batch: int, start: int, stop: int) -> torch.Tensor:
    """Keys that tell their position and row: [B, 1, T, 1]."""
    at = torch.arange(start, stop, dtype=torch.float32)
    return (at + 100 * torch.arange(batch)[:, None])[:, None, :, None]


def positions(found: torch.Tensor, row: int = 0) -> list[int]:
    return (found[row].flatten() - 100 * row).int().tolist()


@pytest.mark.parametrize("widths", [(7,), (1,) * 7, (3, 1, 2, 1), (1, 5, 1)], ids=str)
@pytest.mark.parametrize("window", [1, 2, 3, 10])
def test_a_ring_shows_each_chunk_the_window_before_it_and_holds_no_more(
    window: int, widths: tuple[int, ...]
) -> None:
    ring, at = Ring(window), 0
    for width in widths:
        new = keys(2, at, at + width)
        seen, values, first = ring.update(new, -new)
        assert positions(seen, 1) == list(range(first, at + width))
        assert torch.equal(values, -seen)
        assert first == max(0, at - (window - 1))
        at += width
        held = ring.contents()
        assert held is not None
        assert positions(held[0]) == list(range(max(0, at - (window - 1)), at))
    assert ring.length == 7


def test_a_ring_holds_storage_of_its_own() -> None:
    ring, new = Ring(3), keys(1, 0, 50)
    ring.update(new, new)
    held = ring.contents()
    assert held is not None
    assert held[0].untyped_storage().nbytes() == 2 * 4


def test_rows_of_a_ring_and_of_a_recurrence_can_be_chosen() -> None:
    ring = Ring(3)
    ring.update(keys(2, 0, 5), keys(2, 0, 5))
    ring.reorder(torch.tensor([1, 1, 0]))
    held = ring.contents()
    assert held is not None
    assert held[0].flatten(1).tolist() == [[103, 104], [103, 104], [3, 4]]
    slot = Recurrent()
    assert slot.contents() is None
    slot.remember(torch.arange(2.0).view(2, 1, 1), torch.arange(2.0).view(2, 1, 1), 4)
    slot.reorder(torch.tensor([1, 0, 1]))
    assert slot.length == 4
    for part in slot.contents() or ():
        assert part.flatten().tolist() == [1, 0, 1]


def test_what_was_forgotten_cannot_be_gone_back_to() -> None:
    ring = Ring(4)
    ring.update(keys(1, 0, 3), keys(1, 0, 3))
    ring.crop(-1)
    assert ring.length == 2
    ring.update(keys(1, 2, 6), keys(1, 2, 6))
    ring.crop(6)
    with pytest.raises(ValueError, match="once the window has moved"):
        ring.crop(3)
    slot = Recurrent()
    slot.remember(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 4)
    slot.crop(4)
    with pytest.raises(ValueError, match="mixed into its state"):
        slot.crop(-1)


def test_a_slot_for_keys_and_a_state_counts_tokens_once_and_cannot_go_back() -> None:
    slot = Hybrid()
    slot.remember(torch.arange(2.0).view(2, 1, 1), torch.arange(2.0).view(2, 1, 1), 3)
    slot.update(keys(2, 0, 3), keys(2, 0, 3))
    assert slot.length == 3
    slot.reorder(torch.tensor([1, 1]))
    assert positions(slot.contents()[0]) == [100, 101, 102]
    assert slot.state.flatten().tolist() == slot.window.flatten().tolist() == [1, 1]
    slot.crop(3)
    with pytest.raises(ValueError, match="mixed into its state"):
        slot.crop(-1)


def test_a_cache_fits_itself_to_the_layers_and_keeps_what_it_holds() -> None:
    wanted = (SlotSpec("ring", 3), SlotSpec(), SlotSpec("recurrent"), None, SlotSpec("hybrid"))
    kinds = [Ring, Growing, Recurrent, Growing, Hybrid]
    fresh = DynamicCache().fit(wanted)
    assert [type(slot) for slot in fresh.slots] == kinds
    ring = fresh.slots[0]
    ring.update(keys(1, 0, 5), keys(1, 0, 5))
    assert fresh.fit(wanted).slots[0] is ring
    assert fresh.get_seq_length() == 5
    assert [type(slot) for slot in Cache([Growing() for _ in wanted]).fit(wanted).slots] == kinds
    full = DynamicCache([(keys(1, 0, 5), keys(1, 0, 5))])
    assert type(full.fit(wanted[:1]).slots[0]) is Growing  # it holds more than a ring would: that serves too
    config = type("Config", (), {"num_hidden_layers": 1})()
    static = StaticCache(config, max_cache_len=8)
    assert static.fit(wanted[:1]).slots[0].capacity == 8


def test_a_cache_of_another_kind_of_model_is_refused() -> None:
    full = DynamicCache([(keys(1, 0, 5), keys(1, 0, 5))])
    with pytest.raises(ValueError, match="filled by another model"):
        full.fit((SlotSpec("recurrent"),))
    states = DynamicCache().fit((SlotSpec("recurrent"),))
    states.slots[0].remember(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 2)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="filled by another model"):
        states.fit((SlotSpec(),))


def test_tuples_are_refused_where_they_cannot_tell_what_a_cache_holds() -> None:
    cache = DynamicCache().fit((SlotSpec("ring", 3),))
    cache.update(keys(1, 0, 2), keys(1, 0, 2), 0)
    assert positions(cache.to_legacy_cache()[0][0]) == [0, 1]
    cache.update(keys(1, 2, 3), keys(1, 2, 3), 0)
    with pytest.raises(ValueError, match="pass the cache itself"):
        cache.to_legacy_cache()
    assert positions(next(iter(cache))[0]) == [1, 2]


def test_only_a_window_over_columns_is_kept_in_a_ring() -> None:
    heads = Heads(1, 1, 2)
    assert Attention(heads, Causal(3)).slot == SlotSpec("ring", 3)
    assert Attention(heads, Causal(3, "tokens")).slot == SlotSpec()
    assert Attention(heads, Causal()).slot == SlotSpec()
    assert Attention(heads, Causal(), cross=True).slot is None


def test_a_window_that_counts_tokens_reaches_over_a_hole() -> None:
    real = torch.tensor([[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]).bool()
    at = torch.arange(6)

    def seen(counts: str) -> list[list[int]]:
        mask = Visibility(real, holes=True).mask(Causal(2, counts))  # type: ignore[arg-type]
        found = materialise(mask, 2, at, at)
        assert found is not None
        return [found[row, 0, 4].nonzero().flatten().tolist() for row in (0, 1)]

    assert seen("tokens") == [[1, 4], [3, 4]]
    assert seen("columns") == [[4], [3, 4]]


def test_layers_with_the_same_mask_share_what_it_comes_to():
    seen, at = Visibility(torch.tensor([[True, True, False]])), torch.arange(3)
    first, again = (materialise(seen.mask(Causal()), 1, at, at) for _ in range(2))
    assert first is again
    assert materialise(seen.mask(Causal(2)), 1, at, at) is not first
