"""What mixers share that read tokens one after another: sequences, short convolutions, recurrences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.cache import Hybrid, Recurrent
from formers.nn.program import Flow
from formers.nn.recording import recording


def slot_of(flow: Flow) -> Recurrent | Hybrid | None:
    """Where the layer keeps its state, or None where nothing is kept."""
    slot = None if flow.pass_.cache is None else flow.pass_.cache.slot(flow.index)
    assert slot is None or isinstance(slot, Recurrent | Hybrid)
    return slot


def hidden_rows(flow: Flow, rows: Tensor) -> Tensor | None:
    """Which of the `rows` [.., E] hold tokens, [.., 1]; None where all do. Padding must enter no state."""
    real, past = flow.pass_.visibility.real, flow.pass_.geometry.past
    if real is None:
        return None
    return real[:, past : past + flow.pass_.layout.length].reshape(*rows.shape[:-1], 1)


def beginnings(flow: Flow, rows: Tensor) -> Tensor:
    """Which of the `rows` [.., E] are the first tokens of sequences, [.., 1]."""
    pass_, real = flow.pass_, flow.pass_.visibility.real
    past, length = pass_.geometry.past, pass_.layout.length
    if real is not None:
        counted = (real.long().cumsum(1) == 1) & real  # [B, S]
        return counted[:, past : past + length].reshape(*rows.shape[:-1], 1)
    first = torch.zeros(rows.shape[:-1].numel(), dtype=torch.bool, device=rows.device)
    if not past:
        first[pass_.layout.starts(rows.device)] = True
    return first.view(*rows.shape[:-1], 1)


def by_sequence(flow: Flow, read: Callable[..., Tensor], *rows: Tensor | None) -> Tensor:
    """Let `read` see rows [.., *] as sequences of one length, [b, t, *] each; None stays None.

    Returns:
        What it made of them, laid out as the rows are.
    """
    layout = flow.pass_.layout
    if rows[0] is not None and rows[0].dim() > 2:
        return read(*rows)
    if layout.index is None:
        whole = (
            None if one is None else one.view(layout.batch, layout.length, *one.shape[1:]) for one in rows
        )
        return read(*whole).flatten(0, 1)
    nothing = [None] * len(layout.spans)
    parts = zip(*(nothing if one is None else layout.by_span(one) for one in rows), strict=True)
    return torch.cat([read(*part).flatten(0, 1) for part in parts])


def before_each(
    shift: Any, x: Tensor, first: Tensor | None, hidden: Tensor | None, watched: bool
) -> tuple[Tensor, Tensor]:
    """What stands before every token.

    Args:
        shift: a leaf [b, t, E] -> [b, t, E], which lets every token take the place of the next.
        x: [b, t, E].
        first: what was read last, [b, E]; None for zeros.
        hidden: which rows hold tokens, [b, t, 1]; None where all do.
        watched: the leaf must be called, where there is anything to shift.

    Returns:
        [b, t, E], and the last token, [b, E].
    """
    begin = x.new_zeros(x.shape[0], x.shape[2]) if first is None else first.to(x.dtype)
    if hidden is not None:  # padding stands for the token before it
        if torch.compiler.is_exporting():  # ONNX has no running maximum
            x = _recorded((~hidden).to(x.dtype), x * hidden, begin)
        else:
            place = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None] * hidden
            x = torch.cat((begin[:, None], x), dim=1).gather(1, place.cummax(1).values.expand_as(x))
    if (watched and (first is None or x.shape[1] > 1)) or type(shift) is not nn.ZeroPad2d:
        moved = shift(x)
        moved = moved if first is None else torch.cat((begin[:, None], moved[:, 1:]), dim=1)
    else:
        moved = torch.cat((begin[:, None], x[:, :-1]), dim=1) if x.shape[1] > 1 else begin[:, None]
    return moved, x[:, -1]


def depthwise(width: int, kernel: int, bias: bool) -> nn.Conv1d:
    """A convolution of every feature by itself, which pads on both sides; see `convolve`."""
    return nn.Conv1d(width, width, kernel, groups=width, bias=bias, padding=kernel - 1)


def convolve(
    conv: Any, x: Tensor, reach: int, window: Tensor | None, watched: bool = True, bare: bool = False
) -> tuple[Tensor, Tensor]:
    """A convolution over a token and the `reach` before it, of every feature by itself.

    Args:
        conv: a leaf [b, I, t] -> [b, I, t + reach], which pads by `reach` on both sides.
        x: [b, t, I].
        reach: tokens that it looks back.
        window: [b, reach, I], the tokens before the first; None where there are none.
        watched: the leaf must be called.
        bare: called without a window, it is not given zeros in its place.

    Returns:
        [b, t, I], and the next window.
    """
    length, bare = x.shape[1], bare and window is None
    if window is None:
        window = x.new_zeros(x.shape[0], reach, x.shape[2])
    whole = torch.cat((window.to(x.dtype), x), dim=1)  # [b, reach + t, I]
    if watched or torch.is_grad_enabled() or type(conv) is not nn.Conv1d:
        seen, first = (x, 0) if bare else (whole, reach)
        mixed = conv(seen.transpose(1, 2))[..., first : first + length].transpose(1, 2)
    else:  # few products: the library's convolution takes longer to begin than they do
        weight = conv.weight[:, 0].t().contiguous()  # [reach + 1, I]
        mixed = whole[:, :length] * weight[0]
        for at in range(1, reach + 1):
            mixed.addcmul_(whole[:, at : at + length], weight[at])
        mixed = mixed if conv.bias is None else mixed.add_(conv.bias)
    return mixed, whole[:, length:]


def recur(keep: Tensor, add: Tensor, state: Tensor) -> Tensor:
    """The linear recurrence h_t = keep_t * h_(t-1) + add_t, every number by itself.

    Args:
        keep: [b, t, ..]; an axis of one serves all numbers there.
        add: [b, t, ..]; where nothing is recorded the result takes its place.
        state: h before the first token, [b, ..].

    Returns:
        h of every token, [b, t, ..].
    """
    if torch.compiler.is_exporting():  # a loop within the graph, so that it serves all lengths
        return _recorded(keep, add, state)
    if recording():
        held = []
        for kept, added in zip(keep.unbind(1), add.unbind(1), strict=True):
            state = torch.addcmul(added, kept, state)
            held.append(state)
        return torch.stack(held, dim=1)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (keep, add, state)):
        found: Tensor = _Recur.apply(keep, add, state)  # type: ignore[no-untyped-call]
        return found
    for kept, added in zip(keep.unbind(1), add.unbind(1), strict=True):
        state = added.addcmul_(kept, state)
    return add


def in_chunks(x: Tensor, chunks: int, size: int, rest: float = 0.0) -> Tensor:
    """[b, t, ..] -> [b * chunks, size, ..], where `rest` stands behind the last token."""
    if missing := chunks * size - x.shape[1]:
        x = nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, missing), value=rest)
    return x.reshape(-1, size, *x.shape[2:])


def recur_in_chunks(fades: Tensor, add: Tensor, state: Tensor) -> Tensor:
    """`recur` of few numbers a token: all chunks side by side, then what each hands to the next.

    Args:
        fades: logarithms of what is kept, [b, t, ..]; axes of one serve all numbers there.
        add: [b, t, ..]; it is not kept.
        state: [b, ..].

    Returns:
        [b, t, ..].
    """
    count, length = add.shape[:2]
    size = 0 if torch.compiler.is_exporting() else math.isqrt(length)
    if size < 3:
        return recur(fades.exp(), add, state)
    chunks = -(-length // size)
    fades, add = (in_chunks(t, chunks, size) for t in (fades, add))
    near = recur(fades.exp(), add, state.new_zeros(count * chunks, *state.shape[1:]))
    near = near.view(count, chunks, size, *state.shape[1:])
    kept = fades.cumsum(1).exp().view(count, chunks, *fades.shape[1:])
    ends = recur(kept[:, :, -1], near[:, :, -1].clone(), state)  # [b, chunks, I]
    before = torch.cat((state[:, None], ends[:, :-1]), dim=1)[:, :, None]
    return torch.addcmul(near, kept, before).flatten(1, 2)[:, :length]


def _recorded(keep: Tensor, add: Tensor, state: Tensor) -> Tensor:
    """`recur` in a graph."""

    def step(held: Tensor, kept: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.addcmul(added, kept, held)
        return found, found

    return scanned(step, state, keep, add)[0]


def scanned(
    step: Callable[..., tuple[Tensor, Tensor]], state: Tensor, *rows: Tensor
) -> tuple[Tensor, Tensor]:
    """A loop over tokens as one operator of the graph that is recorded, which serves any number of them.

    Args:
        step: the state before a token and its rows [b, ..] -> the state after it, and what comes out.
        state: before the first token, [b, ..].
        rows: [b, t, ..] each.

    Returns:
        What comes out, [b, t, ..], and the state after the last token.
    """
    from torch._higher_order_ops.scan import scan

    def one(held: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        after, out = step(held, *given)
        return after.clone(), out.clone()  # the operator refuses two names of one tensor

    state, made = scan(one, state.contiguous(), tuple(row.transpose(0, 1) for row in rows))
    out: Tensor = made.transpose(0, 1)
    return out, state


def chunk_by_chunk(
    read: Callable[..., tuple[Tensor, Tensor]], size: int, state: Tensor, *rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows [b, t, ..] read in chunks, each from the state that the one before left.

    A graph reads token by token, so that it serves any length.

    Args:
        read: rows [b, c, ..] and a state -> what comes out [b, c, ..], and the next state.
        size: c, of all but the last chunk.
        state: before the first.
        rows: what `read` gets.

    Returns:
        [b, t, ..], and the state after the last chunk.
    """
    if torch.compiler.is_exporting():

        def step(held: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
            out, after = read(*(row[:, None] for row in given), held)
            return after, out[:, 0]

        return scanned(step, state, *rows)
    found = []
    for at in range(0, rows[0].shape[1], size):
        out, state = read(*(row[:, at : at + size] for row in rows), state)
        found.append(out)
    return torch.cat(found, dim=1), state


class _Recur(torch.autograd.Function):
    """The recurrence as one node of the graph; its gradient is a recurrence that runs backwards."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, add: Tensor, state: Tensor) -> Tensor:
        """See `recur`."""
        held = recur(keep, add.clone(), state)
        ctx.save_for_backward(keep, held, state)
        return held

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the three inputs; differentiable again where a graph of them is asked for."""
        keep, held, state = ctx.saved_tensors
        later = torch.cat((keep[:, 1:], torch.zeros_like(keep[:, :1])), dim=1).flip(1)
        added = recur(later, grads[0].flip(1), torch.zeros_like(state)).flip(1)  # what each `add` weighs
        before = torch.cat((state[:, None], held[:, :-1]), dim=1)
        return (added * before).sum_to_size(keep.shape), added, added[:, 0] * keep[:, 0]
