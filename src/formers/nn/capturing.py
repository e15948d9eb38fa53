"""States and attentions of models of one's own, found while they run: `OutputRecorder`, `capture_outputs`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from functools import wraps
from typing import Any

from torch import nn


@dataclasses.dataclass
class OutputRecorder:
    """Which modules' results are kept.

    Attributes:
        target_class: modules of this class.
        index: which of a module's results, where it returns several.
        layer_name: only modules on a path that has this in it, such as "cross_attn".
        class_name: modules whose path ends so, in place of a class.
        capture_initial_hidden_state: of hidden states, begin with what the first module reads.
    """

    target_class: type[nn.Module] | None
    index: int = 0
    layer_name: str | None = None
    class_name: str | None = None
    capture_initial_hidden_state: bool = True

    def fits(self, path: str, module: nn.Module) -> bool:
        """Whether a module is one of them."""
        of_class = self.target_class is not None and isinstance(module, self.target_class)
        by_name = self.class_name is not None and path.endswith(self.class_name)
        if not (of_class or by_name):
            return False
        return self.layer_name is None or f".{self.layer_name.strip('.')}." in f".{path}."


# what the pass that runs now keeps; hooks of another thread's pass on the same modules look away
_kept: ContextVar[dict[str, list[Any]] | None] = ContextVar("kept", default=None)


def capture_outputs(
    func: Callable[..., Any] | None = None, *, tie_last_hidden_states: bool = True
) -> Callable[..., Any]:
    """Around a model's `forward`: `output_hidden_states=True` and the like are answered by its modules.

    The class says in `_can_record_outputs` what there is: name ("hidden_states", "attentions", ...) -> a
    class of modules, an `OutputRecorder`, the end of a path, or a list of those. Flags that are left out are
    the config's.

    Args:
        func: the method, which returns a record of outputs.
        tie_last_hidden_states: the last hidden state is the record's `last_hidden_state`, after the final
            norm; `config.tie_last_hidden_states` goes before.
    """
    if func is None:
        return lambda method: capture_outputs(method, tie_last_hidden_states=tie_last_hidden_states)

    @wraps(func)
    def forward(self: Any, *args: Any, **options: Any) -> Any:
        as_record = options.pop("return_dict", getattr(self.config, "return_dict", True))
        kept: dict[str, list[Any]] = {name: [] for name in _asked(self, options)}
        token = _kept.set(kept)
        try:
            with ExitStack() as hooks:
                for name, recorder, module in _places(self, kept):
                    handle = module.register_forward_hook(_hook(name, recorder, kept))
                    hooks.callback(handle.remove)
                found = func(self, *args, **options)
        finally:
            _kept.reset(token)
        tied = getattr(self.config, "tie_last_hidden_states", None)
        if (tie_last_hidden_states if tied is None else tied) and kept.get("hidden_states"):
            last = getattr(found, "last_hidden_state", None)
            kept["hidden_states"][-1] = kept["hidden_states"][-1] if last is None else last
        for name, values in kept.items():
            found[name] = tuple(values)
        return found.to_tuple() if as_record is False else found

    return forward


def _asked(model: Any, options: Mapping[str, Any]) -> Iterator[str]:
    """The names that are wanted in a call; attentions to other states go with attentions."""
    for name in getattr(model, "_can_record_outputs", None) or {}:
        flag = "output_attentions" if name.endswith("cross_attentions") else f"output_{name}"
        given = options.get(flag)
        if getattr(model.config, flag, False) if given is None else given:
            yield name


def _places(model: Any, kept: Mapping[str, Any]) -> Iterator[tuple[str, OutputRecorder, nn.Module]]:
    for name in kept:
        said = getattr(model, "_can_record_outputs")[name]  # noqa: B009 - a name of the model's own class
        for one in said if isinstance(said, list | tuple) else [said]:
            recorder = _recorder(name, one)
            for path, module in model.named_modules():
                if path and recorder.fits(path, module):
                    yield name, recorder, module


def _recorder(name: str, said: Any) -> OutputRecorder:
    if isinstance(said, OutputRecorder):
        return said
    index = 0 if "hidden_states" in name else 1
    if isinstance(said, str):
        return OutputRecorder(None, index, class_name=said)
    return OutputRecorder(said, index)


def _hook(name: str, recorder: OutputRecorder, kept: dict[str, list[Any]]) -> Callable[..., None]:
    def keep(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        if _kept.get() is not kept:
            return
        if name == "hidden_states" and recorder.capture_initial_hidden_state and not kept[name] and args:
            kept[name].append(args[0])
        value = result[recorder.index] if isinstance(result, tuple) else result
        if value is not None:
            kept[name].append(value)

    return keep
