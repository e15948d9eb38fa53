"""Where each parameter goes: one device, or a map of devices with the disk as the last."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.extras import need

_STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass
class Placement:
    """The device of every parameter, and what is left to do once all are in place."""

    devices: dict[str, Any]  # module or parameter name -> device; "" is the whole model
    folder: Path | None = None
    index: dict[str, Any] = field(default_factory=dict)
    kept: frozenset[str] = (
        frozenset()
    )  # buffers, which accelerate wants in memory whatever stands beside them

    @classmethod
    def of(
        cls,
        model: nn.Module,
        device_map: Any,
        *,
        dtype: torch.dtype | None = None,
        offload_folder: str | Path | None = None,
        max_memory: dict[Any, Any] | None = None,
    ) -> Placement:
        """Read `device_map` in any of its spellings.

        Raises:
            ValueError: for a map that leaves out a parameter, an unknown word, or "disk" without a folder.
            MissingExtra: when more than one device is involved and accelerate is not installed.
        """
        if device_map is None:
            return cls({})
        if isinstance(device_map, str) and device_map in _STRATEGIES:
            device_map = _infer(model, device_map, dtype, max_memory)
        if not isinstance(device_map, dict):
            return cls({"": _device(device_map)})
        devices = {name: place if place == "disk" else _device(place) for name, place in device_map.items()}
        folder = Path(offload_folder) if offload_folder is not None else None
        if "disk" in devices.values():
            if folder is None:
                raise ValueError("device_map puts weights on disk: say where, with offload_folder='...'")
            folder.mkdir(parents=True, exist_ok=True)
        placement = cls(devices, folder, kept=frozenset(name for name, _ in model.named_buffers()))
        lost = [name for name, _ in model.named_parameters() if placement._place(name) is None]
        if lost:
            raise ValueError(f"device_map has no device for {', '.join(lost[:6])}: add '' for all the rest")
        if placement._is_spread():
            need("accelerate", "train", "a device_map with more than one device")
        return placement

    def _place(self, name: str) -> Any:
        """The entry with the longest name that holds `name`."""
        while True:
            if name in self.devices:
                return self.devices[name]
            if not name:
                return None
            name = name.rpartition(".")[0]

    def _is_spread(self) -> bool:
        return len({str(place) for place in self.devices.values()}) > 1 or "disk" in self.devices.values()

    def offloads(self, name: str) -> bool:
        """Whether a parameter lives on disk."""
        return bool(self._place(name) == "disk") and name not in self.kept

    def device(self, name: str) -> torch.device | None:
        """The device that a parameter is read to; None leaves it mapped on the CPU."""
        place = self._place(name)
        return None if place is None or place == "disk" else place

    def put(self, name: str, value: Tensor) -> Tensor:
        """Write a parameter to disk if that is its place, and return what the model holds of it."""
        if not self.offloads(name):
            return value
        assert self.folder is not None
        tools = need("accelerate.utils", "train", "weights on disk")
        self.index = tools.offload_weight(value, name, str(self.folder), index=self.index)
        return torch.empty_like(value, device="meta")

    def finish(self, model: nn.Module) -> None:
        """Move computed buffers, and have accelerate carry inputs from device to device where needed."""
        if not self.devices:
            return
        if not self._is_spread():
            device = next(iter(self.devices.values()))
            for module in model.modules():
                for name, value in module._buffers.items():
                    if value is not None and value.device != device:
                        module._buffers[name] = value.to(device)
        else:
            accelerate = need("accelerate", "train", "a device_map with more than one device")
            if self.folder is not None and self.index:
                accelerate.utils.save_offload_index(self.index, str(self.folder))
            names = {name: str(place) if place != "disk" else "disk" for name, place in self.devices.items()}
            accelerate.dispatch_model(model, names, offload_dir=str(self.folder) if self.folder else None)
        model.hf_device_map = dict(self.devices)  # type: ignore[assignment]


def _device(place: Any) -> torch.device:
    """Read a device; a number is the index of the present accelerator.

    Raises:
        ValueError: for a word that is no device, or a device that is not there.
    """
    if isinstance(place, int):
        kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if kind is None:
            raise ValueError(f"device_map names the accelerator number {place}, and this machine has none")
        place = f"{kind.type}:{place}"
    try:
        device = torch.device(place)
    except (RuntimeError, TypeError) as error:
        words = ", ".join(repr(word) for word in (*_STRATEGIES, "cpu", "cuda:0", "disk"))
        raise ValueError(
            f"device_map={place!r} is no device; it can be one of {words}, or a dictionary"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device_map names {place}, and this machine has no CUDA device")
    return device


def _infer(
    model: nn.Module, strategy: str, dtype: torch.dtype | None, max_memory: dict[Any, Any] | None
) -> dict[str, Any]:
    """Pack whole layers onto the devices that are there, filling them evenly or in turn."""
    accelerate = need("accelerate", "train", f"device_map={strategy!r}")
    classes = (getattr(part, "_no_split_modules", None) or () for part in model.modules())
    whole = list(dict.fromkeys(name for names in classes for name in names))
    if strategy != "sequential":
        max_memory = accelerate.utils.get_balanced_memory(
            model,
            max_memory=max_memory,
            no_split_module_classes=whole,
            dtype=dtype,
            low_zero=strategy == "balanced_low_0",
        )
    return dict(
        accelerate.infer_auto_device_map(
            model, max_memory=max_memory, no_split_module_classes=whole, dtype=dtype
        )
    )
