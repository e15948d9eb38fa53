"""Start the server, say where it is, and stop it without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import platform
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from formers.core.extras import installed, need
from formers.core.notices import notice, reader_went_away
from formers.serving.settings import Settings

SWITCH_INTERVAL = 0.0005  # seconds; see `serve`
SPINS = "1000"  # see `_share_the_cores`
_M_ARENA_MAX = -8  # of glibc's malloc.h
KEEP_ALIVE = 75  # seconds that an idle connection is kept
KEY_VARIABLE = "FORMERS_API_KEY"


class StartupError(Exception):
    """The server cannot start; the message is one line for a person."""


def serve(
    model: Any,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    task: str | None = None,
    settings: Settings | None = None,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> int:
    """Serve a model until SIGTERM or Ctrl-C, and return the exit status.

    A stopping server finishes the requests that it holds and refuses new ones (503) meanwhile; then it closes
    its port, writes what is waiting and returns 0. What keeps it from starting (a port in use, no such model,
    a queue that cannot be opened) is printed as one line, and the status is 2.

    Args:
        model: a pipeline, the name or folder of a model, the folder of a registry, or a `Classifier`.
        host: address to listen on. The default is this machine only; "0.0.0.0" is every interface.
        port: 0 takes a free one.
        task: what the model is served for, behind the Hub's Inference API; None for what its head says.
        settings: limits and places (`Settings`).
        options: keywords of `pipeline`, such as a device, for a model that is named.
        **changes: single settings, as in `serve("my-model", threshold=0.8)`.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for a setting out of range.
    """
    chosen = with_key(Settings.of(settings, **changes))
    try:
        server, listener, service = _server(model, host, port, chosen, task, options)
    except StartupError as error:
        print(f"formers serve: {error}", file=sys.stderr)
        return 2
    warn_if_open(host, service.settings, hasattr(service, "queue"))
    say(f"formers: serving {service.revision or 'a model'} on {url_of(listener)} (docs: /docs)")
    # The model's thread and the event loop share one interpreter lock. The default of 5 ms would let either
    # keep the other waiting for longer than a short text takes.
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        server.run(sockets=[listener])
    finally:
        sys.setswitchinterval(before)
        service.close()  # a second signal skips the orderly end; what was answered still gets its log line
    if service.state == "failed":
        print(f"formers serve: {service.problem}", file=sys.stderr)
        return 2
    say("formers: stopped")
    return 0


def say(line: str) -> None:
    """Print a line; a reader that has gone away (`formers serve MODEL | head -1`) stops no server."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        reader_went_away()


@contextlib.contextmanager
def running(
    model: Any,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    task: str | None = None,
    settings: Settings | None = None,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Iterator[str]:
    """Serve in a thread for the time of a `with` block; gives the URL, once the server is ready.

    Example:
        >>> with running(pipe, threshold=0.8) as url:  # doctest: +SKIP
        ...     httpx.post(f"{url}/classify", json={"text": "Card charged twice"}).json()

    Raises:
        StartupError: when it cannot start, or the warm-up fails.
    """
    server, listener, service = _server(model, host, port, Settings.of(settings, **changes), task, options)
    url = url_of(listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="formers-server")
    thread.start()
    try:
        while service.state == "starting" and thread.is_alive():
            thread.join(0.01)
        if service.state != "ready":
            raise StartupError(service.problem or "the server stopped while it was starting")
        yield url
    finally:
        server.should_exit = True
        thread.join()


def _server(
    model: Any,
    host: str,
    port: int,
    settings: Settings,
    task: str | None,
    options: Mapping[str, Any] | None,
) -> tuple[Any, socket.socket, Any]:
    """Bind first (a port in use is known at once), then load, then open the files."""
    for package in ("fastapi", "prometheus_client", "httptools"):
        need(package, "serve", "the HTTP server")
    uvicorn = need("uvicorn", "serve", "the HTTP server")
    prepare_process()
    listener = bound(host, port)
    try:
        from formers.serving.adapt import service_of

        try:
            service = service_of(model, settings, task, options)
        except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
            raise StartupError(f"cannot load the model: {one_line(error)}") from error
        from formers.desk.queue import QueueError

        try:
            service.open()
        except (QueueError, OSError) as error:
            raise StartupError(one_line(error)) from error
    except BaseException:
        listener.close()
        raise
    from formers.serving.app import app_of
    from formers.serving.connection import guarded

    config = uvicorn.Config(
        app_of(service),
        access_log=False,  # the request log says more
        log_level="error",  # what is no HTTP is answered, but no client fills a log with it
        proxy_headers=False,
        ws="none",
        lifespan="on",
        loop="uvloop" if installed("uvloop") else "asyncio",
        http=guarded(_most_connections(), settings.body_timeout, service.pace),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
        server_header=False,
        backlog=2048,
    )
    server = _draining_server(uvicorn, config, service)
    service.on_failure = lambda: setattr(server, "should_exit", True)
    return server, listener, service


def _most_connections() -> int:
    """As many as the system lets this process open, less some for files; 4096 at most."""
    if sys.platform == "win32":
        return 4096
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(16, min(4096, (allowed if allowed > 0 else 4160) - 64))


def prepare_process() -> None:
    """Let a process that is to serve share cores and heap; before torch is imported, where it can be."""
    _share_the_cores()
    _share_the_heap()


def _share_the_cores() -> None:
    """Let torch's threads sleep soon when they wait for each other.

    By default they spin for milliseconds, on cores that the event loop and the clients of this machine need;
    with more to run than cores that makes a pass several times slower. OpenMP reads this when torch is
    imported, so it comes too late for a model that is loaded already.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _share_the_heap() -> None:
    """Let the model's thread allocate where the main thread does (glibc; elsewhere nothing happens).

    A heap of its own gives every batch's memory back to the system, and each page of the next batch is
    cleared and mapped anew: a twentieth of the throughput.
    """
    if platform.libc_ver()[0] == "glibc" and "MALLOC_ARENA_MAX" not in os.environ:
        import ctypes

        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _draining_server(uvicorn: Any, config: Any, service: Any) -> Any:
    class DrainingServer(uvicorn.Server):  # type: ignore[misc]
        """Refuses new requests from the first signal on, and exits with 0 once the rest are answered."""

        should_exit: bool

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # The base class raises the signal again after the shutdown, which would end the process by it.
            service.begin_draining()
            if self.should_exit:
                self.force_exit = True
            self.should_exit = True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # The base class closes the port first. A client then finds no server, where a 503 would tell it
            # to come back, so the port stays open until what is held is done.
            draining = asyncio.ensure_future(service.drain())
            while not draining.done() and not self.force_exit:
                await asyncio.wait([draining], timeout=0.1)
            draining.cancel()
            await super().shutdown(sockets)

    return DrainingServer(config)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        StartupError: where it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        raise StartupError(f"cannot listen on {host}:{port}: {one_line(error)}") from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def with_key(settings: Settings) -> Settings:
    """Settings with the key of the environment, where they have none."""
    key = os.environ.get(KEY_VARIABLE)
    return Settings.of(settings, api_key=key) if key and not settings.api_key else settings


def warn_if_open(host: str, settings: Settings, queue: bool = False) -> None:
    """Say that a server without a key is open to others, and whether a human queue is."""
    if settings.api_key or host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    said = f"is open to whoever reaches {host}"
    said = f"the human queue {said}, and it holds people's texts" if queue else f"the model {said}"
    notice(f"{said}: give api_key=..., or set {KEY_VARIABLE}")


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = " ".join(str(said).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.errno is not None and not error.filename:
        return error.strerror
    return text
