"""BLIP (Li et al. 2022, arXiv:2201.12086): captions, answers and matches by texts that look at an image."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.captioning import Captioning, look_together
from formers.assemblies.multimodal.contrastive import DualTowers, Shared
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert, clip_towers
from formers.models.classes import base_class, predictor_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full, Mask
from formers.tasks.captioning import MatchSpec
from formers.tasks.captioning import Spec as Writes


class BlipTextConfig(PretrainedConfig):
    """Configuration of BLIP's text model."""

    model_type = "blip_text_model"
    base_config_key = "text_config"
    _available = {"label_smoothing": (0.0,)}
    vocab_size: int = 30524
    hidden_size: int = 768
    encoder_hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 512
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    bos_token_id: int | None = 30522
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = 0
    sep_token_id: int | None = 102
    is_decoder: bool = True
    use_cache: bool = True
    tie_word_embeddings: bool = True
    label_smoothing: float = 0.0


class BlipVisionConfig(PretrainedConfig):
    """Configuration of BLIP's image model."""

    model_type = "blip_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int | list[int] = 384
    patch_size: int | list[int] = 16
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10


class BlipConfig(PretrainedConfig):
    """Configuration of BLIP; its text model reads states as wide as its image model's."""

    model_type = "blip"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": BlipTextConfig, "vision_config": BlipVisionConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592
    image_text_hidden_size: int = 256
    label_smoothing: float = 0.0
    tie_word_embeddings: bool = True
    initializer_factor: float = 1.0
    initializer_range: float = 0.02

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.text_config.encoder_hidden_size = self.vision_config.hidden_size

    @classmethod
    def from_text_vision_configs(cls, text_config: Any, vision_config: Any, **values: Any) -> BlipConfig:
        """The two configs as one."""
        return cls(text_config=text_config, vision_config=vision_config, **values)


_ATTENTION = {
    "qkv": "self_attn.qkv",
    "o": "self_attn.projection",
    "weights_dropout": "self_attn.dropout",
}
IMAGE_NAMES = spec.Names(
    layers="encoder.layers",
    layer={**{k: v for k, v in clip_towers.NAMES.layer.items() if k not in "qkvo"}, **_ATTENTION},
    embeddings=clip_towers.IMAGE_NAMES.embeddings,
    stack={"final_norm": "post_layernorm"},
)
NAMES = bert.NAMES.with_(embeddings={"type": None})


def image(c: Any, bias: bool = True, layer_class: str = "BlipEncoderLayer") -> spec.Stack:
    """ViT's layers; the norm behind them is of all states, and once more of what stands for the image."""
    norm, size, patch = spec.Norm("layer", c.layer_norm_eps), spec.pair(c.image_size), spec.pair(c.patch_size)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    layer = spec.layer(
        spec.Attention(heads, dropout=c.attention_dropout, bias=bias, fused="blocks"),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        "pre",
    )
    return spec.Stack(
        stem=spec.Patches(3, size, patch, c.hidden_size, std=c.initializer_range),
        layers=(layer,) * c.num_hidden_layers,
        names=IMAGE_NAMES,
        width=c.hidden_size,
        layer_class=layer_class,
        final_norm=norm,
        pooler=spec.Summary(again=True),
        reports="plain",
        initial_std=c.initializer_range,
    )


def text(c: BlipTextConfig, mask: Mask | None = None) -> spec.Stack:
    """BERT's layers with cross attention to an image; they look both ways unless the mask says otherwise."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads, rate = spec.Heads.split(c.hidden_size, c.num_attention_heads), c.attention_probs_dropout_prob
    cross = spec.Attention(heads, dropout=rate, cross=True, source=c.encoder_hidden_size)
    layer = spec.layer(
        spec.Attention(heads, mask or Full(), rate),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        cross=cross if c.is_decoder else None,
        dropout=c.hidden_dropout_prob,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="BlipTextLayer",
        pooler=None if mask else c.hidden_size,
        decoder=mask is not None,
        initial_std=c.initializer_range,
    )


def writes(c: BlipConfig) -> Writes:
    """From the token that begins texts to the separator."""
    t = c.text_config
    return Writes(t.bos_token_id, t.sep_token_id, t.pad_token_id)


BLIP_VISION = register(
    Family(
        model_type="blip_vision_model",
        name="BlipVision",
        config=BlipVisionConfig,
        base="blip",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={},
        order=clip_towers.ORDER,
    )
)
_TEXT = (
    *("input_ids", "attention_mask", "position_ids", "inputs_embeds", "encoder_hidden_states"),
    "encoder_attention_mask",
)
BLIP_TEXT = register(
    Family(
        model_type="blip_text_model",
        name="BlipText",
        config=BlipTextConfig,
        base="bert",
        assembly=Single(
            text,
            reads=_TEXT,
            parts={
                "writer": Single(
                    lambda c: text(c, Causal()),
                    reads=(*_TEXT, "past_key_values", "use_cache", "cache_position"),
                )
            },
        ),
        heads={"LMHeadModel": Head("causal_lm", bert.words, over="writer")},
        ignored=bert.BERT.ignored,
    )
)
_IMAGE = ("vision_model", "vision_config")
_READER, _WRITER = ("text_encoder", "text_config"), ("text_decoder", "text_config")
_QUESTION = ("input_ids", "pixel_values", "attention_mask")
BLIP = register(
    Family(
        model_type="blip",
        name="Blip",
        config=BlipConfig,
        base="blip",
        assembly=DualTowers(
            base_class,
            text=("text_model", "text_config"),
            image=_IMAGE,
            shared=lambda c: Shared(
                c.projection_dim, c.logit_scale_init_value, apart=True, std=c.initializer_range
            ),
            parts={
                "captions": Captioning(base_class, _IMAGE, writer=_WRITER, writer_of=predictor_class),
                "answers": Captioning(base_class, _IMAGE, _READER, _WRITER, predictor_class, _QUESTION),
                "matches": Captioning(base_class, _IMAGE, _READER, reads=_QUESTION),
            },
            more={"get_multimodal_features": look_together("text_model", "vision_model", "text_projection")},
        ),
        heads={
            "Model": Head("zero_shot_image_classification", lambda c: None),
            "ForConditionalGeneration": Head("described_captions", writes, over="captions", flat=True),
            "ForQuestionAnswering": Head("described_answers", writes, over="answers", flat=True),
            "ForImageTextRetrieval": Head(
                "described_matches",
                lambda c: MatchSpec("itm_head", "vision_proj", "text_proj", c.image_text_hidden_size),
                over="matches",
                flat=True,
            ),
        },
        ignored=(*clip_towers.IGNORED, r".*embeddings\.position_ids"),
        order=(*clip_towers.ORDER, ("vision_model", "text_encoder", "text_decoder")),
    )
)
