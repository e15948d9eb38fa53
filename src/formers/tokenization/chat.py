"""Conversations to text and ids, by the templates that checkpoints bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formers.core.notices import did_you_mean, notice, refuse_unknown
from formers.tokenization import templates
from formers.tokenization.calls import Calls, RenderedChat
from formers.tokenization.encoding import BatchEncoding


class Chat(Calls):
    """The part of a tokenizer that writes conversations."""

    chat_template: str | dict[str, str] | None

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: Any = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a conversation as the model was trained to read it.

        Args:
            conversation: messages `{"role": ..., "content": ...}`, or a list of such lists.
            tools: functions, or their JSON schemas, that the model may call.
            documents: `{"title": ..., "text": ...}` to answer from.
            chat_template: a template, or the name of one of the tokenizer's; None takes the tokenizer's.
            add_generation_prompt: whether to open the assistant's turn at the end.
            continue_final_message: whether to leave the last message open, for the model to go on with; a
                string names the key of the message that goes on.
            tokenize: False returns the text. The text remembers that it is complete: encoding it later adds
                no second start token.
            padding: as in a call, and so are `truncation`, `max_length` and `return_tensors`.
            truncation: see `padding`.
            max_length: see `padding`.
            return_tensors: see `padding`.
            return_dict: True returns a BatchEncoding, which is a dictionary; False the ids alone (a list, or
                a tensor), as the ecosystem's version 4 did.
            return_assistant_tokens_mask: whether to return `assistant_masks`, 1 for each token that the
                assistant said; the template must mark it with `{% generation %}`.
            tokenizer_kwargs: further arguments of the call.
            **kwargs: variables for the template. One that it does not read is noticed; one that nearly spells
                an argument of this method is refused.

        Returns:
            A BatchEncoding, ids, or text (a list of texts for several conversations).

        Raises:
            ValueError: when there is no template, or the template refuses the conversation.
        """
        if return_assistant_tokens_mask and not (tokenize and return_dict):
            raise ValueError("return_assistant_tokens_mask=True needs tokenize=True and return_dict=True")
        source = self.get_chat_template(chat_template, tools)
        _check(source, add_generation_prompt, continue_final_message, return_assistant_tokens_mask)
        _check_variables(kwargs, source)
        conversations, batched = _conversations(conversation)
        variables = {
            **templates.plain(self.special_tokens_map),
            **templates.plain(kwargs),
            "tools": None if tools is None else [templates.schema(tool) for tool in tools],
            "documents": templates.check_documents(documents),
            "add_generation_prompt": add_generation_prompt,
        }
        rendered = [
            templates.render(
                source,
                chat,
                continue_final=continue_final_message,
                mark=return_assistant_tokens_mask,
                variables=variables,
            )
            for chat in conversations
        ]
        texts = [RenderedChat(chat.text) for chat in rendered]
        if not tokenize:
            return texts if batched else texts[0]
        found = self(
            texts if batched else texts[0],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
            **{"add_special_tokens": False, **(tokenizer_kwargs or {})},
        )
        if return_assistant_tokens_mask:
            _mask_assistant(found, rendered, batched or return_tensors is not None)
            found.convert_to_tensors(return_tensors)
        return found if return_dict else found["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """Return the text of a template: the given one, the one of that name, or the tokenizer's.

        With several templates and `tools`, the one named "tool_use" is taken.

        Raises:
            ValueError: when there is none.
        """
        own = self.chat_template
        if isinstance(own, dict):
            if chat_template is not None:
                return own.get(chat_template, chat_template)
            name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name not in own:
                raise ValueError(
                    "this tokenizer has several chat templates and none is the default: pass "
                    f"chat_template= with one of {sorted(own)}"
                )
            return own[name]
        if chat_template is not None:
            return chat_template
        if own is None:
            raise ValueError(
                "this tokenizer has no chat template: it belongs to a model that was not trained on "
                "conversations, or its template is lost. Pass chat_template=, or set "
                "tokenizer.chat_template"
            )
        return own

    def encode_message_with_chat_template(
        self,
        message: Mapping[str, Any],
        conversation_history: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Return the ids that one more message adds to a conversation.

        Args:
            message: the message.
            conversation_history: the messages before it.
            **kwargs: other arguments of `apply_chat_template`, except `add_generation_prompt`.
        """
        if "add_generation_prompt" in kwargs:
            raise ValueError("add_generation_prompt would not be part of the message: encode it by itself")
        history = list(conversation_history or ())
        whole: list[int] = self.apply_chat_template([*history, message], return_dict=False, **kwargs)
        if not history:
            return whole
        before: list[int] = self.apply_chat_template(history, return_dict=False, **kwargs)
        same = next((at for at, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), None)
        return whole[min(len(before), len(whole)) if same is None else same :]


def _check(source: str, opens: bool, goes_on: bool | str, masks: bool) -> None:
    """Refuse wishes that do not go together, and notice one that the template cannot fulfil."""
    if goes_on and opens:
        raise ValueError(
            "continue_final_message goes on with the last message, add_generation_prompt opens a new one: "
            "choose one"
        )
    if goes_on and masks:
        raise ValueError("continue_final_message and return_assistant_tokens_mask do not go together")
    if masks and not templates.marks_generation(source):
        notice(
            "return_assistant_tokens_mask=True, but this chat template has no {% generation %} blocks: the "
            "mask is all zeros",
        )


_ARGUMENTS = (
    "conversation",
    "tools",
    "documents",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "tokenize",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "tokenizer_kwargs",
)


def _check_variables(given: Mapping[str, Any], source: str) -> None:
    """Refuse misspelt arguments and notice variables that the template does not read."""
    if given.get("sanitize_control_tokens"):
        raise ValueError(
            "sanitize_control_tokens=True is not available: special tokens that users type are read as "
            "such. Take them out of the messages before (they are tokenizer.all_special_tokens)"
        )
    unread = [name for name in given if name not in templates.variables_of(source)]
    near = [name for name in unread if did_you_mean(name, _ARGUMENTS)]
    refuse_unknown(near, _ARGUMENTS, "apply_chat_template()")
    unread = [name for name in unread if name != "sanitize_control_tokens"]
    if unread:
        notice(f"this chat template does not read {unread}: passing them changes nothing")


def _conversations(given: Any) -> tuple[list[Any], bool]:
    """Tell one conversation from several."""
    if hasattr(given, "messages"):
        return [given], False
    given = list(given)
    if not given:
        raise ValueError("the conversation is empty: pass at least one message")
    if isinstance(given[0], (list, tuple)) or hasattr(given[0], "messages"):
        return given, True
    return [given], False


def _mask_assistant(found: BatchEncoding, rendered: list[templates.Rendered], rows: bool) -> None:
    """Put `assistant_masks` beside the ids: 1 for each token within what the assistant said."""
    ids = found["input_ids"] if rows else [found["input_ids"]]
    masks = []
    for row, chat in enumerate(rendered):
        mask = [0] * len(ids[row])
        for start, end in chat.spans:
            # Spaces at the ends may belong to no token, and a cut row lacks its end.
            first = _first_token(found, row, range(start, end))
            last = _first_token(found, row, range(end - 1, start - 1, -1))
            if first is not None and last is not None:
                mask[first : last + 1] = [1] * (last + 1 - first)
        masks.append(mask)
    found["assistant_masks"] = masks if rows else masks[0]


def _first_token(found: BatchEncoding, row: int, places: range) -> int | None:
    tokens = (found.char_to_token(row, place) for place in places)
    return next((token for token in tokens if token is not None), None)
