"""PretrainedConfig: a list of annotated defaults that reads and writes the ecosystem's `config.json`."""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from formers.configs import metadata
from formers.configs.checks import checked, config_field
from formers.configs.defaults import LEGACY
from formers.configs.labels import Labels, set_id2label, set_label2id
from formers.configs.record import ConfigFile
from formers.configs.rotary import Rotary, read_rope, write_rope
from formers.configs.subconfigs import SubConfigs
from formers.core.fields import KINDS, Field
from formers.core.jsonfile import read_json_object
from formers.core.notices import notice
from formers.hub import Source, gguf, split_hub_keywords

if TYPE_CHECKING:
    from typing_extensions import Self

CONFIG_NAME = "config.json"
TIMM_KEY, TIMM = (
    "pretrained_cfg",
    "timm_wrapper",
)  # what files of the timm package have, and whose models they are

# Properties that are keywords too.
_SETTABLE = ("num_labels", "torch_dtype", "attn_implementation", "name_or_path", "_attn_implementation")

# Attributes that are kept in memory under a leading underscore and are not written.
_PRIVATE = ("_name_or_path", "_commit_hash", "_attn_implementation", "_experts_implementation", "_auto_class")


class DTypeName(str):
    """The name of a dtype, such as `"float16"`, equal to the dtype itself too.

    A config holds the name, so that it needs no torch and writes plain JSON, and still answers
    `config.dtype == torch.float16` as it answers `config.dtype == "float16"`. `named_dtype` of
    `formers.core.devices` gives the dtype.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other).__name__ == "dtype" and type(other).__module__ == "torch":
            other = str(other).removeprefix("torch.")
        return isinstance(other, str) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other  # str has its own, which knows no dtypes

    __hash__ = str.__hash__


class _NoField(AttributeError):
    """A config has no such attribute; the nearest name is looked for when the message is read.

    Not before, because `getattr(config, name, default)` stands in paths that every call takes.
    """

    def __init__(self, config: PretrainedConfig, name: str) -> None:
        super().__init__()
        self.kind, self.wanted = type(config), name
        self.known = list(config.__dict__)

    def __str__(self) -> str:
        known = [*self.kind._declared, *self.kind.attribute_map, *self.known]
        near = difflib.get_close_matches(self.wanted, known, n=1, cutoff=0.7)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{self.kind.__name__} has no attribute {self.wanted!r}{hint}"


class PretrainedConfig(Labels, SubConfigs, Rotary, ConfigFile):
    """The settings of a model: annotated class attributes with defaults, and whatever else a file holds.

    A family's class lists its fields and nothing more::

        class BertConfig(PretrainedConfig):
            model_type = "bert"
            attribute_map = {"num_classes": "num_labels"}
            vocab_size: int = 30522

    `attribute_map` gives other names for fields, for reading, for setting and as keywords.
    `sub_configs` names the fields that hold configs of their own. A class that declares
    `rope_parameters` reads both spellings of the rotary settings and shows both.
    `reads` has model types whose files hold all that is declared here too.
    Keys that nobody declared are kept and written back; declared fields take what they declare.

    Raises:
        TypeError: for a value of another type than its field declares.
        ValueError: for an unknown `problem_type` or activation, or a negative size.
    """

    model_type: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()
    base_config_key: ClassVar[str] = ""
    attribute_map: ClassVar[dict[str, str]] = {}
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {}  # field -> the values that are computed here
    keys_to_ignore_at_inference: ClassVar[list[str]] = []
    gguf_defaults: ClassVar[Mapping[str, Any]] = {}  # what a GGUF file leaves unsaid
    _declared: ClassVar[dict[str, Any]]
    _rules: ClassVar[dict[str, Field]]

    architectures: list[str] | None = None
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    dtype: Any = None  # a DTypeName, which equals the name and the dtype
    chunk_size_feed_forward: int = 0
    is_encoder_decoder: bool = False
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    problem_type: str | None = None
    finetuning_task: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared, cls._rules = _collect(cls)
        for alias, field in cls.attribute_map.items():
            # A descriptor per alias costs nothing when the field itself is read.
            setattr(cls, alias, _alias(field))
        if "rope_parameters" in cls._declared:
            for name in cls.rope_names():
                if name not in cls._declared:
                    setattr(cls, name, _rope_view(name))

    def __init__(self, **kwargs: Any) -> None:
        state = self.__dict__
        for name, default in self._declared.items():
            state[name] = copy.deepcopy(default) if isinstance(default, list | dict | set) else default
        state["_name_or_path"] = str(kwargs.pop("name_or_path", None) or kwargs.pop("_name_or_path", ""))
        state["_commit_hash"] = kwargs.pop("_commit_hash", None)
        state["_attn_implementation"] = kwargs.pop("attn_implementation", None) or kwargs.pop(
            "_attn_implementation", None
        )
        state["_experts_implementation"] = kwargs.pop("experts_implementation", None)
        self._take_labels(kwargs)
        self._take_dtype(kwargs)
        self._take_sub_configs(kwargs, from_file="_from_file" in state)
        if "rope_parameters" in self._declared:
            self._take_rope(kwargs)
        kwargs.pop("model_type", None)
        for name, value in kwargs.items():
            if name in _OWN and "_from_file" in state:
                raise ValueError(f"{name!r} is no setting of {type(self).__name__}: leave it out of the file")
            self._notice_misspelling(name)
            setattr(self, name, value)
        self.validate()

    # -- taking keywords ----------------------------------------------------------------------

    def _take_dtype(self, kwargs: dict[str, Any]) -> None:
        """`dtype` is the newer name of `torch_dtype`; where a file holds both, the newer one counts."""
        older, newer = kwargs.pop("torch_dtype", None), kwargs.pop("dtype", None)
        if newer is not None or older is not None:
            self.dtype = newer if newer is not None else older

    def _notice_misspelling(self, name: str) -> None:
        if name in self._declared or name.startswith("_") or hasattr(type(self), name) or name in LEGACY:
            return
        choices = [*self._declared, *self.attribute_map]
        near = difflib.get_close_matches(name, choices, n=1, cutoff=0.85)
        if near and near[0] not in self.__dict__.get("_from_file", ()):
            notice(
                f"{type(self).__name__} declares no field {name!r}; did you mean {near[0]!r}? "
                f"It is kept, and changes nothing."
            )

    def validate(self) -> None:
        """Check what can be wrong whatever the family; families add their own.

        Raises:
            ValueError: when a value cannot be used.
        """
        self._check_labels(self.problem_type)
        for name, allowed in self._available.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                said = " or ".join(map(repr, allowed))
                raise ValueError(
                    f"{name}={value!r} is not available for {self.model_type!r} models: it is {said}"
                )

    # -- attributes ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        rule = _ON_SET.get(name)
        if rule is not None:
            rule(self, value)
            return
        declared = self._rules.get(name)
        if declared is not None:
            from_file = "_from_file" in self.__dict__
            value = checked(type(self).__name__, name, value, declared, from_file=from_file)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Reached only when the name is neither a field nor a key of the file.
        if name in LEGACY and not name.startswith("__"):
            return copy.copy(LEGACY[name])
        raise _NoField(self, name)

    @property
    def torch_dtype(self) -> Any:
        """The older name of `dtype`."""
        return self.dtype

    @torch_dtype.setter
    def torch_dtype(self, value: Any) -> None:
        self.dtype = value

    @property
    def name_or_path(self) -> str:
        """Where the config came from: what was given to `from_pretrained`."""
        return str(self.__dict__.get("_name_or_path", ""))

    @name_or_path.setter
    def name_or_path(self, value: Any) -> None:
        self.__dict__["_name_or_path"] = str(value)

    @property
    def commit_hash(self) -> str | None:
        """The commit of the Hub repository that the config was read from, where known."""
        return self.__dict__.get("_commit_hash")

    @property
    def attn_implementation(self) -> str | None:
        """The attention backend that was asked for; None leaves the choice to the model."""
        return self.__dict__.get("_attn_implementation")

    @attn_implementation.setter
    def attn_implementation(self, value: str | None) -> None:
        self.__dict__["_attn_implementation"] = value
        for part in self._parts().values():
            part.attn_implementation = value

    @property
    def use_return_dict(self) -> bool:
        """Whether models answer with a record rather than a tuple (older name of `return_dict`)."""
        return bool(self.return_dict)

    def __iter__(self) -> Iterator[str]:
        return iter(name for name in self.__dict__ if not name.startswith("_"))

    # -- dictionaries and JSON ----------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field and every kept key, as plain values; nested configs as dictionaries."""
        return self._as_dict(diff=False)

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes to disk: the family's own fields, kept keys, and common fields that someone changed."""
        return self._as_dict(diff=True)

    def _as_dict(self, *, diff: bool) -> dict[str, Any]:
        own = _own_fields(type(self)) if diff else frozenset(self.__dict__)
        out: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if name in _PRIVATE or (diff and name.startswith("_") and not hasattr(type(self), name)):
                continue
            common = name in PretrainedConfig._declared and name not in own
            if diff and common and value == PretrainedConfig._declared[name]:
                continue
            if diff and name in ("id2label", "label2id") and self._labels_are_default():
                continue
            out[name] = _plain(value, diff)
        if self.model_type or "model_type" not in out:
            out["model_type"] = self.model_type
        if out.get("dtype") is not None:
            out["torch_dtype"] = out["dtype"]  # what readers before 4.56 look for
        if "rope_parameters" in self._declared:
            out |= self._older_rope(out)  # what readers before 5.0 look for
        if not diff:
            out["_name_or_path"] = self.name_or_path
        return out

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Build from what a file holds: keys of other versions are kept without a word."""
        config = cls.__new__(cls)
        config.__dict__["_from_file"] = frozenset(cls._declared)
        config.__init__(**copy.deepcopy(dict(content)))  # type: ignore[misc]
        config.__dict__.pop("_from_file", None)
        if content.get("model_type") and not cls.model_type:
            config.__dict__["model_type"] = content["model_type"]
        return config

    def override(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set fields and kept keys by keyword, and return the keywords that are neither.

        Raises:
            ValueError: when `num_labels` and `id2label` contradict each other, or a value cannot be used.
        """
        count, names = values.get("num_labels"), values.get("id2label")
        if count is not None and names is not None and count != len(names):
            raise ValueError(
                f"num_labels={count}, but id2label names {len(names)} labels: leave num_labels out"
            )
        unused: dict[str, Any] = {}
        first = [name for name in ("num_labels", "id2label", "label2id") if name in values]
        for name in [*first, *(name for name in values if name not in first)]:
            value = values[name]
            if name in ("dtype", "torch_dtype") and value == "auto":
                continue  # "auto" means: as the file has it
            part = self.__dict__.get(name)
            if not self._knows(name):
                unused[name] = value
            elif name in self.sub_configs and isinstance(value, Mapping) and part is not None:
                self.__dict__[name] = type(part).from_content({**part.to_dict(), **value})
            else:
                setattr(self, name, value)
        self.validate()
        return unused

    def _knows(self, name: str) -> bool:
        return not name.startswith("__") and name in self.known_names()

    def known_names(self) -> set[str]:
        """What can be set by keyword: fields, their other names, and keys of the file."""
        rotary = self.rope_names() if "rope_parameters" in self._declared else ()
        return {*self._declared, *self.attribute_map, *self.__dict__, *LEGACY, *_SETTABLE, *rotary}

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set every key of a dictionary as an attribute."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Set fields from text such as `"hidden_size=10,scale=0.2,bias=true"`; each keeps its present type.

        Raises:
            ValueError: for a name that the config does not have, or a value of another type.
        """
        for pair in update_str.split(","):
            name, _, text = pair.partition("=")
            if not self._knows(name):
                raise ValueError(f"{type(self).__name__} has no field {name!r}")
            present = getattr(self, name)
            kind = "str" if isinstance(present, str) else type(present).__name__
            if kind not in KINDS:
                raise ValueError(f"{name} holds a {kind}, which a string cannot set")
            setattr(self, name, Field(frozenset((kind,))).read(name, text))

    # -- files --------------------------------------------------------------------------------

    @classmethod
    def get_config_dict(
        cls, name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read `config.json` of a folder or a Hub repository as a dictionary.

        Args:
            name_or_path: a folder, a JSON or GGUF file, or a repository id.
            kwargs: Hub keywords (`revision`, `subfolder`, `token`, `cache_dir`, ...) and any others.

        Returns:
            The dictionary (with `_commit_hash` where known), and the keywords that were not used.

        Raises:
            OSError: when the name, the file or the network fails, or the file is no JSON object.
        """
        hub, rest = split_hub_keywords(kwargs)
        named = Path(name_or_path) if isinstance(name_or_path, (str, os.PathLike)) else None
        if named is not None and named.is_file() and named.suffix != gguf.ENDING:
            if named.suffix in (".safetensors", ".bin", ".pt", ".pth", ".h5"):
                raise OSError(f"{name_or_path} is a weight file; give the folder that holds it")
            return _with_type(read_json_object(named)), rest
        source = Source.of(name_or_path, **hub)
        header = source.gguf
        content = (
            read_json_object(source.get(CONFIG_NAME)) if header is None else metadata.record(header, cls)
        )
        content = _with_type(content)
        if source.commit is not None:
            content["_commit_hash"] = source.commit
        return content, rest

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Read a config; the weights are not needed.

        Args:
            name_or_path: a folder, a JSON file, or a repository id.
            kwargs: Hub keywords, and fields that win over the file. With `return_unused_kwargs=True`
                the answer is `(config, unused)`.

        Raises:
            OSError: when the config cannot be found or read; the message says what to do.
            TypeError: for a keyword that is neither a Hub keyword nor a field.
        """
        return_unused = bool(kwargs.pop("return_unused_kwargs", False))
        content, rest = cls.get_config_dict(name_or_path, **kwargs)
        content = cls._choose_part(content, str(name_or_path))
        try:
            config, unused = cls.from_dict(content, return_unused_kwargs=True, **rest)
        except (TypeError, ValueError):
            cls._check_file(content, str(name_or_path))
            raise
        config.name_or_path = name_or_path
        return config.with_unused(unused, return_unused, "from_pretrained")

    @classmethod
    def _check_file(cls, content: dict[str, Any], where: str) -> None:
        """Raise what is wrong with a file by itself, with its name; nothing where a keyword is to blame."""
        file = os.path.join(where, CONFIG_NAME) if os.path.isdir(where) else where
        try:
            cls.from_content(content)
        except TypeError as error:
            raise TypeError(f"{file}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    @classmethod
    def _choose_part(cls, content: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the part of a composite file that this class describes, or the whole."""
        found = content.get("model_type")
        if found and cls.model_type and found not in (cls.model_type, *cls.reads):
            part = content.get(cls.base_config_key) if cls.base_config_key else None
            if isinstance(part, dict):
                return {**part, "_commit_hash": content.get("_commit_hash")}
            notice(
                f"{where} holds the config of a {found!r} model; {cls.__name__} is for {cls.model_type!r}: "
                "fields that differ take their defaults. AutoConfig.from_pretrained picks the right class."
            )
        return content

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> Path:
        """Write `config.json` into a folder, atomically.

        Args:
            save_directory: the folder; it is made if need be.
            push_to_hub: upload the file afterwards; `kwargs` (`repo_id`, `token`, ...) go to the upload.
            kwargs: see `push_to_hub`.

        Raises:
            OSError: when the path is a file.
        """
        return self._save(save_directory, CONFIG_NAME, push_to_hub, kwargs)


PreTrainedConfig = PretrainedConfig


# -- how fields are declared, set and written -----------------------------------------------------


def _collect(cls: type) -> tuple[dict[str, Any], dict[str, Field]]:
    """Gather the annotated defaults over the bases, the nearest class last, and what each field takes."""
    fields: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    aliases = getattr(cls, "attribute_map", {})
    for base in reversed(cls.__mro__):
        own = base.__dict__
        for name, kind in own.get("__annotations__", {}).items():
            if name.startswith("_") or "ClassVar" in str(kind) or name not in own:
                continue
            fields[name], kinds[name] = own[name], kind
        for name in list(fields):  # a later class may set a default without annotating it again
            if name in own and not isinstance(own[name], property):
                fields[name] = own[name]
    fields = {name: default for name, default in fields.items() if name not in aliases}
    rules = {name: config_field(name, kinds[name], default) for name, default in fields.items()}
    return fields, {name: rule for name, rule in rules.items() if rule is not None}


def _own_fields(cls: type) -> frozenset[str]:
    """Return the fields that a family declares itself, common ones among them."""
    names: set[str] = set()
    for base in cls.__mro__:
        if issubclass(base, PretrainedConfig) and base is not PretrainedConfig:
            names |= set(base.__dict__)
    return frozenset(names) & frozenset(cls._declared)  # type: ignore[attr-defined]


def _with_type(content: dict[str, Any]) -> dict[str, Any]:
    """What a file holds; one that the timm package wrote says no type of model."""
    return {"model_type": TIMM, **content} if TIMM_KEY in content else content


def _alias(field: str) -> property:
    def write(config: Any, value: Any) -> None:
        setattr(config, field, value)

    return property(attrgetter(field), write, doc=f"Another name for `{field}`.")


def _rope_view(name: str) -> property:
    read, write = partial(read_rope, name=name), partial(write_rope, name=name)
    return property(read, write, doc=f"`{name}`, out of `rope_parameters`.")


def _set_dtype(config: PretrainedConfig, value: Any) -> None:
    """Keep a dtype by its torch name, so that a config needs no torch."""
    config.__dict__["dtype"] = None if value is None else DTypeName(str(value).removeprefix("torch."))


_ON_SET: dict[str, Callable[[Any, Any], None]] = {
    "id2label": set_id2label,
    "label2id": set_label2id,
    "dtype": _set_dtype,
}

PretrainedConfig._declared, PretrainedConfig._rules = _collect(PretrainedConfig)
# Names of the class itself, which no key of a file may take the place of.
_OWN = frozenset(
    name
    for name in dir(PretrainedConfig)
    if name not in (*PretrainedConfig._declared, "keys_to_ignore_at_inference")
    and getattr(getattr(PretrainedConfig, name), "fset", None) is None
)


def _plain(value: Any, diff: bool) -> Any:
    if isinstance(value, PretrainedConfig):
        return value.to_diff_dict() if diff else value.to_dict()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, DTypeName):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item, diff) for item in value]
    return copy.deepcopy(value)
