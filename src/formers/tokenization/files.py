"""The files of a tokenizer: which there are, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.jsonfile import read_json_object
from formers.core.notices import refuse_unknown
from formers.hub import HUB_KEYWORDS, Source, split_hub_keywords
from formers.tokenization import checks, components
from formers.tokenization.recipe import Recipe
from formers.tokenization.recipes import CLASSES, MODEL_TYPES, RECIPES
from formers.tokenization.special import ADDITIONAL, NAMED, added_token, revive

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"
TEMPLATE = "chat_template.jinja"
TEMPLATE_FOLDER = "additional_chat_templates"


@dataclass
class Files:
    """What a checkpoint has to say about its tokenizer.

    Attributes:
        name: the folder or repository.
        config: tokenizer_config.json, with the special tokens of special_tokens_map.json.
        added: added tokens by id, from tokenizer_config.json or added_tokens.json.
        tokenizer: tokenizer.json, where there is one.
        vocabulary: the older files by argument name (`vocab_file`, `merges_file`).
        template: chat template(s).
        model: the model's config.json.
        backend: the tokenizer itself, where it was read from a GGUF file.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    added: dict[int, AddedToken] = field(default_factory=dict)
    tokenizer: Path | None = None
    vocabulary: dict[str, Path] = field(default_factory=dict)
    template: str | dict[str, str] | None = None
    model: dict[str, Any] = field(default_factory=dict)
    backend: Tokenizer | None = None


def read(source: Source, name: str, row: Recipe | None = None) -> Files:
    """Find and read the files of a tokenizer of the class of a `row`; without one, of the class it names.

    Raises:
        OSError: when there is neither a tokenizer.json nor a vocabulary file.
    """
    if (header := source.gguf) is not None:
        from formers.tokenization import gguf

        settings = gguf.settings_of(header)
        backend, template = gguf.backend_of(header), settings.pop("chat_template", None)
        model = {"max_position_embeddings": header.of_model("context_length")}
        return Files(name, config=settings, template=template, model=model, backend=backend)
    config = _json(source.find(CONFIG))
    special = _json(source.find(SPECIAL))
    for said, file in ((config, CONFIG), (special, SPECIAL)):
        checks.check_settings(said, f"{file} of {name}")
    tokenizer = source.find(TOKENIZER)
    files = Files(name, tokenizer=tokenizer, model=_json(source.find("config.json")))
    if "added_tokens_decoder" in config:
        recorded = config.pop("added_tokens_decoder") or {}
        checks.check_ids(recorded, f"{CONFIG} of {name}")
        files.added = {int(index): added_token(token) for index, token in recorded.items()}
        merged = {**special, **config}
    else:
        merged = {**config, **special}
    files.config = {key: revive(value) for key, value in merged.items()}
    if not files.added:
        older = _json(source.find(ADDED))
        checks.check_ids(older.values(), f"{ADDED} of {name}")
        files.added = _older_added(older, files.config)
    named = CLASSES.get(str(config.get("tokenizer_class")))
    row = row or RECIPES.get(named or MODEL_TYPES.get(str(files.model.get("model_type")), ""))
    if tokenizer is None or source.is_local or (row is not None and row.reads_all):
        files.vocabulary = _vocabulary(source, row)
    files.template = _template(source, config.get("chat_template"))
    if tokenizer is None and not files.vocabulary and not (row and row.kind and not row.files):
        wanted = sorted(
            {name for recipe in RECIPES.values() for names in recipe.files.values() for name in names}
        )
        source.get(TOKENIZER)  # raises what this source says of a file that it has not got
        raise OSError(f"{name} holds no tokenizer: there is neither {TOKENIZER} nor one of {wanted}")
    return files


def settings(source: Source) -> tuple[dict[str, Any], str | dict[str, str] | None]:
    """What a checkpoint's tokenizer_config.json says, and its chat template."""
    config = _json(source.find(CONFIG))
    return config, _template(source, config.get("chat_template"))


def get_tokenizer_config(pretrained_model_name_or_path: Any, **options: Any) -> dict[str, Any]:
    """What the tokenizer_config.json of a folder or a Hub id says; nothing, where there is none.

    Raises:
        OSError: when the repository cannot be reached.
        TypeError: for a keyword that is none of the Hub's.
    """
    hub, rest = split_hub_keywords(options)
    refuse_unknown(rest, HUB_KEYWORDS, "get_tokenizer_config")
    return _json(Source.of(pretrained_model_name_or_path, **hub).find(CONFIG))


def _json(path: Path | None) -> dict[str, Any]:
    try:
        return {} if path is None else read_json_object(path)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deep to be read") from error


def _vocabulary(source: Source, row: Recipe | None) -> dict[str, Path]:
    """The vocabulary files: those of a row, by its names for them first, or all that anybody reads."""
    names: dict[str, dict[str, None]] = {}
    for recipe in (*(() if row is None else (row,)), *RECIPES.values()):
        for argument, candidates in recipe.files.items():
            names.setdefault(argument, {}).update(dict.fromkeys(candidates))
    found: dict[str, Path] = {}
    for argument, known in names.items():
        for candidate in known if not (row and row.files) or argument in row.files else ():
            path = source.find(candidate)
            if path is not None:
                found[argument] = path
                break
    return found


def _older_added(recorded: Mapping[str, int], config: Mapping[str, Any]) -> dict[int, AddedToken]:
    from tokenizers import AddedToken

    special = {str(config[name]) for name in NAMED if config.get(name)}
    for name in ADDITIONAL:
        special.update(str(token) for token in config.get(name) or ())
    return {
        int(index): AddedToken(text, normalized=text not in special, special=text in special)
        for text, index in recorded.items()
    }


def _template(source: Source, recorded: Any) -> str | dict[str, str] | None:
    templates: dict[str, str] = {}
    path = source.find(TEMPLATE)
    if path is not None:
        templates["default"] = path.read_text(encoding="utf-8")
        start, end = f"{TEMPLATE_FOLDER}/", ".jinja"
        for name in source.listing():
            if name.startswith(start) and name.endswith(end):
                more = source.get(name).read_text(encoding="utf-8")
                templates[name.removeprefix(start).removesuffix(end)] = more
    if not templates:
        return template_of(recorded)
    return templates["default"] if list(templates) == ["default"] else templates


def template_of(value: Any) -> str | dict[str, str] | None:
    """Read a `chat_template` setting: a string, a dictionary by name, or a list of {name, template}."""
    if isinstance(value, (list, tuple)):
        return {entry["name"]: entry["template"] for entry in value}
    if value is None or isinstance(value, (str, dict)):
        return value
    raise TypeError(f"chat_template must be a string or templates by name, but is a {type(value).__name__}")


def open_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json.

    Raises:
        OSError: when there is no such file.
        ValueError: when it is not one.
    """
    from tokenizers import Tokenizer

    if not path.is_file():
        raise OSError(f"{path} is not a file; a tokenizer_file is the path of a tokenizer.json")
    text = path.read_bytes().decode(errors="replace")
    checks.check_text(text, str(path))
    with checks.told(f"read {path}"):
        backend = Tokenizer.from_str(text)
    components.check(backend, str(path))
    return backend
