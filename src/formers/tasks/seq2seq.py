"""Turn one text into another: logits of the next token, given a text and the tokens so far."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import shift_right
from formers.core.outputs import ModelOutput, Seq2SeqBalancedOutput, TaskOutput
from formers.generation.mixin import GenerationMixin
from formers.nn.losses import balance, balance_by_row, cross_entropy, steady
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.language_model import Spec, VocabularyHead

_NONE = (None, None)


class ConditionalGeneration(GenerationMixin, VocabularyHead):
    """The vocabulary head over the decoder's states."""

    _keeps_cache = True
    _options = TaskModel._options
    _says = "Predict tokens. `labels`: [B, T], int64, -100 where there is none; not shifted."

    @classmethod
    def can_generate(cls) -> bool:
        """There is a next token to predict."""
        return True

    def _place_head(self, spec: Spec, config: Any) -> None:
        super()._place_head(spec, config)
        if spec.logits_bias is not None:
            self.register_buffer(spec.logits_bias, torch.zeros(1, spec.vocabulary or config.vocab_size))

    def _settle(self, names: list[str]) -> None:
        """An output table in the files is one of its own, where the config leaves it open.

        Models that were saved without this head have no constant for the logits: it is zero.
        """
        spec: Spec = self._formers.facts["head"]
        if spec.apart and f"{spec.out}.weight" in names:
            self.config.tie_word_embeddings = False
        bias = spec.logits_bias
        if bias is not None and not any(name.endswith(bias) for name in names):
            count = spec.vocabulary or self.config.vocab_size
            self.register_buffer(bias, torch.zeros(1, count, device="cpu"))

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output table; the constant that is added to the logits follows its size."""
        super().set_output_embeddings(value)
        spec: Spec = self._formers.facts["head"]
        if spec.logits_bias is not None:
            old, count = getattr(self, spec.logits_bias), int(value.out_features)  # type: ignore[arg-type]
            new = old.new_zeros(1, count)
            kept = min(count, old.shape[1])
            new[:, :kept] = old[:, :kept]
            setattr(self, spec.logits_bias, new)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads to predict `labels`: [B, T] -> [B, T], int64."""
        return shift_right(labels, self._written(), self._assembly.wraps)

    def _written(self) -> Any:
        """The config of what writes."""
        return self.config

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        labels = targets["labels"]
        has_inputs = given.get("decoder_input_ids") is not None
        if labels is not None and not has_inputs and given.get("decoder_inputs_embeds") is None:
            given["decoder_input_ids"] = self.prepare_decoder_input_ids_from_labels(labels)
        if given.get("use_cache") is None:
            given["use_cache"] = bool(self._written().use_cache) and not self.training and labels is None

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        if spec.ahead is not None:
            return self._record(
                TaskOutput, states, *self._foreseen(spec.ahead, states, targets["labels"], items)
            )
        logits, labels = self._vocabulary(states), targets["labels"]  # [B, T, V]
        if spec.logits_bias is not None:
            logits = logits + getattr(self, spec.logits_bias).to(logits)
        loss = None if labels is None else cross_entropy(logits, labels, items)
        passed = self._assembly.passed_on(states)
        if spec.balance is None or "decoder_router_logits" not in passed:
            return self._record(TaskOutput, states, loss, logits)
        sizes: list[Any] = []
        shares: list[Any] = []
        for side, name in (("encoder", "attention_mask"), ("decoder", "decoder_attention_mask")):
            routers, real = passed[f"{side}_router_logits"], given.get(name)
            if isinstance(real, Tensor):
                real = real[:, -states.layout.length :] if side == "decoder" else real
            if spec.steady is not None:
                sizes.append(steady(routers, real) if routers else logits.new_zeros(()))
                shares.append(
                    balance_by_row(routers, spec.balance[0], real) if routers else logits.new_zeros(())
                )
            elif labels is not None:
                rows = real.flatten() if isinstance(real, Tensor) else None
                shares.append(balance(routers, spec.balance[0], rows) if routers else logits.new_zeros(()))
        if loss is not None:
            loss = loss + (spec.steady or 0.0) * sum(sizes) + spec.balance[1] * sum(shares)
        return Seq2SeqBalancedOutput(loss, logits, *(sizes or _NONE), *(shares or _NONE), **passed)


class PicturedGeneration(ConditionalGeneration):
    """The same over a pair that is one part of a model, and has a config of its own."""

    def _written(self) -> Any:
        """The pair's."""
        return self.config.get_text_config()
