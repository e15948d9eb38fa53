"""The engine: what it batches, in which order it answers, what it refuses, and that nothing ever hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

from formers.serving.engine import Engine, OutOfTime, Overloaded, Stopping, Unsound
from system.serving_fake import FakeClassifier, expected


class Gated(FakeClassifier):
    """Holds the model until `gate` is set, so that a test decides what arrives meanwhile."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def run(self, prepared):
        self.entered.set()
        assert self.gate.wait(20)
        return super().run(prepared)


@contextlib.asynccontextmanager
async def started(classifier, **options):
    engine = Engine(classifier, **options)
    engine.start()
    try:
        yield engine
    finally:
        if isinstance(classifier, Gated):
            classifier.gate.set()
        await engine.drain(10)


def top(answers):
    return [answer.result[0] for answer in answers]


async def entered(classifier):
    await asyncio.to_thread(classifier.entered.wait, 10)


def run(test):
    return asyncio.run(asyncio.wait_for(test, 60))


def test_a_lone_text_is_answered_without_waiting_for_company():
    async def test():
        async with started(FakeClassifier()) as engine:
            assert top(await engine.submit(["alone"]).future) == [expected("alone")]

    run(test())


def test_a_partly_filled_batch_is_run_with_a_delay_too():
    async def test():
        async with started(FakeClassifier(), max_delay=0.05) as engine:
            assert top(await engine.submit(["alone"]).future) == [expected("alone")]

    run(test())


def test_company_that_comes_within_the_delay_shares_the_batch():
    async def test():
        fake = FakeClassifier()
        async with started(fake, max_delay=0.3, max_batch_tokens=9) as engine:
            await asyncio.gather(*(engine.submit([text]).future for text in ("one", "two", "three")))
        assert [sorted(batch) for batch in fake.batches] == [["one", "three", "two"]]

    run(test())


def test_what_arrives_while_the_model_computes_is_batched_and_the_lock_is_free():
    async def test():
        fake = Gated()
        async with started(fake) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            jobs = [
                engine.submit([f"later {number}"]) for number in range(10)
            ]  # returns: nobody holds the lock
            fake.gate.set()
            await asyncio.gather(first.future, *(job.future for job in jobs))
        assert [len(batch) for batch in fake.batches] == [1, 10]

    run(test())


def test_every_answer_belongs_to_its_text_under_concurrency():
    async def test():
        async with started(FakeClassifier(), max_batch_tokens=64) as engine:

            async def ask(number):
                texts = [f"text {number} {'word ' * ((number * 7 + i) % 23)}" for i in range(number % 5 + 1)]
                await asyncio.sleep(number % 7 / 1000)
                assert top(await engine.submit(texts).future) == [expected(text) for text in texts]

            await asyncio.gather(*(ask(number) for number in range(400)))
        assert engine.queued_requests == 0
        assert engine.queued_tokens == 0

    run(test())


def test_batches_keep_to_the_token_budget_and_are_sorted_by_length():
    async def test():
        fake = Gated()
        async with started(fake, max_batch_tokens=20, max_batch_items=4) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            job = engine.submit([f"{'w ' * (number % 9)}{number}" for number in range(40)])
            fake.gate.set()
            await asyncio.gather(first.future, job.future)
        for batch in fake.batches[1:]:
            lengths = [2 + len(text.split()) for text in batch]
            assert sum(lengths) <= 20
            assert len(lengths) <= 4
            assert lengths == sorted(lengths, reverse=True)
        assert sum(len(batch) for batch in fake.batches) == 41

    run(test())


def test_the_longest_waiting_text_is_in_the_next_batch():
    async def test():
        fake = Gated()
        async with started(fake, max_batch_tokens=12) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            short = engine.submit(["short"])
            long = engine.submit([f"{'w ' * 9}{number}" for number in range(8)])
            fake.gate.set()
            await asyncio.gather(first.future, short.future, long.future)
        assert "short" in fake.batches[1]

    run(test())


def test_beyond_its_requests_it_refuses_and_then_recovers():
    async def test():
        fake = Gated()
        async with started(fake, max_queued_requests=3) as engine:
            jobs = [engine.submit([f"job {number}"]) for number in range(3)]
            with pytest.raises(Overloaded) as refused:
                engine.submit(["one too many"])
            assert refused.value.retry_after >= 1
            fake.gate.set()
            await asyncio.gather(*(job.future for job in jobs))
            assert top(await engine.submit(["now"]).future) == [expected("now")]

    run(test())


def test_beyond_its_tokens_it_refuses_but_an_empty_engine_takes_any_request():
    async def test():
        fake = Gated()
        async with started(fake, max_queued_tokens=50) as engine:
            big = engine.submit(["word " * 60] * 4)
            with pytest.raises(Overloaded, match="tokens"):
                engine.submit(["small"])
            fake.gate.set()
            assert len(await big.future) == 4

    run(test())


def test_the_backlog_of_others_keeps_out_no_short_text_but_a_second_one():
    async def test():
        fake = Gated()
        async with started(fake, max_queued_tokens=50) as engine:
            big = engine.submit(["word " * 60] * 4, client=("a", 1))
            short = engine.submit(["small"], client=("a", 2))
            for texts, client in ((["small"], ("a", 2)), (["word " * 60] * 40, ("a", 3))):
                with pytest.raises(Overloaded, match="tokens"):
                    engine.submit(texts, client=client)
            fake.gate.set()
            assert len(await big.future) == 4
            assert len(await short.future) == 1

    run(test())


def test_the_time_to_come_back_follows_the_measured_rate():
    async def test():
        async with started(FakeClassifier()) as engine:
            assert engine.retry_after() == 1
            engine._tokens_per_second, engine.queued_tokens = 100.0, 1450
            assert engine.retry_after() == 15
            engine.queued_tokens = 0

    run(test())


def test_a_job_out_of_time_is_told_so_and_never_run():
    async def test():
        fake = Gated()
        async with started(fake) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            late = engine.submit(["late"], timeout=0.02)
            with pytest.raises(OutOfTime):
                await late.future
            assert engine.queued_requests == 1
            fake.gate.set()
            await first.future
        assert fake.batches == [["first"]]

    run(test())


def test_a_dropped_job_is_not_computed():
    async def test():
        fake = Gated()
        async with started(fake) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            gone = engine.submit(["gone"])
            engine.drop(gone)
            assert gone.items == []  # they are not kept until the worker comes to it
            fake.gate.set()
            await first.future
            with pytest.raises(asyncio.CancelledError):
                await gone.future
        assert fake.batches == [["first"]]

    run(test())


@pytest.mark.parametrize("poison", ["boom", "untokenizable"])
def test_one_bad_text_fails_its_own_request_and_no_other(poison):
    async def test():
        fake = Gated()
        async with started(fake) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            good = [engine.submit([f"good {number}", "also good"]) for number in range(5)]
            bad = engine.submit(["fine", poison, "fine too"])
            fake.gate.set()
            await first.future
            for number, job in enumerate(good):
                assert top(await job.future) == [expected(f"good {number}"), expected("also good")]
            with pytest.raises((RuntimeError, ValueError), match=r"broke|tokenise"):
                await bad.future
            assert engine.queued_requests == 0

    run(test())


def test_a_classifier_that_loses_a_result_is_an_error_and_not_a_wrong_answer():
    class Loses(FakeClassifier):
        def run(self, prepared):
            return super().run(prepared)[1:]

    async def test():
        async with started(Loses()) as engine:
            with pytest.raises(RuntimeError, match="0 results for 1 texts"):
                await engine.submit(["text"]).future

    run(test())


@pytest.mark.parametrize(
    ("ranked", "words"),
    [
        ([("billing", float("nan")), ("other", float("nan"))], "nan as the confidence of 'billing'"),
        ([("billing", 0.9), ("other", float("nan"))], "nan as the confidence of 'other'"),
        ([("billing", 3.2), ("other", -1.0)], "3.2 as the confidence of 'billing'"),
        ([], "no score for any label"),
    ],
)
def test_what_is_no_probability_fails_its_own_request_and_no_other(ranked, words):
    class Gives(Gated):
        def run(self, prepared):
            answers = super().run(prepared)
            return [
                ranked if item.text == "odd" else answer
                for item, answer in zip(prepared, answers, strict=True)
            ]

    async def test():
        fake = Gives()
        async with started(fake) as engine:
            first = engine.submit(["first"])
            await entered(fake)
            good, bad = engine.submit(["good", "also good"]), engine.submit(["odd", "fine", "odd"])
            fake.gate.set()
            await first.future
            assert top(await good.future) == [expected("good"), expected("also good")]
            with pytest.raises(Unsound, match=words):
                await bad.future
            assert engine.queued_requests == 0
        assert len(fake.batches) == 2  # nothing was computed again to find the culprit

    run(test())


def test_draining_finishes_what_is_held_and_refuses_the_rest():
    async def test():
        fake = Gated()
        engine = Engine(fake)
        engine.start()
        job = engine.submit(["held"])
        await entered(fake)
        draining = asyncio.create_task(engine.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(Stopping):
            engine.submit(["new"])
        fake.gate.set()
        assert await draining
        assert top(await job.future) == [expected("held")]

    run(test())


def test_draining_gives_up_after_its_time():
    async def test():
        fake = Gated()
        engine = Engine(fake)
        engine.start()
        job = engine.submit(["held"])
        await entered(fake)
        threading.Timer(0.3, fake.gate.set).start()
        assert not await engine.drain(0.05)
        assert job.future.cancelled()

    run(test())


def test_an_engine_that_was_not_started_says_so():
    async def test():
        with pytest.raises(Stopping, match="not running"):
            Engine(FakeClassifier()).submit(["text"])

    run(test())


def test_a_broken_worker_fails_what_is_held_in_place_of_hanging():
    class Breaks(FakeClassifier):
        def prepare(self, texts):
            return [object() for _ in texts]  # no length: a defect that no request can be blamed for

    async def test():
        engine = Engine(Breaks())
        engine.start()
        job = engine.submit(["text"])
        with pytest.raises(Stopping, match="engine failed"):
            await job.future
        with pytest.raises(Stopping, match="engine failed"):
            engine.submit(["another"])
        await engine.drain(1)

    run(test())


def test_reports_of_each_pass_reach_the_observer():
    async def test():
        seen = []
        async with started(FakeClassifier(), observe=seen.append) as engine:
            await engine.submit(["two words", "one"]).future
            await asyncio.sleep(0)
        assert [(report.items, report.tokens) for report in seen] == [(2, 7)]
        assert 0 <= seen[0].seconds < time.perf_counter()

    run(test())


# --- shares ----------------------------------------------------------------------------------------


async def _order(jobs, **options):
    """Run the jobs (client, texts), all there at once, in passes of 16 tokens; the passes."""
    fake = Gated()
    async with started(fake, max_batch_tokens=16, **options) as engine:
        first = engine.submit(["first"])
        await entered(fake)
        held = [engine.submit(texts, client=client) for client, texts in jobs]
        fake.gate.set()
        await asyncio.gather(first.future, *(job.future for job in held))
    return fake.batches[1:]


def test_a_short_request_waits_for_no_backlog_of_another_connection(monkeypatch):
    monkeypatch.setattr("formers.serving.sharing.BURST", 8)
    heavy = [(("here", port), [f"{port} {number}" for number in range(40)]) for port in range(5)]
    batches = run(_order([*heavy, (("here", 99), ["short"])]))
    place = next(index for index, batch in enumerate(batches) if "short" in batch)
    assert place < 5
    assert len(batches) > 40


def test_what_is_left_of_the_model_goes_to_whoever_wants_more():
    batches = run(_order([(("here", 1), [f"one {number}" for number in range(40)]), (("here", 2), ["two"])]))
    assert len(batches) <= 12  # of four texts each, as far as the estimates were right


def test_many_connections_of_one_address_share_what_another_address_has_for_one(monkeypatch):
    monkeypatch.setattr("formers.serving.sharing.BURST", 8)
    many = [(("many", port), [f"many {number}" for number in range(20)]) for port in range(10)]
    batches = run(_order([*many, (("one", 1), [f"one {number}" for number in range(20)])]))
    last = max(index for index, batch in enumerate(batches) if any(text.startswith("one") for text in batch))
    before = [text for batch in batches[: last + 1] for text in batch]
    assert sum(text.startswith("many") for text in before) < 2.5 * 20


def test_clients_are_forgotten_when_they_have_been_away(monkeypatch):
    monkeypatch.setattr("formers.serving.sharing.RECENT", 0.0)

    async def test():
        async with started(FakeClassifier()) as engine:
            for port in range(50):
                await engine.submit(["text"], client=("here", port)).future
            assert len(engine._waiting._clients) <= 2

    run(test())
