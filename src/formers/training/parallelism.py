"""What accelerate shares between the processes of a run, as scripts and other trainers ask for it."""

from __future__ import annotations

from typing import Any


class Parallelism:
    """Questions that a trainer answers from its accelerator."""

    accelerator: Any

    @property
    def is_deepspeed_enabled(self) -> bool:
        """Whether accelerate runs DeepSpeed here."""
        return getattr(self.accelerator.state, "deepspeed_plugin", None) is not None

    @property
    def is_fsdp_enabled(self) -> bool:
        """Whether accelerate shards the parameters (FSDP) here."""
        return getattr(self.accelerator.state, "fsdp_plugin", None) is not None

    def get_tp_size(self) -> int:
        """How many processes share each matrix: one, tensor parallelism is not supported here."""
        return 1
