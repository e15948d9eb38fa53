"""What a processor returns: a dictionary of arrays or tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formers.tokenization.encoding import as_tensor
from formers.tokenization.options import TensorType


class BatchFeature(dict[str, Any]):
    """The model's inputs by name; values can also be read as attributes.

    Args:
        data: the values.
        tensor_type: "pt" or "np" to convert them.
    """

    def __init__(
        self, data: Mapping[str, Any] | None = None, tensor_type: str | TensorType | None = None
    ) -> None:
        super().__init__(data or {})
        self.convert_to_tensors(tensor_type)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self:
            return self[name]
        raise AttributeError(f"BatchFeature has no attribute or key {name!r}; it holds {list(self)}")

    @property
    def data(self) -> dict[str, Any]:
        """The dictionary of values: this object itself."""
        return self

    def convert_to_tensors(self, tensor_type: str | TensorType | None = None) -> BatchFeature:
        """Turn every value into a tensor ("pt") or an array ("np"), in place.

        Raises:
            ValueError: when the entries of a value have different shapes.
        """
        if tensor_type is None:
            return self
        for key, value in self.items():
            if _are_features(value):
                for one in value:
                    one.convert_to_tensors(tensor_type)
                continue
            shapes = {getattr(one, "shape", ()) for one in value} if isinstance(value, list) else set()
            if len(shapes) > 1:
                listed = ", ".join(str(list(one)) for one in sorted(shapes)[:4])
                raise ValueError(
                    f"{key} have different shapes ({listed}) and make no tensor: give a size with height and "
                    "width, do_center_crop=True or do_pad=True (of sounds, padding=True), or leave "
                    "return_tensors out"
                )
            self[key] = as_tensor(value, tensor_type)
        return self

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Move tensors, and cast those of floats, in place: a device, a dtype, as `Tensor.to` has them."""
        import torch

        for key, value in self.items():
            if isinstance(value, BatchFeature) or _are_features(value):
                for one in [value] if isinstance(value, BatchFeature) else value:
                    one.to(*args, **kwargs)
            elif isinstance(value, torch.Tensor):
                whole = not value.is_floating_point()
                kept = {"dtype": value.dtype} if whole and "dtype" in kwargs else {}
                given = [one for one in args if not (whole and isinstance(one, torch.dtype))]
                if given or kwargs:
                    self[key] = value.to(*given, **{**kwargs, **kept})
        return self


def _are_features(value: Any) -> bool:
    """Whether each picture has values by name of its own, as the objects in it are."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, BatchFeature) for one in value)
