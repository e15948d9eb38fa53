"""Pipelines whose inputs are texts: batched by real tokens, so that nothing is computed on padding."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch

from formers.core.batching import plan, restore
from formers.core.nested import split
from formers.core.notices import refuse_unknown
from formers.pipelines.datasets import is_wordlist, refuse_tables
from formers.pipelines.frame import FRAME_KEYWORDS, Call, Pipeline, side_by_side
from formers.pipelines.registry import PIPELINE_REGISTRY
from formers.pipelines.text.inputs import Fitting, Prepared, as_text, collate, prepare
from formers.tasks.table import AUTO, task_of
from formers.tokenization.options import LARGEST_LIMIT
from formers.tokenization.recipes import limit_of

# Texts that are tokenized before their batches are planned.
_AHEAD = 8192
# Real tokens in a batch: on a CPU more than its caches hold gains nothing, an accelerator wants to be filled.
CPU_TOKENS = 4096
ACCELERATOR_TOKENS = 32768
# Places of padding beside them: on a CPU models leave padding out, elsewhere it is computed.
CPU_PADDING = 3 * CPU_TOKENS
ACCELERATOR_PADDING = ACCELERATOR_TOKENS // 4

# Keywords of the tokenizer that a call may give, and what this library adds to them.
TEXT_KEYWORDS = (
    *("add_special_tokens", "long_text", "max_length", "pad_to_multiple_of", "padding", "padding_side"),
    *("stride", "truncation"),
)


class TextPipeline(Pipeline):
    """The frame for texts and pairs of texts.

    Texts longer than the model takes are cut with a notice, unless the call says otherwise:
    `truncation=True` cuts quietly, `truncation=False` or `long_text="error"` refuses, and
    `long_text="window"` runs overlapping windows (`stride` tokens are shared, an eighth of a window unless
    given) whose outputs the task joins. Windows of a pair run over its first text.

    Batches are planned by real tokens as long as every step runs over batches; a subclass that replaces one
    for single items gets `batch_size` inputs at a time, 1 unless given, as any pipeline of one's own.

    `prepare` and `run` are the two halves of a call, for a server that batches by itself.
    """

    _load_tokenizer: ClassVar[bool | None] = True
    _load_feature_extractor: ClassVar[bool | None] = False
    _load_image_processor: ClassVar[bool | None] = False
    _load_video_processor: ClassVar[bool | None] = False
    _load_processor: ClassVar[bool | None] = False

    #: whether a long text may be read in windows
    windowed: ClassVar[bool] = True
    #: keywords of `prepare`, and of `run`
    prepare_keywords: ClassVar[tuple[str, ...]] = TEXT_KEYWORDS
    run_keywords: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.tokenizer is None:
            raise ValueError(
                f"{self.task!r} needs a tokenizer beside the model: pass "
                "tokenizer=AutoTokenizer.from_pretrained(...), or the model by its name"
            )
        if self.default_task:
            _refuse_other_heads(self.model, self.task, self.default_task)
        self._takes = _forward_keywords(self.model)
        config: Any = getattr(self.model, "config", None)
        said = config.to_dict() if hasattr(config, "to_dict") else getattr(config, "__dict__", {})
        stack = _text_stack(self.model)
        self._positions = limit_of(said) if stack is None else stack.room
        on_cpu = self.device.type == "cpu"
        self.max_batch_tokens = CPU_TOKENS if on_cpu else ACCELERATOR_TOKENS
        self.max_batch_padding = CPU_PADDING if on_cpu else ACCELERATOR_PADDING
        # refuse wrong values here, not at the first call
        self._fitting(self._preprocess_params)

    # -- the two halves of a call ------------------------------------------------------------------

    def prepare(self, inputs: Sequence[Any], **options: Any) -> list[Prepared]:
        """Check, tokenise and fit many inputs.

        Args:
            inputs: strings, pairs, or `{"text": ..., "text_pair": ...}`.
            **options: any of `prepare_keywords`, over those of the constructor.

        Raises:
            TypeError: for an input that is none of these, or an unknown option.
            ValueError: for an option outside its choices, or a text too long where that is refused.
        """
        refuse_unknown(options, self.prepare_keywords, f"{type(self).__name__}.prepare")
        refuse_tables(inputs)
        return self.preprocess_batch(inputs, 0, **{**self._preprocess_params, **options})

    def run(self, prepared: Sequence[Prepared], **options: Any) -> list[Any]:
        """Answer prepared inputs as one batch: one forward pass within `max_batch_tokens`, else several.

        Threads may call this at the same time.

        Args:
            prepared: what `prepare` gave.
            **options: any of `run_keywords`, over those of the constructor.
        """
        refuse_unknown(options, self.run_keywords, f"{type(self).__name__}.run")
        return self._run(prepared, self._call(options)) if prepared else []

    # -- what is known of the model ----------------------------------------------------------------

    @property
    def max_length(self) -> int | None:
        """Tokens that the model takes at most, special tokens included; None where nothing says."""
        named: Any = getattr(self.tokenizer, "model_max_length", None)
        limited = isinstance(named, int | float) and 0 < named < LARGEST_LIMIT
        limits = (self._positions, int(named) if limited else None)
        return min((limit for limit in limits if limit is not None), default=None)

    @cached_property
    def revision(self) -> str:
        """What tells this model from others: its commit on the Hub, else a hash of its weights."""
        from formers.model.revision import revision_of

        return revision_of(self.model)

    @property
    def fitting_chosen(self) -> bool:
        """Whether its owner said what becomes of texts that are too long (`long_text`, `truncation`)."""
        return bool({"long_text", "truncation"} & self._preprocess_params.keys())

    # -- the steps ---------------------------------------------------------------------------------

    def preprocess(self, inputs: Any, **params: Any) -> Any:
        """The model's keywords for one text or pair, [windows, T] each."""
        return self._tensors(self.preprocess_batch([inputs], **params), always=True)

    def preprocess_batch(
        self, inputs: Sequence[Any], first: int | None = None, **params: Any
    ) -> list[Prepared]:
        """Tokenise texts and pairs, and fit them to the model."""
        texts = [as_text(item, None if first is None else first + i) for i, item in enumerate(inputs)]
        return prepare(self.tokenizer, texts, self._fitting(params), first)

    def _fitting(self, params: Mapping[str, Any]) -> Fitting:
        """What becomes of texts, by the keywords of a call."""
        found = Fitting.of(params, self.max_length)
        if found.long_text == "window" and not self.windowed:
            raise ValueError(f"{self.task!r} reads a text in one piece: pass long_text='truncate' or 'error'")
        return found

    def _text_keywords(
        self, given: Mapping[str, Any], inner: Mapping[str, Any] | None = None, name: str = ""
    ) -> dict[str, Any]:
        """Those of `prepare_keywords` in a call, also inside its mapping `name`.

        Raises:
            TypeError: for an unknown one.
            ValueError: for one in both places.
        """
        inner = dict(inner or {})
        refuse_unknown(inner, self.prepare_keywords, f"{type(self).__name__}'s {name}")
        for twice in given.keys() & inner.keys():
            raise ValueError(f"{twice} is given twice, beside {name} and in it: leave one out")
        known = (*self.run_keywords, *self.prepare_keywords, *FRAME_KEYWORDS, *([name] if name else []))
        refuse_unknown(given, known, type(self).__name__)
        return {key: value for key, value in {**given, **inner}.items() if key in self.prepare_keywords}

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        fixed = {"use_cache": False, "return_dict": True}
        known = {name: value for name, value in fixed.items() if name in self._takes}
        return self.model(**{**known, **model_inputs, **params})

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """The model's outputs with a row for every window; in several passes where one would be too large.

        Where all steps run over batches these are inference tensors: copy them before a change in place.
        """
        if not self._whole_batches():
            return super().forward_batch(prepared, **params)
        with torch.inference_mode():
            lengths = [len(window) for item in prepared for window in item.windows]
            passes = _passes(lengths, self.max_batch_tokens, self.max_batch_padding)
            if len(passes) == 1:
                return self.forward(self._tensors(prepared), **params)
            windows = [window for item in prepared for window in item.alone()]
            found: list[Any] = []
            for places in passes:
                outputs = self.forward(self._tensors([windows[place] for place in places]), **params)
                found += split(dict(outputs.items()), [1] * len(places))
            return side_by_side(restore(passes, found), self.tokenizer)

    def _collate(self, prepared: Sequence[Any]) -> Any:
        """The model's keywords for a batch, padded as any tokenizer does: a subclass reads or makes them."""
        given = [self._tensors([one], always=True) if isinstance(one, Prepared) else one for one in prepared]
        return super()._collate(given)

    def _rows(self, prepared: Any) -> int:
        """How many windows an input has."""
        return len(prepared.windows) if isinstance(prepared, Prepared) else super()._rows(prepared)

    def _whole_batches(self) -> bool:
        """Whether every step runs over batches, none of them item by item."""
        return not any(map(self._by_item, ("preprocess", "forward", "postprocess")))

    def _batches(self, items: list[Any], call: Call, first: int) -> Iterator[tuple[Sequence[int], list[Any]]]:
        if not self._whole_batches():
            yield from super()._batches(items, call, first)
            return
        for start in range(0, len(items), _AHEAD):
            prepared = self._prepared(items[start : start + _AHEAD], call, first + start)
            lengths = [item.length for item in prepared]
            for places in plan(lengths, max_tokens=self.max_batch_tokens, max_items=call.batch_size):
                yield [start + place for place in places], [prepared[place] for place in places]

    def _is_many(self, inputs: Any) -> bool:
        refuse_tables(inputs)
        return is_wordlist(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        """A string, or a mapping for a pair."""
        if isinstance(item, str):
            return item
        text, pair = as_text(item, index)
        return text if pair is None else {"text": text, "text_pair": pair}

    def _tensors(self, prepared: Sequence[Prepared], always: bool = False) -> dict[str, torch.Tensor]:
        """The model's keywords for a batch, on the pipeline's device; `always` as `collate` takes it."""
        pad = _padding_id(self.model, self.tokenizer)
        arrays = collate(prepared, pad_id=pad, types="token_type_ids" in self._takes, always=always)
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}


def _passes(lengths: list[int], max_tokens: int, max_padding: int) -> list[list[int]]:
    """Split rows into forward passes of at most `max_tokens` real tokens and `max_padding` places of padding.

    A batch is planned by its real tokens. One long row among many short ones, or the windows of a long text,
    can still make it many times that once it is padded.
    """
    total = sum(lengths)
    if total <= max_tokens and len(lengths) * max(lengths) - total <= max_padding:
        return [list(range(len(lengths)))]
    passes: list[list[int]] = []
    longest = tokens = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        tokens += lengths[place]
        padding = (len(passes[-1]) + 1) * longest - tokens if passes else 0
        if not passes or tokens > max_tokens or padding > max_padding:
            passes.append([])
            longest = tokens = lengths[place]
        passes[-1].append(place)
    return passes


def _refuse_other_heads(model: Any, task: str, default_task: str) -> None:
    """Refuse a class of this library that answers another task: its outputs would be misread."""
    from formers.model.base import PreTrainedModel
    from formers.models.classes import find

    name, task_here = type(model).__name__, task_of(model)
    record = PIPELINE_REGISTRY.get(default_task)
    made_here = task_here is not None or find(name) is type(model)
    if not isinstance(model, PreTrainedModel) or not made_here or not record.heads:
        return
    # by what it computes: class names end alike for other tasks, and a subclass may have any name
    answers = {key for auto in record.model_classes for key in AUTO[str(auto)][0]}
    if record.answered_by(name) if task_here is None else task_here.key in answers:
        return
    auto = str(record.model_classes[0]).removeprefix("AutoModelFor")
    head = re.sub("(?<=[a-z])(?=[A-Z])", "-", auto).lower()
    raise ValueError(
        f"{task!r} needs a model with a {head} head, got {name}: "
        f"load it with {record.model_classes[0]}.from_pretrained(...)"
    )


def _forward_keywords(model: Any) -> frozenset[str]:
    """Names that the model's `forward` takes, through wrappers that say `**kwargs`."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    names = {one.name for one in parameters}
    inner = getattr(model, "base_model", None)
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    if open_ended and inner is not None and inner is not model:
        names |= set(inspect.signature(inner.forward).parameters)
    stack = _text_stack(model)
    stem = getattr(stack, "stem", None)
    if stem is not None and stem.types <= 1 and not (stem.kinds or stem.share_types):
        names.discard("token_type_ids")
    return frozenset(names)


def _text_stack(model: Any) -> Any:
    """The spec of the stack that reads the texts, or None; with a model at hand its modules are loaded."""
    from formers.model.structure import text_stack

    return text_stack(model)


def _padding_id(model: Any, tokenizer: Any) -> int:
    """What stands in a row where it has no token: the model's padding token, else the tokenizer's, else 0.

    The model's comes first because decoders find the end of a row by it.
    """
    config = getattr(model, "config", None)
    for owner in (config, tokenizer):
        found = getattr(owner, "pad_token_id", None)
        if isinstance(found, int) and 0 <= found < (getattr(config, "vocab_size", None) or found + 1):
            return found
    return 0
