"""`formers serve --ray`: an application of replicas on a cluster, for as long as the command runs."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from formers.core.cluster import connected
from formers.core.extras import need
from formers.serving.ray_serve import Replicas, application
from formers.serving.run import KEEP_ALIVE, StartupError, bound, one_line, say, url_of, warn_if_open, with_key
from formers.serving.settings import Settings

NAME = "formers"  # of the application


def serve_on_ray(
    model: Any,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    address: str = "auto",
    replicas: Replicas | None = None,
    task: str | None = None,
    settings: Settings | None = None,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Serve replicas of a model until SIGTERM or Ctrl-C, drain them, and return the exit status.

    Where Serve runs on the cluster already, its host and port stand, and `host` and `port` say nothing.

    Args:
        model: as `application` takes it.
        host: address that the proxies of the cluster listen on.
        port: theirs; 0 takes a free one of this machine, for a cluster on it.
        address: "auto" or the address of a Ray cluster, "local" for processes of this machine.
        replicas: how many, and what each is given.
        task: what the model is served for.
        settings: limits and places of each replica.
        options: keywords of `pipeline`.

    Raises:
        MissingExtra: without Ray.
    """
    ray, serve = need("ray", "ray", "replicas"), need("ray.serve", "ray", "replicas")
    chosen, wanted = with_key(settings or Settings()), replicas or Replicas()
    try:
        _look(model, task)
        made = application(model, task=task, settings=chosen, options=options, replicas=wanted)
        listener = bound(host, port)  # a port in use is known before anything is started
        where = url_of(listener)
        port = listener.getsockname()[1]
        listener.close()
    except (StartupError, OSError, ValueError, TypeError, KeyError) as error:
        print(f"formers serve: {one_line(error)}", file=sys.stderr)
        return 2
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    processors = round(wanted.cpus * wanted.max_replicas + 0.5)
    try:
        with connected(ray, address, processors), _stopped() as stopped:
            http = {"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE}
            serve.start(http_options=http)
            serve.run(made, name=NAME)
            try:
                warn_if_open(host, chosen)
                say(f"formers: serving {model} on {where} (docs: /docs)")
                stopped.wait()
            finally:
                serve.delete(NAME)  # drains; a local cluster ends behind it
    except (ConnectionError, RuntimeError, ValueError) as error:  # no such cluster, or a model that is none
        print(f"formers serve: {one_line(error)}", file=sys.stderr)
        return 2
    say("formers: stopped")
    return 0


def _look(model: Any, task: str | None) -> None:
    """Refuse a model or a task that replicas could only fail on, one after another."""
    from formers.desk.registry import Registry, is_registry
    from formers.serving.adapt import task_of

    if task is not None:
        from formers.serving.tasks.server import row_of

        row_of(task)
    if isinstance(model, (str, Path)):
        if is_registry(str(model)):
            Registry(str(model)).state()
        else:
            task_of(str(model))


@contextmanager
def _stopped() -> Iterator[threading.Event]:
    """What SIGTERM and Ctrl-C set, in place of ending the process."""
    event = threading.Event()
    before = {one: signal.signal(one, lambda *_: event.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield event
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
