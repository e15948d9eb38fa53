"""Settings of a caller, carried into a backend that is there already; what a bare backend tells of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from formers.core.notices import notice

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.tokenizer import PreTrainedTokenizerFast

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


def guess_inputs(backend: Tokenizer) -> tuple[str, ...]:
    """Say what the model takes: token types where the backend gives the texts of a pair different ones."""
    rows = [backend.encode(text, add_special_tokens=False) for text in ("a", "a")]
    processor = backend.post_processor
    types = processor.process(rows[0], rows[1], True).type_ids if processor is not None else []
    if len(set(types)) > 1:
        return ("input_ids", "token_type_ids", "attention_mask")
    return ("input_ids", "attention_mask")


def apply(tokenizer: PreTrainedTokenizerFast, explicit: Mapping[str, Any], *, from_file: bool) -> None:
    """Carry settings that the caller passed into the backend, where a file had fixed them otherwise.

    Settings that were saved beside a `tokenizer.json` are not carried over: the file is the truth.
    """
    backend = tokenizer.backend_tokenizer
    if from_file:
        lower = {name: explicit[name] for name in _BERT_NORMALIZER if name in explicit}
        if lower:
            _set_normalizer(backend, lower)
        if explicit.get("add_prefix_space") is not None:
            _set_prefix_space(backend, bool(explicit["add_prefix_space"]))
        if explicit.get("trim_offsets") is not None:
            _edit(backend, "post_processor", "trim_offsets", bool(explicit["trim_offsets"]))
        if explicit.get("legacy") is not None:
            _set_legacy(backend, bool(explicit["legacy"]))
        if explicit.get("extra_ids") is not None:
            _check_sentinels(backend, int(explicit["extra_ids"]))
        _notice_disagreement(tokenizer)
    ends = {
        name: explicit[name] for name in ("add_bos_token", "add_eos_token") if explicit.get(name) is not None
    }
    if ends and (from_file or tokenizer.recipe is None):
        frame(tokenizer, bos=ends.get("add_bos_token"), eos=ends.get("add_eos_token"))
    if not from_file:
        return
    for name in ("bos_token", "eos_token", "cls_token", "sep_token"):
        if name in explicit:
            _replace_in_processor(backend, tokenizer.init_kwargs, tokenizer, name)


def _parts(node: Any) -> list[dict[str, Any]]:
    """Return a component and, for a sequence, its members, as the dictionaries of tokenizer.json."""
    if not isinstance(node, dict):
        return []
    inner = [
        part
        for key in ("normalizers", "pretokenizers", "processors", "decoders")
        for part in node.get(key) or []
    ]
    return [node, *[found for part in inner for found in _parts(part)]]


def rewrite(backend: Tokenizer, section: str, change: Callable[[dict[str, Any]], bool]) -> bool:
    """Change one component of a backend in place by editing its JSON; say whether anything matched."""
    from tokenizers import Tokenizer

    # The vocabulary stays out of the way: only the component makes the trip through JSON.
    component = getattr(backend, section)
    if component is None:
        return False
    node = json.loads(component.__getstate__())
    matched = [change(part) for part in _parts(node)]
    if not any(matched):
        return False
    shell: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    setattr(backend, section, getattr(Tokenizer.from_str(json.dumps({**shell, section: node})), section))
    return True


def _edit(backend: Tokenizer, section: str, key: str, value: Any) -> bool:
    def change(part: dict[str, Any]) -> bool:
        if key in part:
            part[key] = value
        return key in part

    return rewrite(backend, section, change)


def _set_normalizer(backend: Tokenizer, settings: Mapping[str, Any]) -> None:
    def change(part: dict[str, Any]) -> bool:
        if part.get("type") != "BertNormalizer":
            return False
        part.update({_BERT_NORMALIZER[name]: value for name, value in settings.items()})
        return True

    if not rewrite(backend, "normalizer", change):
        raise ValueError(
            f"{sorted(settings)} cannot be set: the tokenizer.json of this checkpoint has no BERT normalizer"
        )


def _set_prefix_space(backend: Tokenizer, value: bool) -> None:
    def change(part: dict[str, Any]) -> bool:
        if part.get("type") == "Metaspace":
            part["prepend_scheme"] = (
                ("always" if part.get("prepend_scheme") == "never" else part["prepend_scheme"])
                if value
                else "never"
            )
            return True
        if "add_prefix_space" in part:
            part["add_prefix_space"] = value
            return True
        return False

    found = [rewrite(backend, section, change) for section in ("pre_tokenizer", "post_processor")]
    if not any(found):
        raise ValueError(
            "add_prefix_space cannot be set: this checkpoint's tokenizer puts no space in front of words"
        )


def _set_legacy(backend: Tokenizer, legacy: bool) -> None:
    """Put a space in front of every piece of text (as LLaMA's first tokenizer did) or of the whole alone."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer = "" if backend.normalizer is None else backend.normalizer.__getstate__().decode()
    splitter = "" if backend.pre_tokenizer is None else backend.pre_tokenizer.__getstate__().decode()
    if '"Prepend"' in normalizer and not legacy:
        backend.normalizer = None
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    elif '"Metaspace"' in splitter and '"first"' in splitter and legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    elif '"Prepend"' not in normalizer and legacy:
        raise ValueError(
            "legacy=True cannot be set: this checkpoint's tokenizer puts no space in front of text"
        )


def _check_sentinels(backend: Tokenizer, wanted: int) -> None:
    """Refuse a number of sentinels that the file has not got: its ids are fixed."""
    present = sum(token.startswith("<extra_id_") for token in backend.get_vocab(with_added_tokens=True))
    if present != wanted:
        raise ValueError(
            f"extra_ids={wanted}, but the tokenizer.json of this checkpoint has {present} sentinels: leave "
            "extra_ids out, and add tokens with tokenizer.add_special_tokens if you need more"
        )


def _notice_disagreement(tokenizer: PreTrainedTokenizerFast) -> None:
    saved = tokenizer.init_kwargs.get("do_lower_case")
    component = tokenizer.backend_tokenizer.normalizer
    if saved is None or component is None:
        return
    for part in _parts(json.loads(component.__getstate__())):
        if part.get("type") == "BertNormalizer" and bool(part.get("lowercase")) != bool(saved):
            notice(
                f"{tokenizer.name_or_path}: tokenizer_config.json says do_lower_case={saved}, "
                f"tokenizer.json lowercases: {bool(part.get('lowercase'))}. tokenizer.json is used; pass "
                "do_lower_case= to choose",
            )


def frame(tokenizer: PreTrainedTokenizerFast, *, bos: bool | None, eos: bool | None) -> None:
    """Make the backend put the start and end tokens around a text, or not; None leaves one as it is."""
    from tokenizers import processors

    first = tokenizer.add_bos_token if bos is None else bos
    last = tokenizer.add_eos_token if eos is None else eos
    for wanted, name in ((first, "bos_token"), (last, "eos_token")):
        if wanted and getattr(tokenizer, name) is None:
            raise ValueError(
                f"add_{name}=True needs a {name}, but this tokenizer has none: set tokenizer.{name}"
            )
    one = (
        ([f"{tokenizer.bos_token}:0"] if first else [])
        + ["$A:0"]
        + ([f"{tokenizer.eos_token}:0"] if last else [])
    )
    two = [
        piece.replace(":0", ":1").replace("$A", "$B") if piece.startswith("$") else piece[:-1] + "1"
        for piece in one
    ]
    used = {
        name: getattr(tokenizer, f"{name}_id")
        for name, on in (("bos_token", first), ("eos_token", last))
        if on
    }
    template: Any = processors.TemplateProcessing(
        single=one,
        pair=one + two,
        special_tokens=[(getattr(tokenizer, name), index) for name, index in used.items()],
    )
    present = tokenizer.backend_tokenizer.post_processor
    if present is not None and '"ByteLevel"' in present.__getstate__().decode():
        kept = [
            part for part in _parts(json.loads(present.__getstate__())) if part.get("type") == "ByteLevel"
        ]
        template = processors.Sequence(
            [processors.ByteLevel(trim_offsets=kept[0].get("trim_offsets", True)), template]
        )
    tokenizer.backend_tokenizer.post_processor = template


def _replace_in_processor(
    backend: Tokenizer, _: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    """Put the token that the caller chose where the file's frame has the saved one."""
    token, index = getattr(tokenizer, name), getattr(tokenizer, f"{name}_id")
    part_of = {"cls_token": "cls", "bos_token": "cls", "sep_token": "sep", "eos_token": "sep"}[name]
    if token is None:
        return

    def change(part: dict[str, Any]) -> bool:
        if part_of in part and isinstance(part[part_of], list):
            part[part_of] = [token, index]
            return True
        return False

    rewrite(backend, "post_processor", change)
