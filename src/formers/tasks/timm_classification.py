"""One label for a whole image, by the head that timm gives its networks."""

from __future__ import annotations

from typing import Any

from formers.assemblies.vision.timm_network import NETWORK, head_names
from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import classification
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


class TimmClassification(TaskModel):
    """The network's own logits."""

    _unread_inputs = ("do_pooling",)
    _says = "Classify images. `labels`: [B] int64, or [B] or [B, C] floating; see `nn.losses`."

    def _place_head(self, spec: int, config: Any) -> None:
        if not spec:
            raise ValueError(
                f"{config.architecture!r} has no labels, so its checkpoint has no head: say how many with "
                "from_pretrained(..., num_labels=10), or take AutoModel, which has none"
            )
        self.num_labels = spec

    def _optional_parts(self) -> list[str]:
        """Layers of the head, which a checkpoint without labels lacks."""
        return [f"{name}." for name in head_names(self)]

    def freeze_base(self) -> None:
        """Train the layers that make the logits alone.

        Raises:
            ValueError: for a network of which timm does not say which those are.
        """
        heads = tuple(self._optional_parts())
        if not heads:
            raise ValueError(
                f"timm does not say which layers of {self.config.architecture!r} make the logits: set "
                f"requires_grad of the parameters of `{NETWORK}`"
            )
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(heads))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels, loss, config = states.pooled, targets["labels"], None, self.config
        if logits is None:
            raise ValueError(f"{config.architecture!r} gives out features alone: leave features_only out")
        if labels is not None:
            loss, config.problem_type = classification(
                logits, labels, config.problem_type, self.num_labels, items
            )
        return self._record(TaskOutput, states, loss, logits)
