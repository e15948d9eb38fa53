"""Names and values of a checkpoint turned into a model's, by rules that scripts and packages register.

The families here read their checkpoints' own names (`renames`), so that none of them needs a rule; what is
registered, or given as `key_mapping`, counts while a model is loaded.
"""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor, nn

Values = Mapping[str, Any]  # pattern -> a tensor, or a list of them


class ConversionOps(ABC):
    """One step that turns values: pattern -> tensors in, pattern -> tensors out."""

    @abstractmethod
    def convert(
        self, input_dict: Values, source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, Any]:
        """The values after this step; `context` has `full_layer_name`, `model` and `config`."""

    @property
    @abstractmethod
    def reverse_op(self) -> ConversionOps:
        """The step that undoes this one."""


class Chunk(ConversionOps):
    """One tensor into as many equal parts along `dim` as there are target patterns."""

    def __init__(self, dim: int = 0) -> None:
        self.dim = dim

    def convert(
        self, input_dict: Values, source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, Any]:
        """Cut it.

        Raises:
            ValueError: where there is more than one tensor, or it does not divide.
        """
        whole = _only(input_dict, self)
        if whole.shape[self.dim] % len(target_patterns):
            raise ValueError(
                f"{tuple(whole.shape)} does not divide into {len(target_patterns)} along {self.dim}"
            )
        return dict(zip(target_patterns, whole.chunk(len(target_patterns), self.dim), strict=True))

    @property
    def reverse_op(self) -> ConversionOps:
        """What joins the parts."""
        return Concatenate(self.dim)


class Concatenate(ConversionOps):
    """The tensors of all source patterns, in the order of these, end to end along `dim`."""

    def __init__(self, dim: int = 0) -> None:
        self.dim = dim

    def convert(
        self, input_dict: Values, source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, Any]:
        """Join them.

        Raises:
            ValueError: where there is more than one target.
        """
        parts = [one for key in _ordered(input_dict, source_patterns) for one in _list(input_dict[key])]
        return {_target(target_patterns, self): torch.cat(parts, self.dim)}

    @property
    def reverse_op(self) -> ConversionOps:
        """What cuts into equal parts."""
        return Chunk(self.dim)


class MergeModulelist(ConversionOps):
    """The tensors of each source pattern stacked along a new `dim`: experts by number into one tensor."""

    def __init__(self, dim: int = 0) -> None:
        self.dim = dim

    def convert(
        self, input_dict: Values, source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, Any]:
        """Stack them; several patterns stay apart for a step that joins them."""
        stacked = {key: torch.stack(_list(value), self.dim) for key, value in input_dict.items()}
        if len(stacked) > 1:
            return stacked
        return {_target(target_patterns, self): value for value in stacked.values()}

    @property
    def reverse_op(self) -> ConversionOps:
        """What takes the stack apart."""
        return SplitModulelist(self.dim)


class SplitModulelist(ConversionOps):
    """Each tensor taken apart along `dim`; `*` in a target pattern stands for the number of the part."""

    def __init__(self, dim: int = 0) -> None:
        self.dim = dim

    def convert(
        self, input_dict: Values, source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, Any]:
        """Take them apart.

        Raises:
            ValueError: where targets do not match what comes in.
        """
        if len(target_patterns) != len(input_dict):
            raise ValueError(f"SplitModulelist has {len(input_dict)} tensors for {target_patterns}")
        return {
            pattern.replace("*", str(i)): part
            for pattern, value in zip(target_patterns, input_dict.values(), strict=True)
            for i, part in enumerate(_list(value)[0].unbind(self.dim))
        }

    @property
    def reverse_op(self) -> ConversionOps:
        """What stacks the parts."""
        return MergeModulelist(self.dim)


class Transpose(ConversionOps):
    """Two axes of every tensor exchanged."""

    def __init__(self, dim0: int = 0, dim1: int = 1) -> None:
        self.dim0, self.dim1 = dim0, dim1

    def convert(
        self, input_dict: Values, source_patterns: list[str], target_patterns: list[str], **context: Any
    ) -> dict[str, Any]:
        """Exchange them; one tensor gets the target's name, several keep theirs."""
        turned = {
            key: _list(value)[0].transpose(self.dim0, self.dim1).contiguous()
            for key, value in input_dict.items()
        }
        if len(turned) > 1 or len(target_patterns) > 1:
            return turned
        return {_target(target_patterns, self): value for value in turned.values()}

    @property
    def reverse_op(self) -> ConversionOps:
        """The same exchange."""
        return Transpose(self.dim1, self.dim0)


class WeightTransform:
    r"""Which names a rule is for, and what they become.

    Args:
        source_patterns: regular expressions found anywhere in a name, `*` in a part of its own for any text.
        target_patterns: what stands in their place; `\1` is the source's first group.

    Attributes:
        scope_prefix: the rule is for names below this path alone; None for all.
    """

    def __init__(self, source_patterns: str | list[str], target_patterns: str | list[str]) -> None:
        self.source_patterns, self.target_patterns = _list(source_patterns), _list(target_patterns)
        self._given = (self.source_patterns, self.target_patterns)
        if group := next((found[0] for one in self.target_patterns if (found := _GROUP.search(one))), ""):
            self.source_patterns = [one.replace("\\1", group, 1) for one in self.source_patterns]
        self.target_patterns = [_plain(one) for one in self.target_patterns]
        self.distributed_operation: Any = None
        self.quantization_operation: Any = None
        self.collected_tensors: dict[str, list[Any]] = {}
        self.layer_targets: dict[str, set[str]] = {}
        self.scope_prefix: str | None = None
        self.base_model_prefix: str | None = None
        self._used = False
        longest = sorted(self.source_patterns, key=len, reverse=True)
        self._compiled = [(one, re.compile(_bounded(one.replace("*.", r".*\.")))) for one in longest]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source_patterns}, {self.target_patterns})"

    def add_tensor(self, target_key: str, source_key: str, source_pattern: str, future: Any) -> None:
        """Take a tensor, a future or a function that gives one, for `convert`."""
        self.collected_tensors.setdefault(source_pattern, []).append(future)
        self.layer_targets.setdefault(target_key, set()).add(source_key)

    def rename_source_key(self, source_key: str) -> tuple[str, str | None]:
        """The new name, and the pattern that was found; the name itself and None where none was."""
        start, rest = self._scoped(source_key)
        if start is None:
            return source_key, None
        for pattern, compiled in self._compiled:
            if (found := compiled.search(rest)) is not None:
                self._used = True
                new = self.target_patterns[0]
                new = new.replace("\\1", found[1]) if "\\1" in new else new
                return f"{start}{rest[: found.start()]}{new}{rest[found.end() :]}", pattern
        return source_key, None

    def _scoped(self, key: str) -> tuple[str | None, str]:
        """The part of a name that says whose it is, and the rest; None for names of others."""
        if self.scope_prefix is None:
            return "", key
        scope = f"{self.scope_prefix}." if self.scope_prefix else ""
        base = f"{self.base_model_prefix}." if self.base_model_prefix else ""
        start = next((one for one in (base + scope, scope) if key.startswith(one)), None)
        return start, key.removeprefix(start or "")

    def was_used(self) -> bool:
        """Whether a name has fitted yet."""
        return self._used

    def reverse_transform(self) -> WeightTransform:
        """The rule for the way back."""
        return self.copy(self._given[1], self._given[0])

    def copy(self, source_patterns: Any, target_patterns: Any, **more: Any) -> WeightTransform:
        """A rule of the same kind and scope for other names."""
        made = type(self)(source_patterns, target_patterns, **more)
        made.scope_prefix, made.base_model_prefix = self.scope_prefix, self.base_model_prefix
        return made

    def emptied(self) -> WeightTransform:
        """The same rule, with nothing collected."""
        return self.copy(*self._given)

    def materialize_tensors(self) -> dict[str, list[Tensor]]:
        """What was collected, read; it is let go of here."""
        held, self.collected_tensors = self.collected_tensors, {}
        return {key: [one for one in map(_read, values) if one is not None] for key, values in held.items()}

    def convert(self, layer_name: str, **context: Any) -> dict[str, Any]:
        """Name -> value, of what was collected for the name `layer_name`."""
        raise NotImplementedError(f"{type(self).__name__} says nothing of values")


class WeightRenaming(WeightTransform):
    """Another name, the same value."""

    def convert(self, layer_name: str, **context: Any) -> dict[str, Any]:
        """The value under its new name."""
        values = [one for held in self.materialize_tensors().values() for one in held]
        return {layer_name: values[0] if len(values) == 1 else values}


class WeightConverter(WeightTransform):
    """Values of one or more names turned into one or more others.

    Args:
        source_patterns, target_patterns: as `WeightTransform` takes them.
        operations: the steps, in their order.

    Raises:
        ValueError: without a step, or where both sides have several names.
    """

    def __init__(
        self,
        source_patterns: str | list[str],
        target_patterns: str | list[str],
        operations: Sequence[ConversionOps],
    ) -> None:
        super().__init__(source_patterns, target_patterns)
        self.operations = list(operations)
        if not self.operations:
            raise ValueError("a WeightConverter needs operations; WeightRenaming renames alone")
        if len(self.source_patterns) > 1 and len(self.target_patterns) > 1:
            raise ValueError(
                "a WeightConverter joins several names into one or cuts one into several: "
                f"{self.source_patterns} -> {self.target_patterns} is both"
            )

    def reverse_transform(self) -> WeightTransform:
        """The rule for the way back, each step undone, the last one first."""
        back = [one.reverse_op for one in reversed(self.operations)]
        return self.copy(self._given[1], self._given[0], operations=back)

    def emptied(self) -> WeightTransform:
        """The same rule, with nothing collected."""
        return self.copy(*self._given, operations=self.operations)

    def convert(self, layer_name: str, **context: Any) -> dict[str, Any]:
        """Name -> value, after all steps."""
        values: dict[str, Any] = dict(self.materialize_tensors())
        for step in self.operations:
            values = step.convert(
                values,
                source_patterns=self.source_patterns,
                target_patterns=self.target_patterns,
                full_layer_name=layer_name,
                **context,
            )
        around = next((key for key in self.target_patterns if key in layer_name), None)
        if around is None or set(values) == {layer_name}:
            return values
        before, _, after = layer_name.partition(around)
        return {f"{before}{key}{after}": value for key, value in values.items()}


def dot_natural_key(name: str) -> list[tuple[Any, ...]]:
    """What names are sorted by so that `layers.2` comes before `layers.11`."""
    parts: list[tuple[Any, ...]] = []
    for part in name.split("."):
        if part.isdigit():
            parts.append((0, int(part)))
            continue
        word = part.rstrip("0123456789")
        parts.append((1, word, int(part[len(word) :] or -1)))
    return parts


def rename_source_key(
    source_key: str,
    weight_renamings: Iterable[WeightTransform],
    weight_converters: Iterable[WeightTransform],
    base_model_prefix: str | None = None,
    meta_state_dict: Mapping[str, Any] | None = None,
) -> tuple[str, str | None]:
    """A file's name as the model has it: all renamings in turn, then the first converter that fits.

    Args:
        source_key: the name.
        weight_renamings: rules that all count, in turn.
        weight_converters: rules of which one counts.
        base_model_prefix: added or taken away where that makes a name of `meta_state_dict`.
        meta_state_dict: the model's names.

    Returns:
        The name, and the converter's pattern that was found, or None.
    """
    name, found = source_key, None
    for rule in weight_renamings:
        name, _ = rule.rename_source_key(name)
    for rule in weight_converters:
        name, found = rule.rename_source_key(name)
        if found is not None:
            break
    if base_model_prefix and meta_state_dict is not None:
        start = f"{base_model_prefix}."
        if name.startswith(start) and name.removeprefix(start) in meta_state_dict:
            name = name.removeprefix(start)
        elif start + name in meta_state_dict:
            name = start + name
    return name, found


# names of models and classes that somebody registered rules for
USER_REGISTERED_MAPPINGS: set[str] = set()
# model types whose rules are another's: none, since no family needs one
_MODEL_TO_CONVERSION_PATTERN: dict[str, str] = {}
_registered: dict[str, list[WeightTransform]] = {}


def register_checkpoint_conversion_mapping(
    model_type_or_class_name: str, mapping: list[WeightTransform], overwrite: bool = False
) -> None:
    """Let rules count whenever a model is loaded.

    Args:
        model_type_or_class_name: a config's `model_type`, or the name of a class, which comes first.
        mapping: the rules, in their order.
        overwrite: take the place of rules registered before.

    Raises:
        ValueError: where there are rules and they are not to be overwritten.
    """
    if model_type_or_class_name in _registered and not overwrite:
        raise ValueError(
            f"there is a conversion mapping for {model_type_or_class_name!r}: overwrite=True replaces it"
        )
    _registered[model_type_or_class_name] = list(mapping)
    USER_REGISTERED_MAPPINGS.add(model_type_or_class_name)


def get_checkpoint_conversion_mapping(model_type: str | None) -> list[WeightTransform] | None:
    """The rules registered under a name, as copies; None where there are none."""
    return copy.deepcopy(_registered.get(model_type or ""))


def extract_weight_conversions_for_model(model: nn.Module) -> list[WeightTransform] | None:
    """The rules for a model, by its class's name or its `model_type`; None where there are none."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    found = get_checkpoint_conversion_mapping(type(model).__name__)
    return get_checkpoint_conversion_mapping(kind) if found is None else found


def get_model_conversion_mapping(
    model: nn.Module, key_mapping: Mapping[str, str] | None = None, **_: Any
) -> list[WeightTransform]:
    """All rules that count while a model is loaded: those given, its own, and those of models in it.

    Args:
        model: the model.
        key_mapping: regular expression -> what stands in its place.
    """
    found: list[WeightTransform] = [WeightRenaming(old, new) for old, new in (key_mapping or {}).items()]
    claimed: dict[str, list[str]] = {}
    for path, module in model.named_modules() if _registered else ():
        kind = getattr(getattr(module, "config", None), "model_type", None)
        if kind is None or any(_is_within(path, one) for one in claimed.get(kind, ())):
            continue
        rules = extract_weight_conversions_for_model(module)
        if rules is None:
            continue
        claimed.setdefault(kind, []).append(path)
        if path:
            base = getattr(model, "base_model_prefix", "")
            for rule in rules:
                rule.base_model_prefix = base
                rule.scope_prefix = path.removeprefix(base).removeprefix(".")
        found += rules
    return found


def _is_within(path: str, other: str) -> bool:
    return not other or path.startswith(f"{other}.")


_GROUP = re.compile(r"\((?!\?).+?\)")


def _plain(pattern: str) -> str:
    r"""A pattern as the text that is put in: without anchors and looks around, its group as `\1`."""
    pattern = re.sub(r"\(\?.+?\)", "", pattern.removeprefix("^"))
    return _GROUP.sub(r"\\1", pattern, count=1).replace("\\.", ".")


def _bounded(pattern: str) -> str:
    """`weight` is for `q_proj.weight`, not for `q_proj.weight_scale`."""
    return pattern + r"(?!\w)" if re.search(r"[a-zA-Z0-9]$", pattern) else pattern


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _read(value: Any) -> Any:
    if isinstance(value, Future):
        return value.result()
    return value() if callable(value) and not isinstance(value, Tensor) else value


def _ordered(values: Values, patterns: Iterable[str]) -> Iterator[str]:
    """The keys in the order of the patterns, others behind."""
    known = [one for one in patterns if one in values]
    yield from known
    yield from (key for key in values if key not in known)


def _only(values: Values, step: ConversionOps) -> Tensor:
    found = [one for value in values.values() for one in _list(value)]
    if len(found) != 1:
        raise ValueError(f"{type(step).__name__} takes one tensor, not {len(found)}")
    tensor: Tensor = found[0]
    return tensor


def _target(patterns: list[str], step: ConversionOps) -> str:
    if len(patterns) != 1:
        raise ValueError(f"{type(step).__name__} makes one tensor, for which there are {patterns}")
    return patterns[0]
