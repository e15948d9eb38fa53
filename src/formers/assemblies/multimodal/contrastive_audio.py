"""A text tower and a tower of sounds whose vectors lie in one space: CLAP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.multimodal.contrastive import DualTowers, of_length_one
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import SoundContrastOutput
from formers.nn.losses import of_texts
from formers.nn.tree import leaf
from formers.stacks.stack import States


class ContrastiveAudio(DualTowers):
    """Two towers (Wu et al. 2023, arXiv:2211.06687), each of whose cosines has a factor of its own."""

    sees = "input_features"
    compares = "text", "audio"

    returns: Any = SoundContrastOutput

    def output(self, model: Any, states: States) -> ModelOutput:
        """Cosines of all texts and all sounds, scaled; the loss where it is wanted.

        Both halves of the loss ask for the sound of a text, as published models were trained.
        """
        heard: States = states.extras["image"]
        found = {self.text: states, self.image: heard}
        text, sound = (
            of_length_one(self._projected(model, name, one).pooler_output) for name, one in found.items()
        )
        cosines = text @ sound.t()  # [texts, sounds]
        by_text, by_sound = (cosines * leaf(model, role).exp() for role in ("scale", "other_scale"))
        loss = (of_texts(by_text) + of_texts(by_sound)) / 2 if states.extras["return_loss"] else None
        records = [self.record(model, name, one) for name, one in found.items()]
        return SoundContrastOutput(loss, by_sound.t(), by_text, text, sound, *records)

    def _offered(self, model: Any, name: str, states: States) -> Any:
        """Vectors of length one."""
        found = self._projected(model, name, states)
        return replace(found, pooler_output=of_length_one(found.pooler_output))
