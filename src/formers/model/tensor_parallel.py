"""Weights split over processes: the plan follows from the roles of leaves, torch's DTensor does the rest.

Queries, keys, values and what feed-forwards expand are split by columns, what projects back by rows (Shoeybi
et al. 2019, arXiv:1909.08053, section 3). Every process reads the same batch and holds whole states.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.notices import did_you_mean
from formers.nn import spec
from formers.nn.mixers.attention import Attend
from formers.nn.mixers.feedforward import Expand
from formers.nn.tree import Block, leaf, wiring

STYLES = ("colwise", "rowwise")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class Part:
    """A mixer whose leaves can be split.

    Attributes:
        count: of heads, of key/value heads, or of inner features: every process takes its share.
        columns, rows: paths of the leaves.
        norms: leaves that every process applies to its own heads.
    """

    def __init__(self, count: int, columns: list[str], rows: list[str], norms: list[nn.Module]) -> None:
        self.count, self.columns, self.rows, self.norms = count, columns, rows, norms


def plan_of(model: nn.Module) -> dict[str, str]:
    """Paths of leaves, `*` for numbers of layers -> "colwise" or "rowwise"; empty where none can be split."""
    found: dict[str, str] = {}
    for part in _parts(model):
        found |= {_NUMBER.sub("*", path): "colwise" for path in part.columns}
        found |= {_NUMBER.sub("*", path): "rowwise" for path in part.rows}
    return found


def reasons(model: nn.Module) -> list[str]:
    """Why mixers of a model stay whole."""
    told = [_why_whole(node, step) for _, node, step in _mixers(model)]
    return list(dict.fromkeys(why for why in told if why))


def split(model: Any, plan: Any = "auto", size: int | None = None, mesh: Any = None) -> None:
    """Split the weights of a model over the processes of a mesh, in place.

    Args:
        model: whole, the same in every process.
        plan: "auto" for the model's own, or patterns of leaves -> styles in place of that.
        size: processes that share the weights; all by default.
        mesh: a `DeviceMesh` of one dimension, or one with a dimension "tp"; made where it is missing.

    Raises:
        TypeError: for a plan of another kind.
        ValueError: for a model that cannot be split, heads that processes cannot share evenly, or a process
            that is alone.
    """
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    own = plan_of(model)
    if not own:
        why = "; ".join(reasons(model)) or "it has no attention and no feed-forward that is known"
        raise ValueError(f"{type(model).__name__} cannot be split over processes: {why}. Leave tp_plan out")
    wanted = _wanted(plan, own)
    mesh = _mesh(size, mesh)
    count, styles = mesh.size(), {"colwise": ColwiseParallel, "rowwise": RowwiseParallel}
    parts = [part for part in _parts(model) if _chosen(part, wanted)]
    for part in parts:
        if part.count % count:
            raise ValueError(
                f"{part.columns[0]} is of {part.count} heads or features, which {count} processes cannot "
                "share evenly: set tp_size to a divisor"
            )
    if mesh.device_type != "cpu":
        model.to(torch.device(mesh.device_type, torch.accelerator.current_device_index()))
    group = mesh.get_group()
    for part in parts:
        leaves = {**dict.fromkeys(part.columns, "colwise"), **dict.fromkeys(part.rows, "rowwise")}
        for path, style in leaves.items():
            parallelize_module(model.get_submodule(path), mesh, styles[style](), src_data_rank=None)
        for norm in part.norms:
            for parameter in norm.parameters():
                parameter.register_hook(_Summed(group))  # type: ignore[no-untyped-call]  # torch has no types
    model.tp_size = count


def gathered(model: Any) -> tuple[dict[str, Tensor], bool]:
    """What is saved of a model, split weights put together, and whether this process writes it.

    All processes have to ask.
    """
    held = {name: t for name, t in model.state_dict().items() if name not in model._unsaved}
    found = {name: t.full_tensor() if hasattr(t, "full_tensor") else t for name, t in held.items()}
    return found, torch.distributed.get_rank() == 0


class _Summed:
    """The gradient of a weight that every process applies to its own heads is the sum of theirs."""

    def __init__(self, group: Any) -> None:
        self.group = group

    def __call__(self, gradient: Tensor) -> Tensor:
        made = gradient.clone()
        torch.distributed.all_reduce(made, group=self.group)
        return made


def _wanted(plan: Any, own: dict[str, str]) -> dict[str, str]:
    """Which leaves are split, by pattern.

    Raises:
        TypeError, ValueError: for a plan that is none, or asks for what the roles of leaves do not allow.
    """
    if plan == "auto":
        return own
    if not isinstance(plan, Mapping):
        raise TypeError(f'tp_plan is "auto" or a dict of patterns and styles, not {plan!r}')
    for pattern, style in plan.items():
        if own.get(pattern) != style:
            if pattern in own:
                raise ValueError(f"tp_plan: {pattern!r} is split {own[pattern]}, not {style!r}")
            raise ValueError(f"tp_plan: no leaf {pattern!r} can be split{did_you_mean(pattern, own)}")
    return dict(plan)


def _chosen(part: Part, wanted: dict[str, str]) -> bool:
    """Whether a plan names a part: all of its leaves, for one without the others computes something else."""
    named = [_NUMBER.sub("*", path) in wanted for path in (*part.columns, *part.rows)]
    if any(named) and not all(named):
        raise ValueError(
            f"tp_plan splits some of {', '.join((*part.columns, *part.rows))} and not the others: name all "
            "of them, or none"
        )
    return all(named)


def _mesh(size: int | None, mesh: Any) -> Any:
    """The processes that share the weights; their group is begun where nobody did."""
    from torch import distributed

    if mesh is not None:
        return mesh["tp"] if mesh.ndim > 1 else mesh
    if not distributed.is_initialized():
        if "RANK" not in os.environ:
            raise ValueError(
                "tp_plan splits weights over several processes, and this one is alone: start them with "
                "`torchrun --nproc_per_node N script.py`"
            )
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group()
    world = distributed.get_world_size()
    size = world if size is None else size
    if size < 1 or world % size:
        raise ValueError(f"tp_size={size}, but there are {world} processes: set it to a divisor")
    kind = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    made = distributed.device_mesh.init_device_mesh(kind, (world // size, size), mesh_dim_names=("dp", "tp"))
    return made["tp"]


# -- what a tree holds ------------------------------------------------------------------------------------


def _mixers(model: nn.Module) -> Iterator[tuple[str, Block, Any]]:
    """Attention and feed-forwards: the path of the node, the node, and the step that expands."""
    for path, node in model.named_modules():
        for step in wiring(node).program if isinstance(node, Block) else ():
            if isinstance(step, (Attend, Expand)):
                yield path, node, step


def _parts(model: nn.Module) -> Iterator[Part]:
    for path, node, step in _mixers(model):
        if _why_whole(node, step):
            continue
        prefix = f"{path}." if path else ""
        columns, rows = (
            [prefix + ".".join(wiring(node).roles[role]) for role in some] for some in _roles(step)
        )
        if isinstance(step, Attend):
            normed = step.spec.qk_norm is not None and step.spec.qk_norm.weight
            norms = [leaf(node, step.prefix + role) for role in ("q_norm", "k_norm") if normed]
            heads = step.spec.heads
            yield Part(heads.key_value, columns, rows, norms)
        else:
            yield Part(step.spec.inner, columns, rows, [])


def _roles(step: Any) -> tuple[list[str], list[str]]:
    """The roles of leaves that are split by columns and by rows."""
    if isinstance(step, Attend):
        return [step.prefix + role for role in ("q", "k", "v")], [f"{step.prefix}o"]
    own = step.spec
    expands = ["gate", "up"] if own.gated else ["up"]
    return [own.prefix + role for role in expands], [f"{own.prefix}down"]


def _why_whole(node: Block, step: Any) -> str:
    """Why a mixer stays whole; empty where it can be split."""
    own: Any = step.spec
    if own.fused:
        return "its queries, keys and values, or gate and up, are one weight, whose columns belong together"
    if isinstance(step, Attend):
        if type(step) is not Attend or type(own) is not spec.Attention:
            return f"{type(own).__name__} does not treat heads alike"
        apart = own.qk_norm is not None and own.qk_norm_over != "head"
        if own.score_bias is not None or own.sinks or own.prompts is not None or apart:
            return "it has numbers of its own for every head (biases of scores, sinks, norms)"
    known = wiring(node).roles
    if any(role not in known for some in _roles(step) for role in some):
        return "what projects back lies in another node"
    if any(type(leaf(node, role)) is not nn.Linear for some in _roles(step) for role in some):
        return "its leaves are no plain linear ones"
    return ""


def is_dtensor(value: Any) -> bool:
    """Whether a tensor is split over processes, or a copy on each of them."""
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)
