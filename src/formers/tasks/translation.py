"""Translate texts and speech into a text of a language that the caller names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.core.notices import did_you_mean, notice
from formers.tasks.seq2seq import ConditionalGeneration

WRITTEN = "text_decoder_lang_to_code_id"


def language(model: Any, config: Any, name: str, table: str) -> int:
    """The id of a language, by the table of that name in settings of generation.

    Args:
        model: whose languages they are.
        config: settings of generation, in place of the model's own; or None.
        name: its code, `fra`, or the token of it, `__fra__`.
        table: name of the table there.

    Raises:
        TypeError: for a name that is no text.
        ValueError: where there is no such table, or it has no such language.
    """
    if not isinstance(name, str):
        raise TypeError(f"tgt_lang is the code of one language, such as 'fra', not {name!r}")
    known = getattr(model.generation_config if config is None else config, table, None)
    if not known:
        raise ValueError(
            f"the model's generation config has no {table}, which says what tgt_lang={name!r} is: load the "
            "generation_config.json of its checkpoint, or set model.generation_config." + table
        )
    code = name.replace("__", "")
    if code not in known:
        raise ValueError(
            f"tgt_lang={name!r} is none of the languages in {table}{did_you_mean(code, list(known))}: "
            + ", ".join(known)
        )
    return int(known[code])


class Translation(ConditionalGeneration):
    """The vocabulary head over a decoder that begins with the token of a language."""

    @torch.no_grad()
    def generate(  # type: ignore[override]  # what the ecosystem's class takes, in its order
        self,
        inputs: Tensor | None = None,
        tgt_lang: str | None = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        synced_gpus: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Translate.

        Args:
            inputs: [B, T], int64, texts; or frames of speech [B, T, bands]. By name too.
            tgt_lang: the language to write in, `fra`; the decoder then begins with its token. Without one
                `decoder_input_ids` or `forced_bos_token_id` say how it begins.
            generation_config: see `GenerationMixin.generate`, as all that follows.
            logits_processor: likewise.
            stopping_criteria: likewise.
            prefix_allowed_tokens_fn: likewise.
            synced_gpus: likewise.
            kwargs: likewise.

        Returns:
            [B * returned, T], int64, or a record.

        Raises:
            ValueError: for a language that the model does not know.
        """
        kwargs |= {"generation_config": generation_config, "synced_gpus": synced_gpus}
        kwargs |= {"logits_processor": logits_processor, "stopping_criteria": stopping_criteria}
        kwargs["prefix_allowed_tokens_fn"] = prefix_allowed_tokens_fn
        if tgt_lang is not None:
            kwargs["decoder_input_ids"] = self._begun(inputs, tgt_lang, kwargs)
        elif kwargs.get("decoder_input_ids") is None and kwargs.get("forced_bos_token_id") is None:
            notice(
                "nothing says which language to write in, so the model guesses: pass tgt_lang='fra'",
                key="translation without a language",
            )
        return super().generate(inputs, **kwargs)

    def _begun(self, inputs: Any, tgt_lang: str, kwargs: dict[str, Any]) -> Tensor:
        """What the decoder begins with, [B, 1], int64."""
        known = language(self, kwargs.get("generation_config"), tgt_lang, WRITTEN)
        names = ("input_ids", "input_features", "inputs_embeds", "encoder_outputs")
        given = [inputs, *(kwargs.get(name) for name in names)]
        read = next((value for value in given if value is not None), None)
        if read is None:
            raise ValueError(f"there is nothing to translate: pass {self.main_input_name}")
        rows = read if isinstance(read, Tensor) else read[0]
        return torch.full((len(rows), 1), known, dtype=torch.int64, device=self.device)
