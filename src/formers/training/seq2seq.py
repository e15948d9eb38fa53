"""`Seq2SeqTrainer`: judges by what the model writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from formers.training.losses import IGNORED
from formers.training.state import PredictionOutput
from formers.training.trainer import Trainer


class Seq2SeqTrainer(Trainer):
    """A trainer that generates during evaluation where `predict_with_generate=True`.

    Predictions are then token ids [N, T], padded with the padding token. Keywords of `generate` may be given
    to `evaluate` and `predict` (`max_length`, `num_beams`, ...).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._generation: dict[str, Any] = {}
        chosen = getattr(self.args, "generation_config", None)
        if chosen is not None:
            self.model.generation_config = _generation_config(chosen)
        if getattr(self.args, "predict_with_generate", False) and not hasattr(self.bare_model, "generate"):
            raise ValueError(
                f"predict_with_generate=True, but {type(self.bare_model).__name__} cannot generate: leave it "
                "out"
            )

    def _wishes(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        wishes = dict(kwargs)
        if "max_length" not in wishes and "max_new_tokens" not in wishes:
            wishes["max_length"] = getattr(self.args, "generation_max_length", None)
        wishes.setdefault("num_beams", getattr(self.args, "generation_num_beams", None))
        return {key: value for key, value in wishes.items() if value is not None}

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
        **gen_kwargs: Any,
    ) -> dict[str, float]:
        """Judge the model; `gen_kwargs` go to `generate`."""
        self._generation = self._wishes(gen_kwargs)
        return super().evaluate(eval_dataset, ignore_keys=ignore_keys, metric_key_prefix=metric_key_prefix)

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "test",
        **gen_kwargs: Any,
    ) -> PredictionOutput:
        """Predictions for a dataset; `gen_kwargs` go to `generate`."""
        self._generation = self._wishes(gen_kwargs)
        return super().predict(test_dataset, ignore_keys=ignore_keys, metric_key_prefix=metric_key_prefix)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
        **gen_kwargs: Any,
    ) -> tuple[Tensor | None, Any, Any]:
        """Loss, generated ids and labels of one batch."""
        if not getattr(self.args, "predict_with_generate", False) or prediction_loss_only:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        # the decoder must start from its own beginning, not from the targets
        prompt = {key: value for key, value in inputs.items() if key not in ("labels", "decoder_input_ids")}
        generate: Any = self.accelerator.unwrap_model(model).generate
        with torch.no_grad(), self.compute_loss_context_manager():
            written = generate(**prompt, **(self._wishes(gen_kwargs) if gen_kwargs else self._generation))
        loss, _, labels = super().prediction_step(model, inputs, True, ignore_keys)
        if inputs.get("labels") is not None:
            labels = inputs["labels"]
        return loss, self._as_wide(written, labels), labels

    def _as_wide(self, written: Tensor, labels: Any) -> Tensor:
        """Pad generated ids with the padding token, so that no row ends in -100."""
        pad = getattr(self.processing_class, "pad_token_id", None)
        if pad is None:
            pad = getattr(getattr(self.bare_model, "config", None), "pad_token_id", None) or 0
        width = self._generation.get("max_length") or written.shape[1]
        if written.shape[1] < width:
            written = nn.functional.pad(written, (0, int(width) - written.shape[1]), value=int(pad))
        return torch.where(written == IGNORED, torch.full_like(written, int(pad)), written)


def _generation_config(chosen: Any) -> Any:
    if isinstance(chosen, (str, Path)):
        from formers.configs import GenerationConfig

        return GenerationConfig.from_pretrained(str(chosen))
    return chosen
