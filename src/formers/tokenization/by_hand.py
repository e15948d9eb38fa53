"""Tokenizers written by hand: subclasses of `PreTrainedTokenizer` with a `_tokenize` of their own.

    class Letters(PreTrainedTokenizer):
        vocab_files_names = {"vocab_file": "letters.txt"}
        def __init__(self, vocab_file, **kwargs): self.ids = ...; super().__init__(**kwargs)
        def get_vocab(self): ...
        def _tokenize(self, text): ...
        # _convert_token_to_id, _convert_id_to_token, convert_tokens_to_string, save_vocabulary, and what goes
        # around texts (build_inputs_with_special_tokens), where they are not the usual

Calls, padding, truncation, windows and files are those of all tokenizers: the tokens of `_tokenize` are
looked up in `get_vocab()`, which names them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formers.core.overriding import overridden
from formers.hub import Source, split_hub_keywords
from formers.tokenization import components, files
from formers.tokenization.cutting import CutSegmenter
from formers.tokenization.decoder import Decoder, check_ids, ids_of
from formers.tokenization.special import revive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

_FIRST, _SECOND = -1, -2  # stand for texts where what goes around them is asked for
_MARKS = ("##", "▁", "Ġ", "</w>", "@@")  # what pieces have that texts have not


def backend_of(tokenizer: Any, settings: Mapping[str, Any]) -> Tokenizer:
    """A backend that knows the tokens of `get_vocab()`.

    Raises:
        TypeError: where there are none: a constructor must set its vocabulary up first.
    """
    from tokenizers import Tokenizer, models

    try:
        held = dict(tokenizer.get_vocab())
    except AttributeError as error:
        raise TypeError(
            f"{type(tokenizer).__name__}.get_vocab() does not answer yet ({error}): set the vocabulary up "
            "before super().__init__(...), and give the class a get_vocab()"
        ) from error
    unknown = settings.get("unk_token") or getattr(type(tokenizer), "unk_token", None)
    unknown = str(unknown) if isinstance(unknown, str) or hasattr(unknown, "content") else None
    return Tokenizer(models.WordLevel(held, unk_token=unknown or "<unk>"))


@dataclass
class Places:
    """The pieces of a text with their places; those of pieces that are spelt otherwise are guessed."""

    tokenize: Callable[[str], list[str]]

    def __call__(self, text: str) -> Iterator[tuple[int, int, str]]:
        """First character, the one behind the last, and the piece."""
        at, lowered = 0, text.lower()
        for piece in self.tokenize(text):
            bare = piece
            for mark in _MARKS:
                bare = bare.replace(mark, "")
            found = lowered.find(bare.lower(), at) if bare else -1
            if found < 0:
                found, bare = min(at, len(text) - 1), " "
            at = min(found + len(bare), len(text))
            yield found, max(at, found + 1), piece


class HandDecoder(Decoder):
    """Joins tokens, added ones among them, as a class written by hand says."""

    def __init__(self, tokenizer: Any, vocabulary: Any, joins: bool) -> None:
        super().__init__(vocabulary)
        self._tokenizer, self._joins = tokenizer, joins

    def decode(
        self,
        token_ids: Any,
        skip_special: bool,
        clean: bool | None,
        usual: bool,
        cleaner: Callable[[str], str],
    ) -> Any:
        """Likewise."""
        ids = ids_of(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        batched = bool(ids) and isinstance(ids[0], (list, tuple))
        texts = []
        for row in ids if batched else [ids]:
            check_ids(row)
            tokens = self._tokenizer.convert_ids_to_tokens(row, skip_special_tokens=skip_special)
            text = self.join(tokens)
            texts.append(cleaner(text) if clean or (clean is None and usual) else text)
        return texts if batched else texts[0]

    def join(self, tokens: list[str]) -> str:
        """By `convert_tokens_to_string`, where the class has one."""
        return str(self._tokenizer.convert_tokens_to_string(tokens)) if self._joins else " ".join(tokens)


def begin(tokenizer: Any, vocabulary: Any, tokenize: Callable[[str], list[str]], base: type[Any]) -> Decoder:
    """Let a tokenizer that is set up cut and frame texts as its class says.

    Args:
        tokenizer: of a class written by hand.
        vocabulary: its own.
        tokenize: cuts a text into pieces.
        base: whose methods are the usual ones.

    Returns:
        What joins its tokens.
    """
    kind = type(tokenizer)
    unknown = str(vocabulary.backend.model.unk_token)
    if vocabulary.id_of(unknown) is None:
        vocabulary.add(unknown, special=True)
    if overridden(kind, base, "build_inputs_with_special_tokens"):
        types = overridden(kind, base, "create_token_type_ids_from_sequences")
        _frame(tokenizer, vocabulary.backend, types)
    segmenter = CutSegmenter.of(vocabulary.backend, unknown, Places(tokenize))
    vocabulary.segmenters, vocabulary.segmenter, vocabulary.in_file = (segmenter,), segmenter, False
    joins = overridden(kind, base, "convert_tokens_to_string")
    return HandDecoder(tokenizer, vocabulary, joins)


def _frame(tokenizer: Any, backend: Tokenizer, types: bool) -> None:
    """Put around texts what the class puts around rows of ids."""
    templates, used = [], []
    for rows in ([_FIRST],), ([_FIRST], [_SECOND]):
        ids = list(tokenizer.build_inputs_with_special_tokens(*rows))
        kinds = list(tokenizer.create_token_type_ids_from_sequences(*rows)) if types else [0] * len(ids)
        template = []
        for index, kind in zip(ids, kinds, strict=True):
            text = {_FIRST: "$A", _SECOND: "$B"}.get(index) or str(
                tokenizer.convert_ids_to_tokens(int(index))
            )
            used += [] if index in (_FIRST, _SECOND) else [text]
            template.append(f"{text}:{kind}")
        templates.append(template)
    components.frame(backend, used, *templates)


def load(kind: type[Any], name: str | os.PathLike[str], keywords: Mapping[str, Any]) -> Any:
    """A tokenizer of a class written by hand, from a checkpoint: its files go to the constructor by name.

    Raises:
        OSError: where a file of `vocab_files_names` is missing.
    """
    hub, own = split_hub_keywords(dict(keywords))
    source = Source.of(name, **hub)
    config, template = files.settings(source)
    held = {key: str(source.get(file)) for key, file in kind.vocab_files_names.items() if key not in own}
    told = {key: revive(value) for key, value in config.items() if key not in ("tokenizer_class", "auto_map")}
    more = {} if template is None else {"chat_template": template}
    return kind(**{**held, **told, **more, "name_or_path": str(name), **own})
