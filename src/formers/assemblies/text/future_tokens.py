"""A pair whose decoder predicts several tokens at once: ProphetNet. See `spec.FutureTokens`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput, Seq2SeqModelOutput
from formers.nn import spec
from formers.nn.layout import Layout
from formers.nn.tree import wiring
from formers.stacks.stack import Ask, Inputs, States

_LAST = "last_hidden_state_ngram"
_BESIDE = ("hidden_states_ngram", "ngram_attentions")


class FutureTokensDecoder(Single):
    """The decoder: callers see tokens and streams apart."""

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        """States of the tokens; those of the streams, [B, n * T, E], beside them."""
        states = super()._compute(model, inputs, ask)
        stem: spec.FutureTokenStreams = wiring(model).facts["spec"].stem
        pass_, whole, held = states.pass_, states.last, states.hidden
        batch, length = pass_.layout.batch, pass_.layout.length // (1 + stem.streams)
        states.extras[_LAST] = whole[:, length:]
        if held is not None:
            states.extras["hidden_states_ngram"] = tuple(rows[:, length:] for rows in held)
            pass_.trace["hidden_states"][:] = [rows[:, :length] for rows in held]
        if "ngram_attentions" in pass_.trace:
            states.extras["ngram_attentions"] = tuple(pass_.trace["ngram_attentions"])
        geometry = replace(pass_.geometry, layout=Layout.dense(batch, length))
        states.rows, states.pass_ = whole[:, :length], replace(pass_, geometry=geometry)
        states.spread_out = not states.watched
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Those of the streams too."""
        found = super().output(model, states)
        for name in (_LAST, *_BESIDE):
            found[name] = states.extras.get(name)
        return found

    def passed_on(self, states: States) -> dict[str, Any]:
        """What heads return of the streams."""
        return {**super().passed_on(states), **{name: states.extras.get(name) for name in _BESIDE}}


class FutureTokensPair(EncoderDecoder):
    """Two stacks over one token table, which either half has as well."""

    def __init__(self, half: Callable[[Any, bool], spec.Stack], table: str) -> None:
        super().__init__(half, table=table, doubled=True)
        self.halves["decoder"] = FutureTokensDecoder(self._decoder)

    def passed_on(self, states: States) -> dict[str, Any]:
        """As of any pair, those of the streams by the names that they have there."""
        found = super().passed_on(states)
        found.pop(_LAST, None)
        hidden, weights = (found.pop(name, None) for name in _BESIDE)
        return {**found, "decoder_ngram_hidden_states": hidden, "decoder_ngram_attentions": weights}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The decoder's last states, those of the streams, and what was asked for."""
        return Seq2SeqModelOutput(states.last, states.extras[_LAST], **self.passed_on(states))
