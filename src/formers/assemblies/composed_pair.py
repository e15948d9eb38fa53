"""An encoder and a decoder of any families, joined: the decoder brings its own head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from formers.assemblies.base import place_parts, ties_within
from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.configs import PretrainedConfig
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.leaves import linear
from formers.nn.tree import has, leaf, place, wiring

# what parts may read beside what every pair does, where callers give it
_MORE = ("token_type_ids", "position_ids")


class ComposedPair(EncoderDecoder):
    """Two models under `encoder` and `decoder`, which the config's fields of those names describe.

    The states that a task gets are the decoder's logits, [B, T, V].

    Args:
        encoder_of: a config -> the class without a head of its family.
        decoder_of: a config -> the class that predicts next tokens of its family.
        config_of: name or folder -> the config that lies there, with the keywords that were not for it.
        stem: the kind of the encoder's stem.
        widths: names of the fields of a decoder's config that say how wide the states are that it reads.
        fields: of the config, which hold those of both.
        bridges: a layer may stand between states of two widths.
    """

    def __init__(
        self,
        encoder_of: Callable[[Any], type[PreTrainedModel]],
        decoder_of: Callable[[Any], type[PreTrainedModel]],
        config_of: Callable[..., tuple[PretrainedConfig, dict[str, Any]]],
        stem: type[Any] = spec.Tokens,
        widths: str = "cross_attention_hidden_size",
        fields: tuple[str, str] = ("encoder", "decoder"),
        bridges: bool = True,
    ) -> None:
        self._fields, self._bridges = dict(zip(("encoder", "decoder"), fields, strict=True)), bridges
        self.model_of = {"encoder": encoder_of, "decoder": decoder_of}
        self.config_of, self._widths = config_of, widths
        super().__init__(self._half, stem=stem, apart=lambda config: True)
        more = [f"decoder_{name}" for name in _MORE]
        if self.shares:
            self.inputs, self.reads = (*self.inputs, *_MORE), (*self.reads, *_MORE)
        self.inputs = tuple(dict.fromkeys((*self.inputs, *more)))

    def _own(self, config: Any, name: str) -> Any:
        """The config of a part."""
        return getattr(config, self._fields[name])

    def _read(self, config: Any) -> Any:
        """How wide the states are that the decoder reads, where its config says so."""
        return getattr(self._own(config, "decoder"), self._widths, None)

    def _half(self, config: Any, decoder: bool) -> spec.Stack:
        own = self._own(config, "decoder" if decoder else "encoder")
        kind: Any = self.model_of["decoder" if decoder else "encoder"](own)
        found: spec.Stack = kind._assembly.spec(own)
        return found

    def place(
        self,
        model: PreTrainedModel,
        config: Any,
        pooler: bool | None = None,
        masked: bool = False,
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        """Register both models, those in `parts` as they are, and a layer between states of two widths.

        Raises:
            ValueError: for parts that cannot be joined.
        """
        self._check(config)
        held = {name: (self._fields[name], model_of) for name, model_of in self.model_of.items()}
        place_parts(model, config, held, parts)
        wiring(model).roles["token"] = (self._words, *self._table(model))
        given, read = (self._own(config, name).hidden_size for name in self.model_of)
        if given != read and self._read(config) is None:
            place(model, "handed", "enc_to_dec_proj", linear("linear", given, read))

    @property
    def _words(self) -> str:
        """The part whose tokens are the model's inputs."""
        return "encoder" if self.shares else "decoder"

    def _table(self, model: Any) -> tuple[str, ...]:
        """Where the token table lies in that part."""
        part, path = leaf(model, self._words), tuple[str, ...]()
        while "token" not in wiring(part).roles:  # a model with a head holds one without
            path = (*path, part.base_model_prefix)
            part = part.base_model
        return (*path, *wiring(part).roles["token"])

    def _check(self, config: Any) -> None:
        encoder, decoder = (self._own(config, name) for name in self.model_of)
        kind: Any = self.model_of["encoder"](encoder)
        if kind._assembly.encoder_decoder or kind._assembly.main != self.main:
            raise ValueError(
                f"the encoder of {config.model_type!r} models is one stack that reads {self.main}, and "
                f"{encoder.model_type!r} models are none"
            )
        if not self.spec(config).crosses:
            raise ValueError(
                f"the decoder, a {decoder.model_type!r} model, has no cross attention: its config "
                f"needs add_cross_attention=True, and a family that obeys it"
            )
        wanted = self._read(config)
        if wanted not in (None, encoder.hidden_size):
            raise ValueError(
                f"the decoder reads states of width {wanted} ({self._widths}), but the encoder's hidden_size "
                f"is {encoder.hidden_size}"
            )
        if not self._bridges and encoder.hidden_size != decoder.hidden_size:
            raise ValueError(
                f"both halves of {config.model_type!r} models have states of one width, but hidden_size is "
                f"{encoder.hidden_size} in {self._fields['encoder']} and {decoder.hidden_size} in "
                f"{self._fields['decoder']}"
            )

    def ties(self, model: Any) -> dict[str, str]:
        """Those of the parts, by the names that they have in this tree."""
        return ties_within(self.stacks(model))

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of what the parts do not draw themselves: as the decoder's."""
        return PreTrainedModel._initial_deviations(leaf(model, "decoder"))

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the inputs' token table; where both parts have one, by one of as many rows."""
        self._same_size(model, value)
        leaf(model, self._words).set_input_embeddings(value)

    def _handed(self, model: Any, memory: Tensor) -> Tensor:
        """In the decoder's width."""
        found: Tensor = leaf(model, "handed")(memory) if has(model, "handed") else memory
        return found

    def loaded(self, name: str, source: Any, options: dict[str, Any]) -> Any:
        """A part from a checkpoint of its own; `options` as `from_pretrained` takes them.

        An encoder looks both ways; a decoder looks back alone, and gains cross attention where it can.
        """
        config = options.pop("config", None)
        if config is None:
            config, options = self.config_of(source, **options)
        decodes = name == "decoder"
        for field in ("is_decoder", "add_cross_attention"):
            if getattr(config, field, decodes) is not decodes:
                setattr(config, field, decodes)
        return self.model_of[name](config).from_pretrained(source, config=config, **options)
