"""`pipeline(...)`: from a task or a model's name to a pipeline that is ready to be called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from formers.core.devices import named_dtype, resolve_dtype, resolve_working
from formers.core.notices import notice, refuse_unknown
from formers.export.folder import checked_accelerator
from formers.hub import HUB_KEYWORDS, Source, split_hub_keywords
from formers.pipelines.frame import PROCESSORS, Pipeline, refuse_framework
from formers.pipelines.registry import PIPELINE_REGISTRY, get_supported_tasks
from formers.pipelines.table import Task


@dataclasses.dataclass
class _Request:
    """What `pipeline` was asked for, settled step by step."""

    model: Any
    config: Any
    hub: dict[str, Any]
    loading: dict[str, Any]
    device: Any
    dtype: Any
    task: Task | None = None
    name: str | None = None  # the model's, where it was given by name
    accelerator: str | None = None  # "ort": ONNX Runtime computes
    declared: dict[str, Any] | None = None  # what the pipeline's class reads beside it


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
    accelerator: str | None = None,
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
        accelerator: "ort" for ONNX Runtime; a checkpoint is exported first. None for torch, or for what the
            folder holds.
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
    spelled = {"revision": revision, "model_kwargs['revision']": hub.pop("revision", None)}
    hub |= _agreed("revision", spelled)
    hub |= _agreed("token", {"token": token, "use_auth_token": use_auth_token})
    spelled = {"device_map": device_map, "model_kwargs['device_map']": loading.pop("device_map", None)}
    loading |= _agreed("device_map", spelled)
    if "device_map" in loading and device is not None:
        raise ValueError("device and device_map contradict each other: leave one out")
    name = str(model) if isinstance(model, Path) else model
    request = _Request(name, config, hub, loading, device, _dtype(dtype, torch_dtype, loading))
    request.accelerator = checked_accelerator(accelerator, name)
    _settle_task(request, task, pipeline_class)
    cls = pipeline_class or (request.task.load_class() if request.task else Pipeline)
    if issubclass(cls, Pipeline) and (known := cls.keywords()) is not None:
        refuse_unknown(kwargs, known, cls.__name__)  # before anything large is loaded
    given = (tokenizer, feature_extractor, image_processor, video_processor, processor)
    parts = dict(zip(PROCESSORS, given, strict=True))
    uses = {name: getattr(cls, f"_load_{name}", None) for name in parts}
    for name in [name for name, wanted in uses.items() if wanted is False]:
        if parts.pop(name) is not None:
            notice(f"the pipeline {task!r} does not use a {name}: leave it out")
    found = _model(request)
    uses["processor"] = uses["processor"] or getattr(getattr(found, "_assembly", None), "by_processor", None)
    for name in ("image_processor", "feature_extractor", "processor"):
        if name in parts and (name != "processor" or uses[name] or isinstance(parts[name], str | Path)):
            parts[name] = _prepares(request, found, name, parts[name], uses[name] or parts[name] is not None)
    if "tokenizer" in parts:
        parts["tokenizer"] = _tokenizer(request, found, tokenizer, use_fast, bool(uses["tokenizer"]))
    _notice_misfits(request, found, parts.get("tokenizer"))
    if request.name is not None and issubclass(cls, Pipeline):
        if request.declared is None:
            request.declared = cls._declared(Source.of(request.name, **request.hub))
        kwargs = {**request.declared, **kwargs}
    # the model is already in the format that was asked for
    return cls(
        found,
        task=task or (request.task.name if request.task else ""),
        device=None if getattr(found, "hf_device_map", None) else request.device,
        **{name: part for name, part in parts.items() if part is not None},
        **kwargs,
    )


def _agreed(
    name: str, spellings: Mapping[str, Any], meaning: Callable[[Any], Any] = lambda value: value
) -> dict[str, Any]:
    """The value of a keyword that has several spellings, under its name; nothing where none was given.

    Raises:
        ValueError: when two are given and mean different things.
    """
    said = {spelling: value for spelling, value in spellings.items() if value is not None}
    meant = [meaning(value) for value in said.values()]
    if any(value != meant[0] for value in meant):
        listed = " and ".join(f"{spelling}={value!r}" for spelling, value in said.items())
        raise ValueError(f"{listed} contradict each other: leave one out")
    return {name: meant[0]} if meant else {}


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


def _dtype(dtype: Any, torch_dtype: Any, loading: dict[str, Any]) -> Any:
    """The number format from whichever of its four places says it; "auto" when none does."""
    given = {"dtype": dtype, "torch_dtype": torch_dtype}
    given |= {f"model_kwargs[{name!r}]": loading.pop(name, None) for name in tuple(given)}
    said = {spelling: value for spelling, value in given.items() if value != "auto"}
    return _agreed("dtype", said, named_dtype).get("dtype", "auto")


def _settle_task(request: _Request, task: str | None, pipeline_class: type | None) -> None:
    """Find the task's record, the default model where none is named, and the config of a named model."""
    known = PIPELINE_REGISTRY.get(task).load_class() if task in get_supported_tasks() else None
    if isinstance(request.model, str):
        _read_named(request, pipeline_class or known)
    config = request.config if request.name is not None else getattr(request.model, "config", None)
    own = getattr(config, "custom_pipelines", None) or {}
    if task is None and pipeline_class is None and len(own) == 1:
        task = next(iter(own))
    if task in own and pipeline_class is None and task not in get_supported_tasks():
        raise ValueError(
            f"the task {task!r} is answered by a class of the model's own, {own[task].get('impl')}, and no "
            "code is loaded from repositories: import the class, and pass it as pipeline_class= or to "
            "PIPELINE_REGISTRY.register_pipeline"
        )
    if task is not None and (pipeline_class is None or task in get_supported_tasks()):
        request.task = PIPELINE_REGISTRY.get(task)
    if request.model is None:
        _take_default(request, task)
        _read_named(request, pipeline_class or known)
        config = request.config
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
    if revision is not None:
        request.hub.setdefault("revision", revision)
    notice(
        f"no model was named for {task!r}: {request.model} (revision {request.hub.get('revision')}) is used. "
        "Name a model and a revision, so that the answers stay what they are"
    )


def _read_named(request: _Request, cls: type | None) -> None:
    """Read the config of a named model, and what is declared beside it: it may lie in a folder inside."""
    name = request.name = request.model
    if cls is not None and issubclass(cls, Pipeline):
        request.declared = cls._declared(Source.of(name, **request.hub))
        if inside := request.declared.pop("subfolder", ""):
            request.hub["subfolder"] = "/".join([*filter(None, [request.hub.get("subfolder")]), inside])
    request.config = _config(request)


def _config(request: _Request) -> Any:
    from formers.auto import AutoConfig
    from formers.configs import PretrainedConfig

    if isinstance(request.config, PretrainedConfig):
        return request.config
    name = request.config if isinstance(request.config, str | Path) else request.model
    return AutoConfig.from_pretrained(str(name), **request.hub)


def _architectures(model: Any, config: Any) -> list[str]:
    """Class names that tell what a model is: its own, else those of its config."""
    own = [] if model is None or isinstance(model, str) else [type(model).__name__]
    return [*own, *(getattr(config, "architectures", None) or ())]


def _model(request: _Request) -> Any:
    """Load a named model; cast one that was given where a dtype was asked for."""
    if request.name is None:
        if request.dtype != "auto":
            request.model.to(request.dtype)
        return request.model
    spread = request.loading.get("device_map") is not None
    # checked before anything is read: a device that is not there is an error at once
    device = None if spread else resolve_working(request.device)
    stored = getattr(request.config, "dtype", None)
    dtype = resolve_dtype(request.dtype, device=device, checkpoint=stored)
    assert request.task is not None
    options = {**request.hub, **request.loading, "config": request.config}
    if request.accelerator is not None:
        from formers.export.classes import load_first

        return load_first(request.task.load_model_classes(), request.name, options)
    found = _first_that_loads(request.task, request.name, {**options, "dtype": dtype} if dtype else options)
    if dtype is None and not spread:  # the config did not say how the weights are stored
        found = found.to(resolve_dtype("auto", device=device, checkpoint=found.dtype))
    return found


def _first_that_loads(task: Task, name: str, options: dict[str, Any]) -> Any:
    """Load with the first of the task's classes that knows the architecture."""
    refusal = ValueError(f"the task {task.name!r} names no model class: load the model, and pass it")
    for cls in task.load_model_classes():
        try:
            return cls.from_pretrained(name, **options)
        except ValueError as error:
            refusal = error
    raise refusal


def _tokenizer(request: _Request, model: Any, tokenizer: Any, use_fast: bool, required: bool) -> Any:
    """The tokenizer that was given, loaded where it is a name, or the model's own."""
    keywords: dict[str, Any] = {}
    if isinstance(tokenizer, tuple):
        tokenizer, keywords = tokenizer[0], dict(tokenizer[1])
    if tokenizer is not None and not isinstance(tokenizer, str | Path):
        return tokenizer
    name, hub = _origin(request, model, tokenizer)
    if name is None:
        if required:
            raise ValueError(
                "no tokenizer was given, and the model does not say where it came from: "
                "pass tokenizer=AutoTokenizer.from_pretrained(...)"
            )
        return None
    from formers.auto import AutoTokenizer

    with suppress(*([] if required or tokenizer is not None else [OSError])):
        return AutoTokenizer.from_pretrained(name, **{"use_fast": use_fast, **hub, **keywords})
    return None


def _origin(request: _Request, model: Any, given: Any) -> tuple[str | None, dict[str, Any]]:
    """The name of what lies beside a model, or was named itself, and the Hub's keywords for it."""
    config = getattr(model, "config", None)
    origins = (
        given,
        request.name,
        request.config if isinstance(request.config, str) else None,
        getattr(model, "name_or_path", None),
        getattr(config, "name_or_path", None),
    )
    name = next((str(origin) for origin in origins if origin), None)
    # another repository has other revisions
    foreign = {"revision", "subfolder"} if name != request.name else set()
    return name, {key: value for key, value in request.hub.items() if key not in foreign}


def _prepares(request: _Request, model: Any, part: str, given: Any, required: bool) -> Any:
    """The image processor or feature extractor that was given, loaded where it is a name, or the model's."""
    if given is not None and not isinstance(given, str | Path):
        return given
    name, hub = _origin(request, model, given)
    kind = "Auto" + "".join(word.title() for word in part.split("_"))
    if name is None and not required:
        return None
    if name is None:
        raise ValueError(
            f"no {part.replace('_', ' ')} was given, and the model does not say where it came from: "
            f"pass {part}={kind}.from_pretrained(...)"
        )
    import formers
    from formers.processing.auto import UnknownProcessor

    with suppress(*([] if required else [OSError, UnknownProcessor])):
        return getattr(formers, kind).from_pretrained(name, **hub)
    return None


def _notice_misfits(request: _Request, model: Any, tokenizer: Any) -> None:
    """Notice a head that was never trained, and a tokenizer of another model."""
    task, declared = request.task, _architectures(None, request.config)
    if request.name is not None and task is not None and task.heads:
        fresh = sorted(getattr(getattr(model, "load_report", None), "new", ()) or ())
        if fresh:
            notice(
                f"{request.name} is a {' / '.join(declared) or 'model without a head'}: its head for "
                f"{task.name!r} was never trained ({', '.join(fresh)}), so the answers mean nothing. "
                "Fine-tune it first, or name a model that was trained for the task"
            )
        elif declared and not any(map(task.can_be_asked, declared)):
            notice(f"{request.name} says that it is a {' / '.join(declared)}, not for {task.name!r}")
    config = getattr(model, "config", None)
    if tokenizer is not None and hasattr(config, "to_dict"):
        from formers.tokenization.fitting import fits

        for complaint in fits(tokenizer, config):
            notice(complaint)
