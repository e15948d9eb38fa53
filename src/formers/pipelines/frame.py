"""The frame of every pipeline: inputs in any form, three steps over batches of them, answers in order."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

import torch

from formers.core.atomic import write_text
from formers.core.batching import restore
from formers.core.devices import resolve_dtype, resolve_working
from formers.core.logging import is_progress_bar_enabled
from formers.core.modes import evaluating
from formers.core.nested import mapped, padded_cat, row_count, split
from formers.core.notices import notice, refuse_unknown
from formers.hub import Source
from formers.hub.push import split_push_keywords
from formers.hub.pushable import Pushable, push_saved
from formers.pipelines import datasets
from formers.pipelines.registry import PIPELINE_REGISTRY

# Inputs that a stream reads ahead: the first answer should come soon.
_STREAM_FIRST, _STREAM_LARGEST = 16, 1024
# Keywords of every call, beside those of the steps.
FRAME_KEYWORDS = ("batch_size", "num_workers", "progress")
_MANY_SINGLE_CALLS = 1_000
PROCESSORS = ("tokenizer", "feature_extractor", "image_processor", "video_processor", "processor")


@dataclasses.dataclass(frozen=True)
class Call:
    """The resolved keywords of one call."""

    preprocess: dict[str, Any]
    forward: dict[str, Any]
    postprocess: dict[str, Any]
    batch_size: int | None = None


class Pipeline(Pushable, ABC):
    """Task in, answer out.

    A subclass fills in `_sanitize_parameters`, which sorts keywords into those of the three steps, and the
    steps: `preprocess` turns one input into the model's keywords, `_forward` runs the model, `postprocess`
    makes the answer. The frame does the rest: devices, batches, lists, streams, order, progress.

    Every call runs the steps over batches: `preprocess_batch`, `forward_batch`, `postprocess_batch`. Here
    these take a batch through the steps for one item; a class that can do better for many overrides them. A
    subclass, mixin or instance that replaces the step for one item after that gets its items one by one.

    Args:
        model: the model.
        tokenizer, feature_extractor, image_processor, video_processor: what prepares its inputs.
        processor: one object that holds several of these.
        modelcard: kept as an attribute.
        framework: "pt" or None.
        task: the name under which this pipeline was asked for.
        device: index, name or `torch.device`; None for the accelerator where there is one. It gets the model.
        dtype: number format to which the model is cast; None leaves it. `torch_dtype` is the same.
        binary_output: kept as an attribute.
        batch_size: at most so many inputs in a batch.
        num_workers: accepted, with a notice; inputs are prepared without further processes.
        progress: whether calls show a progress bar.
        **kwargs: keywords of the steps, as defaults for every call.

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

    tokenizer: Any
    feature_extractor: Any
    image_processor: Any
    video_processor: Any

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
        self.processor = processor
        given = (tokenizer, feature_extractor, image_processor, video_processor)
        for name, part in zip(PROCESSORS, given, strict=False):
            setattr(self, name, getattr(processor, name, None) if part is None else part)
        self.modelcard = modelcard
        self.framework = "pt"
        self.binary_output = binary_output
        self.call_count = self._single_calls = 0
        self.device = self._placed(device, dtype if dtype is not None else torch_dtype)
        self._batch_size = whole_number("batch_size", batch_size, "inputs, at least 1")
        _notice_workers(num_workers)
        self._progress = progress
        self._preprocess_params, self._forward_params, self._postprocess_params = self._sorted(kwargs)

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes; None where only `_sanitize_parameters` knows."""
        sorter = _named_keywords(cls._sanitize_parameters)
        return None if sorter is None else frozenset(sorter) | cls._constructor_keywords()

    @classmethod
    def _constructor_keywords(cls) -> frozenset[str]:
        """Keywords of the constructors of this class and those it inherits from."""
        makers = [kind.__init__ for kind in cls.__mro__ if issubclass(kind, Pipeline)]
        return frozenset(name for maker in makers for name in inspect.signature(maker).parameters)

    @classmethod
    def _declared(cls, source: Source) -> dict[str, Any]:
        """Keywords of the constructor that the files beside a named model say, and `subfolder`, its place."""
        return {}

    # -- the steps, for one item -------------------------------------------------------------------

    @abstractmethod
    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort the keywords of the constructor or of a call into those of the three steps.

        Keywords that were not given must stay out, so that defaults live in the steps' signatures.
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

    def forward(self, model_inputs: Any, **forward_params: Any) -> Any:
        """`_forward` with the tensors on the device, without gradients and dropout; results on the CPU."""
        with self.device_placement(), evaluating(self.model), self.get_inference_context()():
            inputs = self._ensure_tensor_on_device(model_inputs, self.device)
            outputs = self._forward(inputs, **forward_params)
            return self._ensure_tensor_on_device(outputs, torch.device("cpu"))

    def get_inference_context(self) -> Any:
        """The context manager class under which `_forward` runs."""
        return torch.no_grad

    # -- the steps, for a batch --------------------------------------------------------------------

    def preprocess_batch(self, inputs: Sequence[Any], first: int | None = None, **params: Any) -> list[Any]:
        """Prepare the inputs of a batch.

        Args:
            inputs: what `_item` returned.
            first: place of the first one among the caller's inputs, for messages; None for a single input.
            **params: keywords of `preprocess`.

        Returns:
            One object for each, as `_collate` takes it.
        """
        return [self.preprocess(item, **params) for item in inputs]

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Run the model on a batch of what `preprocess_batch` gave; the outputs are on the CPU."""
        return self.forward(self._collate(prepared), **params)

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """Make one answer for each input of a batch.

        Args:
            outputs: what `forward_batch` gave.
            prepared: what it was given, still in its own length.
            **params: keywords of `postprocess`.
        """
        rows = [self._rows(one) for one in prepared]
        parts = [outputs] if len(rows) == 1 else split(outputs, rows)
        return [self.postprocess(part, **params) for part in parts]

    def _collate(self, prepared: Sequence[Any]) -> Any:
        """The model's keywords for a batch; those of a single item stay what they are."""
        return prepared[0] if len(prepared) == 1 else side_by_side(prepared, self.tokenizer)

    def _rows(self, prepared: Any) -> int:
        """How many rows of a batch one prepared input becomes."""
        return row_count(prepared)

    def _by_item(self, step: str) -> bool:
        """Whether a step ("preprocess", "forward", "postprocess") runs item by item.

        It does where its form for one item is replaced nearer to the instance than its form for a batch is.
        """
        for names in (vars(self), *map(vars, type(self).__mro__)):
            if f"{step}_batch" in names:
                return False
            if step in names or (step == "forward" and "_forward" in names):
                return True
        return False

    def _step(self, step: str) -> Callable[..., Any]:
        """A step over a batch, as it is to run."""
        name = f"{step}_batch"
        return partial(getattr(Pipeline, name), self) if self._by_item(step) else getattr(self, name)

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
            num_workers: accepted, with a notice; inputs are prepared without further processes.
            batch_size: at most so many inputs in a batch. On a generator, 1 reads no further than the next
                answer.
            progress: whether to show a progress bar.
            **kwargs: keywords of the steps.

        Returns:
            One answer; a list of them; or a `Results` iterator, in the order of the inputs.
        """
        _notice_workers(num_workers)
        call = self._call(kwargs, batch_size)
        self.call_count += 1
        shown = self._progress if progress is None else progress
        if datasets.is_stream(inputs):
            source = self._rows_of(inputs) if datasets.is_table(inputs) else inputs
            return datasets.Results(lambda: self._stream(source, call, shown), source)
        if self._is_many(inputs):
            items = [self._item(item, index) for index, item in enumerate(inputs)]
            with _bar(shown, self.task, len(items)) as done:
                return self._answers(items, call, 0, done)
        self._single_calls += 1
        if self._single_calls == _MANY_SINGLE_CALLS:
            notice(
                f"this pipeline answered {_MANY_SINGLE_CALLS} inputs one by one; a list, a dataset or a "
                "generator of them is answered in batches, several times as fast: pipe(inputs)",
                key="pipeline-one-by-one",
            )
        return self.run_single(self._item(inputs, None), call.preprocess, call.forward, call.postprocess)

    def predict(self, X: Any) -> Any:  # noqa: N803  (scikit-learn's name)
        """The same as calling: scikit-learn's interface."""
        return self(X)

    transform = predict

    def run_single(
        self, inputs: Any, preprocess_params: Any, forward_params: Any, postprocess_params: Any
    ) -> Any:
        """Answer one input."""
        call = Call(preprocess_params, forward_params, postprocess_params)
        return self._run(self._prepared([inputs], call, None), call)[0]

    def _is_many(self, inputs: Any) -> bool:
        return isinstance(inputs, list)

    def _rows_of(self, table: Any) -> Any:
        """The inputs that a dataset with columns holds."""
        return datasets.texts_of(table)

    def _item(self, item: Any, index: int | None) -> Any:
        """Check one input; what is returned goes to `preprocess_batch`, or to `preprocess`."""
        return item

    def _answers(self, items: list[Any], call: Call, first: int, done: Callable[[int], None]) -> list[Any]:
        """Answer checked inputs, in order: one batch after the other.

        Args:
            items: what `_item` returned.
            call: the keywords.
            first: place of the first item among the caller's inputs.
            done: told after each batch how many inputs it held.
        """
        found: list[Any] = []
        order: list[Sequence[int]] = []
        replaced = getattr(self.run_single, "__func__", None) is not Pipeline.run_single
        if replaced and (call.batch_size or 1) == 1:
            for item in items:
                found.append(self.run_single(item, call.preprocess, call.forward, call.postprocess))
                done(1)
            return found
        for places, prepared in self._batches(items, call, first):
            found += self._run(prepared, call)
            order.append(places)
            done(len(places))
        return restore(order, found)

    def _batches(self, items: list[Any], call: Call, first: int) -> Iterator[tuple[Sequence[int], list[Any]]]:
        """Prepared batches, each with the places of its inputs: `batch_size` of them, 1 unless given."""
        size = call.batch_size or 1
        for start in range(0, len(items), size):
            part = items[start : start + size]
            yield range(start, start + len(part)), self._prepared(part, call, first + start)

    def _prepared(self, items: list[Any], call: Call, first: int | None) -> list[Any]:
        found: list[Any] = self._step("preprocess")(items, first=first, **call.preprocess)
        return found

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer one prepared batch."""
        outputs = self._step("forward")(prepared, **call.forward)
        answers: list[Any] = self._step("postprocess")(outputs, prepared, **call.postprocess)
        return answers

    def _run_alike(self, prepared: Sequence[Mapping[str, Any]], call: Call) -> list[Any]:
        """Answer a prepared batch, inputs of one shape together."""
        groups: dict[Any, list[int]] = {}
        for place, one in enumerate(prepared):
            shapes = tuple((name, getattr(value, "shape", None)) for name, value in one.items())
            groups.setdefault(shapes, []).append(place)
        each = (Pipeline._run(self, [prepared[i] for i in at], call) for at in groups.values())
        return restore(groups.values(), chain.from_iterable(each))

    def _stream(self, source: Iterable[Any], call: Call, shown: bool) -> Iterator[Any]:
        first, largest = (1, 1) if call.batch_size == 1 else (_STREAM_FIRST, _STREAM_LARGEST)
        with _bar(shown, self.task, datasets.length_of(source)) as done:
            items, start = datasets.items_of(source), 0
            for chunk, error in datasets.chunks(items, self._item, first=first, largest=largest):
                yield from self._answers(chunk, call, start, done)
                start += len(chunk)
                if error is not None:
                    raise error

    def _call(self, kwargs: dict[str, Any], batch_size: int | None = None) -> Call:
        preprocess, forward, postprocess = self._sorted(kwargs)
        return Call(
            {**self._preprocess_params, **preprocess},
            {**self._forward_params, **forward},
            {**self._postprocess_params, **postprocess},
            whole_number("batch_size", batch_size, "inputs, at least 1") or self._batch_size,
        )

    def check_call(self, **kwargs: Any) -> None:
        """Refuse keywords as a call refuses them, without a call.

        Raises:
            TypeError: for one that calls do not take.
            ValueError: for one of a value that they do not take.
        """
        self._call(kwargs)

    def _sorted(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """`_sanitize_parameters`, with a suggestion for a keyword that it does not take."""
        known = _named_keywords(self._sanitize_parameters) if kwargs else None
        if known is not None:
            refuse_unknown(kwargs, [*known, *FRAME_KEYWORDS], type(self).__name__)
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
        return {name: self._ensure_tensor_on_device(value, self.device) for name, value in inputs.items()}

    def _ensure_tensor_on_device(self, inputs: Any, device: torch.device) -> Any:
        """Move the tensors of nested `inputs` to `device` (the name that custom pipelines call)."""
        return mapped(lambda tensor: tensor.to(device), inputs)

    def _placed(self, device: Any, dtype: Any) -> torch.device:
        """Put the model on the device that was asked for, in the number format that was asked for."""
        spread = getattr(self.model, "hf_device_map", None)
        if spread and device is not None:
            raise ValueError(
                "the model was spread over devices by device_map and cannot be moved: leave device out"
            )
        target = resolve_working(next(iter(spread.values())) if spread else device)
        chosen = resolve_dtype(None if dtype == "auto" else dtype, device=target)
        if hasattr(self.model, "to"):
            if not spread and not _is_on(self.model, target):
                self.model.to(target)
            if chosen is not None and self.dtype != chosen:
                self.model.to(chosen)
        return target

    # -- the rest of the surface -------------------------------------------------------------------

    def check_model_type(self, supported_models: list[str] | Mapping[Any, Any]) -> None:
        """Notice a model whose class is not among `supported_models` (names, or a mapping onto names)."""
        listed = supported_models.values() if isinstance(supported_models, Mapping) else supported_models
        each = [one for entry in listed for one in (entry if isinstance(entry, tuple | list) else [entry])]
        names = {one if isinstance(one, str) else one.__name__ for one in each}
        found = type(self.model).__name__
        if found not in names:
            notice(f"{found} is not a model for {self.task!r}; those are {', '.join(sorted(names))}")

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
        upload, kwargs = split_push_keywords(kwargs)
        self._save_own_class(folder)
        self.model.save_pretrained(folder, **kwargs)
        for part in (getattr(self, name) for name in PROCESSORS):
            if part is not None:
                part.save_pretrained(folder)
        for record in self._kept_beside():
            record.save(folder)
        if push:
            push_saved(folder, upload)

    def _save_own_class(self, folder: Path) -> None:
        """Where the class was registered for a task: say so in the config, and put its file beside it."""
        records = PIPELINE_REGISTRY.made_by(type(self))
        config = getattr(self.model, "config", None)
        if not records or config is None:
            return
        module = type(self).__module__.rpartition(".")[2]
        config.custom_pipelines = {
            one.name: {
                "impl": f"{module}.{type(self).__name__}",
                "pt": [getattr(auto, "__name__", auto) for auto in one.model_classes],
                "type": one.kind,
                **({"default": {"model": list(one.default)}} if one.default else {}),
            }
            for one in records
        }
        file = inspect.getsourcefile(type(self)) if module != "__main__" else None
        if file is None:
            notice(f"{type(self).__name__} lies in no file of its own, so none is put beside the model")
        else:
            write_text(folder / f"{module}.py", Path(file).read_text(encoding="utf-8"))

    def _kept_beside(self) -> tuple[Any, ...]:
        """Records that a task keeps beside its model, each with `save(folder)`."""
        return ()

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        model = type(self.model).__name__
        return (
            f"{type(self).__name__}(task={self.task!r}, model={model}, dtype={dtype}, device={self.device})"
        )


class ChunkPipeline(Pipeline):
    """A pipeline whose `preprocess` is a generator: it gives the pieces of one input.

    Every piece goes through `_forward`, `batch_size` of them side by side, also those of different inputs;
    `postprocess` gets the list of what came of one input's pieces.
    """

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer the inputs whose pieces `prepared` gives."""
        found: list[list[Any]] = [[] for _ in prepared]
        pieces = ((place, piece) for place, given in enumerate(prepared) for piece in given)
        while part := list(islice(pieces, call.batch_size or 1)):
            rows = [self._rows(piece) for _, piece in part]
            outputs = self.forward(self._collate([piece for _, piece in part]), **call.forward)
            each = [outputs] if len(part) == 1 else split(outputs, rows)
            for (place, _), output in zip(part, each, strict=True):
                found[place].append(output)
        return [self.postprocess(outputs, **call.postprocess) for outputs in found]


def side_by_side(prepared: Sequence[Any], tokenizer: Any) -> Any:
    """Join what `preprocess` gave for several inputs.

    Tensors are joined along their first axis; where their second axes differ they are padded: `input_ids`
    with the padding token, masks and segment ids with 0. Other values become lists.

    Raises:
        ValueError: when the inputs have different keys, or there is no padding token for ids to be padded.
    """
    if all(isinstance(one, torch.Tensor) for one in prepared):
        return torch.cat(list(prepared))
    if not isinstance(prepared[0], Mapping):
        raise ValueError(
            f"preprocess gave {type(prepared[0]).__name__}, which cannot be batched: return a mapping of "
            "tensors, or leave batch_size out"
        )
    keys = list(prepared[0])
    found: dict[str, Any] = {}
    if any(set(one) != set(keys) for one in prepared):
        raise ValueError(f"preprocess gave different keys for the inputs of one batch (the first has {keys})")
    for key in keys:
        values = [one[key] for one in prepared]
        if not all(isinstance(value, torch.Tensor) for value in values):
            found[key] = values
            continue
        fill: Any = 1 if key in ("special_tokens_mask", "p_mask") else 0
        if key == "input_ids" and len({value.shape[1:2] for value in values}) > 1:
            fill = getattr(tokenizer, "pad_token_id", None)
            if fill is None:
                raise ValueError(
                    "inputs of different length cannot be batched without a padding token: set "
                    "pipe.tokenizer.pad_token = pipe.tokenizer.eos_token, or leave batch_size out"
                )
        found[key] = padded_cat(values, fill, getattr(tokenizer, "padding_side", "right") == "left")
    return found


def _is_on(model: Any, target: torch.device) -> bool:
    """Whether a model is on a device, as far as it says; one without an index is the first of its kind."""
    said: Any = getattr(model, "device", None)
    if said is None and callable(getattr(model, "parameters", None)):
        said = next((parameter.device for parameter in model.parameters()), None)
    if said is None:
        return False
    found = torch.device(said)
    return (found.type, found.index or 0) == (target.type, target.index or 0)


def _named_keywords(function: Any) -> list[str] | None:
    """Names of a function's parameters; None where it takes any keyword."""
    parameters = inspect.signature(function).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    return None if open_ended else list(parameters)


def refuse_framework(framework: str | None) -> None:
    """Refuse a framework other than PyTorch.

    Raises:
        ValueError: naming the one that there is.
    """
    if framework not in (None, "pt"):
        raise ValueError(
            f"framework={framework!r} is not available: models run on PyTorch ('pt'); leave it out"
        )


def whole_number(name: str, value: Any, what: str, least: int = 1) -> int | None:
    """A keyword that counts something, or None.

    Raises:
        ValueError: for what is no whole number, or less than `least`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{name} must be a number of {what}, got {value!r}")
    return int(value)


def number(name: str, value: Any, what: str = "a number") -> float | None:
    """A keyword that measures something, or None.

    Raises:
        ValueError: for what is no single number.
    """
    if value is None:
        return None
    single = (
        hasattr(value, "__float__") and not isinstance(value, (bool, str)) and not getattr(value, "ndim", 0)
    )
    if not single or math.isnan(value):
        raise ValueError(f"{name} must be {what}, got {value!r}")
    return float(value)


def _notice_workers(num_workers: int | None) -> None:
    if num_workers:
        notice(
            f"num_workers={num_workers} has no effect: inputs are prepared without further processes, and "
            "texts are tokenized on threads. Leave it out",
            key="pipeline-num-workers",
        )


@contextlib.contextmanager
def _bar(shown: bool, task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error where one is wanted; gives the function that moves it on."""
    if not (shown and is_progress_bar_enabled()):
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task(task or "pipeline", total=total)
        yield lambda count: bar.advance(line, count)
