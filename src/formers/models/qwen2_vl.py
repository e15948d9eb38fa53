"""Qwen2-VL (Wang et al. 2024, arXiv:2409.12191): pictures and films of any size in Qwen2's embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.dynamic_resolution import DynamicResolution, Grids, Kind
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import llama, qwen2
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.multimodal_positions import Shown
from formers.nn.positions import Rotary
from formers.tasks.specs import Words


class Qwen2VLVisionConfig(PretrainedConfig):
    """Configuration of Qwen2-VL's model of patches."""

    model_type = "qwen2_vl_vision"
    base_config_key = "vision_config"
    attribute_map: ClassVar[dict[str, str]] = {
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "depth",
    }
    depth: int = 32
    embed_dim: int = 1280
    hidden_size: int = 3584
    hidden_act: str = "quick_gelu"
    mlp_ratio: int = 4
    num_heads: int = 16
    in_channels: int = 3
    patch_size: int | list[int] = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int | list[int] = 2
    initializer_range: float = 0.02


class Qwen2VLTextConfig(qwen2.Qwen2Config):
    """Configuration of Qwen2-VL's text model."""

    model_type = "qwen2_vl_text"
    base_config_key = "text_config"
    default_theta = 1000000.0
    vocab_size: int = 152064
    hidden_size: int = 8192
    intermediate_size: int = 29568
    num_hidden_layers: int = 80
    num_attention_heads: int = 64
    num_key_value_heads: int | None = 8
    rms_norm_eps: float = 1e-05
    max_window_layers: int = 80
    bos_token_id: int | None = 151643
    eos_token_id: int | list[int] | None = 151645

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        settings = self.rope_parameters or {}
        if settings.get("rope_type") == "mrope":  # how older files call it
            settings["rope_type"] = "default"


class Qwen2VLConfig(PretrainedConfig):
    """Configuration of Qwen2-VL. Older files have the text model's fields beside the others."""

    model_type = "qwen2_vl"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Qwen2VLTextConfig,
        "vision_config": Qwen2VLVisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    image_token_id: int = 151655
    video_token_id: int = 151656
    vision_start_token_id: int = 151652
    vision_end_token_id: int = 151653
    tie_word_embeddings: bool = False

    def __init__(self, **values: Any) -> None:
        if values.get("text_config") is None:
            known = {*self.sub_configs["text_config"]().to_dict(), "rope_scaling", "rope_theta"}
            known -= {"model_type", "architectures", "dtype", "transformers_version", "tie_word_embeddings"}
            values["text_config"] = {name: values.pop(name) for name in [*values] if name in known}
        # older files say the whole's type in its parts
        values |= {name: self._own_part(values[name]) for name in self.sub_configs if name in values}
        super().__init__(**values)
        if self.text_config.tie_word_embeddings:  # older files say it there alone
            self.tie_word_embeddings = True

    def _own_part(self, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("model_type") != self.model_type:
            return given
        return {key: one for key, one in given.items() if key != "model_type"}


IMAGE_NAMES = spec.Names(
    layers="blocks",
    layer={
        "attention_norm": "norm1",
        "qkv": "attn.qkv",
        "o": "attn.proj",
        "feedforward_norm": "norm2",
        "up": "mlp.fc1",
        "act": "mlp.act",
        "down": "mlp.fc2",
    },
    embeddings={"patch": "patch_embed.proj"},
    stack={
        "rotary": "rotary_pos_emb",
        "merge_norm": "merger.ln_q",
        "merge_in": "merger.mlp.0",
        "merge_act": "merger.mlp.1",
        "merge_out": "merger.mlp.2",
    },
)
IMAGE_NORM = spec.Norm("layer", 1e-6)


def turns(c: Any, width: int) -> Rotary:
    """Patches are turned by their rows and their columns."""
    theta = (getattr(c, "rope_parameters", None) or {}).get("rope_theta", 10000.0)
    return Rotary(width, theta, sections=(width // 4, width // 4), shared="each")


def patches(c: Any, width: int, **other: Any) -> spec.GridPatches:
    """The stem of patches."""
    edge, frames = spec.pair(c.patch_size)[0], spec.pair(c.temporal_patch_size)[0]
    return spec.GridPatches(c.in_channels, edge, frames, width, c.spatial_merge_size, **other)


def over_patches(
    c: Any,
    width: int,
    feedforward: spec.FeedForward,
    norm: spec.Norm,
    out: int,
    within: tuple[str, ...],
    layer_class: str,
) -> spec.Stack:
    """Layers over patches, which attend `within` what is named for each, and a merger behind them."""
    heads = spec.Heads.split(width, c.num_heads)
    mixer = spec.Attention(heads, fused="blocks", rotary=turns(c, heads.width))
    layers = tuple(spec.layer(replace(mixer, within=one), feedforward, norm, "pre") for one in within)
    return spec.Stack(
        stem=patches(c, width),
        layers=layers,
        names=IMAGE_NAMES,
        width=width,
        layer_class=layer_class,
        pooler=spec.Merged(c.spatial_merge_size**2, norm, out),
        initial_std=c.initializer_range,
    )


def image(c: Qwen2VLVisionConfig) -> spec.Stack:
    """The model of patches."""
    inner = spec.FeedForward(int(c.embed_dim * c.mlp_ratio), c.hidden_act)
    within = ("frames",) * c.depth
    return over_patches(c, c.embed_dim, inner, IMAGE_NORM, c.hidden_size, within, "Qwen2VLVisionBlock")


def grid_turns(c: Any, width: int, default: tuple[int, ...], shared: Any) -> Rotary:
    """Words and what is shown are turned by time, row and column."""
    settings = dict(c.rope_parameters or {})
    sections = tuple(settings.pop("mrope_section", None) or default)
    settings.pop("mrope_interleaved", None)
    whole = Rotary.of(width, settings, c.max_position_embeddings)
    return replace(whole, sections=sections, shared=shared)


def text_of(layer_class: str) -> Any:
    """Config -> the text model."""

    def stack(c: Qwen2VLTextConfig) -> spec.Stack:
        made = llama.attention(c, Causal(), bias=True, out_bias=False, rotary=None)
        mixer = replace(made, rotary=grid_turns(c, made.heads.width, (16, 24, 24), "runs"))
        feedforward = llama.feedforward(c, c.intermediate_size)
        layers = tuple(llama.block(c, one, feedforward) for one in qwen2.mixers(c, mixer))
        return llama.decoder(c, layers, layer_class)

    return stack


def stands(c: Any, grids: Grids, given: Mapping[str, Any], step: float = 1.0) -> list[Shown]:
    """How what has those grids of patches stands in a text."""
    merge = c.vision_config.spatial_merge_size
    return [Shown(t, h // merge, w // merge, step) for t, h, w in grids]


PICTURES = Kind("image", "pixel_values", "image_grid_thw", lambda c: c.image_token_id, stands)
FILMS = Kind("video", "pixel_values_videos", "video_grid_thw", lambda c: c.video_token_id, stands)
# files have the text model's parts, and the model of patches, where newer trees have both in one model
FILES = (
    *(
        Rename(f"model.{part}.{{rest}}", f"model.language_model.{part}.{{rest}}", written=True)
        for part in ("embed_tokens", "layers", "norm")
    ),
    Rename("visual.{rest}", "model.visual.{rest}", written=True),
)
HEADS = {"ForConditionalGeneration": Head("image_text_to_text", lambda c: Words("lm_head", bias=False))}


def part(model_type: str, name: str, config: type[PretrainedConfig], assembly: Single) -> Family:
    """A part as a family of its own."""
    return Family(
        model_type=model_type,
        name=name,
        config=config,
        base="model",
        assembly=assembly,
        heads={},
    )


READS = ("hidden_states", "grid_thw")
TEXT = register(
    part(
        "qwen2_vl_text",
        "Qwen2VLText",
        Qwen2VLTextConfig,
        Single(text_of("Qwen2VLDecoderLayer")),
    )
)
IMAGE = register(
    part(
        "qwen2_vl_vision",
        "Qwen2VisionTransformerPretrained",
        Qwen2VLVisionConfig,
        Single(image, spec.GridPatches, reads=READS),
    )
)


def whole(
    model_type: str,
    name: str,
    config: type[PretrainedConfig],
    kinds: tuple[Kind, ...],
    renames: tuple[Rename, ...] = FILES,
    more: tuple[str, ...] = (),
) -> Family:
    """Both parts as one model."""
    return Family(
        model_type=model_type,
        name=name,
        config=config,
        base="model",
        assembly=DynamicResolution(
            base_class,
            text=("language_model", "text_config"),
            image=("visual", "vision_config"),
            kinds=kinds,
            merge=lambda c: c.vision_config.spatial_merge_size,
            more=more,
        ),
        heads=HEADS,
        renames=renames,
    )


QWEN2_VL = register(whole("qwen2_vl", "Qwen2VL", Qwen2VLConfig, (PICTURES, FILMS)))
