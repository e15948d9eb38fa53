"""Attention functions of one's own, in the form that code for the ecosystem writes them.

AttentionInterface.register("mine", function)         # function(module, query, key, value, mask, ...)
AttentionMaskInterface.register("mine", sdpa_mask)    # else it is told of no mask
AutoModel.from_pretrained(name, attn_implementation="mine")
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.notices import notice
from formers.nn import attend
from formers.nn.attend import Backend, Scores, Unsupported
from formers.nn.dropout import drop
from formers.nn.mask_functions import ALL_MASK_ATTENTION_FUNCTIONS, Functions, added
from formers.nn.masks import Causal, Full
from formers.nn.recording import recording


class Called:
    """What a function is told of the module that attends, beside what that module has itself."""

    def __init__(self, node: Any, layer: int, spec: Any) -> None:
        self._node = node
        self.layer_idx, self.is_causal = layer, isinstance(spec.mask, Causal)
        self.num_key_value_groups = spec.heads.query // spec.heads.key_value
        self.head_dim = spec.heads.width
        self.sliding_window = getattr(spec.mask, "window", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_node"], name)


class Own:
    """A backend that calls a function of somebody's own, and counts its calls."""

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function, self.calls = name, function, 0

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, Tensor | None]:
        """Refuse: only plain attention says which module asks.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(
            f"attn_implementation={self.name!r} is a function of your own, and this model's attention is not "
            "of the form that such functions compute; use 'eager' or 'sdpa'"
        )

    def of(self, node: Any, layer: int, spec: Any) -> attend.Backend:
        """The backend for one module's calls."""
        asks = Called(node, layer, spec)

        def mix(q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, Tensor | None]:
            if not recording():
                self.calls += 1
            more = {"softcap": scores.softcap, "s_aux": scores.sinks, "sliding_window": asks.sliding_window}
            made = self.function(
                asks,
                q,
                k,
                v,
                self._mask(q, k, scores),
                scaling=q.shape[-1] ** -0.5 if scores.scale is None else scores.scale,
                dropout=scores.dropout,
                **{name: value for name, value in more.items() if value is not None},
            )
            mixed, weights = made if isinstance(made, tuple) else (made, None)
            return mixed.view(q.shape[0], q.shape[2], q.shape[1], -1).transpose(1, 2), weights

        return mix

    def _mask(self, q: Tensor, k: Tensor, scores: Scores) -> Any:
        """What the mask function of the same name makes; biases of scores are added to it."""
        function = ALL_MASK_ATTENTION_FUNCTIONS.get(self.name)
        if function is None and scores.bias is None:
            return None
        held = scores.mask
        made = None
        if function is not None:
            made = function(
                batch_size=q.shape[0],
                q_length=q.shape[2],
                kv_length=k.shape[2],
                q_offset=int(scores.query[0]),
                kv_offset=int(scores.key[0]),
                mask_function=lambda row, head, query, key: held.allowed(row, query, key),
                attention_mask=None,
                allow_is_causal_skip=scores.bias is None and attend.plain_causal(scores),
                allow_is_bidirectional_skip=isinstance(held, Full),
                dtype=q.dtype,
                config=None,
                device=q.device,
            )
        if scores.bias is None or made is None:
            return made if scores.bias is None else scores.bias
        if not isinstance(made, Tensor):
            raise Unsupported(f"this model adds to its scores, and the masks of {self.name!r} are no tensors")
        return scores.bias + (added(made, q.dtype) if made.dtype == torch.bool else made)


def without_own(backend: Backend, what: str) -> Backend:
    """A backend of the library's for attention that no function of somebody's own can compute.

    Where one was chosen it is passed over, and that is said once.

    Args:
        backend: what was chosen.
        what: how it attends, "attention in windows".
    """
    if not isinstance(backend, Own):
        return backend
    _say(backend.name, f"{what} is of another form than such functions compute")
    return attend.eager


def calls_of(name: str | None) -> int | None:
    """How often the function of that name was called; None for a backend of the library's."""
    own = None if name is None else attend.BACKENDS.get(name)
    return own.calls if isinstance(own, Own) else None


def say_uncalled(name: str | None, before: int | None, who: str) -> None:
    """Say it once where a function of somebody's own was chosen and a whole pass did not call it.

    Args:
        name: what was chosen.
        before: what `calls_of` said of it when the pass began.
        who: the class of the model that ran.
    """
    if before is not None and calls_of(name) == before and not recording():
        _say(str(name), f"nothing in {who} attends in the form that such functions compute")


def _say(name: str, why: str) -> None:
    notice(f"attn_implementation={name!r} is a function of your own, and is not called here: {why}")


def eager_attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention written out (arXiv:1706.03762, section 3.2).

    Args:
        module: says by `training` whether weights are dropped.
        query: [B, H, T, D].
        key: [B, G, S, D], each head for H / G of queries.
        value: likewise.
        attention_mask: [B or 1, 1 or H, T, S], added to the scores, or bool and true at what is seen.
        scaling: factor on the scores; 1/sqrt(D) by default.
        dropout: share of weights that is dropped in training.
        softcap: scores become c * tanh(scores / c).
        s_aux: [H], one more logit per head, which takes weight and gives nothing.

    Returns:
        [B, T, H, D], and the weights [B, H, T, S].
    """
    key, value = attend.spread(key, query.shape[1]), attend.spread(value, query.shape[1])
    logits = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    if attention_mask is not None:
        mask = attention_mask[..., : key.shape[2]]
        logits = logits + (added(mask, logits.dtype) if mask.dtype == torch.bool else mask)
    if s_aux is not None:
        extra = s_aux.to(logits.dtype)[None, :, None, None].expand(*logits.shape[:-1], 1)
        logits = torch.cat((logits, extra), -1)
    weights = logits.softmax(-1, dtype=torch.float32).to(query.dtype)[..., : key.shape[2]]
    kept = drop(weights, dropout) if dropout and getattr(module, "training", False) else weights
    return (kept @ value).transpose(1, 2).contiguous(), weights


def sdpa_attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention through torch's fused kernels; arguments as for `eager_attention_forward`.

    Without a mask it is causal where `is_causal` or the module says so and there is more than one query.

    Raises:
        Unsupported: where scores are capped or have sinks.
    """
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise Unsupported("sdpa has no soft cap and no sinks; use 'eager'")
    if is_causal is None:
        is_causal = bool(getattr(module, "is_causal", True)) and query.shape[2] > 1
    mask = None if attention_mask is None else attention_mask[..., : key.shape[2]]
    mixed = F.scaled_dot_product_attention(
        query,
        key,
        value,
        mask,
        dropout,
        is_causal and mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return mixed.transpose(1, 2).contiguous(), None


class AttentionInterface(Functions):
    """Attention functions by name; models use those that are registered as `attn_implementation`."""

    _known: ClassVar[dict[str, Any]] = {"sdpa": sdpa_attention_forward, "eager": eager_attention_forward}
    _what = "attention function"

    def __setitem__(self, name: str, function: Any) -> None:
        super().__setitem__(name, function)
        if self is ALL_ATTENTION_FUNCTIONS:
            attend.add_backend(name, Own(name, function))

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        if self is ALL_ATTENTION_FUNCTIONS:
            attend.remove_backend(name)
            if name in self._known:
                attend.add_backend(name, Own(name, self._known[name]))

    @classmethod
    def register(cls, key: str, value: Any) -> None:
        """Make a function known by name, to models too.

        Raises:
            ValueError: for a name that models compute by themselves.
        """
        attend.add_backend(key, Own(key, value))
        super().register(key, value)

    def get_interface(self, attn_implementation: str | None, default: Any) -> Any:
        """The function of that name, or `default` where none is named or it is "eager".

        Raises:
            KeyError: for a name that is not known.
        """
        if attn_implementation in (None, "eager"):
            return self._own.get("eager", default)
        return self[str(attn_implementation)]


ALL_ATTENTION_FUNCTIONS = AttentionInterface()
