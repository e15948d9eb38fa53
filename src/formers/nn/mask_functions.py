"""Masks in the form that code for the ecosystem writes them: functions of (row, head, query, key) -> bool.

The same predicates as the values of `masks`, made for arguments that are positions and broadcast. The
functions that begin with `create` write a mask out for a layer of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from functools import reduce
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from formers.core.notices import did_you_mean, refuse_unknown
from formers.nn.masks import Causal, CausalChunk, Full, Mask, Padding, Segments, Window
from formers.nn.recording import recording

Seen = Callable[[Any, Any, Any, Any], Any]


def _seen_by(mask: Mask) -> Seen:
    """The predicate of a mask as a function of row, head, query and key."""

    def seen(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
        return mask.allowed(batch_idx, q_idx, kv_idx)

    return seen


def causal_mask_function(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
    """A query sees the keys at and before its own position."""
    return Causal().allowed(batch_idx, q_idx, kv_idx)


def bidirectional_mask_function(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
    """A query sees every key."""
    return Full().allowed(batch_idx, q_idx, kv_idx)


def and_masks(*mask_functions: Seen) -> Seen:
    """What all of the functions let be seen."""
    _refuse_strange(mask_functions)
    return lambda *at: reduce(lambda one, other: one & other, (seen(*at) for seen in mask_functions))


def or_masks(*mask_functions: Seen) -> Seen:
    """What any of the functions lets be seen."""
    _refuse_strange(mask_functions)
    return lambda *at: reduce(lambda one, other: one | other, (seen(*at) for seen in mask_functions))


def _refuse_strange(functions: tuple[Any, ...]) -> None:
    if not functions:
        raise ValueError("there is no mask function to combine")
    for one in functions:
        if not callable(one):
            raise TypeError(f"a mask function takes (row, head, query, key); {one!r} is none")


def sliding_window_overlay(sliding_window: int) -> Seen:
    """The last `sliding_window` keys before a query, its own included, and all behind it."""
    return lambda batch_idx, head_idx, q_idx, kv_idx: kv_idx > q_idx - sliding_window


def sliding_window_causal_mask_function(sliding_window: int) -> Seen:
    """The last `sliding_window` keys up to a query, its own included."""
    return _seen_by(Causal(sliding_window))


def sliding_window_bidirectional_mask_function(sliding_window: int) -> Seen:
    """The keys at most `sliding_window` positions away, on both sides."""
    return _seen_by(Window(sliding_window))


def chunked_overlay(chunk_size: int, left_padding: Tensor) -> Seen:
    """The keys of a query's own chunk, counted from the first real token: `left_padding` is [B], int64."""

    def seen(batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
        before = left_padding[batch_idx]
        return (q_idx - before) // chunk_size == (kv_idx - before) // chunk_size

    return seen


def chunked_causal_mask_function(chunk_size: int, left_padding: Tensor) -> Seen:
    """The keys of a query's own chunk, up to the query; `left_padding` as for `chunked_overlay`."""
    return and_masks(chunked_overlay(chunk_size, left_padding), causal_mask_function)


def padding_mask_function(padding_mask: Tensor) -> Seen:
    """The keys that hold a real token: `padding_mask` is [B, S], 1 where they do."""
    return _seen_by(Padding(padding_mask.bool()))


def packed_sequence_mask_function(packed_sequence_mask: Tensor) -> Seen:
    """The keys of a query's own sequence, of several end to end: numbers [B, S] tell them apart."""
    return _seen_by(Segments(packed_sequence_mask))


def prepare_padding_mask(attention_mask: Tensor | None, kv_length: int, kv_offset: int) -> Tensor | None:
    """A mask of padding [B, S] made as long as the keys, zeros behind; None stays."""
    missing = 0 if attention_mask is None else kv_length + kv_offset - attention_mask.shape[-1]
    if attention_mask is None or missing <= 0:
        return attention_mask
    return torch.nn.functional.pad(attention_mask, (0, missing))


def find_packed_sequence_indices(position_ids: Tensor) -> Tensor | None:
    """Numbers [B, T] of the sequences that lie end to end in a row: one begins where positions jump.

    Args:
        position_ids: [B, T], int64.

    Returns:
        None where every row is one sequence.
    """
    before = torch.cat((position_ids[:, :1] - 1, position_ids[:, :-1]), dim=1)
    numbers = (position_ids - before != 1).cumsum(1)
    return numbers if recording() or bool(numbers.any()) else None


def sdpa_mask(
    batch_size: int,
    q_length: int | None = None,
    kv_length: int | None = None,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Seen = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    use_vmap: bool = False,
    device: torch.device | str | None = None,
    *,
    cache_position: Tensor | None = None,
    **_: Any,
) -> Tensor | None:
    """A mask written out as booleans, as torch's fused attention takes it.

    Args:
        batch_size: B.
        q_length: how many queries there are, T.
        kv_length: how many keys, S.
        q_offset: position of the first query.
        kv_offset: of the first key.
        mask_function: which keys are seen.
        attention_mask: [B, S], 1 at real tokens; None where there is no padding.
        local_size: how far the function reaches back, where it is not everything.
        allow_is_causal_skip: None may stand for a plain causal mask.
        allow_is_bidirectional_skip: None may stand for a mask that hides nothing.
        use_vmap: call the function with one position at a time, for those that do not broadcast.
        device: where it is made; that of `attention_mask` by default.
        cache_position: [T], the positions of the queries: the older way to say the first two.

    Returns:
        [B, 1, T, S], bool, true where a key is seen; None where that is allowed and says the same.
    """
    if cache_position is not None:
        q_length, q_offset = len(cache_position), int(cache_position[0])
    if q_length is None or kv_length is None:
        raise ValueError("a mask needs its numbers of queries and keys, q_length and kv_length")
    if device is None:
        device = "cpu" if attention_mask is None else attention_mask.device
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    hidden = padding is not None and not bool(padding[:, kv_offset : kv_offset + kv_length].all())
    near = local_size is not None and kv_length >= local_size
    plain = (allow_is_causal_skip and q_length in (1, kv_length)) or allow_is_bidirectional_skip
    if plain and not (recording() or hidden or near):
        return None
    if padding is not None:
        mask_function = and_masks(mask_function, padding_mask_function(padding.to(device)))
    at = (
        torch.arange(batch_size, device=device),
        torch.arange(1, device=device),
        torch.arange(q_length, device=device) + q_offset,
        torch.arange(kv_length, device=device) + kv_offset,
    )
    if use_vmap:
        return _one_by_one(mask_function, at)
    rows, heads, queries, keys = at
    made = mask_function(
        rows[:, None, None, None],
        heads[None, :, None, None],
        queries[None, None, :, None],
        keys[None, None, None, :],
    )
    return cast(Tensor, made).expand(batch_size, -1, q_length, kv_length)


def _one_by_one(seen: Seen, at: tuple[Tensor, ...]) -> Tensor:
    """The function at every place, called with positions that have no axes: [B, 1, T, S]."""
    from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex

    for axes in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None), (0, None, None, None)):
        seen = torch.vmap(seen, in_dims=axes, out_dims=0)
    with TransformGetItemToIndex():
        return cast(Tensor, seen(*at))


def eager_mask(
    batch_size: int,
    q_length: int | None = None,
    kv_length: int | None = None,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Seen = causal_mask_function,
    attention_mask: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    allow_is_bidirectional_skip: bool = False,
    **options: Any,
) -> Tensor | None:
    """A mask that is added to scores: [B, 1, T, S], 0 where a key is seen, else the least number of `dtype`.

    Arguments as for `sdpa_mask`. None where it hides nothing and `allow_is_bidirectional_skip`.
    """
    options["allow_is_causal_skip"] = False
    seen = sdpa_mask(
        batch_size,
        q_length,
        kv_length,
        q_offset,
        kv_offset,
        mask_function,
        attention_mask,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip,
        **options,
    )
    return None if seen is None else added(seen, dtype)


def added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask as what is added to scores: 0, or the least number of `dtype`."""
    return torch.zeros((), dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)


class Functions(MutableMapping[str, Any]):
    """Functions by name. What a copy of it sets is its own; `register` makes one known to all copies."""

    _known: ClassVar[dict[str, Any]] = {}
    _what: ClassVar[str] = "function"

    def __init__(self) -> None:
        self._own: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name]
        if name not in self._known:
            raise KeyError(f"there is no {self._what} {name!r}{did_you_mean(name, self.valid_keys())}")
        return self._known[name]

    def __setitem__(self, name: str, function: Any) -> None:
        self._own[name] = function

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._known, **self._own})

    def __len__(self) -> int:
        return len({**self._known, **self._own})

    @classmethod
    def register(cls, key: str, value: Any) -> None:
        """Make a function known by name."""
        cls._known[key] = value

    def valid_keys(self) -> list[str]:
        """All names."""
        return list(self)


class AttentionMaskInterface(Functions):
    """What writes masks out for an attention function of the same name; see `sdpa_mask`."""

    _known: ClassVar[dict[str, Any]] = {"sdpa": sdpa_mask, "eager": eager_mask}
    _what = "mask function"


ALL_MASK_ATTENTION_FUNCTIONS = AttentionMaskInterface()


def create_causal_mask(config: Any, *args: Any, **options: Any) -> Any:
    """The mask of a layer in which a query sees the keys up to itself.

    Args:
        config: its `_attn_implementation` names the form, a key of `ALL_MASK_ATTENTION_FUNCTIONS`.
        *args: the first of the options, by place.
        **options: `inputs_embeds` [B, T, E], whose shape, dtype and device count; `attention_mask` [B, S],
            1 at real tokens, or a mask of four dimensions, which is returned as it is; `past_key_values`;
            `position_ids` [B, T]; `or_mask_function`, `and_mask_function`: what else is seen, what of all
            is; `allow_is_causal_skip`: whether None may stand for the plain mask.

    Returns:
        What the form's function returns; None where it has none.

    Raises:
        TypeError: for an argument that is not known.
    """
    return _create(causal_mask_function, None, config, *args, **options)


def create_sliding_window_causal_mask(config: Any, *args: Any, **options: Any) -> Any:
    """As `create_causal_mask`, of the last `config.sliding_window` keys alone."""
    size = _size_of(config, "sliding_window")
    return _create(sliding_window_causal_mask_function(size), size, config, *args, **options)


def create_chunked_causal_mask(config: Any, *args: Any, **options: Any) -> Any:
    """As `create_causal_mask`, of a query's own chunk of `config.attention_chunk_size` keys alone."""
    size, told = _size_of(config, "attention_chunk_size"), options.get("attention_mask")
    given = told if told is not None or len(args) < 2 else args[1]
    if isinstance(given, Tensor) and given.dim() == 2:
        seen = chunked_causal_mask_function(size, (given.cumsum(-1) == 0).sum(-1))
    else:
        seen = _seen_by(CausalChunk(size=size))
    return _create(seen, size, config, *args, **options)


def create_bidirectional_mask(config: Any, *args: Any, **options: Any) -> Any:
    """As `create_causal_mask`, of all keys; `encoder_hidden_states` [B, S, E] are those read across."""
    return _create(bidirectional_mask_function, None, config, *args, causal=False, **options)


def create_masks_for_generate(
    config: Any,
    inputs_embeds: Tensor | None = None,
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    position_ids: Tensor | None = None,
    or_mask_function: Seen | None = None,
    and_mask_function: Seen | None = None,
    block_sequence_ids: Tensor | None = None,
    **older: Any,
) -> Any:
    """The mask that a decoder is called with while it writes.

    Layers here know themselves which keys they see, so what marks padding is all that they need, and
    `attention_mask` is returned. With functions of one's own all layers get one mask of four dimensions.

    Args:
        config: of the model; that of its text counts where it has several.
        inputs_embeds: [B, T, E], whose shape, dtype and device count.
        attention_mask: [B, S], 1 at real tokens, or a mask of four dimensions, which is returned as it is.
        past_key_values: what was read before.
        position_ids: [B, T], int64.
        or_mask_function: what else is seen.
        and_mask_function: what of all is.
        block_sequence_ids: not taken.
        **older: `input_embeds` and `cache_position`, which say the same, and `token_type_ids`, which models
            read themselves.

    Raises:
        TypeError: for an argument that is not known.
        ValueError: for functions of one's own where layers see different keys, and for `block_sequence_ids`.
    """
    refuse_unknown(older, ("input_embeds", "cache_position", "token_type_ids"), "create_masks_for_generate")
    if block_sequence_ids is not None:
        raise ValueError(
            "block_sequence_ids are not taken here: give the model token_type_ids, or a mask [B, 1, T, S]"
        )
    if or_mask_function is None and and_mask_function is None:
        return attention_mask
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ())
    makers = {
        "full_attention": create_causal_mask,
        "sliding_attention": create_sliding_window_causal_mask,
        "chunked_attention": create_chunked_causal_mask,
    }
    if not kinds:
        windowed, chunked = (getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size"))
        kinds = {"sliding_attention" if windowed else "chunked_attention" if chunked else "full_attention"}
    if len(kinds) > 1 or not kinds <= makers.keys():
        raise ValueError(
            f"layers of the kinds {', '.join(sorted(kinds))} see different keys, and a model takes one mask: "
            "leave or_mask_function and and_mask_function out, or write an attention function of your own"
        )
    older.pop("token_type_ids", None)
    return makers[kinds.pop()](
        text,
        inputs_embeds,
        attention_mask,
        past_key_values,
        position_ids,
        or_mask_function=or_mask_function,
        and_mask_function=and_mask_function,
        **older,
    )


def _size_of(config: Any, name: str) -> int:
    size = getattr(config, name, None)
    if size is None:
        raise ValueError(f"the config says no {name}, which this mask is made by")
    return int(size)


def _create(
    seen: Seen,
    local_size: int | None,
    config: Any,
    inputs_embeds: Tensor | None = None,
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    position_ids: Tensor | None = None,
    or_mask_function: Seen | None = None,
    and_mask_function: Seen | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = True,
    *,
    causal: bool = True,
    input_embeds: Tensor | None = None,
    cache_position: Tensor | None = None,
    encoder_hidden_states: Tensor | None = None,
) -> Any:
    """See `create_causal_mask`; `input_embeds` and `cache_position` are older ways to say the same."""
    embeds = inputs_embeds if inputs_embeds is not None else input_embeds
    if embeds is None:
        raise ValueError("a mask is made for inputs_embeds, which are missing")
    if attention_mask is not None and attention_mask.dim() == 4:
        return attention_mask
    made = ALL_MASK_ATTENTION_FUNCTIONS.get(getattr(config, "_attn_implementation", None) or "sdpa")
    if made is None:
        return None
    past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
    if cache_position is not None:
        past = int(cache_position[0])
    read = encoder_hidden_states if encoder_hidden_states is not None else embeds
    keys = read.shape[1] + (past if encoder_hidden_states is None else 0)
    plain = or_mask_function is None and and_mask_function is None
    if or_mask_function is not None:
        seen = or_masks(seen, or_mask_function)
    if and_mask_function is not None:
        seen = and_masks(seen, and_mask_function)
    packed = None
    if position_ids is not None and attention_mask is None and past == 0 and causal:
        packed = find_packed_sequence_indices(position_ids)
    if packed is not None:
        seen = and_masks(seen, packed_sequence_mask_function(packed.expand(embeds.shape[0], -1)))
    return made(
        batch_size=embeds.shape[0],
        q_length=embeds.shape[1],
        kv_length=keys,
        q_offset=past,
        kv_offset=0,
        mask_function=seen,
        attention_mask=None if attention_mask is None else attention_mask.bool(),
        local_size=local_size,
        allow_is_causal_skip=allow_is_causal_skip and plain and packed is None and causal,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip and plain and not causal,
        use_vmap=not plain,
        dtype=embeds.dtype,
        config=config,
        device=embeds.device,
    )
