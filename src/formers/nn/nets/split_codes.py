"""Codes of two kinds: those that say what is said, and those of the sound. See `spec.codec.FramedCodec`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.fresh import Constant, begins
from formers.nn.nets.codec import ResidualCodes
from formers.nn.spec.codec import FramedCodec

_LEAST = 1e-5  # of what a vector was used


class CountedBook(nn.Module):
    """Vectors that stand for others near them, kept as sums of those and how many there were."""

    embed_sum: Tensor
    cluster_usage: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        shapes = {"initialized": (1,), "cluster_usage": (size,), "embed_sum": (size, width)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
            begins(self, **{name: Constant(float(name != "embed_sum"))})

    @property
    def embed(self) -> Tensor:
        """The vectors, [size, width]."""
        return self.embed_sum / self.cluster_usage.clamp(min=_LEAST)[:, None]

    def encode(self, x: Tensor) -> Tensor:
        """The nearest of [B, width, T]: codes [B, T], int64."""
        rows = x.transpose(1, 2).flatten(0, 1).float()
        far = torch.cdist(rows[None], self.embed[None].float(), p=2)[0]
        return far.argmin(dim=-1).view(x.shape[0], -1)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, T] -> [B, width, T]."""
        return F.embedding(codes, self.embed).transpose(1, 2)


class _Holder(nn.Module):
    """What holds one."""

    def __init__(self, s: FramedCodec) -> None:
        super().__init__()
        self.codebook = CountedBook(s.size, s.narrow)


class NarrowedCodes(ResidualCodes):
    """The same in fewer features."""

    def __init__(self, s: FramedCodec, books: int) -> None:
        nn.Module.__init__(self)
        self.layers = nn.ModuleList(_Holder(s) for _ in range(books))
        narrows = s.narrow != s.last_width
        self.input_proj = nn.Conv1d(s.last_width, s.narrow, 1, bias=False) if narrows else None
        self.output_proj = nn.Conv1d(s.narrow, s.last_width, 1, bias=False) if narrows else None

    def encode(self, x: Tensor, count: int) -> Tensor:
        """[B, E, T] -> codes of the first `count` books, [B, count, T]."""
        return super().encode(x if self.input_proj is None else self.input_proj(x), count)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, n, T] -> [B, E, T]."""
        found = super().decode(codes)
        return found if self.output_proj is None else self.output_proj(found)


class SplitCodes(nn.Module):
    """Both kinds, side by side."""

    row_wise = True

    def __init__(self, s: FramedCodec) -> None:
        super().__init__()
        self.spec = s
        self.semantic_residual_vector_quantizer = NarrowedCodes(s, s.first)
        self.acoustic_residual_vector_quantizer = NarrowedCodes(s, s.books - s.first)

    def encode(self, x: Tensor, count: int) -> Tensor:
        """[B, E, T] -> [B, count, T]."""
        found = self.semantic_residual_vector_quantizer.encode(x, self.spec.first)
        if count == self.spec.first:
            return found
        more = self.acoustic_residual_vector_quantizer.encode(x, count - self.spec.first)
        return torch.cat((found, more), dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, n, T] -> [B, E, T]."""
        first = self.spec.first
        found = self.semantic_residual_vector_quantizer.decode(codes[:, :first])
        if codes.shape[1] > first:
            found = found + self.acoustic_residual_vector_quantizer.decode(codes[:, first:])
        return found
