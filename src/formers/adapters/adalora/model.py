"""AdaLoRA put on a model, and its allocation of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer, DeltaLayer, is_linear, is_transposed
from formers.adapters.tuner import Tuner, parts_of
from formers.nn.dropout import Dropout

_PARTS = ("lora_E", "lora_A", "lora_B")


class AdaLoraLayer(DeltaLayer):
    """A linear leaf with singular vectors and values beside it: W x + scaling * B (E * A) x."""

    adapter_layer_names: ClassVar[tuple[str, ...]] = _PARTS
    other_param_names: ClassVar[tuple[str, ...]] = ("scaling", "lora_dropout", "importance")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.lora_A, self.lora_B, self.lora_E = (nn.ParameterDict() for _ in range(3))
        self.lora_dropout = nn.ModuleDict()
        self.scaling: dict[str, float] = {}
        self.importance: dict[str, dict[str, Tensor]] = {}  # running means: sensitivity, uncertainty

    def hold(self, name: str, config: Any, **_: Any) -> None:
        """Vectors [r, in] and [out, r], values [r, 1]."""
        r = config.init_r
        for table, shape in (
            (self.lora_A, (r, self.in_features)),
            (self.lora_E, (r, 1)),
            (self.lora_B, (self.out_features, r)),
        ):
            table[name] = nn.Parameter(torch.randn(shape))
        if config.init_lora_weights:
            nn.init.zeros_(self.lora_E[name])
            nn.init.normal_(self.lora_A[name], std=0.02)
            nn.init.normal_(self.lora_B[name], std=0.02)
        self.scaling[name] = (config.lora_alpha if config.lora_alpha > 0 else float(r)) / (r + 1e-5)
        self.lora_dropout[name] = Dropout(config.lora_dropout).train(self.training)

    def holds(self, name: str) -> bool:
        """Whether an adapter of that name is here."""
        return name in self.scaling

    def adapted(self, name: str, x: Tensor, result: Tensor) -> Tensor:
        """The result + scaling * B (E * A) x."""
        down, up = self.lora_A[name] * self.lora_E[name], self.lora_B[name]
        thin: Tensor = self.lora_dropout[name](x.to(down.dtype)) @ down.t()
        found: Tensor = result + thin @ up.t() * self.scaling[name]
        return found

    def get_delta_weight(self, name: str) -> Tensor:
        """In the layout of the leaf."""
        delta: Tensor = self.lora_B[name] @ (self.lora_A[name] * self.lora_E[name]) * self.scaling[name]
        return delta.t() if self.fan_in_fan_out else delta

    def keep(self, name: str, mask: list[bool]) -> None:
        """Keep the values that a mask names, and their vectors."""
        where = torch.tensor(mask)
        if len(where) != len(self.lora_E[name]):
            raise ValueError(
                f"rank_pattern names {len(where)} values of a leaf that has {len(self.lora_E[name])}"
            )
        for table, axis in ((self.lora_E, 0), (self.lora_A, 0), (self.lora_B, 1)):
            held = table[name]
            chosen = held.data.index_select(axis, where.nonzero().flatten().to(held.device))
            table[name] = nn.Parameter(chosen, held.requires_grad)

    @torch.no_grad()
    def weigh(self, name: str, config: Any) -> None:
        """Take the gradients of this step into the running means (equations 8 to 10 of the paper)."""
        means = self.importance.setdefault(name, {})
        for part in _PARTS:
            held = getattr(self, part)[name]
            now = (held * held.grad).abs()
            smooth = means.get(part, torch.zeros_like(now))
            smooth = config.beta1 * smooth + (1 - config.beta1) * now
            doubt = means.get(f"{part}?", torch.zeros_like(now))
            doubt = config.beta2 * doubt + (1 - config.beta2) * (now - smooth).abs()
            means[part], means[f"{part}?"] = smooth, doubt

    def scores(self, name: str) -> Tensor:
        """How much each value with its vectors matters, [r]."""
        means = self.importance[name]
        e, a, b = (means[part] * means[f"{part}?"] for part in _PARTS)
        return e.flatten() + a.mean(1) + b.mean(0)


class AdaLoraModel(Tuner):
    """A model with AdaLoRA on its leaves; one adapter trains at a time."""

    kind: ClassVar[PeftType] = PeftType.ADALORA
    prefix: ClassVar[str] = "lora_"

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Linear leaves."""
        config.fan_in_fan_out = is_transposed(leaf)
        return AdaLoraLayer(leaf) if is_linear(leaf) else None

    def inject_adapter(self, name: str, config: Any, low_cpu_mem_usage: bool = False) -> None:
        """See the base; a second one that trains is refused."""
        if not config.inference_mode and any(not one.inference_mode for one in self.peft_config.values()):
            raise ValueError(
                "AdaLoraModel supports only 1 trainable adapter: set inference_mode=True for the others"
            )
        super().inject_adapter(name, config, low_cpu_mem_usage)

    def _layers(self) -> list[tuple[str, AdaLoraLayer]]:
        return [(path, part) for path, part in parts_of(self.model) if isinstance(part, AdaLoraLayer)]

    @property
    def trainable_adapter_name(self) -> str:
        """The one that trains.

        Raises:
            ValueError: where none does.
        """
        found = next((name for name, config in self.peft_config.items() if not config.inference_mode), None)
        if found is None:
            raise ValueError("no AdaLoRA adapter trains: load it with is_trainable=True")
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the model; the loss has a part for vectors that are not orthogonal (equation 4)."""
        outputs = self.model(*args, **kwargs)
        name = next((name for name, one in self.peft_config.items() if not one.inference_mode), None)
        if name is None or getattr(outputs, "loss", None) is None:
            return outputs
        config: Any = self.peft_config[name]
        apart = []
        for _, layer in self._layers():
            if layer.holds(name):
                down, up = layer.lora_A[name], layer.lora_B[name]
                one = torch.eye(len(down), dtype=down.dtype, device=down.device)
                apart += [torch.norm(down @ down.t() - one), torch.norm(up.t() @ up - one)]
        outputs.loss = outputs.loss + config.orth_reg_weight * sum(apart) / len(apart)
        return outputs

    def update_and_allocate(self, global_step: int) -> None:
        """Weigh what the gradients of this step say, and take the least values away; before `zero_grad`.

        Args:
            global_step: number of the step, from 0.
        """
        name = self.trainable_adapter_name
        config: Any = self.peft_config[name]
        layers = [(path, layer) for path, layer in self._layers() if layer.holds(name)]
        last = config.total_step - config.tfinal
        if global_step > last:
            self._mask(name, layers, {path: config.rank_pattern[f"{path}.lora_E"] for path, _ in layers})
            return
        if global_step < last:
            for _, layer in layers:
                layer.weigh(name, config)
            if global_step <= config.tinit or global_step % config.deltaT:
                return
        first, final = (rank * len(layers) for rank in (config.init_r, config.target_r))
        done = (global_step - config.tinit) / (last - config.tinit)
        budget = int((first - final) * (1 - done) ** 3 + final)
        scores = {path: layer.scores(name) for path, layer in layers}
        bound = torch.cat(list(scores.values())).kthvalue(max(first - budget, 1)).values
        kept = {path: (score > bound).tolist() for path, score in scores.items()}
        self._mask(name, layers, kept)
        config.rank_pattern = {f"{path}.lora_E": mask for path, mask in kept.items()}
        if global_step == last:
            for _, layer in layers:
                layer.importance.pop(name, None)

    @staticmethod
    @torch.no_grad()
    def _mask(name: str, layers: list[tuple[str, AdaLoraLayer]], kept: Mapping[str, list[bool]]) -> None:
        for path, layer in layers:
            held = layer.lora_E[name]
            held[~torch.tensor(kept[path], device=held.device)] = 0.0

    def to_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values that stay, and their vectors."""
        config: Any = self.peft_config[name]
        found = dict(tensors)
        for key, mask in (config.rank_pattern or {}).items():
            where = torch.tensor(mask)
            for part in _PARTS:
                axis = int(part == "lora_B")
                own = next(
                    (
                        one
                        for one in found
                        if one.removeprefix("base_model.model.") == key.replace("lora_E", part)
                    ),
                    None,
                )
                if own is not None and found[own].shape[axis] == len(where):
                    found[own] = found[own].index_select(
                        axis, where.nonzero().flatten().to(found[own].device)
                    )
        return found

    def from_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make the leaves as narrow as the file's."""
        config: Any = self.peft_config[name]
        layers = dict(self._layers())
        for key, mask in (config.rank_pattern or {}).items():
            layer = layers.get(key.rpartition(".")[0])
            if layer is not None and len(mask) == len(layer.lora_E[name]):
                layer.keep(name, mask)
        return dict(tensors)
