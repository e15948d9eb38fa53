"""Weight files seen through rules of conversion: the names and shapes that the model has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.checkpoints.conversions import (
    WeightConverter,
    WeightTransform,
    dot_natural_key,
    get_model_conversion_mapping,
    rename_source_key,
)
from formers.checkpoints.files import TensorFiles


@dataclass
class _Group:
    """What becomes one or more tensors together: the rule, and its sources as (pattern, name)."""

    rule: WeightTransform
    target: str
    sources: list[tuple[str, str]]


class ConvertedFiles(TensorFiles):
    """The tensors of files under the names that rules make of theirs.

    A name that the model has as it is keeps its place, so that what was saved here is read again. Shapes are
    found on tensors without storage; values are read when they are asked for.

    Args:
        files: what is read.
        rules: in their order.
        wanted: the model's own names.
        context: what steps are told (`model`, `config`).
    """

    def __init__(
        self, files: TensorFiles, rules: Sequence[WeightTransform], wanted: Iterable[str], **context: Any
    ) -> None:
        self._inner, self._context = files, context
        renamings = [one for one in rules if not isinstance(one, WeightConverter)]
        converters = [one for one in rules if isinstance(one, WeightConverter)]
        groups: dict[str, _Group] = {}
        self._plain: dict[str, str] = {}
        kept = set(wanted)
        for name in sorted(files.names(), key=dot_natural_key):
            new, pattern = (name, None) if name in kept else rename_source_key(name, renamings, converters)
            if pattern is None:
                self._plain[new] = name
                continue
            rule = next(one for one in converters if pattern in one.source_patterns)
            groups.setdefault(new, _Group(rule, new, [])).sources.append((pattern, name))
        self._made: dict[str, _Group] = {}
        self._shapes: dict[str, Tensor] = {}
        for group in groups.values():
            for name, value in self._convert(group, on_meta=True).items():
                self._made[name], self._shapes[name] = group, value

    def _convert(self, group: _Group, on_meta: bool = False) -> dict[str, Tensor]:
        rule = group.rule.emptied()
        for pattern, name in group.sources:
            value = (
                torch.empty(self._inner.shape(name), dtype=self._inner.dtype(name), device="meta")
                if on_meta
                else self._inner.tensor(name)
            )
            rule.add_tensor(group.target, name, pattern, value)
        made = rule.convert(group.target, **self._context)
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}

    @property
    def paths(self) -> Any:
        """The files."""
        return self._inner.paths

    @property
    def metadata(self) -> dict[str, str]:
        """What their headers say."""
        return self._inner.metadata

    def names(self) -> list[str]:
        """The names of all tensors, after the rules."""
        return [*self._plain, *self._made]

    def __contains__(self, name: object) -> bool:
        return name in self._plain or name in self._made

    def place(self, name: str) -> tuple[int, int]:
        """Where the first of what a tensor is made of lies."""
        first = self._plain.get(name) or self._made[name].sources[0][1]
        return self._inner.place(first)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape after the rules."""
        if name in self._plain:
            return self._inner.shape(self._plain[name])
        return tuple(self._shapes[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        """The dtype after the rules."""
        return self._inner.dtype(self._plain[name]) if name in self._plain else self._shapes[name].dtype

    def tensor(self, name: str, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """A tensor after the rules; see `TensorFiles.tensor`."""
        if name in self._plain:
            return self._inner.tensor(self._plain[name], dtype=dtype, device=device)
        value = self._convert(self._made[name])[name]
        kind = dtype if dtype is not None and value.is_floating_point() else value.dtype
        return value.to(device=device, dtype=kind).contiguous()

    def floating_dtype(self) -> torch.dtype | None:
        """The floating dtype that most values of the files have."""
        return self._inner.floating_dtype()

    def fingerprint(self) -> str:
        """That of the files."""
        return self._inner.fingerprint()

    def content_hash(self) -> str:
        """That of the files."""
        return self._inner.content_hash()


def seen_through_rules(
    model: nn.Module, files: TensorFiles, key_mapping: Mapping[str, str] | None = None
) -> TensorFiles:
    """The files as `key_mapping` and registered rules have them; the files themselves where none counts."""
    rules = get_model_conversion_mapping(model, key_mapping)
    if not rules:
        return files
    config = getattr(model, "config", None)
    return ConvertedFiles(files, rules, model.state_dict(), model=model, config=config)


def revert_weight_conversion(model: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A model's values under the names that its registered rules read: each undone, the last one first."""
    rules = [rule.reverse_transform() for rule in reversed(get_model_conversion_mapping(model))]
    if not rules:
        return state_dict
    config = getattr(model, "config", None)
    files = ConvertedFiles(TensorFiles.holding(state_dict), rules, (), model=model, config=config)
    return {name: files.tensor(name) for name in files.names()}
