"""Weights into a model built on the meta device: nothing copied that can be mapped, nothing missed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from formers.checkpoints.failures import LoadError
from formers.checkpoints.files import TensorFiles
from formers.checkpoints.placement import Placement
from formers.checkpoints.plan import Plan
from formers.checkpoints.renames import Rename
from formers.checkpoints.report import LoadReport, some
from formers.core.notices import notice


def load(
    model: nn.Module,
    files: TensorFiles,
    *,
    renames: Sequence[Rename] = (),
    ignored: Iterable[str] = (),
    may_be_new: Callable[[str], bool] = lambda name: False,
    ruled: Collection[str] = (),
    initialise: Callable[[nn.Module, list[str]], None] | None = None,
    ties: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
    stated: torch.dtype | None = None,
    device_map: Any = None,
    ignore_mismatched_sizes: bool = False,
    offload_folder: str | Path | None = None,
    prefix: str = "",
    strict: bool = False,
    max_memory: dict[Any, Any] | None = None,
    pack: Callable[[str, Tensor], bool] | None = None,
) -> LoadReport:
    """Give a model its weights. Tensors of the files become its parameters, without a copy where that can be.

    Args:
        model: built on the meta device. What is not there was made by the constructor of a class of one's
            own, and may stay as it is where the files lack it.
        files: the opened weight files.
        renames: templates for names of other spellings.
        ignored: regular expressions for names of the files that are of no use.
        may_be_new: whether a parameter that the files lack may be initialised afresh.
        ruled: those whose fresh values are the right ones, so that nobody need be told.
        initialise: called with the model and the names that have to be initialised.
        ties: name -> the name whose parameter it shares.
        dtype: for floating tensors; None keeps the files', or takes one of theirs for all. Parameters that
            their module names in `_keep_float32` are float32 in any case.
        stated: which of several floating dtypes in the files is taken, rather than the commonest.
        device_map: None, a device, "auto", "balanced", "sequential", or module name -> device.
        ignore_mismatched_sizes: initialise afresh what has another shape in the files.
        offload_folder: for what `device_map` puts on "disk".
        prefix: the name of the base model inside a model with a head; added or taken away as needed.
        strict: make a tensor of the files that the model has no place for an error.
        max_memory: device -> bytes, for "auto" and its like.
        pack: called with a name of the model and its tensor; True where a leaf keeps it in a form of its own.

    Returns:
        What was loaded, what is new, and what was left.

    Raises:
        LoadError: lists everything that is missing or has another shape, at once.
    """
    plan = Plan.of(model, files, renames, ignored, ties or {}, prefix)
    plan.sort_out(may_be_new)
    report = plan.report
    _refuse_misfits(report, ignore_mismatched_sizes, strict)
    dtype, floating = _dtypes(plan, dtype, stated)
    placement = Placement.of(
        model, device_map, dtype=dtype, offload_folder=offload_folder, max_memory=max_memory
    )
    owners = dict(model.named_modules(remove_duplicate=False))
    for source, name in plan.steps():
        kind = torch.float32 if name in plan.wide else None if name in plan.stored else dtype
        value = files.tensor(source, dtype=kind, device=placement.device(name))
        if value.shape != plan.wanted[name].shape:
            value = value.reshape(plan.wanted[name].shape)  # a scalar kept as one element, or the reverse
        report.count(value)
        if pack is None or not pack(name, value):
            _hold(*_owner(owners, name), placement.put(name, value))
    fresh = [*report.new, *(name for name, _, _ in report.mismatched if name not in plan.donors)]
    _materialise(model, fresh, plan, floating, placement)
    _tie(model, plan)
    _initialise(model, fresh, initialise)
    _move(model, [*fresh, *report.kept], plan, floating, placement)
    _offload_rest(model, plan, fresh, placement, dtype)
    _refuse_unfilled(model, placement)
    placement.finish(model)
    report.kept += [name for name in report.new if name in ruled]
    report.new = [name for name in report.new if name not in ruled]
    _say(model, report)
    return report


def _dtypes(
    plan: Plan, dtype: torch.dtype | None, stated: torch.dtype | None
) -> tuple[torch.dtype | None, torch.dtype | None]:
    """The dtype to read floating tensors in (None: as they are), and that of what is new."""
    found = plan.floating()
    if dtype is not None or not found:
        return dtype, dtype or plan.files.floating_dtype()
    common = max(found, key=lambda kind: (kind.itemsize > 1, found[kind]))  # bytes are of quantized weights
    if len(found) == 1:
        return None, common
    chosen = stated if stated in found else common
    kinds = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in found))
    name = str(chosen).removeprefix("torch.")
    notice(
        f"{plan.report.origin} holds weights in several dtypes ({kinds}): all were loaded in {name}. "
        "dtype='...' chooses another."
    )
    return chosen, chosen


def _refuse_misfits(report: LoadReport, ignore_mismatched_sizes: bool, strict: bool) -> None:
    """One error for all that does not fit.

    Raises:
        LoadError: listing it.
    """
    problems = []
    if report.missing:
        problems.append(f"missing from the files ({len(report.missing)}): {some(report.missing)}")
    if report.mismatched and not ignore_mismatched_sizes:
        shapes = [
            f"{name} is {list(a)} in the file and {list(b)} in the model" for name, a, b in report.mismatched
        ]
        problems.append(f"of another shape ({len(shapes)}): {some(shapes)}")
    if strict and report.unexpected:
        problems.append(
            f"in the files, with no place in the model ({len(report.unexpected)}): {some(report.unexpected)}"
        )
    if not problems:
        return
    text = [f"{', '.join(str(path) for path in report.files) or 'the given tensors'} do not fit this model:"]
    text += [f"  - {problem}" for problem in problems]
    if report.mismatched and not ignore_mismatched_sizes:
        text.append(
            "  To initialise what has another shape afresh (a head with another number of labels, say), "
            "give ignore_mismatched_sizes=True."
        )
    if report.missing:
        unused = [*report.unexpected, *report.other_heads]
        hint = f" The files also hold names that were not used: {some(unused, 6)}." if unused else ""
        text.append(f"  Only heads may be new: is this the right model class for these files?{hint}")
    raise LoadError("\n".join(text))


def assign(model: nn.Module, name: str, value: Tensor | nn.Parameter) -> None:
    """Make `value` the parameter or buffer of that name, without a copy."""
    path, _, leaf = name.rpartition(".")
    _hold(model.get_submodule(path), leaf, value)


def _owner(owners: Mapping[str, nn.Module], name: str) -> tuple[nn.Module, str]:
    """The module that holds a name, and what it calls it; a buffer's own name may have dots."""
    path, _, leaf = name.rpartition(".")
    while path not in owners:
        path, _, more = path.rpartition(".")
        leaf = f"{more}.{leaf}"
    return owners[path], leaf


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
    model: nn.Module, names: list[str], plan: Plan, floating: torch.dtype | None, placement: Placement
) -> None:
    """Give new parameters memory. They hold NaN until they are initialised, so none is forgotten."""
    for name in names:
        like = plan.wanted[name]
        if like.is_meta:  # otherwise it is as its constructor made it
            kind = plan.dtype(name, floating)
            fill = float("nan") if kind.is_floating_point else 0
            value = torch.full(like.shape, fill, dtype=kind, device=placement.device(name) or "cpu")
            assign(model, name, value)


def _move(
    model: nn.Module, names: list[str], plan: Plan, floating: torch.dtype | None, placement: Placement
) -> None:
    """Give what a constructor made the dtype and the device of the rest."""
    for name in names:
        value = _get(model, name)
        value.data = value.data.to(placement.device(name), plan.dtype(name, floating))


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
        raise LoadError(f"these parameters are new and nothing initialised them: {some(unset)}")


def _tie(model: nn.Module, plan: Plan) -> None:
    """Make tied names share one parameter, unless the files hold two different tensors."""
    for target, giver in plan.donors.items():
        assign(model, target, _get(model, giver))
    for source, targets in plan.groups().items():
        held = [name for name in (source, *targets) if name in plan.chosen]
        for name in held[1:]:
            one, two = plan.chosen[held[0]], plan.chosen[name]
            if one == two or _equal(plan.files, one, two):
                assign(model, name, _get(model, held[0]))
            else:
                plan.report.untied.append(name)


def _offload_rest(
    model: nn.Module, plan: Plan, fresh: list[str], placement: Placement, dtype: torch.dtype | None
) -> None:
    """Write to disk what did not come there from the files by its own name: new and tied parameters."""
    for name in fresh:
        if placement.offloads(name):
            assign(model, name, placement.put(name, _get(model, name).detach()))
    for name, giver in plan.donors.items():
        if placement.offloads(name) and giver in plan.chosen:
            placement.put(name, plan.files.tensor(plan.chosen[giver], dtype=dtype))


def _equal(files: TensorFiles, one: str, two: str) -> bool:
    alike = files.shape(one) == files.shape(two) and files.dtype(one) == files.dtype(two)
    return alike and torch.equal(files.tensor(one), files.tensor(two))


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
            f"these have no values after loading: {some(empty)}. Buffers that are not saved have to be "
            "computed when the model is built, outside the meta device."
        )


def _say(model: nn.Module, report: LoadReport) -> None:
    kind = type(model).__name__
    fresh = [*report.new, *(name for name, _, _ in report.mismatched)]
    if fresh:
        notice(
            f"{kind}: {len(fresh)} weights are not in {report.origin} and were initialised afresh: "
            f"{some(fresh, 6)}. Train the model before you use it."
        )
    if report.unexpected:
        notice(
            f"{kind}: {len(report.unexpected)} weights of {report.origin} have no place in the model "
            f"and were not used: {some(report.unexpected, 6)}."
        )
    if report.untied:
        notice(f"{kind}: declared tied, kept apart because the file has two values: {some(report.untied)}.")
