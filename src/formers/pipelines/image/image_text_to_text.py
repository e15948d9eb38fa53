"""Texts and chats about pictures: `pipeline("image-text-to-text")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.pipelines.datasets import is_stream
from formers.pipelines.frame import Call, Pipeline, whole_number
from formers.pipelines.text.generation import (
    ReturnType,
    WritingPipeline,
    answered,
    goes_on,
    is_chat,
    return_type_of,
)
from formers.pipelines.text.inputs import place_of
from formers.processing.reading import listed, load_image

_BEFORE = ("continue_final_message", "processor_kwargs", "timeout", "tools", "documents")
_AFTER = ("clean_up_tokenization_spaces", "skip_special_tokens")
_OF_ROWS = (
    *("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"),
    "image_embeds_position_mask",
)


class ImageTextToTextPipeline(WritingPipeline):
    """Goes on with texts and chats that show pictures: `pipeline("image-text-to-text")`.

        pipe("cats.jpg", text="<image> Two")          [{"input_text": ..., "generated_text": ...}]
        pipe(images=[a, b], text=["<image> Two", "<image> A"])      one record for each text
        pipe(text=[{"role": "user", "content": [{"type": "image", "url": "cats.jpg"},
            {"type": "text", "text": "How many?"}]}])
            [{"input_text": [{...}], "generated_text": [{...}, {"role": "assistant", "content": ...}]}]
        pipe(text=[chat, another])                    a list of such lists

    Unless the model's own settings say otherwise, at most 256 new tokens are written.

    Args:
        model: a model that reads texts with pictures, and writes texts.
        processor: its processor, with tokenizer and image processor.
        **kwargs: those of `WritingPipeline`, and as defaults for every call:

            max_new_tokens: how long a text may become.
            generate_kwargs: settings of `generate` in a mapping; they may be given by themselves too.
            return_full_text: the prompt too (default), or the new text alone.
            return_tensors: token ids in place of text, as `generated_token_ids`.
            stop_sequence: one string or several that end the text.
            continue_final_message: go on with the chat's last message rather than begin a new one.
            tools, documents: for the chat template.
            processor_kwargs: keywords of the processor's call.
            timeout: seconds for an address to answer.
            clean_up_tokenization_spaces, skip_special_tokens: for decoding.

    Raises:
        ValueError: without a processor.
    """

    default_task: ClassVar[str] = "image-text-to-text"
    default_input_names: ClassVar[Any] = "images,text"
    defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256}
    run_keywords: ClassVar[tuple[str, ...]] = (
        *(*_BEFORE, *_AFTER, "generate_kwargs", "stop_sequence"),
        *("return_full_text", "return_tensors", "return_text", "return_type"),
    )
    _load_tokenizer: ClassVar[bool | None] = False
    _load_image_processor: ClassVar[bool | None] = False
    _load_feature_extractor: ClassVar[bool | None] = False
    _load_processor: ClassVar[bool | None] = True

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if not hasattr(self.processor, "tokenizer"):
            raise ValueError(
                f"{type(self).__name__} needs processor=AutoProcessor.from_pretrained(...), which prepares "
                "texts and pictures together"
            )

    # -- calls -------------------------------------------------------------------------------------

    def _sanitize_parameters(
        self,
        return_full_text: bool | None = None,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: Any = None,
        stop_sequence: Any = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = {name: given.pop(name) for name in _BEFORE if name in given}
        postprocess = {name: given.pop(name) for name in _AFTER if name in given}
        if "continue_final_message" in preprocess:
            postprocess["continue_final_message"] = preprocess["continue_final_message"]
        kind = return_type_of(return_type, return_full_text, return_text, return_tensors)
        if kind is not None:
            postprocess["return_type"] = kind
        twice = [name for name in given if name in (generate_kwargs or {})]
        if twice:
            raise ValueError(f"{twice[0]} is given twice, once in generate_kwargs: leave one out")
        forward = self._settings({**(generate_kwargs or {}), **given})
        if "max_new_tokens" in forward:
            whole_number("max_new_tokens", forward["max_new_tokens"], "tokens, at least 1")
        if stop_sequence is not None:
            forward["stop_strings"] = [stop_sequence] if isinstance(stop_sequence, str) else [*stop_sequence]
        return preprocess, forward, postprocess

    def __call__(  # type: ignore[override]  # pictures and texts, as the ecosystem takes them
        self, images: Any = None, text: Any = None, **kwargs: Any
    ) -> Any:
        """Go on with one text or chat, or many.

        Args:
            images: the pictures of a text, or of each of several; or `{"images": ..., "text": ...}`, a list,
                generator or dataset of such; chats may stand here too.
            text: a text, a chat, or a list of them.
            **kwargs: see the class, and `Pipeline.__call__`.

        Returns:
            For each text or chat a list of records with `input_text` and `generated_text`; of several texts
            beside pictures one list of all records.

        Raises:
            ValueError: without anything, without a text, or with pictures beside a chat.
        """
        inputs = kwargs.pop("inputs", None)
        images = inputs if images is None else images
        if images is None and text is None:
            raise ValueError("give a text, and pictures where it shows some: pipe(images=..., text=...)")
        if text is None:
            if _is_pictures(images):
                raise ValueError("these pictures come without a text: pass text= too")
            return super().__call__(images, **kwargs)
        if images is None:
            return super().__call__(text, **kwargs)
        if is_chat(text) or (isinstance(text, (list, tuple)) and any(map(is_chat, text))):
            raise ValueError(
                "a chat holds its pictures itself: put {'type': 'image', 'image': ...} into a message's "
                "content, and leave images out"
            )
        if is_stream(images) or is_stream(text):
            raise ValueError("a generator or dataset holds both: {'images': ..., 'text': ...}")
        if isinstance(text, str):
            return super().__call__({"images": images, "text": text}, **kwargs)
        pairs = [
            {"images": shown, "text": one} for shown, one in zip(self._dealt(images, text), text, strict=True)
        ]
        return [record for answer in super().__call__(pairs, **kwargs) for record in answer]

    def _dealt(self, images: Any, texts: Sequence[str]) -> list[Any]:
        """The pictures of each text: as they are nested, or by how many each text shows."""
        given = list(images) if isinstance(images, (list, tuple)) else [images]
        if len(given) == len(texts):
            return given
        token = getattr(self.processor, "image_token", None)
        counts = [one.count(token) if token else 1 for one in texts]
        flat = listed(given)
        if sum(counts) != len(flat):
            raise ValueError(f"{len(texts)} texts show {sum(counts)} pictures, but {len(flat)} are given")
        rest = iter(flat)
        return [[next(rest) for _ in range(count)] for count in counts]

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list | tuple) and not is_chat(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        if isinstance(item, str) or is_chat(item):
            return item
        if isinstance(item, Mapping) and isinstance(item.get("text"), str):
            return item
        raise TypeError(
            f"{place_of(index)} is neither a text, nor a chat (messages with 'role' and 'content'), "
            f"nor {{'images': ..., 'text': a text}}: {type(item).__name__}"
        )

    # -- steps -------------------------------------------------------------------------------------

    def preprocess(
        self,
        inputs: Any,
        continue_final_message: bool | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        tools: Any = None,
        documents: Any = None,
        **_: Any,
    ) -> dict[str, Any]:
        """What the model reads of one text or chat, [1, T] and its pictures, and the text itself."""
        options = dict(processor_kwargs or {})
        if timeout is not None:
            options["timeout"] = timeout
        if is_chat(inputs):
            open_ended = goes_on(inputs, continue_final_message)
            found = self.processor.apply_chat_template(
                list(inputs),
                add_generation_prompt=not open_ended,
                continue_final_message=open_ended,
                tools=tools,
                documents=documents,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs=options,
            )
            return {**self._cast(found), "prompt": inputs}
        told = {"text": inputs} if isinstance(inputs, str) else dict(inputs)
        assembly = getattr(self.model, "_assembly", None)
        options = {**({} if assembly is None else assembly.text_options(self.model)), **options}
        beside = self._of_text(told, timeout)
        if beside:
            options.pop("timeout", None)
        options |= beside
        found = self.processor(text=told["text"], return_tensors="pt", **options)
        return {**self._cast(found), "prompt": told["text"]}

    def _of_text(self, told: Mapping[str, Any], timeout: float | None) -> dict[str, Any]:
        """What a text shows, for the processor's call."""
        shown = told.get("images", told.get("image"))
        if shown is None:
            return {}
        return {"images": [load_image(one, timeout) if _is_named(one) else one for one in listed(shown)]}

    def _cast(self, found: Any) -> Any:
        return found if self.dtype is None else found.to(self.dtype)

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer a batch; what cannot stand side by side, one by one."""
        if len(prepared) == 1 or self._stand_together(prepared):
            return Pipeline._run(self, prepared, call)
        return [answer for one in prepared for answer in Pipeline._run(self, [one], call)]

    @staticmethod
    def _stand_together(prepared: Sequence[Mapping[str, Any]]) -> bool:
        each = [{k: v for k, v in one.items() if isinstance(v, torch.Tensor)} for one in prepared]
        rest = [{k: v.shape[1:] for k, v in one.items() if k not in _OF_ROWS} for one in each]
        return all(one == rest[0] for one in rest) and all(set(one) == set(each[0]) for one in each)

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Write for several prompts at once: texts padded to the left, pictures one after the other."""
        return self.forward({**self._beside(prepared), "prompt": None}, **params)

    def _forward(self, model_inputs: Any, **settings: Any) -> Any:
        inputs = {name: value for name, value in model_inputs.items() if name != "prompt"}
        found = self.model.generate(**inputs, **self._filled(settings))
        sequences = found if isinstance(found, torch.Tensor) else found.sequences
        ids = inputs["input_ids"]
        return {"sequences": sequences.view(len(ids), -1, sequences.shape[1]), "input_ids": ids}

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """One list of records for each prompt."""
        return [
            self.postprocess({"sequences": rows, "input_ids": ids, "prompt": one["prompt"]}, **params)
            for rows, ids, one in zip(outputs["sequences"], outputs["input_ids"], prepared, strict=True)
        ]

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.FULL_TEXT,
        continue_final_message: bool | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """One record for each text that was written for a prompt."""
        prompt, records = model_outputs["prompt"], []
        before = self._decoded(model_outputs["input_ids"], options)
        for row in model_outputs["sequences"]:
            if return_type is ReturnType.TENSORS:
                records.append({"input_text": prompt, "generated_token_ids": row})
                continue
            whole = self._decoded(row, options)
            at = whole.find(before)  # a model that reads its prompt apart writes it not again
            text: Any = whole[at + len(before) :] if 0 <= at <= 2 else whole
            if return_type is ReturnType.FULL_TEXT:
                text = answered(prompt, text, continue_final_message) if is_chat(prompt) else prompt + text
            records.append({"input_text": prompt, "generated_text": text})
        return records


def _is_named(picture: Any) -> bool:
    return isinstance(picture, (str, bytes)) or hasattr(picture, "__fspath__")


def _is_pictures(given: Any) -> bool:
    """Whether what was given are pictures alone, as far as that can be told."""
    first = given[0] if isinstance(given, (list, tuple)) and given else given
    return not (isinstance(first, Mapping) or is_chat(first) or is_stream(first))
