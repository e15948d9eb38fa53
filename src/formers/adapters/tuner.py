"""Adapters put on the leaves of a model, switched, merged and taken off again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftConfig, PeftType
from formers.adapters.layer import AdapterLayer
from formers.adapters.saved import ModulesToSaveWrapper
from formers.adapters.targets import settle_targets, targeted
from formers.core.notices import notice

Part = AdapterLayer | ModulesToSaveWrapper


def parts_of(model: nn.Module) -> Iterator[tuple[str, Part]]:
    """The adapted modules and their paths."""
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Part):
            yield path, module


class Tuner(nn.Module):
    """A model whose leaves have adapters; a method of adapting is a subclass.

    Attributes:
        model: the model, whose leaves were replaced.
        peft_config: name -> config of the adapters.
        active_adapter: name or names of those that compute.
    """

    kind: ClassVar[PeftType]
    prefix: ClassVar[str]
    widens: ClassVar[bool] = True  # whether adapters in half precision become float32

    def __init__(
        self,
        model: nn.Module,
        peft_config: PeftConfig | dict[str, PeftConfig],
        adapter_name: str = "default",
        low_cpu_mem_usage: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        given = {adapter_name: peft_config} if isinstance(peft_config, PeftConfig) else peft_config
        self.peft_config: dict[str, PeftConfig] = {}
        self.active_adapter: str | list[str] = adapter_name
        self.inject_adapter(adapter_name, given[adapter_name], low_cpu_mem_usage)

    @classmethod
    def around(cls, model: nn.Module) -> Tuner:
        """The tuner of a model that has adapters of this method already."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.model, made.peft_config = model, model.__dict__["peft_config"]
        layers = [part for _, part in parts_of(model) if isinstance(part, AdapterLayer)]
        made.active_adapter = list(layers[0].active_adapters) if layers else []
        return made

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":
                raise
            return getattr(self.model, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the model."""
        return self.model(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As the model."""
        model: Any = self.model
        return model.generate(*args, **kwargs)

    @property
    def active_adapters(self) -> list[str]:
        """Names of those that compute."""
        return [self.active_adapter] if isinstance(self.active_adapter, str) else self.active_adapter

    # -- a method says ---------------------------------------------------------------------------------

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """A leaf with room for adapters around it; None for a kind that the method cannot adapt."""
        raise NotImplementedError

    def prepare(self, config: Any) -> dict[str, Any]:
        """Keywords of `AdapterLayer.hold` for all leaves."""
        return {}

    def settings(self, config: Any, path: str) -> dict[str, Any]:
        """Keywords of `AdapterLayer.hold` for one leaf."""
        return {}

    def settle(self, config: Any) -> None:
        """Write what the config leaves open into it."""
        settle_targets(config, self.model)

    def to_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What an adapter's file holds, of its weights by their names there."""
        return dict(tensors)

    def from_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights in an adapter's file, less what the method itself takes."""
        return dict(tensors)

    # -- putting on ------------------------------------------------------------------------------------

    def inject_adapter(self, name: str, config: Any, low_cpu_mem_usage: bool = False) -> None:
        """Put an adapter on the leaves that its config names.

        The first one freezes the model, and is active; others change nothing of those that are there.

        Raises:
            ValueError: for no target, a target of a kind that cannot be adapted, a second one with biases.
        """
        first = not self.peft_config
        others = [getattr(one, "bias", "none") for one in self.peft_config.values()]
        if getattr(config, "bias", "none") != "none" and any(bias != "none" for bias in others):
            raise ValueError(
                "only one adapter of a model can train biases: set bias to 'none' for the others"
            )
        self.settle(config)
        paths = targeted(config, self.model)
        wraps, shared = {path: self._around(path, config) for path in paths}, self.prepare(config)
        if first:
            for parameter in self.model.parameters():
                parameter.requires_grad_(False)
        self.peft_config[name] = config
        with torch.device("meta") if low_cpu_mem_usage else _nowhere():
            for path, layer in wraps.items():
                layer.update_layer(name, config, **shared, **self.settings(config, path))
                if layer.base_layer is self.model.get_submodule(path):
                    _replace(self.model, path, layer)
        self._save_whole(name, config)
        active = self.active_adapters if not first else [name]
        for path, part in parts_of(self.model):
            if first or path in wraps or isinstance(part, ModulesToSaveWrapper):
                part.set_adapter(active, inference_mode=config.inference_mode and name in active)
        if first:
            self._train_biases(config)
        _refuse_idle_patterns(config, paths)
        self.model.peft_config = self.peft_config  # type: ignore[assignment]  # as the ecosystem finds it

    def _around(self, path: str, config: Any) -> AdapterLayer:
        leaf = self.model.get_submodule(path)
        return leaf if isinstance(leaf, AdapterLayer) else self.wrapped(leaf, config, path)

    def wrapped(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer:
        """A leaf with room for adapters around it.

        Raises:
            ValueError: for a kind that the method cannot adapt.
        """
        made = self.wrap(leaf, config, path)
        if made is None:
            raise ValueError(
                f"Target module {path} is a {type(leaf).__name__}, which {self.kind.value} cannot be put "
                "on. Name "
                "leaves of another kind in target_modules, or leave this one out with exclude_modules"
            )
        made.train(leaf.training)
        return made

    def _save_whole(self, name: str, config: Any) -> None:
        """Wrap the modules whose paths end with a name of `modules_to_save`."""
        ends = tuple(getattr(config, "modules_to_save", None) or ())
        parts = dict(parts_of(self.model))
        for path, module in list(self.model.named_modules()):
            if not ends or not path.endswith(ends):
                continue
            if any(path.startswith(f"{part}.") for part in parts):
                continue
            wrapped = module if isinstance(module, ModulesToSaveWrapper) else ModulesToSaveWrapper(module)
            parts[path] = wrapped
            wrapped.update(name)
            _replace(self.model, path, wrapped)

    def _train_biases(self, config: Any) -> None:
        wanted = getattr(config, "bias", "none")
        if wanted == "all":
            for path, parameter in self.model.named_parameters():
                parameter.requires_grad_(parameter.requires_grad or path == "bias" or path.endswith(".bias"))
        elif wanted != "none":
            for _, part in parts_of(self.model):
                own = part.bias if isinstance(part, AdapterLayer) else None
                if own is not None:
                    own.requires_grad_(True)

    # -- switching -------------------------------------------------------------------------------------

    def set_adapter(self, adapter_name: str | Sequence[str], inference_mode: bool = False) -> None:
        """Let one adapter compute, or several, and train unless `inference_mode`.

        Raises:
            ValueError: for an unknown name.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        for name in names:
            if name not in self.peft_config:
                raise ValueError(f"Adapter {name} not found: there are {', '.join(self.peft_config)}.")
        for _, part in parts_of(self.model):
            if isinstance(part, AdapterLayer) and part.merged:
                notice("Adapters were merged; they are taken out of the weights before another is set.")
                part.unmerge()
            part.set_adapter(names, inference_mode=inference_mode)
        self.active_adapter = adapter_name if isinstance(adapter_name, str) else names

    def set_requires_grad(self, adapter_names: str | Sequence[str], requires_grad: bool = True) -> None:
        """Let adapters train, or not."""
        for _, part in parts_of(self.model):
            part.set_requires_grad(
                [adapter_names] if isinstance(adapter_names, str) else adapter_names, requires_grad
            )

    @property
    def disabled(self) -> bool:
        """Whether the model computes without its adapters."""
        layers = [part for _, part in parts_of(self.model) if isinstance(part, AdapterLayer)]
        return all(part.disable_adapters for part in layers)

    def enable_adapter_layers(self) -> None:
        """Let the active adapters compute again."""
        for _, part in parts_of(self.model):
            part.enable_adapters(True)

    def disable_adapter_layers(self) -> None:
        """Let the model compute without them."""
        for _, part in parts_of(self.model):
            part.enable_adapters(False)

    def delete_adapter(self, adapter_name: str) -> None:
        """Forget an adapter; where it was active, the first of the others is.

        Raises:
            ValueError: for an unknown name.
        """
        if adapter_name not in self.peft_config:
            raise ValueError(f"Adapter {adapter_name} does not exist")
        for _, part in parts_of(self.model):
            part.delete_adapter(adapter_name)
        del self.peft_config[adapter_name]
        active = [name for name in self.active_adapters if name != adapter_name]
        if len(active) < len(self.active_adapters):
            self.active_adapter = active or list(self.peft_config)[:1]
            for _, part in parts_of(self.model):
                part.set_adapter(self.active_adapter)

    # -- merging ---------------------------------------------------------------------------------------

    def merge_adapter(self, adapter_names: Sequence[str] | None = None, safe_merge: bool = False) -> None:
        """Put the active adapters, or those named, into the weights; the leaves then compute alone."""
        for _, part in parts_of(self.model):
            if isinstance(part, AdapterLayer):
                part.merge(safe_merge=safe_merge, adapter_names=adapter_names)

    def unmerge_adapter(self) -> None:
        """Take them out again."""
        for _, part in parts_of(self.model):
            if isinstance(part, AdapterLayer):
                part.unmerge()

    def merge_and_unload(
        self, progressbar: bool = False, safe_merge: bool = False, adapter_names: Sequence[str] | None = None
    ) -> nn.Module:
        """The plain model, with the active adapters (or those named) in its weights.

        Args:
            progressbar: no bar is shown.
            safe_merge: no difference is made, see `AdapterLayer.merge`.
            adapter_names: those to merge.
        """
        self._refuse_tied()
        self.merge_adapter(adapter_names, safe_merge)
        return self._bare(adapter_names)

    def unload(self) -> nn.Module:
        """The plain model, as it was."""
        self.unmerge_adapter()
        return self._bare([])

    def _bare(self, names: Sequence[str] | None) -> nn.Module:
        for path, part in list(parts_of(self.model)):
            if path.endswith(".base_layer"):  # it goes with what stands around it
                continue
            inner = part.get_base_layer() if isinstance(part, AdapterLayer) else part.chosen(names)
            _replace(self.model, path, inner)
        if "peft_config" in self.model.__dict__:
            del self.model.peft_config
        return self.model

    def _refuse_tied(self) -> None:
        """Say so where a merge reaches a table that is also another's."""
        layers = [part for _, part in parts_of(self.model) if isinstance(part, AdapterLayer)]
        own = {id(part.weight) for part in layers}
        held: dict[int, int] = {}
        for module in self.model.modules():
            weight = None if isinstance(module, Part) else module._parameters.get("weight")
            if weight is not None and id(weight) in own:
                held[id(weight)] = held.get(id(weight), 0) + 1
        if any(count > 1 for count in held.values()):
            notice(
                "An adapted table is tied to another leaf, which a merge changes too. Load the model with "
                "tie_word_embeddings=False, or keep the adapter beside it"
            )


class _nowhere:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _replace(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module where another is."""
    owner, _, name = path.rpartition(".")
    model.get_submodule(owner)._modules[name] = module


def _refuse_idle_patterns(config: Any, paths: Sequence[str]) -> None:
    for kind in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, kind, None) or ():
            if not any(re.match(rf"(.*\.)?({pattern})$", path) for path in paths):
                notice(f"{kind} names {pattern!r}, which is the path of no targeted module: it has no effect")


def by_pattern(patterns: Mapping[str, Any], path: str, usual: Any) -> Any:
    """What the first pattern says that fits a path's end."""
    return next((said for end, said in patterns.items() if re.match(rf"(.*\.)?({end})$", path)), usual)
