"""Which modules of a model an adapter goes on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from formers.adapters.config import TaskType
from formers.adapters.layer import AdapterLayer, is_linear
from formers.nn.tree import Block, roles, rows_of, wiring

ALL_LINEAR = "all-linear"
_HEADS = ("score", "classifier")


def newer_names(model: nn.Module) -> dict[str, str]:
    """Path of every module -> its path by the newer names of its family, where there are such."""
    found = {"": ""}
    newer: dict[str, dict[str, str]] = {}  # owner -> real path below it -> the other one
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Block):
            aliases: Mapping[str, str] = wiring(module).facts.get("aliases", {})
            if aliases:
                newer[path] = {real: alias for alias, real in aliases.items()}
        if path:
            found[path] = _newer(path, found, newer)
    return found


def _newer(path: str, found: Mapping[str, str], newer: Mapping[str, Mapping[str, str]]) -> str:
    parts = path.split(".")
    for count in range(len(parts) - 1, -1, -1):
        owner, below = ".".join(parts[:count]), ".".join(parts[count:])
        if owner in newer and below in newer[owner]:
            return f"{found[owner]}.{newer[owner][below]}".lstrip(".")
    return f"{found['.'.join(parts[:-1])]}.{parts[-1]}".lstrip(".")


def ends_with(path: str, ends: Any) -> bool:
    """Whether a path ends with one of some names, or is one; a text is an expression for the whole."""
    if isinstance(ends, str):
        return re.fullmatch(ends, path) is not None
    return any(path == end or path.endswith(f".{end}") for end in ends)


def _is_left_out(config: Any, path: str) -> bool:
    saved = getattr(config, "modules_to_save", None) or ()
    return bool(
        (config.exclude_modules and ends_with(path, config.exclude_modules))
        or any(re.match(rf"(^|.*\.){name}($|\..*)", path) for name in saved)
    )


def _in_layers(config: Any, path: str) -> bool:
    wanted, pattern = config.layers_to_transform, config.layers_pattern
    if (
        wanted is None
        or wanted == []
        or isinstance(config.target_modules, str)
        or path in config.target_modules
    ):
        return True
    patterns = [pattern] if isinstance(pattern, str) else list(pattern or ())
    found = next(
        (m for m in (re.match(rf"(?:^|.*?\.){one}\.(\d+)\.", path) for one in patterns or [r"[^.]*"]) if m),
        None,
    )
    return found is not None and int(found[1]) in ([wanted] if isinstance(wanted, int) else wanted)


def targeted(config: Any, model: nn.Module) -> list[str]:
    """Paths of the modules that a config names, in the order of the tree; by their newer names too.

    Raises:
        ValueError: where there is none.
    """
    inside = [path for path, module in model.named_modules() if isinstance(module, AdapterLayer)]
    newer = newer_names(model)
    found, left_out = [], False
    for path, module in model.named_modules():
        if not path or any(path.startswith(f"{adapted}.") for adapted in inside):
            continue
        for spelt in dict.fromkeys((path, newer.get(path, path))):
            if ends_with(spelt, config.target_modules) and _in_layers(config, spelt):
                if _is_left_out(config, path) or _is_left_out(config, spelt):
                    left_out = True
                elif not isinstance(module, nn.ModuleDict | nn.ModuleList):
                    found.append(path)
                    break
    if not found:
        raise ValueError(_none_found(config, model, left_out))
    return found


def _none_found(config: Any, model: nn.Module, left_out: bool) -> str:
    if left_out:
        return (
            "All modules were excluded: exclude_modules and modules_to_save name all that target_modules "
            "finds. "
            "Change one of them"
        )
    named = config.target_modules
    shown = repr(named) if isinstance(named, str) else sorted(named)
    ends = sorted({path.rpartition(".")[2] for path, module in model.named_modules() if is_linear(module)})
    where = "" if config.layers_to_transform is None else f" in layers {config.layers_to_transform}"
    return (
        f"Target modules {shown} not found in the base model{where}. Please check the target modules and "
        "try again: "
        f"{type(model).__name__} has linear leaves called {', '.join(ends) or 'nothing'}"
    )


def settle_targets(config: Any, model: nn.Module) -> None:
    """Write down what "all-linear" means for this model, and where no target is named, the usual ones.

    Raises:
        ValueError: where none is named, for a model whose parts are not known.
    """
    if config.target_modules is None:
        config.target_modules = attention_leaves(model)
        if not config.target_modules:
            raise ValueError(
                "Please specify `target_modules` in `peft_config`: what attends is known for models of "
                "this library alone"
            )
    elif isinstance(config.target_modules, str) and config.target_modules.lower() == ALL_LINEAR:
        config.target_modules = set(_all_linear(model, config.task_type))


def _all_linear(model: nn.Module, task: Any) -> Iterable[str]:
    head = _head_of(model, task)
    inside = [path for path, module in model.named_modules() if isinstance(module, AdapterLayer)]
    for path, module in model.named_modules():
        leaf = module.get_base_layer() if isinstance(module, AdapterLayer) else module
        within = any(path.startswith(f"{adapted}.") for adapted in inside)
        if path and module is not head and not within and is_linear(leaf):
            yield path


def _head_of(model: Any, task: Any) -> Any:
    """What predicts tokens or classes, which is no target."""
    table = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if table is not None or task != TaskType.SEQ_CLS:
        return table
    return next((getattr(model, name) for name in _HEADS if hasattr(model, name)), None)


_ATTENTION = ("q", "v", "cross_q", "cross_v")
_FUSED = ("qkv", "cross_kv")


def _roles_of(model: nn.Module) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Owner's path, role and path below the owner, of all leaves whose roles are known."""
    for path, module in model.named_modules():
        for known in [roles(module), *(wiring(row).roles for row in rows_of(module))]:
            for role, below in known.items():
                yield path, role, below


def attention_leaves(model: nn.Module) -> set[str]:
    """Last names of the leaves whose roles are to make queries and values, alone or with keys.

    Of a model that writes through another, those of that one.
    """
    writer = str(wiring(model).facts.get("adapted", "")) if isinstance(model, Block) else ""
    known = (one for one in _roles_of(model) if one[0].startswith(writer))
    return {below[-1] for _, role, below in known if role in (*_ATTENTION, *_FUSED)}


def norm_leaves(model: nn.Module) -> set[str]:
    """Last names of the leaves whose roles are to normalise."""
    return {below[-1] for _, role, below in _roles_of(model) if role.endswith("_norm")}


def paths_of(model: nn.Module, wanted: Iterable[str]) -> set[str]:
    """Paths of the leaves of some roles."""
    return {".".join((path, *below)).lstrip(".") for path, role, below in _roles_of(model) if role in wanted}


def expert_paths(model: nn.Module) -> set[str]:
    """Paths of experts, which read chosen tokens."""
    known = ((path, below) for path, role, below in _roles_of(model) if role.startswith("expert_"))
    return {".".join((path, *below)).lstrip(".") for path, below in known}
