"""A model that reads tokens step by step, and what it keeps in between."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput
from formers.generation.process_sync import Peers
from formers.nn.cache import Cache
from formers.nn.watch import watched

# by column: one entry for every token that was read
_COLUMNS = {
    "attention_mask": 1,
    "decoder_attention_mask": 1,
    "position_ids": -1,
    "decoder_position_ids": -1,
    "token_type_ids": 1,
    "cross_attention_mask": 1,  # [B, T, pictures, tiles]
}

_CACHES = ("past_key_values", "cache_params", "mems", "state")


class Decoder:
    """Reads what is new of rows of tokens, and hands out what the model returns.

    Args:
        model: a model with `prepare_inputs_for_generation` and `_update_model_kwargs_for_generation`;
            those of a subclass are called.
        inputs: what it reads beside the tokens, by name: masks, the encoder's outputs, a cache.
        offset: columns that stand before the first token, where the prompt came as vectors.
        chunk: how many tokens of a prompt are read at once; None for all.
        asks: what is wanted beside the logits: `output_attentions`, `output_hidden_states`.
        copies: rows of each prompt, one after the other. With a cache a prompt is read once for all of them.
        folds: the copies of a prompt stay together, so that they read one copy of what the encoder computed.
        early: spread the inputs before anything is read, so that what is returned has all rows from the
            first.
        peers: other processes, which hear of every call of the model.
        prompts: [B, T], int64, the tokens of the prompts, by which pictures know their rows.
        steps: what is called in place of the model where rows read one token each behind a cache.

    The model is called as its users call it, so that whatever they changed is obeyed.
    """

    def __init__(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        offset: int = 0,
        chunk: int | None = None,
        asks: Mapping[str, bool] | None = None,
        copies: int = 1,
        folds: bool = False,
        early: bool = False,
        peers: Peers | None = None,
        prompts: Tensor | None = None,
        steps: Callable[..., Any] | None = None,
    ) -> None:
        self.peers, self.prompts = peers, prompts
        self._steps = model if steps is None else steps
        self.model, self.inputs, self.offset, self.chunk = model, dict(inputs), offset, chunk
        self.encoder_decoder = bool(getattr(model.config, "is_encoder_decoder", False))
        self.asks = {name: True for name, wanted in (asks or {}).items() if wanted}
        self.cache_name = cache_name(model)
        assembly = getattr(model, "_assembly", None)
        # who looks at the layers is shown a row for each copy, as the scripts' hooks expect
        early = early or (copies > 1 and assembly is not None and watched(model))
        self.copies, self.folds = copies, folds and self.encoder_decoder and not early
        self._hints = _hints(model.prepare_inputs_for_generation)
        assembly = None if self.encoder_decoder else assembly
        self._once: tuple[str, ...] = () if assembly is None else assembly.once
        self._in_place: Any = assembly if getattr(assembly, "in_place", False) else None
        self._first, self._spread = True, copies == 1
        self._ahead = 0  # columns that the model put before the text by itself
        if not self._spread and (early or not isinstance(self.cache, Cache)):
            self._spread_inputs()

    @property
    def cache(self) -> Any:
        """What the model keeps, or None."""
        return self.inputs.get(self.cache_name)

    @property
    def held(self) -> int:
        """Columns of the text that the cache holds."""
        cache = self.cache
        if not isinstance(cache, Cache):
            return 0
        return int(cache.get_seq_length()) - cache.before - self._ahead

    def read(self, ids: Tensor) -> Any:
        """Read what is new of `ids`, [B, T], int64, all tokens so far.

        Returns:
            The model's record; its logits end with those of the last token, [B, 1 or more, V].
        """
        if not self._spread:
            out = self.read_once(ids[:: self.copies])
            self._spread_inputs()
            out.logits = out.logits[:, -1:].repeat_interleave(self.copies, 0)
            return out
        return self.read_once(ids)

    def read_once(self, ids: Tensor) -> Any:
        """Read, with as many rows as the inputs have now."""
        whole = ids.shape[1] + self.offset
        self._reach(whole)
        if self.chunk and self.cache is not None and self._first and not self.offset:
            while (stop := self._edge(ids, self.held + self.chunk)) < whole:
                self._forward(ids, stop)
        begins = self._first
        out = self._forward(ids, whole)
        self.inputs = self.model._update_model_kwargs_for_generation(
            out, self.inputs, is_encoder_decoder=self.encoder_decoder
        )
        if begins:
            self._ahead = max(self.held - whole, 0)
        if isinstance(self.cache, Cache):  # it holds what they showed
            self.inputs = {name: value for name, value in self.inputs.items() if name not in self._once}
        return out

    def _edge(self, ids: Tensor, stop: int) -> int:
        """Where a prompt may be cut, from `stop` on."""
        if self._in_place is None or stop >= ids.shape[1]:
            return stop
        return int(self._in_place.edge(self.model._owner(), ids, stop, self.inputs))

    def _forward(self, ids: Tensor, stop: int) -> Any:
        """Read the columns that the cache does not hold, up to `stop`."""
        held, inputs = self.held, self.inputs
        shows = self._in_place is not None and self.cache is not None  # and the prompt is not yet read
        shows = shows and any(inputs.get(name) is not None for name in self._once)
        if stop < ids.shape[1] + self.offset:
            if shows:
                inputs = self._in_place.shown_before(self.model._owner(), ids, stop, inputs)
            ids = ids[:, : stop - self.offset]
            inputs = {name: self._cut(name, value, stop) for name, value in inputs.items()}
        hints: dict[str, Any] = {
            "next_sequence_length": stop - held if held else None,
            "is_first_iteration": self._first or shows,
        }
        if "cache_position" in self._hints:
            hints["cache_position"] = torch.arange(held, stop, device=ids.device)
        given = self.model.prepare_inputs_for_generation(
            ids, **{name: hints[name] for name in self._hints}, **inputs
        )
        self._first = False
        if self.peers is not None:
            self.peers.go_on(given)
        call = self._steps if held and stop - held == 1 else self.model
        return call(**given, **self.asks, return_dict=True)

    def _reach(self, columns: int) -> None:
        """Let masks, positions and the like reach to `columns`, where several tokens were added at once."""
        for name, axis in _COLUMNS.items():
            value = self.inputs.get(name)
            if not isinstance(value, Tensor) or self._of_encoder(name):
                continue
            missing = columns - value.shape[axis]
            if missing > 0:
                self.inputs[name] = longer(name, value, missing)

    def _cut(self, name: str, value: Any, length: int) -> Any:
        """The first `length` columns of an input that has them."""
        axis = _COLUMNS.get(name)
        if axis is None or not isinstance(value, Tensor) or self._of_encoder(name):
            return value
        return value.narrow(axis, 0, min(length, value.shape[axis]))

    def _of_encoder(self, name: str) -> bool:
        return self.encoder_decoder and not name.startswith("decoder_")

    # -- rows and columns -----------------------------------------------------------------------------

    def _spread_inputs(self) -> None:
        """Let every row of the inputs and the cache stand `copies` times in a row."""
        self._spread = True
        by_row = {name: value for name, value in self.inputs.items() if name not in self._once}
        sizes = [size for name, value in by_row.items() for size in _sizes(name, value)]
        sizes += [len(self.prompts)] if self.prompts is not None else []
        held = [slot.contents() for slot in (self.cache.slots if isinstance(self.cache, Cache) else ())]
        sizes += [len(kept[0]) for kept in held if kept is not None]
        if sizes:
            rows = torch.arange(max(sizes), device=self.model.device)
            self._choose(rows.repeat_interleave(self.copies), memory=not self.folds)

    def keep(self, rows: Tensor) -> None:
        """Go on with the batch rows `rows`, [n], int64, in that order.

        Where copies share the encoder's states, they are the rows of whole prompts.
        """
        self._choose(rows, memory=not self.folds)
        if self.folds:
            self._choose(rows[:: self.copies] // self.copies, memory=True, own=False)

    def reorder(self, rows: Tensor) -> None:
        """Let the copies of each prompt change places, [rows], int64."""
        self._choose(rows, memory=False, masks=False)

    def _choose(self, rows: Tensor, memory: bool, own: bool = True, masks: bool = True) -> None:
        """Rows of the decoder's `own` cache and inputs, and of the encoder's `memory`."""
        cache = self.cache
        if isinstance(cache, Cache):
            if own:
                for slot in cache.slots:
                    slot.reorder(rows)
            if memory and cache.cross is not None:
                cache.cross.reorder_cache(rows)
        elif own and cache is not None:
            self.inputs[self.cache_name] = self.model._reorder_cache(cache, rows)
        shown = {name: value for name, value in self.inputs.items() if name in self._once}
        if masks and own and shown and self.prompts is not None:
            model = self.model
            self.inputs |= model._assembly.shown_in(model._owner(), self.prompts, shown, rows)
            self.prompts = self.prompts.index_select(0, rows.to(self.prompts.device))
        for name, value in self.inputs.items() if masks else ():
            if name not in (self.cache_name, *self._once) and (memory if self._of_encoder(name) else own):
                self.inputs[name] = _chosen(name, value, rows)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` columns.

        Raises:
            ValueError: where the model keeps what cannot be taken back.
        """
        if self.cache is not None and self.held > length:
            self.cache.crop(length + self.cache.before)
        self.inputs = {name: self._cut(name, value, length + 1) for name, value in self.inputs.items()}


def taken_by(module: Any) -> set[str]:
    """What a module's `forward` takes, by name; where that hands all on, what those above it take."""
    said = vars(module).get("__signature__")  # of one whose `forward` serves modules of any inputs
    if said is not None:
        return set(said.parameters)
    found: set[str] = set()
    above = (vars(kind)["forward"] for kind in type(module).__mro__ if "forward" in vars(kind))
    for forward in (module.forward, *above):
        parameters = inspect.signature(forward).parameters
        found |= parameters.keys()
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            break
    return found


def cache_name(model: Any) -> str:
    """The name that a model knows its cache by; the usual one where it takes whatever it is given."""
    taken = taken_by(model)
    return next((name for name in _CACHES if name in taken), _CACHES[0])


def keeps_tokens(model: Any) -> bool:
    """Whether a model is a decoder that keeps what it read of every token: its rows can join and leave."""
    decodes = not model.config.is_encoder_decoder and model.can_generate()
    return decodes and "use_cache" in taken_by(model)


def longer(name: str, value: Tensor, count: int) -> Tensor:
    """A mask, positions or token types with `count` more columns, for tokens that follow.

    What a mask says of things beside the text stays as it is for the last token.
    """
    if name.endswith("position_ids"):
        steps = torch.arange(1, count + 1, dtype=value.dtype, device=value.device)
        if value.dim() == 3:  # words behind pictures go on behind the farthest of all places
            farthest = value.amax((0, 2))[:, None] + steps  # [B, count]
            return torch.cat((value, farthest.expand(len(value), -1, -1)), dim=-1)
        return torch.cat((value, value[..., -1:] + steps), dim=-1)
    if name.endswith("attention_mask") and value.dim() == 2:
        return torch.cat((value, value.new_ones(value.shape[0], count)), dim=1)
    return torch.cat((value, value[:, -1:].expand(-1, count, *value.shape[2:])), dim=1)


def _hints(prepare: Any) -> tuple[str, ...]:
    """Which of what steps know their preparation names; what hands all on is told what ours reads."""
    kinds = [parameter.kind for parameter in inspect.signature(prepare).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds and inspect.Parameter.POSITIONAL_OR_KEYWORD not in kinds:
        return ("next_sequence_length", "is_first_iteration")
    return _named(prepare, ("next_sequence_length", "is_first_iteration", "cache_position"))


def _named(function: Any, names: Iterable[str]) -> tuple[str, ...]:
    """Which of these keywords a function names."""
    known = inspect.signature(function).parameters
    return tuple(name for name in names if name in known)


def _chosen(name: str, value: Any, rows: Tensor) -> Any:
    """Batch rows of an input."""
    if isinstance(value, ModelOutput):
        return type(value)(**{key: _chosen(key, part, rows) for key, part in value.items()})
    if isinstance(value, tuple):
        return tuple(_chosen(name, part, rows) for part in value)
    if not isinstance(value, Tensor) or value.dim() == 0 or name == "logits_to_keep":
        return value
    axis = 1 if name.endswith("position_ids") and value.dim() == 3 else 0
    if value.shape[axis] == 1 and name.endswith("position_ids"):
        return value  # one row serves all
    return value.index_select(axis, rows.to(value.device))


def _sizes(name: str, value: Any) -> list[int]:
    """Batch sizes of an input's tensors."""
    shared = name.endswith("position_ids")
    return [1 if shared else len(part) for part in _tensors(value) if part.dim()]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, ModelOutput):
        value = tuple(value.values())
    if isinstance(value, tuple):
        return [t for part in value for t in _tensors(part)]
    return [value] if isinstance(value, Tensor) else []
