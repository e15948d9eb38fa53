"""LoRA's config (Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from formers.adapters.config import PeftType, TargetedConfig, check_biases, check_ranks, declared

STARTS = ("gaussian", "pissa", "olora", "orthogonal", "loftq")


@dataclass
class LoftQConfig:
    """Into how few bits LoftQ brings the weight, and how often it begins anew.

    Attributes:
        loftq_bits: 4, as nf4 in blocks of 64.
        loftq_iter: rounds of bringing the weight into few bits and taking up the rest.
    """

    loftq_bits: int = 4
    loftq_iter: int = 1

    def __post_init__(self) -> None:
        if self.loftq_bits != 4 or self.loftq_iter < 1:
            raise ValueError(
                f"LoftQ is there for loftq_bits=4 and loftq_iter of 1 or more, got {self.loftq_bits} and "
                f"{self.loftq_iter}"
            )


@declared
class LoraConfig(TargetedConfig):
    """Two thin matrices beside every targeted leaf: W x + scaling * B A x.

    Attributes:
        r: rank of the change.
        lora_alpha: the scaling is `lora_alpha / r`, or `lora_alpha / sqrt(r)` with `use_rslora`
            (arXiv:2312.03732).
        lora_dropout: of what A reads, in training.
        fan_in_fan_out: the weight is stored [in, out]; read off the leaf.
        bias: which biases are trained: "none", "all" or "lora_only" (those of the targeted leaves).
        init_lora_weights: True (B is zero), False (drawn), "gaussian", "orthogonal", "olora"
            (arXiv:2406.01775), "pissa" or "pissa_niter_[n]" (arXiv:2404.02948), "loftq" (arXiv:2310.08659)
            with `loftq_config`, a `LoftQConfig` or its fields.
        rank_pattern: path, its end or an expression -> rank; `alpha_pattern` likewise.
        lora_bias: B has a bias.
        use_dora: learn the lengths of the weight's rows apart (arXiv:2402.09353).
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
            "arrow_config",
            "kasa_config",
            "ensure_weight_tying",
        ),
    )

    r: int = 8
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    fan_in_fan_out: bool = False
    bias: str = "none"
    use_rslora: bool = False
    init_lora_weights: bool | str = True
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    lora_bias: bool = False
    use_dora: bool = False
    loftq_config: Any = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_biases(self.bias, "lora_only")
        if not 0.0 <= self.lora_dropout < 1.0:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}")
        self.alpha_pattern = self.alpha_pattern or {}
        self._settle_ranks()
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
        if self.lora_bias and (not isinstance(start, bool) or self.use_dora):
            raise ValueError("lora_bias=True needs init_lora_weights=True or False, and no use_dora")
        if start == "loftq":
            held = self.loftq_config
            held = held if isinstance(held, LoftQConfig) else LoftQConfig(**(held or {}))
            self.loftq_config = dataclasses.asdict(held)
        elif self.loftq_config:
            raise ValueError("loftq_config is read with init_lora_weights='loftq' alone: set that too")

    def _settle_ranks(self) -> None:
        self.rank_pattern = self.rank_pattern or {}
        check_ranks(self.r, *self.rank_pattern.values())
