"""The vocabulary in which a family states its structure: frozen values, no tensors.

Letters used in shapes throughout: B batch, T query length, S key length, H query heads, G key/value
heads, D head width, E hidden width, F inner width, V vocabulary, N tokens laid end to end.
"""

from formers.nn.spec.attention import (
    Attention,
    Aware,
    Disentangled,
    Latent,
    Local,
    Prompts,
    Relative,
    Windowed,
)
from formers.nn.spec.chosen import ChosenHeads
from formers.nn.spec.layers import Bottleneck, Layer, Part, layer
from formers.nn.spec.mixers import Experts, FeedForward, Mixer, TopTwo
from formers.nn.spec.mixing import Channels, Fourier, Hashed, Landmarks, Resolved, SpanConvolution, WideValues
from formers.nn.spec.scans import DeltaRule, GatedRecurrence, HeadScan, Scan, ShortConvolution
from formers.nn.spec.stack import Convolution, Sharing, Stack, Summary, norms_first
from formers.nn.spec.stems import (
    ComputedPositions,
    Entities,
    Frames,
    LearnedPositions,
    Linked,
    Patches,
    Queries,
    Spans,
    Stem,
    Tokens,
    pair,
)
from formers.nn.spec.values import (
    Grouped,
    Heads,
    LinearKind,
    Names,
    Norm,
    Paths,
    SlotSpec,
    SpecError,
    crossed,
)

__all__ = [
    "Attention",
    "Aware",
    "Bottleneck",
    "Channels",
    "ChosenHeads",
    "ComputedPositions",
    "Convolution",
    "DeltaRule",
    "Disentangled",
    "Entities",
    "Experts",
    "FeedForward",
    "Fourier",
    "Frames",
    "GatedRecurrence",
    "Grouped",
    "Hashed",
    "HeadScan",
    "Heads",
    "Landmarks",
    "Latent",
    "Layer",
    "LearnedPositions",
    "LinearKind",
    "Linked",
    "Local",
    "Mixer",
    "Names",
    "Norm",
    "Part",
    "Patches",
    "Paths",
    "Prompts",
    "Queries",
    "Relative",
    "Resolved",
    "Scan",
    "Sharing",
    "ShortConvolution",
    "SlotSpec",
    "SpanConvolution",
    "Spans",
    "SpecError",
    "Stack",
    "Stem",
    "Summary",
    "Tokens",
    "TopTwo",
    "WideValues",
    "Windowed",
    "crossed",
    "layer",
    "norms_first",
    "pair",
]
