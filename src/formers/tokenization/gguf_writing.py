"""A tokenizer as the metadata of a GGUF file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from formers.hub.gguf import INSTEAD
from formers.tokenization.components import parts
from formers.tokenization.gguf import BYTES, CUTS, NAMED, PIECES, UNIGRAM
from formers.tokenization.pieces import SPACE
from formers.tokenization.sentencepiece import Kind

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def fields_of(tokenizer: Any, size: int) -> dict[str, Any]:
    """The metadata, `tokenizer.ggml.*` and the chat template.

    Args:
        tokenizer: of pairs of SentencePiece or of bytes, or a unigram model.
        size: rows of the model's table of tokens; what the tokenizer lacks is filled in.

    Raises:
        ValueError: for a tokenizer that such files cannot describe.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    model, added = backend["model"], {one["content"]: one for one in backend["added_tokens"]}
    kind, more = _kind(backend, tokenizer.name_or_path)
    ids: dict[str, int] = tokenizer.get_vocab()
    texts = {index: text for text, index in ids.items()}
    tokens, types = [], []
    for index in range(max(size, max(texts) + 1)):
        text = texts.get(index)
        tokens.append(f"[PAD{index}]" if text is None else text)
        types.append(int(_type(text, added, str(tokenizer.unk_token), kind)))
        if kind == PIECES and types[-1] == Kind.USER_DEFINED:
            tokens[-1] = tokens[-1].replace(SPACE, " ")  # as llama.cpp looks for them in texts
    found = {"model": kind, **more, "tokens": tokens, "token_type": types}
    if kind == PIECES:
        found["scores"] = _scores(model["merges"], ids, len(tokens))
    elif kind == UNIGRAM:
        held = dict(model["vocab"])
        found["scores"] = [float(held.get(text, 0.0)) for text in tokens]
    if kind != UNIGRAM:
        found["merges"] = [" ".join(_pair(one)) for one in model["merges"]]
    for name, called in NAMED.items():
        special = str(getattr(tokenizer, f"{name}_token", None))
        if special in ids:
            found[f"{called}_token_id"] = ids[special]
    ends = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    for name, at in (("bos", 0), ("eos", -1)):
        end = getattr(tokenizer, f"{name}_token_id", None)
        found[f"add_{name}_token"] = end is not None and ends[0][at] == end and ends[1][at] != end
    said = {f"tokenizer.ggml.{name}": value for name, value in found.items()}
    template = getattr(tokenizer, "chat_template", None)
    return said | ({"tokenizer.chat_template": template} if isinstance(template, str) else {})


def _pair(merge: Any) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else list(merge)


def _kind(backend: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """The name of a tokenizer's kind, and what goes with it.

    Raises:
        ValueError: for one that files have no name for.
    """
    model, cutter = backend["model"], backend["pre_tokenizer"]
    if model["type"] == "Unigram":
        return UNIGRAM, {"add_space_prefix": True}
    if model["type"] == "BPE" and model.get("byte_fallback"):
        prepends = next(iter(parts(backend["normalizer"], kind="Prepend")), None)
        spaced = next(iter(parts(cutter, kind="Metaspace")), {"prepend_scheme": "never"})
        prefix = prepends is not None or spaced.get("prepend_scheme") != "never"
        return PIECES, {"pre": "default", "add_space_prefix": prefix}
    if model["type"] == "BPE" and next(iter(parts(cutter, kind="ByteLevel")), None) is not None:
        split = next(iter(parts(cutter, kind="Split")), None)
        cuts = "" if split is None else split["pattern"].get("Regex", split["pattern"].get("String"))
        # the first of several names of one cut is the commonest; "default" would be cut otherwise there
        pre = "gpt-2" if not cuts else next((key for key, value in CUTS.items() if value == cuts), None)
        if pre is not None:
            return BYTES, {"pre": pre}
    raise ValueError(
        f"the tokenizer of {name or 'this model'} cuts texts in a way that GGUF files have no name for: "
        f"{INSTEAD}"
    )


def _type(text: str | None, added: Mapping[str, Any], unknown: str, kind: str) -> Kind:
    if text is None:
        return Kind.UNUSED
    if text == unknown and kind != BYTES:
        return Kind.UNKNOWN
    if text in added:
        return Kind.CONTROL if added[text]["special"] else Kind.USER_DEFINED
    return Kind.BYTE if kind == PIECES and _BYTE.fullmatch(text) else Kind.NORMAL


def _scores(merges: list[Any], ids: Mapping[str, int], count: int) -> list[float]:
    """What is merged first has the highest score; what is not merged comes in its order behind."""
    found = [-float(index + len(merges)) for index in range(count)]
    for rank, merge in reversed([*enumerate(merges)]):
        index = ids.get("".join(_pair(merge)))
        if index is not None:
            found[index] = -float(rank)
    return found
