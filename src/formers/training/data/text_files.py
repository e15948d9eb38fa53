"""Text files as rows of token ids, for scripts that trained language models on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from formers.core.notices import notice


def _text_of(file_path: str | os.PathLike[str]) -> str:
    path = Path(file_path)
    if not path.is_file():
        raise ValueError(f"Input file path {path} not found")
    return path.read_text(encoding="utf-8")


class LineByLineTextDataset(Dataset[dict[str, Any]]):
    """Each line of a file as a row; empty ones are left out.

    Args:
        tokenizer: makes ids of them.
        file_path: text in UTF-8.
        block_size: tokens that a row has at most.

    Raises:
        ValueError: where there is no such file.
    """

    def __init__(self, tokenizer: Any, file_path: str | os.PathLike[str], block_size: int) -> None:
        lines = [line for line in _text_of(file_path).splitlines() if line and not line.isspace()]
        read = tokenizer(lines, add_special_tokens=True, truncation=True, max_length=block_size)
        self.examples = [{"input_ids": torch.tensor(ids)} for ids in read["input_ids"]] if lines else []

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.examples[i]


class TextDataset(Dataset[torch.Tensor]):
    """A file in blocks of `block_size` tokens, special ones included; what fills no block is left out.

    Args:
        tokenizer: makes ids of the text.
        file_path: text in UTF-8.
        block_size: tokens of a row.
        overwrite_cache: the file is read anew each time, so this changes nothing.
        cache_dir: likewise.

    Raises:
        ValueError: where there is no such file, or the blocks would hold special tokens alone.
    """

    def __init__(
        self,
        tokenizer: Any,
        file_path: str | os.PathLike[str],
        block_size: int,
        overwrite_cache: bool = False,
        cache_dir: str | None = None,
    ) -> None:
        if cache_dir is not None:
            notice("TextDataset(cache_dir=...) has no effect: the file is read anew each time")
        size = block_size - tokenizer.num_special_tokens_to_add(pair=False)
        if size < 1:
            raise ValueError(f"block_size={block_size} leaves no room beside special tokens")
        ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(_text_of(file_path)))
        starts = range(0, len(ids) - size + 1, size)
        self.examples = [tokenizer.build_inputs_with_special_tokens(ids[at : at + size]) for at in starts]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.tensor(self.examples[i], dtype=torch.long)
