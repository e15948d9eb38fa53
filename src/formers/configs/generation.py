"""GenerationConfig: the ecosystem's `generation_config.json`, both ways."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.configs.record import ConfigFile
from formers.core.jsonfile import read_json_object
from formers.core.notices import did_you_mean, notice, refuse_unknown
from formers.hub import Source, split_hub_keywords

if TYPE_CHECKING:
    from formers.configs.base import PretrainedConfig

GENERATION_CONFIG_NAME = "generation_config.json"

# field -> what generation does when nobody says otherwise
DEFAULTS: dict[str, Any] = {
    # length
    "max_length": 20,
    "max_new_tokens": None,
    "min_length": 0,
    "min_new_tokens": None,
    "early_stopping": False,
    "max_time": None,
    "stop_strings": None,
    # strategy
    "do_sample": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "penalty_alpha": None,
    "dola_layers": None,
    "use_mtp": None,
    "low_memory": None,
    "seed": None,
    # cache
    "use_cache": True,
    "cache_implementation": None,
    "cache_config": None,
    "max_cache_len": None,
    "prefill_chunk_size": None,
    "return_legacy_cache": None,
    # the distribution
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "force_words_ids": None,
    "constraints": None,
    "renormalize_logits": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "forced_decoder_ids": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "token_healing": False,
    "guidance_scale": None,
    "watermarking_config": None,
    # what comes out
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": None,
    "return_dict_in_generate": False,
    # special tokens
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "decoder_start_token_id": None,
    # assistants
    "is_assistant": False,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.4,
    "prompt_lookup_num_tokens": None,
    "max_matching_ngram_size": None,
    "assistant_early_exit": None,
    "assistant_lookbehind": 10,
    "target_lookbehind": 10,
    "assistant_ensemble_weight": None,
    "speculation_type": None,
    # compilation and serving
    "compile_config": None,
    "disable_compile": False,
    "continuous_batching_config": None,
}


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
        for name, default in DEFAULTS.items():
            state[name] = default
        for name, value in kwargs.items():
            if name not in DEFAULTS and (near := did_you_mean(name, DEFAULTS)) and not name.startswith("_"):
                notice(f"GenerationConfig knows no field {name!r}{near}. It is kept, and changes nothing.")
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name != "transformers_version":
            if name in DEFAULTS and value is None:  # None is the newer spelling of "not set"
                self._given.discard(name)
                value = DEFAULTS[name]
            else:
                self._given.add(name)
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        hint = did_you_mean(name, DEFAULTS)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def is_set(self, name: str) -> bool:
        """Whether somebody chose this field: a file, a model's config, or the caller."""
        return name in self._given

    # -- dictionaries and JSON ----------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field with its present value, defaults too."""
        skipped = {"_given", "_name_or_path", "_commit_hash"}
        out = {name: value for name, value in self.__dict__.items() if name not in skipped}
        if not out["_from_model_config"]:
            del out["_from_model_config"]
        if out["transformers_version"] is None:
            del out["transformers_version"]
        return {name: _plain(value) for name, value in copy.deepcopy(out).items()}

    def to_diff_dict(self) -> dict[str, Any]:
        """What goes to disk: the fields that somebody chose."""
        everything = self.to_dict()
        return {k: v for k, v in everything.items() if k in self._given or k not in DEFAULTS}

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """The JSON text, keys sorted, as `generation_config.json` holds it."""
        out = self.to_diff_dict() if use_diff else self.to_dict()
        if ignore_metadata:
            for name in ("_from_model_config", "transformers_version"):
                out.pop(name, None)
        return self._as_json(out)

    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], *, return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """Build from a dictionary; `kwargs` that are fields win over it.

        Returns:
            The config, or `(config, unused)` with `return_unused_kwargs=True`.

        Raises:
            TypeError: for a keyword that is no field (unless the unused ones are returned).
        """
        config = cls()
        config.__dict__["_from_model_config"] = bool(kwargs.pop("_from_model_config", False))
        for name, value in copy.deepcopy(dict(config_dict)).items():
            setattr(config, name, value)
        unused = config.update(**kwargs)
        if return_unused_kwargs:
            return config, unused
        refuse_unknown(unused, DEFAULTS, f"{cls.__name__}.from_dict")
        return config

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
            if not (name in DEFAULTS or name in self.__dict__ or allow_custom_entries):
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
        if return_unused:
            return config, unused
        refuse_unknown(unused, [*DEFAULTS, *hub], f"{cls.__name__}.from_pretrained")
        return config

    @classmethod
    def from_model_config(cls, model_config: PretrainedConfig | Mapping[str, Any]) -> GenerationConfig:
        """Collect the generation fields that older files keep in the model's `config.json`."""
        layers: list[Mapping[str, Any]] = []
        if isinstance(model_config, Mapping):
            layers.append(model_config)
            layers += [
                model_config[k] for k in ("decoder", "generator", "text_config") if model_config.get(k)
            ][:1]
        else:
            layers.append(model_config.to_dict())
            text = model_config.get_text_config(decoder=True)
            layers.append(text.to_dict())
        config = cls(_from_model_config=True)
        for content in layers:
            for name in DEFAULTS:
                if (
                    content.get(name) is not None
                    and not config.is_set(name)
                    and content[name] != DEFAULTS[name]
                ):
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


def _plain(value: Any) -> Any:
    """Turn records with `to_dict` into dictionaries, so that JSON can hold them."""
    return value.to_dict() if hasattr(value, "to_dict") else value
