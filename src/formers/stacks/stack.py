"""A stack of layers: leaves registered as the checkpoint has them, computed over the rows that count."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.notices import notice
from formers.nn import spec
from formers.nn.attend import choose, sdpa
from formers.nn.cache import Cache
from formers.nn.dropout import Dropout, drop
from formers.nn.fresh import Spread, begins
from formers.nn.grids import AxialNode, turn_patches
from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import linear, norm, rows_of_table
from formers.nn.masks import Blocks, Explicit, Mask, Segments, taken_apart
from formers.nn.mixers.relative import Streams
from formers.nn.passing import Geometry, Pass, Visibility, contiguous
from formers.nn.pooling import summary_steps
from formers.nn.positions import Rotary
from formers.nn.program import Flow, build, call_foreign, compute
from formers.nn.prompts import make_prompts, place_prompts
from formers.nn.recording import recording, transformed
from formers.nn.stems import stem_of
from formers.nn.stems.base import Stem, StemNode, place_stem
from formers.nn.steps import First, dense
from formers.nn.tree import Block, has, leaf, place, place_tensor, rows_of, wiring
from formers.nn.watch import looks_back, watched
from formers.stacks.deep_visual_states import note_taps, place_taps
from formers.stacks.layer import LayerRun, LayersNode, enter, leave, place_layers, through
from formers.stacks.streams import begin, end, leave_beside, put_beside, turned


@dataclass(eq=False, kw_only=True)
class Ask:
    """What a caller wants of a stack beside its last states.

    Attributes:
        attentions: [B, H, T, S] per layer.
        hidden: hidden states of every layer.
        routing: logits of every router.
        backend: how attention is computed; None for the best that can.
        keep_padding: compute padded places too.
        first_only: the caller reads the first token of every sequence alone.
        rows: the caller takes packed rows; otherwise it sees [B, T, E].
        padded: the caller is watched, and takes [B, T, E] alone; None where nobody found out yet.
    """

    attentions: bool = False
    hidden: bool = False
    routing: bool = False
    backend: str | None = None
    keep_padding: bool = False
    first_only: bool = False
    rows: bool = True
    padded: bool | None = None


@dataclass(eq=False)
class Inputs:
    """What a caller hands to a stack.

    Attributes:
        given: the stem's inputs by name, [B, T, ..].
        attention_mask: [B, S], 1 at real tokens, or a mask of 3 or 4 dimensions with the queries' own axis.
        blocks: whose tokens see each other, whatever the layers' own masks say.
        beside: what the pass holds for the layers beside the rows, by name.
        cache: keys, values and states of earlier calls.
        encoder: [B, S, E] for cross attention; `encoder_mask` [B, S].
        streams: what `spec.Relative` layers read beside.
    """

    given: dict[str, Any]
    attention_mask: Tensor | None = None
    cache: Cache | None = None
    encoder: Tensor | None = None
    encoder_mask: Tensor | None = None
    streams: Streams | None = None
    blocks: Blocks | None = None
    beside: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class States:
    """What a stack computed.

    Attributes:
        rows: last hidden states, [N, E]; in a watched pass [B, T, E].
        pass_: the pass that computed them, for its layout and what it kept.
        cache: keys and values, when a cache was in use.
        pooled: [B, E], where the stack has a pooler.
        first_only: `rows` hold the first token of every sequence alone, [sequences, E].
        spread_out: `rows` are [B, T, E] although the pass computed packed ones.
        extras: what an assembly adds, by the name that callers see it under.
    """

    rows: Tensor
    pass_: Pass
    cache: Cache | None = None
    pooled: Tensor | None = None
    first_only: bool = False
    spread_out: bool = False
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """Which rows are which sequence."""
        return self.pass_.layout

    @property
    def watched(self) -> bool:
        """Whether the rows are [B, T, E], and heads call every module."""
        return self.pass_.watched

    @property
    def last(self) -> Tensor:
        """[B, T, E], zeros where padding was left out."""
        return self.spread(self.rows)

    def spread(self, rows: Tensor) -> Tensor:
        """[N, ...] -> [B, T, ...]; what is [B, T, ...] stays."""
        return rows if self.watched or self.spread_out else self.layout.unpack(rows)

    def kept(self, name: str) -> tuple[Tensor, ...] | None:
        """What the pass kept under a name, [B, T, E] or [B, H, T, S] each; None where nobody asked."""
        found = self.pass_.trace.get(name)
        if found is None:
            return None
        if name != "hidden_states":
            return tuple(found)
        # fewer rows, and states beside their sizes, come as callers see them
        ready = (not isinstance(t, Tensor) or t.dim() > 2 for t in found)
        return tuple(t if done else self.spread(t) for t, done in zip(found, ready, strict=True))

    @property
    def hidden(self) -> tuple[Tensor, ...] | None:
        """Hidden states as callers see them."""
        return self.kept("hidden_states")

    @property
    def attentions(self) -> tuple[Tensor, ...] | None:
        """Attention weights, when asked for."""
        return self.kept("attentions")

    @property
    def router_logits(self) -> tuple[Tensor, ...] | None:
        """Logits of the routers, [B * T, experts] each, zeros where padding was left out."""
        found = self.pass_.trace.get("router_logits")
        if found is None or self.layout.index is None:
            return None if found is None else tuple(found)
        return tuple(self.layout.unpack(t).flatten(0, 1) for t in found)

    @property
    def global_attentions(self) -> tuple[Tensor, ...] | None:
        """Weights of tokens that see all, [B, H, S, G] per layer, when asked for."""
        return self.kept("global_attentions") or None

    @property
    def cross_attentions(self) -> tuple[Tensor, ...] | None:
        """Weights of cross attention, when asked for."""
        return self.kept("cross_attentions") or None

    def flow(self) -> Flow:
        """The flow of a head that reads these states."""
        kept = self.rows if self.first_only else None
        return Flow(self.rows, self.pass_, kept=kept)


class RotaryNode(nn.Module):
    """Cosines and sines of a pass, as a node that can be hooked. Called once for every rule.

    Where the first rule's frequencies are stored, `inv_freq` [width / 2] holds them.
    """

    row_wise = True

    def __init__(self, rules: tuple[Rotary, ...]) -> None:
        super().__init__()
        self.rules = rules
        self.inv_freq: Tensor | None = None
        if rules[0].stored:
            del self.inv_freq
            self.register_buffer("inv_freq", torch.empty(rules[0].width // 2))
            begins(self, inv_freq=rules[0])

    def forward(self, x: Tensor, position_ids: Tensor, rule: int = 0) -> tuple[Tensor, Tensor]:
        """Positions [1 or B, T] -> two tensors [1 or B, T, width] in the dtype of `x`, by that rule."""
        with torch.autocast(x.device.type, enabled=False):
            cos, sin = self.rules[rule].table(position_ids, self.inv_freq if rule == 0 else None)
        return cos.to(x.dtype), sin.to(x.dtype)


def place_stack(block: Block, s: spec.Stack) -> None:
    """Register every leaf of a stack on `block`, under the paths of the spec's names."""
    names, facts = s.names, wiring(block).facts
    facts["spec"], facts["stem"] = s, stem_of(s.stem)
    for name, fact in vars(spec.Stack).items():
        if isinstance(fact, cached_property):
            getattr(s, name)  # now: the lock that Python 3.11 takes here cannot be part of a compiled graph
    facts["stem node"] = place_stem(block, facts["stem"], names.embeddings)
    rotary = names.stack.get("rotary") if s.rotaries else None
    within = rotary is not None and rotary.rpartition(".")[0] == names.layers.rpartition(".")[0] != ""
    if rotary and not within:
        place(block, "rotary", rotary, RotaryNode(s.rotaries))
    if s.axial is not None:
        place(block, "axial", str(names.stack["axial"]), AxialNode(s.axial))
    if s.first_norm is not None:
        place(block, "first_norm", str(names.stack["first_norm"]), norm(s.first_norm, s.width))
    facts["layers node"] = place_layers(block, s)
    if rotary and within:  # the node that it lies in is that of the layers
        place(block, "rotary", rotary, RotaryNode(s.rotaries))
    place_prompts(block, s)
    if s.relative:
        place(block, "relative", str(names.stack["relative"]), nn.Embedding(s.relative, s.width))
    if s.beside:
        place(block, "beside", str(names.stack["beside"]), nn.Embedding(s.beside, s.width))
    if s.relative_norm is not None:
        place(block, "relative_norm", str(names.stack["relative_norm"]), norm(s.relative_norm, s.width))
    if s.projected is not None:
        made = linear("linear", s.width, s.projected, bias=False)
        place(block, "final_projection", str(names.stack["final_projection"]), made)
    if names.stack.get("blank"):
        value = torch.zeros(1, 1, s.width)
        place_tensor(block, "blank", str(names.stack["blank"]), value, Spread(s.initial_std))
    path = names.stack.get("final_dropout")
    if path is not None:
        taken = wiring(block).roles.get("embedding_dropout")
        if taken == tuple(path.split(".")):  # one module serves both ends
            wiring(block).roles["final_dropout"] = taken
        else:
            place(block, "final_dropout", path, Dropout(s.final_dropout))
    if isinstance(s.pooler, spec.Summary | spec.Asked | spec.Merged | spec.Averaged):
        build(block, summary_steps(s.pooler, s.width), names.stack)
        place_taps(block, s)
    elif s.pooler is not None:
        path = str(names.stack["pooler"])
        inside = {
            "pooler": path,
            "pooler_act": names.stack.get("pooler_act"),
            "pool": path.rpartition(".")[0],
        }
        read = dense("pooler", s.width, s.pooler, act=s.pooler_act, act_role="pooler_act")
        build(block, [First(), read], inside)
        wiring(block).roles["pooler"] = tuple(path.split("."))


def run(block: Block, inputs: Inputs, ask: Ask, checkpointing: bool = False) -> States:
    """Compute a stack.

    Raises:
        ValueError: for inputs of which none or too many are given, a mask that does not fit, too many tokens.
    """
    facts = wiring(block).facts
    s: spec.Stack = facts["spec"]
    pass_, given = _prepare(block, s, facts["stem"], inputs, ask)
    skips = _note(s, inputs, given, pass_)
    streams = inputs.streams
    if streams is not None:
        if pass_.watched:
            given = {name: None if value is None else turned(value) for name, value in given.items()}
        streams.types = given.get("token_type_ids")
    x = _embed(block, facts, given, pass_)
    pass_ = facts["stem"].widened(pass_)
    x = enter(block, x, pass_)
    make_prompts(block, s, pass_)
    if streams is not None:
        assert isinstance(s.attention, spec.Relative)
        x = begin(block, s.attention, pass_, streams, x)
    if s.first_norm is not None:
        x = leaf(block, "first_norm")(x)
    _note_turns(block, s, given, x, pass_)
    if s.relative:
        table = rows_of_table(leaf(block, "relative"))
        pass_.memo.put("relative", leaf(block, "relative_norm")(table) if s.relative_norm else table)
    if s.beside:
        x = put_beside(block, pass_, x)
    tapped = note_taps(block, pass_) if "taps" in facts else []
    kept = pass_.layout.starts(x.device) if _first_suffices(s, inputs, ask, pass_) else None
    order = None if s.sharing is None else s.sharing.order
    home = facts["layers node"]
    beside = None if s.convolution is None else block._modules[home[0]] if home else block
    between = leaf(block, "final_norm") if s.stepwise else None
    owned = s.attention is not None and s.attention.owns_score_bias
    how = LayerRun(
        checkpointing, s.layer_drop, kept, order, beside, s.by_time, between=between, first=owned, skips=skips
    )
    x = run_layers(block, "layers", x, pass_, how)
    x = leave(block, leave_beside(pass_, x) if s.beside else x)
    if streams is not None:
        x = end(pass_, streams, x)
    if s.projected is not None:
        x = project(leaf(block, "final_projection"), x, None, pass_.watched)
    if has(block, "final_dropout"):
        x = leaf(block, "final_dropout")(x)
    elif s.final_dropout and block.training:
        x = drop(x, s.final_dropout)
    _report(s, pass_, x)
    extras: dict[str, Any] = {"deepstack_features": tapped} if tapped else {}
    if pass_.geometry.second is not None and kept is None:
        x, pass_, extras = _text_alone(x, pass_, pass_.geometry.second)
    flat, kept_alone = facts["stem"].flat, kept is not None
    states = States(x, pass_, inputs.cache, first_only=kept_alone, spread_out=flat, extras=extras)
    if streams is not None:
        states.rows, states.spread_out = turned(x) if pass_.watched else x, x.dim() > 2
    if _pools(block, s):
        states.pooled = _pool(block, states, ask)
    return states


def _note(s: spec.Stack, inputs: Inputs, given: dict[str, Any], pass_: Pass) -> frozenset[int]:
    """Put what layers read beside their rows into a pass; which of them are left out for want of it."""
    for name, held in inputs.beside.items():
        pass_.memo.put(name, held)
    if isinstance(s.pooler, spec.Summary):
        pass_.memo.put("ids", given.get("input_ids"))
    if (marked := given.pop("global_attention_mask", None)) is not None:
        real, marked = pass_.visibility.real, marked.to(pass_.geometry.positions.device).bool()
        pass_.memo.put("marked", marked if real is None else marked & real.view(marked.shape))
    if (told := given.pop("lang_ids", None)) is not None:
        pass_.memo.put("languages", told.to(pass_.geometry.positions.device))
    return frozenset(i for i, one in enumerate(s.layers) if one.beside and one.beside not in inputs.beside)


def _note_turns(block: Block, s: spec.Stack, given: dict[str, Any], x: Tensor, pass_: Pass) -> None:
    """Let the nodes that turn queries and keys say how, where the layers do not find out by themselves."""
    for i, rule in enumerate(s.rotaries if has(block, "rotary") else ()):
        if pass_.watched or rule.stored:
            which = {"rule": i} if i else {}
            pass_.memo.put(rule, leaf(block, "rotary")(x, position_ids=pass_.geometry.positions, **which))
    if s.axial is not None:
        turn_patches(leaf(block, "axial"), s.axial, given["pixel_values"].to(x.dtype), pass_)


def _embed(block: Block, facts: dict[str, Any], given: dict[str, Any], pass_: Pass) -> Tensor:
    home, stem = facts["stem node"], facts["stem"]
    node: Any = block._modules[home[0]] if home else block
    if not home or not pass_.watched:
        found: Tensor = stem.run(node, given, pass_)
        return found
    named = {name: value for name, value in given.items() if value is not None}
    if isinstance(node, StemNode):
        return node(**named, pass_=pass_)  # type: ignore[no-any-return]
    made: Tensor = node(**named)
    return made


def run_layers(block: Block, role: str, x: Tensor, pass_: Pass, how: LayerRun) -> Tensor:
    """The list of layers under that role, by the node that holds it: [.., E] -> [.., E]."""
    home = wiring(block).roles.get(role, ())[:-1]  # rows of parts have no list
    if not home:
        return how(leaf(block, role) if has(block, role) else rows_of(block), x, pass_)
    node: Any = block._modules[home[0]]
    if not pass_.watched:
        return through(node, x, pass_, how)
    if isinstance(node, LayersNode):
        out = node(*pass_.apart(x), pass_=pass_, run=how)
    else:
        out = call_foreign(node, pass_.apart(x), Flow(x, pass_))
    found: Tensor = out if isinstance(out, Tensor) else pass_.joined(out[:])[0]
    return found


def _text_alone(x: Tensor, pass_: Pass, second: int) -> tuple[Tensor, Pass, dict[str, Any]]:
    """The rows of the text and their pass, and, as callers see it, what the entities behind it became."""
    whole, seen, held = pass_.layout, pass_.visibility, pass_.trace.get("hidden_states")
    text, real = whole.columns(second), seen.real

    def both(rows: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if isinstance(rows, tuple):  # they were taken apart where they were noted
            return rows
        if pass_.watched:
            return pass_.apart(rows)
        unpacked = whole.unpack(rows)
        return text.pack(unpacked[:, :second]), unpacked[:, second:]

    last, entities = both(x)
    beside: dict[str, Any] = {"entity_last_hidden_state": entities}
    if held is not None:
        parted = [both(rows) for rows in held]
        held[:] = [rows for rows, _ in parted]
        beside["entity_hidden_states"] = tuple(rows for _, rows in parted)
    geometry = Geometry(text, both(pass_.geometry.positions)[0])
    shown = replace(seen, real=None if real is None else real[:, :second], extra=None, bias=None)
    return last, replace(pass_, geometry=geometry, visibility=shown), beside


def _report(s: spec.Stack, pass_: Pass, last: Tensor) -> None:
    """Let the kept hidden states be those that callers of this kind of stack see."""
    held = pass_.trace.get("hidden_states")
    if held is None or s.reports == "plain":
        return
    if s.reports == "outputs":
        held[:] = [*held[1:], last]
    else:
        held[-1:] = [last]


def _pools(block: Block, s: spec.Stack) -> bool:
    """Whether there is a pooler, and nobody has taken it out."""
    own = wiring(block).roles.get("pooler")
    return s.pooler is not None and (own is None or block._modules[own[0]] is not None)


def _pool(block: Block, states: States, ask: Ask) -> Tensor:
    if not ask.rows and not states.watched and torch.is_grad_enabled():
        # the caller sees the last states too, and what is pooled follows from them
        states.rows, states.spread_out = states.last, True
    flow = states.flow()
    compute(block, flow)
    return flow.x


def _first_suffices(s: spec.Stack, inputs: Inputs, ask: Ask, pass_: Pass) -> bool:
    """Whether the last layer may compute the first token of every sequence alone."""
    return (
        ask.first_only
        and s.first_suffices
        and bool(pass_.layout.spans)
        and not pass_.watched
        and inputs.cache is None
        and pass_.visibility.extra is None
        and pass_.visibility.encoder is None
        and pass_.visibility.blocks is None
        and not pass_.trace
    )


def _prepare(
    block: Block, s: spec.Stack, stem: Stem, inputs: Inputs, ask: Ask
) -> tuple[Pass, dict[str, Any]]:
    """Decide the layout and pack what the stem needs."""
    given = dict(inputs.given)
    batch, length = stem.shape(given)
    past = inputs.cache.get_seq_length() if inputs.cache is not None else 0
    mask = stem.rows_mask(inputs.attention_mask, given)
    real, given_mask, bias = _read_mask(s, mask, batch, past, length)
    extra = given_mask if given_mask is not None else _segments(s, inputs, given, batch, past)
    if not (extra is None and inputs.blocks is None) and not s.honours_masks:
        raise ValueError(
            "what mixes these tokens reads whole rows or windows of them: a mask of its own, or several "
            "examples in one row, cannot be honoured; pass a mask [B, S], and one example in each row"
        )
    real = _unless_all(real)
    if real is not None and s.reads_padding and s.attention is None:
        notice(
            "this model reads padding as text and obeys no attention_mask: rows of one length give what each "
            "gives alone",
            key="padding is read as text",
        )
        real = None
    seen = watched(block) if ask.padded is None else ask.padded
    seen = seen or looks_back(ask.hidden)
    layout = Layout.dense(batch, length)
    if not seen and inputs.blocks is None:
        layout = _choose_layout(s, inputs, ask, real, extra, layout)
        extra = None if isinstance(extra, Segments) and layout.index is not None else extra
    positions = _positions(s, stem, given, (batch, length), past, real)
    if stem.flat or stem.places_flat or not seen:
        positions = layout.pack(positions.expand(batch, length, *positions.shape[2:]))  # [N]
    if not seen:
        given = {
            name: _packed(value, layout) if name in stem.by_row else value for name, value in given.items()
        }
    encoder_real = inputs.encoder_mask
    visibility = Visibility(
        None if layout.index is not None else real,
        extra,
        given_mask is not None,
        bias,
        inputs.encoder,
        None if encoder_real is None else _unless_all(encoder_real.bool()),
        False if real is None or layout.index is not None or recording() else None,
        inputs.blocks,
    )
    weights = ask.attentions and s.attention is not None
    needs = s.needs | ({"weights"} if weights else set()) | ({"transforms"} if transformed() else set())
    kinds = ("attentions", "cross_attentions", "global_attentions", "ngram_attentions", "text_attentions")
    wanted = {"hidden_states": ask.hidden, **dict.fromkeys(kinds, ask.attentions and s.shows)}
    wanted.update(router_logits=ask.routing, intermediate_hidden_states=s.stepwise)
    backend = choose(ask.backend, frozenset(needs))
    pass_ = Pass(
        Geometry(layout, positions, past, stem.second(given)),
        visibility,
        backend,
        trace={name: [] for name, kept in wanted.items() if kept},
        cache=inputs.cache if inputs.cache is None else inputs.cache.fit(s.slots),
        watched=seen,
        single=backend is sdpa and extra is None and bias is None and _is_single(block, seen, inputs, length),
    )
    return pass_, given


def _positions(
    s: spec.Stack,
    stem: Stem,
    given: dict[str, Any],
    shape: tuple[int, int],
    past: int,
    real: Tensor | None,
) -> Tensor:
    """Where the rows of a call stand: [1 or B, T], or [B, T, axes] where positions have several axes."""
    told = given.get("position_ids")
    if s.axes and told is not None and told.dim() == 3:  # [axes, B, T], those of plain texts before them
        given["position_ids"] = torch.movedim(told[-s.axes :], 0, -1)
    found = stem.places(given, Layout.dense(*shape), past, real)
    return found.expand(shape)[..., None] if s.axes and found.dim() == 2 else found


def _is_single(block: Block, seen: bool, inputs: Inputs, length: int) -> bool:
    """Whether steps may take their swift forms."""
    return (
        length == 1
        and not (seen or block.training)
        and inputs.blocks is None
        and inputs.cache is not None
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.is_autocast_enabled("cuda")
    )


def _packed(value: Any, layout: Layout) -> Any:
    """An input of the stem as rows, where it has the rows' two axes."""
    if not isinstance(value, Tensor) or value.dim() < 2:
        return value
    return layout.pack(value.expand(layout.batch, *value.shape[1:]))


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
        if past and s.attention is None and tuple(mask.shape) == (batch, length):
            mask = torch.nn.functional.pad(mask, (past, 0), value=1)  # what was read is not looked at again
        if tuple(mask.shape) != (batch, past + length):
            raise ValueError(
                f"attention_mask must have shape {[batch, past + length]} (one entry for every past and new "
                f"token), but has {list(mask.shape)}"
            )
        return mask.bool(), None, None
    whole = mask[:, None] if mask.dim() == 3 else mask  # [B, 1 or H, T, S]
    heads = s.attention.heads.query if s.attention is not None else 1
    wanted = ((1, batch), (1, heads), (length,), (past + length,))
    if whole.dim() != 4 or any(size not in sizes for size, sizes in zip(whole.shape, wanted, strict=True)):
        raise ValueError(
            f"attention_mask has shape {list(mask.shape)}; read is [B, S], [B, T, S], [B, 1, T, S] or "
            f"[B, H, T, S], with B={batch}, H={heads}, T={length}, S={past + length}"
        )
    seen, bias = taken_apart(whole)
    if seen.shape[1] > 1:  # heads that differ say so by a bias
        hidden = torch.zeros(seen.shape, device=seen.device).masked_fill(
            ~seen, torch.finfo(torch.float32).min
        )
        seen, bias = seen.any(1, keepdim=True), hidden if bias is None else bias + hidden
    return None, Explicit(seen, past), bias


def _segments(s: spec.Stack, inputs: Inputs, given: dict[str, Any], batch: int, past: int) -> Segments | None:
    """Several examples in one row, as positions that start again say where there is no mask."""
    positions = given.get("position_ids")
    if positions is None or inputs.attention_mask is not None or past or positions.dim() != 2:
        return None
    if not (s.causal and s.decoder):
        return None
    starts = positions[:, 1:] != positions[:, :-1] + 1  # [B, T - 1]
    if not recording() and not bool(starts.any()):  # a graph serves rows of several and of one
        return None
    ids = torch.nn.functional.pad(starts.long().cumsum(1), (1, 0))  # [B, T]
    return Segments(ids.expand(batch, -1))


def _choose_layout(
    s: spec.Stack, inputs: Inputs, ask: Ask, real: Tensor | None, extra: Mask | None, whole: Layout
) -> Layout:
    """Leave padding out where nothing needs it: no cache, no weights asked for, and a CPU below.

    Examples that share a row are computed apart likewise, so that attention costs what theirs does.
    """
    if (
        isinstance(extra, Segments)
        and not (ask.attentions or ask.first_only or s.reads_padding)
        and s.pooler is None  # it reads rows
        and inputs.cache is None
        and inputs.encoder is None
        and not inputs.beside
        and extra.ids.device.type == "cpu"
    ):
        starts = torch.nn.functional.pad(extra.ids.diff() != 0, (1, 0), value=True)  # [B, T]
        return Layout.of_starts(starts)
    packable = (
        real is not None
        and extra is None
        and not ask.attentions
        and not (ask.keep_padding or s.reads_padding)
        and inputs.attention_mask is not None  # a head that saw none may look at padding
        and inputs.cache is None
        and inputs.encoder is None
        and not inputs.beside
        and real.device.type == "cpu"
    )
    if not packable or real is None or not bool(real.any()):
        return whole
    if (s.by_distance and not contiguous(real)) or (s.by_column and not bool(real[:, 0].all())):
        return whole
    return Layout.of(real)
