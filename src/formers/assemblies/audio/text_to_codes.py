"""A text encoder, a decoder of codes that looks at its states, and the codec of those codes: MusicGen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.audio.codec import ChunkedCodec
from formers.assemblies.audio.staged_speech import SpeechStages
from formers.assemblies.base import assembly_of, owner_of, states_in
from formers.assemblies.encoder_decoder import DecoderHalf, EncoderDecoder, given_memory
from formers.configs import PretrainedConfig
from formers.core.outputs import BaseModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.leaves import linear
from formers.nn.tree import has, leaf, place, wiring
from formers.stacks.stack import Ask, States

_CODES = (
    *("input_ids", "attention_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values"),
    *("inputs_embeds", "use_cache", "output_attentions", "output_hidden_states", "return_dict"),
    "cache_position",
)
_READS = ("input_ids", "attention_mask", "inputs_embeds")
_ASKED = ("output_attentions", "output_hidden_states", "return_dict")


class CodeDecoder(DecoderHalf):
    """A decoder of several codes at every place, which callers give a row for each book.

    Args:
        stack: config -> its spec.
        books: config -> how many books there are.
    """

    def __init__(self, stack: Callable[[Any], spec.Stack], books: Callable[[Any], int]) -> None:
        super().__init__(EncoderDecoder(lambda config, decoder: stack(config)))
        self.inputs, self.books = _CODES, books
        self.means = {**self.means, "input_ids": "[B * books, T], int64, the books of a sound in a row."}
        self.offers = {"get_input_embeddings": _tables}

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Decode.

        Raises:
            ValueError: for rows that are no books.
        """
        ids, books = given.get("input_ids"), self.books(model.config)
        if isinstance(ids, Tensor):
            given["input_ids"] = by_place(ids, books)
        return super().run(model, given, ask)


def by_place(ids: Tensor, books: int) -> Tensor:
    """Codes [B * books, T], or [B, books, T], as a stack reads them: [B, T, books].

    Raises:
        ValueError: for another number of rows.
    """
    if ids.dim() not in (2, 3) or ids.shape[:-1].numel() % books or not ids.numel():
        raise ValueError(
            f"input_ids have a row for each of {books} books of a sound, [B * {books}, T], not shape "
            f"{list(ids.shape)}"
        )
    return ids.reshape(-1, books, ids.shape[-1]).transpose(1, 2)


def _tables(self: Any) -> nn.Module:
    """The tables by which codes are read, one for each book."""
    found: nn.Module = leaf(owner_of(self), "decoder").embed_tokens
    return found


class TextToCodes(SpeechStages):
    """The three, under the config's fields of their names.

    Args:
        text_of: a config -> the class of its text encoder.
        codec_of: a config -> the class of its codec.
        decoder_of: a config -> the class that predicts its codes.
        config_of: name or folder -> the config that lies there, with the keywords that were not for it.
    """

    encoder_decoder = True
    means: Mapping[str, str] = MappingProxyType(
        {
            "input_ids": "[B, S], int64, texts.",
            "input_values": "[B, channels, samples], floating, sounds whose codes the decoder reads.",
            "padding_mask": "[B, samples], 1 at real samples of those.",
            "decoder_input_ids": "[B * books, T], int64, the books of a sound in a row.",
        }
    )
    inputs = (
        *("input_ids", "attention_mask", "input_values", "padding_mask", "decoder_input_ids"),
        *("decoder_attention_mask", "encoder_outputs", "past_key_values", "inputs_embeds"),
        *("decoder_inputs_embeds", "use_cache", *_ASKED, "cache_position"),
    )

    def __init__(
        self,
        text_of: Callable[[Any], type[PreTrainedModel]],
        codec_of: Callable[[Any], type[PreTrainedModel]],
        decoder_of: Callable[[Any], type[PreTrainedModel]],
        config_of: Callable[..., tuple[PretrainedConfig, dict[str, Any]]],
    ) -> None:
        self.config_of = config_of
        kinds = {"text_encoder": text_of, "audio_encoder": codec_of, "decoder": decoder_of}
        super().__init__({name: (name, kind_of) for name, kind_of in kinds.items()}, lambda told: told)

    def spec(self, config: Any) -> Any:
        """The decoder's."""
        kind: Any = self.parts["decoder"][1](config.decoder)
        return assembly_of(kind).spec(config.decoder)

    def text_options(self, model: Any) -> dict[str, Any]:
        """The usual ones."""
        return {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def place(
        self,
        model: PreTrainedModel,
        config: Any,
        pooler: bool | None = None,
        masked: bool = False,
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        """Register the parts, and a layer between states of two widths.

        Raises:
            ValueError: for parts that do not go together.
        """
        super().place(model, config, pooler, masked, parts)
        text, codec = leaf(model, "text_encoder"), leaf(model, "audio_encoder")
        if assembly_of(text).encoder_decoder or assembly_of(text).main != "input_ids":
            raise ValueError(
                f"the text encoder is one stack that reads texts, and {type(text).__name__} is none"
            )
        if not isinstance(assembly_of(codec), ChunkedCodec):
            raise ValueError(f"the audio encoder makes codes of sounds, and {type(codec).__name__} does not")
        given, read = config.text_encoder.hidden_size, config.decoder.hidden_size
        wanted = config.decoder.cross_attention_hidden_size
        if wanted not in (None, given):
            raise ValueError(
                f"the decoder reads states of width {wanted} (cross_attention_hidden_size), but the text "
                f"encoder's hidden_size is {given}"
            )
        if given != read and wanted is None:
            place(model, "handed", "enc_to_dec_proj", linear("linear", given, read))
        wiring(model).roles["token"] = (
            "text_encoder",
            *wiring(owner_of(text)).roles["token"],
        )

    def read(self, model: Any, given: dict[str, Any], ask: Ask) -> Any:
        """What the text encoder makes of texts, unless that was done before: its record."""
        before = given.get("encoder_outputs")
        if before is not None:
            return BaseModelOutput(*given_memory(before)[:3]) if isinstance(before, (tuple, list)) else before
        told = {name: given.get(name) for name in _READS if given.get(name) is not None}
        if "input_ids" not in told and "inputs_embeds" not in told:
            raise ValueError(
                f"{type(model).__name__} makes sounds of texts: pass input_ids, or what "
                "get_unconditional_inputs() returns"
            )
        wanted = {"output_attentions": ask.attentions, "output_hidden_states": ask.hidden}
        return leaf(model, "text_encoder")(**told, **wanted, return_dict=True)

    def handed(self, model: Any, memory: Tensor, mask: Tensor | None) -> Tensor:
        """Texts' states [B, S, E] as the decoder reads them: in its width, zeros where nothing is read."""
        found: Tensor = leaf(model, "handed")(memory) if has(model, "handed") else memory
        return found if mask is None else found * mask[..., None].to(found.dtype)

    def coded(self, model: Any, sounds: Any, mask: Any = None) -> tuple[Tensor, Any]:
        """Codes [B * books, T] of sounds, and how loud these were.

        Raises:
            ValueError: for sounds that are coded in chunks, or by another number of books.
        """
        codec, own = leaf(model, "audio_encoder"), model.config.decoder
        if own.audio_channels == 2:
            if sounds.shape[1] not in (1, 2):
                raise ValueError(
                    f"the model makes stereo: input_values have 2 channels, not {sounds.shape[1]}"
                )
            left, *right = sounds.split(1, dim=1)  # one channel is heard on both sides
            sides = [codec.encode(side, mask) for side in (left, *(right or [left]))]
            codes = torch.stack([one.audio_codes for one in sides], dim=3).flatten(2, 3)
            scales = [one.audio_scales[0] for one in sides]
        else:
            made = codec.encode(sounds, mask)
            codes, scales = made.audio_codes, [made.audio_scales[0]]
        if len(codes) != 1 or codes.shape[2] != own.num_codebooks:
            raise ValueError(
                f"the decoder goes on with {own.num_codebooks} books in one chunk, but the codec made "
                f"{codes.shape[2]} in {len(codes)}: set chunk_length_s=None and target_bandwidths in "
                "config.audio_encoder"
            )
        return codes[0].flatten(0, 1), scales

    def sounded(self, model: Any, codes: Tensor, scales: Any = None) -> Tensor:
        """The sounds [B, channels, samples] of codes [B, books, T]."""
        codec, sides = leaf(model, "audio_encoder"), 1 + (model.config.decoder.audio_channels == 2)
        loud = [None] * sides if scales is None else scales
        made = [
            codec.decode(codes[None, :, i::sides], [loud[i]], return_dict=True).audio_values
            for i in range(sides)
        ]
        return made[0] if sides == 1 else torch.cat(made, dim=1)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The logits of codes, [B * books, T, V], in place of states; `given` may hold `labels`.

        Raises:
            ValueError: without texts, or without codes or sounds.
        """
        memory, mask = self.read(model, given, ask), given.get("attention_mask")
        ids, labels = given.get("decoder_input_ids"), given.get("labels")
        if ids is None and given.get("decoder_inputs_embeds") is None and labels is None:
            if given.get("input_values") is None:
                raise ValueError(
                    f"{type(model).__name__} predicts codes: pass decoder_input_ids, input_values or labels, "
                    "or call generate()"
                )
            ids, _ = self.coded(model, given["input_values"], given.get("padding_mask"))
        said = {
            "input_ids": ids,
            "inputs_embeds": given.get("decoder_inputs_embeds"),
            "attention_mask": given.get("decoder_attention_mask"),
            "encoder_hidden_states": self.handed(model, memory[0], mask),
            "encoder_attention_mask": mask,
            "labels": labels,
            **{name: given.get(name) for name in ("past_key_values", "use_cache", "cache_position")},
            **{"output_attentions": ask.attentions, "output_hidden_states": ask.hidden},
        }
        out = leaf(model, "decoder")(**{k: v for k, v in said.items() if v is not None}, return_dict=True)
        states = states_in(out.logits)
        states.extras.update(said=out, memory=memory)
        return states
