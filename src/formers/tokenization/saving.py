"""A tokenizer to files that older and newer readers understand."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.notices import notice, refuse_unknown
from formers.tokenization import files
from formers.tokenization.special import ADDITIONAL, NAMED

if TYPE_CHECKING:
    from formers.tokenization.tokenizer import PreTrainedTokenizerFast

# What tokenizer_config.json must not repeat: it has other places or is of this process alone.
_NOT_SAVED = (
    "name_or_path",
    "tokenizer_file",
    "special_tokens_map_file",
    "added_tokens_decoder",
    "added_tokens_file",
    "vocab_file",
    "merges_file",
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
_HUB = (
    "repo_id",
    "token",
    "private",
    "commit_message",
    "commit_description",
    "revision",
    "create_pr",
    "use_auth_token",
)


def save(
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    legacy: bool | None,
    prefix: str | None,
    push: bool,
    options: dict[str, Any],
) -> tuple[str, ...]:
    """Write every file; see `PreTrainedTokenizerFast.save_pretrained`."""
    named = ("legacy_format", "filename_prefix", "push_to_hub", "save_jinja_files", "safe_serialization")
    refuse_unknown(options, (*named, *_HUB), "save_pretrained()")
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; save_pretrained writes into a folder")
    folder.mkdir(parents=True, exist_ok=True)
    jinja = bool(options.pop("save_jinja_files", True))
    written: list[Path] = []
    config = configuration(tokenizer)
    templates = tokenizer.chat_template
    if templates is not None and not jinja:
        config["chat_template"] = (
            templates
            if isinstance(templates, str)
            else [{"name": name, "template": text} for name, text in templates.items()]
        )
    written.append(_write_json(_named(folder, files.CONFIG, prefix), config))
    written.append(_write_json(_named(folder, files.SPECIAL, prefix), _special_map(tokenizer)))
    if templates is not None and jinja:
        written += _save_templates(templates, folder, prefix)
    added = {
        text: index for text, index in tokenizer.get_added_vocab().items() if index >= tokenizer.vocab_size
    }
    if added:
        written.append(_write_json(_named(folder, files.ADDED, prefix), added))
    if legacy is not False:
        vocabulary = save_vocabulary(tokenizer, folder, prefix)
        if legacy and not vocabulary:
            raise ValueError("legacy_format=True, but this vocabulary has no older format to be saved in")
        written += vocabulary
    if not legacy:
        written.append(_write_text(_named(folder, files.TOKENIZER, prefix), tokenizer_json(tokenizer)))
    if push:
        repo = options.pop("repo_id", None) or folder.resolve().name
        _push_folder(folder, repo, options)
    return tuple(map(str, written))


def push(tokenizer: PreTrainedTokenizerFast, repo_id: str, options: dict[str, Any]) -> str:
    """Save into a folder of its own and upload that."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return _push_folder(Path(folder), repo_id, options)


def _push_folder(folder: Path, repo_id: str, options: dict[str, Any]) -> str:
    from formers.hub import push_folder

    return str(push_folder(folder, repo_id, **options))


def _named(folder: Path, name: str, prefix: str | None) -> Path:
    return folder / (f"{prefix}-{name}" if prefix else name)


def _write_text(path: Path, text: str) -> Path:
    from formers.core.atomic import write_atomically

    with write_atomically(path) as part:
        Path(part).write_text(text, encoding="utf-8")
    return path


def _write_json(path: Path, value: Any) -> Path:
    return _write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def configuration(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what tokenizer_config.json holds: what was loaded, and what the attributes say now."""
    own = [name for name in tokenizer._named if name not in NAMED]
    gone = {*_NOT_SAVED, *ADDITIONAL, *NAMED, *own}
    config = {key: files.plain_json(value) for key, value in tokenizer.init_kwargs.items() if key not in gone}
    for name in ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces"):
        config[name] = getattr(tokenizer, name)
    if tokenizer.split_special_tokens or "split_special_tokens" in config:
        config["split_special_tokens"] = tokenizer.split_special_tokens
    config["model_input_names"] = list(tokenizer.model_input_names)
    for name, token in tokenizer._named.items():
        if name in NAMED and (token is not None or name in tokenizer.init_kwargs):
            config[name] = None if token is None else str(token)
    if tokenizer._additional:
        # Under the older name: newer readers take it too, older ones fail on a list under the newer name.
        config["additional_special_tokens"] = tokenizer.additional_special_tokens
    if own:
        config["extra_special_tokens"] = {name: str(tokenizer._named[name]) for name in own}
    config["added_tokens_decoder"] = {
        str(index): {key: value for key, value in files.as_json(token, typed=True).items() if key != "__type"}
        for index, token in tokenizer.added_tokens_decoder.items()
    }
    config["tokenizer_class"] = tokenizer._recorded_class or type(tokenizer).__name__
    return config


def _special_map(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, token in tokenizer.special_tokens_map_extended.items():
        if isinstance(token, list):
            found[name] = [files.as_json(item, typed=False) for item in token]
        elif name in NAMED:
            found[name] = files.as_json(token, typed=False)
    return found


def _save_templates(templates: str | dict[str, str], folder: Path, prefix: str | None) -> list[Path]:
    if isinstance(templates, str):
        templates = {"default": templates}
    written = []
    for name, text in templates.items():
        if name != Path(name).name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} cannot be the name of a chat template: it is not a plain file name")
        place = _named(folder, files.TEMPLATE, prefix)
        if name != "default":
            place = _named(folder, files.TEMPLATE_FOLDER, prefix) / f"{name}.jinja"
        written.append(_write_text(place, text))
    return written


def tokenizer_json(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the text of tokenizer.json; that of the file it came from while nothing has changed.

    Newer versions of `tokenizers` write a form that older ones cannot read, so an unchanged file is
    handed on as it is.
    """
    from tokenizers import Tokenizer

    with tokenizer._lock:
        backend = tokenizer.backend_tokenizer
        truncation = backend.truncation
        _restore(backend, tokenizer._file_truncation, tokenizer._file_padding)
        now = str(backend.to_str(pretty=True))
        _restore(backend, truncation, None)
    origin = Path(tokenizer._origin) if tokenizer._origin else None
    if origin is not None and origin.is_file():
        text = origin.read_text(encoding="utf-8")
        if text == now or Tokenizer.from_str(text).to_str(pretty=True) == now:
            return text
    return now


def _restore(backend: Any, truncation: dict[str, Any] | None, padding: dict[str, Any] | None) -> None:
    backend.no_truncation()
    backend.no_padding()
    if truncation is not None:
        backend.enable_truncation(**truncation)
    if padding is not None:
        backend.enable_padding(**padding)


def save_vocabulary(tokenizer: PreTrainedTokenizerFast, folder: Path, prefix: str | None) -> list[Path]:
    """Write the vocabulary in the format that came before tokenizer.json, where it has one."""
    kind = type(tokenizer.backend_tokenizer.model).__name__
    source = Path(tokenizer.vocab_file) if tokenizer.vocab_file else None
    if source is not None and source.suffix == ".model":
        if not source.is_file():
            notice(
                f"{source} is gone, so the SentencePiece model is not saved; tokenizer.json holds all of it"
            )
            return []
        target = _named(folder, source.name, prefix)
        if target.resolve() != source.resolve():
            from formers.core.atomic import write_atomically

            with write_atomically(target) as part:
                shutil.copyfile(source, part)
        return [target]
    if tokenizer.recipe is not None and "merges_file" not in tokenizer.recipe.files and kind == "BPE":
        return []
    if kind not in ("WordPiece", "BPE") or not _is_older_format(tokenizer, kind):
        return []
    with tempfile.TemporaryDirectory() as place:
        names = [Path(name).name for name in tokenizer.backend_tokenizer.model.save(place)]
        return [
            _write_text(_named(folder, name, prefix), (Path(place) / name).read_text(encoding="utf-8"))
            for name in sorted(names)
        ]


def _is_older_format(tokenizer: PreTrainedTokenizerFast, kind: str) -> bool:
    if kind == "BPE":
        # Those who read vocab.json and merges.txt take them for byte-level, where no token holds a space.
        splitter = tokenizer.backend_tokenizer.pre_tokenizer
        return splitter is not None and b'"ByteLevel"' in splitter.__getstate__()
    ids = sorted(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False).values())
    # vocab.txt numbers its lines, so ids must have no gaps.
    return ids == list(range(len(ids)))
