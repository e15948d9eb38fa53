"""CLIPSeg (Lüddecke & Ecker 2021, arXiv:2112.10003): CLIP's towers, and masks of what is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Head
from formers.assemblies.multimodal.contrastive import DualTowers
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.models import clip, clip_towers
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import nets
from formers.tasks.prompted_segmentation import Spec


class CLIPSegTextConfig(clip_towers.CLIPTextConfig):
    """Configuration of CLIPSeg's text tower."""

    model_type = "clipseg_text_model"


class CLIPSegVisionConfig(clip_towers.CLIPVisionConfig):
    """Configuration of CLIPSeg's image tower."""

    model_type = "clipseg_vision_model"


class CLIPSegConfig(clip.CLIPConfig):
    """Configuration of CLIPSeg.

    Decoders were trained with ReLU and without a dropout of their own, though files say `quick_gelu`: other
    values of `decoder_hidden_act` and `decoder_attention_dropout` would change nothing, and are refused.
    """

    model_type = "clipseg"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": CLIPSegTextConfig,
        "vision_config": CLIPSegVisionConfig,
    }
    _available = {"decoder_attention_dropout": (0.0,), "decoder_hidden_act": ("quick_gelu", "relu")}
    extract_layers: list[int] = [3, 6, 9]
    reduce_dim: int = 64
    decoder_num_attention_heads: int = 4
    decoder_attention_dropout: float = 0.0
    decoder_hidden_act: str = "quick_gelu"
    decoder_intermediate_size: int = 2048
    conditional_layer: int = 0
    use_complex_transposed_convolution: bool = False


_LAYER = "CLIPSegEncoderLayer"
_BESIDE = r"^decoder\.|^(clip\.)?(text_projection|visual_projection|logit_scale|{}_model)(\.|$)"
NAMES = spec.Names(layers="layers", layer=clip_towers.NAMES.layer, embeddings={})
PATHS = {"times": "film_mul", "plus": "film_add", "narrow": "reduces", "large": "transposed_convolution"}


def layers(c: CLIPSegConfig) -> spec.Stack:
    """The decoder's."""
    seen, wide = c.vision_config, c.reduce_dim
    heads = spec.Heads.split(wide, c.decoder_num_attention_heads)
    one = spec.layer(
        spec.Attention(heads, dropout=seen.attention_dropout),
        spec.FeedForward(c.decoder_intermediate_size, "relu"),
        spec.Norm("layer", seen.layer_norm_eps),
    )
    return spec.Stack(
        stem=spec.Vectors(wide),
        layers=(one,) * len(c.extract_layers),
        names=NAMES,
        width=wide,
        layer_class="CLIPSegDecoderLayer",
        init=clip_towers.deviations(wide, seen.num_hidden_layers, c.initializer_factor),
    )


def large(c: CLIPSegConfig) -> Any:
    """Pixels of places: at once, or in two steps with more between."""
    wide, (side, _) = c.reduce_dim, spec.pair(c.vision_config.patch_size)
    if not c.use_complex_transposed_convolution:
        return nets.Spread(wide, 1, side)
    act, half = nets.Act("relu"), wide // 2
    both = nets.Spread(wide, half, side // 4), nets.Spread(half, 1, side // 4)
    return nets.row(nets.Conv(wide, wide, 3, bias=True), act, both[0], act, both[1])


def decoder(c: CLIPSegConfig) -> Spec:
    """What masks are made with."""
    return Spec(
        stack=layers(c),
        node="decoder",
        paths=PATHS,
        large=large(c),
        chosen=tuple(c.extract_layers),
        told=c.conditional_layer,
        width=c.vision_config.hidden_size,
        shared=c.projection_dim,
        patch=spec.pair(c.vision_config.patch_size),
    )


def text(c: CLIPSegTextConfig) -> spec.Stack:
    """CLIP's."""
    return replace(clip_towers.text(c), layer_class=_LAYER)


def image(c: CLIPSegVisionConfig) -> spec.Stack:
    """CLIP's, which reads images of any size."""
    return replace(clip_towers.image(c, free=True), layer_class=_LAYER)


register(
    replace(
        clip_towers.TEXT,
        model_type="clipseg_text_model",
        name="CLIPSegText",
        config=CLIPSegTextConfig,
        base="clip",
        assembly=Single(text, reads=("input_ids", "attention_mask", "position_ids")),
        heads={},
        ignored=(*clip_towers.IGNORED, _BESIDE.format("vision")),
        renames=(Rename("text_model.{path}", "{path}"),),
    )
)
register(
    replace(
        clip_towers.IMAGE,
        model_type="clipseg_vision_model",
        name="CLIPSegVision",
        config=CLIPSegVisionConfig,
        base="clip",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={},
        ignored=(*clip_towers.IGNORED, _BESIDE.format("text")),
        renames=(Rename("vision_model.{path}", "{path}"),),
    )
)
CLIPSEG = register(
    replace(
        clip.CLIP,
        model_type="clipseg",
        name="CLIPSeg",
        config=CLIPSegConfig,
        base="clip",
        assembly=DualTowers(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=clip.shared,
        ),
        heads={
            "Model": clip.CLIP.heads["Model"],
            "ForImageSegmentation": Head("prompted_segmentation", decoder),
        },
    )
)
