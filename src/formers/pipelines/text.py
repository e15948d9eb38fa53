"""Pipelines whose inputs are texts: batched by real tokens, so that nothing is computed on padding."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from formers.core.batching import plan, restore
from formers.core.notices import refuse_unknown
from formers.pipelines.datasets import is_wordlist, refuse_tables
from formers.pipelines.frame import Call, Pipeline, evaluating
from formers.pipelines.inputs import (
    Fitting,
    Prepared,
    Text,
    as_text,
    collate,
    embeddings_of,
    prepare,
    token_limit,
)

# Real tokens in a batch: on a CPU more than its caches hold gains nothing, an accelerator wants to be filled.
CPU_TOKENS = 4096
ACCELERATOR_TOKENS = 32768
# Places of padding beside them: on a CPU models leave padding out, elsewhere it is computed.
CPU_PADDING = 3 * CPU_TOKENS
ACCELERATOR_PADDING = ACCELERATOR_TOKENS // 4

# Keywords of the tokenizer that a call may give, and what this library adds to them.
TEXT_KEYWORDS = (
    "add_special_tokens",
    "long_text",
    "max_length",
    "pad_to_multiple_of",
    "padding",
    "padding_side",
    "stride",
    "truncation",
)
_HOOKS = ("preprocess", "_forward", "forward", "postprocess", "run_single")


class TextPipeline(Pipeline):
    """The frame for texts and pairs of texts.

    Texts longer than the model takes are cut with a notice, unless the call says otherwise:
    `truncation=True` cuts quietly, `truncation=False` or `long_text="error"` refuses, and
    `long_text="window"` runs overlapping windows (`stride` tokens are shared, an eighth of a window unless
    given) whose outputs the task joins. Windows of a pair run over its first text.

    `prepare` and `run` are the two halves of a call, for a server that batches by itself.

    A subclass that overrides `preprocess`, `_forward`, `forward`, `postprocess` or `run_single` is run
    through them.
    """

    _load_tokenizer: ClassVar[bool | None] = True
    _load_feature_extractor: ClassVar[bool | None] = False
    _load_image_processor: ClassVar[bool | None] = False
    _load_video_processor: ClassVar[bool | None] = False
    _load_processor: ClassVar[bool | None] = False

    #: keywords of `run`
    run_keywords: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.tokenizer is None:
            raise ValueError(
                f"{self.task!r} needs a tokenizer beside the model: pass "
                "tokenizer=AutoTokenizer.from_pretrained(...), or the model by its name"
            )
        self._takes = _forward_keywords(self.model)
        on_cpu = self.device.type == "cpu"
        self.max_batch_tokens = CPU_TOKENS if on_cpu else ACCELERATOR_TOKENS
        self.max_batch_padding = CPU_PADDING if on_cpu else ACCELERATOR_PADDING
        Fitting.of(
            self._preprocess_params, self.max_length
        )  # refuse wrong values here, not at the first call

    # -- the two halves of a call ------------------------------------------------------------------

    def prepare(self, inputs: Sequence[Any], **options: Any) -> list[Prepared]:
        """Check, tokenise and fit many inputs.

        Args:
            inputs: strings, pairs, or `{"text": ..., "text_pair": ...}`.
            **options: any of `TEXT_KEYWORDS`, over those of the constructor.

        Raises:
            TypeError: for an input that is none of these, or an unknown option.
            ValueError: for an option outside its choices, or a text too long where that is refused.
        """
        refuse_unknown(options, TEXT_KEYWORDS, f"{type(self).__name__}.prepare")
        refuse_tables(inputs)
        texts = [as_text(item, index) for index, item in enumerate(inputs)]
        return self._prepared(texts, {**self._preprocess_params, **options})

    def run(self, prepared: Sequence[Prepared], **options: Any) -> list[Any]:
        """Answer prepared inputs as one batch: one forward pass within `max_batch_tokens`, else several.

        Threads may call this at the same time.

        Args:
            prepared: what `prepare` gave.
            **options: any of `run_keywords`, over those of the constructor.
        """
        refuse_unknown(options, self.run_keywords, f"{type(self).__name__}.run")
        if not prepared:
            return []
        params = self._postprocess_params
        if options:
            params = {**params, **self._sorted(options)[2]}
        return self._run(prepared, params)

    @abstractmethod
    def _run(self, prepared: Sequence[Prepared], params: Mapping[str, Any]) -> list[Any]:
        """Answer one batch with the keywords of `postprocess`."""

    # -- what is known of the model ----------------------------------------------------------------

    @property
    def max_length(self) -> int | None:
        """Tokens that the model takes at most, special tokens included; None where nothing says."""
        return token_limit(self.model, self.tokenizer)

    @cached_property
    def revision(self) -> str:
        """What tells this model from others: its commit on the Hub, else a hash of its weights."""
        from formers.pipelines.revision import revision_of

        return revision_of(self.model)

    @property
    def fitting_chosen(self) -> bool:
        """Whether its owner said what becomes of texts that are too long (`long_text`, `truncation`)."""
        return bool({"long_text", "truncation"} & self._preprocess_params.keys())

    # -- the frame's hooks -------------------------------------------------------------------------

    def preprocess(self, inputs: Any, **params: Any) -> Any:
        """The model's keywords for one text or pair, [windows, T] each."""
        text = inputs if isinstance(inputs, tuple) else as_text(inputs, None)
        return self._batch(self._prepared([text], params, None), always=True)

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        if "use_cache" in self._takes:
            model_inputs = {**model_inputs, "use_cache": False}
        return self.model(**model_inputs, **params)

    def _is_many(self, inputs: Any) -> bool:
        refuse_tables(inputs)
        return is_wordlist(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        return as_text(item, index)

    def _answers(self, items: list[Any], call: Call) -> list[Any]:
        if self._overridden():
            return super()._answers([_as_given(item) for item in items], call)
        prepared = self._prepared(items, call.preprocess, call.first)
        lengths = [item.length for item in prepared]
        batches = plan(lengths, max_tokens=self.max_batch_tokens, max_items=call.batch_size)
        found: list[Any] = []
        for batch in batches:
            found += self._run([prepared[index] for index in batch], call.postprocess)
            call.done(len(batch))
        return restore(batches, found)

    def run_single(
        self, inputs: Any, preprocess_params: Any, forward_params: Any, postprocess_params: Any
    ) -> Any:
        """Answer one text or pair."""
        if self._overridden():
            given = _as_given(inputs) if isinstance(inputs, tuple) else inputs
            return super().run_single(given, preprocess_params, forward_params, postprocess_params)
        text = inputs if isinstance(inputs, tuple) else as_text(inputs, None)
        return self._run(self._prepared([text], preprocess_params, None), postprocess_params)[0]

    def _overridden(self) -> bool:
        """Whether a subclass outside this package, or an instance, replaced a hook."""
        return any(self._replaced(name) for name in _HOOKS)

    def _replaced(self, name: str) -> bool:
        if name in self.__dict__:
            return True
        owner = next(kind for kind in type(self).__mro__ if name in kind.__dict__)
        return not owner.__module__.startswith("formers.pipelines.")

    # -- inside ------------------------------------------------------------------------------------

    def _prepared(
        self, texts: Sequence[Text], params: Mapping[str, Any], first: int | None = 0
    ) -> list[Prepared]:
        return prepare(self.tokenizer, texts, Fitting.of(params, self.max_length), first)

    def _batch(self, prepared: Sequence[Prepared], *, always: bool = False) -> dict[str, torch.Tensor]:
        """The model's keywords for a batch, on the pipeline's device; `always` as `collate` takes it."""
        pad = _padding_id(self.model, self.tokenizer)
        arrays = collate(prepared, pad_id=pad, types="token_type_ids" in self._takes, always=always)
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}

    def _outputs(self, prepared: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """Logits of every window of a batch, [windows, C] float32."""
        with self.device_placement(), evaluating(self.model), torch.inference_mode():
            lengths = [len(row) for item in prepared for row in item.windows]
            passes = _passes(lengths, self.max_batch_tokens, self.max_batch_padding)
            if len(passes) == 1:
                return self._logits_of(prepared)
            single = _each_window(prepared)
            found = [self._logits_of([single[place] for place in places]) for places in passes]
        logits = np.empty((len(single), found[0].shape[1]), dtype=np.float32)
        for places, part in zip(passes, found, strict=True):
            logits[places] = part
        return logits

    def _logits_of(self, prepared: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """One forward pass: logits [windows, C] float32."""
        logits: npt.NDArray[np.float32] = self._forward(self._batch(prepared))["logits"].float().cpu().numpy()
        return logits


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


def _each_window(prepared: Sequence[Prepared]) -> list[Prepared]:
    """Every window as an input of its own."""
    return [
        Prepared([window], None if item.types is None else [item.types[index]], len(window))
        for item in prepared
        for index, window in enumerate(item.windows)
    ]


def _as_given(text: Text) -> Any:
    """What a hook of a custom pipeline gets: a string, or a mapping for a pair."""
    return text[0] if text[1] is None else {"text": text[0], "text_pair": text[1]}


def _forward_keywords(model: Any) -> frozenset[str]:
    """Names that the model's `forward` takes, through wrappers that say `**kwargs`."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    names = {one.name for one in parameters}
    inner = getattr(model, "base_model", None)
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    if open_ended and inner is not None and inner is not model:
        names |= set(inspect.signature(inner.forward).parameters)
    tables = embeddings_of(model)
    if tables is not None and not (tables.types > 1 or tables.share_types):
        names.discard("token_type_ids")
    return frozenset(names)


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
