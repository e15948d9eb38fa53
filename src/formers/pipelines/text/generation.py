"""Text generation: prompts and chats are gone on with; and what all pipelines share whose models generate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

import torch

from formers.configs import GenerationConfig
from formers.core.notices import refuse_unknown
from formers.pipelines.frame import FRAME_KEYWORDS, Call, Pipeline, side_by_side

OF_GENERATE = (
    *("assistant_model", "assistant_tokenizer", "custom_generate", "generation_config", "generator"),
    *("logits_processor", "negative_prompt_attention_mask", "negative_prompt_ids"),
    *("prefix_allowed_tokens_fn", "stopping_criteria", "streamer", "synced_gpus", "tokenizer"),
)
_LENGTHS = {"max_new_tokens": "max_length", "min_new_tokens": "min_length"}

_HOLE = "hole"


class ReturnType(Enum):
    """What an answer holds: token ids, the new text, or the prompt and the new text."""

    TENSORS = 0
    NEW_TEXT = 1
    FULL_TEXT = 2


class WritingPipeline(Pipeline):
    """A pipeline whose model generates.

    Settings of `generate` may be given to the constructor and to every call. Those that neither gives are the
    model's own (`generation_config.json`), then those that the config has for this task
    (`task_specific_params`), then the pipeline's.

    Args:
        model: a model that generates.
        tokenizer: its tokenizer.
        assistant_model: a smaller model that proposes tokens.
        assistant_tokenizer: its tokenizer, where that is another.
        **kwargs: those of `Pipeline`, of the task, and settings of `generate`.

    Raises:
        ValueError: for a model that does not generate.
    """

    _load_tokenizer: ClassVar[bool | None] = True
    defaults: ClassVar[Mapping[str, Any]] = {}
    run_keywords: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        assistant_model: Any = None,
        assistant_tokenizer: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(model, str) and not getattr(type(model), "can_generate", lambda: True)():
            raise ValueError(
                f"{type(model).__name__} has no head that predicts the next token; load the checkpoint with "
                "AutoModelForCausalLM or AutoModelForSeq2SeqLM"
            )
        self.assistant_model, self.assistant_tokenizer = assistant_model, assistant_tokenizer
        super().__init__(model, tokenizer, **kwargs)

    @property
    def generation_config(self) -> GenerationConfig:
        """The model's own settings."""
        own = self.model.generation_config
        return own if own is not None else GenerationConfig()

    def _of_task(self) -> dict[str, Any]:
        """What the model's config has for this task: settings, and a prefix for its texts."""
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        return dict(tasks.get(self.task) or {})

    @property
    def prefix(self) -> str:
        """What stands before every text."""
        return str(self._of_task().get("prefix") or getattr(self.model.config, "prefix", None) or "")

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        names = (*cls.run_keywords, *OF_GENERATE, *GenerationConfig().known_names())
        return frozenset(names) | cls._constructor_keywords()

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """The settings of `generate` among the keywords, all others having been taken out.

        Raises:
            TypeError: for what is none.
        """
        known = (*GenerationConfig().known_names(), *OF_GENERATE)
        refuse_unknown(given, [*known, *self.run_keywords, *FRAME_KEYWORDS], type(self).__name__)
        return given

    def _filled(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with those that nobody gave: of the task, and the pipeline's own."""
        own, given = self.generation_config, settings.get("generation_config")
        names = GenerationConfig().known_names()
        found: dict[str, Any] = {}
        for source, beats in (
            ({k: v for k, v in self._of_task().items() if k in names}, True),
            (self.defaults, False),
        ):
            for name, value in source.items():
                chosen = [name, _LENGTHS.get(name, name)]
                if name in found or any(one in settings or one in found for one in chosen):
                    continue
                if given is not None and any(given.is_set(one) for one in chosen):
                    continue
                if beats or not any(own.is_set(one) for one in chosen):
                    found[name] = value
        found.update(settings)
        said = given if given is not None and given.is_set("do_sample") else own
        if not found.get("do_sample", said.do_sample) and "temperature" not in settings:
            found.pop("temperature", None)  # nothing is drawn
        about_text = ("stop_strings", "json_schema", "json_object", "regex", "grammar")
        if any(found.get(name) is not None or getattr(own, name) is not None for name in about_text):
            found.setdefault("tokenizer", self.tokenizer)
        if self.assistant_model is not None:
            found.setdefault("assistant_model", self.assistant_model)
        if self.assistant_tokenizer is not None:
            found.setdefault("assistant_tokenizer", self.assistant_tokenizer)
            found.setdefault("tokenizer", self.tokenizer)
        pad = getattr(self.tokenizer, "pad_token_id", None)
        if own.pad_token_id is None and pad is not None and (given is None or given.pad_token_id is None):
            found.setdefault("pad_token_id", pad)
        return found

    def _beside(self, prepared: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Prompts side by side, [B, T], padded where the model wants it: a decoder goes on at the right."""
        rows = [
            {name: value for name, value in one.items() if isinstance(value, torch.Tensor)}
            for one in prepared
        ]
        if len(rows) == 1:
            return rows[0]
        return dict(side_by_side(rows, _Padding(self.tokenizer, not self.model.config.is_encoder_decoder)))

    def _decoded(self, ids: Any, options: Mapping[str, Any]) -> str:
        """Tokens to text; special ones are left out unless the options say otherwise."""
        options = {name: value for name, value in options.items() if value is not None}
        return str(self.tokenizer.decode(ids, **{"skip_special_tokens": True, **options}))


class _Padding:
    """How prompts are padded to stand side by side."""

    def __init__(self, tokenizer: Any, left: bool) -> None:
        pad = getattr(tokenizer, "pad_token_id", None)
        # masked places are read by nobody: any token will do where there is none for padding
        self.pad_token_id = pad if pad is not None else getattr(tokenizer, "eos_token_id", None)
        self.padding_side = "left" if left else "right"


def return_type_of(
    return_type: Any, return_full_text: bool | None, return_text: bool | None, return_tensors: bool | None
) -> ReturnType | None:
    """What an answer holds, from whichever keyword says it; None where none does.

    Raises:
        ValueError: when two of them contradict each other.
    """
    said = {
        "return_full_text": return_full_text,
        "return_text": return_text,
        "return_tensors": return_tensors,
    }
    given = [name for name, value in said.items() if value is not None]
    if len(given) > 1 and not (
        given == ["return_text", "return_tensors"] and return_text is not return_tensors
    ):
        raise ValueError(f"{' and '.join(given)} contradict each other: give one")
    if return_type is not None:
        return return_type if isinstance(return_type, ReturnType) else ReturnType(return_type)
    if return_full_text is not None:
        return ReturnType.FULL_TEXT if return_full_text else ReturnType.NEW_TEXT
    if return_tensors:
        return ReturnType.TENSORS
    return None if return_text is None else ReturnType.NEW_TEXT if return_text else ReturnType.TENSORS


class TextGenerationPipeline(WritingPipeline):
    """Goes on with texts and chats: `pipeline("text-generation")`.

        pipe("Once upon a time")              [{"generated_text": "Once upon a time there was ..."}]
        pipe(["a text", "another"])           [[{"generated_text": ...}], [{...}]]
        pipe([{"role": "user", "content": "Hello"}])
            [{"generated_text": [{...}, {"role": "assistant", "content": ...}]}]

    Unless the model's own settings say otherwise, at most 256 new tokens are sampled at a temperature of 0.7.
    Several prompts go on side by side, `batch_size` at most, and the next joins when a text has ended.

    Args:
        model: a decoder with a head for the next token.
        tokenizer: its tokenizer.
        **kwargs: those of `WritingPipeline`, and as defaults for every call:

            return_full_text: the prompt too (default), or the new text alone.
            return_tensors: token ids in place of text, as `generated_token_ids`.
            return_text: the new text alone; False for token ids.
            prefix: stands before every prompt, and is left out of the answer.
            stop_sequence: one string or several that end the text.
            handle_long_generation: "hole" cuts a prompt's beginning, so that the new tokens fit.
            continue_final_message: go on with the chat's last message rather than begin a new one.
            tools, documents: for the chat template.
            add_special_tokens, truncation, padding, tokenizer_encode_kwargs: for the tokenizer.
            clean_up_tokenization_spaces, skip_special_tokens: for decoding.
    """

    default_task: ClassVar[str] = "text-generation"
    defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}
    run_keywords: ClassVar[tuple[str, ...]] = (
        *("add_special_tokens", "clean_up_tokenization_spaces", "continue_final_message", "documents"),
        *("handle_long_generation", "padding", "prefix", "return_full_text", "return_tensors", "return_text"),
        *(
            "return_type",
            "skip_special_tokens",
            "stop_sequence",
            "tokenizer_encode_kwargs",
            "tools",
            "truncation",
        ),
    )

    def _sanitize_parameters(
        self,
        return_full_text: bool | None = None,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: Any = None,
        stop_sequence: Any = None,
        **given: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        before = (
            *(
                "add_special_tokens",
                "continue_final_message",
                "documents",
                "handle_long_generation",
                "padding",
            ),
            *("prefix", "tokenizer_encode_kwargs", "tools", "truncation"),
        )
        preprocess = {name: given.pop(name) for name in before if given.get(name) is not None}
        if preprocess.get("handle_long_generation") not in (None, _HOLE):
            raise ValueError(
                f"handle_long_generation is 'hole' or None, not {preprocess['handle_long_generation']!r}"
            )
        after = ("clean_up_tokenization_spaces", "skip_special_tokens")
        postprocess = {name: given.pop(name) for name in after if given.get(name) is not None}
        if "continue_final_message" in preprocess:
            postprocess["continue_final_message"] = preprocess["continue_final_message"]
        kind = return_type_of(return_type, return_full_text, return_text, return_tensors)
        if kind is not None:
            postprocess["return_type"] = kind
        given = {name: value for name, value in given.items() if name not in (*before, *after)}
        forward = self._settings(given)
        if stop_sequence is not None:
            forward["stop_strings"] = (
                [stop_sequence] if isinstance(stop_sequence, str) else list(stop_sequence)
            )
        if preprocess.get("handle_long_generation") or preprocess.get("truncation"):
            preprocess["settings"] = forward
        return preprocess, forward, postprocess

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list | tuple) and not is_chat(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        if isinstance(item, str) or is_chat(item):
            return item
        where = "" if index is None else f"input {index}: "
        raise TypeError(
            f"{where}a prompt is a string, or a chat (a list of messages with 'role' and 'content'), "
            f"not {type(item).__name__}"
        )

    def preprocess(
        self,
        inputs: Any,
        prefix: str | None = None,
        handle_long_generation: str | None = None,
        add_special_tokens: bool | None = None,
        truncation: Any = None,
        padding: Any = None,
        continue_final_message: bool | None = None,
        tokenizer_encode_kwargs: Mapping[str, Any] | None = None,
        tools: Any = None,
        documents: Any = None,
        settings: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """A prompt's tokens, [1, T], and the prompt."""
        prompt_text = inputs
        options = {"add_special_tokens": add_special_tokens, "truncation": truncation, "padding": padding}
        options = {name: value for name, value in options.items() if value is not None}
        if truncation and (settings or {}).get("max_length") is not None:
            options["max_length"] = (settings or {})["max_length"]
        options |= dict(tokenizer_encode_kwargs or {})
        if is_chat(prompt_text):
            options.pop("add_special_tokens", None)  # the template writes them
            open_ended = goes_on(prompt_text, continue_final_message)
            found = dict(
                self.tokenizer.apply_chat_template(
                    list(prompt_text),
                    add_generation_prompt=not open_ended,
                    continue_final_message=open_ended,
                    return_dict=True,
                    return_tensors="pt",
                    tools=tools,
                    documents=documents,
                    **options,
                )
            )
        else:
            before = self.prefix if prefix is None else prefix
            found = dict(self.tokenizer(before + prompt_text, return_tensors="pt", **options))
        if not self._reads_types():
            found.pop("token_type_ids", None)
        if handle_long_generation == _HOLE:
            found = self._cut(found, settings or {})
        return {**found, "prompt_text": prompt_text}

    def _reads_types(self) -> bool:
        return bool(getattr(self.model.config, "type_vocab_size", 0))

    def _cut(self, inputs: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out a prompt's beginning, so that as many tokens as are wanted can follow."""
        length = inputs["input_ids"].shape[1]
        wanted = {**self._filled(settings)}
        new = wanted.get("max_new_tokens")
        new = int(new if new is not None else wanted.get("max_length", 20) - length)
        room = self.tokenizer.model_max_length
        if new < 0 or room <= new:
            raise ValueError(
                f"{new} new tokens cannot follow where the model reads {room}: lower max_new_tokens"
            )
        if length + new <= room:
            return inputs
        return {name: value[:, -(room - new) :] for name, value in inputs.items()}

    def _forward(self, model_inputs: Any, **settings: Any) -> Any:
        """Generate; the sequences [B, returned, T]."""
        inputs = dict(model_inputs)
        prompt = inputs.pop("prompt_text", None)
        ids = inputs["input_ids"]
        empty = ids.shape[1] == 0
        found = self.model.generate(**({} if empty else inputs), **self._filled(settings))
        sequences = found if isinstance(found, torch.Tensor) else found.sequences
        rows = sequences.view(len(ids), -1, sequences.shape[1])
        return {"generated_sequence": rows, "input_ids": ids, "prompt_text": prompt}

    def _answers(self, items: list[Any], call: Call, first: int, done: Callable[[int], None]) -> list[Any]:
        """Answer prompts in order; on the decode engine where that gives what `generate` gives."""
        from formers.generation.batch_engine import ROWS, Together

        whole = all(
            getattr(getattr(self, name), "__func__", None) is getattr(TextGenerationPipeline, name)
            for name in ("_forward", "forward", "forward_batch", "run_single")
        )
        together = None
        if whole and len(items) > 1 and call.batch_size != 1:
            together = Together.offered(self.model, self._filled(call.forward), call.batch_size or ROWS)
        if together is None:
            return super()._answers(items, call, first, done)
        prepared = self._prepared(items, call, first)
        rows = [_ids_alone(one) for one in prepared]
        with self.device_placement():
            texts = iter(together.go_on([ids for ids in rows if ids is not None], done))
        found: list[Any] = []
        for one, ids in zip(prepared, rows, strict=True):
            text = None if ids is None else next(texts)
            if ids is None or text is None:  # what the engine does not read, or has no room for
                found += self._run([one], call)
                done(1)
                continue
            outputs = {"generated_sequence": text[None], "input_ids": ids[None], "prompt_text": None}
            found += self._step("postprocess")(outputs, [one], **call.postprocess)
        return found

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Generate for several prompts at once."""
        if len(prepared) == 1:
            return self.forward(prepared[0], **params)
        return self.forward({**self._beside(prepared), "prompt_text": None}, **params)

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """One answer for each prompt; what padded them for the batch is left out."""
        columns = outputs["input_ids"].shape[1]
        answers = []
        for i, one in enumerate(prepared):
            own = one["input_ids"]
            new = outputs["generated_sequence"][i : i + 1, :, columns:]  # [1, returned, new]
            if not own.shape[1]:  # nothing was given, so the first token is the model's own
                new = outputs["generated_sequence"][i : i + 1]
            whole = torch.cat((own[:, None].expand(-1, new.shape[1], -1).to(new), new), dim=2)
            answers.append(
                self.postprocess(
                    {"generated_sequence": whole, "input_ids": own, "prompt_text": one["prompt_text"]},
                    **params,
                )
            )
        return answers

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.FULL_TEXT,
        clean_up_tokenization_spaces: bool | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool | None = None,
        **_: Any,
    ) -> list[dict[str, Any]]:
        """One record for each text that was generated for a prompt."""
        options = {
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
            "skip_special_tokens": skip_special_tokens,
        }
        prompt, ids = model_outputs["prompt_text"], model_outputs["input_ids"]
        length = 0 if ids is None else ids.shape[1]
        records: list[dict[str, Any]] = []
        for sequence in model_outputs["generated_sequence"][0].tolist():
            if return_type is ReturnType.TENSORS:
                records.append({"generated_token_ids": sequence})
                continue
            text = self._decoded(sequence[length:], options)
            full = return_type is ReturnType.FULL_TEXT
            if full and is_chat(prompt):
                records.append({"generated_text": answered(prompt, text, continue_final_message)})
            else:
                records.append({"generated_text": prompt + text if full else text})
        return records


def _ids_alone(prepared: Mapping[str, Any]) -> torch.Tensor | None:
    """A prompt's tokens, [T], where it is nothing else and not empty."""
    ids, mask = prepared["input_ids"], prepared.get("attention_mask")
    if set(prepared) - {"input_ids", "attention_mask", "prompt_text"} or len(ids) != 1:
        return None
    found: torch.Tensor = ids[0] if mask is None else ids[0][mask[0] != 0]
    return found if len(found) else None


def is_chat(item: Any) -> bool:
    """Whether an input is a list of messages."""
    if not isinstance(item, list | tuple) or not item:
        return False
    return all(isinstance(one, Mapping) and "role" in one for one in item)


def goes_on(chat: Sequence[Mapping[str, Any]], told: bool | None) -> bool:
    """Whether the last message is gone on with: where it is the assistant's, unless told otherwise."""
    return chat[-1]["role"] == "assistant" if told is None else told


def answered(chat: Sequence[Mapping[str, Any]], text: str, told: bool | None) -> list[dict[str, Any]]:
    """The chat with the answer as its last message, or behind what that held."""
    messages = [dict(message) for message in chat]
    if not goes_on(chat, told):
        return [*messages, {"role": "assistant", "content": text}]
    content = messages[-1]["content"]
    if isinstance(content, str):
        return [*messages[:-1], {**messages[-1], "content": content + text}]
    grown = [*content[:-1], {**content[-1], "text": content[-1]["text"] + text}]
    return [*messages[:-1], {**messages[-1], "content": grown}]
