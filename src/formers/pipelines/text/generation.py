"""Text generation: prompts and chats are gone on with; and conversations, in the older form."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch

from formers.core.notices import notice
from formers.pipelines.text.writing import ReturnType, WritingPipeline, return_type_of

_HOLE = "hole"


class TextGenerationPipeline(WritingPipeline):
    """Goes on with texts and chats: `pipeline("text-generation")`.

        pipe("Once upon a time")              [{"generated_text": "Once upon a time there was ..."}]
        pipe(["a text", "another"])           [[{"generated_text": ...}], [{...}]]
        pipe([{"role": "user", "content": "Hello"}])
            [{"generated_text": [{...}, {"role": "assistant", "content": ...}]}]

    Unless the model's own settings say otherwise, at most 256 new tokens are sampled at a temperature of 0.7.

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
        return isinstance(inputs, list | tuple) and not _is_chat(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        if isinstance(item, str) or _is_chat(item):
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
        if _is_chat(prompt_text):
            options.pop("add_special_tokens", None)  # the template writes them
            goes_on = _goes_on(prompt_text, continue_final_message)
            found = dict(
                self.tokenizer.apply_chat_template(
                    list(prompt_text),
                    add_generation_prompt=not goes_on,
                    continue_final_message=goes_on,
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
            if full and _is_chat(prompt):
                records.append({"generated_text": _answered(prompt, text, continue_final_message)})
            else:
                records.append({"generated_text": prompt + text if full else text})
        return records


def _is_chat(item: Any) -> bool:
    """Whether an input is a list of messages."""
    if not isinstance(item, list | tuple) or not item:
        return False
    return all(isinstance(one, Mapping) and "role" in one for one in item)


def _goes_on(chat: Sequence[Mapping[str, Any]], told: bool | None) -> bool:
    """Whether the last message is gone on with: where it is the assistant's, unless told otherwise."""
    return chat[-1]["role"] == "assistant" if told is None else told


def _answered(chat: Sequence[Mapping[str, Any]], text: str, told: bool | None) -> list[dict[str, Any]]:
    """The chat with the answer as its last message, or behind what that held."""
    messages = [dict(message) for message in chat]
    if _goes_on(chat, told):
        return [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + text}]
    return [*messages, {"role": "assistant", "content": text}]


class Conversation:
    """A conversation that goes on from call to call, as releases before 4.42 had it.

    Args:
        messages: a text of the user's, or messages.
        conversation_id: its number; drawn where there is none.
    """

    def __init__(self, messages: Any = None, conversation_id: Any = None, **older: Any) -> None:
        messages = older.pop("text", messages)
        self.uuid = conversation_id or uuid.uuid4()
        self.messages: list[dict[str, str]] = []
        before = older.pop("past_user_inputs", None) or []
        answers = older.pop("generated_responses", None) or []
        for i, text in enumerate(before):
            self.add_message({"role": "user", "content": text})
            if i < len(answers):
                self.add_message({"role": "assistant", "content": answers[i]})
        if older:
            raise TypeError(f"Conversation takes no {', '.join(older)}")
        if isinstance(messages, str):
            self.add_user_input(messages)
        else:
            for message in messages or ():
                self.add_message(message)

    def add_message(self, message: Mapping[str, str]) -> None:
        """Add a message.

        Raises:
            ValueError: for one without `role` and `content`, or with more.
        """
        if set(message) != {"role", "content"}:
            raise ValueError(f"a message has 'role' and 'content', not {sorted(message)}")
        self.messages.append(dict(message))

    def add_user_input(self, text: str, overwrite: bool = False) -> None:
        """Add what the user says; a message that waits for an answer is replaced, or kept with a notice."""
        if self.messages and self.messages[-1]["role"] == "user":
            if not overwrite:
                notice(
                    "the conversation holds a message that was not answered yet: overwrite=True replaces it"
                )
                return
            self.messages[-1]["content"] = text
            return
        self.add_message({"role": "user", "content": text})

    def append_response(self, response: str) -> None:
        """Add what the model says."""
        self.add_message({"role": "assistant", "content": response})

    def mark_processed(self) -> None:
        """Nothing is to be done: messages tell by their roles what was answered."""

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter(self.messages)

    def __getitem__(self, index: int) -> dict[str, str]:
        return self.messages[index]

    def __setitem__(self, key: int, value: dict[str, str]) -> None:
        self.messages[key] = value

    def __len__(self) -> int:
        return len(self.messages)

    def iter_texts(self) -> Iterator[tuple[bool, str]]:
        """(whether it is the user's, text) for every message."""
        return ((message["role"] == "user", message["content"]) for message in self.messages)

    @property
    def past_user_inputs(self) -> list[str]:
        """What the user said."""
        return [text for user, text in self.iter_texts() if user]

    @property
    def generated_responses(self) -> list[str]:
        """What the model said."""
        return [text for user, text in self.iter_texts() if not user]

    def __repr__(self) -> str:
        lines = [f"{message['role']}: {message['content']}" for message in self.messages]
        return "\n".join([f"Conversation id: {self.uuid}", *lines])


class ConversationalPipeline(TextGenerationPipeline):
    """Answers conversations: `pipeline("conversational")`.

        talk = Conversation("Hello!")
        pipe(talk).messages[-1]["content"]

    Args:
        model: a decoder, or an encoder-decoder.
        tokenizer: its tokenizer, with a chat template.
        **kwargs: as of `TextGenerationPipeline`.
    """

    default_task: ClassVar[str] = "conversational"
    defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 256}

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list) and not _is_chat(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        if _is_chat(item):
            return Conversation(list(item))
        if not isinstance(item, Conversation):
            raise TypeError(
                f"a conversation is a Conversation, or a list of messages, not {type(item).__name__}"
            )
        return item

    def preprocess(self, inputs: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """The tokens of a conversation."""
        return {**super().preprocess(list(inputs), *args, **options), "prompt_text": inputs}

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The conversations, each with its answer."""
        encodes = self.model.config.is_encoder_decoder
        start = 0 if encodes else outputs["input_ids"].shape[1]
        for i, one in enumerate(prepared):
            new = outputs["generated_sequence"][i, 0, start:].tolist()
            one["prompt_text"].append_response(self._decoded(new, {}))
        return [one["prompt_text"] for one in prepared]
