"""Fill mask: which words fit in the place of a hidden one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.core.notices import notice
from formers.pipelines.frame import whole_number
from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline
from formers.pipelines.text.inputs import Prepared

_SCORES = 1 << 25  # at most so many logits in a pass, unless one text alone has more


class PipelineException(ValueError):
    """An input that a task cannot answer.

    Attributes:
        task: its name.
        model: the model's name.
    """

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task, self.model = task, model

    def __reduce__(self) -> Any:
        return type(self), (self.task, self.model, str(self))


class FillMaskPipeline(TextPipeline):
    """Words for the mask token in a text: `pipeline("fill-mask")`.

        pipe("A [MASK] of France.")     [{"score", "token", "token_str", "sequence"}, ...], best first

    A text with several masks gets a list of such lists, one for each mask, each with the others still masked.

    Args:
        model: a model with a masked-language-modelling head.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            top_k: how many words, 5 unless given.
            targets: a word or several; only these are scored, by their share of the whole vocabulary. What is
                no token stands for its first one, with a notice.
            tokenizer_kwargs: keywords of the tokenizer in a mapping; they may be given beside it, too.
            long_text, truncation, max_length, ...: see `TextPipeline`.

    Raises:
        PipelineException: for a tokenizer without a mask token, or a text without any.
    """

    default_task: ClassVar[str] = "fill-mask"
    windowed = False
    run_keywords = ("targets", "top_k")

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        self.max_batch_tokens = min(self.max_batch_tokens, max(1, _SCORES // self.model.config.vocab_size))
        if self.tokenizer.mask_token_id is None:
            raise self._refusal("the tokenizer has no mask token: this model does not fill in words")

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Fill in the masks of one text or many.

        Returns:
            For one text, and for a list of one, what the class says; for more a list of that.
        """
        found = super().__call__(inputs, **kwargs)
        return found[0] if isinstance(inputs, list) and len(inputs) == 1 else found

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        if cls._sanitize_parameters is not FillMaskPipeline._sanitize_parameters:
            return super().keywords()
        names = [*cls.run_keywords, "tokenizer_kwargs", *TEXT_KEYWORDS]
        return frozenset(names) | cls._constructor_keywords()

    def _sanitize_parameters(
        self, tokenizer_kwargs: Mapping[str, Any] | None = None, **given: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = self._text_keywords(given, tokenizer_kwargs, "tokenizer_kwargs")
        postprocess: dict[str, Any] = {}
        if given.get("targets") is not None:
            postprocess["target_ids"] = self.get_target_ids(given["targets"])
        if given.get("top_k") is not None:
            postprocess["top_k"] = whole_number("top_k", given["top_k"], "words, at least 1")
        return preprocess, {}, postprocess

    def get_target_ids(self, targets: str | Sequence[str]) -> list[int]:
        """The tokens that words stand for, each once.

        Raises:
            ValueError: when there is none.
        """
        found: dict[int, None] = {}
        for word in [targets] if isinstance(targets, str) else targets:
            token = self.tokenizer.convert_tokens_to_ids(word)
            if token is None or (token == self.tokenizer.unk_token_id and word != self.tokenizer.unk_token):
                ids = self.tokenizer(word, add_special_tokens=False)["input_ids"]
                if not ids:
                    notice(f"the target {word!r} has no token in the vocabulary and is left out")
                    continue
                token = ids[0]
                first = self.tokenizer.convert_ids_to_tokens(token)
                notice(f"the target {word!r} is no token of the vocabulary: {first!r}, its first, is scored")
            found[token] = None
        if not found:
            raise ValueError(f"targets={targets!r} holds no word: give at least one")
        return list(found)

    def preprocess_batch(
        self, inputs: Sequence[Any], first: int | None = None, **params: Any
    ) -> list[Prepared]:
        """Tokenise texts; each must hold a mask."""
        found = super().preprocess_batch(inputs, first, **params)
        for place, one in enumerate(found):
            if not self._masks(one.ids).any():
                where = "the input" if first is None else f"input {first + place}"
                cut = f"; {one.cut} tokens at its end were cut off" if one.cut else ""
                raise self._refusal(f"{where} has no mask token ({self.tokenizer.mask_token}){cut}")
        return found

    def _refusal(self, reason: str) -> PipelineException:
        return PipelineException(self.task, getattr(self.model, "name_or_path", ""), reason)

    def _masks(self, ids: Any) -> Any:
        return ids == self.tokenizer.mask_token_id

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """Scores of all words at the masks, [B, masks, V]; rows that have fewer are filled with zeros."""
        masks = self._masks(model_inputs["input_ids"])
        # the product with the vocabulary costs more than the layers: masks alone get it where that can be
        if "logits_to_keep" in self._takes:
            params = {"logits_to_keep": masks, **params}
        outputs = super()._forward(model_inputs, **params)
        logits = outputs["logits"] if "logits" in outputs else outputs["prediction_logits"]
        counts = masks.sum(1)
        held = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]  # [B, masks]
        scores = logits.new_zeros((*held.shape, logits.shape[-1]), dtype=torch.float32)
        logits = logits if logits.dim() == 2 else logits[masks]  # [all masks, V]
        scores[held] = logits.float().softmax(-1)
        return {"scores": scores, "input_ids": model_inputs["input_ids"]}

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Scores for a batch: `_forward` reads all of its rows at once."""
        return super().forward_batch(prepared, **params)

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The words for one text."""
        return self._answer(model_outputs["scores"][0], model_outputs["input_ids"][0].numpy(), **params)

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The words for a batch of texts."""
        rows = zip(outputs["scores"], prepared, strict=True)
        return [self._answer(scores, one.ids, **params) for scores, one in rows]

    def _answer(
        self, scores: torch.Tensor, ids: Any, top_k: int = 5, target_ids: list[int] | None = None
    ) -> Any:
        """The records of every mask, from `scores` [masks, V] and the text's tokens [T]."""
        places = self._masks(ids).nonzero()[0].tolist()
        scores = scores[: len(places)]
        if target_ids is not None:
            scores = scores[:, target_ids]
        values, best = scores.topk(min(top_k, scores.shape[1]))
        single = len(places) == 1
        answers = []
        for place, row, tokens in zip(places, values.tolist(), best.tolist(), strict=True):
            chosen = tokens if target_ids is None else [target_ids[token] for token in tokens]
            records = []
            for score, token in zip(row, chosen, strict=True):
                filled = ids.copy()
                filled[place] = token
                filled = filled[filled != self.tokenizer.pad_token_id]
                records.append(
                    {
                        "score": score,
                        "token": token,
                        "token_str": self.tokenizer.decode([token]),
                        # the other masks are special tokens, too
                        "sequence": self.tokenizer.decode(filled.tolist(), skip_special_tokens=single),
                    }
                )
            answers.append(records)
        return answers[0] if single else answers
