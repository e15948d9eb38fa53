"""`pipeline(...)`: from a task or a model's name to a pipeline that is ready to be called."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from formers.core.devices import named_dtype, resolve, resolve_dtype
from formers.core.notices import notice, refuse_unknown
from formers.hub import HUB_KEYWORDS, split_hub_keywords
from formers.pipelines.frame import Pipeline, refuse_framework
from formers.pipelines.registry import PIPELINE_REGISTRY, Task


@dataclasses.dataclass
class _Request:
    """What `pipeline` was asked for, settled step by step."""

    model: Any
    config: Any
    hub: dict[str, Any]
    model_kwargs: dict[str, Any]
    device: Any
    dtype: Any
    task: Task | None = None
    name: str | None = None  # the model's, where it was given by name


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    video_processor: Any = None,
    processor: Any = None,
    framework: str | None = None,
    revision: str | None = None,
    use_fast: bool = True,
    token: str | bool | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    trust_remote_code: bool | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    pipeline_class: type | None = None,
    *,
    use_auth_token: str | bool | None = None,
    torch_dtype: Any = None,
    **kwargs: Any,
) -> Any:
    """Make a pipeline.

    Args:
        task: "text-classification" ("sentiment-analysis"), or one of your own; None reads it off the model.
        model: folder, Hub id or model; None takes the task's default.
        config: folder, Hub id or config, in place of the model's.
        tokenizer: folder, Hub id, (name, keywords) or tokenizer; None takes the model's.
        feature_extractor: for pipelines of one's own; likewise the three next.
        image_processor: see above.
        video_processor: see above.
        processor: see above.
        framework: "pt" or None.
        revision: branch, tag or commit of the model (and of its tokenizer).
        use_fast: handed to the tokenizer.
        token: access token for the Hub; `use_auth_token` is the older name.
        device: index, name or `torch.device`; None for the accelerator where there is one.
        device_map: how the model is spread over devices; not together with `device`.
        dtype: number format, such as "bfloat16"; None or "auto" is that of the checkpoint, but float32
            on a CPU that is slow at it. `torch_dtype` is the older name.
        trust_remote_code: no code is ever loaded from repositories; True is answered with a notice.
        model_kwargs: further keywords of the model's `from_pretrained`.
        pipeline_class: a subclass of `Pipeline` in place of the task's.
        use_auth_token: see `token`.
        torch_dtype: see `dtype`.
        **kwargs: keywords of the Hub (`cache_dir`, `local_files_only`, ...) and of the pipeline class.

    Returns:
        The pipeline.

    Raises:
        KeyError: for an unknown task.
        OSError: when there is no such model.
        TypeError: for an unknown keyword.
        ValueError: for keywords that contradict each other, a device that is not there, a model with
            another head.
    """
    refuse_framework(framework)
    if trust_remote_code:
        notice("trust_remote_code=True has no effect: no code is loaded from repositories")
    _check_named(task, model, tokenizer)
    hub, kwargs = split_hub_keywords(kwargs)
    loading = dict(model_kwargs or {})
    hub |= {name: loading.pop(name) for name in HUB_KEYWORDS & loading.keys()}
    hub |= _either("revision", revision, hub.pop("revision", None), "model_kwargs['revision']")
    hub |= _either("token", token, use_auth_token, "use_auth_token")
    request = _Request(
        str(model) if isinstance(model, Path) else model,
        config,
        hub,
        loading,
        device,
        _one_dtype(dtype, torch_dtype, loading),
    )
    if device_map is not None:
        loading |= _either(
            "device_map", device_map, loading.pop("device_map", None), "model_kwargs['device_map']"
        )
    if loading.get("device_map") is not None and device is not None:
        raise ValueError("device and device_map contradict each other: leave one out")
    _settle_task(request, task, pipeline_class)
    cls = pipeline_class or (request.task.load_class() if request.task else Pipeline)
    parts = {
        "feature_extractor": feature_extractor,
        "image_processor": image_processor,
        "video_processor": video_processor,
        "processor": processor,
    }
    parts = _used_parts(cls, task, parts)
    known = cls.keywords() if issubclass(cls, Pipeline) else None
    if known is not None:  # before anything large is loaded
        refuse_unknown(kwargs, known, cls.__name__)
    found = _model(request)
    if getattr(cls, "_load_tokenizer", None) is not False:
        parts["tokenizer"] = _tokenizer(
            request, found, tokenizer, use_fast, required=_requires(cls, "tokenizer")
        )
    elif tokenizer is not None:
        _not_used(task, "tokenizer")
    _notice_misfits(request, found, parts.get("tokenizer"))
    # the model is already in the format that was asked for
    return cls(
        found,
        task=task or (request.task.name if request.task else ""),
        device=_own_device(request, found),
        **{name: part for name, part in parts.items() if part is not None},
        **kwargs,
    )


def check_task(task: str) -> tuple[str, Task, Any]:
    """The name of a task without alias, its record, and its options.

    Raises:
        KeyError: for an unknown task.
    """
    return PIPELINE_REGISTRY.check_task(task)


def get_supported_tasks() -> list[str]:
    """Names and aliases of the tasks that there are."""
    return PIPELINE_REGISTRY.get_supported_tasks()


def _either(name: str, first: Any, second: Any, other: str) -> dict[str, Any]:
    """The one of two spellings that was given, as a keyword.

    Raises:
        ValueError: when both are given and differ.
    """
    if first is not None and second is not None and first != second:
        raise ValueError(f"{name}={first!r} and {other}={second!r} contradict each other: leave one out")
    value = first if first is not None else second
    return {} if value is None else {name: value}


def _check_named(task: Any, model: Any, tokenizer: Any) -> None:
    """Refuse a call that does not say what to make, or says it in the wrong place."""
    if task is not None and not isinstance(task, str):
        raise TypeError(
            f"the first argument is the task's name, such as 'text-classification', not a "
            f"{type(task).__name__}: pass a model as model="
        )
    if task is None and model is None:
        raise ValueError(
            'pipeline() needs a task or a model: pipeline("text-classification"), pipeline(model="...")'
        )
    if model is None and tokenizer is not None:
        raise ValueError("a tokenizer was given without its model: pass model= too")


def _one_dtype(dtype: Any, torch_dtype: Any, loading: dict[str, Any]) -> Any:
    """The number format from whichever of its four places says it; "auto" when none does."""
    given = {"dtype": dtype, "torch_dtype": torch_dtype}
    given |= {
        f"model_kwargs[{name!r}]": loading.pop(name) for name in ("dtype", "torch_dtype") if name in loading
    }
    said = {name: value for name, value in given.items() if value not in (None, "auto")}
    kinds = {named_dtype(value) for value in said.values()}
    if len(kinds) > 1:
        raise ValueError(f"{' and '.join(f'{k}={v!r}' for k, v in said.items())} contradict each other")
    return kinds.pop() if kinds else "auto"


def _settle_task(request: _Request, task: str | None, pipeline_class: type | None) -> None:
    """Find the task's record, the default model where none is named, and the config of a named model."""
    if task is not None and (pipeline_class is None or task in get_supported_tasks()):
        request.task = PIPELINE_REGISTRY.get(task)
    if request.model is None:
        _take_default(request, task)
    if isinstance(request.model, str):
        request.name = request.model
        request.config = _config(request)
    config = request.config if request.name is not None else getattr(request.model, "config", None)
    if request.task is None:
        request.task = PIPELINE_REGISTRY.of_architectures(_architectures(request.model, config))
    if request.task is None and (pipeline_class is None or request.name is not None):
        found = ", ".join(_architectures(request.model, config)) or "it names no architecture"
        raise ValueError(
            f"the task cannot be read off this model ({found}): name it, pipeline(task, model=...); "
            f"the tasks are {', '.join(get_supported_tasks())}"
        )


def _take_default(request: _Request, task: str | None) -> None:
    default = request.task.default if request.task is not None else None
    if default is None:
        raise ValueError(f"the task {task!r} has no default model: pass model=")
    request.model, revision = default
    if request.hub.get("revision") is None and revision is not None:
        request.hub["revision"] = revision
    notice(
        f"no model was named for {task!r}: {request.model} (revision {request.hub.get('revision')}) is used. "
        "Name a model and a revision, so that the answers stay what they are"
    )


def _config(request: _Request) -> Any:
    from formers.auto import AutoConfig
    from formers.configs import PretrainedConfig

    if isinstance(request.config, PretrainedConfig):
        return request.config
    name = request.config if isinstance(request.config, str | Path) else request.model
    return AutoConfig.from_pretrained(str(name), **request.hub)


def _architectures(model: Any, config: Any) -> list[str]:
    """Class names that tell what a model is: its own, else those of its config."""
    if model is not None and not isinstance(model, str):
        return [type(model).__name__, *(getattr(config, "architectures", None) or ())]
    return list(getattr(config, "architectures", None) or ())


def _model(request: _Request) -> Any:
    """Load a named model; cast one that was given where a dtype was asked for."""
    if request.name is None:
        if request.dtype != "auto":
            request.model.to(request.dtype)
        return request.model
    spread = request.model_kwargs.get("device_map") is not None
    # checked before anything is read: a device that is not there is an error at once
    device = None if spread else resolve(request.device)
    stored = getattr(request.config, "dtype", None)
    dtype = resolve_dtype(request.dtype, device=device, checkpoint=stored)
    assert request.task is not None
    classes = request.task.load_model_classes()
    if not classes:
        raise ValueError(f"the task {request.task.name!r} names no model class: load the model, and pass it")
    options = {**request.hub, **request.model_kwargs, "config": request.config}
    found = _first_that_loads(classes, request.name, {**options, "dtype": dtype} if dtype else options)
    if dtype is None and not spread:  # the config did not say how the weights are stored
        suited = resolve_dtype("auto", device=device, checkpoint=found.dtype)
        found = found.to(suited)
    return found


def _first_that_loads(classes: list[Any], name: str, options: dict[str, Any]) -> Any:
    """Load with the first class that knows the architecture."""
    for later, cls in enumerate(classes, start=1):
        try:
            return cls.from_pretrained(name, **options)
        except ValueError:
            if later == len(classes):
                raise
    raise AssertionError("no model class")


def _tokenizer(request: _Request, model: Any, tokenizer: Any, use_fast: bool, *, required: bool) -> Any:
    """The tokenizer that was given, loaded where it is a name, or the model's own."""
    keywords: dict[str, Any] = {}
    if isinstance(tokenizer, tuple):
        tokenizer, keywords = tokenizer[0], dict(tokenizer[1])
    if tokenizer is not None and not isinstance(tokenizer, str | Path):
        return tokenizer
    named = request.name or (request.config if isinstance(request.config, str) else None)
    name = str(tokenizer) if tokenizer is not None else named or _origin(model)
    if not name:
        if required:
            raise ValueError(
                "no tokenizer was given, and the model does not say where it came from: "
                "pass tokenizer=AutoTokenizer.from_pretrained(...)"
            )
        return None
    from formers.auto import AutoTokenizer

    hub = dict(request.hub)
    if name != request.name:  # another repository has other revisions
        hub.pop("revision", None)
        hub.pop("subfolder", None)
    try:
        return AutoTokenizer.from_pretrained(name, **{"use_fast": use_fast, **hub, **keywords})
    except OSError:
        if required or tokenizer is not None:
            raise
        return None


def _origin(model: Any) -> str | None:
    """Where a model object says that it came from."""
    found = getattr(model, "name_or_path", None) or getattr(
        getattr(model, "config", None), "name_or_path", None
    )
    return str(found) if found else None


def _own_device(request: _Request, model: Any) -> Any:
    """The device to hand on: none for a model that is spread over several."""
    return None if getattr(model, "hf_device_map", None) else request.device


def _requires(cls: type, part: str) -> bool:
    return bool(getattr(cls, f"_load_{part}", None))


def _used_parts(cls: type, task: str | None, parts: dict[str, Any]) -> dict[str, Any]:
    """The processors that the pipeline uses; the others are noticed."""
    used = {}
    for name, part in parts.items():
        if part is not None and getattr(cls, f"_load_{name}", None) is False:
            _not_used(task, name)
        else:
            used[name] = part
    return used


def _not_used(task: str | None, part: str) -> None:
    notice(f"the pipeline {task!r} does not use a {part}: leave it out")


def _notice_misfits(request: _Request, model: Any, tokenizer: Any) -> None:
    """Notice a head that was never trained, and a tokenizer of another model."""
    if request.name is not None and request.task is not None and request.task.heads:
        declared = _architectures(None, request.config)
        other = declared and not any(name.endswith(head) for name in declared for head in request.task.heads)
        fresh = sorted(getattr(getattr(model, "load_report", None), "new", ()) or ())
        if fresh:
            notice(
                f"{request.name} is a {' / '.join(declared) or 'model without a head'}: its head for "
                f"{request.task.name!r} was never trained ({', '.join(fresh)}), so the answers mean nothing. "
                "Fine-tune it first, or name a model that was trained for the task"
            )
        elif other:
            notice(f"{request.name} says that it is a {' / '.join(declared)}, not for {request.task.name!r}")
    config = getattr(model, "config", None)
    if tokenizer is not None and hasattr(config, "to_dict"):
        from formers.tokenization.fitting import fits

        for complaint in fits(tokenizer, config):
            notice(complaint)
