"""The vocabulary in which a family states its structure: frozen values, no tensors.

Letters used in shapes throughout: B batch, T query length, S key length, H query heads, G key/value
heads, D head width, E hidden width, F inner width, V vocabulary, N tokens laid end to end.
"""

from formers.nn.spec.attention import Attention, Disentangled, Latent
from formers.nn.spec.chosen import ChosenHeads
from formers.nn.spec.layers import Layer, Part, layer
from formers.nn.spec.mixers import Experts, FeedForward, Mixer
from formers.nn.spec.scans import Scan
from formers.nn.spec.stack import Sharing, Stack, Summary, norms_first
from formers.nn.spec.stems import (
    ComputedPositions,
    Frames,
    LearnedPositions,
    Patches,
    Queries,
    Spans,
    Stem,
    Tokens,
    pair,
)
from formers.nn.spec.values import Heads, LinearKind, Names, Norm, Paths, SlotSpec, SpecError, crossed

__all__ = [
    "Attention",
    "ChosenHeads",
    "ComputedPositions",
    "Disentangled",
    "Experts",
    "FeedForward",
    "Frames",
    "Heads",
    "Latent",
    "Layer",
    "LearnedPositions",
    "LinearKind",
    "Mixer",
    "Names",
    "Norm",
    "Part",
    "Patches",
    "Paths",
    "Queries",
    "Scan",
    "Sharing",
    "SlotSpec",
    "Spans",
    "SpecError",
    "Stack",
    "Stem",
    "Summary",
    "Tokens",
    "crossed",
    "layer",
    "norms_first",
    "pair",
]
