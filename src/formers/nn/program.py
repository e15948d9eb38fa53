"""What a module computes, as a list of steps, and the nodes of the tree that run parts of that list.

A layer is a program: normalise, attend, project, add. Where the checkpoint's tree puts the leaves of some
steps under one node (`attention.output` holds a dense layer, a dropout and a norm), that node *is* those
steps: it is called with what they read and returns what they made, so that a hook on it fires and a module
that replaces it is obeyed. A pass that nobody watches runs the same steps without calling the nodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.notices import did_you_mean
from formers.nn.attend import eager
from formers.nn.fresh import Fill
from formers.nn.layout import Layout
from formers.nn.masks import Explicit, taken_apart
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.positions import Rotary
from formers.nn.spec import Paths, SpecError
from formers.nn.tree import (
    Block,
    Group,
    Row,
    Wiring,
    descend,
    leaf,
    place,
    place_tensor,
    standing,
    wiring,
)


@dataclass(eq=False, slots=True)
class Flow:
    """What runs through the steps of one program.

    Attributes:
        x: [N, E]; in a watched pass [B, T, E].
        pass_: what the whole pass shares.
        index: the layer's place in its stack.
        kept: rows of the first tokens, where those alone are computed from here on; else None.
        entered: what the part's result will be added to.
        read: what the part read, for a part beside it.
        normed: what its mixer read.
        outer: what a layer read whose parts are narrower than that.
        weights: what a node returns beside its result: its mixer's attention weights, [B, H, T, S], when
            those are asked for.
        relative: what a layer made of the table of relative positions, and its first row.
        gate: what weighs a mixer's result, before its sigmoid.
        routing: what a mixture of experts read, and the weights and numbers of those that it chose.
        second: of a second stream beside this one, which every step treats alike; attention reads both.
        beside: this is that of what stands beside rows: it follows them, and has a norm of its own.
        aside: the pass of all rows, and those that wait while the others go on; see `mixers.aside`.
    """

    x: Tensor
    pass_: Pass
    index: int = 0
    kept: Tensor | None = None
    entered: Tensor | None = None
    read: Tensor | None = None
    normed: Tensor | None = None
    outer: Tensor | None = None
    weights: Tensor | None = None
    relative: tuple[int, Tensor | None, Tensor | None] | None = None
    gate: Tensor | None = None
    routing: tuple[Tensor, Tensor, Tensor] | None = None
    second: Flow | None = None
    beside: bool = False
    aside: tuple[Pass, Tensor | None] | None = None

    @property
    def watched(self) -> bool:
        """Whether every module is called."""
        return self.pass_.watched

    @property
    def unseen(self) -> bool:
        """Whether nobody looks and nothing is recorded: what a step made is written over by the next."""
        return not self.pass_.watched and not torch.is_grad_enabled()


@dataclass(frozen=True)
class Bare:
    """A tensor that is no module's: its shape, first values, whether it stays in float32, and is trained."""

    value: Tensor
    fresh: Fill
    keep: bool = False
    trained: bool = True


@dataclass(frozen=True)
class Inner:
    """A program that a step computes in a node of its own, or in several, whose `{i}` in paths are `each`."""

    steps: Callable[[], list[Step]]
    each: Sequence[int | str] | None = None


class Step:
    """One step of a program.

    Attributes:
        leaves: role -> what makes its leaf. A role whose path is None is left out.
        inner: beginning of roles -> the programs whose leaves they are; see `run_inner`.
        home: role under which `names` may say in which node the step belongs.
        optional: roles that need no path, and that may share one.
        opens: a part begins here: what is read is what the result will be added to.
        begins: the mixer begins here; `normed`: what it reads is not what its result is added to.
        adds: the part's residual sum.
        attends: it makes attention weights.
        crosses: it is left out where there is no encoder to read.
        shown: sizes that scripts read off the node that computes it.
        turns: the rule by which queries and keys are turned.
    """

    home: str = ""
    optional: frozenset[str] = frozenset()
    opens = begins = normed = adds = attends = crosses = False
    turns: Rotary | None = None

    def __init__(self) -> None:
        self.leaves: dict[str, Callable[[], nn.Module | Bare]] = {}
        self.inner: dict[str, Inner] = {}
        self.shown: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what makes leaves: in a tree they are made."""
        return {**vars(self), "leaves": {}, "inner": {}}

    def roles(self) -> dict[str, bool]:
        """The roles of its leaves, those of inner programs included, and whether each needs a path."""
        found = {role: role not in self.optional for role in self.leaves}
        for prefix, inner in self.inner.items():
            for step in inner.steps():
                found |= {prefix + role: needed for role, needed in step.roles().items()}
        return found

    def run(self, node: Any, flow: Flow) -> None:
        """Compute; `node` owns the leaves."""
        raise NotImplementedError(f"{type(self).__name__} computes nothing")

    def swift(self, node: Any) -> Callable[[Flow], None] | None:
        """The same for passes of single tokens, with the leaves looked up; see `nn.few_rows`. None: as `run`.

        It holds the leaves, and not `node`.
        """
        return None


@dataclass(frozen=True)
class Contract:
    """How a node is called and what it returns.

    Attributes:
        takes_entered: it stands behind a mixer or a norm and is told what to add its result to.
        is_entered: it begins with the mixer, and adds what it reads to its result.
        attends: it returns attention weights beside its result.
        turns: the rule by which its queries and keys are turned; None where they are not.
    """

    takes_entered: bool
    is_entered: bool
    attends: bool
    turns: Rotary | None = None

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Contract:
        """The contract of a node that computes these steps."""
        adds = next((step.adds for step in steps if step.adds or step.opens), False)  # what began outside
        entered = steps[0].begins and not steps[0].normed
        turns = next((step.turns for step in steps if step.turns is not None), None)
        return cls(adds and not entered, adds and entered, any(s.attends for s in steps), turns)


class Call:
    """A step that another node of the tree computes; the contract stays when the node is replaced."""

    def __init__(self, names: tuple[str, ...], contract: Contract, crosses: bool) -> None:
        self.names, self.contract, self.crosses = names, contract, crosses

    @property
    def attends(self) -> bool:
        """Whether attention is in the node."""
        return self.contract.attends

    def node(self, owner: Any) -> Any:
        """The node that stands there now."""
        for name in self.names:
            owner = owner._modules[name]
        return owner

    def run(self, owner: Any, flow: Flow) -> None:
        """Let the node compute."""
        node = self.node(owner)
        if not flow.pass_.watched:
            compute(standing(node), flow)
            return
        attends = self.contract.attends
        given: tuple[Any, ...] = (flow.x,)
        if self.contract.takes_entered:
            given = (flow.x, flow.entered)
        elif attends:
            given = flow.pass_.apart(flow.x)
        own = isinstance(node, Node)
        kind = "cross_attentions" if self.crosses else "attentions"
        held = len(flow.pass_.trace.get(kind, ()))
        out = node(*given, flow=flow) if own else call_foreign(node, given, flow, self.contract.turns)
        if isinstance(out, (tuple, list)):
            out = flow.pass_.joined(out) if attends else out
            flow.weights = out[1] if len(out) > 1 else None
            # what wraps one of our nodes returns weights that the node inside has kept
            if attends and not own and len(flow.pass_.trace.get(kind, ())) == held:
                flow.pass_.keep(kind, flow.weights)
            out = out[0]
        flow.x = out


_PLAIN = Contract(takes_entered=False, is_entered=False, attends=False)


def run_inner(owner: Any, role: str, x: Tensor, flow: Flow) -> Tensor:
    """Let an inner program of a step of `owner` compute; `role` ends with its number where it has one."""
    node, own = leaf(owner, role), Flow(x, flow.pass_, flow.index)
    if not isinstance(node, Node):
        out: Tensor = call_foreign(node, (x,), own)
        return out
    if flow.watched:
        return node(x, flow=own)  # type: ignore[no-any-return]  # a module of the tree has no type
    compute(node, own)
    return own.x


def call_foreign(node: nn.Module, given: tuple[Any, ...], flow: Flow, turns: Rotary | None = None) -> Any:
    """Call a module that somebody put in the place of one of ours, with what it asks for by name.

    Args:
        node: the module.
        given: what it reads, by place; the first goes by name to one that takes keywords alone.
        flow: of the pass.
        turns: the rule by which queries and keys are turned there; its cosines and sines can be asked for.
    """
    names = inspect.signature(node.forward).parameters
    everything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in names.values())
    seen = flow.pass_.visibility
    offered: dict[str, Callable[[], Any]] = {
        "attention_mask": lambda: None if seen.real is None else seen.real.long(),
        "past_key_values": lambda: flow.pass_.cache,
        "position_ids": lambda: flow.pass_.geometry.positions,
        "position_embeddings": lambda: None if turns is None else flow.pass_.rotary(turns, flow.x.dtype),
        "encoder_hidden_states": lambda: seen.encoder,
        "flow": lambda: flow,  # what wraps one of our nodes hands it on
    }
    keywords = {name: make() for name, make in offered.items() if name in names or everything}
    positional = sum(
        p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for p in names.values()
    )
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in names.values())
    if not many and not everything and positional < len(given):
        given = given[:positional]
    if not (positional or many):
        keywords["hidden_states"], given = given[0], ()
    return node(*given, **keywords)


def compute(node: Any, flow: Flow) -> None:
    """Run a node's program; where nobody looks, those of the nodes inside without calling them."""
    if flow.second is not None:
        _compute_both(node, flow, flow.second)
        return
    alone, flat = flow.pass_.visibility.encoder is None, node._formers.flat
    if (
        flow.pass_.watched or flat is None
    ):  # in this order: a graph is watched, and must not ask for the other
        for step in node._formers.program:
            if not (alone and step.crosses):
                step.run(node, flow)
        return
    if flow.pass_.single:
        for owner, step, crosses, quick in node._formers.swift or _made_swift(node):
            if not (alone and crosses):
                if quick is not None:
                    quick(flow)
                else:
                    step.run(node if owner is None else owner, flow)
        return
    for owner, step, crosses in flat:
        if not (alone and crosses):
            step.run(node if owner is None else owner, flow)


def _made_swift(node: Any) -> tuple[tuple[Any, Any, bool, Any], ...]:
    """A flat program with the steps' swift forms."""
    flat = node._formers.flat
    made = tuple(
        (owner, step, crosses, _swift(step, node if owner is None else owner))
        for owner, step, crosses in flat
    )
    node._formers.swift = made
    return made


def _swift(step: Any, node: Any) -> Any:
    """A step's swift form; None where its class computes in a way of its own and says none for that."""
    for kind in type(step).__mro__:
        if "swift" in vars(kind):
            return step.swift(node)
        if "run" in vars(kind):
            return None
    return None


def _compute_both(node: Any, flow: Flow, second: Flow) -> None:
    """Run a node's program on two streams: attention on both at once, all else on one after the other."""
    for step in node._formers.program:
        flow.second = second if step.attends else None
        if not (step.attends or second.beside):
            step.run(node, second)
        step.run(node, flow)
        if second.beside and not step.attends:
            step.run(node, second)
    flow.second = second


def flatten(node: Any) -> tuple[tuple[Any, Any, bool], ...]:
    """A node's program with those of the nodes inside written out: owner, step, whether it reads across.

    The owner is None for the node itself, which holds this: its memory shall not wait for the collector.
    """
    found: list[tuple[Any, Any, bool]] = []
    for step in node._formers.program:
        inside = standing(step.node(node)) if isinstance(step, Call) else None
        if isinstance(inside, Node):
            flat = flatten(inside)
            found += [(owner or inside, one, crosses or step.crosses) for owner, one, crosses in flat]
        else:
            found.append((None, step, step.crosses))
    return tuple(found)


class Node(Group):
    """A node of the tree that computes a run of steps.

    Called with hidden states [B, T, E] (and, behind a mixer, what is added to them) it returns the same
    shape, with the attention weights (or None) beside it where it attends.
    """

    def forward(self, hidden_states: Tensor, *args: Any, flow: Flow | None = None, **context: Any) -> Any:
        """Compute.

        Args:
            hidden_states: [B, T, E] (or what the node reads).
            args: what is added to the result, for a node that stands behind a mixer; or a second stream.
            flow: of the pass that this is part of; without one the node runs by itself.
            context: `attention_mask` [B, T], 1 at real tokens, for a node that runs by itself.

        Returns:
            A tensor, or (tensor, weights or None) where it attends; there every stream has its own tensor.
        """
        contract = self._formers.facts.get("contract")
        if contract is None:
            return Group.forward(self, hidden_states, *args, **context)
        if flow is None:
            flow = alone(hidden_states, **context)
        flow.x, flow.weights = hidden_states, None
        if contract.takes_entered and args:
            flow.entered = args[0]
        elif contract.attends:
            flow.x = flow.pass_.joined((hidden_states, *args))[0]
        if contract.is_entered:
            flow.entered = flow.x
        compute(self, flow)
        return (*flow.pass_.apart(flow.x), flow.weights) if contract.attends else flow.x


def alone(x: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Flow:
    """The flow of a part that is called by itself, on [B, T, E] or [B, E]."""
    batch, length = x.shape[0], x.shape[1] if x.dim() > 2 else 1
    positions = torch.arange(length, device=x.device)[None]
    geometry = Geometry(Layout.dense(batch, length), positions)
    seen = Visibility()
    if attention_mask is not None and attention_mask.dim() == 4:
        told, bias = taken_apart(attention_mask)
        seen = Visibility(extra=Explicit(told.expand(-1, -1, length, -1)), alone=True, bias=bias)
    elif attention_mask is not None:
        seen = Visibility(attention_mask.bool())
    return Flow(x, Pass(geometry, seen, eager, watched=True), entered=x)


Homes = list[tuple[str, ...]]  # for each step, the node that it belongs to


def build(
    owner: Block, steps: Sequence[Step], names: Paths, where: str = "", homes: Homes | None = None
) -> None:
    """Register the leaves of `steps` under `names` and let `owner`, or nodes of it, compute them.

    Args:
        owner: holds the nodes.
        steps: what is computed, in order.
        names: role -> path.
        where: what errors call the owner; its class by default.
        homes: what `homes_of` gave for the same steps and names.

    Raises:
        SpecError: one sentence that names every role without a path, and every path that is taken twice.
    """
    homes = homes_of(steps, names, where or type(owner).__name__) if homes is None else homes
    _fill(owner, list(zip(steps, homes, strict=True)), names, ())


def build_row(owner: Block, steps: Sequence[Step], names: Paths, where: str, number: int) -> Row:
    """Register a layer's leaves in lists of `owner`'s, `{i}` in their paths its number; see `build`."""
    homes = [tuple(name.format(i=number) for name in home) for home in homes_of(steps, names, where)]
    paths = {role: path and path.format(i=number) for role, path in names.items()}
    own, owner._formers = owner._formers, Wiring()  # what is built now is the layer's, not its owner's
    build(owner, steps, paths, where, homes)
    made, owner._formers = Row(owner, owner._formers), own
    return made


def homes_of(steps: Sequence[Step], names: Paths, where: str) -> Homes:
    """The node that each step belongs to; see `build`."""
    _check(steps, names, where)
    return _settle_homeless([(step, _home(step, names)) for step in steps])


def _paths(step: Step, names: Paths) -> dict[str, str]:
    """The paths of the leaves that the step has."""
    return {role: path for role in step.leaves if (path := names.get(role)) is not None}


def _check(steps: Sequence[Step], names: Paths, where: str) -> None:
    missing: list[str] = []
    taken: dict[str, str] = {}
    doubled: list[str] = []
    for step in steps:
        for role, needed in step.roles().items():
            if role not in names and needed:
                missing.append(f"{role!r}{did_you_mean(role, names)}")
            path = names.get(role)
            if path is None:
                continue
            if path in taken and taken[path] != role and needed and step.home not in names:
                doubled.append(f"{path!r} ({taken[path]} and {role})")
            taken.setdefault(path, role)
    if missing or doubled:
        problems = [f"no path for {', '.join(missing)}"] if missing else []
        problems += [f"one path for two roles: {', '.join(doubled)}"] if doubled else []
        raise SpecError(f"{where}: the names do not fit the parts: {'; '.join(problems)}")


def _home(step: Step, names: Paths) -> tuple[str, ...] | None:
    """The node that holds the step's leaves; None where nothing says which."""
    if step.home and names.get(step.home) is not None:
        stated = str(names[step.home])
        return tuple(stated.split(".")) if stated else ()
    parents = [_above(path) for path in _paths(step, names).values()]
    parents += [_inner_home(prefix, step, names)[:-1] for prefix in step.inner]
    return _common(parents) if parents else None


def _above(path: str) -> tuple[str, ...]:
    """The node that holds a leaf: a list of one for each layer is none."""
    *above, last = path.split(".")
    return tuple(above[:-1] if last == "{i}" else above)


def _inner_home(prefix: str, step: Step, names: Paths) -> tuple[str, ...]:
    """The node of an inner program; `{i}` stands for its number."""
    paths = (names.get(role) for role in step.roles() if role.startswith(prefix) and role not in step.leaves)
    return _common([tuple(path.split(".")[:-1]) for path in paths if path is not None])


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The names that all paths begin with."""
    shared: list[str] = []
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return tuple(shared)


def _settle_homeless(placed: list[tuple[Step, tuple[str, ...] | None]]) -> list[tuple[str, ...]]:
    """A step without leaves stands where both of its neighbours stand."""
    homes: list[tuple[str, ...]] = []
    for i, (step, home) in enumerate(placed):
        if home is None:
            after = next((h for _, h in placed[i + 1 :] if h is not None), ())
            before = homes[-1] if homes else ()
            home = _common([before, after])
            if any(
                other[len(home) : len(home) + 1] and other[len(home)].isdigit() for other in (before, after)
            ):
                home = home[:-1]  # a list of numbered children is no node
        if step.opens and home:
            # a stated place of the sum holds the beginning only if it holds what comes next
            after = next((h for _, h in placed[i + 1 :] if h is not None), ())
            home = home if after[: len(home)] == home else _common([home, after])
        homes.append(home)
    return homes


def _unit(home: tuple[str, ...]) -> tuple[str, ...]:
    """The first node on the way: a list of numbered children is none by itself."""
    return home[:2] if len(home) > 1 and home[1].isdigit() else home[:1]


def _fill(
    owner: Any, steps: list[tuple[Step, tuple[str, ...]]], names: Paths, prefix: tuple[str, ...]
) -> None:
    """Give `owner`, which stands under `prefix`, its program."""
    program: list[Step | Call] = []
    done: set[tuple[str, ...]] = set()
    i = 0
    while i < len(steps):
        step, home = steps[i]
        rest = home[len(prefix) :]
        if not rest:
            _place_leaves(owner, step, names, len(prefix))
            program.append(step)
            i += 1
            continue
        unit = _unit(rest)
        end = i
        while end < len(steps) and _unit(steps[end][1][len(prefix) :]) == unit:
            end += 1
        if unit in done:
            raise SpecError(
                f"the leaves under {'.'.join(prefix + unit)!r} do not belong to steps that follow each other"
            )
        done.add(unit)
        parent = descend(owner, unit[:-1])
        node, held = Node(), parent._modules.get(unit[-1])
        if held is not None:  # a leaf that a step outside owns stands in it already
            node._modules.update(held._modules)
        parent.add_module(unit[-1], node)
        _fill(node, steps[i:end], names, prefix + unit)
        contract = Contract.of([step for step, _ in steps[i:end]])
        node._formers.facts["contract"] = contract
        for step, _ in steps[i:end]:
            node.__dict__.update(step.shown)
        program.append(Call(unit, contract, all(step.crosses for step, _ in steps[i:end])))
        i = end
    wiring(owner).program = (*wiring(owner).program, *program)


def _place_leaves(owner: Any, step: Step, names: Paths, depth: int) -> None:
    for role, path in _paths(step, names).items():
        local = ".".join(path.split(".")[depth:])
        known = wiring(owner).roles
        held = tuple(local.split("."))
        if _stands(owner, held):  # a dropout, an activation or a norm that serves two steps
            known[role] = held
            continue
        made = step.leaves[role]()
        if isinstance(made, Bare):
            place_tensor(owner, role, local, made.value, made.fresh, made.keep, made.trained)
        else:
            place(owner, role, local, made)
    for prefix, inner in step.inner.items():
        _place_inner(owner, prefix, inner, _inner_home(prefix, step, names), names, depth)
    step.leaves, step.inner = {}, {}  # made: what made them need not be kept, or copied with the model


def _stands(owner: Any, names: tuple[str, ...]) -> bool:
    """Whether a module stands at that path."""
    for name in names:
        owner = owner._modules.get(name)
        if owner is None:
            return False
    return True


def place_inner(owner: Any, prefix: str, inner: Inner, names: Paths) -> None:
    """Register a program that `run_inner` lets compute, in the node that its leaves have in common."""
    paths = [names.get(prefix + role) for step in inner.steps() for role in step.leaves]
    home = _common([tuple(path.split(".")[:-1]) for path in paths if path is not None])
    _place_inner(owner, prefix, inner, home, names, 0)


def _place_inner(
    owner: Any, prefix: str, inner: Inner, home: tuple[str, ...], names: Paths, depth: int
) -> None:
    own = {role[len(prefix) :]: path for role, path in names.items() if role.startswith(prefix)}
    for i in ("",) if inner.each is None else inner.each:
        node, steps = Node(), inner.steps()
        here = tuple(name.format(i=i) for name in home)
        paths = {role: path if path is None else path.format(i=i) for role, path in own.items()}
        place(owner, f"{prefix}{i}", ".".join(here[depth:]), node)
        _fill(node, [(step, _home(step, paths) or here) for step in steps], paths, here)
        node._formers.facts["contract"] = _PLAIN
