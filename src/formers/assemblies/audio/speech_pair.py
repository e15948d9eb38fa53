"""A pair whose stacks hear or read, and write or speak: SpeechT5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from formers.assemblies.audio.waveform_encoder import freeze_feature_encoder
from formers.assemblies.base import Assembly
from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.single import Single
from formers.nn import spec
from formers.nn.stems import STEMS
from formers.stacks.stack import Ask, States

_SAID = ("decoder_input_values", "speaker_embeddings")
_ASKED = ("output_attentions", "output_hidden_states", "return_dict", "cache_position")


class SpeechPair(EncoderDecoder):
    """Such a pair.

    Args:
        half: (config, whether it is the decoder) -> the spec of one stack.
        stem: the kind of the encoder's stem.
        said: that of the decoder's; None where it writes.
        others: pairs of other kinds over the same stacks, by the name in `Head.over`.
    """

    def __init__(
        self,
        half: Callable[[Any, bool], spec.Stack],
        stem: type[Any],
        said: type[Any] | None = None,
        others: Mapping[str, Assembly] | None = None,
    ) -> None:
        super().__init__(half, stem=stem)
        self.said, self._others = said, dict(others or {})
        if stem is spec.PlacedWaves:
            self.offers = {"freeze_feature_encoder": freeze_feature_encoder}
        if said is None:
            return
        self.halves["decoder"] = Single(self._decoder, said)
        voiced = ("speaker_embeddings",) if said is spec.SaidFrames else ()
        main, *more = (name for name in self.reads if name != "attention_mask")
        self.inputs = (
            *(main, "attention_mask", "decoder_input_values", "decoder_attention_mask", "encoder_outputs"),
            *("past_key_values", "use_cache", *_ASKED[:3], *voiced, *more, _ASKED[3]),
        )
        wide = "bins" if voiced else "E"
        self.means = {
            **STEMS[stem].inputs,
            "decoder_input_values": f"what the decoder reads, [B, T, {wide}], floating.",
        }

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """A pair of another kind, or one stack."""
        return self._others[part] if part in self._others else super().alone(part, config_class)

    def room(self, config: Any) -> int | None:
        """What the positions of the stack that reads tokens allow; sounds are as long as they are."""
        if isinstance(self.spec(config).stem, spec.Tokens):
            return self.halves["decoder"].room(config)
        return self.halves["encoder"].room(config)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Encode, unless that was done before, and decode."""
        if self.said is None and any(given.get(name) is not None for name in _SAID):
            raise TypeError("this model writes: it takes decoder_input_ids, and no voice")
        return super().run(model, given, ask)

    def _decoder_ids(self, model: Any, given: dict[str, Any], ids: Tensor | None) -> Tensor | None:
        if self.said is None:
            return super()._decoder_ids(model, given, ids)
        if given.get("decoder_input_values") is None:
            more = ", or labels" if self.said is spec.SaidFrames else ""
            raise ValueError(f"the decoder has nothing to read: pass decoder_input_values{more}")
        return None

    def _beside(self, given: dict[str, Any]) -> dict[str, Any]:
        if self.said is None:
            return {}
        return {
            "input_values": given["decoder_input_values"],
            "speaker_embeddings": given.get("speaker_embeddings"),
        }
