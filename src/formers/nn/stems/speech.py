"""Stems of models that hear, read, write and speak. See `spec.speech_stems`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.convolutional_positions import NearConvolution
from formers.nn.dropout import Dropout, drop
from formers.nn.fresh import Constant, alternating, begins
from formers.nn.layout import Layout
from formers.nn.leaves import ComputedSinusoids
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.stems.tokens import TokenStem
from formers.nn.stems.waves import WaveStem
from formers.nn.tree import Block, leaf, place


class ScaledWaves(nn.Module):
    """Adds sinusoids of places, a sine and a cosine in turns, times one learned number."""

    row_wise = True

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.alpha = nn.Parameter(torch.empty(()))
        self.dropout = Dropout(dropout)
        begins(self, alpha=Constant(1.0))

    def forward(self, rows: Tensor, places: Tensor | None = None) -> Tensor:
        """[.., E], and where each row stands, [..], or counted -> [.., E]."""
        if places is None:
            places = torch.arange(rows.shape[-2], device=rows.device)
        found: Tensor = self.dropout(rows + self.alpha * alternating(places, self.width).to(rows.dtype))
        return found


class PlacedWaveStem(WaveStem):
    """See `spec.PlacedWaves`."""

    def place(self, owner: Block, names: Paths) -> None:
        """Register the modules."""
        s: spec.PlacedWaves = self.spec
        super().place(owner, names)
        want(names, "near", "position")
        place(owner, "near", str(names["near"]), NearConvolution(s.near, s.width))
        place(owner, "position", str(names["position"]), ComputedSinusoids(s.width, True, s.padding_idx))

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Which rows real samples make, [B, T]; a mask [B, samples] says by itself how many there are."""
        known = {"input_values": mask} if given is None and mask is not None else given
        return super().rows_mask(mask, known)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, samples] -> [B, T, E]; flat rows where nobody looks."""
        s: spec.PlacedWaves = self.spec
        x = leaf(node, "features_projection")(self._features(node, given, pass_.watched))
        x = self._hidden(node, x, given.get("mask_time_indices"), pass_)
        x = x + leaf(node, "near")(x)  # which reads what padding became, as models were trained
        places = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2]) + s.padding_idx + 1
        if s.padding_idx:
            x = x + leaf(node, "position")(places).to(x.dtype)
        return x if pass_.watched else pass_.layout.pack(x)


class WavedTokenStem(TokenStem):
    """See `spec.WavedTokens`."""

    inputs: ClassVar = {name: TokenStem.inputs[name] for name in ("input_ids", "inputs_embeds")}
    by_row = tuple(inputs)

    def place(self, owner: Block, names: Paths) -> None:
        """Register the table, and the number that scales the sinusoids."""
        want(names, "waves")
        self._place_tokens(owner, names, self.spec.width)
        place(owner, "waves", str(names["waves"]), ScaledWaves(self.spec.width, self.spec.dropout))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Ids [N] (or [B, T]) -> [N, E] (or [B, T, E])."""
        vectors = given.get("inputs_embeds")
        x = self._vectors(node, given.get("input_ids")) if vectors is None else vectors
        found: Tensor = leaf(node, "waves")(x, pass_.geometry.positions)
        return found


class HeardRowStem(Stem):
    """See `spec.HeardRows`."""

    inputs: ClassVar[Mapping[str, str]] = {"input_values": "[B, T, E], the rows.", "attention_mask": ""}

    def _wide(self) -> int:
        """Numbers of a row."""
        return int(self.spec.width)

    def place(self, owner: Block, names: Paths) -> None:
        """Nothing: callers make the rows."""

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the rows."""
        rows, wide = given.get(self.spec.reads), self._wide()
        if not isinstance(rows, Tensor) or not rows.is_floating_point():
            kind = getattr(rows, "dtype", type(rows).__name__)
            raise TypeError(f"these rows are a floating tensor [B, T, {wide}], not {kind}")
        if rows.dim() != 3 or rows.shape[2] != wide or not rows.shape[1]:
            raise ValueError(f"these rows have shape [B, T, {wide}], not {list(rows.shape)}")
        return size(rows.shape[0]), size(rows.shape[1])

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns."""
        room = self.room
        if room is not None and past + layout.length > room:
            raise ValueError(
                f"{past + layout.length} frames are more than the {room} places that the model has: speak a "
                "shorter text, or lower maxlenratio"
            )
        return torch.arange(past, past + layout.length, device=given[self.spec.reads].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E]; [N, E] where nobody looks."""
        x: Tensor = given[self.spec.reads]
        x = drop(x, self.spec.dropout) if self.spec.dropout and node.training else x
        return x if pass_.watched else pass_.layout.pack(x)


class GivenRowStem(HeardRowStem):
    """See `spec.GivenRows`."""

    inputs: ClassVar[Mapping[str, str]] = {
        "inputs_embeds": "[B, T, E], floating: rows that another model made.",
        "attention_mask": "[B, T], 1 at rows that count.",
    }


class SaidRowStem(HeardRowStem):
    """See `spec.SaidRows`."""

    inputs: ClassVar[Mapping[str, str]] = {
        **HeardRowStem.inputs,
        **dict.fromkeys(("encoder_hidden_states", "encoder_attention_mask"), ""),
        "speaker_embeddings": "[B or 1, voice], floating: the vector of a speaker.",
        **dict.fromkeys(("past_key_values", "use_cache", "cache_position"), ""),
    }


class SaidFrameStem(SaidRowStem):
    """See `spec.SaidFrames`."""

    def _wide(self) -> int:
        return int(self.spec.bins)

    def place(self, owner: Block, names: Paths) -> None:
        """Register the layers, and the number that scales the sinusoids."""
        s: spec.SaidFrames = self.spec
        want(names, "narrow", "wide", "waves", "speaker")
        reads = [s.bins, *[s.inner] * (s.depth - 1)][: s.depth]
        place(owner, "narrow", str(names["narrow"]), nn.ModuleList(nn.Linear(n, s.inner) for n in reads))
        place(owner, "wide", str(names["wide"]), nn.Linear(s.inner, s.width))
        place(owner, "waves", str(names["waves"]), ScaledWaves(s.width, s.dropout))
        place(owner, "speaker", str(names["speaker"]), nn.Linear(s.voice + s.width, s.width))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, bins] -> [B, T, E]; flat rows where nobody looks."""
        s: spec.SaidFrames = self.spec
        wide, past = leaf(node, "wide"), pass_.geometry.past
        x: Tensor = given["input_values"].to(wide.weight.dtype)
        for layer in leaf(node, "narrow"):
            x = _dropped_alike(F.relu(layer(x)), s.rate, past)
        x = leaf(node, "waves")(wide(x), torch.arange(past, past + x.shape[1], device=x.device))
        voice = given.get("speaker_embeddings")
        if voice is not None:
            x = F.relu(leaf(node, "speaker")(torch.cat((x, _voice(voice, x, s.voice)), dim=-1)))
        return x if pass_.watched else pass_.layout.pack(x)


def _dropped_alike(x: Tensor, rate: float, past: int) -> Tensor:
    """[B, T, F] with the same features of each row dropped for all of the batch.

    Numbers are drawn for the `past` rows too, so that those who read everything again draw the same.
    """
    if not rate:
        return x
    kept = torch.bernoulli(x.new_empty(past + x.shape[1], x.shape[2]), rate)[past:]
    return x * kept / (1 - rate)


def _voice(voice: Tensor, like: Tensor, width: int) -> Tensor:
    """The vectors of speakers at length one beside each row, [B, T, voice]."""
    if voice.dim() != 2 or voice.shape[0] not in (1, len(like)) or voice.shape[1] != width:
        raise ValueError(
            f"speaker_embeddings have shape [{len(like)}, {width}], or [1, {width}] for one speaker of all, "
            f"not {list(voice.shape)}"
        )
    normed = F.normalize(voice.to(like))[:, None]
    return normed.expand(len(like), like.shape[1], -1)
