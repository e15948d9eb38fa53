"""What prompts that begin alike share: keys and values of their first blocks, kept for those that come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from formers.nn.cache import Cache

Block = list[tuple[Tensor, Tensor]]  # per layer [1, G, size, D] twice


class Blocks:
    """Blocks of `size` tokens under what stands in them and before them; the longest unused go first.

    Args:
        size: tokens in a block.
        most: bytes that all of them may take; 0 keeps none.
    """

    def __init__(self, size: int = 32, most: int = 256 << 20) -> None:
        self.size, self.most, self.bytes = size, most, 0
        self._held: OrderedDict[tuple[int, ...], Block] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def begun(self, prompt: Sequence[int], cache: Cache) -> int:
        """Put what is known of a prompt's beginning into an empty cache; how many tokens that is.

        One token at least is left to be read.
        """
        found: list[Block] = []
        for stop in range(self.size, len(prompt), self.size):
            key = tuple(prompt[:stop])
            if key not in self._held:
                break
            self._held.move_to_end(key)
            found.append(self._held[key])
        for block in found:
            for slot, (keys, values) in zip(cache.slots, block, strict=True):
                slot.update(keys, values)
        return len(found) * self.size

    def keep(self, prompt: Sequence[int], cache: Cache) -> None:
        """Keep the whole blocks of a prompt that was read."""
        if not self.most:
            return
        for stop in range(self.size, len(prompt) + 1, self.size):
            key = tuple(prompt[:stop])
            if key in self._held:
                continue
            block: Block = []
            for slot in cache.slots:
                held = slot.contents()
                assert held is not None
                block.append(tuple(t[:, :, stop - self.size : stop].clone() for t in held))  # type: ignore[arg-type]
            self._held[key] = block
            self.bytes += _size(block)
        while self.bytes > self.most:
            self.bytes -= _size(self._held.popitem(last=False)[1])


def _size(block: Block) -> int:
    return sum(t.nbytes for pair in block for t in pair)
