"""Conversations with pictures, as a processor reads them: its chat template, and what the messages show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from formers.core.jsonfile import read_json_object
from formers.tokenization.chat import ChatTemplate, choose, conversations_in
from formers.tokenization.encoder import RenderedChat
from formers.tokenization.templates import Rendered, variables_of

# kinds of parts -> the keys under which they bring what they show
SHOWN = {
    "image": ("image", "url", "path", "base64"),
    "video": ("video", "url", "path"),
    "audio": ("audio", "url", "path", "audio_url"),
}
OLDER_FILE = "chat_template.json"


class Chatting:
    """Processors that write conversations as their models read them."""

    tokenizer: Any
    feature_extractor: Any
    chat_template: str | dict[str, str] | None = None

    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """The text of a template: the given one, the one of that name, the processor's or the tokenizer's.

        Raises:
            ValueError: when there is none.
        """
        own = self.chat_template
        own = getattr(getattr(self, "tokenizer", None), "chat_template", None) if own is None else own
        if own is None and chat_template is None:
            raise ValueError(
                f"this {type(self).__name__} has no chat template: its model was not trained on "
                "conversations, or its template is lost. Pass chat_template=, or set "
                "processor.chat_template"
            )
        return choose(own, chat_template, tools)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        return_assistant_tokens_mask: bool = False,
        tokenize: bool = False,
        return_tensors: Any = None,
        return_dict: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a conversation as the model was trained to read it, and prepare what it shows.

        Args:
            conversation: messages `{"role": ..., "content": ...}`, or a list of such lists. A content is a
                text, or parts: `{"type": "text", "text": ...}`; `{"type": "image", ...}` with the picture
                under `image`, `url`, `path` or `base64`, or `{"type": "image_url", "image_url": {"url":
                ...}}`; `{"type": "video", ...}` with `video`, `url` or `path`; `{"type": "audio", ...}` with
                `audio`, `url`, `path` or `audio_url`.
            chat_template: a template, or the name of one of the processor's; None takes the processor's.
            tools: functions, or their JSON schemas, that the model may call.
            documents: `{"title": ..., "text": ...}` to answer from.
            add_generation_prompt: whether to open the assistant's turn at the end.
            continue_final_message: whether to leave the last message open; a string names its key.
            return_assistant_tokens_mask: whether to return `assistant_masks`, 1 for each token that the
                assistant said.
            tokenize: False returns the text; True reads the pictures too.
            return_tensors: "pt", "np", or None for lists.
            return_dict: with `tokenize`, all inputs of the model; False the ids alone.
            processor_kwargs: keywords of the processor's call.
            **kwargs: variables for the template; what it does not read is taken for keywords of the call.

        Returns:
            Text (a list of texts for several conversations), ids, or a BatchFeature.

        Raises:
            ValueError: when there is no template, the template refuses the conversation, or a message shows
                what this processor does not read.
        """
        given, batched = conversations_in(conversation)
        chats = [[_plain_parts(message) for message in getattr(one, "messages", one)] for one in given]
        films = any(any(True for _ in _shown(chat, "video")) for chat in chats)
        chat_template = self._film_template() if chat_template is None and films else chat_template
        source = self.get_chat_template(chat_template, tools)
        template = ChatTemplate(
            source,
            opens=add_generation_prompt,
            goes_on=continue_final_message,
            masks=return_assistant_tokens_mask,
        )
        read = variables_of(source)
        call = {name: kwargs.pop(name) for name in [*kwargs] if tokenize and name not in read}
        template.check_variables(kwargs, Chatting.apply_chat_template)
        named = {**self.tokenizer.special_tokens_map, **kwargs}
        rendered = template.write(chats, tools, documents, named)
        begin = self.tokenizer.bos_token
        whole = begin is not None and rendered[0].text.startswith(begin)
        texts = [RenderedChat(one.text) if whole else one.text for one in rendered]
        if not tokenize:
            return texts if batched else texts[0]
        call = {**call, **(processor_kwargs or {})}
        for kind, name in (("image", "images"), ("video", "videos"), ("audio", "audio")):
            shown = [[*_shown(chat, kind)] for chat in chats]
            if any(shown):
                if name not in self._read():
                    raise ValueError(f"a message holds a {kind} part, and {type(self).__name__} reads none")
                call[name] = shown if kind == "image" else [one for each in shown for one in each]
        if "audio" in call:  # arrays in messages are as the model hears them
            call.setdefault("sampling_rate", self.feature_extractor.sampling_rate)
        if return_tensors is not None:
            call["return_tensors"] = return_tensors
        if return_assistant_tokens_mask:
            call["return_offsets_mapping"] = True
        found, grown = self._called(texts if batched else texts[0], call)
        if return_assistant_tokens_mask:
            offsets = found.pop("offset_mapping")
            masks = [_said(row, one, more) for row, one, more in zip(offsets, rendered, grown, strict=True)]
            found["assistant_masks"] = masks
            found.convert_to_tensors(call.get("return_tensors"))
        return found if return_dict else found["input_ids"]

    def _read(self) -> tuple[str, ...]:
        """Names of what the call takes beside texts."""
        return ()

    def _film_template(self) -> str | None:
        """The template of conversations that show films, where they have another."""
        return None

    def _called(self, text: Any, call: dict[str, Any]) -> tuple[Any, list[list[tuple[int, int]]]]:
        """What the call gives, and for every text where it grew: (end of what stood there, characters)."""
        raise NotImplementedError(f"{type(self).__name__} reads no conversations")

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> list[str]:
        """The texts of what a model wrote, [B, T] ids; keywords are those of `batch_decode`."""
        texts: list[str] = self.tokenizer.batch_decode(
            generated_outputs, skip_special_tokens=skip_special_tokens, **kwargs
        )
        return texts


def template_beside(source: Any, said: Mapping[str, Any]) -> str | None:
    """The chat template in the files of a processor alone: its own entry, or the older file."""
    if said.get("chat_template") is not None:
        return said["chat_template"]  # type: ignore[no-any-return]
    older = source.find(OLDER_FILE)
    return None if older is None else read_json_object(older).get("chat_template")


def _plain_parts(message: Any) -> Any:
    """A message whose pictures are all spelt the same way."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, (list, tuple)):
        return message
    parts = []
    for part in content:
        if isinstance(part, Mapping) and part.get("type") == "image_url" and "image_url" in part:
            told = part["image_url"]
            part = {"type": "image", "url": told.get("url", "") if isinstance(told, Mapping) else told}
        parts.append(part)
    return {**message, "content": parts}


def _shown(chat: Sequence[Any], kind: str) -> Iterator[Any]:
    for message in chat:
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and part.get("type") == kind:
                yield from (part[key] for key in SHOWN[kind] if part.get(key) is not None)


def _said(offsets: Any, written: Rendered, grown: Sequence[tuple[int, int]]) -> list[int]:
    """1 for every token that overlaps what the assistant said, in a text that has grown since."""
    spans = [
        tuple(place + sum(more for end, more in grown if end <= place) for place in span)
        for span in written.spans
    ]
    return [
        int(any(start < last and end > first for first, last in spans))
        for start, end in (tuple(int(one) for one in pair) for pair in offsets)
    ]
