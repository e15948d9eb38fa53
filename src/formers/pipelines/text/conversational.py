"""Conversations that go on from call to call, as older releases had them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from formers.core.notices import notice
from formers.pipelines.text.generation import TextGenerationPipeline, is_chat


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
        return isinstance(inputs, list) and not is_chat(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        if is_chat(item):
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
