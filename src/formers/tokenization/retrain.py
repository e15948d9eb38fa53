"""A backend of the same kind, trained on other text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from formers.tokenization.components import parts, rename
from formers.tokenization.special import ADDITIONAL, NAMED, SpecialTokens, Token, as_special

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


def train(
    backend: Tokenizer,
    special: SpecialTokens,
    texts: Any,
    new_special: Sequence[Token],
    renamed: Mapping[str, str],
    options: dict[str, Any],
) -> Tokenizer:
    """Train; see `PreTrainedTokenizerFast.train_new_from_iterator`. `options` hold `length`, too."""
    from tokenizers import Tokenizer, pre_tokenizers, trainers

    state = json.loads(backend.to_str())
    added = sorted(backend.get_added_tokens_decoder().items())
    tokens = [_renamed(token, renamed) for _, token in added] + as_special(new_special)
    unknown = special.named["unk_token"]
    unknown = None if unknown is None else renamed.get(str(unknown), str(unknown))
    model = _emptied(state["model"], renamed, unknown)
    fresh = Tokenizer.from_str(
        json.dumps({**state, "added_tokens": [], "post_processor": None, "model": model})
    )
    length = options.pop("length")
    if model["type"] in ("BPE", "Unigram") and any(parts(state["pre_tokenizer"], kind="ByteLevel")):
        options.setdefault("initial_alphabet", pre_tokenizers.ByteLevel.alphabet())
    if model["type"] == "Unigram" and unknown is not None:
        options.setdefault("unk_token", unknown)
    if model.get("continuing_subword_prefix") is not None:
        options.setdefault("continuing_subword_prefix", model["continuing_subword_prefix"])
    if model.get("end_of_word_suffix"):
        options.setdefault("end_of_word_suffix", model["end_of_word_suffix"])
    kinds = {
        "BPE": trainers.BpeTrainer,
        "Unigram": trainers.UnigramTrainer,
        "WordLevel": trainers.WordLevelTrainer,
        "WordPiece": trainers.WordPieceTrainer,
    }
    trainer = kinds[model["type"]](special_tokens=tokens, **options)
    fresh.train_from_iterator(texts, length=length, trainer=trainer)

    def find(token: str) -> int:
        index = fresh.token_to_id(token)
        if index is None:
            raise ValueError(
                f"the frame of the tokenizer needs {token!r}, which the trained vocabulary has not got"
            )
        return int(index)

    trained = json.loads(fresh.to_str())
    trained["post_processor"] = rename(state.get("post_processor"), renamed, find)
    # The trainer makes every token that it is given a special one.
    flags = {renamed.get(token.content, token.content): token.special for _, token in added}
    for token in trained["added_tokens"]:
        token["special"] = flags.get(token["content"], token["special"])
    return Tokenizer.from_str(json.dumps(trained))


def settings_of(
    init: Mapping[str, Any], special: SpecialTokens, new_special: Sequence[Token], renamed: Mapping[str, str]
) -> dict[str, Any]:
    """Return the settings of the trained tokenizer: those of the old one (`init`) with the renamed tokens."""
    dropped = (*NAMED, *ADDITIONAL, "added_tokens_decoder", "tokenizer_class", "name_or_path", "auto_map")
    settings = {key: value for key, value in init.items() if key not in dropped}
    settings |= {name: renamed.get(str(token), str(token)) for name, token in special.present.items()}
    kept = [renamed.get(str(token), str(token)) for token in special.additional]
    return {**settings, "additional_special_tokens": kept + [str(token) for token in new_special]}


def _renamed(token: AddedToken, names: Mapping[str, str]) -> AddedToken:
    from tokenizers import AddedToken

    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(
        names.get(token.content, token.content), **{flag: getattr(token, flag) for flag in flags}
    )


def _emptied(model: Mapping[str, Any], renamed: Mapping[str, str], unknown: str | None) -> dict[str, Any]:
    """Return the JSON of a model without its vocabulary."""
    if model["type"] == "Unigram":
        return {**model, "vocab": [[unknown or "<unk>", 0.0]], "unk_id": 0}
    emptied = {**model, "vocab": {}}
    if model["type"] == "BPE":
        emptied["merges"] = []
    if model.get("unk_token") is not None:
        emptied["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    return emptied
