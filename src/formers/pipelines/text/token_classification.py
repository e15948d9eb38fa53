"""Labels for tokens, and for the words and groups of them that stand for one thing."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from formers.core.arrays import softmax
from formers.core.fields import Choice
from formers.core.notices import notice, refuse_unknown
from formers.pipelines.datasets import is_stream, is_wordlist
from formers.pipelines.frame import FRAME_KEYWORDS
from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline
from formers.pipelines.text.inputs import (
    Fitting,
    Prepared,
    as_text,
    check_stride,
    one_token,
    place_of,
    refuse_surrogates,
    report_long,
)
from formers.tokenization.placed import Ids, Placed, place

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class AggregationStrategy(Choice):
    """How tokens become entities.

    "none": every token is one. "simple": neighbours of one label are grouped. "first", "average" and "max"
    give each word one label before that: the label of its first token, of the mean of its tokens' scores, of
    its token with the highest score.
    """

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


@dataclasses.dataclass(slots=True)
class Located(Prepared):
    """An input whose tokens know their characters.

    Attributes:
        text: what the characters are counted in.
        parts: the tokens of each window.
        joined: whether each token is read in one window alone, the one that shows more of what is around it.
    """

    text: str = ""
    parts: list[Placed] = dataclasses.field(default_factory=list)
    joined: bool = False

    def read(self) -> list[Ids]:
        """The places in each window of the tokens that are read there, without those that were added."""
        inside = [np.flatnonzero(~part.special) for part in self.parts]
        if not self.joined or len(inside) < 2:
            return inside
        numbers = [part.places[places] for part, places in zip(self.parts, inside, strict=True)]
        middles = [(one[-1] + other[0] + 1) // 2 for one, other in itertools.pairwise(numbers)]
        edges = itertools.pairwise([0, *middles, numbers[-1][-1] + 1])
        own = zip(inside, numbers, edges, strict=True)
        return [places[(these >= first) & (these < stop)] for places, these, (first, stop) in own]


class SpanPipeline(TextPipeline):
    """The frame for tasks whose answers are places in a text."""

    def _located(
        self,
        texts: Sequence[Any],
        pairs: Sequence[str] | None,
        fitting: Fitting,
        first: int | None,
        sequence: int = 0,
        words: bool = False,
    ) -> list[Located]:
        """Tokenise texts or pairs, and fit them to the model; `sequence` is the text that gives way."""
        special = fitting.add_special_tokens
        try:
            options = {"add_special_tokens": special, "is_split_into_words": words}
            found = place(self.tokenizer, texts, pairs, **options) if texts else []
        except (TypeError, UnicodeError):
            for index, text in enumerate(texts):
                joined = " ".join(text) if words else text
                refuse_surrogates((joined, pairs[index] if pairs else None), place_of(first, index))
            raise
        ready = [self._windowed([whole]) for whole in found]
        limit = fitting.limit
        long = [i for i, one in enumerate(ready) if limit is not None and one.length > limit]
        if long:
            report_long(long, list(ready), fitting, place_of(first, long[0]))
        for index in long:
            ready[index] = self._windowed(self._fit(found[index], fitting, sequence, place_of(first, index)))
        for index in [i for i, one in enumerate(ready) if not one.length]:
            ready[index] = self._alone(ready[index], place_of(first, index))
        return ready

    def _fit(self, whole: Placed, fitting: Fitting, sequence: int, name: str) -> list[Placed]:
        """Cut one long text, or take it apart into windows."""
        limit = fitting.limit or 0
        room = whole.room(limit, sequence)
        if room < 1:
            raise ValueError(
                f"{limit} tokens leave no room for {name}: what stands beside it has {limit - room}. Allow "
                f"more than {limit - room}, or make that shorter"
            )
        if fitting.long_text != "window":
            return [whole.cut(limit, sequence, getattr(self.tokenizer, "truncation_side", "right"))]
        stride = self._stride(limit, room) if fitting.stride is None else fitting.stride
        check_stride(stride, room, fitting)
        return whole.windows(limit, stride, sequence)

    def _stride(self, limit: int, room: int) -> int:
        """Tokens that windows share where nobody says, of `room` for what is taken apart."""
        return min(limit // 8, room - 1)

    @staticmethod
    def _windowed(parts: list[Placed]) -> Located:
        types = None if parts[0].types is None else [part.types for part in parts if part.types is not None]
        return Located([part.ids for part in parts], types, sum(len(part.ids) for part in parts), parts=parts)

    def _alone(self, empty: Located, name: str) -> Located:
        """A text without any token, as one token that stands for nothing."""
        one = one_token(self.tokenizer, empty, name)
        none, types = np.full(1, -1), None if one.types is None else one.types[0]
        part = Placed(one.ids, types, np.zeros((1, 2), np.int64), np.ones(1, bool), none, none, none)
        return self._windowed([part])

    # -- where a subclass replaces a step for single items, what is known of the texts goes with the tensors

    def preprocess(self, inputs: Any, **params: Any) -> Any:
        """The model's keywords for one input, [windows, T] each, and `located`, its `Located`."""
        (one,) = self.preprocess_batch([inputs], **params)
        return {**self._tensors([one], always=True), "located": one}

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """The model's outputs, and `located`."""
        kept = {name: value for name, value in model_inputs.items() if name == "located"}
        inputs = {name: value for name, value in model_inputs.items() if name != "located"}
        outputs = super()._forward(inputs, **params)
        return {**dict(outputs.items()), **kept} if kept else outputs

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """The model's outputs for a batch: `_forward` runs over batches, too."""
        return super().forward_batch(prepared, **params)

    def _collate(self, prepared: Sequence[Any]) -> Any:
        known = [one for one in prepared if isinstance(one, Located)]
        found = super()._collate(prepared)
        return {**found, "located": known if len(known) > 1 else known[0]} if known else found

    @staticmethod
    def _known(prepared: Sequence[Any]) -> list[Located]:
        return [one if isinstance(one, Located) else one["located"] for one in prepared]


class TokenClassificationArgumentHandler:
    """Reads the inputs of a call: (inputs as a list, whether they are words, offsets of each, delimiter)."""

    def __call__(self, inputs: Any, **kwargs: Any) -> tuple[Any, bool, list[Any] | None, str | None]:
        """Check how many offsets there are.

        Raises:
            ValueError: for offsets that are not as many as the inputs, or are given for a stream of those.
        """
        words, offsets = bool(kwargs.get("is_split_into_words")), kwargs.get("offset_mapping")
        stream = is_stream(inputs)
        if not stream:
            one = isinstance(inputs, str) or (words and not _all_words(inputs))
            inputs = [inputs] if one else list(inputs)
        if offsets is not None:
            offsets = list(offsets)
            if offsets and isinstance(offsets[0], tuple):
                offsets = [offsets]
            if stream or len(offsets) != len(inputs):
                count = "a stream of inputs" if stream else f"{len(inputs)} inputs"
                raise ValueError(f"offset_mapping is for {len(offsets)} texts, but there are {count}")
        return inputs, words, offsets, kwargs.get("delimiter")


def _all_words(inputs: Any) -> bool:
    """Whether each of several inputs is a list of words."""
    return is_wordlist(inputs) and all(isinstance(one, list | tuple) for one in inputs)


class _Given(NamedTuple):
    """A text, or its words, with the characters of its tokens as the caller counts them."""

    text: str | list[str]
    offsets: Any


class TokenClassificationPipeline(SpanPipeline):
    """Labels of tokens: `pipeline("token-classification")`, also called "ner".

        pipe("Anna lives in Bern")                            each token that is no "O"
            [{"entity": "B-PER", "score": 0.99, "index": 1, "word": "Anna", "start": 0, "end": 4}, ...]
        pipe("Anna lives in Bern", aggregation_strategy="simple")
            [{"entity_group": "PER", "score": 0.99, "word": "Anna", "start": 0, "end": 4}, ...]
        pipe(["a text", "another"])                           a list of such lists

    A text that is longer than the model takes is read in overlapping windows, each token in the one that
    shows more of what is around it. With `stride`, which the ecosystem asks for, windows find entities by
    themselves; of those that overlap the longest is kept, then the surest. `start` and `end` count characters
    of the text, `index` tokens of it.

    Args:
        model: a model with a token-classification head.
        tokenizer: its tokenizer.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            aggregation_strategy: one of `AggregationStrategy`; "none" unless given.
            grouped_entities, ignore_subwords: the older spelling: both are "first", the former is "simple".
            ignore_labels: labels that are left out, of groups without "B-" and "I-"; ["O"] unless given.
            by_word_ids: what a word is for "first", "average" and "max". False, the ecosystem's rule: a token
                goes on with a word where it is written otherwise than the text (WordPiece's `##`), and for
                other vocabularies where no space is before it, so that "Bern." is one word. True: words
                are the tokenizer's own, or yours where the text is split into words.
            is_split_into_words: whether texts are lists of words.
            delimiter: what joins words to the text that characters are counted in; a space unless given.
            offset_mapping: (start, end) of every token, special ones included, in place of the tokenizer's;
                with several inputs a list for each.
            stride: tokens that windows share; an eighth of a window unless given.
            long_text, truncation, max_length, ...: see `TextPipeline`. `long_text` is "window" unless given.

    Raises:
        ValueError: for a model with another kind of head.
    """

    default_task: ClassVar[str] = "token-classification"
    default_input_names: ClassVar[Any] = "sequences"
    run_keywords: ClassVar[tuple[str, ...]] = (
        *("aggregation_strategy", "by_word_ids", "grouped_entities", "ignore_labels", "ignore_subwords"),
    )
    _read_keywords: ClassVar[tuple[str, ...]] = ("delimiter", "is_split_into_words")

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        if cls._sanitize_parameters is not TokenClassificationPipeline._sanitize_parameters:
            return super().keywords()
        return (
            frozenset([*cls.run_keywords, *cls._read_keywords, *TEXT_KEYWORDS]) | cls._constructor_keywords()
        )

    def _sanitize_parameters(self, **given: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = (*self._read_keywords, *TEXT_KEYWORDS)
        refuse_unknown(given, [*self.run_keywords, *known, *FRAME_KEYWORDS], type(self).__name__)
        preprocess = {name: given[name] for name in known if given.get(name) is not None}
        postprocess: dict[str, Any] = {}
        strategy = given.get("aggregation_strategy")
        if isinstance(strategy, str):
            strategy = AggregationStrategy(str(getattr(strategy, "value", strategy)).lower())
        older = (given.get("grouped_entities"), given.get("ignore_subwords"))
        if older != (None, None):
            said = ("first" if older[1] else "simple") if older[0] else "none"
            if strategy not in (None, said):
                raise ValueError(
                    f"grouped_entities={older[0]} and ignore_subwords={older[1]} mean aggregation_strategy="
                    f"{said!r}, which contradicts {str(strategy)!r}: leave them out"
                )
            strategy = AggregationStrategy(said)
        if strategy is not None:
            postprocess["aggregation_strategy"] = strategy
        if (labels := given.get("ignore_labels")) is not None:
            if isinstance(labels, str):
                raise ValueError(f"ignore_labels is a list of labels, got {labels!r}: pass [{labels!r}]")
            postprocess["ignore_labels"] = list(labels)
        if given.get("by_word_ids") is not None:
            postprocess["by_word_ids"] = bool(given["by_word_ids"])
        return preprocess, {}, postprocess

    def __call__(self, inputs: Any, offset_mapping: Any = None, **kwargs: Any) -> Any:
        """Label the tokens of one text or many.

        Args:
            inputs: a text, a list of texts, or a generator or dataset; with `is_split_into_words` lists of
                words in their place. One list of words is a list of one text.
            offset_mapping: see the class.
            **kwargs: see the class, and `Pipeline.__call__` for `batch_size` and `progress`.

        Returns:
            A list of entities for a text; a list of those lists for several. Each entity has `entity` (with
            `index`) or `entity_group`, `score`, `word`, `start` and `end`.
        """
        words = kwargs.get("is_split_into_words", self._preprocess_params.get("is_split_into_words"))
        if words and not is_stream(inputs) and is_wordlist(inputs) and inputs and not _all_words(inputs):
            inputs = [inputs]
        if offset_mapping is not None:
            handle = TokenClassificationArgumentHandler()
            each, _, offsets, _ = handle(inputs, is_split_into_words=words, offset_mapping=offset_mapping)
            given = [_Given(text, spans) for text, spans in zip(each, offsets or (), strict=True)]
            inputs = given[0] if isinstance(inputs, str) else given
        return super().__call__(inputs, **kwargs)

    # -- the steps ---------------------------------------------------------------------------------

    def _is_many(self, inputs: Any) -> bool:
        return not isinstance(inputs, _Given) and super()._is_many(inputs)

    def _item(self, item: Any, index: int | None) -> Any:
        if isinstance(item, _Given):
            return item._replace(text=self._item(item.text, index))
        if isinstance(item, list | tuple) and all(isinstance(word, str) for word in item):
            return list(item)
        text, pair = as_text(item, index)
        if pair is not None:
            raise TypeError(f"{place_of(index)} is a pair of texts: tokens are labelled in single ones")
        return text

    def _fitting(self, params: Mapping[str, Any]) -> Fitting:
        reads = {} if params.get("truncation") is not None else {"long_text": "window"}
        return Fitting.of({**reads, **params}, self.max_length)

    def preprocess_batch(
        self,
        inputs: Sequence[Any],
        first: int | None = None,
        is_split_into_words: bool = False,
        delimiter: str = " ",
        **params: Any,
    ) -> list[Any]:
        """Tokenise texts or lists of words, and fit them to the model; a `Located` for each."""
        items = [self._item(item, None if first is None else first + i) for i, item in enumerate(inputs)]
        given = [item if isinstance(item, _Given) else _Given(item, None) for item in items]
        for index, item in enumerate(given):
            if isinstance(item.text, str) == is_split_into_words:
                found, expected = (
                    ("a text", "a list of words") if is_split_into_words else ("a list", "a text")
                )
                raise TypeError(
                    f"{place_of(first, index)} is {found}, but is_split_into_words={is_split_into_words} "
                    f"expects {expected}"
                )
        texts = [item.text for item in given]
        located = self._located(texts, None, self._fitting(params), first, words=is_split_into_words)
        for index, (one, item) in enumerate(zip(located, given, strict=True)):
            one.text = item.text if isinstance(item.text, str) else delimiter.join(item.text)
            one.joined = params.get("stride") is None
            if is_split_into_words:
                lengths = [len(word) + len(delimiter) for word in item.text]
                one.parts = [_joined(part, np.cumsum([0, *lengths])) for part in one.parts]
            if item.offsets is not None:
                one.parts = [_replaced(one.parts, item.offsets, place_of(first, index))]
        return list(located)

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The entities of one text, from the model's `logits` [windows, T, C] and `located`."""
        return self.postprocess_batch(model_outputs, [model_outputs], **params)[0]

    def postprocess_batch(
        self,
        outputs: Any,
        prepared: Sequence[Any],
        aggregation_strategy: AggregationStrategy = AggregationStrategy.NONE,
        ignore_labels: Sequence[str] = ("O",),
        by_word_ids: bool = False,
        **params: Any,
    ) -> list[Any]:
        """The entities of each text."""
        refuse_unknown(params, self.run_keywords, f"{type(self).__name__}.postprocess")
        texts = self._known(prepared)
        if aggregation_strategy in ("first", "average", "max") and not (by_word_ids or self._marks_pieces):
            notice(
                "this vocabulary does not mark the pieces of words: for aggregation_strategy="
                f"{str(aggregation_strategy)!r} a word is what stands between spaces, punctuation included. "
                "Pass by_word_ids=True for the words of the tokenizer",
                key="pipeline-words",
            )
        tokens = _Tokens.of(outputs["logits"].float().numpy(), texts)
        found = self._entities(tokens, aggregation_strategy, set(ignore_labels), by_word_ids)
        return [
            entities if one.joined or len(one.parts) == 1 else _without_overlaps(entities)
            for one, entities in zip(texts, found, strict=True)
        ]

    @property
    def _marks_pieces(self) -> bool:
        """Whether the vocabulary marks pieces that go on with a word, as WordPiece does."""
        backend: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        return bool(getattr(getattr(backend, "model", None), "continuing_subword_prefix", None))

    def _entities(
        self, tokens: _Tokens, strategy: AggregationStrategy, ignored: set[str], by_word_ids: bool
    ) -> list[list[dict[str, Any]]]:
        """The entities of every text, in the order of their tokens."""
        entities: list[list[dict[str, Any]]] = [[] for _ in tokens.texts]
        if not len(tokens.ids):
            return entities
        plain = strategy in ("none", "simple")
        goes_on = np.zeros(len(tokens.ids), dtype=bool) if plain else self._goes_on(tokens, by_word_ids)
        units = np.flatnonzero(~goes_on | tokens.begins)  # the first token of each
        labels, scores = _labelled(tokens.scores, units, strategy)
        names = [self.model.config.id2label[index] for index in range(tokens.scores.shape[1])]
        if strategy == "none":
            heads, shown = np.arange(len(units)), names
        else:
            heads = np.flatnonzero(_new_group(names, labels) | tokens.begins[units])
            shown = [name.split("-", 1)[-1] for name in names]
        wanted = np.array([name not in ignored for name in shown])
        stops = np.append(heads[1:], len(units))
        edges = np.append(units, len(tokens.ids))
        means = (np.add.reduceat(scores, heads) / (stops - heads)).astype(scores.dtype)
        for head, stop, score in zip(heads.tolist(), stops.tolist(), means, strict=True):
            label = int(labels[head])
            if not wanted[label]:
                continue
            first, last = int(edges[head]), int(edges[stop]) - 1
            text = int(tokens.owners[first])
            if strategy == "none":
                known = {
                    "index": int(tokens.places[first]),
                    "word": self._tokens_of(tokens, first, last + 1)[0],
                }
                entity = {"entity": shown[label], "score": score, **known}
            else:
                words = self._word(tokens, edges[head : stop + 1].tolist(), plain)
                entity = {"entity_group": shown[label], "score": score, "word": words}
            entity |= {"start": int(tokens.spans[first, 0]), "end": int(tokens.spans[last, 1])}
            entities[text].append(entity)
        return entities

    def _goes_on(self, tokens: _Tokens, by_word_ids: bool) -> Flags:
        """Whether each token goes on with the word of the token before it."""
        if by_word_ids:
            same = np.r_[False, tokens.words[1:] == tokens.words[:-1]]
            return np.asarray(same & (tokens.words >= 0))
        unknown, found = self.tokenizer.unk_token_id, []
        marks = self._marks_pieces
        pieces = self.tokenizer.convert_ids_to_tokens(tokens.ids.tolist()) if marks else tokens.ids.tolist()
        rows = zip(tokens.ids.tolist(), tokens.spans.tolist(), tokens.owners.tolist(), pieces, strict=True)
        for index, (start, end), owner, piece in rows:
            text = tokens.texts[owner]
            if index == unknown:
                found.append(False)
            elif marks:
                found.append(len(piece) != len(text[start:end]))
            else:
                found.append(start > 0 and " " not in text[start - 1 : start + 1])
        return np.array(found, dtype=bool)

    def _tokens_of(self, tokens: _Tokens, first: int, stop: int) -> list[str]:
        """The tokens as strings; for one that the vocabulary lacks, what the text has there."""
        ids = tokens.ids[first:stop].tolist()
        pieces: list[str] = self.tokenizer.convert_ids_to_tokens(ids)
        unknown = self.tokenizer.unk_token_id
        if unknown in ids:
            for at, index in enumerate(ids):
                if index == unknown:
                    start, end = tokens.spans[first + at].tolist()
                    pieces[at] = tokens.texts[int(tokens.owners[first + at])][start:end]
        return pieces

    def _word(self, tokens: _Tokens, edges: list[int], plain: bool) -> str:
        """How the tokens of a group read, each word of it by itself first."""
        join = self.tokenizer.convert_tokens_to_string
        if plain:
            return str(join(self._tokens_of(tokens, edges[0], edges[-1])))
        words = [
            join(self._tokens_of(tokens, first, stop))
            for first, stop in zip(edges[:-1], edges[1:], strict=True)
        ]
        return str(join(words))


NerPipeline = TokenClassificationPipeline


@dataclasses.dataclass(frozen=True)
class _Tokens:
    """The tokens of a batch end to end, without those that the tokenizer added.

    Attributes:
        scores: [N, C].
        ids, places, words, spans: as of `Placed`.
        begins: whether it is the first of a text, or of a window that finds entities by itself, [N].
        owners: number of its text, [N].
        texts: the texts.
    """

    scores: Scores
    ids: Ids
    places: Ids
    words: Ids
    spans: Ids
    begins: Flags
    owners: Ids
    texts: list[str]

    @classmethod
    def of(cls, logits: Scores, located: Sequence[Located]) -> _Tokens:
        """From logits [windows, T, C], a row for every window."""
        parts = [part for one in located for part in one.parts]
        kept = [places for one in located for places in one.read()]
        rows = np.concatenate([row[inside] for row, inside in zip(logits, kept, strict=True)])
        ids, places, words, spans = (
            np.concatenate([getattr(part, name)[inside] for part, inside in zip(parts, kept, strict=True)])
            for name in ("ids", "places", "words", "spans")
        )
        counts = [len(inside) for inside in kept]
        begins = np.zeros(len(rows) + 1, dtype=bool)
        apart = [not (one.joined and number) for one in located for number in range(len(one.parts))]
        begins[np.cumsum([0, *counts[:-1]])[apart]] = True
        owners = np.repeat([i for i, one in enumerate(located) for _ in one.parts], counts)
        texts = [one.text for one in located]
        return cls(softmax(rows), ids, places, words, spans, begins[:-1], owners, texts)


def _labelled(scores: Scores, units: Ids, strategy: AggregationStrategy) -> tuple[Ids, Scores]:
    """The label and its score of each unit; a unit is the tokens from its first to before the next's."""
    if strategy == "average":
        counts = np.diff(np.append(units, len(scores)))
        scores = (np.add.reduceat(scores, units, axis=0) / counts[:, None]).astype(np.float32)
        units = np.arange(len(units))
    elif strategy == "max":
        owner = np.repeat(np.arange(len(units)), np.diff(np.append(units, len(scores))))
        units = np.lexsort((-scores.max(axis=1), owner))[units]  # of equals the first
    labels = scores[units].argmax(axis=1)
    return labels, scores[units, labels]


def _new_group(names: Sequence[str], labels: Ids) -> Flags:
    """Whether each unit begins a group: its label is another than the one before, or begins with "B-"."""
    tags = [name[2:] if name[:2] in ("B-", "I-") else name for name in names]
    numbers = {tag: number for number, tag in enumerate(dict.fromkeys(tags))}
    tag = np.array([numbers[one] for one in tags])[labels]
    opens = np.array([name.startswith("B-") for name in names])[labels]
    return np.asarray(opens | np.r_[True, tag[1:] != tag[:-1]])


def _without_overlaps(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that overlap, as those of neighbouring windows do, the longest, then the surest."""
    found: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda one: int(one["start"])):
        last = found[-1] if found else None
        if last is None or not last["start"] <= entity["start"] < last["end"]:
            found.append(entity)
        elif _weight(entity) > _weight(last):
            found[-1] = entity
    return found


def _weight(entity: Mapping[str, Any]) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _joined(part: Placed, starts: Ids) -> Placed:
    """Tokens with their characters counted in the text, from those in their words."""
    shift = np.where(part.words >= 0, starts[part.words], 0)
    return dataclasses.replace(part, spans=part.spans + shift[:, None])


def _replaced(parts: Sequence[Placed], offsets: Any, name: str) -> Placed:
    """Tokens with characters of the caller's."""
    if len(parts) > 1:
        raise ValueError(f"offset_mapping is for one window, but {name} is read in {len(parts)}: split it")
    spans = np.asarray(offsets, dtype=np.int64)
    if spans.shape != parts[0].spans.shape:
        raise ValueError(
            f"offset_mapping has {len(spans)} entries for {name}, which has {len(parts[0].ids)} tokens, "
            "special ones included: each token needs its (start, end)"
        )
    return dataclasses.replace(parts[0], spans=spans)
