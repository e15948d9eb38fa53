"""A model of sounds, and its states inside a text model's embeddings: Qwen2-Audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.base import BaseModel
from formers.assemblies.multimodal.image_text import Connector, Remembered, placed_at
from formers.assemblies.single import Single
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.program import Flow, build, compute
from formers.stacks.post_encoder import Folded
from formers.stacks.stack import Ask, States

_SOUNDS, _REAL = "input_features", "feature_attention_mask"
_TEXT = ("attention_mask", "position_ids", "past_key_values", "use_cache", "cache_position")


class Means(Folded):
    """Means of what the layers made. They stand in place of the last of the layers' states."""

    def kept(self, name: str) -> tuple[Tensor, ...] | None:
        """As the layers left it, with the means behind their inputs."""
        found = super().kept(name)
        return (*found[:-1], self.last) if found and name == "hidden_states" else found


class AveragedStack(Single):
    """A stack whose last states are means of rows that stand together (`spec.Averaged`)."""

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The means [B, T, E] as last states, with what the layers kept."""
        states = super().run(model, given, ask)
        assert states.pooled is not None
        return Means(states.pooled, states.pass_, spread_out=True, extras=states.extras, before=states)

    def output(self, model: Any, states: States) -> ModelOutput:
        """The means, and what was asked for."""
        return BaseModelOutput(states.last, hidden_states=states.hidden, attentions=states.attentions)


class AudioText(Remembered):
    """A text model that hears sounds (Chu et al. 2024, arXiv:2407.10759).

    Args:
        model_of, text: see `Composite`.
        sound: path of the model of sounds, whose stem reads frames and whose pooler is `spec.Averaged`, and
            the field of the config that describes it.
        connector: config -> what stands between both, and the token of the places that sounds take.
    """

    sees = _SOUNDS
    once = (_SOUNDS, _REAL)
    inputs = (
        *("input_ids", _SOUNDS, "attention_mask", _REAL, "position_ids", "past_key_values", "inputs_embeds"),
        *("use_cache", "output_attentions", "output_hidden_states", "return_dict", "cache_position"),
    )

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        text: tuple[str, str],
        sound: tuple[str, str],
        connector: Callable[[Any], Connector],
    ) -> None:
        super().__init__(model_of, text, sound)
        self.connector = connector
        self.means = {
            _SOUNDS: "[sounds, bins, frames], floating.",
            _REAL: "[sounds, frames], 1 at real ones.",
        }

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both models and the connector."""
        super().place(model, config, pooler, masked)
        c, width = self.connector(config), self.spec(config).width
        build(model, c.steps(self.stack(config, self.image).width, width), c.paths)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Embed the text, put what stands for the sounds into it, and run the text model.

        Raises:
            ValueError: when texts have more or fewer tokens for sounds than those fill.
        """
        inputs = {key: given.get(key) for key in (*_TEXT, "input_ids", "inputs_embeds")}
        if given.get(_SOUNDS) is not None:
            rows = self._rows(model, given[_SOUNDS], given.get(_REAL), ask)
            ids, vectors = inputs.pop("input_ids"), inputs["inputs_embeds"]
            if (ids is None) == (vectors is None):
                raise ValueError("give exactly one of input_ids and inputs_embeds")
            token = self.connector(model.config).token
            inputs["inputs_embeds"] = placed_at(self.part_of(model), token, ids, vectors, rows, "sound")[0]
        elif given.get(_REAL) is not None:
            raise ValueError(f"{_REAL} says which frames of sounds are real: pass {_SOUNDS} too")
        states = self.states(model, self.text, inputs, ask)
        states.extras["attention_mask"] = given.get("attention_mask")
        return states

    def _counts(self, config: Any, sounds: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
        """How many rows hold each sound, and how many means those make: two of [sounds].

        Raises:
            ValueError: for a mask of another shape, or a sound too short for one mean.
        """
        s = self.stack(config, self.image)
        assert isinstance(s.stem, spec.Frames)
        assert isinstance(s.pooler, spec.Averaged)
        if real is None:
            real = torch.ones_like(sounds[:, 0])
        if not isinstance(real, Tensor) or tuple(real.shape) != (sounds.shape[0], sounds.shape[-1]):
            found = list(real.shape) if isinstance(real, Tensor) else type(real).__name__
            raise ValueError(
                f"{_REAL} must have shape {[sounds.shape[0], sounds.shape[-1]]}, one entry for every frame, "
                f"but has {found}: pass what the processor returns"
            )
        rows: Tensor = s.stem.rows(real.long().sum(-1))
        return rows, rows // s.pooler.count

    def _rows(self, model: Any, sounds: Tensor, real: Tensor | None, ask: Ask) -> Tensor:
        """What stands for the sounds, one after the other: [rows, E]."""
        rows, means = self._counts(model.config, sounds, real)
        stem: Any = self.stack(model.config, self.image).stem
        mask = torch.arange(stem.count, device=sounds.device) < rows[:, None].to(sounds.device)
        inner = Ask(backend=ask.backend, padded=ask.padded)
        given = {_SOUNDS: sounds, "attention_mask": mask}
        states = self.states(model, self.image, given, inner)
        heard = states.last  # [sounds, T, E]
        kept = torch.arange(heard.shape[1], device=heard.device) < means[:, None].to(heard.device)
        flow = Flow(heard if states.watched else heard[kept], states.pass_)
        compute(model, flow)
        return flow.x[kept] if states.watched else flow.x

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., Sequence[int]]
    ) -> dict[str, Any]:
        """Inputs with the sounds that `which` names, by the tokens of all and how many each fills."""
        sounds = given.get(_SOUNDS)
        if sounds is None:
            return given
        fills = self._counts(model.config, sounds, given.get(_REAL))[1].tolist()
        kept = list(which(ids == self.connector(model.config).token, fills))
        rest = {name: value for name, value in given.items() if name not in self.once}
        chosen = {name: given[name][kept] for name in self.once if given.get(name) is not None}
        return {**rest, **chosen} if kept else rest

    def passed_on(self, states: States) -> dict[str, Any]:
        """The text model's, and the mask over its tokens."""
        return {**super().passed_on(states), **states.extras}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The text model's last states, and what was asked for."""
        return BaseModelOutput(states.last, **self.passed_on(states))
