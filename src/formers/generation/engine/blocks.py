"""What prompts that begin alike share: keys and values of their first blocks, kept for those that come."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from formers.nn.cache import Cache, Slot

Block = list[tuple[Tensor, Tensor]]  # per layer [1, G, size, D] twice
_Key = tuple[int, tuple[int, ...]]


class Blocks:
    """Blocks of `size` tokens under what stands in them and before them; the longest unused go first.

    Args:
        size: tokens in a block.
        most: bytes that all of them may take; 0 keeps none.
    """

    def __init__(self, size: int = 32, most: int = 256 << 20) -> None:
        self.size, self.most, self.bytes = size, most, 0
        # (number of the block before, tokens) -> (own number, contents): a key is as long as a block
        self._held: OrderedDict[_Key, tuple[int, Block]] = OrderedDict()
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._held)

    def known(self) -> list[_Key]:
        """What blocks are found by, the longest unused first."""
        return list(self._held)

    def begun(self, prompt: Sequence[int], cache: Cache) -> int:
        """Put what is known of a prompt's beginning into an empty cache; how many tokens that is.

        One token at least is left to be read.
        """
        found, before = [], 0
        for start in range(0, len(prompt) - self.size, self.size):
            key = (before, tuple(prompt[start : start + self.size]))
            if key not in self._held:
                break
            before, block = self._held[key]
            found.append(key)
            for slot, (keys, values) in zip(cache.slots, block, strict=True):
                slot.update(keys, values)
        self._use(found)
        return len(found) * self.size

    def keep(self, prompt: Sequence[int], cache: Cache) -> None:
        """Keep the whole blocks of a prompt that was read."""
        if not self.most:
            return
        used, before = [], 0
        for start in range(0, len(prompt) - self.size + 1, self.size):
            stop = start + self.size
            key = (before, tuple(prompt[start:stop]))
            if key not in self._held:
                block = [_cut(slot, start, stop) for slot in cache.slots]
                self._held[key] = next(self._numbers), block
                self.bytes += _size(block)
            before = self._held[key][0]
            used.append(key)
        self._use(used)
        while self.bytes > self.most:
            self.bytes -= _size(self._held.popitem(last=False)[1][1])

    def _use(self, keys: list[_Key]) -> None:
        """Note that blocks were used; a block outlives those behind it, which nobody finds without it."""
        for key in reversed(keys):
            self._held.move_to_end(key)


def _cut(slot: Slot, start: int, stop: int) -> tuple[Tensor, Tensor]:
    held = slot.contents()
    assert held is not None
    keys, values = held
    return keys[:, :, start:stop].clone(), values[:, :, start:stop].clone()


def _size(block: Block) -> int:
    return sum(t.nbytes for pair in block for t in pair)
