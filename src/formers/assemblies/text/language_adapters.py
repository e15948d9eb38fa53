"""One stack with parts for each language, which is told in which language every text is: X-MOD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import owner_of
from formers.assemblies.single import Single
from formers.core.notices import did_you_mean
from formers.nn.recording import recording
from formers.nn.tree import has, leaf, wiring
from formers.stacks.stack import Ask, States


class LanguageAdapters(Single):
    """Languages are numbers in the order of `config.languages`, by default `config.default_language`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.inputs = (self.inputs[0], "lang_ids", *self.inputs[1:])
        self.offers = {
            "set_default_language": set_default_language,
            "freeze_embeddings_and_language_adapters": freeze_embeddings_and_language_adapters,
        }

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Settle the languages and compute.

        Raises:
            ValueError: when nothing says which language a text is in, or for a number of none.
        """
        read = given.get("input_ids")
        read = given.get("inputs_embeds") if read is None else read
        if isinstance(read, Tensor) and read.dim() > 1:
            given["lang_ids"] = _settled(model.config, given.get("lang_ids"), read)
        return super().run(model, given, ask)


def _settled(config: Any, told: Any, read: Tensor) -> Tensor:
    """The languages of texts [B, T, ..], [B] or [B, T]."""
    known, (batch, length) = list(config.languages), read.shape[:2]
    if told is None:
        if config.default_language not in known:
            raise ValueError(
                f"which language is it? Pass lang_ids, numbers in the order of {known}, or call "
                f"model.set_default_language(...) first"
            )
        return torch.full((batch,), known.index(config.default_language), device=read.device)
    if not isinstance(told, Tensor) or told.shape not in ((), (1,), (batch,), (batch, length)):
        shape = list(told.shape) if isinstance(told, Tensor) else type(told).__name__
        raise ValueError(f"lang_ids are [B] or [B, T], with B={batch}, T={length}, not {shape}")
    if told.device.type == "cpu" and not recording() and bool(((told < 0) | (told >= len(known))).any()):
        raise ValueError(f"lang_ids are numbers from 0 to {len(known) - 1}, in the order of {known}")
    return told if told.dim() > 1 else told.reshape(-1).expand(batch)


def set_default_language(self: Any, language: str) -> None:
    """Let texts be in that language where no `lang_ids` say otherwise.

    Raises:
        ValueError: for one that the model has no adapters for.
    """
    if language not in self.config.languages:
        known = list(self.config.languages)
        raise ValueError(f"there is no adapter for {language!r}{did_you_mean(language, known)}: {known}")
    self.config.default_language = language


def freeze_embeddings_and_language_adapters(self: Any) -> None:
    """Let embeddings and adapters get no gradients, nor norms that stand before adapters alone."""
    owner = owner_of(self)
    names = wiring(owner).facts["spec"].names
    for role in names.embeddings:
        if has(owner, role):
            leaf(owner, role).requires_grad_(False)
    own = names.layer.get("adapter_norm")
    frozen = [str(names.layer["language_up"]).partition("{i}")[0]]
    if list(names.layer.values()).count(own) == 1:
        frozen.append(f"{own}.")
    for layer in leaf(owner, "layers"):
        for name, parameter in layer.named_parameters():
            if name.startswith(tuple(frozen)):
                parameter.requires_grad_(False)
