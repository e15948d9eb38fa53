"""Conversations to text, by the templates that checkpoints bring."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from formers.core.notices import did_you_mean, notice, refuse_unknown
from formers.tokenization import templates
from formers.tokenization.encoding import BatchEncoding

# what packages call processors with: tokenizers read none of them, and none is another argument misspelt
_OF_PROCESSORS = {"audio_kwargs", "common_kwargs", "images_kwargs", "text_kwargs", "videos_kwargs"}


def choose(own: str | dict[str, str] | None, wanted: str | None, tools: Any) -> str:
    """Return the template that is wanted of a tokenizer's own; see its `get_chat_template`."""
    if isinstance(own, dict):
        if wanted is not None:
            return own.get(wanted, wanted)
        name = "tool_use" if tools is not None and "tool_use" in own else "default"
        if name not in own:
            raise ValueError(
                "this tokenizer has several chat templates and none is the default: pass "
                f"chat_template= with one of {sorted(own)}"
            )
        return own[name]
    if wanted is None and own is None:
        raise ValueError(
            "this tokenizer has no chat template: it belongs to a model that was not trained on "
            "conversations, or its template is lost. Pass chat_template=, or set "
            "tokenizer.chat_template"
        )
    return wanted if wanted is not None else str(own)


class ChatTemplate:
    """A template, and how it writes conversations.

    It `opens` the assistant's turn at the end, or `goes_on` with the last message (a string names the key),
    and `masks` what the assistant said.

    Raises:
        ValueError: for wishes that do not go together.
    """

    def __init__(self, source: str, *, opens: bool, goes_on: bool | str, masks: bool) -> None:
        self.source, self.opens, self.goes_on, self.masks = source, opens, goes_on, masks
        if goes_on and opens:
            raise ValueError(
                "continue_final_message goes on with the last message, add_generation_prompt opens a new "
                "one: choose one"
            )
        if goes_on and masks:
            raise ValueError("continue_final_message and return_assistant_tokens_mask do not go together")
        if masks and not templates.marks_generation(source):
            notice(
                "return_assistant_tokens_mask=True, but this chat template has no {% generation %} blocks: "
                "the mask is all zeros",
            )

    def check_variables(self, given: Mapping[str, Any], method: Any) -> None:
        """Refuse misspelt arguments of `method`, and notice variables that the template does not read."""
        if given.get("sanitize_control_tokens"):
            raise ValueError(
                "sanitize_control_tokens=True is not available: special tokens that users type are read as "
                "such. Take them out of the messages before (they are tokenizer.all_special_tokens)"
            )
        arguments = [name for name in inspect.signature(method).parameters if name not in ("self", "kwargs")]
        unread = [name for name in given if name not in templates.variables_of(self.source)]
        near = [name for name in unread if name not in _OF_PROCESSORS and did_you_mean(name, arguments)]
        refuse_unknown(near, arguments, "apply_chat_template()")
        unread = [name for name in unread if name != "sanitize_control_tokens"]
        if unread:
            notice(f"this chat template does not read {unread}: passing them changes nothing")

    def write(
        self,
        conversations: Sequence[Any],
        tools: Sequence[Any] | None,
        documents: Sequence[Any] | None,
        variables: Mapping[str, Any],
    ) -> list[templates.Rendered]:
        """Write conversations; `variables` are what the template sees beside them."""
        every = {
            **templates.plain(variables),
            "tools": None if tools is None else [templates.schema(tool) for tool in tools],
            "documents": templates.check_documents(documents),
            "add_generation_prompt": self.opens,
        }
        return [
            templates.render(self.source, chat, continue_final=self.goes_on, mark=self.masks, variables=every)
            for chat in conversations
        ]


def conversations_in(given: Any) -> tuple[list[Any], bool]:
    """Tell one conversation from several."""
    if hasattr(given, "messages"):
        return [given], False
    given = list(given)
    if not given:
        raise ValueError("the conversation is empty: pass at least one message")
    if isinstance(given[0], (list, tuple)) or hasattr(given[0], "messages"):
        return given, True
    return [given], False


def mask_assistant(found: BatchEncoding, rendered: list[templates.Rendered], rows: bool) -> None:
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
