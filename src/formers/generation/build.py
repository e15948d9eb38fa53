"""Which processors and criteria a GenerationConfig asks for, in the order in which they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.core.notices import notice
from formers.generation import stopping as s
from formers.generation.processors import (
    base,
    bias,
    guidance,
    lengths,
    repetition,
    structured,
    values,
    warpers,
)
from formers.generation.processors.base import require
from formers.generation.structure import NAMES, Structure, structure_of
from formers.generation.watermarks import watermark_of

L = TypeVar("L", base.LogitsProcessorList, s.StoppingCriteriaList)


def processors_for(
    config: GenerationConfig,
    *,
    prompt_length: int,
    encoder_ids: Tensor | None = None,
    prefix_allowed_tokens_fn: Callable[[int, Tensor], Iterable[int]] | None = None,
    model: Any = None,
    model_inputs: dict[str, Any] | None = None,
    negative_prompt_ids: Tensor | None = None,
    negative_prompt_attention_mask: Tensor | None = None,
    device: torch.device | str | None = None,
    own: Iterable[Any] | None = None,
    tokenizer: Any = None,
) -> base.LogitsProcessorList:
    """The processors of a call of `generate`.

    Args:
        config: settings with their final lengths.
        prompt_length: tokens that each row begins with.
        encoder_ids: what an encoder read, [B, S]; None where that was no text.
        prefix_allowed_tokens_fn: what may follow a text.
        model: whose text is written; guidance and watermarks need it.
        model_inputs: masks of the prompt, by name, with a row for each row of scores.
        negative_prompt_ids: for guidance, [B, N].
        negative_prompt_attention_mask: what of those counts.
        device: where scores will lie.
        own: the caller's processors. One takes the place of the one of its class that the settings ask for.
        tokenizer: for a text of a given form.

    Raises:
        ValueError: a setting makes no sense.
    """
    model_config = getattr(model, "config", None)
    mask = (model_inputs or {}).get(
        "decoder_attention_mask" if getattr(model_config, "is_encoder_decoder", False) else "attention_mask"
    )
    out = base.LogitsProcessorList()
    if config.guidance_scale not in (None, 1):
        require(model is not None, "guidance_scale needs a model for its second pass")
        out.append(
            guidance.UnbatchedClassifierFreeGuidanceLogitsProcessor(
                config.guidance_scale,
                model,
                negative_prompt_ids,
                negative_prompt_attention_mask,
                use_cache=config.use_cache,
            )
        )
    out += _against_repetition(config, encoder_ids, mask)
    out += _of_ends(config, prompt_length, prefix_allowed_tokens_fn, device)
    structure = structure_for(config, tokenizer)
    if structure is not None:
        out.append(
            structured.StructuredOutputLogitsProcessor(
                structure, config.eos_token_id, _begin(config, prompt_length), config.num_beams
            )
        )
    out = merged(out, own)
    if config.do_sample:
        out += _warpers(config)
    if config.watermarking_config is not None:
        if model_config is None:
            raise ValueError("a watermark needs a model, for the size of its vocabulary")
        size = model_config.get_text_config().vocab_size
        out.append(watermark_of(config.watermarking_config).construct_processor(size, device))
    if config.renormalize_logits:
        out.append(values.LogitNormalization())
    return out


def _against_repetition(
    config: GenerationConfig, encoder_ids: Tensor | None, mask: Tensor | None
) -> Iterable[base.LogitsProcessor]:
    source = encoder_ids
    if source is not None and (source.dim() != 2 or bool((source < 0).any())):
        source = None
    if config.sequence_bias is not None:
        yield bias.SequenceBiasLogitsProcessor(config.sequence_bias)
    if config.num_beam_groups > 1 and config.diversity_penalty != 0:
        yield repetition.HammingDiversityLogitsProcessor(
            config.diversity_penalty, config.num_beams, config.num_beam_groups
        )
    if config.encoder_repetition_penalty != 1:
        if source is None:
            _without_source("encoder_repetition_penalty")
        else:
            yield repetition.EncoderRepetitionPenaltyLogitsProcessor(
                config.encoder_repetition_penalty, source
            )
    if config.repetition_penalty != 1:
        # padding on the left is nothing that was said
        starts = None if mask is None or mask.dim() != 2 else (mask != 0).int().argmax(1)
        if starts is not None and not bool(starts.any()):
            starts = None
        yield repetition.RepetitionPenaltyLogitsProcessor(config.repetition_penalty, starts)
    if config.no_repeat_ngram_size != 0:
        yield repetition.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size)
    if config.encoder_no_repeat_ngram_size != 0:
        if source is None:
            _without_source("encoder_no_repeat_ngram_size")
        else:
            yield repetition.EncoderNoRepeatNGramLogitsProcessor(config.encoder_no_repeat_ngram_size, source)


def _without_source(setting: str) -> None:
    notice(f"{setting} compares with the ids that an encoder read, and there are none: it changes nothing.")


def _of_ends(
    config: GenerationConfig,
    prompt_length: int,
    allowed: Callable[[int, Tensor], Iterable[int]] | None,
    device: torch.device | str | None,
) -> Iterable[base.LogitsProcessor]:
    end = config.eos_token_id
    if config.bad_words_ids is not None:
        yield bias.NoBadWordsLogitsProcessor(config.bad_words_ids, end)
    if config.min_length != 0 and end is not None:
        yield lengths.MinLengthLogitsProcessor(config.min_length, end, device)
    if config.min_new_tokens not in (None, 0) and end is not None:
        yield lengths.MinNewTokensLengthLogitsProcessor(prompt_length, config.min_new_tokens, end, device)
    if allowed is not None:
        yield bias.PrefixConstrainedLogitsProcessor(allowed, config.num_beams)
    if config.forced_bos_token_id is not None:
        yield lengths.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id)
    if config.forced_eos_token_id is not None:
        yield lengths.ForcedEOSTokenLogitsProcessor(config.max_length, config.forced_eos_token_id, device)
    if config.remove_invalid_values:
        yield values.InfNanRemoveLogitsProcessor()
    if config.exponential_decay_length_penalty is not None:
        require(
            end is not None, "exponential_decay_length_penalty needs eos_token_id, which it makes likelier"
        )
        yield lengths.ExponentialDecayLengthPenalty(
            config.exponential_decay_length_penalty, end, prompt_length
        )
    if config.suppress_tokens is not None:
        yield bias.SuppressTokensLogitsProcessor(config.suppress_tokens, device)
    if config.begin_suppress_tokens is not None:
        begin = _begin(config, prompt_length)
        yield bias.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin, device)


def _begin(config: GenerationConfig, prompt_length: int) -> int:
    """Where the text begins: behind the prompt and a forced first token."""
    return prompt_length + (prompt_length <= 1 and config.forced_bos_token_id is not None)


def structure_for(config: GenerationConfig, tokenizer: Any) -> Structure | None:
    """What the settings say the text may be, compiled; None where they say nothing.

    Raises:
        ValueError: it makes no sense, or there is no tokenizer.
    """
    given = {name: getattr(config, name) for name in NAMES}
    if not any(value is not None and value is not False for value in given.values()):
        return None
    require(
        tokenizer is not None,
        f"{', '.join(name for name, value in given.items() if value is not None)} is about text: give "
        "generate the model's tokenizer, tokenizer=...",
    )
    require(
        config.constraints is None and config.force_words_ids is None,
        "constraints and force_words_ids put words where the form of the text may forbid them: leave one out",
    )
    return structure_of(tokenizer, **given)


def _warpers(config: GenerationConfig) -> Iterable[base.LogitsProcessor]:
    least = 1
    if config.num_beams > 1:  # something beside the ends, with which each beam can go on
        ends = config.eos_token_id
        least = 2 if ends is None or isinstance(ends, int) else len(ends) + 1
    if config.temperature != 1:
        yield warpers.TemperatureLogitsWarper(config.temperature)
    if config.top_h is not None:
        yield warpers.TopHLogitsWarper(config.top_h)
    if config.top_k != 0:
        yield warpers.TopKLogitsWarper(config.top_k, min_tokens_to_keep=least)
    if config.top_p != 1:
        yield warpers.TopPLogitsWarper(config.top_p, min_tokens_to_keep=least)
    if config.min_p is not None:
        yield warpers.MinPLogitsWarper(config.min_p, min_tokens_to_keep=least)
    if config.typical_p != 1:
        yield warpers.TypicalLogitsWarper(config.typical_p, min_tokens_to_keep=least)
    if config.epsilon_cutoff != 0:
        yield warpers.EpsilonLogitsWarper(config.epsilon_cutoff, min_tokens_to_keep=least)
    if config.eta_cutoff != 0:
        yield warpers.EtaLogitsWarper(config.eta_cutoff, min_tokens_to_keep=least)


def criteria_for(
    config: GenerationConfig,
    tokenizer: Any = None,
    max_length: int | None = None,
    own: Iterable[Any] | None = None,
    *,
    max_position_embeddings: int | None = None,
) -> s.StoppingCriteriaList:
    """The criteria of a call of `generate`.

    Args:
        config: settings.
        tokenizer: for stop strings.
        max_length: tokens of a row, the prompt's too.
        own: the caller's criteria. One takes the place of the one of its class that the settings ask for.
        max_position_embeddings: how many positions the model knows, where it knows a number.

    Raises:
        ValueError: there are stop strings and no tokenizer.
    """
    out = s.StoppingCriteriaList()
    if max_length is not None:
        out.append(s.MaxLengthCriteria(max_length, max_position_embeddings))
    if config.max_time is not None:
        out.append(s.MaxTimeCriteria(config.max_time))
    if config.stop_strings is not None:
        require(
            tokenizer is not None,
            "stop_strings are found in text: give generate the model's tokenizer, tokenizer=...",
        )
        out.append(s.StopStringCriteria(tokenizer, config.stop_strings))
    if config.eos_token_id is not None:
        out.append(s.EosTokenCriteria(config.eos_token_id))
    if config.is_assistant and (config.assistant_confidence_threshold or 0) > 0:
        out.append(s.ConfidenceCriteria(config.assistant_confidence_threshold))
    return merged(out, own)


def merged(made: L, own: Iterable[Any] | None) -> L:
    """`made` with the caller's `own` in it: in the place of one of the same class, or at the end."""
    mine = list(own or ())
    taken = []
    out = type(made)()
    for one in made:
        same = next((other for other in mine if type(other) is type(one)), None)
        if same is not None:
            notice(f"The settings ask for a {type(one).__name__} and one was passed too: the latter is used.")
            taken.append(same)
        out.append(one if same is None else same)
    out.extend(one for one in mine if not any(one is other for other in taken))
    return out
