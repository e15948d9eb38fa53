"""One text into another: text to text, summaries, translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.core.notices import notice
from formers.pipelines.text.generation import ReturnType, WritingPipeline, return_type_of


class Text2TextGenerationPipeline(WritingPipeline):
    """Turns texts into others: `pipeline("text2text-generation")`.

        pipe("question: ...")         [{"generated_text": ...}]
        pipe(["a text", "another"])   [{"generated_text": ...}, {"generated_text": ...}]

    Unless the model's own settings say otherwise, 4 beams write at most 256 tokens.

    Args:
        model: an encoder-decoder.
        tokenizer: its tokenizer.
        **kwargs: those of `WritingPipeline`, and as defaults for every call:

            return_tensors: token ids in place of text; return_text=False is the same.
            truncation: how the tokenizer cuts texts that are longer than the model reads.
            stop_sequence: a string that ends the text.
            clean_up_tokenization_spaces: for decoding.
    """

    default_task: ClassVar[str] = "text2text-generation"
    defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256, "num_beams": 4}
    return_name: ClassVar[str] = "generated"
    run_keywords: ClassVar[tuple[str, ...]] = (
        *("clean_up_tokenization_spaces", "return_tensors", "return_text", "return_type", "stop_sequence"),
        "truncation",
    )

    def _sanitize_parameters(
        self,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: Any = None,
        clean_up_tokenization_spaces: bool | None = None,
        truncation: Any = None,
        stop_sequence: Any = None,
        **given: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = {} if truncation is None else {"truncation": truncation}
        postprocess: dict[str, Any] = {}
        kind = return_type_of(return_type, None, return_text, return_tensors)
        if kind is not None:
            postprocess["return_type"] = kind
        if clean_up_tokenization_spaces is not None:
            postprocess["clean_up_tokenization_spaces"] = clean_up_tokenization_spaces
        forward = self._settings(given)
        if stop_sequence is not None:
            forward["stop_strings"] = (
                [stop_sequence] if isinstance(stop_sequence, str) else list(stop_sequence)
            )
        return preprocess, forward, postprocess

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Rewrite one text or many.

        Returns:
            For a text a list of records; for a list of texts a list with one record each, or with a list of
            them where several are returned.
        """
        found = super().__call__(inputs, **kwargs)
        if isinstance(inputs, list) and all(len(one) == 1 for one in found):
            return [one[0] for one in found]
        return found

    def _item(self, item: Any, index: int | None) -> Any:
        if isinstance(item, str):
            return item
        where = "" if index is None else f"input {index}: "
        raise TypeError(f"{where}a text is a string, not {type(item).__name__}")

    def preprocess(self, inputs: str, truncation: Any = None, **_: Any) -> dict[str, Any]:
        """A text's tokens, [1, S]."""
        return self._tokens(self.tokenizer, inputs, truncation)

    def _tokens(self, tokenize: Any, text: str, truncation: Any, **options: Any) -> dict[str, Any]:
        given = {} if truncation is None else {"truncation": truncation}
        found = dict(tokenize(self.prefix + text, return_tensors="pt", **given, **options))
        found.pop("token_type_ids", None)
        self._notice_no_prefix(text)
        room = self.tokenizer.model_max_length
        if not truncation and found["input_ids"].shape[1] > room:
            notice(
                f"a text has {found['input_ids'].shape[1]} tokens and the model was made for {room}: "
                "truncation=True cuts it"
            )
        return found

    def _notice_no_prefix(self, text: str) -> None:
        """Say it where a model that knows its tasks by what texts begin with is not told the task."""
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        known = {name: said["prefix"] for name, said in tasks.items() if (said or {}).get("prefix")}
        if known and not (self.prefix or text.startswith(tuple(known.values()))):
            notice(
                f"the text begins with none of the prefixes that tell this model its task: "
                f"{', '.join(f'{prefix!r} ({name})' for name, prefix in known.items())}. Begin texts with "
                "one, or name that task: pipeline(task, model=...)",
                key="pipeline-no-prefix",
            )

    def _forward(self, model_inputs: Any, **settings: Any) -> Any:
        """Generate; the sequences [B, returned, T]."""
        filled = self._filled(settings)
        self._check_lengths(model_inputs["input_ids"].shape[1], filled)
        found = self.model.generate(**model_inputs, **filled)
        sequences = found if isinstance(found, torch.Tensor) else found.sequences
        return {"output_ids": sequences.view(len(model_inputs["input_ids"]), -1, sequences.shape[1])}

    def _check_lengths(self, length: int, settings: Mapping[str, Any]) -> None:
        """Say it where a text of `length` tokens does not fit the settings."""

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Generate for several texts at once."""
        return self.forward(self._beside(prepared), **params)

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The records of every text."""
        rows = outputs["output_ids"]
        return [self.postprocess({"output_ids": rows[i : i + 1]}, **params) for i in range(len(prepared))]

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.NEW_TEXT,
        clean_up_tokenization_spaces: bool = False,
        **_: Any,
    ) -> list[dict[str, Any]]:
        """One record for each text that was generated."""
        options = {"clean_up_tokenization_spaces": clean_up_tokenization_spaces}
        if return_type is ReturnType.TENSORS:
            return [{f"{self.return_name}_token_ids": ids} for ids in model_outputs["output_ids"][0]]
        rows = model_outputs["output_ids"][0].tolist()
        self._notice_cut(rows)
        return [{f"{self.return_name}_text": self._decoded(ids, options)} for ids in rows]

    def _notice_cut(self, rows: Sequence[Sequence[int]]) -> None:
        """Say it where a text came to its longest before it came to its end."""
        ends = self.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, Sequence) else {ends}
        if ends != {None} and any(not ends.intersection(row[1:]) for row in rows):
            notice(
                f"a text of {max(map(len, rows)) - 1} tokens was cut off before its end: a larger "
                "max_new_tokens gives it room",
                key="pipeline-cut-off",
            )


class SummarizationPipeline(Text2TextGenerationPipeline):
    """Summaries: `pipeline("summarization")`; each record has a `summary_text`.

    Args:
        model: an encoder-decoder.
        tokenizer: its tokenizer.
        **kwargs: as of `Text2TextGenerationPipeline`, and

            long_text: "windows" summarises a text that is longer than the model reads piece by piece, and
                joins the summaries; None leaves it whole.
    """

    default_task: ClassVar[str] = "summarization"
    return_name: ClassVar[str] = "summary"
    run_keywords: ClassVar[tuple[str, ...]] = (*Text2TextGenerationPipeline.run_keywords, "long_text")

    def _sanitize_parameters(  # type: ignore[override]  # keywords of its own, by name
        self, long_text: str | None = None, **given: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**given)
        if long_text not in (None, "windows"):
            raise ValueError(f"long_text is 'windows' or None, not {long_text!r}")
        if long_text:
            preprocess["long_text"] = long_text
        return preprocess, forward, postprocess

    def preprocess(
        self, inputs: str, truncation: Any = None, long_text: str | None = None, **_: Any
    ) -> dict[str, Any]:
        """A text's tokens, [1, S]; or those of its windows, [windows, S]."""
        if long_text is None:
            return super().preprocess(inputs, truncation)
        found = dict(
            self.tokenizer(
                self.prefix + inputs,
                return_tensors="pt",
                truncation=True,
                padding=True,
                return_overflowing_tokens=True,
            )
        )
        return {name: value for name, value in found.items() if name in ("input_ids", "attention_mask")}

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The records of every text; those of its windows are joined."""
        rows, answers, start = outputs["output_ids"], [], 0
        for one in prepared:
            count = len(one["input_ids"])
            parts = [
                self.postprocess({"output_ids": rows[i : i + 1]}, **params)
                for i in range(start, start + count)
            ]
            start += count
            name = f"{self.return_name}_text"
            if count > 1 and name in parts[0][0]:
                joined = zip(*parts, strict=True)
                answers.append([{name: " ".join(piece[name].strip() for piece in each)} for each in joined])
            else:
                answers.append(parts[0])
        return answers

    def _check_lengths(self, length: int, settings: Mapping[str, Any]) -> None:
        longest = (
            settings.get("max_new_tokens") or settings.get("max_length") or self.generation_config.max_length
        )
        shortest = settings.get("min_length") or self.generation_config.min_length
        if longest < shortest:
            notice(f"min_length={shortest} is more than the {longest} tokens that a summary may have")
        if length < longest and settings.get("max_length") is not None:
            notice(
                f"the text has {length} tokens, so a summary of max_length={longest} could be longer than it"
            )


class TranslationPipeline(Text2TextGenerationPipeline):
    """Translations: `pipeline("translation_en_to_fr")`, or "translation" with `src_lang` and `tgt_lang`.

    Each record has a `translation_text`. Models of many languages need both of them, as their tokenizer
    spells them; T5's read a prefix that their config states for the task.

    Args:
        model: an encoder-decoder.
        tokenizer: its tokenizer.
        **kwargs: as of `Text2TextGenerationPipeline`, and

            src_lang: the language of the texts.
            tgt_lang: the language wanted.
    """

    default_task: ClassVar[str] = "translation"
    return_name: ClassVar[str] = "translation"
    run_keywords: ClassVar[tuple[str, ...]] = (
        *Text2TextGenerationPipeline.run_keywords,
        "src_lang",
        "tgt_lang",
    )

    def _sanitize_parameters(  # type: ignore[override]  # keywords of its own, by name
        self, src_lang: str | None = None, tgt_lang: str | None = None, **given: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**given)
        named = self.task.split("_")
        if src_lang is None and tgt_lang is None and len(named) == 4:  # translation_xx_to_yy
            src_lang, tgt_lang = named[1], named[3]
        preprocess |= {n: v for n, v in (("src_lang", src_lang), ("tgt_lang", tgt_lang)) if v is not None}
        return preprocess, forward, postprocess

    def preprocess(
        self,
        inputs: str,
        truncation: Any = None,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """A text's tokens, [1, S], and which token begins the translation, where the language decides."""
        marks = getattr(self.tokenizer, "_build_translation_inputs", None)
        if marks is None:
            return self._tokens(self.tokenizer, inputs, truncation)
        found = self._tokens(marks, inputs, truncation, src_lang=src_lang, tgt_lang=tgt_lang)
        first = found.pop("forced_bos_token_id", None)
        return found if first is None else {**found, "forced_bos_token_id": first}

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Translate several texts at once; all of them into one language."""
        first = prepared[0].get("forced_bos_token_id")
        begun = {} if first is None else {"forced_bos_token_id": first}
        return self.forward(self._beside(prepared), **{**begun, **params})
