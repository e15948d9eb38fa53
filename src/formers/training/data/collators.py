"""Collators: from a list of examples to a batch of tensors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from formers.core.arrays import pad_to_array
from formers.core.notices import suggest_keywords
from formers.training.data import words
from formers.training.data.values import LABELS, is_missing, is_text, told
from formers.training.losses import IGNORED

DataCollator = Callable[[list[Any]], dict[str, Any]]

# what stands at padding, by field; `input_ids` and `token_type_ids` ask the tokenizer
_FILL = {"attention_mask": 0, "special_tokens_mask": 1, "position_ids": 0, "decoder_attention_mask": 0}


def _rows(features: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Examples as mappings; other objects by their attributes."""
    if not features:
        raise ValueError("a batch needs at least one example, got none")
    if isinstance(features[0], Mapping):
        first = features[0].keys()
        if any(row.keys() != first for row in features):
            for name in dict.fromkeys(chain.from_iterable(features)):
                is_missing(features, name)
        return list(features)
    if not hasattr(features[0], "__dict__"):
        raise TypeError(
            f"an example is a mapping such as {{'input_ids': [...], 'labels': 1}}, not a "
            f"{type(features[0]).__name__}; pass a data_collator that makes a batch of yours"
        )
    return [vars(feature) for feature in features]


def _deliver(batch: dict[str, Any], return_tensors: str) -> dict[str, Any]:
    if return_tensors == "pt":
        return batch
    if return_tensors == "np":
        return {name: value.numpy() if isinstance(value, Tensor) else value for name, value in batch.items()}
    raise ValueError(f"return_tensors must be 'pt' or 'np', got {return_tensors!r}")


def _is_row(value: Any) -> bool:
    """Whether a value has a length: a list, or an array or tensor that is no single number."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.ndim > 0
    return isinstance(value, (list, tuple))


def _is_ragged(values: Sequence[Any]) -> bool:
    return len({len(value) for value in values}) > 1


def stack(values: Sequence[Any], name: str) -> Tensor:
    """Stack equal-shaped values (numbers, lists, arrays, tensors) into one tensor.

    Raises:
        ValueError: where shapes differ, naming the field and the way out.
    """
    first = values[0]
    if isinstance(first, Tensor):
        if len({value.shape for value in values}) == 1:
            return torch.stack(list(values))
        lengths = sorted({tuple(value.shape) for value in values})
    elif isinstance(first, np.ndarray):
        if len({value.shape for value in values}) == 1:
            return torch.from_numpy(np.stack(list(values)))
        lengths = sorted({value.shape for value in values})
    elif isinstance(first, (list, tuple)):
        if not _is_ragged(values):
            if first and isinstance(first[0], (Tensor, np.ndarray)):
                return torch.stack([stack(value, name) for value in values])
            return torch.tensor(np.array([list(value) for value in values]).tolist())
        lengths = sorted({(len(value),) for value in values})
    else:
        return torch.tensor(list(values))
    raise ValueError(
        f"the examples of this batch differ in {name!r} ({lengths[0]} to {lengths[-1]}), so they cannot be "
        "stacked: pass the tokenizer as processing_class, or DataCollatorWithPadding(tokenizer) as "
        "data_collator, to pad them"
    )


def _label_of(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The field with the labels; None where the rows have none."""
    return next((n for n in ("labels", "label") if n in rows[0] and not is_missing(rows, n)), None)


def _labels(values: Sequence[Any]) -> Tensor:
    """Whole numbers as int64, others as float32."""
    if isinstance(values[0], (Tensor, np.ndarray)):
        made = stack(values, "labels")
    else:
        made = torch.tensor(list(values))
    if made.is_floating_point():
        return made.float() if made.dtype == torch.float64 and not isinstance(values[0], Tensor) else made
    return made.long() if made.dtype != torch.int64 else made


@told
def default_data_collator(features: list[Any], return_tensors: str = "pt") -> dict[str, Any]:
    """Stack every field; `label` and `label_ids` become `labels`. Text and None are left out."""
    rows = _rows(features)
    batch: dict[str, Any] = {}
    for name, first in rows[0].items():
        if is_missing(rows, name) or is_text(name, first):
            continue
        values = [row[name] for row in rows]
        if name in LABELS:
            if "labels" not in batch or name == "labels":
                plain = not isinstance(first, (list, tuple)) or not _is_ragged(values)
                batch["labels"] = _labels(values) if plain else stack(values, name)
        else:
            batch[name] = stack(values, name)
    return _deliver(batch, return_tensors)


@dataclasses.dataclass
class DefaultDataCollator:
    """`default_data_collator` as an object."""

    return_tensors: str = "pt"

    def __call__(self, features: list[Any], return_tensors: str | None = None) -> dict[str, Any]:
        """Stack the examples."""
        return default_data_collator(features, return_tensors or self.return_tensors)


def pad_ids(rows: Sequence[Any], fill: int, *, width: int, left: bool = False) -> Tensor:
    """Rows of whole numbers (lists, arrays, tensors) as one int64 tensor [B, width], padded with `fill`."""
    plain = [row.tolist() if isinstance(row, (Tensor, np.ndarray)) else row for row in rows]
    # one number with a fraction makes the sum one: the array would cut it off
    if isinstance(sum(map(sum, plain)), float):
        cut = next((one for one in chain.from_iterable(plain) if one != int(one)), None)
        if cut is not None:
            raise ValueError(f"ids and labels of tokens are whole numbers, and one of this batch is {cut!r}")
    return torch.from_numpy(pad_to_array(plain, width, "left" if left else "right", fill))


class DataCollatorMixin:
    """A collator of one's own: it defines `torch_call` (rows -> a batch of tensors) or `numpy_call`."""

    return_tensors: str = "pt"

    def __call__(self, features: Any, return_tensors: str | None = None) -> Any:
        """The batch, in the form that is asked for: "pt" or "np".

        Raises:
            ValueError: for another form.
            NotImplementedError: where the collator has not got that one.
        """
        kind = return_tensors or self.return_tensors
        if kind not in ("pt", "np"):
            raise ValueError(f"return_tensors={kind!r} is not known; it is 'pt' or 'np'")
        return self.torch_call(features) if kind == "pt" else self.numpy_call(features)

    def torch_call(self, examples: Any) -> Any:
        """A batch of tensors."""
        raise NotImplementedError(f"{type(self).__name__} has no torch_call, which 'pt' asks for")

    def numpy_call(self, examples: Any) -> Any:
        """A batch of arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no numpy_call, which 'np' asks for")


@suggest_keywords
@dataclasses.dataclass
class DataCollatorWithPadding:
    """Pads the examples to the longest of the batch (or to `max_length`) and stacks them.

    Args:
        tokenizer: says what stands at padding, and on which side.
        padding: True or "longest", "max_length", or False (examples must be of equal length).
        max_length: the width with padding="max_length".
        pad_to_multiple_of: round the width up to a multiple of it.
        return_tensors: "pt" or "np".
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    @told
    def __call__(self, features: list[Any]) -> dict[str, Any]:
        """Pad and stack."""
        rows = _rows(features)
        if "input_ids" not in rows[0]:
            return self._by_processor(features)
        batch = self.padded(rows)
        for old in ("label", "label_ids"):
            if old in batch:
                batch.setdefault("labels", batch.pop(old))
        return _deliver(batch, self.return_tensors)

    def _by_processor(self, features: list[Any]) -> dict[str, Any]:
        pad = getattr(self.tokenizer, "pad", None)
        if pad is None or not hasattr(self.tokenizer, "feature_size"):
            return default_data_collator(features, self.return_tensors)
        batch: dict[str, Any] = dict(
            pad(
                features,
                padding=self.padding,
                max_length=self.max_length,
                pad_to_multiple_of=self.pad_to_multiple_of,
                return_tensors=self.return_tensors,
            )
        )
        return batch

    def padded(self, rows: Sequence[Mapping[str, Any]], skip: Sequence[str] = ()) -> dict[str, Any]:
        """The fields of the examples as tensors of one width, but those of `skip`."""
        ids = [row["input_ids"] for row in rows]
        lengths = [len(row) for row in ids]
        width = self.width_of(lengths)
        ragged = any(length != width for length in lengths)
        left = getattr(self.tokenizer, "padding_side", "right") == "left"
        batch: dict[str, Any] = {}
        for name, first in rows[0].items():
            if name in skip or is_missing(rows, name) or is_text(name, first):
                continue
            values = [row[name] for row in rows]
            if name in LABELS and not _is_row(first) or name in LABELS and not _is_ragged(values):
                batch[name] = _labels(values)
            elif _is_row(first) and (name in _FILL or name in ("input_ids", "token_type_ids")):
                batch[name] = pad_ids(values, self._fill(name, ragged), width=width, left=left)
            else:
                batch[name] = stack(values, name)
        wants_mask = "attention_mask" in getattr(self.tokenizer, "model_input_names", ["attention_mask"])
        if wants_mask and "attention_mask" not in batch:
            batch["attention_mask"] = pad_ids([[1] * n for n in lengths], 0, width=width, left=left)
        return batch

    def _fill(self, name: str, ragged: bool) -> int:
        if name == "input_ids":
            fill = getattr(self.tokenizer, "pad_token_id", None)
            if fill is None:
                if not ragged:
                    return 0  # nothing to fill
                raise ValueError(
                    "the examples differ in length, but the tokenizer has no padding token: set "
                    "tokenizer.pad_token = tokenizer.eos_token (and model.config.pad_token_id)"
                )
            return int(fill)
        if name == "token_type_ids":
            return int(getattr(self.tokenizer, "pad_token_type_id", 0) or 0)
        return _FILL[name]

    def width_of(self, lengths: Sequence[int]) -> int:
        """The width that examples of these lengths are padded to."""
        longest = max(lengths)
        if self.padding == "max_length":
            width = self.max_length or getattr(self.tokenizer, "model_max_length", None) or longest
            if width > 1_000_000:
                raise ValueError(
                    "padding='max_length' needs max_length: the tokenizer records no length limit"
                )
            if width < longest:
                raise ValueError(
                    f"an example has {longest} tokens, max_length is {width}: cut it when tokenizing"
                )
            longest = width
        elif self.padding in (False, "do_not_pad", None) and len(set(lengths)) > 1:
            raise ValueError(f"padding is off, but the examples have {min(lengths)} to {longest} tokens")
        multiple = self.pad_to_multiple_of or 1
        return -(-longest // multiple) * multiple


@suggest_keywords
@dataclasses.dataclass
class DataCollatorForTokenClassification(DataCollatorWithPadding):
    """Pads inputs, and labels [T] of each example with `label_pad_token_id`."""

    label_pad_token_id: int = IGNORED

    @told
    def __call__(self, features: list[Any]) -> dict[str, Any]:
        """Pad and stack."""
        rows = _rows(features)
        name = _label_of(rows)
        if name is None:
            return super().__call__(features)
        batch = self.padded(rows, skip=("labels", "label"))
        for index, row in enumerate(rows):
            if len(row[name]) != len(row["input_ids"]):
                raise ValueError(
                    f"row {index + 1} of this batch has {len(row['input_ids'])} tokens and {len(row[name])} "
                    "labels: give every token one, -100 where none counts (word_ids() of the tokenized text "
                    "tells the word of each token)"
                )
        left = getattr(self.tokenizer, "padding_side", "right") == "left"
        width = batch["input_ids"].shape[1]
        batch["labels"] = pad_ids(
            [row[name] for row in rows], self.label_pad_token_id, width=width, left=left
        )
        return _deliver(batch, self.return_tensors)


@suggest_keywords
@dataclasses.dataclass
class DataCollatorForSeq2Seq:
    """Pads inputs and targets of their own lengths; the model makes `decoder_input_ids` from the labels."""

    tokenizer: Any
    model: Any = None
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: str = "pt"

    @told
    def __call__(self, features: list[Any], return_tensors: str | None = None) -> dict[str, Any]:
        """Pad and stack."""
        rows = _rows(features)
        inner = DataCollatorWithPadding(
            self.tokenizer, self.padding, self.max_length, self.pad_to_multiple_of
        )
        name = _label_of(rows)
        batch = inner.padded(rows, skip=("label", "labels"))
        if name is not None:
            labels = [row[name] for row in rows]
            width = inner.width_of([len(label) for label in labels])
            left = getattr(self.tokenizer, "padding_side", "right") == "left"
            batch["labels"] = pad_ids(labels, self.label_pad_token_id, width=width, left=left)
            prepare = getattr(self.model, "prepare_decoder_input_ids_from_labels", None)
            if prepare is not None and "decoder_input_ids" not in batch:
                batch["decoder_input_ids"] = prepare(labels=batch["labels"])
        return _deliver(batch, return_tensors or self.return_tensors)


@suggest_keywords
@dataclasses.dataclass
class DataCollatorForMultipleChoice(DataCollatorWithPadding):
    """Pads examples whose fields are lists over choices: tensors [B, C, T]."""

    @told
    def __call__(self, features: list[Any]) -> dict[str, Any]:
        """Pad over all choices, then fold them back."""
        rows = _rows(features)
        label = _label_of(rows)
        choices = len(rows[0]["input_ids"])
        for index, row in enumerate(rows):
            if len(row["input_ids"]) != choices:
                raise ValueError(
                    f"row {index + 1} of this batch has {len(row['input_ids'])} choices, row 1 has "
                    f"{choices}: give all rows as many"
                )
        fields = [n for n, first in rows[0].items() if n not in LABELS and not isinstance(first, str)]
        flat = [{name: row[name][choice] for name in fields} for row in rows for choice in range(choices)]
        batch = {
            name: value.view(len(rows), choices, *value.shape[1:])  # [B, C, T]
            for name, value in self.padded(flat).items()
        }
        if label is not None:
            batch["labels"] = _labels([row[label] for row in rows])
        return _deliver(batch, self.return_tensors)


@suggest_keywords
@dataclasses.dataclass
class DataCollatorWithFlattening:
    """Lays all examples of a batch end to end as one row [1, N], with positions that start anew for each.

    For models that take packed rows. The first label of each example becomes `separator_id`, so that no
    loss crosses a border.
    """

    return_position_ids: bool = True
    separator_id: int = IGNORED
    return_flash_attn_kwargs: bool = False
    return_seq_idx: bool = False
    return_tensors: str = "pt"

    @told
    def __call__(
        self, features: list[Any], return_tensors: str | None = None, separator_id: int | None = None
    ) -> dict[str, Any]:
        """Concatenate the examples."""
        rows = _rows(features)
        border = self.separator_id if separator_id is None else separator_id
        ids = [list(row["input_ids"]) for row in rows]
        lengths = [len(row) for row in ids]
        label = _label_of(rows)
        batch: dict[str, Any] = {"input_ids": list(chain.from_iterable(ids)), "labels": []}
        for row, tokens in zip(rows, ids, strict=True):
            batch["labels"] += [border, *list(row[label] if label else tokens)[1:]]
        if self.return_position_ids:
            batch["position_ids"] = list(chain.from_iterable(range(n) for n in lengths))
        if self.return_seq_idx:
            batch["seq_idx"] = list(chain.from_iterable([i] * n for i, n in enumerate(lengths)))
        tensors: dict[str, Any] = {name: torch.tensor([value]) for name, value in batch.items()}  # [1, N]
        if self.return_seq_idx:
            tensors["seq_idx"] = tensors["seq_idx"].int()
        if self.return_flash_attn_kwargs:
            bounds = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
            tensors["cu_seq_lens_q"] = tensors["cu_seq_lens_k"] = bounds
            tensors["max_length_q"] = tensors["max_length_k"] = max(lengths)
        return _deliver(tensors, return_tensors or self.return_tensors)


def _special_tokens(tokenizer: Any, inputs: Tensor, given: Tensor | None) -> Tensor:
    """Where in `inputs` [B, T] no token of a text stands: padding, and special tokens (`given` or by id)."""
    if given is not None:
        special = given.bool()
    else:
        ids = torch.tensor(sorted(set(tokenizer.all_special_ids)), dtype=inputs.dtype)
        special = torch.isin(inputs, ids)
    pad = getattr(tokenizer, "pad_token_id", None)
    return special | (inputs == pad) if pad is not None else special


@suggest_keywords
@dataclasses.dataclass
class DataCollatorForLanguageModeling:
    """Batches for masked (`mlm=True`) or causal language modelling.

    Masked: a share `mlm_probability` of the tokens that are not special is to be predicted (Devlin et al.
    2019, section 3.1); of these, `mask_replace_prob` become the mask token, `random_replace_prob` a random
    token, and the rest stay. Causal: labels are the inputs, with -100 at padding.

    Args:
        tokenizer: with a mask token for `mlm=True`.
        mlm: masked or causal.
        mlm_probability: share of tokens to predict.
        whole_word_mask: choose words, not tokens. Words are known by a column `word_ids`, else by the marks
            of the tokens (WordPiece, byte-level BPE, SentencePiece), else by a column `offset_mapping`.
        mask_replace_prob: share of them that become the mask token.
        random_replace_prob: share of them that become a random token.
        pad_to_multiple_of: round the width up to a multiple of it.
        return_tensors: "pt" or "np".
        seed: of a generator of its own; without it the global one serves.
    """

    tokenizer: Any
    mlm: bool = True
    mlm_probability: float | None = 0.15
    whole_word_mask: bool = False
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.mlm:
            if getattr(self.tokenizer, "mask_token_id", None) is None:
                raise ValueError(
                    "mlm=True needs a tokenizer with a mask token; for a causal model pass mlm=False"
                )
            if self.mlm_probability is None or not 0 < self.mlm_probability <= 1:
                raise ValueError(f"mlm_probability must be above 0 and at most 1, got {self.mlm_probability}")
        elif self.whole_word_mask:
            raise ValueError("whole_word_mask=True hides words of masked language modelling: pass mlm=True")
        shares = (self.mask_replace_prob, self.random_replace_prob)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"mask_replace_prob and random_replace_prob must add up to at most 1, got {shares}"
            )
        self._generator: torch.Generator | None = None
        if self.seed is not None:
            self._generator = torch.Generator()
            self._generator.manual_seed(self.seed)

    @told
    def __call__(self, features: list[Any], return_tensors: str | None = None) -> dict[str, Any]:
        """Pad, then hide tokens or copy labels."""
        rows: list[Mapping[str, Any]] = [
            row if isinstance(row, Mapping) else {"input_ids": row} for row in features
        ]
        inner = DataCollatorWithPadding(self.tokenizer, pad_to_multiple_of=self.pad_to_multiple_of)
        batch = inner.padded(rows, skip=("word_ids", "offset_mapping", "labels", "label"))
        special = batch.pop("special_tokens_mask", None)
        if self.mlm:
            examples = rows if self.whole_word_mask else None
            batch["input_ids"], batch["labels"] = self.torch_mask_tokens(
                batch["input_ids"], special, examples
            )
        else:
            labels = batch["input_ids"].clone()
            mask = batch.get("attention_mask")
            # by the mask, not by the id: a padding token may also be the end token, to be learnt
            labels[mask == 0 if mask is not None else labels == self.tokenizer.pad_token_id] = IGNORED
            batch["labels"] = labels
        return _deliver(batch, return_tensors or self.return_tensors)

    def torch_mask_tokens(
        self,
        inputs: Tensor,
        special_tokens_mask: Tensor | None = None,
        examples: Sequence[Mapping[str, Any]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Hide tokens of `inputs` [B, T]; returns new inputs, and labels with -100 elsewhere.

        With `examples`, what `inputs` were padded from, words are hidden whole.
        """
        special = _special_tokens(self.tokenizer, inputs, special_tokens_mask)
        share = float(self.mlm_probability or 0.0)
        if examples is not None:
            chosen = self._whole_words(inputs, special, examples, share)
        else:
            chosen = (torch.rand(inputs.shape, generator=self._generator) < share) & ~special
        labels = inputs.masked_fill(~chosen, IGNORED)
        fate = torch.rand(inputs.shape, generator=self._generator)
        hidden = chosen & (fate < self.mask_replace_prob)
        swapped = chosen & ~hidden & (fate < self.mask_replace_prob + self.random_replace_prob)
        random_ids = torch.randint(len(self.tokenizer), inputs.shape, generator=self._generator)
        replaced = inputs.masked_fill(hidden, self.tokenizer.mask_token_id)
        return torch.where(swapped, random_ids, replaced), labels

    @functools.cached_property
    def _marks(self) -> words.Marks | None:
        return words.marks_of(self.tokenizer)

    def _whole_words(
        self, inputs: Tensor, special: Tensor, rows: Sequence[Mapping[str, Any]], share: float
    ) -> Tensor:
        """Draw once for each word, and choose all its pieces."""
        left = getattr(self.tokenizer, "padding_side", "right") == "left"
        numbers = []
        for place, row in enumerate(rows):
            length, width = len(row["input_ids"]), inputs.shape[1]
            real = slice(width - length, width) if left else slice(length)
            tokens = self.tokenizer.convert_ids_to_tokens(inputs[place, real].tolist())
            known = special[place, real].tolist()
            numbers.append(words.numbers_of(row, [str(token) for token in tokens], known, self._marks))
        groups = pad_ids(
            numbers, 0, width=inputs.shape[1], left=left
        )  # [B, T]: number of the word in its row
        draws = torch.rand(inputs.shape, generator=self._generator) < share
        return draws.gather(1, groups) & ~special


@suggest_keywords
@dataclasses.dataclass
class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """Masked language modelling that hides whole words."""

    whole_word_mask: bool = True


@suggest_keywords
@dataclasses.dataclass
class DataCollatorForPermutationLanguageModeling:
    """Batches for permutation language modelling with partial prediction (Yang et al. 2019, section 2.3).

    Targets are spans: of a context of `L / plm_probability` tokens, `L` neighbours are to be predicted, with
    `L` drawn from 1 to `max_span_length`. All other tokens come first in the order of factorisation, so
    they see no target; targets follow in an order drawn anew for each text, and see those before them. The
    first half of a row comes before the second, as a model with memory keeps it for the next segment: rows
    of odd width get one place of padding.

    A batch has `input_ids` [B, T] (int64), `perm_mask` [B, T, T] (float32, 1 where position i does not see
    position j), `target_mapping` [B, T, T] (float32, the identity: the i-th prediction is of the i-th
    token), `labels` [B, T] (int64, -100 but at targets).

    Args:
        tokenizer: with a mask token, where targets are hidden.
        plm_probability: share of the tokens to predict; 1 / K in the paper.
        max_span_length: most tokens of one span.
        return_tensors: "pt" or "np".
        hide_targets: put the mask token in place of targets, as other collators of this name do. False
            leaves them, as the paper does: a target then sees what those before it are.
        seed: of a generator of its own; without it the global one serves.

    Raises:
        ValueError: for a tokenizer without a mask token, a share outside (0, 1], spans below 1, and for rows
            that need padding where the tokenizer has none.
    """

    tokenizer: Any
    plm_probability: float = 1 / 6
    max_span_length: int = 5
    return_tensors: str = "pt"
    hide_targets: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.hide_targets and getattr(self.tokenizer, "mask_token_id", None) is None:
            raise ValueError("hiding targets needs a tokenizer with a mask token; or pass hide_targets=False")
        if not 0 < self.plm_probability <= 1:
            raise ValueError(f"plm_probability must be above 0 and at most 1, got {self.plm_probability}")
        if not isinstance(self.max_span_length, int) or self.max_span_length < 1:
            raise ValueError(f"max_span_length must be a whole number above 0, got {self.max_span_length!r}")
        self._generator: torch.Generator | None = None
        if self.seed is not None:
            self._generator = torch.Generator()
            self._generator.manual_seed(self.seed)

    @told
    def __call__(self, features: list[Any], return_tensors: str | None = None) -> dict[str, Any]:
        """Pad, draw targets and an order, and say who sees whom."""
        rows = [row if isinstance(row, Mapping) else {"input_ids": row} for row in features]
        names = ("input_ids", "special_tokens_mask")
        plain = [{name: row[name] for name in names if name in row} for row in rows]
        lengths = {len(row["input_ids"]) for row in plain}
        if getattr(self.tokenizer, "pad_token_id", None) is None and (len(lengths) > 1 or max(lengths) % 2):
            raise ValueError(
                f"rows of {min(lengths)} to {max(lengths)} tokens need padding to one even width, and the "
                "tokenizer has no padding token: set one, or cut the texts to rows of one even length"
            )
        batch = DataCollatorWithPadding(self.tokenizer, pad_to_multiple_of=2).padded(plain)
        made = self.torch_mask_tokens(batch["input_ids"], batch.get("special_tokens_mask"))
        keys = ("input_ids", "perm_mask", "target_mapping", "labels")
        return _deliver(dict(zip(keys, made, strict=True)), return_tensors or self.return_tensors)

    def torch_mask_tokens(
        self, inputs: Tensor, special_tokens_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """New inputs, `perm_mask`, `target_mapping` and labels for `inputs` [B, T] of even width."""
        count, width = inputs.shape
        if width % 2:
            raise ValueError(f"rows must have an even width, as halves come one after the other; got {width}")
        special = _special_tokens(self.tokenizer, inputs, special_tokens_mask)
        targets = self._spans(count, width) & ~special
        half = torch.rand((count, 2, width // 2), generator=self._generator).argsort(-1)
        order = (half + torch.tensor([[0], [width // 2]])).view(count, width)  # [B, T]: place in the order
        # special tokens are context as well: from one that had seen a target, all others would know it
        order = order.masked_fill(~targets, -1)
        hidden = (order[:, :, None] <= order[:, None, :]) & targets[:, None, :]  # [B, T, T]
        pad = getattr(self.tokenizer, "pad_token_id", None)
        if pad is not None:
            hidden |= (inputs == pad)[:, None, :]
        labels = inputs.masked_fill(~targets, IGNORED)
        if self.hide_targets:
            inputs = inputs.masked_fill(targets, self.tokenizer.mask_token_id)
        mapping = torch.eye(width).expand(count, width, width).contiguous()
        return inputs, hidden.float(), mapping, labels

    def _spans(self, count: int, width: int) -> Tensor:
        """Where spans lie: one in each context, contexts side by side; bool [B, T]."""
        chosen = torch.zeros((count, width), dtype=torch.bool)
        for row in chosen:
            begin = 0
            while begin < width:
                span = self._draw(self.max_span_length) + 1
                context = int(span / self.plm_probability)
                start = begin + self._draw(context - span + 1)
                row[start : start + span] = True
                begin += context
        return chosen

    def _draw(self, below: int) -> int:
        return int(torch.randint(below, (1,), generator=self._generator))
