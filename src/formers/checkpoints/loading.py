"""Weights into a model built on the meta device: nothing copied that can be mapped, nothing missed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from formers.checkpoints.failures import LoadError
from formers.checkpoints.files import TensorFiles
from formers.checkpoints.placement import Placement
from formers.checkpoints.renames import Rename, candidates
from formers.core.notices import notice

_SHOWN = 20  # names listed in a message; the report has all


@dataclass
class LoadReport:
    """What a load did. `str(report)` is for people, the fields are for programs."""

    loaded: int = 0  # tensors of the model that came from the files
    values: int = 0  # numbers in them
    new: list[str] = field(default_factory=list)  # freshly initialised
    missing: list[str] = field(default_factory=list)  # wanted, not in the files, and not allowed to be new
    unexpected: list[str] = field(default_factory=list)  # of the files, under the model's own prefix, unused
    other_heads: list[str] = field(default_factory=list)  # of the files, outside that prefix, unused
    ignored: list[str] = field(default_factory=list)  # of the files, known to be of no use
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    untied: list[str] = field(default_factory=list)  # declared tied, but the files hold two different tensors
    renamed: dict[str, str] = field(default_factory=dict)  # the model's name -> the file's
    dtypes: dict[str, int] = field(default_factory=dict)  # dtype -> tensors, as loaded
    files: list[Path] = field(default_factory=list)
    fingerprint: str = ""  # hash of names, shapes, dtypes, sizes

    @property
    def content_hash(self) -> str:
        """SHA-256 over every byte of the files; reads them all."""
        return TensorFiles.of(self.files).content_hash() if self.files else ""

    @property
    def origin(self) -> str:
        """The names of the files, for messages."""
        return _some([path.name for path in self.files], 3) or "the given tensors"

    def as_dict(self) -> dict[str, Any]:
        """The dictionary that `output_loading_info=True` asks for."""
        return {
            "missing_keys": [*self.missing, *self.new],
            "unexpected_keys": [*self.unexpected, *self.other_heads],
            "mismatched_keys": list(self.mismatched),
            "error_msgs": [],
        }

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.dtypes.items()))
        lines = [f"loaded {self.loaded} tensors ({self.values:,} values; {kinds}) from {self.origin}"]
        shapes = [f"{name}: file {list(a)}, model {list(b)}" for name, a, b in self.mismatched]
        for title, items in (
            ("newly initialised", self.new),
            ("missing", self.missing),
            ("other shape in the file", shapes),
            ("in the files, not used", self.unexpected),
            ("in the files, of another head", self.other_heads),
            ("in the files, ignored", self.ignored),
            ("declared tied, kept apart", self.untied),
        ):
            if items:
                lines.append(f"  {title} ({len(items)}): {_some(items)}")
        if self.fingerprint:
            lines.append(f"  fingerprint {self.fingerprint[:16]}")
        return "\n".join(lines)


def load(
    model: nn.Module,
    files: TensorFiles,
    *,
    renames: Sequence[Rename] = (),
    ignored: Iterable[str] = (),
    may_be_new: Callable[[str], bool] = lambda name: False,
    initialise: Callable[[nn.Module, list[str]], None] | None = None,
    ties: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
    device_map: Any = None,
    ignore_mismatched_sizes: bool = False,
    offload_folder: str | Path | None = None,
    prefix: str = "",
    strict: bool = False,
    max_memory: dict[Any, Any] | None = None,
) -> LoadReport:
    """Give a model its weights. Tensors of the files become its parameters, without a copy where that can be.

    Args:
        model: built on the meta device.
        files: the opened weight files.
        renames: templates for names of other spellings.
        ignored: regular expressions for names of the files that are of no use.
        may_be_new: whether a parameter that the files lack may be initialised afresh.
        initialise: called with the model and the names that have to be initialised.
        ties: name -> the name whose parameter it shares.
        dtype: for floating tensors; None keeps the file's.
        device_map: None, a device, "auto", "balanced", "sequential", or module name -> device.
        ignore_mismatched_sizes: initialise afresh what has another shape in the files.
        offload_folder: for what `device_map` puts on "disk".
        prefix: the name of the base model inside a model with a head; added or taken away as needed.
        strict: make a tensor of the files that the model has no place for an error.
        max_memory: device -> bytes, for "auto" and its like.

    Returns:
        What was loaded, what is new, and what was left.

    Raises:
        LoadError: lists everything that is missing or has another shape, at once.
    """
    plan = _Plan.of(model, files, renames, ignored, dict(ties or {}), prefix)
    report = plan.report
    report.files, report.fingerprint = files.paths, files.fingerprint()
    _sort_out_missing(plan, files, may_be_new, ignore_mismatched_sizes, strict)
    placement = Placement.of(
        model, device_map, dtype=dtype, offload_folder=offload_folder, max_memory=max_memory
    )
    floating = dtype or files.floating_dtype()
    owners = dict(model.named_modules(remove_duplicate=False))
    for name, source in plan.chosen.items():
        value = files.tensor(source, dtype=dtype, device=placement.device(name))
        if value.shape != plan.wanted[name].shape:
            value = value.reshape(plan.wanted[name].shape)  # a scalar kept as one element, or the reverse
        report.loaded += 1
        report.values += value.numel()
        kind = str(value.dtype).removeprefix("torch.")
        report.dtypes[kind] = report.dtypes.get(kind, 0) + 1
        path, _, leaf = name.rpartition(".")
        _hold(owners[path], leaf, placement.put(name, value))
    misshapen = [name for name, _, _ in report.mismatched if name not in plan.donors]
    fresh = [*report.new, *misshapen]
    _materialise(model, fresh, plan.wanted, floating, placement)
    _tie(model, files, plan)
    _initialise(model, fresh, initialise)
    _offload_rest(model, files, plan, fresh, placement, dtype)
    _refuse_unfilled(model, placement)
    placement.finish(model)
    _say(model, report)
    return report


@dataclass
class _Plan:
    """Which name of the files goes to which name of the model."""

    wanted: dict[str, Tensor]
    ties: dict[str, str]
    chosen: dict[str, str]
    report: LoadReport
    donors: dict[str, str] = field(default_factory=dict)  # a tied name -> the name whose parameter it gets

    @classmethod
    def of(
        cls,
        model: nn.Module,
        files: TensorFiles,
        renames: Sequence[Rename],
        ignored: Iterable[str],
        ties: dict[str, str],
        prefix: str,
    ) -> _Plan:
        wanted = {
            name: value
            for name, value in model.state_dict(keep_vars=True).items()
            if isinstance(value, Tensor)
        }
        report = LoadReport()
        chosen: dict[str, str] = {}
        spare: list[str] = []
        useless = [re.compile(pattern) for pattern in ignored]
        exact = [name for name in files.names() if name in wanted]
        for name in [*exact, *(name for name in files.names() if name not in wanted)]:
            options = [name] if name in wanted else candidates(name, renames, prefix)
            place = next((option for option in options if option in wanted and option not in chosen), None)
            if place is not None:
                chosen[place] = name
                if place != name:
                    report.renamed[place] = name
            elif any(pattern.search(name) for pattern in useless):
                report.ignored.append(name)
            else:
                spare.append(name)
        _sort_spare(spare, files, wanted, prefix, report)
        ties = {target: source for target, source in ties.items() if target in wanted and source in wanted}
        return cls(wanted, ties, chosen, report)

    def groups(self) -> dict[str, list[str]]:
        """The ties as groups: the shared name, and the names that share it."""
        groups: dict[str, list[str]] = {}
        for target, source in self.ties.items():
            while source in self.ties and self.ties[source] != target:
                source = self.ties[source]
            groups.setdefault(source, []).append(target)
        return groups

    def find_donors(self) -> None:
        """Say, for every tied name without a tensor of its own, whose parameter it gets."""
        for source, targets in self.groups().items():
            held = [name for name in (source, *targets) if name in self.chosen]
            giver = held[0] if held else source
            for name in (source, *targets):
                if name != giver and name not in self.chosen:
                    self.donors[name] = giver


def _sort_spare(
    spare: list[str], files: TensorFiles, wanted: Mapping[str, Tensor], prefix: str, report: LoadReport
) -> None:
    """Tell another head's weights, which are nobody's business, from those of the trunk."""
    start = f"{prefix}."
    prefixed = bool(prefix) and any(name.startswith(start) for name in files.names())
    for name in spare:
        inside = name.startswith(start) if prefixed else not prefix or _of_trunk(name, wanted, prefix)
        (report.unexpected if inside else report.other_heads).append(name)


def _of_trunk(name: str, wanted: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether a name without the prefix begins like a part of the base model."""
    first = name.split(".")[0]
    return any(other.startswith((f"{prefix}.{first}.", f"{first}.")) for other in wanted)


def _sort_out_missing(
    plan: _Plan,
    files: TensorFiles,
    may_be_new: Callable[[str], bool],
    ignore_mismatched_sizes: bool,
    strict: bool,
) -> None:
    """Decide what is new; raise one error for all that may not be."""
    report = plan.report
    for name, source in [(name, plan.chosen[name]) for name in plan.wanted if name in plan.chosen]:
        found, expected = files.shape(source), tuple(plan.wanted[name].shape)
        if found != expected and {found, expected} != {(), (1,)}:
            report.mismatched.append((name, found, expected))
            del plan.chosen[name]
    plan.find_donors()
    for name in plan.wanted:
        if (
            name not in plan.chosen
            and name not in plan.donors
            and name not in {n for n, _, _ in report.mismatched}
        ):
            (report.new if may_be_new(name) else report.missing).append(name)
    problems = []
    if report.missing:
        problems.append(f"missing from the files ({len(report.missing)}): {_some(report.missing)}")
    if report.mismatched and not ignore_mismatched_sizes:
        shapes = [
            f"{name} is {list(a)} in the file and {list(b)} in the model" for name, a, b in report.mismatched
        ]
        problems.append(f"of another shape ({len(shapes)}): {_some(shapes)}")
    if strict and report.unexpected:
        problems.append(
            f"in the files, with no place in the model ({len(report.unexpected)}): {_some(report.unexpected)}"
        )
    if problems:
        raise LoadError(_explain(plan, problems, ignore_mismatched_sizes))


def _explain(plan: _Plan, problems: list[str], ignore_mismatched_sizes: bool) -> str:
    report = plan.report
    text = [f"{', '.join(str(path) for path in report.files) or 'the given tensors'} do not fit this model:"]
    text += [f"  - {problem}" for problem in problems]
    if report.mismatched and not ignore_mismatched_sizes:
        text.append(
            "  To initialise what has another shape afresh (a head with another number of labels, say), "
            "give ignore_mismatched_sizes=True."
        )
    if report.missing:
        unused = [*report.unexpected, *report.other_heads]
        hint = f" The files also hold names that were not used: {_some(unused, 6)}." if unused else ""
        text.append(f"  Only heads may be new: is this the right model class for these files?{hint}")
    return "\n".join(text)


def assign(model: nn.Module, name: str, value: Tensor | nn.Parameter) -> None:
    """Make `value` the parameter or buffer of that name, without a copy."""
    path, _, leaf = name.rpartition(".")
    _hold(model.get_submodule(path), leaf, value)


def _hold(module: nn.Module, leaf: str, value: Tensor | nn.Parameter) -> None:
    if leaf in module._parameters:
        before = module._parameters[leaf]
        wants_grad = before.requires_grad if before is not None else True
        floats = value.is_floating_point() or value.is_complex()
        if not isinstance(value, nn.Parameter):
            value = nn.Parameter(value, requires_grad=wants_grad and floats)
        module._parameters[leaf] = value
    else:
        module._buffers[leaf] = value.detach()


def _materialise(
    model: nn.Module,
    names: list[str],
    wanted: Mapping[str, Tensor],
    floating: torch.dtype | None,
    placement: Placement,
) -> None:
    """Give new parameters memory. They hold NaN until they are initialised, so none is forgotten."""
    for name in names:
        like = wanted[name]
        kind = floating if floating is not None and like.is_floating_point() else like.dtype
        device = placement.device(name) or torch.device("cpu")
        fill = float("nan") if kind.is_floating_point else 0
        assign(model, name, torch.full(like.shape, fill, dtype=kind, device=device))


def _initialise(
    model: nn.Module, names: list[str], initialise: Callable[[nn.Module, list[str]], None] | None
) -> None:
    if not names:
        return
    if initialise is not None:
        with torch.no_grad():
            initialise(model, names)
    table = model.state_dict(keep_vars=True)
    unset = [n for n in names if table[n].is_floating_point() and bool(torch.isnan(table[n].detach()).any())]
    if unset:
        raise LoadError(f"these parameters are new and nothing initialised them: {_some(unset)}")


def _tie(model: nn.Module, files: TensorFiles, plan: _Plan) -> None:
    """Make tied names share one parameter, unless the files hold two different tensors."""
    for target, giver in plan.donors.items():
        assign(model, target, _get(model, giver))
    for source, targets in plan.groups().items():
        held = [name for name in (source, *targets) if name in plan.chosen]
        for name in held[1:]:
            one, two = plan.chosen[held[0]], plan.chosen[name]
            if one == two or (files.shape(one) == files.shape(two) and _equal(files, one, two)):
                assign(model, name, _get(model, held[0]))
            else:
                plan.report.untied.append(name)


def _offload_rest(
    model: nn.Module,
    files: TensorFiles,
    plan: _Plan,
    fresh: list[str],
    placement: Placement,
    dtype: torch.dtype | None,
) -> None:
    """Write to disk what did not come there from the files by its own name: new and tied parameters."""
    for name in fresh:
        if placement.offloads(name):
            assign(model, name, placement.put(name, _get(model, name).detach()))
    for name, giver in plan.donors.items():
        if placement.offloads(name) and giver in plan.chosen:
            placement.put(name, files.tensor(plan.chosen[giver], dtype=dtype))


def _equal(files: TensorFiles, one: str, two: str) -> bool:
    return files.dtype(one) == files.dtype(two) and torch.equal(files.tensor(one), files.tensor(two))


def _get(model: nn.Module, name: str) -> Any:
    path, _, leaf = name.rpartition(".")
    return getattr(model.get_submodule(path), leaf)


def _refuse_unfilled(model: nn.Module, placement: Placement) -> None:
    """Nothing may stay without values: not a parameter, and not a buffer that is computed."""
    empty = []
    for path, module in model.named_modules():
        for leaf, value in (*module._parameters.items(), *module._buffers.items()):
            name = f"{path}.{leaf}" if path else leaf
            if value is not None and value.is_meta and not placement.offloads(name):
                empty.append(name)
    if empty:
        raise LoadError(
            f"these have no values after loading: {_some(empty)}. Buffers that are not saved have to be "
            "computed when the model is built, outside the meta device."
        )


def _say(model: nn.Module, report: LoadReport) -> None:
    kind = type(model).__name__
    fresh = [*report.new, *(name for name, _, _ in report.mismatched)]
    if fresh:
        notice(
            f"{kind}: {len(fresh)} weights are not in {report.origin} and were initialised afresh: "
            f"{_some(fresh, 6)}. Train the model before you use it."
        )
    if report.unexpected:
        notice(
            f"{kind}: {len(report.unexpected)} weights of {report.origin} have no place in the model "
            f"and were not used: {_some(report.unexpected, 6)}."
        )
    if report.untied:
        notice(f"{kind}: declared tied, kept apart because the file has two values: {_some(report.untied)}.")


def _some(items: Sequence[str], limit: int = _SHOWN) -> str:
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown}, and {len(items) - limit} more"
