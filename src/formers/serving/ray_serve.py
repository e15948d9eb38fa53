"""The server on Ray Serve: replicas of one model behind one address, with the engine and routes of `serve`.

Three deployments make an application. A `Front` takes every request, and asks another replica where one died
over it. Each `Replica` holds a model and the application of its server. `Pages` has the metrics of all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.extras import need
from formers.core.fields import option, read_fields
from formers.serving.run import StartupError, prepare_process
from formers.serving.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    Families = list[Any]  # metrics as prometheus_client collects them

logger = logging.getLogger("formers.serving")

ATTEMPTS = 5  # replicas that one request may ask: who dies again and again dies of it
_TELLS, _STALE = 1.0, 5.0  # seconds between two reports of a replica, and after which it counts as dead
_LOOK = 0.01  # seconds between two looks at a state
_REQUEST_ID = b"x-request-id"  # Serve's proxy says it
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SCOPE = (
    "type",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "headers",
    "client",
    "server",
)


@dataclass(frozen=True)
class Replicas:
    """How many replicas there are, and what each is given.

    Attributes:
        min_replicas: as many at least.
        max_replicas: as many at most; more than the least lets Serve follow the traffic.
        target_ongoing_requests: requests inside a replica that Serve aims at: above it, more are started. An
            engine answers what waits together, so that a small number wastes it.
        upscale_delay: seconds that the traffic stays above before more are started.
        downscale_delay: seconds that it stays below before some are drained and stopped.
        cpus: processors of a replica; its threads are as many.
        gpus: of a replica; a part of one lets replicas share it.
    """

    min_replicas: int = option(1, at_least=1)
    max_replicas: int = option(1, at_least=1)
    target_ongoing_requests: float = option(16.0, above=0)
    upscale_delay: float = option(10.0, at_least=0)
    downscale_delay: float = option(300.0, at_least=0)
    cpus: float = option(1.0, at_least=0)
    gpus: float = option(0.0, at_least=0)

    def __post_init__(self) -> None:
        read_fields(self, strict=True)
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas})"
            )

    def scaling(self) -> dict[str, Any]:
        """The same as Serve's `autoscaling_config`."""
        return {
            "min_replicas": self.min_replicas,
            "max_replicas": self.max_replicas,
            "target_ongoing_requests": self.target_ongoing_requests,
            "upscale_delay_s": self.upscale_delay,
            "downscale_delay_s": self.downscale_delay,
        }


class Pages:
    """The metrics of replicas as they last told them; those that tell nothing any more are dead."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[float, Families]] = {}

    def put(self, name: str, families: Families) -> None:
        """What a replica tells."""
        self._told[name] = self._clock(), families

    def forget(self, name: str) -> None:
        """A replica ends."""
        self._told.pop(name, None)

    def told(self) -> list[tuple[str, Families]]:
        """Replicas that live, with what they told."""
        oldest = self._clock() - _STALE
        return sorted((name, families) for name, (at, families) in self._told.items() if at >= oldest)


class Replica:
    """One model and its server, which answers requests that come as arguments.

    Args:
        model: what is served, as `serve` takes it.
        task: what it is served for.
        settings: limits and places.
        options: keywords of `pipeline`.
        pages: handle of `Pages`.
        name: what tells this replica from others.
    """

    def __init__(
        self,
        model: Any,
        task: str | None,
        settings: Settings,
        options: Mapping[str, Any] | None,
        pages: Any,
        name: str,
    ) -> None:
        from formers.serving.adapt import service_of
        from formers.serving.app import app_of

        prepare_process()
        self.name, self._pages = name, pages
        self.service = service_of(model, settings, task, options)
        self._app = app_of(self.service)
        self._life = contextlib.AsyncExitStack()
        self._inside: set[asyncio.Task[None]] = set()
        self._telling: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start the engine, and wait until it is warm.

        Raises:
            StartupError: the warm-up failed.
        """
        await self._life.enter_async_context(self._app.router.lifespan_context(self._app))
        while self.service.state == "starting":
            await asyncio.sleep(_LOOK)
        self.check_health()
        self._telling = asyncio.get_running_loop().create_task(self._tell_on())

    def check_health(self) -> None:
        """Let Serve put another replica into the place of one whose engine died.

        Raises:
            StartupError: it did.
        """
        self.service.look_at_engine()
        if self.service.state == "failed":
            raise StartupError(self.service.problem or "the server failed")

    async def end(self) -> None:
        """Finish what is held, and stop."""
        if self._telling is not None:
            self._telling.cancel()
        await self._life.aclose()
        await self._pages.forget.remote(self.name)

    async def tell(self) -> None:
        """Tell the metrics of now."""
        self.service.refresh_gauges()
        await self._pages.put.remote(self.name, [*self.service.metrics.collect()])

    async def _tell_on(self) -> None:
        while True:
            try:
                await self.tell()
            except Exception:  # `Pages` may be on its way to another machine: this one goes on
                logger.exception("the metrics cannot be told")
            await asyncio.sleep(_TELLS)

    async def answer(self, scope: dict[str, Any], body: bytes) -> AsyncIterator[Any]:
        """Answer one request: yields (status, headers), and then the body as it comes."""
        sent: asyncio.Queue[Any] = asyncio.Queue()
        gone, asked = asyncio.Event(), iter((body,))

        async def receive() -> dict[str, Any]:
            for whole in asked:
                return {"type": "http.request", "body": whole, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if gone.is_set():
                raise OSError("the client hung up")
            sent.put_nowait(message)

        async def run() -> None:
            try:
                await self._app({**scope, "asgi": {"version": "3.0"}}, receive, send)
            except Exception:  # of which an answer with status 500 tells
                logger.exception("the application failed")
            finally:
                sent.put_nowait(None)

        task = asyncio.get_running_loop().create_task(run())
        self._inside.add(task)  # a loop keeps no task alive by itself
        task.add_done_callback(self._inside.discard)
        try:
            while (message := await sent.get()) is not None:
                if message["type"] == "http.response.start":
                    yield message["status"], [*message["headers"], (b"x-replica", self.name.encode())]
                elif part := message.get("body"):
                    yield bytes(part)
        finally:
            gone.set()


class Front:
    """Takes requests, hands each to a replica, and to another one where that died before it answered.

    A request is asked again only where that changes nothing: all but what settles items of the human queue,
    and streams of which a part was sent. A text that a dead replica had put into the human queue before it
    could say so lies there twice then.

    Args:
        model: handle of the replicas, which streams.
        pages: handle of `Pages`.
        settings: limits of bodies.
        died: what is raised where a replica dies.
        away: what is raised where there is none, or none has room.
    """

    def __init__(
        self,
        model: Any,
        pages: Any,
        settings: Settings,
        died: tuple[type[BaseException], ...],
        away: tuple[type[BaseException], ...],
    ) -> None:
        self._model, self._pages, self._settings = model, pages, settings
        self._died, self._away = died, away
        client = need("prometheus_client", "serve", "the /metrics page")
        self._client, self._own = client, client.CollectorRegistry()
        said = "Requests that were asked again, for a replica died over them."
        self._again = client.Counter("formers_requests_again", said, registry=self._own)
        self._count = client.Gauge("formers_replicas", "Replicas that answer.", registry=self._own)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        from starlette.responses import Response

        from formers.serving.limits import Gone, Refusal, read_body

        if request.url.path == "/metrics" and request.method in ("GET", "HEAD"):
            return await self._metrics()
        most = max(self._settings.max_body_bytes, self._settings.max_media_bytes)
        try:
            heads = dict(request.scope["headers"])
            body = await read_body(request.receive, heads, self._settings, most)
            return await self._asked({key: request.scope.get(key) for key in _SCOPE}, body)
        except Refusal as refusal:
            return _refused(refusal, request.url.path)
        except Gone:
            return Response(status_code=499)

    async def _asked(self, scope: dict[str, Any], body: bytes) -> Response:
        """The answer of the first replica that lives through the request.

        Raises:
            Refusal: 503 where none does, or none is there.
        """
        from formers.serving.limits import Refusal

        again = scope["method"] in _SAFE or not scope["path"].startswith("/queue")
        for _ in range(ATTEMPTS if again else 1):
            try:
                return await self._answer(scope, body)
            except self._died:
                self._again.inc()
            except self._away as error:
                raise Refusal(503, f"no replica takes the request: {error}", retry_after=1) from error
        raise Refusal(503, "a replica died over the request", retry_after=1)

    async def _answer(self, scope: dict[str, Any], body: bytes) -> Response:
        from starlette.responses import Response, StreamingResponse

        parts = aiter(self._model.answer.remote(scope, body))
        status, heads = await anext(parts)
        if any(key == b"content-type" and value.startswith(b"text/event-stream") for key, value in heads):
            found: Response = StreamingResponse(parts, status)
        else:
            found = Response(b"".join([part async for part in parts]), status)
        found.raw_headers = [pair for pair in heads if pair[0] != _REQUEST_ID]
        return found

    async def _metrics(self) -> Response:
        from starlette.responses import Response

        from formers.serving.telemetry import merged

        told = await self._pages.told.remote()
        self._count.set(len(told))
        page = _Collected([*merged("replica", told), *self._own.collect()])
        return Response(
            self._client.generate_latest(page),
            headers={"content-type": str(self._client.CONTENT_TYPE_LATEST)},
        )


@dataclass(frozen=True)
class _Collected:
    """Families, as the client's pages want them."""

    families: Iterable[Any]

    def collect(self) -> Iterable[Any]:
        return self.families


def _refused(refusal: Any, path: str) -> Response:
    """A refusal in the form of the routes that it is of."""
    from starlette.responses import Response

    from formers.serving.classify import encoded
    from formers.serving.writing.values import error_of

    said = error_of(refusal) if path.startswith("/v1/") else {"detail": refusal.detail}
    return Response(encoded(said), refusal.status, refusal.headers, "application/json")


def application(
    model: Any,
    *,
    task: str | None = None,
    settings: Settings | None = None,
    options: Mapping[str, Any] | None = None,
    replicas: Replicas | None = None,
    **changes: Any,
) -> Any:
    """Make an application for `ray.serve.run`, or for a config file of Serve.

    Every path of files is made whole here; replicas on other machines find them on a disk that is shared.
    Where there may be several replicas no responses of `/v1/responses` are kept: a client that would go on
    from one sends the conversation.

    Args:
        model: the name or folder of a model, the folder of a registry, or a `Classifier` that can
            be pickled.
        task: what the model is served for, behind the Hub's Inference API; None for what its head says.
        settings: limits and places of each replica.
        options: keywords of `pipeline`, for a model that is named.
        replicas: how many, and what each is given.
        **changes: single settings, as in `application("router", threshold=0.8)`.

    Returns:
        A `ray.serve.Application`.

    Raises:
        MissingExtra: without Ray.
        TypeError: for an unknown setting.
        ValueError: for a setting out of range.
    """
    serve, errors = need("ray.serve", "ray", "replicas"), need("ray.serve.exceptions", "ray")
    died = need("ray.exceptions", "ray").RayActorError
    wanted, chosen = replicas or Replicas(), _placed(Settings.of(settings, **changes))
    if wanted.max_replicas > 1:
        chosen = replace(chosen, max_kept_responses=0)
    if isinstance(model, (str, Path)) and Path(model).expanduser().exists():
        model = str(Path(model).expanduser().resolve())

    class Model(Replica):
        """A `Replica` as Serve makes and ends one."""

        async def __init__(self, pages: Any) -> None:  # type: ignore[misc]  # Serve awaits it
            super().__init__(model, task, chosen, options, pages, serve.get_replica_context().replica_tag)
            await self.begin()

        async def __del__(self) -> None:
            await self.end()

    small = {"ray_actor_options": {"num_cpus": 0}, "health_check_period_s": 2.0}
    pages = serve.deployment(Pages, name="Pages", **small).bind()
    behind = serve.deployment(
        Model,
        name="Replica",
        autoscaling_config=wanted.scaling(),
        ray_actor_options={"num_cpus": wanted.cpus, "num_gpus": wanted.gpus},
        max_ongoing_requests=chosen.max_queued_requests,
        graceful_shutdown_timeout_s=chosen.drain_timeout + _STALE,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=2.0,
    ).bind(pages)

    class Asking(Front):
        """A `Front` as Serve makes one."""

        def __init__(self, model: Any, pages: Any) -> None:
            away = (errors.BackPressureError, errors.DeploymentUnavailableError)
            super().__init__(model.options(stream=True), pages, chosen, (died,), away)

    most = chosen.max_queued_requests * wanted.max_replicas
    front = serve.deployment(Asking, name="Front", max_ongoing_requests=most, **small)
    return front.bind(behind, pages)


def _placed(settings: Settings) -> Settings:
    """Settings whose files lie where they lie for this process: that of a replica has another folder."""
    paths: dict[str, Any] = {
        name: str(Path(value).expanduser().resolve())
        for name in ("queue_path", "log_path", "drift_baseline")
        if (value := getattr(settings, name)) is not None
    }
    return replace(settings, **paths)
