"""What scripts and packages take from the ecosystem's pipelines beside the pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from formers.core.notices import refuse_unknown
from formers.pipelines.registry import PIPELINE_REGISTRY


class _Supported(Mapping[str, dict[str, Any]]):
    """The tasks as the ecosystem's table has them: name -> class ("impl"), Auto classes ("pt"), default."""

    def __getitem__(self, name: str) -> dict[str, Any]:
        task = PIPELINE_REGISTRY.supported_tasks[name]
        default = {} if task.default is None else {"default": {"model": task.default}}
        models = tuple(task.load_model_classes())
        return {"impl": task.load_class(), "pt": models, **default, "type": task.kind}

    def __iter__(self) -> Iterator[str]:
        return iter(PIPELINE_REGISTRY.supported_tasks)

    def __len__(self) -> int:
        return len(PIPELINE_REGISTRY.supported_tasks)


def get_task(model: str, token: str | bool | None = None, **deprecated_kwargs: Any) -> str:
    """The task that a model on the Hub says it is for.

    Args:
        model: `owner/name`.
        token: an access token; None or True for the stored one.
        deprecated_kwargs: `use_auth_token`, the older name of `token`.

    Raises:
        RuntimeError: where the Hub cannot be asked, or the model says no task.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import is_offline_mode

    token = deprecated_kwargs.pop("use_auth_token", token)
    refuse_unknown(deprecated_kwargs, ["use_auth_token"], "get_task")
    if is_offline_mode():
        raise RuntimeError("the task of a model cannot be asked for offline: pipeline(task, model=...)")
    try:
        found = HfApi().model_info(model, token=token).pipeline_tag
    except Exception as error:  # the network, the Hub or its answer: the ecosystem raises this for all
        raise RuntimeError(f"the task of {model!r} cannot be asked for: {error}") from error
    if not found:
        raise RuntimeError(f"{model!r} does not say which task it is for: pipeline(task, model={model!r})")
    return str(found)


SUPPORTED_TASKS = _Supported()
TASK_ALIASES = PIPELINE_REGISTRY.task_aliases
