"""Text while it is written."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pytest
import torch
from transformers import TextStreamer as TheirTextStreamer

from formers.generation.streamers import (
    AsyncTextIteratorStreamer,
    BaseStreamer,
    RunningText,
    TextIteratorStreamer,
    TextStreamer,
)
from generation.small_tokenizers import KINDS, TEXTS, pair

LONG = " ".join(TEXTS) * 3


def feed(streamer: Any, ids: list[int], prompt: int = 3) -> None:
    streamer.put(torch.tensor([ids[:prompt]]))
    for token in ids[prompt:]:
        streamer.put(torch.tensor([token]))
    streamer.end()


def collected(kind: Any, *arguments: Any, **keywords: Any) -> tuple[Any, list[str]]:
    pieces: list[str] = []

    class Collector(kind):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            pieces.append(text + ("|" if stream_end else ""))

    return Collector(*arguments, **keywords), pieces


@pytest.mark.parametrize("skip_prompt", [False, True])
def test_words_come_when_the_reference_gives_them(skip_prompt: bool) -> None:
    mine, other = pair("byte-level")
    ids = mine(LONG)["input_ids"]
    streamer, pieces = collected(TextStreamer, mine, skip_prompt=skip_prompt)
    reference, expected = collected(TheirTextStreamer, other, skip_prompt=skip_prompt)
    for _ in range(2):  # a streamer is good for another text
        feed(streamer, ids)
        feed(reference, ids)
    assert pieces == expected


@pytest.mark.parametrize("kind", KINDS)
def test_all_pieces_together_are_the_decoded_text(kind: str) -> None:
    tokenizer, _ = pair(kind)
    ids = [*tokenizer(LONG)["input_ids"], tokenizer.eos_token_id]
    for keywords in ({}, {"skip_special_tokens": True}):
        streamer, pieces = collected(TextStreamer, tokenizer, **keywords)
        feed(streamer, ids)
        assert "".join(pieces)[:-1] == tokenizer.decode(ids, **keywords)


def test_ids_that_are_no_text_are_given_at_the_end() -> None:
    tokenizer, _ = pair("byte-level")
    ids = tokenizer("中文字符" * 30)["input_ids"]
    broken = [token for token in ids if "\ufffd" in tokenizer.decode([token])][:1] * 90
    streamer, pieces = collected(TextStreamer, tokenizer)
    feed(streamer, broken)
    assert "".join(pieces)[:-1] == tokenizer.decode(broken)


def test_the_work_for_a_token_does_not_grow_with_the_text() -> None:
    tokenizer, _ = pair("byte-level")
    longest = 0

    class Counting:
        def decode(self, ids: list[int], **keywords: Any) -> str:
            nonlocal longest
            longest = max(longest, len(ids))
            return str(tokenizer.decode(ids, **keywords))

    running = RunningText(Counting())
    ids = tokenizer("x" * 2000)["input_ids"]  # one word: nothing of it is printed before the end
    assert "".join([*(running.add([token]) for token in ids), running.end()]) == "x" * 2000
    assert longest < 50


def test_text_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer, _ = pair("byte-level")
    feed(TextStreamer(tokenizer), tokenizer("the last stop")["input_ids"])
    assert capsys.readouterr().out == "the last stop\n"


def test_several_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="TextStreamer shows one text, not 2"):
        TextStreamer(pair("byte-level")[0]).put(torch.zeros(2, 3, dtype=torch.int64))


def test_a_reader_in_another_thread_gets_all() -> None:
    tokenizer, _ = pair("byte-level")
    streamer = TextIteratorStreamer(tokenizer, timeout=30)
    writer = threading.Thread(target=feed, args=(streamer, tokenizer(LONG)["input_ids"]))
    writer.start()
    assert "".join(streamer) == LONG
    writer.join()


def test_an_error_of_the_writer_reaches_the_reader_behind_the_text() -> None:
    tokenizer, _ = pair("byte-level")
    streamer = TextIteratorStreamer(tokenizer, timeout=30)
    streamer.put(torch.tensor([tokenizer("the stop")["input_ids"]]))
    streamer.fail(MemoryError("no room"))
    assert "".join([next(streamer), next(streamer)]) == "the stop"
    with pytest.raises(MemoryError, match="no room"):
        next(streamer)


def test_a_reader_that_goes_away_is_known_to_the_writer() -> None:
    streamer = TextIteratorStreamer(pair("byte-level")[0], timeout=0.01)
    with pytest.raises(queue.Empty):
        next(streamer)
    assert not streamer.closed
    with streamer:
        assert not streamer.closed
    assert streamer.closed


def test_an_event_loop_reads_what_a_thread_writes() -> None:
    tokenizer, _ = pair("byte-level")
    ids = tokenizer(LONG)["input_ids"]

    async def read(fails: bool) -> str:
        streamer = AsyncTextIteratorStreamer(tokenizer, timeout=30)

        def write() -> None:
            if fails:
                streamer.fail(MemoryError("no room"))
            else:
                feed(streamer, ids)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            return "".join([text async for text in streamer])
        finally:
            writer.join()

    assert asyncio.run(read(fails=False)) == LONG
    with pytest.raises(MemoryError, match="no room"):
        asyncio.run(read(fails=True))


def test_a_reader_that_is_cancelled_or_whose_loop_is_closed_went_away() -> None:
    tokenizer, _ = pair("byte-level")

    async def cancelled() -> AsyncTextIteratorStreamer:
        streamer = AsyncTextIteratorStreamer(tokenizer)
        task = asyncio.ensure_future(streamer.__anext__())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return streamer

    async def left() -> AsyncTextIteratorStreamer:
        return AsyncTextIteratorStreamer(tokenizer)

    assert asyncio.run(cancelled()).closed
    streamer = asyncio.run(left())
    assert not streamer.closed
    streamer.end()
    assert streamer.closed


def test_a_reader_on_an_event_loop_does_not_wait_for_ever() -> None:
    async def read() -> None:
        await AsyncTextIteratorStreamer(pair("byte-level")[0], timeout=0.01).__anext__()

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(read())


def test_a_streamer_of_ones_own_needs_two_methods() -> None:
    class Own(BaseStreamer):
        pass

    for call in (lambda: Own().put(None), Own().end):
        with pytest.raises(NotImplementedError, match="Own has to define"):
            call()
    Own().fail(ValueError())
    assert not Own().closed
