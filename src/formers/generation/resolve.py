"""From what `generate` was called with to what its loops read: everything defaulted, checked and encoded."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.configs.defaults import SCRIPTED
from formers.core.nested import mapped
from formers.core.notices import notice, refuse_unknown
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.generation.decoder import Decoder, cache_name, taken_by
from formers.generation.process_sync import Peers
from formers.nn.cache import Cache, DynamicCache, EncoderDecoderCache, Growing, QuantizedCache, StaticCache
from formers.nn.cache.pool import Whole
from formers.nn.tree import wiring

_KEPT_BACK = ("decoder_", "cross_attn", "use_cache", "past_key_values", "cache_params")
_CACHES = ("dynamic", "static", "hybrid", "sliding_window", "offloaded", "offloaded_static", "quantized")
_KEYS = ("growing", "ring", "latent", "hybrid")  # kinds of slots
_RESERVED = 1024  # columns for which a cache takes room at once; what is longer grows


@dataclass(eq=False)
class Call:
    """One call of `generate`, settled.

    Attributes:
        model: the model.
        config: every setting, a copy.
        ids: [rows, T], int64, what the decoder has read or will read first; rows are `B * copies`.
        inputs: what else the model reads, by name, once for every prompt.
        prompt: [B, S], int64, what the encoder reads, or the decoder's own prompt.
        batch: B, the prompts.
        copies: rows of each prompt.
        limit: columns that a row may have at the end.
        eos: [K], int64, tokens that end a row; None where none does.
        pad: what stands behind the end; None where rows have no end.
        offset: columns before the first token, where the prompt came as vectors.
        processors, criteria: what shapes scores and what ends rows.
        streamer: whom tokens are handed to as they come.
        peers: other processes that go on with the same model.
        steps: what is called in place of the model where rows read one token each; None for the model.
        extras: what strategies want beside: tokenizers, an assistant.
    """

    model: Any
    config: GenerationConfig
    ids: Tensor
    inputs: dict[str, Any]
    prompt: Tensor
    batch: int
    copies: int
    limit: int
    eos: Tensor | None
    pad: int | None
    offset: int = 0
    processors: Any = None
    criteria: Any = None
    streamer: Any = None
    generator: torch.Generator | None = None
    peers: Peers | None = None
    steps: Callable[..., Any] | None = None
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder_decoder(self) -> bool:
        """Whether an encoder has read the prompt."""
        return bool(self.model.config.is_encoder_decoder)

    def decoder(self, folds: bool = False, states: bool = False) -> Decoder:
        """Something that reads the call's tokens, with its inputs and its cache; see there for `folds`.

        With `states` hidden states are returned whether or not the caller wants to see them.
        """
        config = self.config
        asks = {name: getattr(config, name) for name in ("output_attentions", "output_hidden_states")}
        shown = config.return_dict_in_generate and any(asks.values())
        asks["output_hidden_states"] |= states
        return Decoder(
            self.model,
            self.inputs,
            self.offset,
            config.prefill_chunk_size,
            asks,
            self.copies,
            folds,
            early=bool(shown or config.guidance_scale),
            peers=self.peers,
            prompts=self.ids[:: self.copies],
            steps=self.steps,
        )


# -- settings ---------------------------------------------------------------------------------------------


def settings(model: Any, given: GenerationConfig | None, kwargs: dict[str, Any]) -> GenerationConfig:
    """The caller's config, filled up from the model's; settings are taken out of `kwargs`.

    Raises:
        TypeError: for a config of another kind.
        ValueError: for settings that contradict each other.
    """
    if given is not None and not isinstance(given, GenerationConfig):
        raise TypeError(f"generation_config is a GenerationConfig, not a {type(given).__name__}")
    config = copy.deepcopy(given) if given is not None else GenerationConfig()
    own = model.generation_config
    if own is not None:
        for name, value in own.to_dict().items():
            if own.is_set(name) and not config.is_set(name):
                setattr(config, name, value)
        if own.is_from_model_config:  # settings that older scripts write into the model's config
            later = GenerationConfig.from_model_config(model.config)
            for name in SCRIPTED:
                if later.is_set(name) and not config.is_set(name):
                    setattr(config, name, getattr(later, name))
    for name in [name for name in kwargs if name in config.known_names()]:
        value = kwargs.pop(name)
        if name != "cache_config" or value is not None:
            setattr(config, name, value)
    config.validate()
    return config


def token_ids(config: GenerationConfig, device: torch.device) -> tuple[Tensor | None, int | None]:
    """The tokens that end a row, [K], int64, and what stands behind the end.

    Raises:
        ValueError: for ids that are none.
    """
    eos, pad = config.eos_token_id, config.pad_token_id
    if isinstance(eos, Tensor):
        eos = eos.tolist()
    if isinstance(eos, int):
        eos = [eos]
    if eos is not None and not all(isinstance(one, int) for one in eos):
        raise ValueError(f"eos_token_id is a number or a list of numbers, not {eos!r}")
    ends = [one for one in eos or () if one >= 0]  # -1 is how scripts say: never
    pad = int(pad) if pad is not None else (ends[0] if ends else None)
    return (torch.tensor(ends, device=device) if ends else None), pad


def lengths(model: Any, config: GenerationConfig, columns: int, vectors: int = 0, before: int = 0) -> int:
    """Settle `max_length` and `min_length` in place, and return how many columns a row may have.

    Args:
        model: for how many tokens its positions allow.
        config: the settings.
        columns: tokens of the prompt that the decoder reads.
        vectors: columns of a prompt that came as vectors, beyond those.
        before: columns that the model's positions count beyond those.

    Raises:
        ValueError: when there is no room for one more token.
    """
    chosen = config.is_set("max_length")
    if config.max_new_tokens is not None:
        if chosen:
            notice("both max_new_tokens and max_length are set: max_new_tokens counts")
        config.max_length = config.max_new_tokens + columns
    elif not chosen:
        notice(
            "generate() was not told how long to go on, so it stops after 20 new tokens: pass max_new_tokens",
            key="generate without a length",
        )
        config.max_length = config.max_length + columns
    elif vectors:
        config.max_length = config.max_length - vectors
    if config.min_new_tokens is not None:
        config.min_length = config.min_new_tokens + columns
    elif vectors and config.min_length:
        config.min_length = max(config.min_length - vectors, 0)
    limit = int(config.max_length)
    if limit <= columns:
        name = "max_length" if config.max_new_tokens is None else "max_new_tokens"
        raise ValueError(
            f"the prompt has {columns} tokens and max_length is {limit}, nothing can follow: raise {name}, "
            f"or pass max_new_tokens, which counts what is new alone"
        )
    room = room_of(model)
    if room is not None and limit + before + vectors > room:
        if columns + before + vectors >= room:
            raise ValueError(
                f"the prompt has {columns + before + vectors} tokens but the model reads {room}: cut it"
            )
        if chosen or config.max_new_tokens is not None:
            notice(
                f"the model reads {room} tokens at most, so generation ends there and not at {limit}",
                key="generate beyond the positions",
            )
        limit = room - before - vectors
        config.max_length = limit
    if config.min_length > limit:
        notice(f"min_length is {config.min_length}, but rows end at {limit} tokens")
    return limit


def room_of(model: Any) -> int | None:
    """How many columns a row of the decoder may have; None where positions have no end."""
    made = decoder_spec(model)
    room: int | None = None if made is None else getattr(made.stem, "room", None)
    return room


def decoder_spec(model: Any) -> Any:
    """The spec of the stack that predicts; None where a decoder of somebody else's stands there."""
    if not hasattr(model, "get_decoder"):  # a class of one's own
        return None
    decoder = model.get_decoder()
    while "spec" not in wiring(decoder).facts:  # a model with a head, or half of a pair
        inside = decoder.get_decoder() if hasattr(decoder, "get_decoder") else decoder
        inside = getattr(decoder, "base_model", decoder) if inside is decoder else inside
        if inside is decoder:
            return None
        decoder = inside
    return wiring(decoder).facts["spec"]


# -- inputs -----------------------------------------------------------------------------------------------


def taken_inputs(model: Any, inputs: Any, kwargs: dict[str, Any]) -> tuple[str, Any]:
    """The main input and its name, taken out of what the caller gave.

    A whole encoding as the first argument is as good as its parts by keyword.

    Raises:
        TypeError: for texts or lists.
        ValueError: for an input that is given twice.
    """
    if isinstance(inputs, Mapping):
        twice = [name for name in inputs if kwargs.get(name) is not None]
        if twice:
            raise ValueError(f"{', '.join(twice)} came both in the first argument and by keyword")
        kwargs.update(inputs)
        inputs = None
    encoder = model.get_encoder() if model.config.is_encoder_decoder else None
    name = str(getattr(encoder, "main_input_name", None) or model.main_input_name)
    named = kwargs.pop(name, None)
    if inputs is not None and named is not None:
        raise ValueError(f"the prompt came twice: as the first argument and as {name}; leave one out")
    inputs = named if inputs is None else inputs
    if inputs is not None and not isinstance(inputs, Tensor):
        if isinstance(inputs, str) or (isinstance(inputs, list) and inputs and isinstance(inputs[0], str)):
            raise TypeError(
                "generate() reads token ids: model.generate(**tokenizer(text, return_tensors='pt')) or "
                "pipeline('text-generation', model=...)(text)"
            )
        raise TypeError(
            f"generate() reads tensors, not a {type(inputs).__name__}: give the tokenizer return_tensors='pt'"
        )
    if name == "input_ids" and isinstance(inputs, Tensor):
        if inputs.dim() == 1:
            raise ValueError(
                "input_ids must be [B, T], but have one dimension: pass input_ids[None] for one prompt"
            )
        if inputs.is_floating_point():
            raise TypeError(f"input_ids must be integers, but are {inputs.dtype}")
    vectors = kwargs.get("inputs_embeds")
    if vectors is not None and name == "input_ids":
        if encoder is None:
            return "inputs_embeds", inputs
        if inputs is not None:
            raise ValueError("give one of input_ids and inputs_embeds")
        return "inputs_embeds", kwargs.pop("inputs_embeds")
    return name, inputs


def brought(model: Any, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """Bring tensors to the model's device, those of `kwargs` in place; a model in parts brings its own."""
    home = model.device
    if len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1:
        return inputs
    others: set[str] = set()

    def moved(tensor: Tensor) -> Tensor:
        if tensor.device != home:
            others.add(str(tensor.device))
        return tensor.to(home)

    inputs = mapped(moved, inputs)
    kwargs.update({name: mapped(moved, value) for name, value in kwargs.items()})
    if others:
        notice(
            f"inputs on {', '.join(sorted(others))} are copied to {home}, where the model is: pass "
            "inputs.to(model.device)",
            key="generate across devices",
        )
    return inputs


def begun(model: Any, inputs: Any, config: GenerationConfig, kwargs: Mapping[str, Any]) -> Tensor:
    """The prompt, or the token that begins a text where there is none: [B, T].

    Raises:
        ValueError: where the config does not name that token.
    """
    if inputs is not None:
        found: Tensor = inputs
        return found
    memory = kwargs.get("encoder_outputs")
    if memory is not None:
        states = memory if isinstance(memory, Tensor) else memory[0]
        return torch.full(states.shape[:2], -100, dtype=torch.int64, device=states.device)
    sizes = [len(value) for value in kwargs.values() if isinstance(value, Tensor) and value.dim()]
    batch = sizes[0] if sizes else 1
    if kwargs.get("inputs_embeds") is not None:
        return torch.empty(batch, 0, dtype=torch.int64, device=kwargs["inputs_embeds"].device)
    if config.bos_token_id is None:
        raise ValueError("there is no prompt, and no bos_token_id that could begin one: pass input_ids")
    return torch.full((batch, 1), int(config.bos_token_id), dtype=torch.int64, device=model.device)


def refuse(model: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuse keywords that neither the settings nor the model know.

    Raises:
        TypeError: naming them.
    """
    known = {*parameters(model.prepare_inputs_for_generation), *taken_by(model)}
    if model.config.is_encoder_decoder:
        known |= taken_by(model.get_encoder()) | {"decoder_input_ids"}
    unknown = {name: value for name, value in kwargs.items() if name not in known and value is not None}
    choices = [*GenerationConfig().known_names(), *known]
    refuse_unknown(unknown, choices, f"{type(model).__name__}.generate")


def settle_mask(call_inputs: dict[str, Any], ids: Tensor, eos: Tensor | None, pad: int | None) -> None:
    """Find out which tokens of a decoder's prompt are padding, and write it as `attention_mask`, [B, T].

    Without a mask, the pad token is taken for padding unless it also ends texts, which leaves it open.

    Raises:
        ValueError: for a mask of another shape.
    """
    mask = call_inputs.get("attention_mask")
    vectors = call_inputs.get("inputs_embeds")
    columns = ids.shape[1] if vectors is None else max(vectors.shape[1], ids.shape[1])
    if mask is not None:
        if mask.dim() != 2:
            raise ValueError(f"generate() takes an attention_mask [B, T], not one of {mask.dim()} dimensions")
        if mask.shape[1] < columns or mask.shape[0] != (ids.shape[0] or len(mask)):
            raise ValueError(f"attention_mask is {list(mask.shape)}, but the prompt is {[len(ids), columns]}")
        call_inputs["attention_mask"] = mask.long()
        return
    unnamed = pad is None and eos is not None
    pad = int(eos.reshape(-1)[0]) if pad is None and eos is not None else pad
    if vectors is not None or pad is None or not bool((ids == pad).any()):
        return
    if eos is not None and bool((eos == pad).any()):
        ends = ids[:, -1:], ids[:, :2]  # a text that goes on has no end, and at most one token to begin with
        if len(ids) > 1 and not (unnamed and not any(bool((e == pad).all(1).any()) for e in ends)):
            notice(
                "the prompts hold the pad token, which also ends texts, and no attention_mask: nothing "
                "is taken for padding; pass all that the tokenizer returns, model.generate(**inputs)",
                key="generate without a mask",
            )
        return
    call_inputs["attention_mask"] = (ids != pad).long()


def pad_left(call_inputs: dict[str, Any], ids: Tensor) -> Tensor:
    """Move padding from the end of a decoder's prompts to their beginning, since texts go on at the end."""
    mask = call_inputs.get("attention_mask")
    if mask is None or mask.shape != ids.shape or bool(mask[:, -1].all()):
        return ids
    notice(
        "the prompts are padded on the right, where the text goes on: padding is moved to the left; "
        "make the tokenizer with padding_side='left'",
        key="generate with padding on the right",
    )
    order = torch.argsort(mask, dim=1, stable=True)  # [B, T]: padding first, the rest as it stood
    for name in ("attention_mask", "position_ids", "token_type_ids", "cross_attention_mask"):
        value = call_inputs.get(name)
        if isinstance(value, Tensor) and value.shape[:2] == ids.shape:
            at = order.reshape(*order.shape, *(1 for _ in value.shape[2:]))
            call_inputs[name] = value.gather(1, at.expand(value.shape))
    return ids.gather(1, order)


def settle_positions(model: Any, call_inputs: dict[str, Any], ids: Tensor) -> None:
    """Count positions without padding; a mask that hides nothing is dropped, since kernels are faster so."""
    mask, assembly = call_inputs.get("attention_mask"), getattr(model, "_assembly", None)
    if assembly is not None and call_inputs.get("position_ids") is None:
        found = assembly.positions(model._owner(), {**call_inputs, "input_ids": ids})
        call_inputs.update({} if found is None else {"position_ids": found})
    if mask is None:
        return
    if bool((mask != 0).all()):
        call_inputs["attention_mask"] = None
    elif call_inputs.get("position_ids") is None and "position_ids" in taken_by(model):
        call_inputs["position_ids"] = (mask.cumsum(-1) - 1 + first_position(model)).clamp(min=0)


def first_position(model: Any) -> int:
    """The position of a text's first token."""
    made = decoder_spec(model)
    learned = None if made is None else getattr(made.stem, "positions", None)
    before = getattr(learned, "padding_idx", None)
    return int(getattr(learned, "first", 0)) if before is None else int(before) + 1


def encode(model: Any, name: str, inputs: Tensor, kwargs: dict[str, Any], config: GenerationConfig) -> None:
    """Let the encoder read the prompt once; what it returns is kept as `encoder_outputs`."""
    if kwargs.get("encoder_outputs") is not None:
        given = kwargs["encoder_outputs"]
        if not isinstance(given, ModelOutput):
            states = given if isinstance(given, Tensor) else given[0]
            kwargs["encoder_outputs"] = BaseModelOutput(states)
        return
    encoder = model.get_encoder()
    takes = taken_by(encoder)
    read = model._assembly.encoding(model._owner(), {**kwargs, name: inputs})
    given = {
        key: value
        for key, value in read.items()
        if key in takes and value is not None and not key.startswith(_KEPT_BACK)
    }
    for asked in ("output_attentions", "output_hidden_states"):
        given.update({asked: True} if getattr(config, asked) else {})
    out = encoder(**given, return_dict=True)
    kwargs["encoder_outputs"] = out
    for key in given:
        if key not in taken_by(model):
            kwargs.pop(key, None)


def decoder_start(
    model: Any, config: GenerationConfig, kwargs: dict[str, Any], name: str, batch: int
) -> Tensor:
    """What the decoder of an encoder-decoder begins with: [B, T].

    Raises:
        ValueError: where nothing says which token that is.
    """
    given = kwargs.pop("decoder_input_ids", None)
    if given is None and name != "input_ids":
        given = kwargs.pop("input_ids", None)
    start = config.decoder_start_token_id
    start = config.bos_token_id if start is None else start
    if start is None:
        if given is not None:
            return given  # type: ignore[no-any-return]  # whatever the caller calls tokens
        raise ValueError(
            "nothing says what the decoder begins with: pass decoder_start_token_id or decoder_input_ids"
        )
    device = model.device
    first = torch.as_tensor(start, device=device, dtype=torch.int64).reshape(-1, 1)
    if len(first) not in (1, batch):
        raise ValueError(f"decoder_start_token_id has {len(first)} entries, but there are {batch} prompts")
    first = first.expand(batch, 1)
    if given is None:
        return first
    if model._prepends_start and bool((given[:, 0] != first[:, 0]).all()):
        mask = kwargs.get("decoder_attention_mask")
        if mask is not None:
            kwargs["decoder_attention_mask"] = torch.cat((torch.ones_like(mask[:, :1]), mask), dim=1)
        return torch.cat((first, given), dim=1)
    return given  # type: ignore[no-any-return]  # likewise


def settle_cache(model: Any, config: GenerationConfig, inputs: dict[str, Any], limit: int) -> None:
    """Make the cache that the settings ask for, under the name that the model knows it by.

    Raises:
        ValueError: for a kind that is not offered, or one that is asked for beside a cache of one's own.
    """
    name, kind = cache_name(model), config.cache_implementation
    if inputs.get(name) is not None:
        if kind is not None:
            raise ValueError(f"give one of cache_implementation and {name}")
        if not isinstance(inputs[name], Cache) and isinstance(inputs[name], tuple | list):
            inputs[name] = DynamicCache.from_legacy_cache(inputs[name])
        return
    if not config.use_cache:
        return
    if kind not in (None, *_CACHES):
        raise ValueError(
            f"cache_implementation={kind!r} is not offered: leave it out, or choose one of "
            f"{', '.join(_CACHES)}"
        )
    if name not in ("past_key_values", "cache_params"):
        return  # a memory that is no list of slots: the model makes its own
    made = decoder_spec(model)
    slots = made.slots if made is not None else ()
    offloads = kind in ("offloaded", "offloaded_static")
    if (offloads or kind == "quantized") and slots and not any(one and one.kind in _KEYS for one in slots):
        raise ValueError(f"{type(model).__name__} keeps no keys that could be {kind}: leave it out")
    if offloads and model.device.type == "cpu":
        notice("the model is on the CPU, where an offloaded cache lies too: nothing is moved")
    if kind in ("static", "offloaded_static"):
        room = max(limit, config.max_cache_len or 0)
        own: Cache = StaticCache(model.config.get_text_config(decoder=True), room, offloads)
    elif kind == "quantized":
        own = QuantizedCache(**_quantized(config.cache_config))
    else:
        own = DynamicCache(offloading=offloads)
        if not offloads:  # its other slots replace these where they must
            own.slots = [Growing(min(limit, _RESERVED)) for _ in slots]
    inputs[name] = EncoderDecoderCache(own) if model.config.is_encoder_decoder else own


def _quantized(given: Any) -> dict[str, Any]:
    """What `cache_config` says of a quantized cache.

    Raises:
        TypeError: for what it does not know.
    """
    known = ("backend", "nbits", "axis_key", "axis_value", "q_group_size", "residual_length")
    if not isinstance(given, Mapping | None):
        raise TypeError(f"cache_config is a dictionary, not a {type(given).__name__}")
    options = {name: value for name, value in (given or {}).items() if name != "config"}
    refuse_unknown(options, known, "cache_config")
    return options


def keep_everything(call: Call) -> None:
    """Let a call's cache keep all tokens, so that the last ones can be taken back.

    Raises:
        ValueError: for a model that mixes what it read into a state.
    """
    cache, made = call.inputs.get(cache_name(call.model)), decoder_spec(call.model)
    if not call.config.use_cache and cache is None:
        return
    slots = made.slots if made is not None else ()
    if not isinstance(cache, Cache) or any(
        one is not None and one.kind in ("recurrent", "hybrid") for one in slots
    ):
        raise ValueError(
            f"{type(call.model).__name__} cannot take back what it read, since it is mixed into a state: "
            "leave out what drafts tokens, such as assistant_model or prompt_lookup_num_tokens"
        )
    for i, slot in enumerate(cache.slots):
        if type(slot) is Growing and not slot.length:
            cache.slots[i] = Whole(slot.capacity)


def parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    """What a function takes, by name."""
    return inspect.signature(function).parameters
