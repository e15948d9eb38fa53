"""Which class reads a checkpoint's tokenizer, and the settings that it may be given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from formers.core.notices import notice, refuse_or_leave_out
from formers.tokenization import files
from formers.tokenization.checks import check_settings
from formers.tokenization.recipe import Recipe
from formers.tokenization.recipes import CLASSES, MODEL_TYPES, RECIPES
from formers.tokenization.special import ADDITIONAL, NAMED, revive

SOURCES = (
    *("vocab", "merges", "vocab_file", "merges_file", "spm_file", "source_spm", "target_spm"),
    *("target_vocab_file", "src_vocab_file", "tgt_vocab_file", "emoji_file", "entity_vocab_file"),
    "normalizer_file",
    *("tokenizer_file", "tokenizer_object"),
)
# Settings that any tokenizer takes, beside the sources of its vocabulary.
SETTINGS = (
    "model_max_length",
    "max_len",
    "padding_side",
    "truncation_side",
    "model_input_names",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
    "chat_template",
    "pad_token_type_id",
    "name_or_path",
    "added_tokens_decoder",
    "model_specific_special_tokens",
    *dict.fromkeys(name for recipe in RECIPES.values() for name in recipe.options),
    *NAMED,
    *ADDITIONAL,
)
# Accepted because scripts pass them; `heed` says so where one asks for what there is not.
TOLERATED = (
    "use_fast",
    "trust_remote_code",
    "from_slow",
    "config",
    "tokenizer_type",
    "do_basic_tokenize",
    "never_split",
    "sp_model_kwargs",
    "spaces_between_special_tokens",
    "use_default_system_prompt",
    "_from_auto",
    "_commit_hash",
    "processor_class",
)
# Recorded by checkpoints whose tokenizer has no class of its own.
GENERAL = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")


# Options that a tokenizer.json may say too, or that scripts pass whatever the class.
_COMMON = {
    *("add_prefix_space", "do_lower_case", "strip_accents", "tokenize_chinese_chars", "trim_offsets"),
    *(
        "add_bos_token",
        "add_eos_token",
        "errors",
        "extra_ids",
        "keep_accents",
        "legacy",
        "src_lang",
        "tgt_lang",
    ),
}
_OWN = {name for recipe in RECIPES.values() for name in recipe.options} - _COMMON


def is_setting(name: str, row: Recipe | None = None) -> bool:
    """Whether a keyword is a setting of a tokenizer, or of those of a row; special tokens have any name."""
    if row is not None and name in _OWN:
        return name in row.options
    return name in SETTINGS or name in TOLERATED or (name.endswith("_token") and not name.startswith("_"))


def refuse_others(
    settings: Iterable[str], row: Recipe | None, where: str, allowed: Iterable[str] = SETTINGS
) -> None:
    """Refuse keywords that are no settings of a row's tokenizers.

    Raises:
        TypeError: naming them; `allowed` are proposed.
    """
    known = [name for name in allowed if is_setting(name, row)]
    refuse_or_leave_out([name for name in settings if not is_setting(name, row)], known, where)


def checked(
    settings: Mapping[str, Any], allowed: Iterable[str], where: str, row: Recipe | None = None
) -> dict[str, Any]:
    """Return the settings of a caller, ready for use, without those that are only tolerated.

    Raises:
        TypeError: for a keyword that is unknown, or unknown to the class of `row`; `allowed` are proposed.
        ValueError: for a setting whose neglect would change ids or text.
    """
    refuse_others(settings, row, where, allowed)
    if settings.get("use_fast") is False:
        notice(
            "use_fast=False: there is one tokenizer here, which runs on the `tokenizers` library and gives "
            "the same ids; it is used",
        )
    refused = {
        "do_basic_tokenize": settings.get("do_basic_tokenize", True) is False,
        "never_split": bool(settings.get("never_split")),
        "sp_model_kwargs": bool(settings.get("sp_model_kwargs")),
        "errors": settings.get("errors") not in (None, "replace"),
    }
    for name, asked in refused.items():
        if asked:
            raise ValueError(
                f"{name}={settings[name]!r} is not available: the `tokenizers` library, on which every "
                "tokenizer here runs, cannot do it. Leave it out"
            )
    check_settings(settings, where)
    return {name: revive(value) for name, value in settings.items() if name not in TOLERATED}


def sources(
    args: tuple[Any, ...], given: Mapping[str, Any], name: str, order: tuple[str, ...]
) -> dict[str, Any]:
    """Read `Class(vocab_file, merges_file)` and `Class(vocab, merges)`: a path is a file.

    `order` is that of what is taken by position.
    """
    if len(args) > len(order):
        raise TypeError(
            f"{name}() takes {' and '.join(order)} by position and all else by name, but got {len(args)}"
        )
    found = {**given, **dict(zip(order, args, strict=False))}
    for word in ("vocab", "merges"):
        if isinstance(found[word], (str, os.PathLike)):
            found[f"{word}_file"] = found.pop(word)
    return {word: value for word, value in found.items() if value is not None}


def find(
    name: str | os.PathLike[str], keywords: Mapping[str, Any], where: str, row: Recipe | None = None
) -> tuple[files.Files, dict[str, Any]]:
    """Find a checkpoint's tokenizer, and part the caller's settings from what says where files come from.

    `row` is that of the class, where the caller chose one.

    Raises:
        OSError: when there is no tokenizer under that name.
        TypeError: for an unknown keyword.
    """
    from formers.hub import HUB_KEYWORDS, Source, split_hub_keywords

    hub, rest = split_hub_keywords(dict(keywords))
    explicit = checked(
        rest, (*sorted(HUB_KEYWORDS), *SETTINGS, *TOLERATED), f"{where}.from_pretrained()", row
    )
    found = files.read(Source.of(name, **hub), str(name), row)
    if rest.get("trust_remote_code") and "auto_map" in found.config:
        notice(
            f"{name} brings tokenizer code of its own, which is never run here: its files are read without "
            "it",
        )
    config = rest.get("config")
    if config is not None and not found.model:
        found.model = dict(config) if isinstance(config, Mapping) else config.to_dict()
    return found, explicit


_own_names: dict[str, Any] = {}
_own_types: dict[str, Any] = {}


def register(own: Any, model_type: str, exist_ok: bool = False) -> None:
    """Make a tokenizer class of the caller's the one of a model type, and of checkpoints that name it.

    Raises:
        ValueError: where the type has one already.
    """
    if model_type in _own_types and _own_types[model_type] is not own and not exist_ok:
        raise ValueError(
            f"{model_type!r} has the tokenizer {_own_types[model_type].__name__} already; pass exist_ok=True "
            "to put another in its place"
        )
    _own_types[model_type] = _own_names[own.__name__] = own


def own_class(found: files.Files) -> Any:
    """The registered class of a checkpoint: the one that it names, else that of its model type, else None."""
    recorded = found.config.get("tokenizer_class")
    if recorded in (None, *GENERAL):
        return _own_types.get(str(found.model.get("model_type")))
    return _own_names.get(str(recorded))


def class_for(found: files.Files, explicit: Mapping[str, Any] = {}) -> str | None:  # noqa: B006
    """Choose the class of a checkpoint: what its tokenizer_config.json or config.json names, else its type.

    Args:
        found: the files.
        explicit: settings of the caller, which need no guess.

    Returns:
        The name of its recipe; None for the general class.

    Raises:
        ValueError: when only a class that is not here could read the vocabulary.
    """
    recorded = found.config.get("tokenizer_class")
    named = recorded not in (None, *GENERAL)
    if named:
        kind = CLASSES.get(str(recorded))
    elif recorded and (found.tokenizer is not None or found.backend is not None):
        return None
    else:
        of_model = CLASSES.get(str(found.model.get("tokenizer_class")))  # older files name it there
        kind = of_model or MODEL_TYPES.get(str(found.model.get("model_type")))
    if found.tokenizer is not None:
        if named and kind is None:
            _notice_unknown(found, {**found.config, **explicit}, str(recorded))
        return kind
    if (named and kind is None) or (kind is not None and not RECIPES[kind].kind):
        why = "is not known here" if kind is None else f"is read from a {files.TOKENIZER} alone here"
        raise ValueError(
            f"{found.name} needs the tokenizer class {recorded or f'{kind}Tokenizer'!r}, which {why}, and "
            f"has no {files.TOKENIZER}. Convert it once where that class reads its vocabulary (its "
            f"save_pretrained writes {files.TOKENIZER}), or name a class that reads it the same way, for "
            "instance LlamaTokenizer.from_pretrained"
        )
    if kind is None:
        kind = _guess(found.vocabulary)
        if kind is not None:
            notice(
                f"{found.name} does not say which tokenizer its vocabulary belongs to: reading it as "
                f"{kind}Tokenizer. Name the class (for instance {kind}Tokenizer.from_pretrained) to be sure"
            )
    return kind


def _notice_unknown(found: files.Files, settings: Mapping[str, Any], recorded: str) -> None:
    """Notice a class that nobody here knows, where the settings leave open what it would have said."""
    asked = [name for name in ("model_input_names", "padding_side") if not settings.get(name)]
    if asked:
        notice(
            f"{found.name} names the tokenizer class {recorded!r}, which is not known here. Its "
            f"{files.TOKENIZER} says the ids; what it leaves open ({', '.join(asked)}) is guessed, and not "
            f"saved. To be sure, pass {', '.join(f'{name}=...' for name in asked)}, or make the class known "
            "with AutoTokenizer.register"
        )


def _guess(vocabulary: Mapping[str, Path]) -> str | None:
    """Guess the recipe of vocabulary files by their names, and where those are shared by what they hold."""
    present = {path.name for path in vocabulary.values()}
    for name, recipe in RECIPES.items():
        if (
            recipe.files
            and present == {names[0] for names in recipe.files.values()}
            and (not recipe.sign or recipe.sign in vocabulary["vocab_file"].read_text(encoding="utf-8"))
        ):
            return name
    return None


def notice_other_class(found: files.Files, recipe: Any, name: str) -> None:
    """Notice a checkpoint that is loaded as a class of another recipe than the one that it names."""
    recorded = CLASSES.get(str(found.config.get("tokenizer_class")))
    if recipe is not None and recorded is not None and RECIPES[recorded] != recipe:
        notice(
            f"{found.name} holds a {recorded}Tokenizer, but is loaded as a {name}: special "
            "tokens and model inputs may be wrong. AutoTokenizer.from_pretrained takes the right class"
        )
