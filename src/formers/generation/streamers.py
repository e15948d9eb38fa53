"""Text while it is being written: printed, or handed to a reader in another thread or on an event loop."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

_KEPT = 8  # tokens that are decoded once more: what is before them changes no text behind them
_MANY = 32
_BROKEN = "\ufffd"  # what decoders write for part of a character


class BaseStreamer:
    """What `generate` gives new tokens to. Subclasses define `put` and `end`."""

    _closed = False

    def put(self, value: Any) -> None:
        """Take ids: first the prompt's, [1, T], then those of each step, [1]."""
        raise NotImplementedError(f"{type(self).__name__} has to define put(value)")

    def end(self) -> None:
        """Nothing more comes."""
        raise NotImplementedError(f"{type(self).__name__} has to define end()")

    def fail(self, error: BaseException) -> None:
        """The work broke off with `error`, which whoever called `generate` gets."""

    def close(self) -> None:
        """Nobody reads any more: the work may stop."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether the reader went away."""
        return self._closed


class RunningText:
    """The text of ids that come one after another. The work is linear in their number.

    Args:
        tokenizer: has `decode`.
        decode_kwargs: what it is called with.
    """

    def __init__(self, tokenizer: Any, **decode_kwargs: Any) -> None:
        self.tokenizer = tokenizer
        self.decode_kwargs = decode_kwargs
        self.broken = False  # whether the last id ends within a character
        self._ids: list[int] = []
        self._given = 0  # characters of their text that were returned
        self._limit = _MANY

    def add(self, ids: list[int]) -> str:
        """The text that is certain now and was not before."""
        self._ids += ids
        text = self._decode(self._ids)
        certain = text.rstrip(_BROKEN)
        self.broken = len(certain) < len(text)
        new = certain[self._given :]
        self._given = max(self._given, len(certain))
        if len(self._ids) >= self._limit and not self.broken:
            self._forget(text)
        return new

    def end(self) -> str:
        """What is left, parts of characters too; then all is as at the beginning."""
        rest = self._decode(self._ids)[self._given :] if self._ids else ""
        self._ids, self._given, self._limit, self.broken = [], 0, _MANY, False
        return rest

    def _forget(self, text: str) -> None:
        """Keep the last ids whose own text ends `text`: the ones before say nothing about what follows."""
        for kept in range(_KEPT, 2 * _KEPT):
            end = self._decode(self._ids[-kept:])
            if end and text.endswith(end):
                self._ids, self._given, self._limit = self._ids[-kept:], len(end), _MANY
                return
        self._limit = 2 * len(self._ids)

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, **self.decode_kwargs))


# Unicode's blocks of characters that are words of their own
_IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class TextStreamer(BaseStreamer):
    """Prints a text word by word while it is written.

    Args:
        tokenizer: has `decode`.
        skip_prompt: leave out the prompt.
        decode_kwargs: for `decode`, such as `skip_special_tokens=True`.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        self.next_tokens_are_prompt = True
        self._text = RunningText(tokenizer, **decode_kwargs)
        self._waiting = ""  # text of a word that may go on

    def put(self, value: Any) -> None:
        """Take ids, [T] or [1, T].

        Raises:
            ValueError: there are several rows.
        """
        if value.ndim > 1:
            if value.shape[0] > 1:
                raise ValueError(
                    f"{type(self).__name__} shows one text, not {value.shape[0]}: stream them one by one"
                )
            value = value[0]
        prompt, self.next_tokens_are_prompt = self.next_tokens_are_prompt, False
        if prompt and self.skip_prompt:
            return
        text = self._waiting + self._text.add(value.tolist())
        whole = not self._text.broken and (text.endswith("\n") or _is_ideograph(text[-1:]))
        cut = len(text) if whole else text.rfind(" ") + 1
        self._waiting = text[cut:]
        self.on_finalized_text(text[:cut])

    def end(self) -> None:
        """Give what is left, and be ready for another text."""
        self.on_finalized_text(self._rest(), stream_end=True)

    def fail(self, error: BaseException) -> None:
        """Give what is left."""
        self.on_finalized_text(self._rest())

    def _rest(self) -> str:
        text, self._waiting = self._waiting + self._text.end(), ""
        self.next_tokens_are_prompt = True
        return text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print text that is certain; subclasses do what they like with it."""
        print(text, end="\n" if stream_end else "", flush=True)


def _is_ideograph(character: str) -> bool:
    return bool(character) and any(first <= ord(character) <= last for first, last in _IDEOGRAPHS)


class _Queued(TextStreamer):
    """Puts texts into a queue, with a signal behind the last, for a reader elsewhere."""

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.stop_signal: Any = None
        self.timeout = timeout

    def _send(self, value: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no queue")

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Put text, and at the end the signal for it, into the queue."""
        self._send(text)
        if stream_end:
            self._send(self.stop_signal)

    def fail(self, error: BaseException) -> None:
        """Give what is left, then `error`."""
        super().fail(error)
        self._send(error)


class TextIteratorStreamer(_Queued):
    """Texts for a reader in another thread: `for text in streamer`.

    An error of the thread that writes is raised in the one that reads. A reader that stops early calls
    `close()`, or reads inside `with streamer:`; then the writing stops.

    Args:
        tokenizer: has `decode`.
        skip_prompt: leave out the prompt.
        timeout: seconds that the reader waits before `queue.Empty` is raised; None waits for ever.
        decode_kwargs: for `decode`.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, timeout, **decode_kwargs)
        self.text_queue: queue.Queue[Any] = queue.Queue()

    def _send(self, value: Any) -> None:
        self.text_queue.put(value, timeout=self.timeout)

    def __iter__(self) -> TextIteratorStreamer:
        return self

    def __next__(self) -> str:
        try:
            value = self.text_queue.get(timeout=self.timeout)
        except KeyboardInterrupt:
            self.close()
            raise
        if value is self.stop_signal:
            raise StopIteration
        if isinstance(value, BaseException):
            raise value
        return str(value)

    def __enter__(self) -> TextIteratorStreamer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncTextIteratorStreamer(_Queued):
    """Texts for a reader on the event loop that runs when this is made: `async for text in streamer`.

    As `TextIteratorStreamer`; a reader whose task is cancelled, or whose loop is closed, went away.

    Args:
        tokenizer: has `decode`.
        skip_prompt: leave out the prompt.
        timeout: seconds that the reader waits before a TimeoutError; None waits for ever.
        decode_kwargs: for `decode`.

    Raises:
        RuntimeError: no event loop runs.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, timeout, **decode_kwargs)
        self.text_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()

    def _send(self, value: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(self.text_queue.put_nowait, value)
        except RuntimeError:  # the loop is closed
            self.close()

    def __aiter__(self) -> AsyncTextIteratorStreamer:
        return self

    async def __anext__(self) -> str:
        try:
            value = await asyncio.wait_for(self.text_queue.get(), self.timeout)
        except asyncio.CancelledError:
            self.close()
            raise
        if value is self.stop_signal:
            raise StopAsyncIteration
        if isinstance(value, BaseException):
            raise value
        return str(value)

    async def __aenter__(self) -> AsyncTextIteratorStreamer:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()
