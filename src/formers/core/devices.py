"""Which device and which number format: found, checked, and questioned where they are slow."""

from __future__ import annotations

import platform
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from formers.core.notices import did_you_mean, notice

if TYPE_CHECKING:
    DeviceLike = int | str | torch.device | None
    DTypeLike = str | torch.dtype | None

# short names, and those that torch has itself
_SHORT = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_NAMES = (*_SHORT, "float32", "float", "float16", "half", "bfloat16", "float64", "double")


def infer_device() -> str:
    """Name of the best device here: the accelerator that torch was built for and finds, or `"cpu"`."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator.type if accelerator is not None else "cpu"


def resolve(device: DeviceLike = None) -> torch.device:
    """Turn what a caller says into a device that is really there.

    Args:
        device: None or "auto" (the accelerator where there is one, else the CPU), an index of the
            accelerator (-1 is the CPU), a name such as "cuda:1", or a device.

    Raises:
        ValueError: for a device that does not exist, or that is not on this machine; the text names
            those that are.
    """
    if isinstance(device, bool):
        raise ValueError(f"device must be an index, a name or a torch.device, got {device}")
    if device is None or device == "auto":
        return torch.device(infer_device())
    if isinstance(device, int):
        if device < 0:
            return torch.device("cpu")
        kind = infer_device()
        if kind == "cpu":
            raise ValueError(
                f"device={device} asks for an accelerator; found: {_present()}. Use device='cpu'."
            )
        device = f"{kind}:{device}"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"unknown device {device!r}; found: {_present()}") from error
    _check_present(found)
    return found


def resolve_working(device: DeviceLike = None) -> torch.device:
    """`resolve`, for a model that is to compute.

    Raises:
        ValueError: as `resolve` does, and for the meta device, where tensors have no values.
    """
    found = resolve(device)
    if found.type == "meta":
        raise ValueError(f"nothing can be computed on the device 'meta'; found: {_present()}")
    return found


def resolve_dtype(
    dtype: DTypeLike = "auto",
    *,
    device: DeviceLike = None,
    checkpoint: DTypeLike = None,
) -> torch.dtype | None:
    """Turn what a caller says into a dtype, and notice one that the device is slow at.

    Args:
        dtype: "auto" (that of the checkpoint, but float32 on a CPU that is slow at it), a name with or
            without "torch.", a dtype, or None (leave as it is).
        device: where the model will run, as `resolve` takes it.
        checkpoint: dtype of the weights on disk, where known.

    Returns:
        The dtype, or None where nothing is to change.

    Raises:
        ValueError: for a name that is no floating-point dtype.
    """
    if dtype is None:
        return None
    on_cpu = resolve(device).type == "cpu"
    if dtype == "auto":
        stored = named_dtype(checkpoint) if checkpoint is not None else None
        if stored is not None and on_cpu and not fast_on_cpu(stored):
            notice(
                f"The weights are stored in {_short(stored)}, which is slow on this CPU: loaded in float32. "
                f"Pass dtype={_short(stored)!r} to keep the stored format."
            )
            return torch.float32
        return stored
    chosen = named_dtype(dtype)
    if on_cpu and not fast_on_cpu(chosen):
        notice(
            f"{_short(chosen)} is slow on this CPU, often many times slower than float32: leave dtype out."
        )
    return chosen


def named_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The dtype of a name such as "float16", "torch.bfloat16" or "bf16"; a dtype is returned as it is.

    Raises:
        ValueError: for an unknown name, or a dtype that cannot hold the weights of a model.
    """
    name = str(dtype).removeprefix("torch.")
    found = dtype if isinstance(dtype, torch.dtype) else _SHORT.get(name, getattr(torch, name, None))
    if not isinstance(found, torch.dtype):
        raise ValueError(f"unknown dtype {dtype!r}{did_you_mean(name, _NAMES)}")
    if not found.is_floating_point:
        raise ValueError(
            f"a model's weights need a floating-point dtype, got {name!r}: pass 'float32', 'bfloat16' or "
            "'float16'"
        )
    return found


@lru_cache
def fast_on_cpu(dtype: torch.dtype) -> bool:
    """Whether this CPU has matrix instructions for `dtype` (float32 and float64 always)."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and cpu_has(
            "avx512_bf16", "amx_bf16", "bf16"
        )
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported()) and cpu_has("amx_fp16", "fphp")
    return True


@lru_cache
def cpu_made_by(maker: str) -> bool:
    """Whether the processor says that `maker` ("GenuineIntel", "AuthenticAMD", ...) made it."""
    return maker in (_cpu_line("vendor_id") or platform.processor())


def cpu_has(*flags: str, known: bool = False) -> bool:
    """Whether the kernel lists one of the flags; where there is none, yes unless it must be `known`."""
    listed = _cpu_line("flags", "features")
    return not known if listed is None else bool(set(listed.split()) & set(flags))


def _cpu_line(*names: str) -> str | None:
    """What the kernel tells of the first processor under one of these names; None where it tells nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line for line in file if line.lower().startswith(names)), None)
    except OSError:
        return None


def _check_present(device: torch.device) -> None:
    if device.type == "meta" or (device.type == "cpu" and not device.index):
        return
    kind = infer_device()
    count = torch.accelerator.device_count() if kind != "cpu" else 0
    if device.type != kind or (device.index is not None and device.index >= count):
        raise ValueError(f"device {str(device)!r} is not there; found: {_present()}")


def _present() -> str:
    kind = infer_device()
    if kind == "cpu":
        return "cpu"
    return ", ".join([*(f"{kind}:{index}" for index in range(torch.accelerator.device_count())), "cpu"])


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
