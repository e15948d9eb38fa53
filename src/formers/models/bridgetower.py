"""BridgeTower (Xu et al. 2022, arXiv:2206.08657): RoBERTa, CLIP's blocks, and layers over all of theirs."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.bridged_towers import Above, BridgedTowers, Seeing, SeeingTower
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert, clip_towers, roberta
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.mutual_layers import Crossing
from formers.nn.tower_bridges import Blocks
from formers.tasks.bridged_towers import ContrastSpec, FitSpec
from formers.tasks.specs import Words


class BridgeTowerTextConfig(PretrainedConfig):
    """Configuration of BridgeTower's text tower."""

    model_type = "bridgetower_text_model"
    base_config_key = "text_config"
    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    initializer_factor: float = 1.0
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    use_cache: bool = True
    is_decoder: bool = False
    add_cross_attention: bool = False


class BridgeTowerVisionConfig(PretrainedConfig):
    """Configuration of BridgeTower's image tower."""

    model_type = "bridgetower_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_channels: int = 3
    patch_size: int | list[int] = 16
    image_size: int | list[int] = 288
    initializer_factor: float = 1.0
    layer_norm_eps: float = 1e-5
    stop_gradient: bool = False
    share_layernorm: bool = True
    remove_last_layer: bool = False


class BridgeTowerConfig(PretrainedConfig):
    """Configuration of BridgeTower."""

    model_type = "bridgetower"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": BridgeTowerTextConfig,
        "vision_config": BridgeTowerVisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    share_cross_modal_transformer_layers: bool = True
    hidden_act: str = "gelu"
    hidden_size: int = 768
    initializer_factor: float = 1.0
    layer_norm_eps: float = 1e-5
    share_link_tower_layers: bool = False
    link_tower_type: str = "add"
    num_attention_heads: int = 12
    num_hidden_layers: int = 6
    tie_word_embeddings: bool = False
    init_layernorm_from_vision_encoder: bool = False


CROSSING = {
    **{"own": "attention", "own_read": "self", "own_add": "output", "own_up": "intermediate"},
    **{"own_down": "output", "across": "crossattention", "across_read": "self", "across_add": "output"},
    **{"q": "query", "k": "key", "v": "value", "weights_dropout": "dropout", "out": "dense"},
    **{"norm": "LayerNorm", "dropout": "dropout", "up": "dense", "act": "intermediate_act_fn"},
}


def text(c: BridgeTowerTextConfig) -> spec.Stack:
    """RoBERTa's."""
    return roberta.encoder(c, "BridgeTowerTextLayer", std=0.05 * c.initializer_factor)


def image(c: BridgeTowerVisionConfig) -> Seeing:
    """CLIP's patches, and blocks."""
    blocks = Blocks(
        c.hidden_size,
        spec.Norm("layer", c.layer_norm_eps),
        c.num_hidden_layers - int(c.remove_last_layer),
        c.initializer_factor,
    )
    stem = spec.Patches(
        c.num_channels,
        spec.pair(c.image_size),
        spec.pair(c.patch_size),
        c.hidden_size,
        std=blocks.deviation("read"),
        bias=False,
        flat=True,
    )
    separate = 0 if c.share_layernorm else c.num_hidden_layers
    return Seeing(stem, clip_towers.IMAGE_NAMES.embeddings, blocks, separate)


def above(c: BridgeTowerConfig) -> Above:
    """The layers over both; each is like one of the text tower."""
    t, norm = c.text_config, spec.Norm("layer", c.layer_norm_eps)
    crossing = Crossing(
        t.hidden_size,
        t.num_attention_heads,
        t.intermediate_size,
        t.hidden_act,
        spec.Norm("layer", t.layer_norm_eps),
        CROSSING,
        t.hidden_dropout_prob,
        t.attention_probs_dropout_prob,
    )
    return Above(
        crossing,
        c.num_hidden_layers,
        c.hidden_size,
        norm,
        c.link_tower_type,
        c.share_cross_modal_transformer_layers,
        c.share_link_tower_layers,
        c.initializer_factor,
    )


def words(c: BridgeTowerConfig) -> Words:
    """A transformed state, a table and a bias beside it."""
    inside = "mlm_score.transform"
    return Words(
        "mlm_score.decoder",
        dense=f"{inside}.dense",
        act=c.hidden_act,
        act_path=f"{inside}.transform_act_fn",
        norm=f"{inside}.LayerNorm",
        eps=c.layer_norm_eps,
        bias=False,
        bias_path="mlm_score.bias",
    )


def contrast(c: BridgeTowerConfig) -> ContrastSpec:
    """Vectors of texts, images and both."""
    heads = ("itc_text_head", "itc_image_head", "itc_cross_modal_head")
    size, scale = getattr(c, "contrastive_hidden_size", 512), getattr(c, "logit_scale_init_value", 2.6592)
    return ContrastSpec(heads, c.hidden_size, size, scale)


TEXT = register(
    Family(
        model_type="bridgetower_text_model",
        name="BridgeTowerText",
        config=BridgeTowerTextConfig,
        base="bridgetower",
        assembly=Single(text, reads=("input_ids", "attention_mask", "token_type_ids", "position_ids")),
        heads={},
        ignored=bert.BERT.ignored,
    )
)
IMAGE = register(
    Family(
        model_type="bridgetower_vision_model",
        name="BridgeTowerVision",
        config=BridgeTowerVisionConfig,
        base="bridgetower",
        assembly=SeeingTower(image, "visual"),
        heads={},
        ignored=clip_towers.IGNORED,
    )
)
BRIDGETOWER = register(
    Family(
        model_type="bridgetower",
        name="BridgeTower",
        config=BridgeTowerConfig,
        base="bridgetower",
        assembly=BridgedTowers(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            above=above,
        ),
        heads={
            "ForMaskedLM": Head("masked_lm", words),
            "ForImageAndTextRetrieval": Head(
                "text_fits_picture", lambda c: FitSpec("itm_score", c.hidden_size)
            ),
            "ForContrastiveLearning": Head("towers_contrast", contrast),
        },
        ignored=(*clip_towers.IGNORED, *bert.BERT.ignored),
    )
)
