"""Any encoder of images with any decoder of texts (Li et al. 2021, arXiv:2109.10282): captions, and OCR."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.composed_pair import ComposedPair
from formers.assemblies.family import Family, Head
from formers.models.classes import base_class, predictor_class
from formers.models.encoder_decoder import DECODES, EncoderDecoderConfig
from formers.models.registry import config_of, register
from formers.nn import spec


class VisionEncoderDecoderConfig(EncoderDecoderConfig):
    """Configuration of a pair."""

    model_type = "vision-encoder-decoder"
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "encoder": {"model_type": "vit"},
        "decoder": {"model_type": "bert", **DECODES},
    }


VISION_ENCODER_DECODER = register(
    Family(
        model_type="vision-encoder-decoder",
        name="VisionEncoderDecoder",
        config=VisionEncoderDecoderConfig,
        base="vision_encoder_decoder",
        assembly=ComposedPair(base_class, predictor_class, config_of, stem=spec.Patches),
        heads={"Model": Head("joined_captions", lambda c: None, flat=True)},
    )
)
