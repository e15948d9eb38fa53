"""Turn texts into sounds in stages: `BarkModel`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from formers.generation.mixin import GenerationMixin
from formers.nn.tree import leaf
from formers.tasks.headless import HeadlessTask

_STAGES = ("semantic", "coarse", "fine")


class StagedSpeech(GenerationMixin, HeadlessTask):
    """A text to what it means, to coarse codes, to fine codes, to a sound."""

    settings_of_parts = True  # each stage has its own

    @classmethod
    def can_generate(cls) -> bool:
        """Stage by stage."""
        return True

    @torch.no_grad()
    def generate(  # type: ignore[override]  # texts to sounds
        self,
        input_ids: Tensor | None = None,
        history_prompt: Any = None,
        return_output_lengths: bool | None = None,
        *,
        attention_mask: Tensor | None = None,
        min_eos_p: float | None = None,
        generation_config: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Speak texts.

        Args:
            input_ids: [B, T], int64, as the processor makes them.
            history_prompt: a voice: `semantic_prompt` [n], `coarse_prompt` [2, m], `fine_prompt` [8, m].
            return_output_lengths: cut each sound where it ends, and return how many samples each has.
            attention_mask: [B, T], 1 at what is read.
            min_eos_p: the first stage ends as soon as the end is likelier than that.
            generation_config: a `BarkGenerationConfig`, in place of the model's.
            **kwargs: settings of generation (see `GenerationMixin.generate`) for all stages; for one of them
                behind `semantic_`, `coarse_` or `fine_`. `max_new_tokens` bounds the first stage, from which
                the lengths of the others follow, and `temperature` alone is for the last one too.

        Returns:
            [B, samples], floating; with their lengths, a list, where they are asked for.

        Raises:
            ValueError: without texts.
        """
        if not isinstance(input_ids, Tensor):
            raise ValueError(f"{type(self).__name__} speaks texts: pass what the processor makes of them")
        said, first, last, size = self._assembly.settings(
            self.generation_config if generation_config is None else generation_config
        )
        options: dict[str, dict[str, Any]] = {"semantic": {"min_eos_p": min_eos_p}, "coarse": {}, "fine": {}}
        for key, value in kwargs.items():
            stage = next((name for name in _STAGES if key.startswith(f"{name}_")), None)
            if stage is not None:
                options[stage][key.removeprefix(f"{stage}_")] = value
        for key, value in kwargs.items():
            if not key.startswith(tuple(f"{name}_" for name in _STAGES)):
                options["semantic"].setdefault(key, value)
                if key != "max_new_tokens":
                    options["coarse"].setdefault(key, value)
                if key == "temperature":
                    options["fine"].setdefault(key, value)
        meaning = leaf(self, "semantic").generate(
            input_ids.to(self.device), said, history_prompt, attention_mask, **options["semantic"]
        )
        codes, lengths = leaf(self, "coarse_acoustics").generate(
            meaning, said, first, size, history_prompt, True, **options["coarse"]
        )
        made = leaf(self, "fine_acoustics").generate(
            codes, said, first, last, size, history_prompt, **options["fine"]
        )
        places = lengths // first.n_coarse_codebooks
        sounds = self.codec_decode(made, places if return_output_lengths else None)
        if not return_output_lengths:
            return sounds
        return pad_sequence(sounds, batch_first=True), [len(sound) for sound in sounds]

    def codec_decode(self, fine_output: Tensor, output_lengths: Any = None) -> Any:
        """The sounds of codes.

        Args:
            fine_output: [B, books, places], int64.
            output_lengths: [B], places of each row: without them a row ends where the longest does.

        Returns:
            [B, samples], or a list of [samples] with lengths.
        """
        codec = leaf(self, "codec_model")
        if output_lengths is None:
            return codec._assembly.heard(codec, fine_output)[:, 0]
        rows = zip(fine_output, output_lengths, strict=True)
        return [codec._assembly.heard(codec, row[None, :, : int(length)])[0, 0] for row, length in rows]
