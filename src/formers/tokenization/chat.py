"""Conversations to text, by the templates that checkpoints bring."""

from __future__ import annotations

from formers.tokenization.calls import Calls


class Chat(Calls):
    """The part of a tokenizer that writes conversations."""

    chat_template: str | dict[str, str] | None
