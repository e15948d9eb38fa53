"""A tokenizer to files that older and newer readers understand."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from formers.core.atomic import write_atomically, write_text
from formers.core.notices import notice
from formers.tokenization import components, files
from formers.tokenization.special import ADDITIONAL, NAMED, SpecialTokens, as_json, plain_json
from formers.tokenization.vocabulary import Vocabulary


class Origin(NamedTuple):
    """Where a tokenizer comes from: its tokenizer.json, the class that is named, what is a guess."""

    file: Path | None = None
    class_name: str | None = None
    guessed: Mapping[str, Any] = {}


# What tokenizer_config.json must not repeat: it has other places or is of this process alone.
_NOT_SAVED = (
    "name_or_path",
    "tokenizer_file",
    "special_tokens_map_file",
    "added_tokens_decoder",
    "added_tokens_file",
    "vocab_file",
    "merges_file",
    "src_vocab_file",
    "tgt_vocab_file",
    "entity_vocab",
    "vocab",
    "merges",
    "files_loaded",
    "device_map",
    "chat_template",
    "is_local",
    "local_files_only",
    "backend",
    "model_specific_special_tokens",
    "max_len",
)


_ATTRIBUTES = (
    *("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces"),
    "model_input_names",
)


def save(
    tokenizer: Any,
    vocabulary: Vocabulary,
    special: SpecialTokens,
    origin: Origin,
    folder: Path,
    legacy: bool | None,
    prefix: str | None,
    jinja: bool,
) -> list[Path]:
    """Write every file; see `PreTrainedTokenizerFast.save_pretrained`."""
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; save_pretrained writes into a folder")
    if not vocabulary.in_file:
        if legacy is False:
            raise ValueError(
                f"legacy_format=False, but no tokenizer.json can say how {type(tokenizer).__name__} cuts "
                "texts: leave it out"
            )
        legacy = True
    folder.mkdir(parents=True, exist_ok=True)
    config = configuration(tokenizer, special, origin.guessed)
    config["tokenizer_class"] = origin.class_name or type(tokenizer).__name__
    templates = tokenizer.chat_template
    if templates is not None and not jinja:
        config["chat_template"] = (
            templates
            if isinstance(templates, str)
            else [{"name": name, "template": text} for name, text in templates.items()]
        )
    names = special.to_save(lambda token: as_json(vocabulary.as_added(token), typed=False))
    usual = {name: token for name, token in names.items() if name in NAMED or name in ADDITIONAL}
    written = [
        _write_json(_named(folder, files.CONFIG, prefix), config),
        _write_json(_named(folder, files.SPECIAL, prefix), usual),
    ]
    if templates is not None and jinja:
        written += save_templates(templates, folder, prefix)
    added = {
        text: index for text, index in tokenizer.get_added_vocab().items() if index >= tokenizer.vocab_size
    }
    if added:
        written.append(_write_json(_named(folder, files.ADDED, prefix), added))
    if legacy is not False:
        older = tokenizer.save_vocabulary(folder, prefix)
        if legacy and not older:
            raise ValueError("legacy_format=True, but this vocabulary has no older format to be saved in")
        written += map(Path, older)
    if not legacy:
        text = tokenizer_json(vocabulary, origin.file)
        written.append(write_text(_named(folder, files.TOKENIZER, prefix), text))
    return written


def _named(folder: Path, name: str, prefix: str | None) -> Path:
    return folder / (f"{prefix}-{name}" if prefix else name)


def _write_json(path: Path, value: Any) -> Path:
    return write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def configuration(tokenizer: Any, special: SpecialTokens, guessed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tokenizer_config.json holds: what was loaded, and what the attributes say now."""
    gone = {*_NOT_SAVED, *ADDITIONAL, *NAMED, *special.own}
    config = {key: plain_json(value) for key, value in tokenizer.init_kwargs.items() if key not in gone}
    for name in _ATTRIBUTES:
        value = getattr(tokenizer, name)
        if guessed.get(name) != value:  # other readers would take a guess for what the model wants
            config[name] = value
    if tokenizer.split_special_tokens or "split_special_tokens" in config:
        config["split_special_tokens"] = tokenizer.split_special_tokens
    for name in NAMED:
        token = special.said.get(name)
        if token is not None or name in tokenizer.init_kwargs:
            config[name] = None if token is None else str(token)
    if special.additional:
        # Under the older name: newer readers take it too, older ones fail on a list under the newer name.
        config["additional_special_tokens"] = [str(token) for token in special.additional]
    if special.own:
        config["extra_special_tokens"] = {name: str(token) for name, token in special.own.items()}
    config["added_tokens_decoder"] = {
        str(index): {key: value for key, value in as_json(token, typed=True).items() if key != "__type"}
        for index, token in tokenizer.added_tokens_decoder.items()
    }
    return config


def save_templates(templates: str | dict[str, str], folder: Path, prefix: str | None = None) -> list[Path]:
    """Write chat templates: the default one into its file, others by name into a folder."""
    written = []
    for name, text in ({"default": templates} if isinstance(templates, str) else templates).items():
        if name != Path(name).name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} cannot be the name of a chat template: it is not a plain file name")
        place = _named(folder, files.TEMPLATE, prefix)
        if name != "default":
            place = _named(folder, files.TEMPLATE_FOLDER, prefix) / f"{name}.jinja"
        written.append(write_text(place, text))
    return written


def tokenizer_json(vocabulary: Vocabulary, origin: Path | None) -> str:
    """Return the text of tokenizer.json; that of the file it came from while nothing has changed.

    Newer versions of `tokenizers` write a form that older ones cannot read, so an unchanged file is
    handed on as it is.
    """
    from tokenizers import Tokenizer

    now = vocabulary.to_json()
    if origin is not None and origin.is_file():
        text = origin.read_text(encoding="utf-8")
        if text == now or Tokenizer.from_str(text).to_str(pretty=True) == now:
            return text
    return now


def save_vocabulary(tokenizer: Any, vocabulary: Vocabulary, folder: Path, prefix: str | None) -> list[Path]:
    """Write the vocabulary in the format that came before tokenizer.json, where it has one."""
    source = Path(tokenizer.vocab_file) if tokenizer.vocab_file else None
    if source is not None and source.suffix == ".model":
        if not source.is_file():
            notice(
                f"{source} is gone, so the SentencePiece model is not saved; tokenizer.json holds all of it"
            )
            return []
        target = _named(folder, source.name, prefix)
        if target.resolve() != source.resolve():
            with write_atomically(target) as part:
                shutil.copyfile(source, part)
        return [target]
    if not _has_older_format(vocabulary, tokenizer.recipe):
        return []
    with tempfile.TemporaryDirectory() as place:
        names = [Path(name).name for name in vocabulary.backend.model.save(place)]
        usual = {} if tokenizer.recipe is None else tokenizer.recipe.files
        known = {"vocab.txt": usual.get("vocab_file", ("vocab.txt",))[0]}
        return [
            write_text(
                _named(folder, known.get(name, name), prefix),
                (Path(place) / name).read_text(encoding="utf-8"),
            )
            for name in sorted(names)
        ]


def _has_older_format(vocabulary: Vocabulary, recipe: Any) -> bool:
    backend = vocabulary.backend
    if vocabulary.model == "BPE":
        # Those who read vocab.json and merges.txt take them for byte-level, where no token holds a space, if
        # no class says that its tokens mark the ends of words.
        bytewise = any(components.parts(components.state_of(backend.pre_tokenizer), kind="ByteLevel"))
        if recipe is None:
            return bytewise
        return "merges_file" in recipe.files and (bytewise or bool(backend.model.end_of_word_suffix))
    # vocab.txt numbers its lines, so ids must have no gaps.
    ids = sorted(backend.get_vocab(with_added_tokens=False).values())
    return vocabulary.model == "WordPiece" and ids == list(range(len(ids)))
