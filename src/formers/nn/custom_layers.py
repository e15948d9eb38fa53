"""What layers that somebody wrote by hand are made with, in the ecosystem's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.core.notices import did_you_mean, notice
from formers.nn.positions import RULES, Rotary

Frequencies = Callable[..., tuple[Tensor, float]]


class FlashAttentionKwargs(TypedDict, total=False):
    """Keywords about sequences end to end: where each begins, int32, and the longest one's length."""

    cu_seq_lens_q: Tensor | None
    cu_seq_lens_k: Tensor | None
    max_length_q: int | None
    max_length_k: int | None


class TransformersKwargs(FlashAttentionKwargs, total=False):
    """Keywords that models take beside their inputs, for annotations such as `Unpack[TransformersKwargs]`."""

    num_items_in_batch: Tensor | None
    output_hidden_states: bool | None
    output_attentions: bool | None
    output_router_logits: bool | None
    position_ids: Tensor | None
    is_causal: bool | None


class LossKwargs(TypedDict, total=False):
    """Keywords that losses take."""

    num_items_in_batch: Tensor | None


class GradientCheckpointingLayer(nn.Module):
    """A layer that is computed again in the backward pass, where `gradient_checkpointing_enable` was called.

    What needs a gradient is given by place. Caches do not go with it: in such a pass they are left out, which
    is said once.
    """

    gradient_checkpointing = False
    _recomputed_by_stack: ClassVar[bool] = False  # what runs the layers computes them again, call and all

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and not cls._recomputed_by_stack:
            cls.forward = _again(cls.forward)


_CACHES = {"use_cache": False, "past_key_values": None, "past_key_value": None, "layer_past": None}


def _again(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A `forward` that keeps nothing but what it reads, where its layer says so."""

    @wraps(forward)
    def run(self: GradientCheckpointingLayer, *args: Any, **keywords: Any) -> Any:
        outermost = type(self).forward is run
        if not (self.gradient_checkpointing and self.training and outermost):
            return forward(self, *args, **keywords)
        left = [name for name in _CACHES if keywords.get(name)]
        if left:
            notice(
                f"{type(self).__name__} is computed again in the backward pass: {', '.join(left)} left out"
            )
            keywords.update({name: _CACHES[name] for name in left})

        def once(*given: Any) -> Any:
            return forward(self, *given, **keywords)

        return checkpoint(once, *args, use_reentrant=False)

    return run


class _ByRule(Mapping[str, Frequencies]):
    """Rotary rules by name: each makes the frequencies of a config."""

    def __getitem__(self, name: str) -> Frequencies:
        if name not in RULES:
            raise KeyError(f"there is no rotary rule {name!r}{did_you_mean(name, RULES)}")

        def frequencies(
            config: Any, device: Any = None, seq_len: int | None = None, **_: Any
        ) -> tuple[Tensor, float]:
            rule = _rule_of(config, name)
            made, factor = RULES[name](rule, seq_len or 1)
            return made.to(device), factor

        return frequencies

    def __iter__(self) -> Iterator[str]:
        return iter(RULES)

    def __len__(self) -> int:
        return len(RULES)


# rule -> function of (config, device, seq_len) -> frequencies [D / 2], float32, and the factor on cosines
ROPE_INIT_FUNCTIONS = _ByRule()


def _rule_of(config: Any, name: str) -> Rotary:
    told = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    theta = getattr(config, "rope_theta", None)
    given = {**({} if theta is None else {"rope_theta": theta}), **told, "rope_type": name}
    share = getattr(config, "partial_rotary_factor", None)
    if share is not None:
        given.setdefault("partial_rotary_factor", share)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Rotary.of(width, given, config.max_position_embeddings)


def dynamic_rope_update(rope_forward: Callable[..., Any]) -> Callable[..., Any]:
    """Around `forward(self, x, position_ids)` of rotary embeddings: renew `inv_freq` where lengths count.

    The rules "dynamic" and "longrope" ask how long a sequence is. `self` has `rope_type`, `config` and the
    buffer `inv_freq`.
    """

    @wraps(rope_forward)
    def forward(self: Any, x: Tensor, position_ids: Tensor, *args: Any, **keywords: Any) -> Any:
        if self.rope_type in ("longrope", "dynamic") or "dynamic" in self.rope_type:
            made, factor = ROPE_INIT_FUNCTIONS[self.rope_type](
                self.config, x.device, int(position_ids.max()) + 1
            )
            self.register_buffer("inv_freq", made, persistent=False)
            self.attention_scaling = factor
        return rope_forward(self, x, position_ids, *args, **keywords)

    return forward


def prepare_fa_kwargs_from_position_ids(
    position_ids: Tensor,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Where sequences that lie end to end begin, and the longest one's length, each for queries and keys.

    Args:
        position_ids: [B, T], int64; a sequence begins where they are as small as they get.

    Returns:
        Two times beginnings [sequences + 1], int32, and two times a length.
    """
    flat = position_ids.reshape(-1)
    begins = (flat == flat.min()).nonzero().flatten()
    places = torch.cat((begins, begins.new_tensor([flat.numel()]))).to(torch.int32)
    longest = places.diff().max()
    return (places, places), (longest, longest)


def shift_tokens_right(input_ids: Tensor, pad_token_id: int, decoder_start_token_id: int) -> Tensor:
    """What a decoder reads for labels [B, T]: one place later, -100 as padding, the start in front.

    Raises:
        ValueError: where there is no padding.
    """
    if pad_token_id is None:
        raise ValueError("labels become a decoder's inputs with a pad_token_id, which is None")
    first = input_ids.new_full((input_ids.shape[0], 1), decoder_start_token_id)
    shifted = torch.cat((first, input_ids[:, :-1]), dim=1)
    return shifted.masked_fill(shifted == -100, pad_token_id)


def rope_config_validation(config: Any, ignore_keys: Any = None) -> None:
    """Refuse rotary settings of a config that no rule reads.

    Args:
        config: with `rope_parameters`, or `rope_scaling` as it was called.
        ignore_keys: settings that may stand there beside those of the rule.

    Raises:
        ValueError: for an unknown rule, or settings that it cannot be made with.
    """
    told = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if told:
        name = told.get("rope_type", told.get("type", "default"))
        if name not in RULES:
            raise ValueError(f"there is no rotary rule {name!r}{did_you_mean(name, RULES)}")
        _rule_of(config, name)
