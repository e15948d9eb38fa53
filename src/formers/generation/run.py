"""One call of `generate`, from its arguments to its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from formers.configs import GenerationConfig
from formers.configs.generation import GenerationMode
from formers.generation import resolve
from formers.generation.build import criteria_for, processors_for, structure_for
from formers.generation.compiling import compiled
from formers.generation.decoder import Decoder, cache_name, taken_by
from formers.generation.process_sync import peers_of
from formers.generation.resolve import Call
from formers.generation.token_healing import healed
from formers.nn.cache import Cache


def run(
    model: Any,
    inputs: Any,
    given: GenerationConfig | None,
    kwargs: dict[str, Any],
    extras: dict[str, Any],
    streamer: Any = None,
    generator: torch.Generator | None = None,
) -> Any:
    """Settle a call and let the loop that its settings ask for answer it.

    A streamer is told how it ended: `end()`, or `fail(error)` where it has that.
    """
    try:
        custom, own = extras.get("custom_generate"), {}
        if custom is not None:
            own = _keywords_of(custom, kwargs)
        call = settled(model, inputs, given, kwargs, extras)
        call.streamer, call.generator, call.peers = streamer, generator, peers_of(extras.get("synced_gpus"))
        _shape(call, extras)
        loop = _loop(call, extras) if custom is None else partial(_called, custom=custom, own=own)
        if streamer is not None:
            several = call.config.num_return_sequences > 1
            streamer.put((call.ids if several else call.ids[:: call.copies]).cpu())
        answer = loop(call)
        if call.peers is not None:
            call.peers.wait(model)
    except BaseException as error:
        if streamer is not None and hasattr(streamer, "fail"):
            streamer.fail(error)
        raise
    if streamer is not None:
        streamer.end()
    return answer


def settled(
    model: Any,
    inputs: Any,
    given: GenerationConfig | None,
    kwargs: dict[str, Any],
    extras: dict[str, Any],
) -> Call:
    """Everything but processors and criteria."""
    config = resolve.settings(model, given, kwargs)
    structure_for(config, extras.get("tokenizer"))  # refused, if at all, before anything is read
    name, inputs = resolve.taken_inputs(model, inputs, kwargs)
    inputs = resolve.brought(model, inputs, kwargs)
    resolve.refuse(model, kwargs)
    prompt = resolve.begun(model, inputs, config, kwargs)
    eos, pad = resolve.token_ids(config, prompt.device)
    config.eos_token_id = None if eos is None else eos.tolist()
    vectors = kwargs.get("inputs_embeds")
    batch = max(len(prompt), 0 if vectors is None else len(vectors))
    contrasts = config.get_generation_mode() is GenerationMode.CONTRASTIVE_SEARCH
    copies = config.top_k if contrasts else max(config.num_beams, config.num_return_sequences)
    offset = 0
    if model.config.is_encoder_decoder:
        if kwargs.get("attention_mask") is None and name == "input_ids":
            resolve.settle_mask(kwargs, prompt, eos, pad)
        resolve.encode(model, name, prompt, kwargs, config)
        ids = resolve.decoder_start(model, config, kwargs, name, batch)
        held = kwargs.get(cache_name(model))
        before = held.get_seq_length() if isinstance(held, Cache) else 0
        offset = before if before >= ids.shape[1] else 0  # a prefix, which no token of the text stands for
    else:
        resolve.settle_mask(kwargs, prompt, eos, pad)
        ids = resolve.pad_left(kwargs, prompt)
        resolve.settle_positions(model, kwargs, ids)
        if vectors is not None:
            config.use_cache, offset = True, vectors.shape[1] - ids.shape[1]
        elif config.token_healing:
            ids = prompt = healed(model, ids, extras.get("tokenizer"), kwargs)
    cache = kwargs.get(cache_name(model))
    limit = resolve.lengths(model, config, ids.shape[1], offset)
    if "logits_to_keep" in taken_by(model):
        kwargs.setdefault("logits_to_keep", 1)
    kwargs[model._assembly.keeps] = bool(config.use_cache)
    if cache is not None or config.use_cache:
        before = model._assembly.before(model, kwargs)
        resolve.settle_cache(model, config, kwargs, limit + offset + before)
    rows = ids.repeat_interleave(copies, 0)
    call = Call(model, config, rows, kwargs, prompt, batch, copies, limit, eos, pad, offset)
    call.extras = extras
    if not config.disable_compile:
        call.steps = compiled(model, config.compile_config, kwargs.get(cache_name(model)))
    return call


def _shape(call: Call, extras: dict[str, Any]) -> None:
    """Make the processors and the criteria."""
    call.processors = processors_for(
        call.config,
        prompt_length=call.ids.shape[1],
        encoder_ids=call.prompt if call.encoder_decoder or call.prompt.shape[1] else None,
        prefix_allowed_tokens_fn=extras.get("prefix_allowed_tokens_fn"),
        model=call.model,
        model_inputs=_masks(call),
        negative_prompt_ids=extras.get("negative_prompt_ids"),
        negative_prompt_attention_mask=extras.get("negative_prompt_attention_mask"),
        device=call.ids.device,
        own=extras.get("logits_processor"),
        tokenizer=extras.get("tokenizer"),
    )
    call.criteria = criteria_for(
        call.config, extras.get("tokenizer"), call.limit, extras.get("stopping_criteria")
    )


def _masks(call: Call) -> dict[str, Any]:
    """The masks of the prompts, with a row for each row of scores."""
    names = ("attention_mask", "decoder_attention_mask")
    held = {name: call.inputs[name] for name in names if call.inputs.get(name) is not None}
    return {name: mask.repeat_interleave(call.copies, 0) for name, mask in held.items()}


def _loop(call: Call, extras: dict[str, Any]) -> Callable[[Call], Any]:
    """The loop for the settings.

    Raises:
        ValueError: for settings that no loop takes together.
    """
    from formers.generation.strategies.assisted import assisted
    from formers.generation.strategies.beams import beams
    from formers.generation.strategies.constrained import constrained
    from formers.generation.strategies.contrastive import contrastive
    from formers.generation.strategies.dola import dola
    from formers.generation.strategies.sampling import sample

    config, assistant = call.config, extras.get("assistant_model")
    mode = config.get_generation_mode(assistant)
    for name in ("use_mtp", "speculation_type"):
        if getattr(config, name):
            raise ValueError(f"{name} is not offered: draft by assistant_model or prompt_lookup_num_tokens")
    if mode is not GenerationMode.ASSISTED_GENERATION and (assistant or config.prompt_lookup_num_tokens):
        raise ValueError(
            f"drafts of tokens serve greedy search and sampling, not {mode.value}: leave one out"
        )
    loops: dict[GenerationMode, Callable[[Call], Any]] = {
        GenerationMode.GREEDY_SEARCH: sample,
        GenerationMode.SAMPLE: sample,
        GenerationMode.BEAM_SEARCH: beams,
        GenerationMode.BEAM_SAMPLE: beams,
        GenerationMode.GROUP_BEAM_SEARCH: beams,
        GenerationMode.CONSTRAINED_BEAM_SEARCH: constrained,
        GenerationMode.CONTRASTIVE_SEARCH: contrastive,
        GenerationMode.DOLA_GENERATION: dola,
        GenerationMode.ASSISTED_GENERATION: partial(assisted, settled=settled),
    }
    return loops[mode]


def _keywords_of(custom: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords that a loop of the caller's own names, taken out of `kwargs`.

    Raises:
        TypeError: for the name of a repository.
    """
    if not callable(custom):
        raise TypeError(
            "custom_generate is a function, called with the model and what was settled; code of repositories "
            f"is never run, so {custom!r} cannot be used"
        )
    known = {*GenerationConfig().known_names(), "model", "input_ids", "logits_processor", "stopping_criteria"}
    names = [name for name in resolve.parameters(custom) if name in kwargs and name not in known]
    return {name: kwargs.pop(name) for name in names}


def _called(call: Call, custom: Callable[..., Any], own: dict[str, Any]) -> Any:
    """Let a loop of the caller's own answer: `custom(model, input_ids, logits_processor=..., ...)`."""
    inputs = Decoder(call.model, call.inputs, call.offset, copies=call.copies, early=True).inputs
    if inputs.get("attention_mask") is None and not call.encoder_decoder:  # loops look for it
        inputs["attention_mask"] = torch.ones_like(call.ids)
    handed = ("assistant_model", "tokenizer", "assistant_tokenizer")
    extras = {name: call.extras[name] for name in handed if call.extras.get(name) is not None}
    if call.streamer is not None:
        extras["streamer"] = call.streamer
    return custom(
        call.model,
        call.ids,
        logits_processor=call.processors,
        stopping_criteria=call.criteria,
        generation_config=call.config,
        synced_gpus=bool(call.extras.get("synced_gpus")),
        **extras,
        **own,
        **{name: value for name, value in inputs.items() if name not in own},
    )
