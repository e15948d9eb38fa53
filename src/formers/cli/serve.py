"""`formers serve`: a classifier with a queue for what a person must decide; or what writes, or embeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from formers.cli import choices

Queue = Annotated[Path, typer.Option(help="File of the human queue (SQLite).", callback=choices.expanded)]
Log = Annotated[
    Path | None,
    typer.Option(
        help="File for the request lines (JSON); standard error if left out.", callback=choices.expanded
    ),
]


def serve(
    served_model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="The same as --model.", show_default=False)
    ] = None,
    model: choices.Model = "",
    task: Annotated[
        str | None,
        typer.Option(
            help="What it is served for, behind the Hub's Inference API; its head decides when left out."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every interface.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Answers less sure go to a person; the model's thresholds.json when left out."
        ),
    ] = None,
    queue: Queue = Path("human-queue.sqlite3"),
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 10.0,
    fallback: Annotated[
        str, typer.Option(help="A request out of time: error (504), or human (its texts are queued).")
    ] = "error",
    max_chars: Annotated[
        int, typer.Option(min=1, help="Longest text in characters; a longer one is 413.")
    ] = 20_000,
    max_texts: Annotated[int, typer.Option(min=1, help="Most texts in a request.")] = 256,
    max_queued_requests: Annotated[
        int, typer.Option(min=1, help="Requests held at once; beyond it 503.")
    ] = 1024,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens that a text may be gone on with.")
    ] = 4096,
    torch_compile: Annotated[
        bool, typer.Option("--torch-compile", help="Compile the model; the warm-up makes its graphs.")
    ] = False,
    log: Log = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="FORMERS_API_KEY", help="Key that the human queue and /v1 ask for.", show_envvar=True
        ),
    ] = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Replicas on a Ray cluster: auto or its address; local for processes of this machine."
        ),
    ] = None,
    min_replicas: Annotated[
        int | None, typer.Option(min=1, help="With --ray: as many at least.", show_default="1")
    ] = None,
    max_replicas: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --ray: as many at most; the traffic decides between.", show_default="the least"
        ),
    ] = None,
    target_ongoing: Annotated[
        float | None,
        typer.Option(help="With --ray: requests inside a replica that are aimed at.", show_default="16"),
    ] = None,
    replica_cpus: Annotated[
        float | None, typer.Option(help="With --ray: processors of a replica.", show_default="1")
    ] = None,
    replica_gpus: Annotated[
        float | None, typer.Option(help="With --ray: GPUs of a replica.", show_default="0")
    ] = None,
) -> None:
    """Serve a saved model until SIGTERM or Ctrl-C; what it holds is answered before it stops.

    A classifier answers POST /classify. A model that predicts the next token answers POST
    /v1/chat/completions, /v1/responses and /v1/completions, as clients of the OpenAI API ask them, and has a
    chat on its page; an encoder without a head answers /v1/embeddings. Any other, and
    all with --task, answers POST / and POST /models/NAME as clients of the Hub's Inference API ask them.

    Of a registry (formers registry) it serves the versions that have a stage there, and follows when these
    change; /rollout shows how each does.

    With --ray there are several replicas behind the address; one that dies loses no request.
    """
    from formers.jobs.predictor import model_name
    from formers.serving import Settings
    from formers.serving import serve as run

    if bool(model) == bool(served_model):
        raise typer.BadParameter("name one model: formers serve MODEL, or --model MODEL")
    model = model_name(model or served_model or "")
    settings = Settings(
        threshold=threshold,
        queue_path=queue,
        timeout=timeout,
        fallback=fallback,
        max_chars=max_chars,
        max_texts=max_texts,
        max_queued_requests=max_queued_requests,
        max_new_tokens=max_new_tokens,
        torch_compile=torch_compile,
        log_path=log,
        api_key=api_key,
    )
    given = {"device": device, "dtype": dtype}
    options = {name: value for name, value in given.items() if value is not None}
    found: dict[str, Any] = {
        "min_replicas": min_replicas,
        "max_replicas": max_replicas or min_replicas,
        "target_ongoing_requests": target_ongoing,
        "cpus": replica_cpus,
        "gpus": replica_gpus,
    }
    chosen = {name: value for name, value in found.items() if value is not None}
    if ray is not None:
        from formers.serving.ray_run import serve_on_ray
        from formers.serving.ray_serve import Replicas

        raise typer.Exit(
            serve_on_ray(
                model,
                host,
                port,
                address=ray,
                replicas=Replicas(**chosen),
                task=task,
                settings=settings,
                options=options,
            )  # fmt: skip
        )
    if chosen:
        raise typer.BadParameter("replicas are on a Ray cluster: say which with --ray (auto, local, ADDRESS)")
    raise typer.Exit(run(model, host, port, task=task, settings=settings, options=options))
