"""CompileConfig: what scripts say about `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class CompileConfig:
    """How `generate` would have its forward passes compiled; the arguments are those of `torch.compile`.

    It is taken and written by generation configs. Nothing is compiled, and `generate` says so.
    """

    fullgraph: bool = False
    dynamic: bool | None = None
    backend: str | Callable[..., Any] = "inductor"
    mode: str = "reduce-overhead"
    options: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def check(config: Any) -> None:
    """Refuse what is no such config.

    Raises:
        TypeError: for another kind, or unknown fields of a mapping.
    """
    if isinstance(config, dict):
        config = CompileConfig(**config)
    if not isinstance(config, CompileConfig):
        raise TypeError(f"compile_config is a CompileConfig, not a {type(config).__name__}")
