"""The record that every model's outputs are: attributes, keys and positions of the same values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from torch.utils import _pytree as pytree

R = TypeVar("R", bound="ModelOutput")


@dataclasses.dataclass(init=False, eq=False)
class ModelOutput:
    """A record whose fields that are None do not exist as keys or positions.

    Alone it has the fields that it is made with: `ModelOutput(logits=logits)`, or a mapping of them.

    `out.logits`, `out["logits"]`, `out[0]` and `loss, logits = out.to_tuple()` all work.
    Every subclass is a node of torch's trees, so that `torch.export` and hooks see the tensors within.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _register(cls)

    def __init__(self, *args: Any, **fields: Any) -> None:
        for name, value in {**dict(*args), **fields}.items():
            setattr(self, name, value)

    def _present(self) -> list[str]:
        names = [f.name for f in dataclasses.fields(self)] or list(vars(self))
        return [name for name in names if getattr(self, name) is not None]

    def keys(self) -> list[str]:
        """Names of the fields that are present, in order."""
        return self._present()

    def values(self) -> list[Any]:
        """Values of the fields that are present, in order."""
        return [getattr(self, name) for name in self._present()]

    def items(self) -> list[tuple[str, Any]]:
        """Pairs of name and value of the fields that are present, in order."""
        return [(name, getattr(self, name)) for name in self._present()]

    def get(self, key: str, default: Any = None) -> Any:
        """The field `key`, or `default` where it is absent."""
        return getattr(self, key) if key in self._present() else default

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are present, as a tuple; records among them as tuples too."""
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self._present():
                raise KeyError(f"{type(self).__name__} has no {key!r}; it has {self._present()}")
            return getattr(self, key)
        return self.to_tuple()[key]

    if not TYPE_CHECKING:  # a type checker shall go on knowing the fields

        def __getattr__(self, name: str) -> Any:
            # reached only for what is no field
            hint = "" if name.startswith("_") else f"; it has {self._present()}"
            if name in ("loss", "logits"):
                hint = (
                    ", which comes from a model with a head: load the checkpoint with a class for the task, "
                    "such as AutoModelForSequenceClassification"
                )
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __contains__(self, key: object) -> bool:
        return key in self._present()

    def __iter__(self) -> Iterator[str]:
        return iter(self._present())

    def __len__(self) -> int:
        return len(self._present())


def _flatten(record: ModelOutput) -> tuple[list[Any], list[str]]:
    return record.values(), record.keys()


def _flatten_with_keys(record: ModelOutput) -> tuple[list[tuple[Any, Any]], list[str]]:
    return [(pytree.MappingKey(name), value) for name, value in record.items()], record.keys()


def _unflatten(kind: type[R], values: Iterable[Any], names: Iterable[str]) -> R:
    return kind(**dict(zip(names, values, strict=True)))


def _register(kind: type[ModelOutput]) -> None:
    pytree.register_pytree_node(
        kind,
        _flatten,
        partial(_unflatten, kind),
        flatten_with_keys_fn=_flatten_with_keys,
        serialized_type_name=f"{kind.__module__}.{kind.__qualname__}",
        to_dumpable_context=list,
        from_dumpable_context=list,
    )


_register(ModelOutput)
