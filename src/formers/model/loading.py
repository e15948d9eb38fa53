"""How a checkpoint becomes a model: config, an empty module, mapped weights."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from formers.adapters.folders import beneath
from formers.configs import GenerationConfig, PretrainedConfig
from formers.core import collector
from formers.core.devices import named_dtype
from formers.core.notices import notice, refuse_unknown
from formers.model.building import for_a_checkpoint
from formers.model.initialise import mark_filled
from formers.model.structure import ignored_of, renames_of
from formers.nn.attend import backend
from formers.nn.fresh import tables_by_rule

_OPTIONS = (
    "config",
    "dtype",
    "torch_dtype",
    "device_map",
    "max_memory",
    "ignore_mismatched_sizes",
    "attn_implementation",
    "output_loading_info",
    "key_mapping",
    "state_dict",
    "use_safetensors",
    "variant",
    "offload_folder",
    "strict",
    "quantization_config",
    "load_in_8bit",
    "load_in_4bit",
    "tp_plan",
    "tp_size",
    "device_mesh",
)
_GONE = {
    "from_tf": "TensorFlow weights are not read; convert them to safetensors first",
    "from_flax": "Flax weights are not read; convert them to safetensors first",
    "use_flash_attention_2": "it is spelt attn_implementation= now; 'sdpa', the default, takes the fastest "
    "kernel that this machine has",
}
_NO_EFFECT = {
    "trust_remote_code": (True, "no code is loaded from checkpoints"),
    "weights_only": (False, "weight files are read without running anything that they hold"),
    "low_cpu_mem_usage": (False, "weights are mapped, never held twice"),
    "offload_state_dict": (True, "weights are mapped, never held twice"),
}


def set_attention(config: PretrainedConfig, options: dict[str, Any]) -> None:
    """Take `attn_implementation` out of `options` and note it in the config."""
    name = options.pop("attn_implementation", None)
    if name is not None:
        backend(name)
        config.attn_implementation = name


@collector.resting()
def load_pretrained(cls: Any, name: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The body of `from_pretrained`; see there."""
    from formers.checkpoints import TensorFiles, find_weights
    from formers.checkpoints.converted import seen_through_rules
    from formers.hub import Source, split_hub_keywords
    from formers.hub.card import licence_of

    hub, options = split_hub_keywords(options)
    _refuse_gone(options)
    _notice_no_effect(options)
    given = {key: options.pop(key) for key in _OPTIONS if key in options}
    state_dict = given.pop("state_dict", None)
    shared = _shared(given)
    under = None if name is None or state_dict is not None else beneath(name, hub)
    if under is not None:
        found = load_pretrained(cls, under[0], args, {**options, **given, **under[1]})
        (found[0] if isinstance(found, tuple) else found).load_adapter(name, **hub)
        return found
    source = None if name is None and state_dict is not None else Source.of(name, **hub)
    config, model_options = _config(cls, (name, hub), given.pop("config", None), options)
    set_attention(config, given)
    own = _own_quantizer(config, given)
    packing, packed = (None, False) if own else _packing(config, given)
    wanted = {key: given.pop(key) for key in ("variant", "use_safetensors") if key in given}
    header = None if source is None or state_dict is not None else source.gguf
    if header is None and packing is not None and packing.of_file:
        raise ValueError("GgufConfig keeps the numbers of a GGUF file as they are: name such a file")
    if state_dict is not None:
        files = TensorFiles.holding(state_dict)
    elif header is None:
        assert source is not None
        files = (_unpacking(config) if packed and packing is None else TensorFiles).of(
            find_weights(source, **wanted)
        )
        licence_of(source)  # notices one that forbids commercial use
    with for_a_checkpoint():
        model = cls(config, *args, **model_options)
        if own:
            own.preprocess_model(model, dtype=given.get("dtype"), device_map=given.get("device_map"))
    if header is not None:
        from formers.model.gguf import opened

        file = opened(model, header)
        files = TensorFiles([file])
    files = seen_through_rules(model, files, given.pop("key_mapping", None))
    model.name_or_path = config.name_or_path = str(name or "")
    pack = None
    if packing is not None and packing.of_file:
        from formers.quantization.kept import keep

        packing, pack = keep(model, file)
    report = _fill(model, files, given, packing, packed, pack)
    if own:
        model = own.postprocess_model(model)
    model._last_load = report
    if source is not None and model.can_generate():
        model.generation_config = _generation_config(name, hub, config)
    _finish(model, shared)
    if given.get("output_loading_info"):
        return model, report.as_dict()
    return model


def _finish(model: Any, shared: tuple[Any, ...]) -> None:
    """Note that the model has its values, and let processes share them where that is asked for."""
    mark_filled(model)
    model.eval()
    if shared:
        from formers.model.tensor_parallel import split

        split(model, *shared)


def _shared(given: dict[str, Any]) -> tuple[Any, ...]:
    """How processes share the weights: plan, size and mesh; empty where they do not."""
    plan, size, mesh = (given.pop(key, None) for key in ("tp_plan", "tp_size", "device_mesh"))
    if plan is None and size is None:
        if mesh is not None:
            raise ValueError("device_mesh says which processes share the weights of a tp_plan: give one")
        return ()
    if given.get("device_map") is not None:
        raise ValueError("tp_plan and device_map both say where weights lie: leave one out")
    return ("auto" if plan is None else plan), size, mesh


def _refuse_gone(options: dict[str, Any]) -> None:
    for key, why in _GONE.items():
        value = options.pop(key, None)
        if value is not None and value is not False:
            raise ValueError(f"{key}={value if value is True else '...'}: {why}")


def _notice_no_effect(options: dict[str, Any]) -> None:
    """Take out keywords that change nothing here; say so where one asks for something else."""
    for key, (asked, why) in _NO_EFFECT.items():
        if options.pop(key, None) is asked:
            notice(f"{key}={asked} has no effect: {why}. Leave it out.")


def _own_quantizer(config: PretrainedConfig, given: dict[str, Any]) -> Any:
    """The quantizer that somebody registered for what is asked for, with what it asks for; None for none."""
    stored, asked = getattr(config, "quantization_config", None), given.get("quantization_config")
    if not stored and asked is None:
        return None
    from formers.quantization.registered import quantizer_of

    own = quantizer_of(asked, stored)
    if own is None:
        return None
    given.pop("quantization_config", None)
    given["dtype"] = own.update_dtype(given.pop("torch_dtype", None) or given.get("dtype"))
    given["device_map"] = own.update_device_map(given.get("device_map"))
    own.validate_environment(dtype=given["dtype"], device_map=given["device_map"])
    return own


def _packing(config: PretrainedConfig, given: dict[str, Any]) -> tuple[Any, bool]:
    """How weights are stored in fewer bits (None: they are not), and whether the files have them so."""
    asked = {key: given.pop(key, None) for key in ("quantization_config", "load_in_8bit", "load_in_4bit")}
    stored = getattr(config, "quantization_config", None)
    if not stored and not any(asked.values()):
        return None, False
    from formers.quantization.formats import settled

    return settled(asked.pop("quantization_config"), stored, asked), bool(stored)


def _unpacking(config: PretrainedConfig) -> Any:
    """What opens files that are dequantised when they are read: the model has nothing packed after."""
    from formers.checkpoints.mxfp4_files import Mxfp4Files

    del config.quantization_config
    return Mxfp4Files


def _config(
    cls: Any, place: tuple[Any, dict[str, Any]], config: Any, options: dict[str, Any]
) -> tuple[PretrainedConfig, dict[str, Any]]:
    """The config with the caller's fields set, and what remains for the constructor."""
    if config is None:
        config = cls.config_class.from_pretrained(place[0], **place[1])
    elif isinstance(config, (str, Path)):
        config = cls.config_class.from_pretrained(str(config))
    else:
        import copy

        config = copy.deepcopy(config)
    known = (cls.config_class.model_type, *cls.config_class.reads)
    if cls.config_class is not PretrainedConfig and config.model_type not in known:
        notice(
            f"the checkpoint is a {config.model_type!r} model, but {cls.__name__} is for "
            f"{cls.config_class.model_type!r}; AutoModel classes choose the fitting class by themselves"
        )
    from formers.hub import HUB_KEYWORDS

    named, takes_any = _constructor_keywords(cls)
    unknown = {key: value for key, value in config.override(options).items() if key not in named}
    constructor = {key: options[key] for key in named if key in options}
    if takes_any:
        return config, {**constructor, **unknown}
    allowed = [*_OPTIONS, *_NO_EFFECT, *config.known_names(), *HUB_KEYWORDS, *named]
    try:
        refuse_unknown(unknown, allowed, f"{cls.__name__}.from_pretrained")
    except TypeError as error:  # packages look for Python's own sentence and try again without the keyword
        first = next(name for name in unknown if name not in allowed)
        raise TypeError(f"__init__() got an unexpected keyword argument {first!r}: {error}") from None
    return config, constructor


def _constructor_keywords(cls: Any) -> tuple[list[str], bool]:
    """The keywords of a class's own constructor, and whether it takes any others."""
    if cls.__init__.__module__.startswith("formers."):
        return ["add_pooling_layer", "use_mask_token"], False
    parameters = list(inspect.signature(cls.__init__).parameters.values())[2:]  # after self and config
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _fill(model: Any, files: Any, given: dict[str, Any], packing: Any, packed: bool, pack: Any = None) -> Any:
    from formers.checkpoints import load

    learns = packing is not None and not packed and getattr(packing, "dataset", None) is not None
    if packing is not None:
        from formers.quantization.attach import packer, places, replace_leaves

        if not learns and pack is None:
            turned = replace_leaves(model, packing, files if packed else None)
            pack = None if packed else packer(model, turned)
        model.config.quantization_config = packing.to_dict()
        model.is_quantized = True
        model.is_loaded_in_8bit, model.is_loaded_in_4bit = packing.load_in_8bit, packing.load_in_4bit
    dtype = given.pop("torch_dtype", None) if given.get("dtype") is None else given.get("dtype")
    prefix = model.base_model_prefix
    owns_base = model.base_model is not model
    optional = tuple(model._optional_parts())
    ruled = tables_by_rule(model)

    def may_be_new(name: str) -> bool:
        inside = not owns_base or name.startswith(prefix + ".")
        return not inside or name in ruled or name.startswith(optional)

    passed = {
        key: given[key]
        for key in ("ignore_mismatched_sizes", "offload_folder", "max_memory", "strict")
        if key in given
    }
    model._settle(files.names())
    report = load(
        model,
        files,
        renames=renames_of(model),
        ignored=(*ignored_of(model), *model._unread),
        may_be_new=may_be_new,
        ruled=ruled,
        initialise=lambda module, names: model._initialise_weights(list(names)),
        ties=model._tied_weights(),
        dtype=None if dtype in (None, "auto") else named_dtype(dtype),
        stated=_stated_dtype(model.config),
        device_map=given.get("device_map"),
        prefix=prefix,
        pack=pack,
        **passed,
    )
    if learns:
        from formers.quantization.fitting import METHODS

        METHODS[packing.quant_method](model.eval(), packing, places(model, packing))
        model.config.quantization_config = packing.to_dict()
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    return report


def _stated_dtype(config: PretrainedConfig) -> torch.dtype | None:
    """The dtype that a config names, if it is one."""
    found = getattr(torch, str(config.dtype).removeprefix("torch."), None)
    return found if isinstance(found, torch.dtype) else None


def _generation_config(name: Any, hub: dict[str, Any], config: PretrainedConfig) -> GenerationConfig:
    try:
        found: GenerationConfig = GenerationConfig.from_pretrained(name, **hub)
        return found
    except OSError:
        return GenerationConfig.from_model_config(config)
