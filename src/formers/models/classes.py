"""Classes derived from families: `BertForMaskedLM` is the masked-LM task over the BERT recipe."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from formers.assemblies.base import Assembly, BaseModel
from formers.assemblies.encoder_decoder import DecoderHalf, EncoderDecoder, EncoderHalf
from formers.assemblies.family import Family, Head
from formers.assemblies.parts import find_part
from formers.core.notices import did_you_mean
from formers.model.base import PreTrainedModel
from formers.models.registry import family_of
from formers.models.table import FAMILIES
from formers.tasks.table import TASKS

# where a class says it lives: `formers.auto` finds it again by name, so that models can be pickled
_HOME = "formers.auto"
# names in checkpoints of a whole model that a half of it leaves be
_UNREAD = {
    "encoder": (r"(^|\.)decoder\.",),
    "decoder": (r"(^|\.)encoder\.", r"^final_logits_bias$"),
}


@cache
def _assembly(family: Family, over: str) -> Assembly:
    whole = family.assembly
    if over == "whole":
        return whole
    if not isinstance(whole, EncoderDecoder) or over not in _UNREAD:
        return whole.alone(over, family.config)
    return EncoderHalf(whole) if over == "encoder" else DecoderHalf(whole)


@cache
def _half(family: Family, over: str) -> type[BaseModel]:
    """The base model that a head over one half holds."""
    own = {"_assembly": _assembly(family, over), **_shared(family)}
    return type(f"{family.name}{over.title()}Half", (BaseModel,), own)


def _shared(family: Family) -> dict[str, Any]:
    return {
        "_family": family,
        "config_class": family.config,
        "_exporter": "formers.export.exporting",
        "base_model_prefix": family.base,
        "_no_split_modules": family.assembly.layer_classes(family.config),
        "__module__": _HOME,
    }


@cache
def class_of(family_key: Any, ending: str) -> type[PreTrainedModel]:
    """The class of a family with that ending (`Model`, `ForMaskedLM`, `PreTrainedModel`, ...).

    Raises:
        AttributeError: when the family has no such class, naming those that it has.
    """
    family: Family = family_key
    name, shared = family.class_name(ending), _shared(family)
    if ending == "PreTrainedModel":
        return type(name, (PreTrainedModel,), {**shared, "__doc__": f"Base of {family.name} models."})
    head, shared_base = family.heads.get(ending), class_of(family, "PreTrainedModel")
    if ending == "Model" and head is None and family.bare:
        own = {**shared, "_assembly": family.assembly, "__doc__": f"{family.name} without a head."}
        return type(name, (BaseModel, shared_base), {**own, **family.assembly.offers})
    if head is None:
        known = [family.class_name(known) for known in endings(family)]
        raise AttributeError(
            f"there is no {name}{did_you_mean(name, known)}; {family.name} has {', '.join(known)}"
        )
    if head.other:
        return class_of(family_of(head.other), "Model")
    task, assembly = TASKS[head.task], _assembly(family, head.over)
    module, attribute = task.home
    base = getattr(importlib.import_module(f"formers.tasks.{module}"), attribute)
    own = {
        **shared,
        "_task": task,
        "_head": head,
        "_assembly": assembly,
        **assembly.offers,
        "_unread": _UNREAD.get(head.over, assembly.unused),
        "_unsaved": head.unsaved,
        "shifts_labels": task.shifts and head.over == "whole",
        "base_model_prefix": head.base or family.base,
        "__doc__": f"{family.name}: {task.says}"
        if ending == "Model"
        else f"{family.name} with a head for {head.task.replace('_', ' ')}.",
    }
    if not issubclass(base, BaseModel) and not head.flat:
        own["_base_class"] = (
            class_of(family, "Model") if head.over == "whole" else _base_of_half(family, head)
        )
    return type(name, (base, shared_base), own)


def _base_of_half(family: Family, head: Head) -> Any:
    for ending, other in family.heads.items():
        if other.task == "encoder" and head.over == "encoder":
            return class_of(family, ending)
    return _half(family, head.over)


def base_class(config: Any) -> type[BaseModel]:
    """The class without a head for a config, of whatever family it is."""
    found = class_of(family_of(config.model_type), "Model")
    assert issubclass(found, BaseModel)
    return found


def whole_class(config: Any) -> type[PreTrainedModel]:
    """The class `...Model` for a config, which may have a head of its own."""
    return class_of(family_of(config.model_type), "Model")


def backbone_class(config: Any) -> type[PreTrainedModel]:
    """The class that gives maps for a config, of whatever family it is.

    Raises:
        ValueError: when its family has none.
    """
    family = family_of(config.model_type)
    if "Backbone" not in family.heads:
        raise ValueError(f"{family.name} has no class that gives maps, so it cannot be a backbone")
    return class_of(family, "Backbone")


def backbone_of(config: Any) -> tuple[str, type[PreTrainedModel], Any]:
    """What `backbone_config` describes: the path under which it stands, its class, and that config."""
    return "backbone", backbone_class(config.backbone_config), config.backbone_config


def map_widths(config: Any) -> list[int]:
    """Channels of the maps that the class for such a config gives out."""
    widths = family_of(config.model_type).heads["Backbone"].spec(config).widths
    return [widths[config.stage_names.index(stage)] for stage in config.out_features]


def text_encoder_class(config: Any) -> type[PreTrainedModel]:
    """The class that turns a text into states for a config: half of a pair, or the class without a head."""
    return _for(config, "AutoModelForTextEncoding") or base_class(config)


def may_give_rows(config: Any) -> bool:
    """Whether the class that gives maps for such a config may give rows of tokens in their place.

    Those that may have a field that says which, `reshape_hidden_states`.
    """
    return hasattr(config, "reshape_hidden_states")


def predictor_class(config: Any) -> type[PreTrainedModel]:
    """The class that predicts next tokens for a config, of whatever family it is.

    Raises:
        ValueError: when its family has none.
    """
    found = _for(config, "AutoModelForCausalLM")
    if found is None:
        name = family_of(config.model_type).name
        raise ValueError(f"{name} has no head that predicts next tokens, so it cannot be a decoder")
    return found


def writes_alone(config: Any) -> bool:
    """Whether a config's family has a decoder that writes by itself; otherwise an encoder reads for it."""
    return _for(config, "AutoModelForCausalLM") is not None


def writer_class(config: Any) -> type[PreTrainedModel]:
    """The class that writes texts for a config: a decoder, or where its family has none, a pair with one.

    Raises:
        ValueError: when its family has neither.
    """
    found = _for(config, "AutoModelForCausalLM") or _for(config, "AutoModelForSeq2SeqLM")
    if found is None:
        raise ValueError(f"{family_of(config.model_type).name} has no head that writes texts")
    return found


def point_finder_class(config: Any) -> type[PreTrainedModel]:
    """The class that finds points for a config, of whatever family it is.

    Raises:
        ValueError: when its family has none.
    """
    found = _for(config, "AutoModelForKeypointDetection")
    if found is None:
        raise ValueError(f"{family_of(config.model_type).name} has no head that finds points of pictures")
    return found


def _for(config: Any, auto: str) -> type[PreTrainedModel] | None:
    """The first class of a config's family that an Auto class takes."""
    family = family_of(config.model_type)
    for ending, head in family.heads.items():
        if TASKS[head.task].auto == auto:
            return class_of(family, ending)
    return None


def endings(family: Family) -> dict[str, Head | None]:
    """Class-name endings of a family, with their heads."""
    return {**({"Model": None} if family.bare else {}), "PreTrainedModel": None, **family.heads}


def find(name: str) -> type[Any] | None:
    """The model, config or layer class of that name, or that of a part; None where there is none."""
    for model_type, (_, prefix) in FAMILIES.items():
        if name.startswith(prefix):
            family = family_of(model_type)
            for config in (family.config, *family.config.sub_configs.values(), *family.settings):
                if isinstance(config, type) and name == config.__name__:
                    return config
            for ending in endings(family):
                if family.class_name(ending) == name:
                    return class_of(family, ending)
            for over in {"decoder", *(head.over for head in family.heads.values())}:
                if name == f"{family.name}{over.title()}Half":
                    return _half(family, over)
            if name in family.assembly.layer_classes(family.config):  # for policies that wrap layers
                return family.assembly.layer_class(name)
            part = find_part(class_of(family, "Model"), name) if family.bare else None
            if part is not None:
                return part
    return None
