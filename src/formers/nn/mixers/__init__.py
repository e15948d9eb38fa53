"""Mixers: what a part of a layer does. One file each; `steps_of` is the list of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.nn import spec
from formers.nn.mixers.attention import attention_steps
from formers.nn.mixers.block_sparse import block_sparse_steps
from formers.nn.mixers.blocked import blocked_steps
from formers.nn.mixers.bottleneck import Narrow, wide_values_steps, widen_steps
from formers.nn.mixers.channels import Turn, channels_steps
from formers.nn.mixers.chunked import chunked_steps
from formers.nn.mixers.conditional import conditional_steps
from formers.nn.mixers.conformer import (
    distant_steps,
    favouring_steps,
    gated_convolution_steps,
    separable_convolution_steps,
)
from formers.nn.mixers.convolutional_feedforward import convolved_steps
from formers.nn.mixers.deformable import deformable_steps
from formers.nn.mixers.delta_rule import delta_rule_steps
from formers.nn.mixers.disentangled import disentangled_steps
from formers.nn.mixers.divided_attention import divided_steps
from formers.nn.mixers.entity_aware import aware_steps
from formers.nn.mixers.experts import experts_steps
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.mixers.fourier import fourier_steps
from formers.nn.mixers.future_tokens import foresight_steps
from formers.nn.mixers.gated_recurrence import gated_recurrence_steps
from formers.nn.mixers.gated_relative_bias import weighed_steps
from formers.nn.mixers.hashed_attention import hashed_steps
from formers.nn.mixers.head_experts import chosen_steps
from formers.nn.mixers.head_scan import head_scan_steps
from formers.nn.mixers.integers import integer_part
from formers.nn.mixers.kept_cross_attention import kept_cross_steps
from formers.nn.mixers.landmark_attention import landmarks_steps
from formers.nn.mixers.languages import languages_steps
from formers.nn.mixers.latent import latent_steps
from formers.nn.mixers.local import local_steps
from formers.nn.mixers.multi_resolution import resolved_steps
from formers.nn.mixers.offsets import offsets_steps, shared_offsets_steps
from formers.nn.mixers.pooled_attention import pooled_steps
from formers.nn.mixers.relative import relative_steps
from formers.nn.mixers.scan import scan_steps
from formers.nn.mixers.short_convolution import short_convolution_steps
from formers.nn.mixers.span import span_steps
from formers.nn.mixers.spatial_reduction import mixed_feedforward_steps, reduced_steps
from formers.nn.mixers.text_behind_queries import SetAside, TakeBack
from formers.nn.mixers.time_mixing import channel_mixing_steps, time_mixing_steps
from formers.nn.mixers.windows_and_global import windowed_steps
from formers.nn.program import Step
from formers.nn.steps import (
    Add,
    Begin,
    Counted,
    Drop,
    Gain,
    HidePadding,
    Normalise,
    Scale,
    Shift,
    Skip,
    TanhGate,
)

STEPS: dict[type[Any], Callable[[Any, int], list[Step]]] = {
    spec.Attention: attention_steps,
    spec.BlockSparse: block_sparse_steps,
    spec.Channels: channels_steps,
    spec.EntityAware: aware_steps,
    spec.BlockLocal: blocked_steps,
    spec.ByLanguage: languages_steps,
    spec.HeadExperts: chosen_steps,
    spec.Chunked: chunked_steps,
    spec.Conditional: conditional_steps,
    spec.Deformable: deformable_steps,
    spec.ConvolvedFeedForward: convolved_steps,
    spec.Disentangled: disentangled_steps,
    spec.Distant: distant_steps,
    spec.Experts: experts_steps,
    spec.Favouring: favouring_steps,
    spec.FeedForward: feedforward_steps,
    spec.FutureTokens: foresight_steps,
    spec.Fourier: fourier_steps,
    spec.DeltaRule: delta_rule_steps,
    spec.Divided: divided_steps,
    spec.GatedConvolution: gated_convolution_steps,
    spec.GatedRecurrence: gated_recurrence_steps,
    spec.HeadScan: head_scan_steps,
    spec.Latent: latent_steps,
    spec.Local: local_steps,
    spec.HashedAttention: hashed_steps,
    spec.KeptCross: kept_cross_steps,
    spec.LandmarkAttention: landmarks_steps,
    spec.Latent: latent_steps,
    spec.Offsets: offsets_steps,
    spec.SharedOffsets: shared_offsets_steps,
    spec.Pooled: pooled_steps,
    spec.MixedFeedForward: mixed_feedforward_steps,
    spec.SpatialReduction: reduced_steps,
    spec.MultiResolution: resolved_steps,
    spec.Relative: relative_steps,
    spec.Scan: scan_steps,
    spec.SeparableConvolution: separable_convolution_steps,
    spec.SpanConvolution: span_steps,
    spec.WideValues: wide_values_steps,
    spec.GatedRelativeBias: weighed_steps,
    spec.WindowsAndGlobal: windowed_steps,
    spec.ShortConvolution: short_convolution_steps,
    spec.ChannelMixing: channel_mixing_steps,
    spec.TimeMixing: time_mixing_steps,
}


def layer_steps(layer: spec.Layer, width: int) -> list[Step]:
    """The steps of one layer."""
    neck = layer.bottleneck
    inner = neck.width if neck else width
    each = [part_steps(part, inner) for part in layer.parts]
    if layer.aside:
        asking = [step for steps in each[layer.common :] for step in steps]
        for step in asking:
            step.crosses = True  # what asks is left out where there is nothing to ask
        each[layer.common :] = [[SetAside(), *asking, TakeBack()]]
    steps = [step for part in each for step in part]
    if neck is not None:
        read = any(isinstance(part.mixer, spec.WideValues) for part in layer.parts)
        steps = [Narrow(neck, width, read), *steps, *widen_steps(neck, width)]
    if layer.hides_padding:
        steps.append(HidePadding())
    if layer.entry is not None:
        steps.insert(0, Normalise("entry_norm", layer.entry, width))
    if layer.eased != 1.0:
        steps.append(Scale(layer.eased, rests=True))
    return [Turn(), *steps, Turn()] if layer.turned else steps


def aside_steps(layer: spec.Layer, width: int) -> list[Step]:
    """The steps of what is set aside in one layer."""
    return [step for part in layer.aside for step in part_steps(part, width)]


def part_steps(part: spec.Part, width: int) -> list[Step]:
    """The steps of one part, from reading to the sum and what stands after it."""
    if isinstance(part.mixer, spec.IntegerAttention | spec.IntegerFeedForward):
        return integer_part(part, width)
    role = part.role
    steps: list[Step] = [Begin(role, part.reads, part.wide, part.flat)]
    if part.before is not None and part.reads != "normed":
        at = 0 if part.keeps == "normed" else 1
        apart = isinstance(part.mixer, spec.Chunked)
        steps.insert(at, Normalise(f"{role}_norm", part.before, width, notes=True, apart=apart))
    if part.scale_in != 1.0:
        steps.append(Scale(part.scale_in))
    mixing = STEPS[type(part.mixer)](part.mixer, width)
    mixing[0].normed = part.before is not None
    steps += mixing
    if part.inside is not None:
        steps.append(Normalise(f"{role}_inner", part.inside, width))
    if part.shift:
        steps.append(Shift(role, width))
    steps.append(Drop(f"{role}_dropout", part.dropout))
    if part.gain is not None:
        steps.append(Gain(role, width, part.gain))
    if part.counted:
        steps.append(Counted(part.counted))
    if part.gate:
        steps.append(TanhGate(role, part.gate))
    if part.skip is not None:
        steps.append(Skip(role, part.skip))
    steps.append(Add(role, part.scale))
    if part.after is not None:
        steps.append(Normalise(f"{role}_{'norm' if part.before is None else 'outer'}", part.after, width))
    for step in steps:
        step.crosses = getattr(part.mixer, "cross", False)
    return steps
