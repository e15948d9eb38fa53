"""CompileConfig: how `generate` has its steps compiled by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from formers.core.notices import notice
from formers.nn.cache import Cache, Static


@dataclass
class CompileConfig:
    """How `generate` has the steps compiled in which rows read one token; the arguments of `torch.compile`.

    They are with a static cache (`cache_implementation="static"`), on any device. The prompt is read without
    it. One graph serves all lengths, and the next calls too.
    """

    fullgraph: bool = False
    dynamic: bool | None = None
    backend: str | Callable[..., Any] = "inductor"
    mode: str | None = "reduce-overhead"
    options: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def compiled(model: Any, config: Any, cache: Any) -> Callable[..., Any] | None:
    """What is called in place of `model` in steps of single tokens; None where nobody asked, or nothing fits.

    Raises:
        TypeError: for what is no such config, or unknown fields of a mapping.
    """
    if config is None:
        return None
    if isinstance(config, dict):
        config = CompileConfig(**config)
    if not isinstance(config, CompileConfig):
        raise TypeError(f"compile_config is a CompileConfig, not a {type(config).__name__}")
    own = cache.slots if isinstance(cache, Cache) else ()
    if not own or not all(isinstance(slot, Static) for slot in own):
        notice(
            "compile_config changes nothing: steps are compiled over a static cache alone. Ask for "
            'cache_implementation="static" beside it'
        )
        return None
    import torch

    if config.options and config.mode == CompileConfig.mode:  # torch takes one of both, and this is no wish
        config = replace(config, mode=None)
    made: Callable[..., Any] = torch.compile(model, **config.to_dict())
    return made
