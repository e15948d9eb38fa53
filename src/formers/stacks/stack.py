"""A stack of layers: leaves registered as the checkpoint has them, computed over packed tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.nn import spec
from formers.nn.attend import backend
from formers.nn.attention import Frame, cross_attention, place_attention, self_attention
from formers.nn.cache import Cache
from formers.nn.dropout import drop
from formers.nn.embeddings import check_positions, column_positions, embed, place_embeddings
from formers.nn.feedforward import feed_forward, place_feedforward
from formers.nn.layout import Layout
from formers.nn.leaves import Block, norm
from formers.nn.masks import Causal, Explicit, Full, Mask, Segments
from formers.nn.recording import recording


class Layer(Block):
    """One layer of a stack; see `spec.Layer`."""

    def __init__(self, s: spec.Layer, width: int, paths: dict[str, str]) -> None:
        super().__init__()
        self.spec = s
        place_attention(self, s.attention, width, paths)
        self.place("attention_norm", paths["attention_norm"], norm(s.norm, width))
        if s.cross is not None:
            place_attention(self, s.cross, width, paths, prefix="cross_")
            self.place("cross_norm", paths["cross_norm"], norm(s.norm, width))
        place_feedforward(self, s.feedforward, width, paths)
        self.place("feedforward_norm", paths["feedforward_norm"], norm(s.norm, width))

    def forward(self, x: Tensor, frame: Frame, index: int, first: Tensor | None = None) -> Tensor:
        """[N, E] -> [N, E]; `index` is the layer's place in its stack.

        With `first` (rows of the first tokens) only those are computed: [N, E] -> [sequences, E].
        """
        s = self.spec
        x = self._residual(
            "attention_norm", x, lambda h: self_attention(self, s.attention, h, frame, index, first), first
        )
        cross = s.cross
        if cross is not None and frame.encoder is not None:
            x = self._residual("cross_norm", x, lambda h: cross_attention(self, cross, h, frame, index))
        return self._residual("feedforward_norm", x, lambda h: feed_forward(self, s.feedforward, h))

    def _residual(self, role: str, x: Tensor, sublayer: Any, kept: Tensor | None = None) -> Tensor:
        normalise = self.leaf(role)
        y = sublayer(normalise(x) if self.spec.order == "pre" else x)
        x = x if kept is None else x.index_select(0, kept)
        if self.spec.dropout and self.training:
            y = drop(y, self.spec.dropout)
        # without gradients the sub-layer's output belongs to nobody else and can take the sum
        y = x + y if torch.is_grad_enabled() or y.dtype != x.dtype else y.add_(x)
        out: Tensor = normalise(y) if self.spec.order == "post" else y
        return out


@dataclass(eq=False)
class Inputs:
    """What a caller hands to a stack; shapes as in `run`."""

    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    inputs_embeds: Tensor | None = None
    past_key_values: Cache | None = None
    encoder_hidden_states: Tensor | None = None
    encoder_attention_mask: Tensor | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    attention: str = "sdpa"
    keep_padding: bool = False
    first_only: bool = False


@dataclass(eq=False)
class States:
    """What a stack computed, still packed.

    Attributes:
        rows: last hidden states, [N, E].
        layout: which rows are which sequence.
        hidden: hidden states after the embeddings and after every layer, [N, E] each, when asked for.
        attentions: [B, H, T, S] per layer, when asked for; `cross_attentions` likewise.
        cache: keys and values, when a cache was in use.
        pooled: [B, E], where the stack has a pooler.
        first_only: `rows` hold the first token of every sequence alone, [sequences, E].
    """

    rows: Tensor
    layout: Layout
    hidden: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    cache: Cache | None = None
    pooled: Tensor | None = None
    first_only: bool = False

    @property
    def first(self) -> Tensor:
        """State of the first token of every batch row, [B, E]."""
        return self.layout.by_row(self.rows) if self.first_only else self.layout.first(self.rows)

    @property
    def last(self) -> Tensor:
        """[B, T, E], zeros where padding was left out."""
        return self.layout.unpack(self.rows)

    @property
    def unpacked_hidden(self) -> tuple[Tensor, ...] | None:
        """Hidden states as callers see them, [B, T, E] each."""
        return None if self.hidden is None else tuple(self.layout.unpack(h) for h in self.hidden)


def place_stack(block: Block, s: spec.Stack) -> None:
    """Register every leaf of a stack on `block`, under the paths of the spec's names."""
    names = s.names
    place_embeddings(block, s.embeddings, names.embeddings)
    layers = nn.ModuleList(Layer(layer, s.width, dict(names.layer)) for layer in s.layers)
    block.place("layers", names.layers, layers)
    if s.final_norm is not None:
        block.place("final_norm", names.stack["final_norm"], norm(s.final_norm, s.width))
    if s.pooler:
        block.place("pooler", names.stack["pooler"], nn.Linear(s.width, s.width))


def run(block: Block, s: spec.Stack, inputs: Inputs, checkpointing: bool = False) -> States:
    """Compute a stack.

    Args:
        block: owner of the leaves.
        s: how they are wired.
        inputs: `input_ids` [B, T] or `inputs_embeds` [B, T, E]; `attention_mask` [B, S], 1 at real tokens,
            or a mask of 3 or 4 dimensions with the queries' own axis; the rest [B, T].
        checkpointing: recompute layers in the backward pass instead of keeping their activations.

    Returns:
        The states, packed.

    Raises:
        ValueError: for both or neither of ids and vectors, a mask that does not fit, too many tokens.
    """
    frame, ids, vectors, types = _prepare(s, inputs)
    x = embed(block, s.embeddings, ids, vectors, frame.positions, types)  # [N, E]
    hidden = [x] if inputs.output_hidden_states else []
    layers = block.leaf("layers")
    assert isinstance(layers, nn.ModuleList)
    first = frame.layout.starts(x.device) if _first_suffices(s, inputs, frame) else None
    for i, layer in enumerate(layers):
        # what the head reads of the last layer is all that the last layer computes
        kept = first if i == len(layers) - 1 else None
        if s.layer_drop and block.training and float(torch.rand(())) < s.layer_drop:
            pass  # left out; the states pass unchanged
        elif checkpointing and block.training and torch.is_grad_enabled():
            x = checkpoint(layer, x, frame, i, kept, use_reentrant=False)
        else:
            x = layer(x, frame, i, kept)
        if hidden:
            hidden.append(x)
    if s.final_norm is not None:
        x = block.leaf("final_norm")(x)
    if s.final_dropout and block.training:
        x = drop(x, s.final_dropout)
    if hidden:
        hidden[-1] = x
    states = States(
        x,
        frame.layout,
        tuple(hidden) or None,
        tuple(frame.weights) or None,
        tuple(frame.cross_weights) or None,
        frame.cache,
        first_only=first is not None,
    )
    if s.pooler:
        states.pooled = block.leaf("pooler")(states.first).tanh()
    return states


def _first_suffices(s: spec.Stack, inputs: Inputs, frame: Frame) -> bool:
    """Whether the last layer may compute the first token of every sequence alone."""
    if not inputs.first_only or not s.layers or not frame.layout.spans:
        return False
    attention = s.layers[-1].attention
    plain = isinstance(attention.mask, Full) and not attention.fused and attention.rotary is None
    return (
        plain
        and not s.layer_drop
        and attention.score_bias is None
        and s.layers[-1].cross is None
        and frame.cache is None
        and frame.extra is None
        and not (inputs.output_hidden_states or inputs.output_attentions)
    )


def _prepare(s: spec.Stack, inputs: Inputs) -> tuple[Frame, Tensor | None, Tensor | None, Tensor | None]:
    """Decide the layout and pack what the embeddings need."""
    if (inputs.input_ids is None) == (inputs.inputs_embeds is None):
        raise ValueError("give exactly one of input_ids and inputs_embeds")
    given = inputs.input_ids if inputs.input_ids is not None else inputs.inputs_embeds
    if inputs.input_ids is not None:
        check_ids(given)
    assert given is not None
    if given.dim() < 2:
        raise ValueError(f"inputs have a batch axis, [B, T], but have shape {list(given.shape)}")
    batch, length = int(given.shape[0]), int(given.shape[1])
    past = inputs.past_key_values.get_seq_length() if inputs.past_key_values is not None else 0
    real, given_mask, bias = _read_mask(s, inputs.attention_mask, batch, past, length)
    extra = given_mask if given_mask is not None else _segments(s, inputs, past)
    real = _unless_all(real)
    layout = _choose_layout(s, inputs, real, extra, batch, length)
    if layout.index is not None:
        real = None
    dense = Layout.dense(batch, length)
    check_positions(s.embeddings, dense, past)
    positions = inputs.position_ids
    if positions is None:
        positions = column_positions(s.embeddings, dense, inputs.input_ids, past, given.device)
    positions = layout.pack(positions.expand(batch, length))  # [N]
    encoder_real = inputs.encoder_attention_mask
    encoder_real = None if encoder_real is None else _unless_all(encoder_real.bool())
    frame = Frame(
        layout,
        backend("eager" if inputs.output_attentions else inputs.attention),
        positions,
        past,
        real,
        extra,
        given_mask is not None,
        bias,
        inputs.past_key_values,
        inputs.encoder_hidden_states,
        encoder_real,
        inputs.output_attentions,
    )
    packed = (
        None if t is None else layout.pack(t.expand(batch, *t.shape[1:]))
        for t in (inputs.input_ids, inputs.inputs_embeds, inputs.token_type_ids)
    )
    ids, vectors, types = packed
    return frame, ids, vectors, types


def check_ids(ids: Any) -> None:
    """Refuse what is no tensor of token ids.

    Raises:
        TypeError: says what was passed, and what to type.
    """
    if not isinstance(ids, Tensor) or ids.is_floating_point():
        raise TypeError(f"a model reads token ids as an integer tensor, [B, T], not {_described(ids)}")


def _described(given: Any) -> str:
    """What somebody passed for token ids, and what to type instead."""
    kind = type(given).__name__
    if isinstance(given, Tensor):
        return f"a tensor of {given.dtype}: convert it with .long(), or pass vectors as inputs_embeds="
    if isinstance(given, str):
        return "text: tokenize it, model(**tokenizer(text, return_tensors='pt'))"
    if hasattr(given, "keys"):
        return f"a {kind}: unpack it, model(**inputs)"
    return f"{kind}: ask the tokenizer for tensors, tokenizer(text, return_tensors='pt')"


def _unless_all(real: Tensor | None) -> Tensor | None:
    """The padding mask, or None where it hides nothing: kernels are faster without one."""
    if real is None or real.device.type != "cpu":
        return real
    if recording():
        return real
    return None if bool(real.all()) else real


def _read_mask(
    s: spec.Stack, mask: Tensor | None, batch: int, past: int, length: int
) -> tuple[Tensor | None, Explicit | None, Tensor | None]:
    """Tell a padding mask [B, S] from one that says more, and take that apart into a mask and a bias."""
    if mask is None:
        return None, None, None
    if not isinstance(mask, Tensor):
        raise TypeError(f"attention_mask must be a tensor, [B, S], not {type(mask).__name__}")
    if mask.dim() == 2:
        if tuple(mask.shape) != (batch, past + length):
            raise ValueError(
                f"attention_mask must have shape {[batch, past + length]} (one entry for every past and new "
                f"token), but has {list(mask.shape)}"
            )
        return mask.bool(), None, None
    whole = mask[:, None] if mask.dim() == 3 else mask  # [B, 1 or H, T, S]
    heads = s.layers[0].attention.heads.query if s.layers else 1
    wanted = ((1, batch), (1, heads), (length,), (past + length,))
    if whole.dim() != 4 or any(size not in sizes for size, sizes in zip(whole.shape, wanted, strict=True)):
        raise ValueError(
            f"attention_mask has shape {list(mask.shape)}; read is [B, S], [B, T, S], [B, 1, T, S] or "
            f"[B, H, T, S], with B={batch}, H={heads}, T={length}, S={past + length}"
        )
    seen, bias = _taken_apart(whole)
    if seen.shape[1] > 1:  # heads that differ say so by a bias
        hidden = torch.zeros(seen.shape, device=seen.device).masked_fill(
            ~seen, torch.finfo(torch.float32).min
        )
        seen, bias = seen.any(1, keepdim=True), hidden if bias is None else bias + hidden
    return None, Explicit(seen, past), bias


def _taken_apart(mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """Which keys are seen, and what is added to their scores.

    A boolean or integer mask, or a float one of zeros and ones, holds 1 where a key is seen. Any other float
    mask is added to the scores, and hides where it holds the least number or minus infinity.
    """
    if not mask.is_floating_point():
        return mask.bool(), None
    fixed = recording()
    if not fixed and bool((mask == 1).any()) and bool(((mask == 0) | (mask == 1)).all()):
        return mask.bool(), None
    seen = mask > torch.finfo(mask.dtype).min / 2
    bias = mask.masked_fill(~seen, 0.0)
    return seen, bias if fixed or bool(bias.any()) else None


def _segments(s: spec.Stack, inputs: Inputs, past: int) -> Segments | None:
    """Several examples in one row, as positions that start again say where there is no mask."""
    positions = inputs.position_ids
    causal = any(isinstance(layer.attention.mask, Causal) for layer in s.layers)
    if positions is None or inputs.attention_mask is not None or past or not causal or positions.dim() != 2:
        return None
    if recording():
        return None
    starts = positions[:, 1:] != positions[:, :-1] + 1  # [B, T - 1]
    if not bool(starts.any()):
        return None
    ids = torch.nn.functional.pad(starts.long().cumsum(1), (1, 0))  # [B, T]
    given = inputs.input_ids if inputs.input_ids is not None else inputs.inputs_embeds
    assert given is not None
    return Segments(ids.expand(given.shape[0], -1))


def _choose_layout(
    s: spec.Stack, inputs: Inputs, real: Tensor | None, extra: Mask | None, batch: int, length: int
) -> Layout:
    """Leave padding out where nothing needs it: no cache, no weights asked for, and a CPU below."""
    packable = (
        real is not None
        and extra is None
        and not inputs.output_attentions
        and not inputs.keep_padding
        and inputs.past_key_values is None
        and inputs.encoder_hidden_states is None
        and real.device.type == "cpu"
        and not recording()
    )
    if not packable or real is None or bool(real.all()) or not bool(real.any()):
        return Layout.dense(batch, length)
    if _counts_distance(s) and not _contiguous(real):
        return Layout.dense(batch, length)
    return Layout.of(real)


def _counts_distance(s: spec.Stack) -> bool:
    """Whether attention depends on how far apart two rows are, which closing a gap would change."""
    return any(
        layer.attention.score_bias is not None
        or not isinstance(layer.attention.mask, (Full, Causal))
        or getattr(layer.attention.mask, "window", None) is not None
        for layer in s.layers
    )


def _contiguous(real: Tensor) -> bool:
    """Whether the real tokens of every row, [B, T], stand together."""
    begins = real[:, 1:] & ~real[:, :-1]
    return bool((begins.sum(1) + real[:, 0] <= 1).all())
