"""Optimizers by name, and which parameters decay."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from formers.core.extras import MissingExtra, need
from formers.core.notices import notice, refuse_unknown
from formers.training.choices import OptimizerNames

_NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(?:^|[._])norm(?:$|\.)", re.IGNORECASE)


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` that also takes the keywords of the older class of this name.

    `correct_bias=False` is refused: torch has no such variant. `no_deprecation_warning` has nothing to
    silence here. The older default epsilon, 1e-6, is kept.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
        no_deprecation_warning: bool = True,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(kwargs, inspect.signature(torch.optim.AdamW).parameters, "AdamW")
        if not correct_bias:
            raise ValueError(
                "correct_bias=False is not supported: leave it out, or subclass torch.optim.Optimizer for it"
            )
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **kwargs)


class Lion(Optimizer):
    """Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one step; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                average = state["exp_avg"]
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                direction = average.mul(first).add_(parameter.grad, alpha=1.0 - first).sign_()
                parameter.add_(direction, alpha=-group["lr"])
                average.mul_(second).add_(parameter.grad, alpha=1.0 - second)
        return loss


def parse_options(text: str | None) -> dict[str, str]:
    """Read `optim_args`: "key=value, key=value"."""
    if not text:
        return {}
    options = {}
    for entry in text.replace(" ", "").split(","):
        key, found, value = entry.partition("=")
        if not found:
            raise ValueError(f"optim_args must read 'key=value,key=value', found {entry!r}")
        options[key] = value
    return options


def decay_parameter_names(model: nn.Module) -> list[str]:
    """Names of the parameters that weight decay applies to: no bias and nothing of a norm layer."""
    in_norms = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if isinstance(module, (nn.LayerNorm, nn.RMSNorm)) or "norm" in type(module).__name__.lower()
        for name, _ in module.named_parameters(recurse=False)
    }
    return [
        name for name, _ in model.named_parameters() if name not in in_norms and not _NO_DECAY.search(name)
    ]


def made(named: tuple[Any, dict[str, Any]], groups: Any) -> Any:
    """An optimizer from its class and keywords, which may bring groups that an override made itself."""
    kind, options = named[0], dict(named[1])
    for own in ("params", "model", "optimizer_dict"):
        groups = options.pop(own, groups)
    return kind(groups, **options)


def parameter_groups(
    model: nn.Module, weight_decay: float, decayed: Iterable[str], head_rate: float | None = None
) -> list[dict[str, Any]]:
    """Two groups of the trainable parameters: decayed ones, and the others.

    With `head_rate` the head's parameters make two further groups, with that learning rate.

    Raises:
        ValueError: for `head_rate` with a model that does not say what its head is.
    """
    decayed, head = set(decayed), _head_names(model) if head_rate is not None else set()
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": weight_decay},
        {"params": [], "weight_decay": 0.0},
    ]
    if head:
        groups += [{**group, "params": [], "lr": head_rate} for group in groups]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[(name not in decayed) + 2 * (name in head)]["params"].append(parameter)
    return groups


def _head_names(model: nn.Module) -> set[str]:
    from formers.model.base import PreTrainedModel
    from formers.model.structure import head_parameter_names

    own: Any = getattr(model, "head_parameter_names", None)  # how a model of one's own says it
    if own is None and not isinstance(model, PreTrainedModel):
        raise ValueError(
            f"head_learning_rate needs a model that says what its head is; {type(model).__name__} has no "
            "head_parameter_names(): leave it out, or give optimizers=(optimizer, None)"
        )
    return set(head_parameter_names(model) if own is None else own())


def groups_of(optimizer: Optimizer | None) -> list[dict[str, Any]]:
    """The parameter groups of an optimizer that is there."""
    if optimizer is None:
        raise ValueError("there is no optimizer yet: call create_optimizer() or train() first")
    return optimizer.param_groups


def optimizer_class(args: Any, model: nn.Module | None = None) -> tuple[type[Optimizer], dict[str, Any]]:
    """The optimizer that `args.optim` names, and its keywords.

    Raises:
        MissingExtra: naming the package that brings the optimizer.
        ValueError: for one that cannot work here.
    """
    name = OptimizerNames(args.optim)
    options: dict[str, Any] = parse_options(args.optim_args)
    kwargs: dict[str, Any] = {"lr": args.learning_rate}
    betas = {"betas": (args.adam_beta1, args.adam_beta2)}
    adam = {**betas, "eps": args.adam_epsilon}
    if args.optim_target_modules is not None:
        raise ValueError(
            "optim_target_modules belongs to the GaLore and APOLLO optimizers, which need their own "
            "packages: pass one with optimizer_cls_and_kwargs=(cls, kwargs) or optimizers=(optimizer, None)"
        )
    if name in (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_HF):
        return torch.optim.AdamW, {**kwargs, **adam}
    if name is OptimizerNames.ADAMW_TORCH_FUSED:
        return torch.optim.AdamW, {**kwargs, **adam, "fused": fused_adam_works(model)}
    if name is OptimizerNames.ADAFACTOR:
        from formers.training.optim.adafactor import Adafactor

        return Adafactor, {**kwargs, "scale_parameter": False, "relative_step": False, **_typed(options)}
    if name is OptimizerNames.SGD:
        return torch.optim.SGD, {**kwargs, **_typed(options)}
    if name is OptimizerNames.ADAGRAD:
        return torch.optim.Adagrad, {**kwargs, **_typed(options)}
    if name is OptimizerNames.RMSPROP:
        return torch.optim.RMSprop, {**kwargs, **_typed(options)}
    if name is OptimizerNames.LION:
        return Lion, {**kwargs, **betas}
    if name.value in _BITSANDBYTES:
        return _bitsandbytes(name.value, kwargs, adam, _typed(options))
    package = next((package for start, package in _PACKAGES.items() if name.value.startswith(start)), None)
    raise MissingExtra(
        f"optim={name.value!r} comes from {package or 'another package'}, which is not built in: install it "
        "and pass optimizer_cls_and_kwargs=(its class, its keywords) to Trainer. Built in: adamw_torch, "
        "adamw_torch_fused, adafactor, sgd, adagrad, rmsprop, lion_32bit; with bitsandbytes also the *_8bit "
        "ones"
    )


def fused_adam_works(model: nn.Module | None) -> bool:
    """Whether torch has a one-kernel AdamW for where the parameters are."""
    kinds = {parameter.device.type for parameter in model.parameters()} if model is not None else {"cpu"}
    return kinds <= {"cpu", "cuda", "mps", "xpu"}


# name -> class in bitsandbytes.optim, and its keywords
_BITSANDBYTES: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw_bnb_8bit": ("AdamW", {"optim_bits": 8}),
    "adamw_8bit": ("AdamW", {"optim_bits": 8}),
    "paged_adamw_8bit": ("AdamW", {"optim_bits": 8, "is_paged": True}),
    "paged_adamw_32bit": ("AdamW", {"is_paged": True}),
    "ademamix": ("AdEMAMix", {}),
    "ademamix_8bit": ("AdEMAMix", {"optim_bits": 8}),
    "paged_ademamix_32bit": ("AdEMAMix", {"is_paged": True}),
    "paged_ademamix_8bit": ("AdEMAMix", {"optim_bits": 8, "is_paged": True}),
    "lion_8bit": ("Lion", {"optim_bits": 8}),
    "paged_lion_32bit": ("Lion", {"is_paged": True}),
    "paged_lion_8bit": ("Lion", {"optim_bits": 8, "is_paged": True}),
    "rmsprop_bnb": ("RMSprop", {}),
    "rmsprop_bnb_8bit": ("RMSprop", {"optim_bits": 8}),
    "rmsprop_bnb_32bit": ("RMSprop", {"optim_bits": 32}),
}

_PACKAGES = {
    "galore": "the package galore-torch",
    "apollo": "the package apollo-torch",
    "lomo": "the package lomo-optim",
    "adalomo": "the package lomo-optim",
    "grokadamw": "the package grokadamw",
    "schedule_free": "the package schedulefree",
    "stable_adamw": "the package torch-optimi",
    "adamw_torch_4bit": "the package torchao",
    "adamw_torch_8bit": "the package torchao",
    "adamw_anyprecision": "the package torchdistx",
    "adamw_torch_xla": "the package torch_xla",
    "adamw_torch_npu": "the package torch_npu",
    "adamw_apex": "NVIDIA's apex",
}


def _bitsandbytes(
    name: str, kwargs: dict[str, Any], adam: dict[str, Any], options: dict[str, Any]
) -> tuple[type[Optimizer], dict[str, Any]]:
    module = need("bitsandbytes", "quant", f"optim={name!r}")
    class_name, extra = _BITSANDBYTES[name]
    if class_name == "AdEMAMix":
        adam = {
            "betas": (*adam["betas"], float(options.get("beta3", 0.9999))),
            "alpha": float(options.get("alpha", 5.0)),
            "eps": adam["eps"],
        }
    elif class_name == "Lion":
        adam = {"betas": adam["betas"]}
    elif class_name == "RMSprop":
        adam = {}
    return getattr(module.optim, class_name), {**kwargs, **adam, **extra}


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    """Values of `optim_args` as numbers and booleans where they read like one."""
    typed: dict[str, Any] = {}
    for key, value in options.items():
        if value.lower() in ("true", "false", "none"):
            typed[key] = {"true": True, "false": False, "none": None}[value.lower()]
        else:
            try:
                typed[key] = int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
            except ValueError:
                typed[key] = value
    return typed


def check_trainable(model: nn.Module) -> None:
    """Notice a model in which nothing can learn or in which half precision would hold the weights.

    Raises:
        ValueError: when no parameter requires a gradient.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable and any(True for _ in model.parameters()):
        raise ValueError(
            "no parameter requires a gradient: everything is frozen, so there is nothing to train"
        )
    if any(parameter.dtype == torch.float16 for parameter in trainable):
        raise ValueError(
            "the weights to train are float16, in which small updates vanish: load the model with "
            "dtype='float32' and pass fp16=True (or bf16=True) for mixed precision"
        )
    if any(parameter.dtype == torch.bfloat16 for parameter in trainable):
        notice(
            "The weights to train are bfloat16, so updates below about 1/256 of a weight are lost. Load with "
            "dtype='float32' and pass bf16=True to keep them."
        )
