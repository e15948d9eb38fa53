"""The frame of every pipeline: inputs in any form, hooks that a subclass fills in, answers in order."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from formers.core.devices import resolve, resolve_dtype
from formers.core.notices import notice, refuse_unknown
from formers.core.outputs import ModelOutput
from formers.pipelines import datasets, loop

# A list is answered at once, so that its chunks can be long; a stream's first answer should come soon.
_LIST_CHUNK = 8192
_STREAM_FIRST, _STREAM_LARGEST = 16, 1024
# Keywords of every call, beside those of the hooks.
FRAME_KEYWORDS = ("batch_size", "num_workers", "progress")
_UPLOAD_KEYWORDS = {"commit_message", "create_pr", "private", "repo_id", "revision", "token"}
_PROCESSORS = ("tokenizer", "feature_extractor", "image_processor", "video_processor", "processor")


@dataclasses.dataclass(frozen=True)
class Call:
    """The resolved keywords of one call."""

    preprocess: dict[str, Any]
    forward: dict[str, Any]
    postprocess: dict[str, Any]
    batch_size: int | None = None
    first: int = 0  # place of the first item among the caller's inputs
    done: Callable[[int], None] = lambda count: None


class Pipeline(ABC):
    """Task in, answer out.

    A subclass fills in four hooks: `_sanitize_parameters` sorts keywords into those of the three others,
    `preprocess` turns one input into the model's keywords, `_forward` runs the model, `postprocess` makes the
    answer. The frame does the rest: devices, batches, lists, generators and datasets, order, progress.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        feature_extractor: likewise, for sound.
        image_processor: likewise, for images.
        video_processor: likewise, for video.
        processor: one object that holds several of these.
        modelcard: kept as an attribute.
        framework: "pt" or None.
        task: the name under which this pipeline was asked for.
        device: index, name or `torch.device`; None for the accelerator where there is one. It gets the model.
        dtype: number format to which the model is cast; None leaves it. `torch_dtype` is the same.
        binary_output: kept as an attribute.
        batch_size: at most so many inputs in a batch.
        num_workers: accepted; tokenizing runs on threads of its own.
        progress: whether calls show a progress bar.
        **kwargs: keywords of the hooks, as defaults for every call.

    Raises:
        ValueError: for a device that is not there, or a framework other than PyTorch.
    """

    default_task: ClassVar[str] = ""
    default_input_names: ClassVar[Any] = None
    # True: needed; None: used where the checkpoint has one; False: not used.
    _load_tokenizer: ClassVar[bool | None] = None
    _load_feature_extractor: ClassVar[bool | None] = None
    _load_image_processor: ClassVar[bool | None] = None
    _load_video_processor: ClassVar[bool | None] = None
    _load_processor: ClassVar[bool | None] = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        feature_extractor: Any = None,
        image_processor: Any = None,
        video_processor: Any = None,
        processor: Any = None,
        modelcard: Any = None,
        framework: str | None = None,
        task: str = "",
        device: Any = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        binary_output: bool = False,
        args_parser: Any = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
        progress: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(model, str | Path):
            raise TypeError(
                f"{type(self).__name__} takes a loaded model, got the name {str(model)!r}: "
                f"type pipeline({task or self.default_task!r}, model={str(model)!r})"
            )
        if args_parser is not None:
            raise TypeError("args_parser is not supported: override _sanitize_parameters instead")
        refuse_framework(framework)
        self.task = task or self.default_task
        self.model = model
        self.tokenizer = tokenizer
        self.feature_extractor = feature_extractor
        self.image_processor = image_processor
        self.video_processor = video_processor
        self.processor = processor
        for name in _PROCESSORS[:4]:
            if getattr(self, name) is None and processor is not None:
                setattr(self, name, getattr(processor, name, None))
        self.modelcard = modelcard
        self.framework = "pt"
        self.binary_output = binary_output
        self.call_count = 0
        self.device = self._placed(device, dtype if dtype is not None else torch_dtype)
        self._batch_size = _checked_batch_size(batch_size)
        self._num_workers = num_workers
        self._progress = progress
        self._preprocess_params, self._forward_params, self._postprocess_params = self._sorted(kwargs)

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes; None where only its hooks know."""
        hooks = inspect.signature(cls._sanitize_parameters).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in hooks.values()):
            return None
        return frozenset(hooks) | cls._constructor_keywords()

    @classmethod
    def _constructor_keywords(cls) -> frozenset[str]:
        """Keywords of the constructors of this class and those it inherits from."""
        makers = [kind.__init__ for kind in cls.__mro__ if issubclass(kind, Pipeline)]
        return frozenset(name for maker in makers for name in inspect.signature(maker).parameters)

    # -- hooks -------------------------------------------------------------------------------------

    @abstractmethod
    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the keywords of the constructor or of a call into those of the three other hooks.

        Keywords that were not given must stay out, so that defaults live in the hooks' signatures.
        """

    @abstractmethod
    def preprocess(self, inputs: Any, **kwargs: Any) -> Any:
        """Turn one input into the keywords of the model (a mapping with tensors of batch size 1)."""

    @abstractmethod
    def _forward(self, model_inputs: Any, **kwargs: Any) -> Any:
        """Run the model on what `preprocess` gave, or on several of those side by side."""

    @abstractmethod
    def postprocess(self, model_outputs: Any, **kwargs: Any) -> Any:
        """Make the answer for one input."""

    # -- calls -------------------------------------------------------------------------------------

    def __call__(
        self,
        inputs: Any,
        *,
        num_workers: int | None = None,
        batch_size: int | None = None,
        progress: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer one input, a list of inputs (a list), or a dataset or generator (lazily).

        Args:
            inputs: what the task takes.
            num_workers: accepted; tokenizing runs on threads of its own.
            batch_size: at most so many inputs in a batch. On a generator, 1 reads no further than the next
                answer.
            progress: whether to show a progress bar.
            **kwargs: keywords of the hooks.

        Returns:
            One answer; a list of them; or a `Results` iterator, in the order of the inputs.
        """
        call = self._call(kwargs, batch_size)
        self.call_count += 1
        shown = self._progress if progress is None else progress
        if datasets.is_stream(inputs):
            source = datasets.texts_of(inputs) if datasets.is_table(inputs) else inputs
            return datasets.Results(lambda: self._stream(source, call, shown), source)
        if self._is_many(inputs):
            items = [self._item(item, index) for index, item in enumerate(inputs)]
            with _bar(shown, self.task, len(items)) as done:
                return self._answer_list(items, dataclasses.replace(call, done=done))
        return self.run_single(self._item(inputs, None), call.preprocess, call.forward, call.postprocess)

    def predict(self, X: Any) -> Any:  # noqa: N803  (scikit-learn's name)
        """The same as calling: scikit-learn's interface."""
        return self(X)

    def transform(self, X: Any) -> Any:  # noqa: N803  (scikit-learn's name)
        """The same as calling: scikit-learn's interface."""
        return self(X)

    def run_single(
        self, inputs: Any, preprocess_params: Any, forward_params: Any, postprocess_params: Any
    ) -> Any:
        """Answer one input through the hooks."""
        model_inputs = self.preprocess(inputs, **preprocess_params)
        model_outputs = self.forward(model_inputs, **forward_params)
        return self.postprocess(model_outputs, **postprocess_params)

    def forward(self, model_inputs: Any, **forward_params: Any) -> Any:
        """`_forward` with the tensors on the device, without gradients and dropout; results on the CPU."""
        with self.device_placement(), evaluating(self.model), self.get_inference_context()():
            outputs = self._forward(self._on(model_inputs, self.device), **forward_params)
            return self._on(outputs, torch.device("cpu"))

    def get_inference_context(self) -> Any:
        """The context manager class under which `_forward` runs."""
        return torch.no_grad

    def _answers(self, items: list[Any], call: Call) -> list[Any]:
        """Answer checked inputs, in order. This one goes through the hooks, `batch_size` inputs at a time."""
        return loop.answers(self, items, call)

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list)

    def _item(self, item: Any, index: int | None) -> Any:
        """Check one input; what is returned goes to `_answers` and `run_single`."""
        return item

    def _answer_list(self, items: list[Any], call: Call) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(items), _LIST_CHUNK):
            chunk = items[start : start + _LIST_CHUNK]
            answers += self._answers(chunk, dataclasses.replace(call, first=start))
        return answers

    def _stream(self, source: Iterable[Any], call: Call, shown: bool) -> Iterator[Any]:
        first, largest = (1, 1) if call.batch_size == 1 else (_STREAM_FIRST, _STREAM_LARGEST)
        with _bar(shown, self.task, datasets.length_of(source)) as done:
            call = dataclasses.replace(call, done=done)
            items = datasets.items_of(source)
            for chunk, error in datasets.chunks(items, self._item, first=first, largest=largest):
                if chunk:
                    yield from self._answers(chunk, call)
                    call = dataclasses.replace(call, first=call.first + len(chunk))
                if error is not None:
                    raise error

    def _call(self, kwargs: dict[str, Any], batch_size: int | None) -> Call:
        preprocess, forward, postprocess = self._sorted(kwargs)
        return Call(
            {**self._preprocess_params, **preprocess},
            {**self._forward_params, **forward},
            {**self._postprocess_params, **postprocess},
            _checked_batch_size(batch_size) or self._batch_size,
        )

    def _sorted(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """`_sanitize_parameters`, with a suggestion for a keyword that it does not take."""
        if kwargs:
            parameters = inspect.signature(self._sanitize_parameters).parameters
            if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
                refuse_unknown(kwargs, [*parameters, *FRAME_KEYWORDS], type(self).__name__)
        return self._sanitize_parameters(**kwargs)

    # -- devices -----------------------------------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype | None:
        """Number format of the model."""
        found = getattr(self.model, "dtype", None)
        return found if isinstance(found, torch.dtype) else None

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The same as `dtype`."""
        return self.dtype

    @contextlib.contextmanager
    def device_placement(self) -> Iterator[None]:
        """A context in which the pipeline's device is the current one of its kind."""
        kind = getattr(torch, self.device.type, None)
        current = getattr(kind, "device", None) if self.device.type != "cpu" else None
        with current(self.device) if callable(current) else contextlib.nullcontext():
            yield

    def ensure_tensor_on_device(self, **inputs: Any) -> dict[str, Any]:
        """The keywords with their tensors (also inside lists and mappings) on the pipeline's device."""
        return {name: self._on(value, self.device) for name, value in inputs.items()}

    def _ensure_tensor_on_device(self, inputs: Any, device: torch.device) -> Any:
        """Move the tensors of nested `inputs` to `device` (the name that custom pipelines call)."""
        return self._on(inputs, device)

    def _on(self, value: Any, device: torch.device) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(device)
        if isinstance(value, ModelOutput):
            moved = {key: self._on(item, device) for key, item in value.items()}
            return type(value)(**moved)
        if isinstance(value, Mapping):
            return {key: self._on(item, device) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._on(item, device) for item in value)
        return value

    def _placed(self, device: Any, dtype: Any) -> torch.device:
        """Put the model on the device that was asked for, in the number format that was asked for."""
        spread = getattr(self.model, "hf_device_map", None)
        if spread and device is not None:
            raise ValueError(
                "the model was spread over devices by device_map and cannot be moved: leave device out"
            )
        target = resolve(next(iter(spread.values())) if spread else device)
        chosen = resolve_dtype(None if dtype == "auto" else dtype, device=target)
        if hasattr(self.model, "to"):
            if not spread and not _same_place(model_device(self.model), target):
                self.model.to(target)
            if chosen is not None and self.dtype != chosen:
                self.model.to(chosen)
        return target

    # -- the rest of the surface -------------------------------------------------------------------

    def check_model_type(self, supported_models: list[str] | Mapping[Any, Any]) -> None:
        """Notice a model whose class is not among `supported_models` (names, or a mapping onto names)."""
        names: list[str] = []
        listed = supported_models.values() if isinstance(supported_models, Mapping) else supported_models
        for entry in listed:
            for one in entry if isinstance(entry, tuple | list) else (entry,):
                names.append(one if isinstance(one, str) else one.__name__)
        found = type(self.model).__name__
        if found not in names:
            notice(f"{found} is not a model for {self.task!r}; those are {', '.join(sorted(set(names)))}")

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save the model, and what prepares its inputs, into one folder.

        Args:
            save_directory: made where it does not exist.
            **kwargs: keywords of the model's `save_pretrained`; with `push_to_hub=True` the whole folder is
                uploaded to `repo_id` (the folder's name unless given).

        Raises:
            NotADirectoryError: when the path is a file.
        """
        folder = Path(save_directory)
        if folder.is_file():
            raise NotADirectoryError(f"{folder} is a file; a pipeline is saved into a folder")
        push = kwargs.pop("push_to_hub", False)
        upload = {name: kwargs.pop(name) for name in _UPLOAD_KEYWORDS & kwargs.keys()}
        self.model.save_pretrained(folder, **kwargs)
        for name in _PROCESSORS:
            part = getattr(self, name)
            if part is not None:
                part.save_pretrained(folder)
        for record in self._kept_beside():
            record.save(folder)
        if push:
            from formers.hub import push_folder

            push_folder(folder, upload.pop("repo_id", None) or folder.name, **upload)

    def _kept_beside(self) -> tuple[Any, ...]:
        """Records that a task keeps beside its model, each with `save(folder)`."""
        return ()

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:
        """Save the pipeline and upload it.

        Args:
            repo_id: `owner/name`, created where it does not exist.
            **kwargs: keywords of `formers.hub.push_folder`.

        Returns:
            What `push_folder` returns: the address of the upload.
        """
        from formers.hub import push_folder

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push_folder(folder, repo_id, **kwargs)

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        model = type(self.model).__name__
        return (
            f"{type(self).__name__}(task={self.task!r}, model={model}, dtype={dtype}, device={self.device})"
        )


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """A context without dropout; modules that were in training mode are put back into it afterwards."""
    training = [m for m in model.modules() if m.training] if getattr(model, "training", False) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def model_device(model: Any) -> torch.device | None:
    """Where a model is, as far as it says."""
    said: Any = getattr(model, "device", None)
    if said is None and callable(getattr(model, "parameters", None)):
        said = next((parameter.device for parameter in model.parameters()), None)
    return None if said is None else torch.device(said)


def _same_place(first: torch.device | None, second: torch.device) -> bool:
    """Whether two devices are one; a device without an index is the first of its kind."""
    return first is not None and (first.type, first.index or 0) == (second.type, second.index or 0)


def refuse_framework(framework: str | None) -> None:
    """Refuse a framework other than PyTorch.

    Raises:
        ValueError: naming the one that there is.
    """
    if framework not in (None, "pt"):
        raise ValueError(
            f"framework={framework!r} is not available: models run on PyTorch ('pt'); leave it out"
        )


def _checked_batch_size(batch_size: int | None) -> int | None:
    if batch_size is None:
        return None
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or batch_size < 1:
        raise ValueError(f"batch_size must be a number of inputs, at least 1, got {batch_size!r}")
    return int(batch_size)


@contextlib.contextmanager
def _bar(shown: bool, task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error where one is wanted; gives the function that moves it on."""
    if not shown:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task(task or "pipeline", total=total)
        yield lambda count: bar.advance(line, count)
