"""The tokenizer that a GGUF file's metadata describe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from formers.hub.gguf import Header, model_type_of
from formers.tokenization import builders
from formers.tokenization.builders import ONE_DIGIT, cut_bytes
from formers.tokenization.components import surround
from formers.tokenization.pieces import SPACE
from formers.tokenization.recipe import Recipe
from formers.tokenization.recipes import MODEL_TYPES, RECIPES
from formers.tokenization.sentencepiece import Kind, Model, Piece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECES, BYTES, UNIGRAM = "llama", "gpt2", "t5"  # what `tokenizer.ggml.model` calls kinds of tokenizers
NAMED = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_ABBREVIATED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*")
_THREE_DIGITS = ONE_DIGIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BY_CASE = "|".join((*_CASED, r"\p{N}", _OTHERS))
_BY_CASE_ABBREVIATED = "|".join((*(f"{one}{_ABBREVIATED}?" for one in _CASED), r"\p{N}{1,3}", _OTHERS))
# `tokenizer.ggml.pre` -> where texts are cut before their bytes are paired (llama.cpp's llama-vocab.cpp)
CUTS = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral"), _THREE_DIGITS),
    **dict.fromkeys(("midm-2.0", "lfm2", "jina-v5-nano", "dbrx", "smaug-bpe"), _THREE_DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"), ONE_DIGIT),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"), _BY_CASE_ABBREVIATED),
    "tekken": _BY_CASE,
    **dict.fromkeys(("default", "gpt-2", "phi-2", "jina-en", "mpt", "olmo", "bloom", "gpt3-finnish"), ""),
}


def settings_of(header: Header) -> dict[str, Any]:
    """Special tokens, chat template and class, as `tokenizer_config.json` would say them."""
    tokens = _said(header, "tokens")
    found: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name, called in NAMED.items():
        index = header.fields.get(f"tokenizer.ggml.{called}_token_id")
        if index is not None and 0 <= index < len(tokens):
            found[f"{name}_token"] = tokens[index]
    row = _row(header)
    if row is not None:
        found["padding_side"] = row.padding_side
    if isinstance(template := header.fields.get("tokenizer.chat_template"), str):
        found["chat_template"] = template
    return found


def backend_of(header: Header) -> Tokenizer:
    """The backend.

    Raises:
        ValueError: for a kind of tokenizer, or a way to cut texts, that is not known.
    """
    kind = header.fields.get("tokenizer.ggml.model")
    if kind not in _KINDS:
        raise ValueError(
            f"{header.path} has the tokenizer {kind!r}, and those of {', '.join(map(repr, _KINDS))} are "
            "read: load the tokenizer of the checkpoint that it was made from"
        )
    backend = _KINDS[kind](header, settings_of(header))
    _add_marked(backend, header)
    return backend


def _said(header: Header, name: str) -> list[Any]:
    found = header.fields.get(f"tokenizer.ggml.{name}")
    if not isinstance(found, list):
        raise ValueError(f"{header.path} holds no tokenizer: its metadata have no tokenizer.ggml.{name}")
    return found


def _row(header: Header) -> Recipe | None:
    """The row of the class that models of this architecture have."""
    found = model_type_of(header.architecture, MODEL_TYPES)
    return None if found is None else RECIPES[MODEL_TYPES[found]]


def _ends(header: Header, settings: Mapping[str, Any], usual: bool) -> tuple[str | None, str | None]:
    """The tokens that go before and behind each text."""
    asked = {name: header.fields.get(f"tokenizer.ggml.add_{name}_token") for name in ("bos", "eos")}
    first = usual if asked["bos"] is None else asked["bos"]
    return (
        settings.get("bos_token") if first else None,
        settings.get("eos_token") if asked["eos"] else None,
    )


def _pieces(header: Header, settings: Mapping[str, Any]) -> Tokenizer:
    """SentencePiece's pairs, with bytes for unknown characters."""
    row, usual = _row(header), RECIPES["Llama"]
    if row is None or row.kind != usual.kind:
        row = usual
    tokens, prefix = _said(header, "tokens"), bool(row.options["add_prefix_space"])
    if prefix:
        order = _said(header, "scores")
    else:  # scores that do not say which pair comes first; runs of spaces that are spelt as such
        tokens = [SPACE * len(text) if " " in text and not text.strip() else text for text in tokens]
        order = [-float(index) for index in range(len(tokens))]
    kinds = map(Kind, _kinds(header))
    implied = Model([Piece(*piece) for piece in zip(tokens, order, kinds, strict=True)], bpe=True)
    merges = header.fields.get("tokenizer.ggml.merges") or implied.merges()
    given = {"vocab": {text: index for index, text in enumerate(tokens)}, "merges": merges}
    first, last = _ends(header, settings, usual=True)
    own = {"legacy": not prefix, "add_bos_token": first is not None, "add_eos_token": last is not None}
    return builders.build(row, given, {**settings, **own}, str(header.path))


def _bytes(header: Header, settings: Mapping[str, Any]) -> Tokenizer:
    """Pairs of bytes."""
    from tokenizers import pre_tokenizers

    pre = header.fields.get("tokenizer.ggml.pre", "default")
    if pre not in CUTS:
        raise ValueError(
            f"{header.path} cuts texts as {pre!r} does, which is not known: load the tokenizer of the "
            "checkpoint that it was made from"
        )
    letters, vocab = {*pre_tokenizers.ByteLevel.alphabet()}, {}
    for index, (text, kind) in enumerate(zip(_said(header, "tokens"), _kinds(header), strict=True)):
        spelt = kind != Kind.NORMAL or set(text) <= letters
        vocab[text if spelt else _spelt(text)] = index
    given = {"vocab": vocab, "merges": _said(header, "merges")}
    backend = builders.build(RECIPES["GPT2"], given, settings, str(header.path))
    if CUTS[pre]:
        cut_bytes(backend, CUTS[pre], prefix=False)
    first, last = _ends(header, settings, usual=False)
    if first or last:
        surround(backend, first, last)
    return backend


def _spelt(text: str) -> str:
    """A text in the letters that stand for its bytes."""
    from tokenizers import pre_tokenizers

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return "".join(part for part, _ in cut)


def _unigram(header: Header, settings: Mapping[str, Any]) -> Tokenizer:
    """SentencePiece's language model. Tokens that stand for blanks have lost their names."""
    tokens, row = [*_said(header, "tokens")], RECIPES["T5"]
    blanks = [index for index, text in enumerate(tokens) if re.fullmatch(r"\[PAD\d+\]", text)]
    for count, index in zip(range(int(row.options["extra_ids"]) - 1, -1, -1), blanks, strict=False):
        tokens[index] = f"<extra_id_{count}>"
    given = {"vocab": list(zip(tokens, _said(header, "scores"), strict=True))}
    return builders.build(row, given, settings, str(header.path))


def _kinds(header: Header) -> list[int]:
    """What each token is; ordinary where nobody says."""
    said = header.fields.get("tokenizer.ggml.token_type")
    return said if isinstance(said, list) else [int(Kind.NORMAL)] * len(_said(header, "tokens"))


def _add_marked(backend: Tokenizer, header: Header) -> None:
    """Keep whole what is marked as control or as a user's own token."""
    from tokenizers import AddedToken

    ids = backend.get_vocab()
    found: dict[int, list[AddedToken]] = {Kind.CONTROL: [], Kind.USER_DEFINED: []}
    for text, kind in zip(_said(header, "tokens"), _kinds(header), strict=True):
        if kind in found and text in ids:
            found[kind].append(AddedToken(text, normalized=False, special=kind == Kind.CONTROL))
    backend.add_special_tokens(found[Kind.CONTROL])  # all at once: each call sorts them all anew
    backend.add_tokens(found[Kind.USER_DEFINED])


_KINDS = {PIECES: _pieces, BYTES: _bytes, UNIGRAM: _unigram}
