"""What a text may be, compiled for a vocabulary: JSON of a schema, a regular expression, a grammar.

The automaton is that of `llguidance` (the extra `structured`): an Earley parser over lazy derivatives of
regular expressions, walked along a trie of the vocabulary's bytes.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from formers.core.extras import need
from formers.generation.stopping import TokenBytes

NAMES = ("json_schema", "json_object", "regex", "grammar")
DEEPEST = 32  # lists and objects of a schema within each other
LIMITS: dict[str, Any] = {  # of an automaton, in the library's units: about 20 ms to begin, 15 ms a step
    "initial_lexer_fuel": 1_000_000,
    "max_lexer_states": 50_000,
    "max_grammar_size": 100_000,
    "precompute_large_lexemes": False,
    "verbose_errors": False,
}
_KEPT = 64  # grammars of one tokenizer whose automaton is kept
_SPACES = r"(\n {0,16}| )"  # between the parts of JSON: indented or not, but never without end
HEAD = '%llguidance {"no_forcing": true}\n'  # tokens are the model's choice where several spell one text
_TRIED = 200  # tokens of a vocabulary that are read several times in a row
_SPECIAL = b"\xff"  # how the library knows a token that no text holds


def source_of(
    json_schema: Any = None,
    json_object: bool | None = None,
    regex: str | None = None,
    grammar: str | None = None,
    *,
    lenient: bool = False,
) -> tuple[str, str] | None:
    """The name of the one that is given, and its grammar in Lark's notation; None where none is.

    Raises:
        ValueError: several are given, or one of another kind.
    """
    values = (json_schema, json_object or None, regex, grammar)
    given = [name for name, value in zip(NAMES, values, strict=True) if value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} each say what the text may be: give one")
    if given[0] == "json_schema":
        return given[0], f"{HEAD}start: %json {schema_text(json_schema, lenient)}"
    if json_object:
        return given[0], f"{HEAD}start: %json {schema_text({'type': 'object'}, lenient)}"
    text = regex if grammar is None else grammar
    if not isinstance(text, str):
        raise ValueError(f"{given[0]} is a string, not {text!r:.200}")
    library = need("llguidance", "structured", "texts of a given form")
    if grammar is None:
        return given[0], f"{HEAD}start: /{library.regex_to_lark(_inside(text), use_ascii='')}/"
    if "::=" in text:
        from llguidance.gbnf_to_lark import any_to_lark

        try:
            text = any_to_lark(text)
        except Exception as error:  # it raises whatever its parser stumbles over
            raise ValueError(f"grammar cannot be used: {error}") from None
    return given[0], _headed(text)


def _headed(lark: str) -> str:
    """A grammar with this module's option beside those that it sets itself."""
    own = re.search(r"^%llguidance\s+(\{.*\})\s*$", lark, re.MULTILINE)
    if own is None:
        return HEAD + lark
    try:
        options = {**json.loads(own[1]), "no_forcing": True}
    except ValueError as error:
        raise ValueError(f"grammar cannot be used: its %llguidance line is no JSON: {error}") from None
    return f"{lark[: own.start()]}%llguidance {json.dumps(options)}{lark[own.end() :]}"


def _inside(regex: str) -> str:
    """The expression without the anchors of a whole match, which every text is."""
    regex = regex.removeprefix("^")
    ends = regex.endswith("$") and (len(regex) - len(regex[:-1].rstrip("\\"))) % 2 == 1
    return regex[:-1] if ends else regex


def schema_text(schema: Any, lenient: bool) -> str:
    """A schema as JSON, from a dictionary, a text, or a class with `model_json_schema` (pydantic's)."""
    if hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    try:
        if isinstance(schema, str):
            schema = json.loads(schema)
        schema = {} if schema is True else schema
        if not isinstance(schema, Mapping):
            raise ValueError(f"it is a JSON object, not {schema!r:.200}")
        told = {"whitespace_pattern": _SPACES, "coerce_one_of": True, "lenient": lenient}
        if deeper(schema, DEEPEST):
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        return json.dumps({**schema, "x-guidance": told})
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"json_schema cannot be used: {error}") from None


def deeper(value: Any, most: int) -> bool:
    """Whether lists and objects lie more than `most` deep within each other."""
    held = [value]
    for _ in range(most + 1):
        nests = [one for one in held if isinstance(one, Mapping | list | tuple)]
        held = [one for nest in nests for one in (nest.values() if isinstance(nest, Mapping) else nest)]
        if not held:
            return False
    return any(isinstance(one, Mapping | list | tuple) for one in held)


class ByteVocabulary:
    """What every token of a tokenizer adds to a text, in bytes, as the library takes it.

    Attributes:
        tokens: by id; a special one, that no text holds, begins with byte 255. The last one ends texts.
        size: how many ids there are.
        leads: whether decoding drops the space of a text's first token.
        never_first: ids that read otherwise at the beginning of a text.
    """

    def __init__(self, tokenizer: Any) -> None:
        every, by_name = TokenBytes(tokenizer).every()
        self.size = len(every)
        added = getattr(tokenizer, "added_tokens_decoder", {})
        marked = (token for token, one in added.items() if getattr(one, "special", False))
        for token in {*marked, *tokenizer.all_special_ids}.intersection(range(self.size)):
            every[token] = _SPECIAL + every[token]
        if not by_name:
            _refuse_ends(tokenizer, every)
        # names that say all are of vocabularies in which only a first space can be lost
        alone = _read_alone(tokenizer, every, len(every) // 500 + 1 if by_name else 1)
        self.leads = any(piece == b" " + first for piece, first in alone.values())
        self.never_first = np.array(
            [token for token, (piece, first) in alone.items() if piece not in (first, b" " + first)], np.int64
        )
        self.tokens: Sequence[bytes] = [*every, _SPECIAL + b"end of text"]
        self.bos_token_id, self.eos_token_id = None, self.size
        self.special_token_ids: Sequence[int] = []

    def __call__(self, text: str) -> list[int]:
        """Asked by the library for a text's tokens only where it forces them."""
        raise NotImplementedError(text)


def _refuse_ends(tokenizer: Any, every: Sequence[bytes]) -> None:
    """Refuse a vocabulary whose tokens say where a word ends, as GPT-1's: they read by what follows.

    Raises:
        ValueError: tokens in a row are not what each of them adds.
    """
    whole = [token for token, piece in enumerate(every) if piece.strip().isalpha()]
    tried = whole[:: len(whole) // _TRIED + 1]
    told = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    # the first of all may read otherwise
    two, three = (tokenizer.batch_decode([[token] * n for token in tried], **told) for n in (2, 3))
    for token, text, longer in zip(tried, two, three, strict=True):
        if longer.encode() != text.encode() + every[token]:
            raise ValueError(
                "texts of a given form need tokens that read alike whatever follows them, and "
                f"{tokenizer.convert_ids_to_tokens(token)!r} of this tokenizer does not"
            )


def _read_alone(tokenizer: Any, every: Sequence[bytes], step: int) -> dict[int, tuple[bytes, bytes]]:
    """For tokens that read otherwise alone than behind others: what they add there, and here."""
    asked = [token for token in range(0, len(every), step) if every[token][:1] not in (b"", _SPECIAL)]
    texts = tokenizer.batch_decode(
        [[token] for token in asked], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    found = {token: (every[token], text.encode()) for token, text in zip(asked, texts, strict=True)}
    return {  # parts of characters have no text
        token: (piece, first)
        for token, (piece, first) in found.items()
        if piece != first and b"\xef\xbf\xbd" not in first
    }


class Structure:
    """A form of texts, compiled for a tokenizer: what may follow each beginning. See `structure_of`.

    Attributes:
        vocabulary: the tokens.
        eos: the tokenizer's own end of texts; None where it has none.
    """

    def __init__(self, vocabulary: ByteVocabulary, matcher: Any, eos: int | None) -> None:
        self.vocabulary, self.eos = vocabulary, eos
        self._matcher, self._lock = matcher, threading.Lock()

    def begin(self) -> Any:
        """The state of an empty text."""
        with self._lock:  # the library's objects serve one thread at a time
            return self._matcher.deep_copy()

    def follows(self, state: Any, first: bool, allowed: NDArray[np.uint8]) -> bool:
        """Write which tokens may follow into `allowed`, [V], 1 or 0, none that ends a text; whether any may.

        Raises:
            ValueError: the library's limits of a step are passed.
        """
        bits = np.frombuffer(state.compute_bitmask(), np.uint8)
        if state.is_error():
            if _said(state).startswith("NoExtension"):
                allowed[:] = 0
                return False
            raise ValueError(f"the text cannot go on in its form: {_said(state)}")
        size, known = self.vocabulary.size, min(self.vocabulary.size, len(allowed))
        allowed[:known] = np.unpackbits(bits, count=known, bitorder="little")
        allowed[known:] = 0
        if first and len(self.vocabulary.never_first):
            allowed[self.vocabulary.never_first[self.vocabulary.never_first < known]] = 0
            return bool(allowed.any())
        last = int(bits[size >> 3]) & ((1 << (size & 7)) - 1)  # without the library's own end
        return bool(last or bits[: size >> 3].any())


def _said(matcher: Any) -> str:
    return str(matcher.get_error()).split("<state>")[0].split("<non-verbose/>")[0].strip()[:500]


_vocabularies: WeakKeyDictionary[Any, dict[Any, tuple[ByteVocabulary, Any, OrderedDict[str, Structure]]]] = (
    WeakKeyDictionary()
)
_lock = threading.RLock()


def structure_of(
    tokenizer: Any,
    *,
    json_schema: Any = None,
    json_object: bool | None = None,
    regex: str | None = None,
    grammar: str | None = None,
    lenient: bool = False,
) -> Structure:
    """Compile what a text may be; a second call with the same tokenizer and form is answered from memory.

    Args:
        tokenizer: has `decode`, `batch_decode`, `convert_ids_to_tokens`, `get_vocab` and `all_special_ids`.
        json_schema: the text is JSON of this schema: a dictionary, JSON, or a pydantic class. Objects keep
            the order of their properties. Between parts stands nothing, a space, or a new line with up to 16.
        json_object: the text is any JSON object.
        regex: the whole text matches this, in the syntax of Rust's `regex` (no look-around).
        grammar: rules in Lark's notation, from `start`; or in llama.cpp's GBNF, from `root`.
        lenient: keywords of a schema that the library does not know are left out, not refused.

    Raises:
        MissingExtra: `llguidance` is not installed.
        ValueError: not exactly one form is given, or one that cannot be compiled or written.
    """
    found = source_of(json_schema, json_object, regex, grammar, lenient=lenient)
    if found is None:
        raise ValueError(f"say what the text may be: one of {', '.join(NAMES)}")
    return compiled(tokenizer, *found)


def is_compiled(tokenizer: Any, source: str) -> bool:
    """Whether `compiled` would answer from memory."""
    return source in _known(tokenizer)[2]


def compiled(tokenizer: Any, name: str, source: str) -> Structure:
    """The structure of a grammar in Lark's notation; `name` is what errors call it."""
    vocabulary, known, structures = _known(tokenizer)
    with _lock:
        if source in structures:
            structures.move_to_end(source)
            return structures[source]
    if vocabulary.leads:  # a space that nobody reads
        parts = [{"lark_grammar": f'{HEAD}start: " "? @text'}, {"name": "text", "lark_grammar": source}]
    else:
        parts = [{"lark_grammar": source}]
    matcher = matcher_of(known, json.dumps({"grammars": parts}))
    made = Structure(vocabulary, matcher, tokenizer.eos_token_id)
    state = made.begin()
    if state.is_error():
        raise ValueError(f"{name} cannot be used: {_said(state)}")
    if not made.follows(state, True, np.empty(vocabulary.size, np.uint8)) and not state.is_accepting():
        raise ValueError(f"{name}: the tokenizer has no token with which such a text can begin")
    with _lock:
        structures[source] = made
        if len(structures) > _KEPT:
            structures.popitem(last=False)
    return made


def matcher_of(tokens: Any, grammar: str) -> Any:
    """The library's automaton, with limits of its size; an error lies within it."""
    library = need("llguidance", "structured", "texts of a given form")
    return library.LLMatcher(tokens, grammar, log_level=0, limits=library.LLParserLimits(**LIMITS))


def _known(tokenizer: Any) -> tuple[ByteVocabulary, Any, OrderedDict[str, Structure]]:
    """The vocabulary of a tokenizer as it is now, for the library, and what was compiled for it."""
    library = need("llguidance", "structured", "texts of a given form")
    key = (len(tokenizer), tuple(tokenizer.all_special_ids))
    with _lock:
        held = _vocabularies.setdefault(tokenizer, {})
        if key not in held:
            vocabulary = ByteVocabulary(tokenizer)
            held.clear()  # tokens were added since
            made = library.LLTokenizer(library.TokenizerWrapper(vocabulary))
            held[key] = (vocabulary, made, OrderedDict())
        return held[key]
