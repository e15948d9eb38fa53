"""MusicGen (Copet et al. 2023, arXiv:2306.05284): music of texts, by codes of several books at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.audio.text_to_codes import CodeDecoder, TextToCodes
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.classes import base_class, class_of, text_encoder_class
from formers.models.hubert import RENAMES
from formers.models.registry import config_class, config_of, family_of, register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.speech_stages import Books


class MusicgenDecoderConfig(PretrainedConfig):
    """Configuration of MusicGen's decoder."""

    model_type = "musicgen_decoder"
    base_config_key = "decoder_config"
    vocab_size: int = 2048
    max_position_embeddings: int = 2048
    num_hidden_layers: int = 24
    ffn_dim: int = 4096
    num_attention_heads: int = 16
    layerdrop: float = 0.0
    use_cache: bool = True
    activation_function: str = "gelu"
    hidden_size: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    initializer_factor: float = 0.02
    scale_embedding: bool = False
    num_codebooks: int = 4
    audio_channels: int = 1
    pad_token_id: int | None = 2048
    bos_token_id: int | None = 2048
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = False
    cross_attention_hidden_size: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.audio_channels not in (1, 2):
            raise ValueError(f"audio_channels is 1 (mono) or 2 (stereo), not {self.audio_channels}")


class MusicgenConfig(PretrainedConfig):
    """Configuration of MusicGen."""

    model_type = "musicgen"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_encoder": config_class,
        "audio_encoder": config_class,
        "decoder": MusicgenDecoderConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_encoder": {"model_type": "t5"},
        "audio_encoder": {"model_type": "encodec"},
        "decoder": {},
    }
    is_encoder_decoder: bool = True
    initializer_factor: float = 0.02

    @classmethod
    def from_sub_models_config(
        cls, text_encoder_config: Any, audio_encoder_config: Any, decoder_config: Any, **values: Any
    ) -> MusicgenConfig:
        """The three configs as one."""
        return cls(
            text_encoder=text_encoder_config,
            audio_encoder=audio_encoder_config,
            decoder=decoder_config,
            **values,
        )

    @property
    def sampling_rate(self) -> int:
        """Of the codec's sounds, in Hz."""
        return int(self.audio_encoder.sampling_rate)


def stack(c: Any) -> spec.Stack:
    """BART's layers with norms before their parts, over the summed vectors of all books."""
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    attention = spec.Attention(heads, Causal(), c.attention_dropout, bias=False, out_bias=False)
    norm = spec.Norm("layer", 1e-5)
    layer = spec.layer(
        attention,
        spec.FeedForward(c.ffn_dim, c.activation_function, bias=False, dropout=c.activation_dropout),
        norm,
        "pre",
        cross=spec.Attention(heads, dropout=c.attention_dropout, bias=False, out_bias=False, cross=True),
        dropout=c.dropout,
    )
    return spec.Stack(
        stem=spec.Codes(
            c.vocab_size + 1,
            c.hidden_size,
            positions=spec.ComputedPositions(cosines=True),
            dropout=c.dropout,
            books=c.num_codebooks,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=replace(
            bart.NAMES,
            embeddings={**spec.tables_of("embed_tokens", c.num_codebooks), "position": "embed_positions"},
            stack={"final_norm": "layer_norm"},
        ),
        width=c.hidden_size,
        layer_class="MusicgenDecoderLayer",
        layer_drop=c.layerdrop,
        decoder=True,
        final_norm=norm,
        initial_std=c.initializer_factor,
    )


MUSICGEN_DECODER = register(
    Family(
        model_type="musicgen_decoder",
        name="Musicgen",
        config=MusicgenDecoderConfig,
        base="model",
        assembly=CodeDecoder(stack, lambda c: int(c.num_codebooks)),
        spelt={"PreTrainedModel": "MusicgenDecoderPreTrainedModel"},
        heads={"ForCausalLM": Head("code_lm", lambda c: Books("lm_heads", c.num_codebooks, 0, c.vocab_size))},
        ignored=(r".*embed_positions\.weights",),
    )
)
MUSICGEN = register(
    Family(
        model_type="musicgen",
        name="Musicgen",
        config=MusicgenConfig,
        base="encoder_decoder",
        assembly=TextToCodes(
            text_encoder_class,
            base_class,
            lambda c: class_of(family_of(c.model_type), "ForCausalLM"),
            config_of,
        ),
        heads={"ForConditionalGeneration": Head("codes_of_texts", lambda c: None, flat=True)},
        renames=RENAMES,
        bare="",
        ignored=(r".*embed_positions\.weights",),
    )
)
