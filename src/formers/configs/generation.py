"""GenerationConfig: the ecosystem's `generation_config.json`, both ways."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.configs.defaults import GENERATION
from formers.configs.record import ConfigFile
from formers.core.fields import ExplicitEnum
from formers.core.jsonfile import read_json_object
from formers.core.notices import did_you_mean, notice
from formers.hub import Source, split_hub_keywords

if TYPE_CHECKING:
    from typing_extensions import Self

    from formers.configs.base import PretrainedConfig

GENERATION_CONFIG_NAME = "generation_config.json"


class GenerationMode(ExplicitEnum):
    """Ways of generating."""

    GREEDY_SEARCH = "greedy_search"
    SAMPLE = "sample"
    BEAM_SEARCH = "beam_search"
    BEAM_SAMPLE = "beam_sample"
    GROUP_BEAM_SEARCH = "group_beam_search"
    CONSTRAINED_BEAM_SEARCH = "constrained_beam_search"
    CONTRASTIVE_SEARCH = "contrastive_search"
    DOLA_GENERATION = "dola_generation"
    ASSISTED_GENERATION = "assisted_generation"


class GenerationConfig(ConfigFile):
    """How text is generated. Every field of `generation_config.json` is an attribute.

    A field that nobody set has its default and is not written; `is_set(name)` tells the two apart.
    Keys that no version declares are kept and written back.
    """

    _given: set[str]
    _name_or_path: str
    _commit_hash: str | None

    def __init__(self, **kwargs: Any) -> None:
        state = self.__dict__
        state["_given"] = set()
        state["_name_or_path"] = ""
        state["_commit_hash"] = kwargs.pop("_commit_hash", None)
        state["_from_model_config"] = bool(kwargs.pop("_from_model_config", False))
        state["transformers_version"] = kwargs.pop("transformers_version", None)
        for name, default in GENERATION.items():
            state[name] = default
        for name, value in kwargs.items():
            unknown = name not in GENERATION and not name.startswith("_")
            if unknown and (near := did_you_mean(name, GENERATION)):
                notice(f"GenerationConfig knows no field {name!r}{near}. It is kept, and changes nothing.")
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name != "transformers_version":
            if name in GENERATION and value is None:  # None is the newer spelling of "not set"
                self._given.discard(name)
                value = GENERATION[name]
            else:
                self._given.add(name)
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        hint = did_you_mean(name, GENERATION)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    @property
    def is_from_model_config(self) -> bool:
        """Whether it was read off a model's config, having no file of its own."""
        return bool(self._from_model_config)

    def is_set(self, name: str) -> bool:
        """Whether somebody chose this field: a file, a model's config, or the caller."""
        return name in self._given

    def validate(self) -> None:
        """Refuse settings that mean nothing, or contradict each other.

        Raises:
            ValueError: naming the setting, and what it may be.
        """
        for name, least in (
            ("max_new_tokens", 1),
            ("num_beams", 1),
            ("num_return_sequences", 1),
            ("num_beam_groups", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")
        if self.early_stopping not in (True, False, "never"):
            raise ValueError(f"early_stopping is True, False or 'never', not {self.early_stopping!r}")
        if self.num_beams % self.num_beam_groups:
            raise ValueError(f"{self.num_beams} beams cannot be parted into {self.num_beam_groups} groups")
        most = self.num_beams if self.num_beams > 1 or not self.do_sample else None
        if most is not None and self.num_return_sequences > most:
            raise ValueError(
                f"num_return_sequences={self.num_return_sequences} asks for more than there is: "
                + (
                    "greedy search has one answer; set do_sample=True or num_beams"
                    if most == 1
                    else f"num_beams={most}"
                )
            )
        sampling = [
            n
            for n in ("temperature", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")
            if self.is_set(n) and getattr(self, n) != GENERATION[n]
        ]
        if sampling and not self.do_sample:
            notice(f"{', '.join(sampling)} shape what is drawn, and change nothing unless do_sample=True")

    def get_generation_mode(self, assistant_model: Any = None) -> GenerationMode:
        """Which way of generating the settings ask for."""
        mode = GenerationMode
        if self.constraints is not None or self.force_words_ids is not None:
            return mode.CONSTRAINED_BEAM_SEARCH
        if self.num_beams > 1:
            if self.num_beam_groups > 1:
                return mode.GROUP_BEAM_SEARCH
            return mode.BEAM_SAMPLE if self.do_sample else mode.BEAM_SEARCH
        if not self.do_sample and self.top_k is not None and self.top_k > 1 and self.penalty_alpha:
            return mode.CONTRASTIVE_SEARCH
        drafts = (assistant_model, self.prompt_lookup_num_tokens, self.assistant_early_exit)
        if any(one is not None for one in drafts):
            return mode.ASSISTED_GENERATION
        if self.dola_layers is not None:
            return mode.DOLA_GENERATION
        return mode.SAMPLE if self.do_sample else mode.GREEDY_SEARCH

    # -- dictionaries and JSON ----------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field with its present value, defaults too."""
        skipped = {"_given", "_name_or_path", "_commit_hash"}
        out = {name: value for name, value in self.__dict__.items() if name not in skipped}
        if not out["_from_model_config"]:
            del out["_from_model_config"]
        if out["transformers_version"] is None:
            del out["transformers_version"]
        return {
            name: value.to_dict() if hasattr(value, "to_dict") else copy.deepcopy(value)
            for name, value in out.items()
        }

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes to disk: the fields that somebody chose."""
        everything = self.to_dict()
        return {k: v for k, v in everything.items() if k in self._given or k not in GENERATION}

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """The JSON text, keys sorted, as `generation_config.json` holds it."""
        out = self.to_diff_dict() if use_diff else self.to_dict()
        if ignore_metadata:
            for name in ("_from_model_config", "transformers_version"):
                out.pop(name, None)
        return self._as_json(out)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Build from what a file holds."""
        config = cls()
        for name, value in copy.deepcopy(dict(content)).items():
            if hasattr(cls, name) or name == "_given":
                raise ValueError(f"{name!r} is no setting of {cls.__name__}: leave it out of the file")
            setattr(config, name, value)
        return config

    def override(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set fields by keyword, and return the keywords that are none."""
        return self.update(**values)

    def known_names(self) -> Collection[str]:
        """The fields."""
        return GENERATION

    def update(
        self, defaults_only: bool = False, allow_custom_entries: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Set the fields among `kwargs` and return the rest.

        Args:
            defaults_only: set only fields that nobody has chosen yet.
            allow_custom_entries: set names that are no fields too.
            kwargs: field names and their values.
        """
        unused = {}
        for name, value in kwargs.items():
            if not (name in GENERATION or name in self.__dict__ or allow_custom_entries):
                unused[name] = value
            elif not (defaults_only and self.is_set(name)):
                setattr(self, name, value)
        return unused

    # -- files --------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], config_file_name: str | None = None, **kwargs: Any
    ) -> Any:
        """Read `generation_config.json` of a folder or a Hub repository.

        Args:
            name_or_path: a folder or a repository id.
            config_file_name: another file name.
            kwargs: Hub keywords (`revision`, `token`, ...) and fields that win over the file.

        Raises:
            OSError: when there is no such file, or it is no JSON object.
        """
        return_unused = bool(kwargs.pop("return_unused_kwargs", False))
        hub, rest = split_hub_keywords(kwargs)
        source = Source.of(name_or_path, **hub)
        content = read_json_object(source.get(config_file_name or GENERATION_CONFIG_NAME))
        config, unused = cls.from_dict(content, return_unused_kwargs=True, **rest)
        config._name_or_path, config._commit_hash = str(name_or_path), source.commit
        return config.with_unused(unused, return_unused, "from_pretrained")

    @classmethod
    def from_model_config(cls, model_config: PretrainedConfig | Mapping[str, Any]) -> GenerationConfig:
        """Collect the generation fields that older files keep in the model's `config.json`."""
        if isinstance(model_config, Mapping):
            parts = [model_config.get(name) for name in ("decoder", "generator", "text_config")]
            layers = [model_config, *[part for part in parts if part][:1]]
        else:
            layers = [model_config.to_dict(), model_config.get_text_config(decoder=True).to_dict()]
        config = cls(_from_model_config=True)
        for content in layers:
            for name in GENERATION:
                if content.get(name) not in (None, GENERATION[name]) and not config.is_set(name):
                    setattr(config, name, copy.deepcopy(content[name]))
        extras = ("output_attentions", "output_hidden_states", "output_scores", "output_logits")
        if any(getattr(config, name) for name in extras):
            config.return_dict_in_generate = True
        return config

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        config_file_name: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> Path:
        """Write `generation_config.json` into a folder, atomically; `kwargs` go to the upload."""
        name = config_file_name or GENERATION_CONFIG_NAME
        return self._save(save_directory, name, push_to_hub, kwargs)
