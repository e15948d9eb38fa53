"""Labels of texts about pictures: answers to questions, whether a text fits, what several pictures show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import binary, cross_entropy
from formers.stacks.stack import Ask, States
from formers.tasks.pooling import of_pooler
from formers.tasks.sequence_classification import SequenceClassification

_EACH = "image_token_type_idx"


class ImageTextClassification(SequenceClassification):
    """One logit for every answer, several of which may be right.

    The loss is the binary cross entropy, summed over answers (Anderson et al. 2017, arXiv:1707.07998).
    """

    _unread_inputs = (_EACH,)
    _says = "Answer questions about pictures. `labels`: [B, C], floating, how right each answer is."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels, loss = self._logits(states, given), targets["labels"], None
        if labels is not None:
            if not isinstance(labels, Tensor) or labels.shape != logits.shape:
                found = list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
                raise ValueError(
                    f"labels say how right each answer is, a tensor {list(logits.shape)}, not {found}"
                )
            loss = binary(logits, labels, items=len(labels) if items is None else items)
        return self._record(TaskOutput, states, loss, logits)


class TextOfPicture(SequenceClassification):
    """One number: the higher, the better a text fits a picture."""

    _targets = ()
    _options = ("return_dict",)
    _unread_inputs = (_EACH,)
    _says = "Judge how well texts fit pictures; without a loss."

    def _count(self, config: Any) -> int:
        return 1

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        return self._record(TaskOutput, states, None, self._logits(states, given))


class SeveralPictures(SequenceClassification):
    """A text is read beside each picture, and what the pooler makes of all is labelled together.

    Hidden states and attention weights are lists, one entry for each picture.
    """

    _unread_inputs = (_EACH,)
    _says = (
        "Label texts about several pictures, [B, pictures, channels, height, width]. `labels`: [B], int64."
    )

    def _width(self) -> int:
        """Those of all pictures.

        Raises:
            ValueError: where the config does not say how many there are.
        """
        if self.config.num_images < 1:
            raise ValueError(
                f"num_images says how many pictures stand beside a text, 1 at least, not "
                f"{self.config.num_images}: set it in the config, 2 for NLVR2"
            )
        return super()._width() * int(self.config.num_images)

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        count, several = int(self.config.num_images), dict[str, Tensor]()
        for name, axes in (("pixel_values", 5), ("image_embeds", 4), ("pixel_mask", 4)):
            value = given.get(name)
            if value is None:
                continue
            if name == "pixel_mask" and given.get("image_embeds") is not None:
                axes = 3
            value = value[:, None] if value.dim() == axes - 1 else value
            if value.dim() != axes or value.shape[1] != count:
                raise ValueError(
                    f"num_images is {count}, so {name} has {axes} axes, the second of {count} pictures; its "
                    f"shape is {list(value.shape)}"
                )
            several[name] = value
        found = [
            super(SeveralPictures, self)._states(
                {**given, **{name: value[:, i] for name, value in several.items()}, _EACH: i + 1},
                replace(ask),
            )
            for i in range(count)
        ]
        each = [self._assembly.passed_on(one) for one in found]
        kept = (
            name for name, asked in (("hidden_states", ask.hidden), ("attentions", ask.attentions)) if asked
        )
        shown = {name: [one[name] for one in each] for name in kept}
        pooled = torch.cat([of_pooler(one) for one in found], dim=-1)
        return replace(found[-1], pooled=pooled, extras=shown)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels = self._logits(states, given), targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return self._record(TaskOutput, states, loss, logits)
