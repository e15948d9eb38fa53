"""Tokenizers that read entities beside a text: names of things, and where the text speaks of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json_object
from formers.core.notices import notice
from formers.tokenization.encoder import Encoder, batch_of
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import EncodeOptions, whole_number
from formers.tokenization.padding import Beside, pad_encoded
from formers.tokenization.vocabulary import Vocabulary

Spans: TypeAlias = list[tuple[int, int]]
_ROLES = ("unk", "pad", "mask", "mask2")
# How many entities a text has, None where that is open, for each task.
TASKS = {
    None: None,
    "entity_span_classification": None,
    "entity_classification": 1,
    "entity_pair_classification": 2,
}


class EntityMethods:
    """What the tokenizers of LUKE and mLUKE have (arXiv:2010.01057, arXiv:2110.08151).

    Attributes:
        entity_vocab: name of an entity -> id; None where no `entity_vocab.json` says it.
        task: one of `TASKS`. Those of one and of two entities put marks around them (`entity_1_token`,
            `entity_2_token`); the one of spans says where each begins and ends.
        max_entity_length: how many entities a row has at most.
        max_mention_length: how many tokens of an entity are said at most.
        entity_unk_token_id: id of the entity that stands for those without a name; likewise
            `entity_pad_token_id`, `entity_mask_token_id`, `entity_mask2_token_id`.
    """

    init_kwargs: dict[str, Any]
    model_input_names: list[str]
    model_max_length: int
    truncation_side: str
    entity_1_token_id: Any
    entity_2_token_id: Any
    entity_mask_token_id: int
    entity_mask2_token_id: int
    entity_unk_token_id: int
    entity_pad_token_id: int
    _vocabulary: Vocabulary
    _encoder: Encoder
    _given: Mapping[str, Any]
    recipe: Any

    def _begin(self) -> None:
        said = {name: value for name, value in self.init_kwargs.items() if value is not None}
        options: dict[str, Any] = {**self.recipe.options, **said}
        self.task = options["task"]
        if self.task not in TASKS:
            known = ", ".join(repr(task) for task in TASKS if task)
            raise ValueError(f"task={self.task!r} is none that this tokenizer knows: {known}, or None")
        self.max_entity_length = TASKS[self.task] or int(options["max_entity_length"])
        self.max_mention_length = int(options["max_mention_length"])
        file = self._given.get("entity_vocab_file")
        self.entity_vocab = options["entity_vocab"] if file is None else read_json_object(Path(file))
        for role in _ROLES:
            token = str(options[f"entity_{role}_token"])
            if self.entity_vocab is not None and token not in self.entity_vocab:
                raise ValueError(
                    f"the vocabulary of {len(self.entity_vocab)} entities has no entity_{role}_token "
                    f"{token!r}; pass entity_{role}_token= to name it"
                )
            setattr(self, f"entity_{role}_token", token)
            setattr(self, f"entity_{role}_token_id", (self.entity_vocab or {}).get(token))

    def __call__(
        self: Any,
        text: Any = None,
        text_pair: Any = None,
        entity_spans: Any = None,
        entity_spans_pair: Any = None,
        entities: Any = None,
        entities_pair: Any = None,
        max_entity_length: int | None = None,
        **call: Any,
    ) -> BatchEncoding:
        """Turn texts into the inputs of a model, with entities where any are given or the `task` has them.

        Args:
            text: a string, or a list of strings.
            text_pair: the second text of each.
            entity_spans: the (start, end) characters of entities, a list of pairs for each text.
            entity_spans_pair: those of the second texts.
            entities: the names of entities, as many as there are spans; without them, they are the masked
                entity.
            entities_pair: those of the second texts.
            max_entity_length: how many entities a row has at most; None takes the tokenizer's number.
            **call: the other keywords of a call of any tokenizer.

        Returns:
            The usual columns, and `entity_ids` [B, N], `entity_position_ids` [B, N, max_mention_length] (-1
            where there is no token), `entity_attention_mask` [B, N], with token types
            `entity_token_type_ids`, and for spans `entity_start_positions` and `entity_end_positions`.

        Raises:
            ValueError: for spans or entities that do not fit the text or the task.
        """
        given = (entity_spans, entity_spans_pair, entities, entities_pair)
        if self.task is None and all(value is None for value in given):
            plain: BatchEncoding = super().__call__(text, text_pair, **call)  # type: ignore[misc]  # of the class beside this
            return plain
        for name in ("return_offsets_mapping", "is_split_into_words", "text_target", "text_pair_target"):
            if call.pop(name, None):
                raise ValueError(f"{name} is not available where a text has entities: leave it out")
        options = EncodeOptions.of(self, call)
        batch, batched = batch_of(text, text_pair, False)
        several = [list(value) if batched and value is not None else [value] * len(batch) for value in given]
        most = self.max_entity_length
        if max_entity_length:
            most = whole_number(max_entity_length, "max_entity_length")
        bare = {**call, "padding": False, "return_tensors": None, "return_attention_mask": False}
        rows = []
        for place, texts in enumerate(batch):
            first, second = texts if isinstance(texts, tuple) else (texts, None)
            parts = [self._read(first, *(several[index][place] for index in (0, 2)), self.task)]
            if second is not None:
                parts.append(self._read(second, *(several[index][place] for index in (1, 3)), None))
            rows.append(self._row(parts, options, most, bare))
        found: BatchEncoding = self.pad(
            rows,
            padding=options.padding,
            max_length=options.max_length,
            max_entity_length=most,
            pad_to_multiple_of=options.pad_to_multiple_of,
            padding_side=options.padding_side,
            return_attention_mask=options.return_attention_mask,
            verbose=options.verbose,
        )
        if not batched and options.return_tensors is None:
            found = BatchEncoding({name: column[0] for name, column in found.items()})
        if not batched and options.return_length:
            found["length"] = len(found["input_ids"])
        return found.convert_to_tensors(options.return_tensors)

    def _read(
        self, text: str, spans: Any, names: Any, task: str | None
    ) -> tuple[list[int], list[int] | None, Spans]:
        """The ids of a text, those of its entities, and which tokens these are."""
        if spans is None and task is None and names is None:
            return self._cut(text, [])[0], None, []
        spans = self._checked(text, spans, names, task)
        ids, places = self._cut(text, spans)
        masked = self.entity_mask_token_id
        if task == "entity_pair_classification":
            found = [masked, self.entity_mask2_token_id]
            return _marked(ids, places, [self.entity_1_token_id, self.entity_2_token_id], found)
        if task == "entity_classification":
            return _marked(ids, places, [self.entity_1_token_id], [masked])
        if names is None or task is not None:
            return ids, [masked] * len(places), places
        known = self.entity_vocab or {}
        return ids, [known.get(name, self.entity_unk_token_id) for name in names], places

    def _checked(self, text: str, spans: Any, names: Any, task: str | None) -> Spans:
        if self.entity_vocab is None:
            raise ValueError(
                "this tokenizer has no vocabulary of entities: pass entity_vocab_file= (entity_vocab.json)"
            )
        count = TASKS[task]
        wanted = "at least one" if count is None else str(count)
        pairs = isinstance(spans, (list, tuple)) and all(
            isinstance(span, (list, tuple)) and len(span) == 2 for span in spans
        )
        if not pairs or (count is not None and len(spans) != count) or (task and not spans):
            raise ValueError(
                f"entity_spans holds (start, end) characters for each entity of a text, {wanted} "
                f"{f'for task={task!r}' if task else 'or none'}, but is {spans!r}"
            )
        wrong = [span for span in spans if not 0 <= span[0] <= span[1] <= len(text)]
        if wrong:
            raise ValueError(
                f"entity_spans has {wrong[0]!r}, which is no place in a text of {len(text)} characters"
            )
        if names is not None and (
            isinstance(names, str) or len(names) != len(spans) or not all(isinstance(n, str) for n in names)
        ):
            raise ValueError(
                f"entities must be as many names as entity_spans has pairs, {len(spans)}, but is {names!r}"
            )
        return [(int(start), int(end)) for start, end in spans]

    def _cut(self, text: str, spans: Spans) -> tuple[list[int], Spans]:
        """The ids of a text whose entities begin and end with tokens, and which tokens these are."""
        edges = sorted({edge for span in spans for edge in span})
        # a space belongs to the token behind it
        ends = [edge - 1 if edge and text[edge - 1] == " " else edge for edge in edges]
        cuts = sorted({0, *ends, len(text)})
        pieces = [text[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
        found = self._encoder.rows(pieces, EncodeOptions(add_special_tokens=False), offsets=False)
        ids: list[int] = []
        at = {0: 0}
        for cut, row in zip(cuts[1:], found, strict=True):
            ids += self._vocabulary.ids_in(row)
            at[cut] = len(ids)
        places = {edge: at[end] for edge, end in zip(edges, ends, strict=True)}
        return ids, [(places[start], places[end]) for start, end in spans]

    def _row(
        self: Any, parts: Sequence[Any], options: EncodeOptions, most: int, call: Mapping[str, Any]
    ) -> dict[str, Any]:
        """One row, cut as the options say, its entities after the usual columns."""
        rows = [part[0] for part in parts]
        texts = (rows[0], rows[1] if len(rows) > 1 else None)
        made = dict(self.prepare_for_model(*texts, **call))
        if all(part[1] is None for part in parts):
            return made
        fitted = self.fitted(*texts, options)
        kept = [row for row in (fitted.ids, fitted.pair) if row is not None]
        names, places = self._kept(parts, kept, options.verbose)
        over, left = sum(map(len, names)) - most, []
        if options.cuts and over > 0:
            first, second, left = self.truncate_sequences(
                names[0], names[1] if len(names) > 1 else None, over, options.truncation, options.stride
            )
            names = [first, second or []]
        if options.return_overflowing_tokens:
            made |= {"overflowing_entities": left, "num_truncated_entities": over}
        frame = self._encoder.frame(len(rows) > 1) if options.add_special_tokens else []
        starts = _starts(frame, [len(row) for row in kept])
        whole = [
            (start + shift, end + shift)
            for found, spans, shift in zip(names, places, starts, strict=False)
            for (start, end), _ in zip(spans, found, strict=False)
        ]
        size = self.max_mention_length
        made["entity_ids"] = [name for found in names for name in found]
        made["entity_position_ids"] = [
            [*range(start, end)][:size] + [-1] * (size - end + start) for start, end in whole
        ]
        if self.task == "entity_span_classification":
            made["entity_start_positions"] = [start for start, _ in whole]
            made["entity_end_positions"] = [end - 1 for _, end in whole]
        if options.return_token_type_ids:
            made["entity_token_type_ids"] = [0] * len(whole)
        return made

    def _kept(
        self, parts: Sequence[Any], kept: Sequence[list[int]], verbose: bool
    ) -> tuple[list[list[int]], list[Spans]]:
        """The entities of each text whose tokens are still there, and where they are now."""
        names: list[list[int]] = []
        places: list[Spans] = []
        for (row, found, spans), rest in zip(parts, kept, strict=True):
            gone = len(row) - len(rest) if self.truncation_side == "left" else 0
            stay = [
                (name, (start - gone, end - gone))
                for name, (start, end) in zip(found or (), spans, strict=True)
                if start >= gone and end - gone <= len(rest)
            ]
            names.append([name for name, _ in stay])
            places.append([place for _, place in stay])
        lost = sum(len(part[2]) for part in parts) - sum(map(len, names))
        if lost and verbose:
            notice(
                f"{lost} entities of a text are left out, because their tokens were cut off: pass a larger "
                "max_length to keep them",
                key="entities that were cut off",
            )
        return names, places

    def pad(
        self: Any, encoded_inputs: Any, *args: Any, max_entity_length: int | None = None, **call: Any
    ) -> BatchEncoding:
        """Pad rows that were encoded before, tokens and entities; see `PreTrainedTokenizerFast.pad`.

        `max_entity_length` is how many entities rows are padded to with padding="max_length".
        """
        names = ("padding", "max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask")
        placed = dict(zip((*names, "return_tensors", "verbose"), args, strict=False))
        options = EncodeOptions.of(self, {"padding": True, **placed, **call, "truncation": False})
        nowhere = [-1] * self.max_mention_length
        values = {"entity_ids": self.entity_pad_token_id, "entity_position_ids": nowhere}
        zeros = ("attention_mask", "token_type_ids", "start_positions", "end_positions")
        values |= {f"entity_{name}": 0 for name in zeros}
        most = self.max_entity_length if max_entity_length is None else max_entity_length
        beside = Beside("entity_ids", "entity_attention_mask", most, values)
        return pad_encoded(encoded_inputs, options, self.model_input_names[0], self._filling, beside)

    def save_pretrained(
        self: Any, save_directory: Any, legacy_format: bool | None = None, **call: Any
    ) -> tuple[str, ...]:
        """Write the files, entities among the older ones; see `PreTrainedTokenizerFast.save_pretrained`."""
        if legacy_format is False and self.entity_vocab is not None:
            raise ValueError("legacy_format=False would leave entity_vocab.json out: leave it out")
        # of the class beside this
        written: tuple[str, ...] = super().save_pretrained(save_directory, legacy_format, **call)  # type: ignore[misc]
        return written

    def save_vocabulary(
        self: Any, save_directory: Any, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the vocabularies of tokens and of entities, and return their paths."""
        written = super().save_vocabulary(save_directory, filename_prefix)  # type: ignore[misc]  # as above
        if self.entity_vocab is None:
            return tuple(written)
        name = self.vocab_files_names["entity_vocab_file"]
        path = Path(save_directory) / (f"{filename_prefix}-{name}" if filename_prefix else name)
        text = json.dumps(self.entity_vocab, indent=2, sort_keys=True, ensure_ascii=False)
        return (*written, str(write_text(path, text + "\n")))


def _marked(
    ids: list[int], places: Spans, marks: list[int], found: list[int]
) -> tuple[list[int], list[int], Spans]:
    """Put marks around entities, each its own; the last in the text first, so that places stay true."""
    order = sorted(range(len(places)), key=lambda index: (places[index][0], -index))
    moved = list(places)
    for before, index in enumerate(order):
        start, end = places[index]
        moved[index] = (start + 2 * before, end + 2 * before + 2)
    for index in reversed(order):
        start, end = places[index]
        ids = [*ids[:start], marks[index], *ids[start:end], marks[index], *ids[end:]]
    return ids, found, moved


def _starts(frame: Sequence[tuple[int, int, int | None]], sizes: Sequence[int]) -> list[int]:
    """Where each text of a row begins, behind special tokens and the text before."""
    if not frame:
        return [0, sizes[0]]
    at, starts = 0, []
    for _, _, sequence in frame:
        if sequence is not None:
            starts.append(at)
        at += 1 if sequence is None else sizes[sequence]
    return starts
