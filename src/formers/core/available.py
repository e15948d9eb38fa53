"""What is installed here: `is_datasets_available()`, `is_torch_cuda_available()`, `require_version(...)`."""

from __future__ import annotations

import functools
import importlib
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from formers.core import extras
from formers.core.environment import version as version_of

FOLLOWED = "5.23.0"  # the version of the ecosystem whose interface is followed

# packages whose module has the name of the question
_PLAIN = (
    "accelerate apex aqlm auto_round av bitsandbytes bs4 causal_conv1d clearml compressed_tensors cv2 "
    "datasets decord deepspeed detectron2 dvclive essentia faiss fbgemm_gpu flash_attn flax g2p_en gguf "
    "gptqmodel grokadamw hqq kernels librosa liger_kernel mamba_ssm matplotlib mlflow mlx natten "
    "neptune ninja nltk num2words numba openai optimum optuna pandas peft phonemizer psutil py3nvml "
    "pyctcdecode pytesseract pytest ray rich rjieba sacremoses safetensors sagemaker schedulefree scipy "
    "sentencepiece sklearn soundfile spacy swanlab tiktoken timm tokenizers torch torchao torchaudio "
    "torchcodec torchvision trackio triton uroman uvicorn vptq wandb yt_dlp"
)
# question -> the modules that must be there
_MODULES: dict[str, tuple[str, ...]] = {
    "comet": ("comet_ml",),
    "flash_attn_2": ("flash_attn",),
    "flash_attn_3": ("flash_attn_3",),
    "flash_linear_attention": ("fla",),
    "fsdp": ("torch.distributed.fsdp",),
    "mamba_2_ssm": ("mamba_ssm",),
    "cython": ("Cython",),
    "jinja": ("jinja2",),
    "levenshtein": ("Levenshtein",),
    "optimum_quanto": ("optimum.quanto",),
    "protobuf": ("google.protobuf",),
    "ray_tune": ("ray", "ray.tune"),
    "speech": ("torchaudio",),
    "tensorboard": ("torch.utils.tensorboard", "tensorboard"),
    "tf": ("tensorflow",),
    "torch_flex_attn": ("torch.nn.attention.flex_attention",),
    "torch_fx": ("torch.fx",),
    "torch_hpu": ("habana_frameworks",),
    "torch_mlu": ("torch_mlu",),
    "torch_musa": ("torch_musa",),
    "torch_npu": ("torch_npu",),
    "torch_sdpa": ("torch",),
    "torch_tpu": ("torch_xla",),
    "torch_xla": ("torch_xla",),
    "vision": ("PIL",),
    **{word: (word,) for word in _PLAIN.split()},
}


_IMPORT_ERROR = r"([A-Z][A-Z0-9_]*)_IMPORT_ERROR"
_NEWER_TORCH = r"is_torch_greater_or_equal_than_(\d+)_(\d+)"


class OptionalDependencyNotAvailable(ImportError):
    """Something that is not installed is needed."""


@functools.cache
def _installed(module: str) -> bool:
    """Whether a module can be found; of a dotted name the parents are imported."""
    try:
        return extras.installed(module)
    except (ImportError, ValueError):
        return False


def _asked(name: str) -> tuple[str, ...] | None:
    """The modules that a name such as `is_datasets_available` asks for, None where it is no such name."""
    found = re.fullmatch(r"is_(\w+)_available", name)
    if found is None or found[1] not in _MODULES:
        return None
    return _MODULES[found[1]]


def answers(name: str) -> bool:
    """Whether this module has a function of that name, or a constant (`..._greater_or_equal_than_2_4`)."""
    return (
        _asked(name) is not None
        or re.fullmatch(_NEWER_TORCH, name) is not None
        or _packages_of_error(name) is not None
        or (name.startswith("is_") and name in globals())
    )


def _packages_of_error(name: str) -> tuple[str, ...] | None:
    """The modules that a text such as `NLTK_IMPORT_ERROR` speaks of, None where it is no such name."""
    found = re.fullmatch(_IMPORT_ERROR, name)
    return None if found is None else _MODULES.get(found[1].lower())


def names() -> list[str]:
    """All of those names."""
    made = [f"is_{word}_available" for word in _MODULES]
    return [*made, *(name for name in globals() if name not in made and answers(name))]


def __getattr__(name: str) -> Any:
    if newer := re.fullmatch(_NEWER_TORCH, name):
        return is_torch_greater_or_equal(".".join(newer.groups()), accept_dev=True)
    if missing := _packages_of_error(name):
        package = missing[0].partition(".")[0]
        return f"\n{{0}} needs {package}, which is not installed: pip install {package}\n"
    modules = _asked(name)
    if modules is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def available(min_version: str | None = None, **checks: bool) -> bool:
        if unknown := [word for word in checks if not word.startswith("check_")]:
            raise TypeError(f"{name} takes min_version and check_device, not {', '.join(unknown)}")
        if not all(map(_installed, modules)):
            return False
        if min_version is not None and not _compares(modules[0].partition(".")[0], ">=", min_version):
            return False
        asked = [word for word, wanted in checks.items() if wanted]
        if asked not in ([], ["check_device"]):
            raise NotImplementedError(f"{name} cannot tell {', '.join(asked)} here")
        device = modules[0].removeprefix("torch_")
        return not asked or bool(getattr(_torch(), device).is_available())

    available.__name__ = available.__qualname__ = name
    available.__doc__ = f"Whether {' and '.join(modules)} can be imported."
    globals()[name] = available
    return available


# what torch can do on this machine


def is_torch_cuda_available() -> bool:
    """Whether torch sees a CUDA device."""
    return _installed("torch") and bool(_torch().cuda.is_available())


def is_torch_mps_available(min_version: str | None = None) -> bool:
    """Whether torch sees an Apple GPU; with `min_version`, of a torch that is at least as new."""
    if not _installed("torch") or (min_version and not is_torch_greater_or_equal(min_version)):
        return False
    return bool(_torch().backends.mps.is_available())


def is_torch_xpu_available(check_device: bool = False) -> bool:
    """Whether torch sees an Intel GPU."""
    return _installed("torch") and bool(_torch().xpu.is_available())


def is_torch_neuroncore_available(check_device: bool = True) -> bool:
    """Whether torch runs on AWS Neuron cores."""
    return _installed("torch_neuronx") and _installed("torch_xla")


def is_torch_bf16_gpu_available() -> bool:
    """Whether the GPU computes in bfloat16."""
    torch = _torch()
    return (is_torch_cuda_available() and bool(torch.cuda.is_bf16_supported())) or is_torch_xpu_available()


def is_torch_bf16_available_on_device(device: str) -> bool:
    """Whether a matrix product in bfloat16 works on a device."""
    return _multiplies("bfloat16", device)


def is_torch_fp16_available_on_device(device: str) -> bool:
    """Whether a matrix product in float16 works on a device."""
    return _multiplies("float16", device)


def _multiplies(dtype: str, device: str) -> bool:
    torch = _torch()
    try:
        x = torch.zeros(2, 2, dtype=getattr(torch, dtype), device=device)
        _ = x @ x
    except (RuntimeError, AssertionError):  # torch built without the device raises the second
        return False
    return True


def is_torch_tf32_available() -> bool:
    """Whether the GPU computes in TensorFloat-32 (CUDA, Ampere or newer)."""
    return is_torch_cuda_available() and bool(_torch().cuda.get_device_properties(0).major >= 8)


def is_torchdynamo_compiling() -> bool:
    """Whether `torch.compile` is tracing this call."""
    return bool(_torch().compiler.is_compiling())


def is_torch_greater_or_equal(library_version: str, accept_dev: bool = False) -> bool:
    """Whether torch is of that version or newer."""
    return _compares("torch", ">=", library_version, accept_dev)


def is_torch_less_or_equal(library_version: str, accept_dev: bool = False) -> bool:
    """Whether torch is of that version or older."""
    return _compares("torch", "<=", library_version, accept_dev)


def is_flash_attn_greater_or_equal(library_version: str) -> bool:
    """Whether flash-attn is installed and of that version or newer."""
    return _compares("flash-attn", ">=", library_version)


def is_flash_attn_greater_or_equal_2_10() -> bool:
    """Whether flash-attn is installed and of version 2.1.0 or newer."""
    return is_flash_attn_greater_or_equal("2.1.0")


def is_sagemaker_mp_enabled() -> bool:
    """Whether SageMaker's model parallelism runs: never, it is not supported here."""
    return False


def is_deepspeed_zero3_enabled() -> bool:
    """Whether DeepSpeed shards the parameters: never, it is not supported here."""
    return False


def deepspeed_config() -> None:
    """DeepSpeed's settings for this process: None, it is not supported here."""
    return None


def is_fsdp_enabled() -> bool:
    """Whether FSDP shards the parameters of what is loaded, as accelerate's environment says."""
    import os

    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() not in ("1", "true") or not _installed("torch"):
        return False
    distributed = _torch().distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def is_in_notebook() -> bool:
    """Whether this runs in a Jupyter notebook."""
    import sys

    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def is_tracing(tensor: Any = None) -> bool:
    """Whether torch records this call: compiling, exporting or tracing."""
    torch = _torch()
    return bool(torch.compiler.is_compiling() or torch.jit.is_tracing() or is_torch_fx_proxy(tensor))


def is_torch_fx_proxy(x: Any) -> bool:
    """Whether a value stands for a tensor of `torch.fx`."""
    return isinstance(x, importlib.import_module("torch.fx").Proxy)


def _torch() -> Any:
    return importlib.import_module("torch")


# versions


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


def _compares(package: str, sign: str, wanted: str, accept_dev: bool = False) -> bool:
    """Whether a package is installed in a version that compares so; a local part (`+cpu`) does not count.

    With `accept_dev`, a development version counts as the version that it leads to.
    """
    from packaging.version import parse

    present = version_of(package)
    if present is None:
        return False
    here = parse(present).base_version if accept_dev else parse(present).public
    return _OPERATORS[sign](parse(here), parse(wanted))


def check_min_version(min_version: str) -> None:
    """Check that the interface that is followed here is as new as a script wants.

    Args:
        min_version: of `transformers`; a development version counts as the version that it leads to.

    Raises:
        ImportError: when it is newer.
    """
    from packaging.version import parse

    if parse(parse(min_version).base_version) > parse(FOLLOWED):
        raise ImportError(
            f"this script wants the interface of transformers {min_version}; formers {version_of('formers')} "
            f"follows that of {FOLLOWED}"
        )


def send_example_telemetry(example_name: str, *example_args: Any, framework: str = "pytorch") -> None:
    """Say that nothing is sent: older scripts report their use by this call."""
    from formers.core.notices import notice

    notice("send_example_telemetry has no effect: nothing is sent from here")


def require_version(requirement: str, hint: str | None = None) -> None:
    """Check that a package is there, as pip would write it: "tokenizers", "numpy>=1.26,<3", "python>=3.10".

    Args:
        requirement: name and versions.
        hint: what to do otherwise.

    Raises:
        ImportError: when it is not installed, or of another version.
        ValueError: for a text that is no requirement.
    """
    found = re.fullmatch(r"\s*([\w.-]+)\s*((?:[<>=!]=?[^,<>=!]+,?)*)\s*", requirement)
    if found is None:
        raise ValueError(f"{requirement!r} is no requirement such as 'tokenizers' or 'numpy>=1.26,<3'")
    package, limits = found[1], re.findall(r"([<>=!]=?)\s*([^,\s]+)", found[2])
    if any(sign not in _OPERATORS for sign, _ in limits):
        raise ValueError(f"{requirement!r} compares with none of {', '.join(_OPERATORS)}")
    import platform

    present = platform.python_version() if package == "python" else version_of(package)
    hint = f". {hint}" if hint else f": pip install '{requirement.strip()}'"
    if present is None:
        raise OptionalDependencyNotAvailable(f"{package} is needed but not installed{hint}")
    from packaging.version import parse

    if not all(_OPERATORS[sign](parse(present), parse(wanted)) for sign, wanted in limits):
        raise OptionalDependencyNotAvailable(f"{requirement.strip()} is needed, but {present} is here{hint}")


def requires_backends(obj: Any, backends: str | Iterable[str]) -> None:
    """Check that the packages that something needs are installed.

    Raises:
        ImportError: naming those that are not.
    """
    name = getattr(obj, "__name__", type(obj).__name__)
    asked = [backends] if isinstance(backends, str) else list(backends)
    missing = [
        word
        for word in asked
        if not all(map(_installed, _MODULES.get(word) or (word.partition(">")[0].partition("=")[0],)))
    ]
    if missing:
        raise OptionalDependencyNotAvailable(f"{name} needs {', '.join(missing)}, which is not installed")
