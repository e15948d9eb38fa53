"""Encoders of texts and of speech before one decoder of texts.

Seamless Communication 2023, arXiv:2308.11596, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.base import Assembly
from formers.assemblies.encoder_decoder import EncoderDecoder, stack_part
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.leaves import token_table
from formers.nn.tree import leaf, place, wiring
from formers.stacks.stack import Ask, States

Kind = Literal["text", "speech"]


class SpeechTranslation(EncoderDecoder):
    """One such encoder and the decoder. All that read tokens share one table, which speech has beside it.

    Args:
        stacks: "text", "speech" and "decoder" -> config -> the spec of that stack.
        paths: where those stand in a model.
        kind: what the encoder reads.
        unused: names in files of a whole model that this one has no use for.
        others: assemblies of other kinds over the same config, by the name in `Head.over`.
    """

    def __init__(
        self,
        stacks: Mapping[str, Callable[[Any], spec.Stack]],
        paths: Mapping[str, str],
        kind: Kind,
        unused: tuple[str, ...] = (),
        others: Mapping[str, Assembly] = MappingProxyType({}),
    ) -> None:
        self.made, self.paths, self.kind = dict(stacks), dict(paths), kind
        self.unused, self._others = unused, dict(others)
        stem = spec.Tokens if kind == "text" else spec.Bands
        super().__init__(self._half, may_untie=True, stem=stem)
        if kind == "speech":
            self.halves["encoder"] = WaveformEncoder(self._encoder, spec.Bands)
            self.shares = True
            self.inputs = tuple(name for name in self.inputs if name != "mask_time_indices")
            self.reads = (self.main, "attention_mask")

    def _half(self, config: Any, decoder: bool) -> spec.Stack:
        return self.made["decoder" if decoder else self.kind](config)

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """A pair of another kind, or one stack."""
        return self._others[part] if part in self._others else super().alone(part, config_class)

    def kinds(self) -> tuple[Kind, ...]:
        """What its encoders read."""
        return (self.kind,)

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of all stacks that there are."""
        config = config_class()
        return list(dict.fromkeys(made(config).layer_class for made in self.made.values()))

    def room(self, config: Any) -> int | None:
        """What the positions of the decoder allow; sounds are as long as they are."""
        return self.halves["decoder"].room(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the table, and every stack behind it."""
        stem: Any = self.made["decoder"](config).stem
        table = token_table(stem.vocabulary, stem.width, stem.padding_idx, stem.table_scale)
        place(model, "token", self.table, table)
        for kind in self.kinds():
            self._place_stack(model, config, kind, self._of(kind).halves["encoder"])
        self._place_stack(model, config, "decoder", self.halves["decoder"])
        show(model, self.kinds()[0])

    def _place_stack(self, model: Any, config: Any, name: str, half: Any) -> None:
        place(model, name, self.paths[name], stack_part(config, half, type(half.spec(config).stem)))

    def _of(self, kind: Kind) -> SpeechTranslation:
        return self

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The encoder that reads now, the decoder, and another encoder where there is one."""
        return {name: leaf(model, name) for name in ("encoder", "decoder", *self.kinds())}

    def memory_mask(self, model: nn.Module, mask: Tensor | None) -> Tensor | None:
        """Which of the encoder's rows are real, [B, S], by a mask over what it reads."""
        encoder = leaf(model, "encoder")
        found: Tensor | None = self._rows_mask(encoder, wiring(encoder).facts["stem"], mask)
        return found

    def _rows_mask(self, encoder: Any, stem: Any, mask: Tensor | None) -> Tensor | None:
        """By how many rows the layers behind the encoder leave of each sound."""
        made: spec.Stack = wiring(encoder).facts["spec"]
        if mask is None or made.behind is None:
            return super()._rows_mask(encoder, stem, mask)
        counts = made.behind.rows(mask.long().sum(1))  # [B]
        length = int(made.behind.rows(mask.shape[1]))
        found: Tensor = (torch.arange(length, device=mask.device) < counts[:, None]).long()
        return found


class TextAndSpeechTranslation(SpeechTranslation):
    """Both encoders before the decoder; a call says by its inputs which of them reads.

    Args:
        text: the pair that reads texts; `speech` the one that hears.
        others: see `SpeechTranslation`.
    """

    def __init__(
        self,
        text: SpeechTranslation,
        speech: SpeechTranslation,
        others: Mapping[str, Assembly] = MappingProxyType({}),
    ) -> None:
        super().__init__({**text.made, **speech.made}, {**text.paths, **speech.paths}, "text", (), others)
        self.each: dict[str, SpeechTranslation] = {"text": text, "speech": speech}
        first, *rest = text.inputs
        self.inputs = (first, speech.main, *rest)
        self.means = {**speech.means, **text.means}

    @classmethod
    def whole(
        cls,
        stacks: Mapping[str, Callable[[Any], spec.Stack]],
        paths: Mapping[str, str],
        others: Mapping[str, Assembly],
        speaks: tuple[str, ...],
    ) -> TextAndSpeechTranslation:
        """Both, with those of one encoder beside them: "texts", "speech", and either "spoken".

        Args:
            stacks: see `SpeechTranslation`, as `paths` and `others`.
            paths: likewise.
            others: likewise.
            speaks: names of what says texts, for which those that write them have no use.
        """

        def of(kind: Kind, other: Kind, *more: str) -> SpeechTranslation:
            return SpeechTranslation(stacks, paths, kind, (rf"^{paths[other]}\.", *more))

        text, speech = of("text", "speech"), of("speech", "text")
        parts = {"texts": of("text", "speech", *speaks), "speech": of("speech", "text", *speaks)}
        return cls(text, speech, {**parts, "spoken texts": text, "spoken speech": speech, **others})

    def kinds(self) -> tuple[Kind, ...]:
        """Both."""
        return ("text", "speech")

    def _of(self, kind: Kind) -> SpeechTranslation:
        return self.each[kind]

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Let the encoder read that the inputs are for, or which read last where it need not.

        Raises:
            ValueError: for a text and speech in one call, or for neither.
        """
        text = [name for name in ("input_ids", "inputs_embeds") if given.get(name) is not None]
        heard = given.get("input_features") is not None
        if text and heard:
            raise ValueError(f"one call reads speech or a text: leave out {text[0]} or input_features")
        if not text and not heard and given.get("encoder_outputs") is None:
            raise ValueError(
                "there is nothing to read: pass input_ids of a text or input_features of speech, which the "
                "processor makes"
            )
        if text or heard:
            show(model, "speech" if heard else "text")
        known = self.each[shown(model)]
        return known.run(model, {name: given[name] for name in given if name in known.inputs}, ask)


def show(model: Any, kind: Kind) -> None:
    """Let callers see the encoder of that kind as the model's encoder."""
    roles = wiring(model).roles
    roles["encoder"] = roles[kind]
    wiring(model).facts["reads"] = kind


def shown(model: Any) -> Kind:
    """Of which kind the encoder is that callers see."""
    kind: Kind = wiring(model).facts["reads"]
    return kind
