"""Any encoder with any decoder (Rothe et al. 2019, arXiv:1907.12461), joined by cross attention."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.composed_pair import ComposedPair
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models.classes import base_class, predictor_class
from formers.models.registry import config_class, config_of, register

DECODES = {"is_decoder": True, "add_cross_attention": True}


class EncoderDecoderConfig(PretrainedConfig):
    """Configuration of a pair."""

    model_type = "encoder-decoder"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": config_class, "decoder": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "encoder": {"model_type": "bert"},
        "decoder": {"model_type": "bert", **DECODES},
    }
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"tie_encoder_decoder": (False,)}
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    is_encoder_decoder: bool = True
    tie_encoder_decoder: bool = False
    use_cache: bool = True

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: PretrainedConfig, decoder_config: PretrainedConfig, **values: Any
    ) -> EncoderDecoderConfig:
        """The two configs as one; the decoder's becomes that of a decoder with cross attention."""
        decoder_config.is_decoder = decoder_config.add_cross_attention = True
        return cls(encoder=encoder_config.to_dict(), decoder=decoder_config.to_dict(), **values)


ENCODER_DECODER = register(
    Family(
        model_type="encoder-decoder",
        name="EncoderDecoder",
        config=EncoderDecoderConfig,
        base="encoder_decoder",
        assembly=ComposedPair(base_class, predictor_class, config_of),
        heads={"Model": Head("joined_generation", lambda c: None, flat=True)},
    )
)
