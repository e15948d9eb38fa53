"""What packages take from beside the Trainer to save, resume and choose optimizers."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from formers.core.jsonfile import read_json_object
from formers.core.notices import notice, refuse_unknown


def safe_globals() -> AbstractContextManager[Any]:
    """In a `with`, `torch.load(weights_only=True)` reads arrays of NumPy, as states of random numbers are."""
    rebuild: Any = np.zeros(0).__reduce__()[0]  # what pickles of arrays call
    parts = [rebuild, np.ndarray, np.dtype, type(np.dtype(np.uint32))]
    return torch.serialization.safe_globals(parts)


def set_rng_state_for_device(
    device_name: str, device_module: Any, checkpoint_rng_state: dict[str, Any], is_distributed: bool
) -> None:
    """Put the random numbers of a kind of device where a checkpoint left them; where that fails, it is said.

    Args:
        device_name: "CUDA" and the like; in small letters the name of the state.
        device_module: `torch.cuda` and the like.
        checkpoint_rng_state: the states by name.
        is_distributed: whether the state is of all devices.
    """
    random = device_module.random
    try:
        put = random.set_rng_state_all if is_distributed else random.set_rng_state
        put(checkpoint_rng_state[device_name.lower()])
    except Exception as error:  # whatever a device says: training goes on, with other numbers
        notice(f"random numbers of {device_name} do not go on where the checkpoint left them: {error}")


def is_optimizer_factory(optimizer_cls_or_factory: Any) -> bool:
    """Whether something makes optimizers without being a class of them."""
    kind = optimizer_cls_or_factory
    return not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer))


@dataclasses.dataclass
class AcceleratorConfig:
    """How batches are shared out; `TrainingArguments(accelerator_config=config.to_dict())`.

    Attributes:
        split_batches: a batch is what all processes read together.
        dispatch_batches: the first process reads for all.
        even_batches: rows are repeated until all processes have as many.
        use_seedable_sampler: the order follows from the seed alone.
        non_blocking: copies to the device are not waited for.
        gradient_accumulation_kwargs: `num_steps` and how gradients are synchronised.
        use_configured_state: an `AcceleratorState` was made before.
    """

    split_batches: bool = False
    dispatch_batches: bool | None = None
    even_batches: bool = True
    use_seedable_sampler: bool = True
    non_blocking: bool = False
    gradient_accumulation_kwargs: dict[str, Any] | None = None
    use_configured_state: bool = False

    @classmethod
    def from_json_file(cls, json_file: str | Path) -> AcceleratorConfig:
        """Read one.

        Raises:
            TypeError: for a name that it has not.
        """
        held = read_json_object(Path(json_file))
        refuse_unknown(held, [one.name for one in dataclasses.fields(cls)], cls.__name__)
        return cls(**held)

    def to_dict(self) -> dict[str, Any]:
        """Its fields."""
        return dataclasses.asdict(self)


def validate_quantization_for_training(model: Any) -> None:
    """Refuse to train weights in few bits, apart from adapters on them.

    Raises:
        ValueError: for a quantized model without adapters.
    """
    from formers.adapters.mixin import has_adapters
    from formers.quantization.packed import PackedLinear

    packed = any(isinstance(part, PackedLinear) for part in model.modules())
    if packed and not (has_adapters(model) or getattr(model, "peft_config", None)):
        raise ValueError(
            "weights in few bits are not trained themselves: put adapters on the model first "
            "(get_peft_model(model, LoraConfig(...)))"
        )
