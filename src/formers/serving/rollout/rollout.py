"""The server of a registry: it follows the stages of versions while it runs, and loses no request over it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from formers.core.atomic import write_text
from formers.core.extras import need
from formers.desk.registry import Registry
from formers.serving.life import Life
from formers.serving.rollout.live import Live, loaded
from formers.serving.rollout.shadow import Pair, Shadow
from formers.serving.settings import Settings
from formers.serving.telemetry import merged

logger = logging.getLogger("formers.serving")

LOOK = 0.25  # seconds between two looks at the registry's file
_PAST, _EVENTS = 10, 20  # versions and events that the page still shows
_KEY = b"x-rollout-key"
_LARGEST = 1 << 64

Key = tuple[str, bool]  # name of a version, and whether it is loaded as a shadow
Make = Callable[[Path, Settings], Life]  # a folder -> its server


@dataclass(frozen=True)
class Routing:
    """Who answers."""

    current: Live
    candidate: Live | None = None
    share: float = 0.0
    shadow: Shadow | None = None

    def shares(self) -> list[tuple[Live, float]]:
        """Those whose answers are sent, and their shares."""
        if self.candidate is None:
            return [(self.current, 1.0)]
        return [(self.current, 1 - self.share), (self.candidate, self.share)]

    def lives(self) -> list[Live]:
        """All that are asked."""
        return [*(one for one, _ in self.shares()), *([self.shadow.live] if self.shadow is not None else [])]


class Rollout(Life):
    """What answers for a registry.

    The current version is loaded at once, others beside what answers meanwhile. A version that cannot be
    loaded gets no request: who answered before goes on, and the page and the log say why.

    Args:
        registry: of the versions.
        settings: limits and places; each version's server has them.
        make: makes a server of a version's folder.

    Raises:
        RegistryError: there is no current version, or its files are not what was added.
    """

    summary = "Versions of a model, behind one address."

    def __init__(self, registry: Registry, settings: Settings, make: Make) -> None:
        self.registry, self._make = registry, make
        self._seen = self._mark()
        self._state = registry.state()
        name = self._state.stages.current
        if name is None:
            raise ValueError(
                f"no version of {registry.path} is current: formers registry promote gives one that stage"
            )
        current = loaded(registry, name, lambda folder: make(folder, settings))
        super().__init__(settings, f"{name} ({current.version.hash[:19]})")
        self.routing = Routing(current)
        self._lives: dict[Key, Live] = {(name, False): current}
        self._loading: dict[Key, asyncio.Task[None]] = {}
        self.problems: dict[str, str] = {}
        self._past: deque[dict[str, Any]] = deque(maxlen=_PAST)
        self._leaving: list[Live] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._owed = 0.0  # requests that the candidate should have had
        self.metrics = _Page(self)

    def dress(self, app_of: Callable[[Life], Any]) -> None:
        """Make the applications of versions, of this one's and of those that come, by `app_of`."""
        self._app_of = app_of
        current = self.routing.current
        current.app = app_of(current.service)

    @property
    def queue(self) -> Any:
        """The human queue of the current version's server, where it has one."""
        return self.routing.current.service.queue  # type: ignore[attr-defined]  # none: AttributeError, as told

    # --- its life ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the files; once."""
        super().open()
        for (_, shadow), live in self._lives.items():
            self._join(live, shadow)

    def close(self) -> None:
        """Write what is waiting and close the files; again does nothing."""
        for live in self._all():
            live.service.close()
        super().close()

    async def start(self) -> None:
        """Start the current version, and follow the registry."""
        self.open()
        self._go(self._begin())

    async def _begin(self) -> None:
        try:
            await self.routing.current.begin()
        except RuntimeError as error:
            self._fail(str(error))
            return
        if self.state == "starting":
            self.state = "ready"
        self._settle()
        while self.state == "ready":
            await asyncio.sleep(LOOK)
            self._look()

    def begin_draining(self) -> None:
        """Refuse new requests from now on; those inside go on."""
        super().begin_draining()
        for live in self._all():
            live.service.begin_draining()

    async def drain(self) -> None:
        """Refuse new requests and finish what is held; again does nothing."""
        self.begin_draining()
        for task in [*self._loading.values(), *self._tasks]:
            task.cancel()
        self._end_shadow(self.routing.shadow)
        self.routing = replace(self.routing, shadow=None)
        await asyncio.gather(*(live.service.drain() for live in self._all()))

    async def stop(self) -> None:
        """Finish what is held, write what is waiting, close the files."""
        await self.drain()
        await asyncio.to_thread(self.close)

    def look_at_engine(self) -> None:
        """Notice a version whose engine died: the current one ends the server, others get no requests."""
        current = self.routing.current.service
        current.look_at_engine()
        if current.state == "failed" and self.state == "ready":
            self._fail(current.problem or "the engine failed")

    def refresh_gauges(self) -> None:
        """Set the gauges that are read, not counted."""
        for live in self.routing.lives():
            live.service.refresh_gauges()

    # --- following the registry --------------------------------------------------------------------------

    def _mark(self) -> tuple[int, int, int] | None:
        """What changes whenever the registry's file is replaced."""
        try:
            found = self.registry.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _look(self) -> None:
        mark = self._mark()
        if mark == self._seen:
            return
        self._seen = mark
        try:
            self._state = self.registry.state()
        except (OSError, ValueError) as error:
            self._say("registry", str(error))
            return
        self.problems.clear()
        self._settle()

    def _say(self, what: str, problem: str) -> None:
        self.problems[what] = problem
        logger.error("%s: %s", what, problem)

    def _settle(self) -> None:
        """Let those answer that should and can, load those that should and are not, let go of the rest."""
        stages = self._state.stages
        roles = ((stages.current, False), (stages.candidate, False), (stages.shadow, True))
        wanted = [(name, shadow) for name, shadow in roles if name is not None]
        for key in wanted:
            if key not in self._lives and key not in self._loading and key[0] not in self.problems:
                self._loading[key] = asyncio.ensure_future(self._load(key))
        find = self._lives.get
        current = find((stages.current or "", False)) or self.routing.current
        candidate = find((stages.candidate or "", False))
        shadow = find((stages.shadow or "", True))
        before = self.routing
        self.routing = Routing(
            current,
            candidate if candidate is not current else None,
            stages.share if candidate is not None else 0.0,
            self._shadow(shadow, current, before.shadow),
        )
        self.revision = f"{current.name} ({current.version.hash[:19]})"
        if before.lives() != self.routing.lives() or before.share != self.routing.share:
            self.log.write(time.time(), {"event": "stages", "stages": str(stages), "answers": current.name})
        for key, live in list(self._lives.items()):
            if key not in wanted and live not in self.routing.lives():
                del self._lives[key]
                self._go(self._retire(live))

    async def _load(self, key: Key) -> None:
        name, shadow = key
        settings = self.settings
        if shadow:  # nothing of it is seen: no log, no texts for a person
            settings = replace(settings, threshold=0.0, fallback="error", log_path=os.devnull)
        try:
            live = await asyncio.to_thread(
                loaded, self.registry, name, lambda folder: self._make(folder, settings)
            )
            live.app = await asyncio.to_thread(self._app_of, live.service)
            self._join(live, shadow)
            await live.begin()
        except Exception as error:  # whatever a model raises: the others go on
            self._say(name, f"cannot be loaded: {' '.join(str(error).split()) or type(error).__name__}")
        else:
            self._lives[key] = live
        finally:
            self._loading.pop(key, None)
        if self.state == "ready":
            self._settle()

    def _join(self, live: Live, shadow: bool) -> None:
        if not shadow:
            live.service.join(self)
        live.service.open()

    async def _retire(self, live: Live) -> None:
        """Let it answer what it holds, and stop it."""
        self._past.append({**live.told(), "stage": "past", "share": 0.0})
        self._leaving.append(live)
        self.routing.current.inherit(live)
        await live.end(self.settings.drain_timeout)
        self.routing.current.inherit(live)  # what it was still writing
        self._leaving.remove(live)

    def _all(self) -> list[Live]:
        return [*self._lives.values(), *self._leaving]

    def _shadow(self, live: Live | None, against: Live, before: Shadow | None) -> Shadow | None:
        if before is not None and before.live is live and before.against is against:
            return before
        self._end_shadow(before)
        return None if live is None else Shadow(live, against, self.settings.log_texts)

    def _end_shadow(self, shadow: Shadow | None) -> None:
        """Ask it no more, and keep its report in the registry."""
        if shadow is None:
            return
        shadow.close()
        report = shadow.report()
        name = f"shadow-{report['version']}-against-{report['against']}-{time.time_ns() // 10**6}.json"
        try:
            write_text(self.registry.path / "reports" / name, json.dumps(report, indent=1) + "\n")
        except OSError as error:  # a registry that the server may only read
            logger.warning("the report of a shadow cannot be kept: %s", error)

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- requests ----------------------------------------------------------------------------------------

    def choose(self, headers: dict[bytes, bytes]) -> Live:
        """Who answers a request: by its key, where it has one, else each in its turn.

        The same key has the same version for as long as the share does not shrink.
        """
        routing = self.routing
        candidate = routing.candidate
        if candidate is None or not candidate.ready:
            return routing.current
        key = headers.get(_KEY)
        if key is not None:
            digest = hashlib.sha256(candidate.version.hash.encode() + b"\0" + key).digest()
            chosen = int.from_bytes(digest[:8], "big") < routing.share * _LARGEST
            return candidate if chosen else routing.current
        self._owed += routing.share
        if self._owed < 1:
            return routing.current
        self._owed -= 1
        return candidate

    def keeper(self, number: str) -> Live | None:
        """Who keeps a response, and answers."""
        lives = (live for live, _ in self.routing.shares() if live.ready)
        return next((live for live in lives if live.keeps(number)), None)

    def compare(self, shadow: Shadow, pair: Pair) -> None:
        """Ask the shadow, if it still is one."""
        if self.routing.shadow is shadow:
            shadow.offer(pair)

    def told(self) -> dict[str, Any]:
        """What the page shows."""
        routing, state = self.routing, self._state
        shadow = routing.shadow
        stages = zip(("current", "candidate"), routing.shares(), strict=False)
        versions = [{**live.told(), "stage": stage, "share": share} for stage, (live, share) in stages]
        if shadow is not None:
            versions.append({**shadow.live.told(), "stage": "shadow", "share": 0.0})
        return {
            "registry": self.registry.path.resolve().name,
            "registry_revision": state.revision,
            "wanted": str(state.stages),
            "loading": sorted(name for name, _ in self._loading.copy()),
            "problems": dict(self.problems),
            "versions": [*versions, *reversed(self._past.copy())],
            "shadow": None if shadow is None else shadow.report(),
            "history": [*reversed(state.history[-_EVENTS:])],
        }


class _Page:
    """The metrics of all versions as one page, each sample with the name of its version."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._client = need("prometheus_client", "serve", "the /metrics page")

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return bytes(self._client.generate_latest(self)), str(self._client.CONTENT_TYPE_LATEST)

    def collect(self) -> Iterator[Any]:
        """Yield the families of all versions, as a registry of the client does."""
        from prometheus_client.core import GaugeMetricFamily

        routing = self._rollout.routing
        yield from merged("version", ((one.name, one.service.metrics.collect()) for one in routing.lives()))
        shares = GaugeMetricFamily("formers_rollout_share", "Share of the requests.", labels=["version"])
        for live, share in routing.shares():
            shares.add_metric([live.name], share)
        yield shares
        if routing.shadow is not None:
            report = routing.shadow.report()
            found = GaugeMetricFamily("formers_shadow_answers", "Answers compared, by how.", labels=["how"])
            for how in ("alike", "differ", "failed", "dropped"):
                found.add_metric([how], report[how])
            yield found


@contextlib.contextmanager
def counted(live: Live) -> Iterator[None]:
    """A request is inside."""
    live.inside += 1
    try:
        yield
    finally:
        live.inside -= 1
