"""The components of a backend, read and changed in place: its normalizer, its frame of special tokens."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from formers.tokenization.checks import check_charsmap, told

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Setting -> the place in tokenizer.json where it lives.
_BERT_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}

# How special tokens are usually spelt, for a tokenizer.json that comes without a word on them.
_USUAL = {
    "bos_token": ("<s>", "<|begin_of_text|>", "<bos>", "[BOS]"),
    "eos_token": ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "[EOS]"),
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]",),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]",),
    "mask_token": ("[MASK]", "<mask>"),
}


def guess_special(backend: Tokenizer) -> dict[str, Any]:
    """Name the special tokens of a backend that are spelt as they usually are."""
    special = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    found = {name: next((text for text in texts if text in special), None) for name, texts in _USUAL.items()}
    return {name: text for name, text in found.items() if text is not None}


def gives_token_types(backend: Tokenizer) -> bool:
    """Whether the texts of a pair get token types of their own, which then the model takes."""
    with told("encode the letter 'a'"):
        rows = [backend.encode(text, add_special_tokens=False) for text in ("a", "a")]
    processor = backend.post_processor
    return processor is not None and len(set(processor.process(rows[0], rows[1], True).type_ids)) > 1


def state_of(component: Any) -> dict[str, Any]:
    """Return a component as the dictionary of tokenizer.json, an empty one where there is none."""
    return {} if component is None else dict(json.loads(component.__getstate__()))


def parts(node: Any, kind: str | None = None) -> Iterator[dict[str, Any]]:
    """Walk over a component and the members of a sequence, as dictionaries; those of one type alone."""
    if isinstance(node, dict) and node:
        if kind in (None, node.get("type")):
            yield node
        for key in ("normalizers", "pretokenizers", "processors", "decoders"):
            for part in node.get(key) or ():
                yield from parts(part, kind)


def check(backend: Tokenizer, where: str) -> None:
    """Refuse parts of a backend that the library would read beyond their end.

    Raises:
        ValueError: saying which part is broken.
    """
    for part in parts(state_of(backend.normalizer), kind="Precompiled"):
        try:
            charsmap = base64.b64decode(part.get("precompiled_charsmap") or "", validate=True)
        except binascii.Error as error:
            raise ValueError(f"the normalizer of {where} is broken: {error}") from error
        check_charsmap(charsmap, where)
    for part in parts(state_of(backend.post_processor), kind="TemplateProcessing"):
        known = part.get("special_tokens") or {}
        for piece in (*part["single"], *part["pair"]):
            token = piece.get("SpecialToken", {}).get("id")
            if token is not None and token not in known:
                raise ValueError(
                    f"the post-processor of {where} names {token!r}, which is not among its special_tokens"
                )


def _put(backend: Tokenizer, section: str, state: dict[str, Any]) -> None:
    from tokenizers import Tokenizer

    # The vocabulary stays out of the way: only the component makes the trip through JSON.
    shell = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    setattr(backend, section, getattr(Tokenizer.from_str(json.dumps({**shell, section: state})), section))


def rewrite(backend: Tokenizer, section: str, change: Callable[[dict[str, Any]], bool]) -> bool:
    """Change one component of a backend in place by editing its JSON; say whether anything matched."""
    state = state_of(getattr(backend, section))
    matched = [change(part) for part in parts(state)]
    if any(matched):
        _put(backend, section, state)
    return any(matched)


def apply(backend: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Carry settings that the caller passed into a backend whose file had fixed them otherwise.

    Raises:
        ValueError: for a setting that this backend has no place for.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    lower = {key: settings[name] for name, key in _BERT_NORMALIZER.items() if name in settings}
    if lower and not rewrite(backend, "normalizer", _setter("BertNormalizer", lower)):
        asked = sorted(name for name in _BERT_NORMALIZER if name in settings)
        raise ValueError(
            f"{asked} cannot be set: the tokenizer.json of this checkpoint has no BERT normalizer"
        )
    if "add_prefix_space" in given:
        _set_prefix_space(backend, bool(given["add_prefix_space"]))
    if "trim_offsets" in given:
        rewrite(backend, "post_processor", _setter(None, {"trim_offsets": bool(given["trim_offsets"])}))
    if "legacy" in given:
        _set_legacy(backend, bool(given["legacy"]))
    if "extra_ids" in given:
        wanted = int(given["extra_ids"])
        present = sum(token.startswith("<extra_id_") for token in backend.get_vocab(with_added_tokens=True))
        if present != wanted:  # the ids of a file are fixed
            raise ValueError(
                f"extra_ids={wanted}, but the tokenizer.json of this checkpoint has {present} sentinels: "
                "leave extra_ids out, and add tokens with tokenizer.add_special_tokens if you need more"
            )


def lowercases(backend: Tokenizer) -> list[bool]:
    """Say for each BERT normalizer of a backend whether it makes text lower case."""
    return [
        bool(part.get("lowercase")) for part in parts(state_of(backend.normalizer), kind="BertNormalizer")
    ]


def _setter(kind: str | None, values: Mapping[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """Make a change for `rewrite`: set values in components of a type or, without one, that have them."""

    def change(part: dict[str, Any]) -> bool:
        fits = part.get("type") == kind if kind is not None else all(key in part for key in values)
        if fits:
            part.update(values)
        return fits

    return change


# what cuts at spaces and drops them
_DROP_SPACES = ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")


def _set_prefix_space(backend: Tokenizer, value: bool) -> None:
    def change(part: dict[str, Any]) -> bool:
        if part.get("type") == "Metaspace":
            if not value:
                part["prepend_scheme"] = "never"
            elif part.get("prepend_scheme") == "never":
                part["prepend_scheme"] = "always"
            return True
        return _setter(None, {"add_prefix_space": value})(part)

    matched = [rewrite(backend, section, change) for section in ("pre_tokenizer", "post_processor")]
    state = state_of(backend.pre_tokenizer)
    drops = any(next(parts(state, kind=kind), None) for kind in _DROP_SPACES)  # one more changes no id
    if not any(matched) and not drops:
        raise ValueError(
            "add_prefix_space cannot be set: this checkpoint's tokenizer puts no space in front of words"
        )


def _set_legacy(backend: Tokenizer, legacy: bool) -> None:
    """Put a space in front of every piece of text (as LLaMA's first tokenizer did) or of the whole alone."""
    from tokenizers import normalizers, pre_tokenizers

    prepends = any(parts(state_of(backend.normalizer), kind="Prepend"))
    spaces = parts(state_of(backend.pre_tokenizer), kind="Metaspace")
    if prepends and not legacy:
        backend.normalizer = None
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    elif legacy and any(part.get("prepend_scheme") == "first" for part in spaces):
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    elif legacy and not prepends:
        raise ValueError(
            "legacy=True cannot be set: this checkpoint's tokenizer puts no space in front of text"
        )


def id_of(backend: Tokenizer, token: str) -> int:
    """Return the id of a special token, which is added when the vocabulary has not got it."""
    if backend.token_to_id(token) is None:
        backend.add_special_tokens([token])
    return int(backend.token_to_id(token))  # type: ignore[arg-type]


def frame(backend: Tokenizer, tokens: Iterable[str], single: Sequence[str], pair: Sequence[str]) -> None:
    """Make a backend put special tokens around texts: templates in which `$A` and `$B` are the texts."""
    from tokenizers import processors

    backend.post_processor = processors.TemplateProcessing(
        single=list(single),
        pair=list(pair),
        special_tokens=[(token, id_of(backend, token)) for token in dict.fromkeys(tokens)],
    )


def bert_frame(backend: Tokenizer, every: Mapping[str, Any], kind: int = 0) -> None:
    """Put class and separator tokens around texts as BERT does; the class token has the type `kind`."""
    cls, sep = every["cls_token"], every["sep_token"]
    single = [f"{cls}:{kind}", "$A:0", f"{sep}:0"]
    frame(backend, (cls, sep), single, [*single, "$B:1", f"{sep}:1"])


def surround(backend: Tokenizer, first: str | None, last: str | None) -> None:
    """Make a backend put a start and an end token around each text, or one, or none."""
    from tokenizers import processors

    before = parts(state_of(backend.post_processor), kind="ByteLevel")
    byte_level = next(iter(before), None)
    one, two = (
        [
            *([] if first is None else [f"{first}:{kind}"]),
            f"{text}:{kind}",
            *([] if last is None else [f"{last}:{kind}"]),
        ]
        for kind, text in enumerate(("$A", "$B"))
    )
    frame(backend, [token for token in (first, last) if token is not None], one, one + two)
    if byte_level is not None:
        trims = processors.ByteLevel(trim_offsets=byte_level.get("trim_offsets", True))
        backend.post_processor = processors.Sequence([trims, backend.post_processor])


def rename(node: Any, names: Mapping[str, str], find: Callable[[str], int]) -> Any:
    """Return the JSON of a post-processor with other special tokens, whose ids `find` gives."""
    made = json.loads(json.dumps(node))

    def renamed(token: str) -> str:
        return names.get(token, token)

    for part in parts(made):
        for key in ("cls", "sep"):
            if isinstance(part.get(key), list):
                token = renamed(part[key][0])
                part[key] = [token, find(token)]
        if part.get("type") == "TemplateProcessing":
            for piece in (*part["single"], *part["pair"]):
                if "SpecialToken" in piece:
                    piece["SpecialToken"]["id"] = renamed(piece["SpecialToken"]["id"])
            part["special_tokens"] = {
                token: {"id": token, "ids": [find(token)], "tokens": [token]}
                for token in map(renamed, part["special_tokens"])
            }
    return made


def reframe(backend: Tokenizer, old: Mapping[str, Any], new: Mapping[str, str]) -> None:
    """Put other start and end tokens (`cls_token`, `sep_token`) where the frame has the old ones."""
    state, names = state_of(backend.post_processor), {}
    for name, token in new.items():
        place = name.removesuffix("_token")
        held = next((part[place][0] for part in parts(state) if isinstance(part.get(place), list)), None)
        names[str(held or old.get(name))] = token
    if any(was != token for was, token in names.items()):
        _put(backend, "post_processor", rename(state, names, lambda token: id_of(backend, token)))
