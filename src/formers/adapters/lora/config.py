"""LoRA's config (Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any, ClassVar

from formers.adapters.config import PeftConfig, PeftType, declared

STARTS = ("gaussian", "pissa", "olora", "orthogonal")


@declared
class LoraConfig(PeftConfig):
    """Two thin matrices beside every targeted leaf: W x + scaling * B A x.

    Attributes:
        r: rank of the change.
        target_modules: ends of paths, an expression for whole paths, "all-linear"; None: queries and values.
        exclude_modules: ends of paths, or an expression, of what is left out.
        lora_alpha: the scaling is `lora_alpha / r`, or `lora_alpha / sqrt(r)` with `use_rslora`
            (arXiv:2312.03732).
        lora_dropout: of what A reads, in training.
        fan_in_fan_out: the weight is stored [in, out]; read off the leaf.
        bias: which biases are trained: "none", "all" or "lora_only" (those of the targeted leaves).
        modules_to_save: ends of paths of modules that are trained and saved whole.
        init_lora_weights: True (B is zero), False (drawn), "gaussian", "orthogonal", "olora"
            (arXiv:2406.01775), "pissa" or "pissa_niter_[n]" (arXiv:2404.02948).
        layers_to_transform: numbers of the layers, with a list of targets; `layers_pattern` names their list.
        rank_pattern: path, its end or an expression -> rank; `alpha_pattern` likewise.
        lora_bias: B has a bias.
    """

    kind: ClassVar[PeftType | None] = PeftType.LORA
    absent: ClassVar[tuple[str, ...]] = (
        *("trainable_token_indices", "eva_config", "corda_config", "lora_ga_config", "velora_config"),
        *(
            "alora_invocation_tokens",
            "use_qalora",
            "monteclora_config",
            "layer_replication",
            "megatron_config",
        ),
        *(
            "target_parameters",
            "use_bdlora",
            "use_dora",
            "arrow_config",
            "kasa_config",
            "ensure_weight_tying",
        ),
    )

    r: int = 8
    target_modules: Any = None
    exclude_modules: Any = None
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    fan_in_fan_out: bool = False
    bias: str = "none"
    use_rslora: bool = False
    modules_to_save: list[str] | None = None
    init_lora_weights: bool | str = True
    layers_to_transform: Any = None
    layers_pattern: Any = None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    lora_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            setattr(self, name, set(value) if isinstance(value, (list, tuple)) else value)
        if self.bias not in ("none", "all", "lora_only"):
            raise ValueError(f"bias must be 'none', 'all' or 'lora_only', got {self.bias!r}")
        if not 0.0 <= self.lora_dropout < 1.0:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}")
        for rank in (self.r, *(self.rank_pattern or {}).values()):
            if isinstance(rank, bool) or not isinstance(rank, int) or rank <= 0:
                raise ValueError(f"`r` should be a positive integer value but the value passed is {rank}")
        start = self.init_lora_weights
        if (
            not isinstance(start, bool)
            and start not in STARTS
            and not re.fullmatch(r"pissa_niter_\d+", start)
        ):
            raise ValueError(
                f"Unknown initialization init_lora_weights={start!r}: it is True, False, "
                f"{', '.join(map(repr, STARTS))} or 'pissa_niter_[number of iters]'"
            )
        for name in ("layers_to_transform", "layers_pattern"):
            if isinstance(self.target_modules, str) and getattr(self, name) is not None:
                raise ValueError(f"`{name}` cannot be used when `target_modules` is a str.")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError(
                "When `layers_pattern` is specified, `layers_to_transform` must also be specified. "
            )
        if self.lora_bias and not isinstance(start, bool):
            raise ValueError("lora_bias=True needs init_lora_weights=True or False")
        self.rank_pattern, self.alpha_pattern = self.rank_pattern or {}, self.alpha_pattern or {}
