"""Files beside a checkpoint that hold what a model learned of one language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from formers.checkpoints.files import TensorFiles
from formers.hub import Source


def read_adapter(
    name: str, language: str, use_safetensors: bool | None = None, **hub: Any
) -> Mapping[str, Tensor]:
    """The tensors of a language, `adapter.{language}.safetensors`, by the names of the whole model.

    Args:
        name: folder or Hub id of the checkpoint.
        language: its code, as the file has it.
        use_safetensors: whether that form is read; where None, that or else `adapter.{language}.bin`.
        hub: Hub keywords.

    Raises:
        OSError: where there is no such file.
    """
    source = Source.of(name, **hub)
    forms = {True: ("safetensors",), False: ("bin",), None: ("safetensors", "bin")}[use_safetensors]
    names = [f"adapter.{language}.{form}" for form in forms]
    found = next((path for path in map(source.find, names) if path is not None), None)
    held = TensorFiles.of([found or source.get(names[0])])
    return {key: held.tensor(key) for key in held.names()}
