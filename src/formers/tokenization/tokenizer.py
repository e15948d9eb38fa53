"""The tokenizer: built from files or from arguments, saved to files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from formers.core.notices import notice, refuse_unknown
from formers.tokenization import adjust, files, saving
from formers.tokenization.legacy import Legacy
from formers.tokenization.options import LARGEST_LIMIT, NO_LIMIT, check_side
from formers.tokenization.recipes import ALIASES, CLASSES, MODEL_TYPES, RECIPES, Recipe
from formers.tokenization.special import ADDITIONAL, NAMED, Token

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

# Settings that any tokenizer takes, beside its special tokens and its recipe's options.
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
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "trim_offsets",
    "errors",
    "legacy",
    "extra_ids",
    "added_tokens_decoder",
    "model_specific_special_tokens",
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
SOURCES = ("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "tokenizer_object")


class PreTrainedTokenizerFast(Legacy):
    """Text to ids and back.

    Built from a checkpoint with `from_pretrained`, or directly:

        PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
        PreTrainedTokenizerFast(tokenizer_file="tokenizer.json")
        BertTokenizer(vocab_file="vocab.txt")          # a named class knows how to read its vocabulary files
        GPT2Tokenizer(vocab_file="vocab.json", merges_file="merges.txt")
        BertTokenizer(vocab={"[PAD]": 0, ...})

    What `tokenizer.json` says is the truth: a class or a setting that was saved beside it never changes
    ids. A setting that the caller passes does.

    Args:
        *args: the vocabulary and the merges, as files or as values, as the named classes take them.
        vocab: tokens by id (a dictionary or list), or (token, score) pairs.
        merges: the merges of a byte-pair vocabulary, as pairs or "left right" strings.
        vocab_file: the vocabulary file of a named class.
        merges_file: the merges file of a named class.
        tokenizer_file: a `tokenizer.json`.
        tokenizer_object: a `tokenizers.Tokenizer`, which is copied.
        **settings: special tokens (`pad_token`, ...) and settings (`model_max_length`, `padding_side`, ...).

    Raises:
        TypeError: for an unknown keyword, or when nothing says what the vocabulary is.
    """

    recipe: ClassVar[Recipe | None] = None
    slow_tokenizer_class: ClassVar[Any] = None
    vocab_files_names: ClassVar[dict[str, str]] = {}
    padding_side: str = "right"
    truncation_side: str = "right"
    model_input_names: list[str] = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(
        self,
        *args: Any,
        vocab: Any = None,
        merges: Any = None,
        vocab_file: str | os.PathLike[str] | None = None,
        merges_file: str | os.PathLike[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        given = {
            "vocab": vocab,
            "merges": merges,
            "vocab_file": vocab_file,
            "merges_file": merges_file,
            "tokenizer_file": tokenizer_file,
            "tokenizer_object": tokenizer_object,
        }
        given |= _positional(args, given, type(self).__name__)
        refuse_unknown(
            [name for name in settings if not _is_setting(name)],
            (*SOURCES, *SETTINGS),
            f"{type(self).__name__}()",
        )
        heed(settings)
        settings = {name: files.revive(value) for name, value in settings.items() if name not in TOLERATED}
        backend = self._backend({name: value for name, value in given.items() if value is not None}, settings)
        self.vocab_file = None if given["vocab_file"] is None else str(given["vocab_file"])
        added = {
            int(index): files.added_token(token)
            for index, token in settings.pop("added_tokens_decoder", {}).items()
        }
        self._settle(backend, settings, settings, added, from_file=given["tokenizer_file"] is not None)

    @classmethod
    def _backend(cls, given: dict[str, Any], settings: dict[str, Any]) -> Tokenizer:
        """Make the backend from the first of the sources that is given."""
        from tokenizers import Tokenizer

        if "tokenizer_object" in given:
            # Copied, so that what is added here is not added to the caller's.
            return Tokenizer.from_str(given["tokenizer_object"].to_str())
        if "tokenizer_file" in given:
            return open_tokenizer_file(Path(given["tokenizer_file"]))
        if cls.recipe is None and given:
            raise TypeError(
                f"{cls.__name__} does not know how to read {sorted(given)}: use the class of the "
                f"vocabulary, one of {sorted(name for name in CLASSES if not name.endswith('Fast'))}, or "
                "pass tokenizer_file= or tokenizer_object="
            )
        if cls.recipe is None or not given:
            wanted = ["tokenizer_file", "tokenizer_object"]
            if cls.recipe is not None:
                wanted = [*cls.recipe.files, "vocab", *wanted]
            raise TypeError(
                f"{cls.__name__}() needs a vocabulary: pass one of {wanted}, or load a checkpoint with "
                f"{cls.__name__}.from_pretrained(name)"
            )
        from formers.tokenization import builders

        return builders.build(cls.recipe, given, settings, cls.__name__)

    def _settle(
        self,
        backend: Tokenizer,
        settings: Mapping[str, Any],
        explicit: Mapping[str, Any],
        added: Mapping[int, AddedToken],
        *,
        from_file: bool,
    ) -> None:
        """Take the settings over. `explicit` are those of the caller, which may change what a file says."""
        super().__init__(backend)
        recipe = self.recipe
        self.init_inputs: tuple[Any, ...] = ()
        self.init_kwargs: dict[str, Any] = dict(settings)
        self.name_or_path = str(settings.get("name_or_path", ""))
        limit = settings.get("model_max_length", settings.get("max_len"))
        self.model_max_length = NO_LIMIT if limit is None else int(limit)
        side = settings.get("padding_side") or (self._file_padding or {}).get("direction")
        self.padding_side = check_side(side or (recipe.padding_side if recipe else "right"), "padding_side")
        side = settings.get("truncation_side") or (self._file_truncation or {}).get("direction")
        self.truncation_side = check_side(side or "right", "truncation_side")
        self.pad_token_type_id = int(settings.get("pad_token_type_id") or 0)
        self.clean_up_tokenization_spaces = bool(settings.get("clean_up_tokenization_spaces") or False)
        self.split_special_tokens = bool(settings.get("split_special_tokens") or False)
        self.chat_template = files.template_of(settings.get("chat_template"))
        self._recorded_class: str | None = None
        self._take_special(settings, added, from_file)
        adjust.apply(self, explicit, from_file=from_file)
        self.model_input_names = list(
            settings.get("model_input_names") or (recipe.inputs if recipe else adjust.guess_inputs(backend))
        )

    def _take_special(
        self, settings: Mapping[str, Any], added: Mapping[int, AddedToken], from_file: bool
    ) -> None:
        """Name the special tokens and add those that the vocabulary has not got."""
        named = special_of(settings)
        additional = [
            token
            for key in ADDITIONAL
            if isinstance(settings.get(key), (list, tuple))
            for token in settings[key]
        ]
        known = self._tokenizer.token_to_id
        if self.recipe is not None:
            for name, token in self.recipe.special.items():
                token = files.added_token(token) if isinstance(token, dict) else token
                # Beside a tokenizer.json the usual text of a token counts only where the vocabulary has it.
                if name not in named and (not from_file or known(str(token)) is not None):
                    named[name] = token
            if not additional and not from_file:
                count = int(settings.get("extra_ids") or self.recipe.options.get("extra_ids", 0))
                usual = [*self.recipe.additional, *(f"<extra_id_{index}>" for index in range(count))]
                additional = [token for token in usual if known(token) is not None]
        elif not any(named.values()):
            named |= adjust.guess_special(self._tokenizer)
        if (
            (self._file_padding or {}).get("pad_token")
            and named.get("pad_token") is None
            and "pad_token" not in settings
        ):
            named["pad_token"] = (self._file_padding or {})["pad_token"]
        self._named = dict.fromkeys(NAMED) | named
        self._additional = list({str(token): token for token in additional}.values())
        self._add_recorded(added)
        registered = self.added_tokens_encoder
        wanted = [token for token in (*named.values(), *self._additional) if token is not None]
        self._add_special([token for token in wanted if str(token) not in registered])

    def _add_recorded(self, added: Mapping[int, AddedToken]) -> None:
        for index, token in sorted(added.items()):
            present = self._tokenizer.token_to_id(token.content)
            if present is None:
                self.add_tokens([token], special_tokens=token.special)
                present = self._tokenizer.token_to_id(token.content)
            if present != index:
                notice(
                    f"{files.CONFIG} of {self.name_or_path or 'this tokenizer'} gives the added token "
                    f"{token.content!r} the id {index}, its vocabulary gives {present}: {present} is used",
                )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *init_inputs: Any, **kwargs: Any
    ) -> PreTrainedTokenizerFast:
        """Load the tokenizer of a checkpoint.

        Args:
            pretrained_model_name_or_path: a folder, a name on the Hub, or a `tokenizer.json`.
            *init_inputs: nothing; kept for scripts that pass an empty tuple.
            **kwargs: `revision`, `subfolder`, `token`, `cache_dir`, `local_files_only`, `force_download`,
                `proxies`; special tokens and settings that take the place of the saved ones; `use_fast`.

        Raises:
            OSError: when there is no tokenizer under that name.
            TypeError: for an unknown keyword.
        """
        if init_inputs:
            raise TypeError(f"from_pretrained takes one name and keywords, but got also {init_inputs!r}")
        return load_as(cls, pretrained_model_name_or_path, kwargs)

    @classmethod
    def _from_files(cls, found: files.Files, explicit: Mapping[str, Any]) -> PreTrainedTokenizerFast:
        settings = {**found.config, **explicit, "name_or_path": found.name}
        if "chat_template" not in explicit:
            settings["chat_template"] = found.template
        if not settings.get("model_max_length") or int(settings["model_max_length"]) > LARGEST_LIMIT:
            limit = limit_of(found.model)
            if limit is not None:
                settings["model_max_length"] = limit
        given: dict[str, Any] = dict(found.vocabulary)
        if found.tokenizer is not None:
            given = {"tokenizer_file": found.tokenizer}
        backend = cls._backend(given, settings)
        if cls.__init__ is PreTrainedTokenizerFast.__init__:
            made = cls.__new__(cls)
        else:
            # A class of the caller's may set up more than this one does.
            made = cls(
                tokenizer_object=backend, **{key: settings[key] for key in settings if _is_setting(key)}
            )
        object.__setattr__(made, "vocab_file", str(found.vocabulary.get("vocab_file") or "") or None)
        made._settle(backend, settings, explicit, found.added, from_file=found.tokenizer is not None)
        made._origin = None if found.tokenizer is None else str(found.tokenizer)
        made._recorded_class = found.config.get("tokenizer_class")
        return made

    _origin: str | None = None

    @property
    def add_bos_token(self) -> bool:
        """Whether a text gets the `bos_token` in front; can be set."""
        return self.bos_token is not None and self._edge(0) == self.bos_token_id

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        adjust.frame(self, bos=bool(value), eos=None)

    @property
    def add_eos_token(self) -> bool:
        """Whether a text gets the `eos_token` at its end; can be set."""
        return self.eos_token is not None and self._edge(-1) == self.eos_token_id

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        adjust.frame(self, bos=None, eos=bool(value))

    def _edge(self, place: int) -> int | None:
        """Return the special token at one end of a text, None where the text itself stands there."""
        if not self.num_special_tokens_to_add():
            return None
        index, _, sequence = self._frame(False)[place]
        return index if sequence is None else None

    def update_post_processor(self) -> None:
        """Put the present `bos_token` and `eos_token` around texts, after one of them was set anew."""
        first, last = self._edge(0) is not None, self._edge(-1) is not None
        adjust.frame(self, bos=first and self.bos_token is not None, eos=last and self.eos_token is not None)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the files that older and newer readers need.

        `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` where
        tokens were added, the vocabulary in its older format where it has one, and the chat template.
        Each file is there wholly or not at all.

        Args:
            save_directory: the folder, which is made when it is missing.
            legacy_format: False leaves the older vocabulary files out, True writes nothing but them.
            filename_prefix: put in front of each name with a dash.
            push_to_hub: whether to upload the folder; `repo_id`, `token`, `private`, `commit_message`,
                `revision` and `create_pr` go with it.
            **kwargs: `save_jinja_files=False` to keep chat templates in tokenizer_config.json.

        Returns:
            The paths written.
        """
        return saving.save(self, Path(save_directory), legacy_format, filename_prefix, push_to_hub, kwargs)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the vocabulary in its older format: `vocab.txt`, `vocab.json` + `merges.txt`, `*.model`.

        Returns:
            The paths written; none for a vocabulary that has no older format or whose file is gone.
        """
        return tuple(map(str, saving.save_vocabulary(self, Path(save_directory), filename_prefix)))

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Upload the tokenizer's files to a repository, which is made when it is missing.

        Args:
            repo_id: "user/name".
            **kwargs: what `formers.hub.push_folder` takes (`token`, `private`, `commit_message`, ...).

        Returns:
            The address of the commit.
        """
        return saving.push(self, repo_id, kwargs)

    def train_new_from_iterator(
        self,
        text_iterator: Any,
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Token] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> PreTrainedTokenizerFast:
        """Train a tokenizer of the same kind on other text.

        Args:
            text_iterator: gives texts, or lists of them.
            vocab_size: how many tokens to learn at most, special tokens included.
            length: how many texts there are, for the progress bar.
            new_special_tokens: special tokens to add.
            special_tokens_map: old special token -> the one that takes its place.
            **kwargs: arguments of the `tokenizers` trainer (`min_frequency`, `show_progress`, ...).
        """
        from formers.tokenization import retrain

        return retrain.train(
            self, text_iterator, vocab_size, length, new_special_tokens, special_tokens_map, kwargs
        )

    def __repr__(self) -> str:
        added = "".join(f"\n\t{index}: {token!r}," for index, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"added_tokens_decoder={{{added}\n}})"
        )


PreTrainedTokenizer = PreTrainedTokenizerFast
PreTrainedTokenizerBase = PreTrainedTokenizerFast


def _is_setting(name: str) -> bool:
    return name in SETTINGS or name in TOLERATED or (name.endswith("_token") and not name.startswith("_"))


def _positional(args: tuple[Any, ...], given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read `Class(vocab_file, merges_file)` and `Class(vocab, merges)`: a path is a file."""
    if len(args) > 2:
        raise TypeError(
            f"{name}() takes a vocabulary and merges by position and all else by name, but got {len(args)}"
        )
    found: dict[str, Any] = {}
    for word, value in zip(("vocab", "merges"), args, strict=False):
        found[word] = value
    for word in ("vocab", "merges"):
        value = found.get(word, given[word])
        if isinstance(value, (str, os.PathLike)):
            found[word] = None
            found[f"{word}_file"] = value
    return {key: value for key, value in found.items() if value is not None or given[key] is not None}


def special_of(settings: Mapping[str, Any]) -> dict[str, Token | None]:
    """Collect the named special tokens of settings, a model's own (`image_token`, ...) included."""
    from tokenizers import AddedToken

    named: dict[str, Token | None] = {name: settings[name] for name in NAMED if name in settings}
    own = dict(settings.get("model_specific_special_tokens") or {})
    extra = settings.get("extra_special_tokens")
    if isinstance(extra, Mapping):
        own |= extra
    for name, value in settings.items():
        if name.endswith("_token") and name not in NAMED and isinstance(value, (str, AddedToken)):
            own[name] = value
    named.update(own)
    for name, value in named.items():
        if value is not None and not isinstance(value, (str, AddedToken)):
            raise TypeError(f"{name} must be a string or an AddedToken, but is {value!r}")
    return named


def open_tokenizer_file(path: Path) -> Tokenizer:
    """Read a tokenizer.json.

    Raises:
        OSError: when there is no such file.
        ValueError: when it is not one.
    """
    from tokenizers import Tokenizer

    if not path.is_file():
        raise OSError(f"{path} is not a file; a tokenizer_file is the path of a tokenizer.json")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a tokenizer.json: {error}. If it was written by a newer version of "
            "the `tokenizers` package, `pip install -U tokenizers` helps"
        ) from error


def heed(settings: Mapping[str, Any]) -> None:
    """Say what settings of the caller ask for that tokenizers here do not do.

    Raises:
        ValueError: for a setting whose neglect would change ids or text.
    """
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


def limit_of(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the model of a config.json takes at most, None where it has no such limit.

    RoBERTa-like models number positions from `pad_token_id + 1`, so that many of the table are not for use.
    """
    kind = config.get("model_type")
    if kind in ("t5", "mt5", "longt5", "umt5"):  # positions are relative: no limit
        return None
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        limit = config.get(name)
        if isinstance(limit, int) and limit > 0:
            offset = 0
            if kind in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm"):
                offset = int(config.get("pad_token_id", 1)) + 1
            return limit - offset
    return None


def class_for(found: files.Files) -> type[PreTrainedTokenizerFast]:
    """Choose the class of a checkpoint: what its tokenizer_config.json names, else by its model type."""
    from formers.tokenization.classes import named_class

    recorded = found.config.get("tokenizer_class")
    if recorded in CLASSES:
        return named_class(recorded)
    base = str(recorded or "").removesuffix("Fast").removesuffix("Tokenizer")
    if base in ALIASES:
        return named_class(f"{ALIASES[base]}Tokenizer")
    if found.tokenizer is not None and recorded:
        return PreTrainedTokenizerFast
    if recorded not in (None, *GENERAL):
        raise ValueError(
            f"{found.name} names the tokenizer class {recorded!r}, which this library has not got, and has "
            f"no {files.TOKENIZER} that would say how to read its vocabulary. Convert it once where that "
            f"class exists (its save_pretrained writes {files.TOKENIZER}), or name a class that reads it "
            "the same way, for instance LlamaTokenizer.from_pretrained"
        )
    kind = MODEL_TYPES.get(str(found.model.get("model_type")))
    if kind is None and found.tokenizer is None:
        kind = _guess(found.vocabulary)
        if kind is not None:
            notice(
                f"{found.name} does not say which tokenizer its vocabulary belongs to: reading it as "
                f"{kind}Tokenizer. Name the class (for instance {kind}Tokenizer.from_pretrained) to be sure"
            )
    return PreTrainedTokenizerFast if kind is None else named_class(f"{kind}Tokenizer")


def _guess(vocabulary: Mapping[str, Path]) -> str | None:
    """Guess the recipe of vocabulary files by their names."""
    present = {path.name for path in vocabulary.values()}
    for name, recipe in RECIPES.items():
        if present == {names[0] for names in recipe.files.values()}:
            if name == "Roberta" and '"<s>"' not in vocabulary["vocab_file"].read_text(encoding="utf-8"):
                continue  # the same names as GPT-2's, whose vocabulary has no frame
            if name != "Bart":
                return name
    return None


def load_as(
    cls: type[PreTrainedTokenizerFast], name: str | os.PathLike[str], kwargs: Mapping[str, Any]
) -> PreTrainedTokenizerFast:
    """Load a checkpoint as `cls`, or as the class it names when `cls` is the general one."""
    from formers.hub import Source, split_hub_keywords

    path = Path(name)
    if path.is_file() and path.suffix == ".json":
        return cls(tokenizer_file=path, **kwargs)
    hub, rest = split_hub_keywords(dict(kwargs))
    refuse_unknown(
        [key for key in rest if not _is_setting(key)],
        (*hub_words(), *SETTINGS, *TOLERATED),
        f"{cls.__name__}.from_pretrained()",
    )
    heed(rest)
    explicit = {key: files.revive(value) for key, value in rest.items() if key not in TOLERATED}
    found = files.read(Source.of(name, **hub), str(name))
    if rest.get("trust_remote_code") and "auto_map" in found.config:
        notice(
            f"{name} brings tokenizer code of its own, which is never run here: its files are read without "
            "it",
        )
    config = rest.get("config")
    if config is not None and not found.model:
        found.model = dict(config) if isinstance(config, Mapping) else config.to_dict()
    if cls is PreTrainedTokenizerFast:
        cls = class_for(found)
    else:
        recorded = CLASSES.get(str(found.config.get("tokenizer_class")))
        if cls.recipe is not None and recorded is not None and RECIPES[recorded] is not cls.recipe:
            notice(
                f"{found.name} holds a {recorded}Tokenizer, but is loaded as a {cls.__name__}: special "
                "tokens and model inputs may be wrong. AutoTokenizer.from_pretrained takes the right class"
            )
    return cls._from_files(found, explicit)


def hub_words() -> list[str]:
    """Return the keywords that say where files come from."""
    from formers.hub import HUB_KEYWORDS

    return sorted(HUB_KEYWORDS)


def load(name_or_path: str | os.PathLike[str], **kwargs: Any) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a checkpoint, as the class that it names; see `from_pretrained`."""
    return load_as(PreTrainedTokenizerFast, name_or_path, kwargs)
