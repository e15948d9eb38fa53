"""The vector of a text or an image in the space that both share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formers.core.outputs import EmbeddingOutput, ModelOutput
from formers.nn.linear_pair import Bridge
from formers.nn.program import build
from formers.nn.steps import dense
from formers.nn.tree import leaf, place
from formers.stacks.stack import States
from formers.tasks.base import TaskModel
from formers.tasks.pooling import of_pooler


@dataclass(frozen=True)
class Spec:
    """A projection of the pooler's vector.

    Attributes:
        out: its path.
        width: of the shared space.
        name: what callers know the vector by, `text_embeds`, `image_embeds` or `audio_embeds`.
        std: deviation of fresh weights.
        act: of two layers with biases, in the node `out`, the activation between them.
    """

    out: str
    width: int
    name: str
    std: float = 0.02
    act: str = ""


class Projection(TaskModel):
    """A linear layer without bias, or two with an activation between them."""

    _targets = ()
    _options = ("return_dict",)
    _says = "Project into the space that texts and images share."

    def _place_head(self, spec: Spec, config: Any) -> None:
        if spec.act:
            place(self, "bridge", spec.out, Bridge(self._width(), spec.width, spec.act))
        else:
            build(self, [dense("out", self._width(), spec.width, bias=False)], {"out": spec.out})

    def _initial_deviations(self) -> tuple[float, dict[str, float]]:
        """The projection has its own."""
        spec: Spec = self._formers.facts["head"]
        std, special = super()._initial_deviations()
        return std, {
            **special,
            **dict.fromkeys((f"{spec.out}.{path}weight" for path in ("", "linear1.", "linear2.")), spec.std),
        }

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        read = of_pooler(states)
        vector = leaf(self, "bridge")(read) if spec.act else self._compute(states, read)
        return EmbeddingOutput(
            **{spec.name: vector},
            last_hidden_state=states.last,
            hidden_states=states.hidden,
            attentions=states.attentions,
        )
