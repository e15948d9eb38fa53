"""The order of parameters in `optimizer.pt`, where the ecosystem counts them and writes no names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

# entries of an optimizer's state that have the shape of their parameter
_LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "sum")


def _walk(module: nn.Module, path: str, rules: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, Any]]:
    named: dict[str, Any] = dict(module.named_children())
    for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
        if any(name in rule for rule in rules):
            named[name] = parameter
        else:
            yield f"{path}{name}", parameter
    children, kind = list(named), f"{type(module).__name__}:"
    for rule in rules:
        if rule[0].endswith(":"):
            if rule[0] != kind:
                continue
            rule = rule[1:]
        places = [place for place, name in enumerate(children) if name in rule]
        ordered = sorted((children[place] for place in places), key=rule.index)
        for place, name in zip(places, ordered, strict=True):
            children[place] = name
    for name in children:
        if isinstance(named[name], nn.Module):
            yield from _walk(named[name], f"{path}{name}.", rules)
        else:
            yield f"{path}{name}", named[name]


def _ranks(model: nn.Module, rules: tuple[tuple[str, ...], ...]) -> dict[int, int]:
    """Place of each parameter, by its id; a shared one counts where it comes first."""
    ranks: dict[int, int] = {}
    for _, parameter in _walk(model, "", rules):
        ranks.setdefault(id(parameter), len(ranks))
    return ranks


def _rules(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    family = getattr(model, "_family", None)
    return () if family is None else tuple(family.order)


def _sorted(groups: list[dict[str, Any]], ranks: dict[int, int]) -> list[list[Any]]:
    """Parameters of each group by rank; those that are none of the model's come last, as they were."""
    return [sorted(group["params"], key=lambda p: ranks.get(id(p), len(ranks))) for group in groups]


def to_file(optimizer: Any, model: nn.Module) -> dict[str, Any]:
    """The optimizer's state with its parameters in the ecosystem's order, and their names beside them."""
    state = optimizer.state_dict()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    ordered = _sorted(optimizer.param_groups, _ranks(model, _rules(model)))
    saved: dict[int, Any] = {}
    groups = []
    for live, group, wanted in zip(optimizer.param_groups, state["param_groups"], ordered, strict=True):
        number = {
            id(parameter): index for parameter, index in zip(live["params"], group["params"], strict=True)
        }
        for index, parameter in zip(group["params"], wanted, strict=True):
            if number[id(parameter)] in state["state"]:
                saved[index] = state["state"][number[id(parameter)]]
        groups.append({**group, "param_names": [names.get(id(parameter), "") for parameter in wanted]})
    return {**state, "state": saved, "param_groups": groups}


def from_file(state: dict[str, Any], optimizer: Any, model: nn.Module, folder: Path) -> dict[str, Any]:
    """What `optimizer.load_state_dict` takes, from what a checkpoint of ours or of the ecosystem holds.

    Raises:
        ValueError: where the state is of other parameters; the text says which and what to do.
    """
    live = [group["params"] for group in optimizer.param_groups]
    saved = state["param_groups"]
    if [len(group["params"]) for group in saved] != [len(group) for group in live]:
        raise ValueError(
            f"the optimizer in {folder} has {[len(group['params']) for group in saved]} parameters in its "
            f"groups, that of this run {[len(group) for group in live]}: train the same parameters with the "
            "same groups, or remove optimizer.pt from the folder, to go on with a fresh optimizer"
        )
    orders = _orders_of_file(saved, optimizer, model)
    wrong = [_misfit(state, order) for order in orders]
    if None not in wrong:
        raise ValueError(
            f"the optimizer in {folder} is of other parameters ({wrong[0]}): give the model it was trained "
            "with, or remove optimizer.pt from the folder, to go on with a fresh optimizer"
        )
    return _renumbered(state, orders[wrong.index(None)], live)


def _orders_of_file(saved: list[dict[str, Any]], optimizer: Any, model: nn.Module) -> list[list[list[Any]]]:
    """The orders that the parameters of a file may have, the likeliest first."""
    by_name: dict[str, Any] = dict(model.named_parameters(remove_duplicate=False))
    own = [list(group["params"]) for group in optimizer.param_groups]
    named = [group.get("param_names") for group in saved]
    if all(names is not None and all(name in by_name for name in names) for names in named):
        order = [[by_name[name] for name in names] for names in named if names is not None]
        same = zip(order, own, strict=True)
        if all({id(p) for p in listed} == {id(p) for p in group} for listed, group in same):
            return [order]
    # releases before 5 made some families in the order of ours: shapes tell which it was
    return [_sorted(optimizer.param_groups, _ranks(model, _rules(model))), own]


def _misfit(state: dict[str, Any], order: list[list[Any]]) -> str | None:
    """What does not fit where the parameters are in `order`; None where all does."""
    for group, parameters in zip(state["param_groups"], order, strict=True):
        for index, parameter in zip(group["params"], parameters, strict=True):
            for key in _LIKE_PARAMETER:
                value = state["state"].get(index, {}).get(key)
                if value is not None and value.shape != parameter.shape:
                    return f"{key} {tuple(value.shape)} for a parameter {tuple(parameter.shape)}"
    return None


def _renumbered(state: dict[str, Any], order: list[list[Any]], live: list[list[Any]]) -> dict[str, Any]:
    moved: dict[int, Any] = {}
    groups = []
    for group, parameters, wanted in zip(state["param_groups"], order, live, strict=True):
        number = {id(parameter): index for parameter, index in zip(parameters, group["params"], strict=True)}
        for index, parameter in zip(group["params"], wanted, strict=True):
            if number[id(parameter)] in state["state"]:
                moved[index] = state["state"][number[id(parameter)]]
        groups.append({key: value for key, value in group.items() if key != "param_names"})
    return {**state, "state": moved, "param_groups": groups}
