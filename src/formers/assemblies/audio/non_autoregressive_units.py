"""A pair that writes units of speech of a text's states, all at once (arXiv:2312.05187, section 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from formers.assemblies.base import states_of
from formers.assemblies.encoder_decoder import EncoderDecoder, given_memory
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import NonAutoregressiveUnitsOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.leaves import token_table
from formers.nn.nets.character_rows import character_parts, said_rows
from formers.nn.spec.speech_synthesis import CharacterRows
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States

_ASKED = ("output_attentions", "output_hidden_states", "return_dict")


class NonAutoregressivePair(EncoderDecoder):
    """The second stack reads what the first made of tokens, as long as their letters are said.

    Args:
        half: (config, whether it is the second) -> the spec of one stack.
        letters: config -> the spec of what stands between them.
        units: config -> how many units there are, whose table files have.
    """

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        letters: Callable[[Any], CharacterRows],
        units: Callable[[Any], int],
    ) -> None:
        super().__init__(half, stem=spec.GivenRows)
        self.halves["decoder"] = type(self.halves["encoder"])(self._decoder, spec.GivenRows)
        self.letters, self.units = letters, units
        self.inputs = (
            *("inputs_embeds", "char_input_ids", "char_count_per_id", "attention_mask", "encoder_outputs"),
            *_ASKED,
        )
        self.means = {
            **self.means,
            "char_input_ids": "[B, L], int64, the letters of all tokens of a text.",
            "char_count_per_id": "[B, T], int64, how many of them each token has.",
        }

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both stacks, and in the second one the table of units and what makes rows longer."""
        super().place(model, config, pooler, masked)
        s = wiring(model).facts["letters"] = self.letters(config)
        decoder = leaf(model, "decoder")
        table = token_table(self.units(config), s.width, s.padding)
        place(decoder, "token", "embed_tokens", table)
        wiring(model).roles["token"] = ("decoder", *wiring(decoder).roles["token"])
        for name, part in character_parts(s).items():
            if isinstance(part, nn.Parameter):
                decoder.register_parameter(name, part)
            else:
                place(decoder, name, name, part)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless that was done before; make rows longer; compute all units at once.

        Raises:
            ValueError: without letters, or with more or fewer of them than tokens have.
        """
        parts = self.stacks(model)
        ask.padded = watched(model) if ask.padded is None else ask.padded
        before = given.get("encoder_outputs")
        if before is None:
            reads = {name: given.get(name) for name in ("inputs_embeds", "attention_mask")}
            encoded = states_of(parts["encoder"], reads, ask)
            memory: Any = encoded.last, encoded.hidden, encoded.attentions
        else:
            memory = given_memory(before)[:3]
        letters, counts = checked(memory[0], given.get("char_input_ids"), given.get("char_count_per_id"))
        rows, real = said_rows(parts["decoder"], wiring(model).facts["letters"], memory[0], letters, counts)
        asked = replace(ask, keep_padding=True)
        states = states_of(parts["decoder"], {"inputs_embeds": rows, "attention_mask": real}, asked)
        names = ("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions")
        states.extras.update(zip(names, memory, strict=True))
        states.extras["padding_mask"] = real
        return states

    def passed_on(self, states: States) -> dict[str, Any]:
        """All but the last states. There is no cache."""
        named = {"decoder_hidden_states": states.hidden, "decoder_attentions": states.attentions}
        return {**named, **states.extras}

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last states, which of them are real, and what was asked for."""
        return NonAutoregressiveUnitsOutput(states.last, **self.passed_on(states))


def checked(rows: Tensor, letters: Any, counts: Any) -> tuple[Tensor, Tensor]:
    """Letters and counts that fit rows of tokens [B, T, E].

    Raises:
        ValueError: for others.
    """
    batch, length = rows.shape[:2]
    for name, value, wanted in (("char_input_ids", letters, "L"), ("char_count_per_id", counts, length)):
        if (
            not isinstance(value, Tensor)
            or value.is_floating_point()
            or value.dim() != 2
            or len(value) != batch
        ):
            said = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} is a tensor of integers [{batch}, {wanted}], not {said}")
    most = int(counts.sum(1).max()) if counts.numel() else 0
    if counts.shape[1] != length or letters.shape[1] != most or not most:
        raise ValueError(
            f"char_count_per_id {list(counts.shape)} says for each of {length} tokens how many letters it "
            f"has, and those of the longest text, {most}, are as many as char_input_ids "
            f"{list(letters.shape)} has"
        )
    return letters, counts
