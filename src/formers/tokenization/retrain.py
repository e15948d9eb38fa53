"""A tokenizer of the same kind, trained on other text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from formers.tokenization.special import ADDITIONAL, NAMED, Token

if TYPE_CHECKING:
    from formers.tokenization.tokenizer import PreTrainedTokenizerFast


def train(
    tokenizer: PreTrainedTokenizerFast,
    texts: Any,
    vocab_size: int,
    length: int | None,
    new_special: Sequence[Token] | None,
    renamed: Mapping[str, str] | None,
    options: dict[str, Any],
) -> PreTrainedTokenizerFast:
    """Train; see `PreTrainedTokenizerFast.train_new_from_iterator`."""
    from tokenizers import AddedToken, Tokenizer, pre_tokenizers, trainers

    renamed = dict(renamed or {})
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    special = [_renamed(token, renamed) for _, token in sorted(tokenizer.added_tokens_decoder.items())]
    fresh = _emptied(state, renamed, tokenizer.unk_token)
    backend = Tokenizer.from_str(json.dumps(fresh))
    special += [
        token if isinstance(token, AddedToken) else AddedToken(token, special=True)
        for token in new_special or ()
    ]
    if fresh["model"]["type"] in ("BPE", "Unigram") and '"ByteLevel"' in json.dumps(state["pre_tokenizer"]):
        options.setdefault("initial_alphabet", pre_tokenizers.ByteLevel.alphabet())
    if fresh["model"]["type"] == "Unigram" and tokenizer.unk_token is not None:
        options.setdefault("unk_token", renamed.get(tokenizer.unk_token, tokenizer.unk_token))
    if fresh["model"].get("continuing_subword_prefix") is not None:
        options.setdefault("continuing_subword_prefix", fresh["model"]["continuing_subword_prefix"])
    if fresh["model"].get("end_of_word_suffix"):
        options.setdefault("end_of_word_suffix", fresh["model"]["end_of_word_suffix"])
    kinds = {
        "BPE": trainers.BpeTrainer,
        "Unigram": trainers.UnigramTrainer,
        "WordLevel": trainers.WordLevelTrainer,
        "WordPiece": trainers.WordPieceTrainer,
    }
    trainer = kinds[fresh["model"]["type"]](vocab_size=vocab_size, special_tokens=special, **options)
    backend.train_from_iterator(texts, length=length, trainer=trainer)
    trained = json.loads(backend.to_str())
    trained["post_processor"] = _processor(state.get("post_processor"), renamed, backend)
    trained["added_tokens"] = [
        {**token, **_flags(tokenizer, token["content"], renamed)} for token in trained["added_tokens"]
    ]
    settings = {
        key: value for key, value in tokenizer.init_kwargs.items() if key not in (*NAMED, *ADDITIONAL)
    }
    for name in ("added_tokens_decoder", "tokenizer_class", "name_or_path", "chat_template", "auto_map"):
        settings.pop(name, None)
    for name, token in tokenizer._named.items():
        if token is not None:
            settings[name] = renamed.get(str(token), str(token))
    extra = [renamed.get(text, text) for text in tokenizer.additional_special_tokens]
    settings["additional_special_tokens"] = extra + [str(token) for token in new_special or ()]
    made = type(tokenizer).__new__(type(tokenizer))
    made.vocab_file = None
    settings["chat_template"] = tokenizer.chat_template
    made._settle(Tokenizer.from_str(json.dumps(trained)), settings, {}, {}, from_file=True)
    return made


def _renamed(token: AddedToken, names: Mapping[str, str]) -> AddedToken:  # type: ignore[name-defined]  # noqa: F821
    from tokenizers import AddedToken

    return AddedToken(
        names.get(token.content, token.content),
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=token.special,
    )


def _flags(tokenizer: PreTrainedTokenizerFast, text: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    old = {new: name for name, new in renamed.items()}.get(text, text)
    for token in tokenizer.added_tokens_decoder.values():
        if token.content == old:
            return {"special": token.special}
    return {}


def _emptied(state: dict[str, Any], renamed: Mapping[str, str], unknown: str | None) -> dict[str, Any]:
    """Return the backend's JSON without its vocabulary."""
    model = dict(state["model"])
    kind = model["type"]
    if kind == "Unigram":
        token = renamed.get(unknown or "", unknown) or "<unk>"
        model |= {"vocab": [[token, 0.0]], "unk_id": 0}
    else:
        model["vocab"] = {}
        if kind == "BPE":
            model["merges"] = []
        if model.get("unk_token") is not None:
            model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    return {**state, "added_tokens": [], "post_processor": None, "model": model}


def _processor(node: Any, renamed: Mapping[str, str], backend: Any) -> Any:
    """Point the special tokens of a post-processor at their new names and ids."""
    if not isinstance(node, dict):
        return node
    made = dict(node)
    for key in ("cls", "sep"):
        if isinstance(made.get(key), list):
            token = renamed.get(made[key][0], made[key][0])
            made[key] = [token, _id(backend, token)]
    if isinstance(made.get("processors"), list):
        made["processors"] = [_processor(part, renamed, backend) for part in made["processors"]]
    if made.get("type") == "TemplateProcessing":
        for key in ("single", "pair"):
            made[key] = [_template_piece(piece, renamed) for piece in made[key]]
        names = [renamed.get(name, name) for name in made["special_tokens"]]
        made["special_tokens"] = {
            name: {"id": name, "ids": [_id(backend, name)], "tokens": [name]} for name in names
        }
    return made


def _template_piece(piece: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    special = piece.get("SpecialToken")
    if special is None:
        return piece
    return {"SpecialToken": {**special, "id": renamed.get(special["id"], special["id"])}}


def _id(backend: Any, token: str) -> int:
    index = backend.token_to_id(token)
    if index is None:
        raise ValueError(
            f"the frame of the tokenizer needs {token!r}, which the trained vocabulary has not got"
        )
    return int(index)
