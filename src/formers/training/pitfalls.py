"""What goes wrong in training without an error: noticed, each once, with what to do."""

from __future__ import annotations

import dis
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from formers.core.notices import notice
from formers.training.data.columns import column, columns_of

_LOOKED_AT = 256  # examples
_FEW = 8  # examples that end at one length are no coincidence
_WAITED = 0.5  # of the time that training takes
_LONG_ENOUGH = 20.0  # seconds


def notice_pitfalls(trainer: Any) -> None:
    """Look at what a trainer was given, before it starts."""
    if trainer.compute_metrics is not None:
        _notice_undefined(trainer.compute_metrics)
    same = trainer.eval_dataset is not None and trainer.eval_dataset is trainer.train_dataset
    if same and trainer.args.load_best_model_at_end:
        notice(
            "eval_dataset is train_dataset: the best model is chosen by examples that it was fitted to. "
            "dataset.train_test_split(test_size=0.1) keeps some apart",
            key="judged by the training set",
        )
    rows = _tokens(trainer.train_dataset)
    tokenizer = trainer.processing_class
    if rows and hasattr(tokenizer, "model_max_length") and hasattr(tokenizer, "all_special_ids"):
        _notice_skew(rows, tokenizer)


def _notice_undefined(function: Callable[..., Any]) -> None:
    """Names that a function will look for in its module and that are not there, such as `np`."""
    code = getattr(function, "__code__", None)
    known = getattr(function, "__globals__", {})
    if code is None:
        return
    builtins = known.get("__builtins__", {})
    builtins = builtins if isinstance(builtins, dict) else vars(builtins)
    wanted = (step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    missing = [name for name in dict.fromkeys(wanted) if name not in known and name not in builtins]
    if missing:
        usual = {"np": "import numpy as np", "numpy": "import numpy", "torch": "import torch"}
        ways = "; ".join(usual[name] for name in missing if name in usual) or "Define it there"
        notice(
            f"{getattr(function, '__name__', 'compute_metrics')} uses {', '.join(missing)}, which its "
            f"file does not define: it will fail after the first evaluation. {ways}"
        )


def _tokens(dataset: Any) -> list[list[int]]:
    """The first examples' tokens without padding, of a dataset with one label for each; else none."""
    names = columns_of(dataset) or []
    label = next((name for name in ("labels", "label") if name in names), None)
    if label is None or "input_ids" not in names:
        return []
    if not isinstance(dataset, (list, tuple)) and hasattr(dataset, "select"):
        dataset = dataset.select(range(min(_LOOKED_AT, len(dataset))))
    elif isinstance(dataset, (list, tuple)):
        dataset = dataset[:_LOOKED_AT]
    found = [column(dataset, name) for name in (label, "input_ids", "attention_mask")]
    if found[0] is None or found[1] is None or any(hasattr(one, "__len__") for one in found[0]):
        return []
    masks = found[2] if found[2] is not None else iter(lambda: None, 0)
    pairs = islice(zip(found[1], masks, strict=False), _LOOKED_AT)
    return [
        [int(i) for i, real in zip(ids, [1] * len(ids) if mask is None else mask, strict=True) if real]
        for ids, mask in pairs
        if hasattr(ids, "__len__") and not isinstance(ids, Mapping) and not _nested(ids)
    ]


def _nested(ids: Any) -> bool:
    """Whether an example is several texts, as choices are."""
    first = next(iter(ids), 0)
    return isinstance(first, (list, tuple)) or getattr(first, "ndim", 0) > 0


def _notice_skew(rows: list[list[int]], tokenizer: Any) -> None:
    """Texts that were cut, or framed, otherwise than this tokenizer will do it where the model serves."""
    counts = Counter(map(len, rows))
    longest, limit = max(counts), tokenizer.model_max_length
    ending = counts.pop(longest)
    if longest < limit and counts and ending >= max(_FEW, 2 * max(counts.values())):
        notice(
            f"{ending} of the first {len(rows)} examples have {longest} tokens and none has more, so they "
            f"were cut there, and the tokenizer that is saved cuts at {limit}: set "
            f"tokenizer.model_max_length = {longest}, so that texts are cut in service as in training",
            key="cut otherwise in service",
        )
    framed = {tokenizer.cls_token_id, tokenizer.sep_token_id} - {None}
    if framed and framed <= set(tokenizer("a")["input_ids"]) and not any(framed & set(row) for row in rows):
        notice(
            f"no example has {tokenizer.cls_token or tokenizer.sep_token}, which this tokenizer puts around "
            "every text, also in service: leave add_special_tokens=False out where the texts are tokenized",
            key="framed otherwise in service",
        )


def notice_waiting(waited: float, took: float, workers: int) -> None:
    """Say it when training waited for its data most of the time (seconds)."""
    if took > _LONG_ENOUGH and waited > _WAITED * took:
        more = "more dataloader_num_workers" if workers else "dataloader_num_workers=2 or more"
        notice(
            f"Training waited {waited:.0f} of {took:.0f} seconds for its data: tokenize it before training "
            f"(dataset.map(..., batched=True)), or give {more}.",
            key="waiting for data",
        )
