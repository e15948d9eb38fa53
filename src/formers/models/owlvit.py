"""OWL-ViT (Minderer et al. 2022, arXiv:2205.06230) and OWLv2 (arXiv:2306.09683): boxes of what texts say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.base import BaseModel
from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.contrastive import DualTowers
from formers.assemblies.nested import Wrapped
from formers.assemblies.single import Single
from formers.models import clip, clip_towers
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import nets
from formers.tasks.open_vocabulary_detection import Spec


class OwlViTTextConfig(clip_towers.CLIPTextConfig):
    """Configuration of OWL-ViT's text tower."""

    model_type = "owlvit_text_model"
    max_position_embeddings: int = 16
    pad_token_id: int | None = 0


class OwlViTVisionConfig(clip_towers.CLIPVisionConfig):
    """Configuration of OWL-ViT's image tower."""

    model_type = "owlvit_vision_model"
    image_size: int | list[int] = 768


class OwlViTConfig(clip.CLIPConfig):
    """Configuration of OWL-ViT."""

    model_type = "owlvit"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": OwlViTTextConfig,
        "vision_config": OwlViTVisionConfig,
    }


class Owlv2TextConfig(OwlViTTextConfig):
    """Configuration of OWLv2's text tower."""

    model_type = "owlv2_text_model"


class Owlv2VisionConfig(OwlViTVisionConfig):
    """Configuration of OWLv2's image tower."""

    model_type = "owlv2_vision_model"
    patch_size: int | list[int] = 16


class Owlv2Config(OwlViTConfig):
    """Configuration of OWLv2."""

    model_type = "owlv2"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Owlv2TextConfig,
        "vision_config": Owlv2VisionConfig,
    }


IMAGE_NAMES = clip_towers.IMAGE_NAMES.with_(stack={"first_norm": "pre_layernorm"})


def perceptron(wide: int, out: int) -> nets.Node:
    """Three linear layers."""
    inner, last = nets.Dense(wide, wide), nets.Dense(wide, out)
    parts = {"dense0": inner, "dense1": inner, "gelu": nets.Act("gelu"), "dense2": last}
    return nets.Node(parts, ("dense0", "gelu", "dense1", "gelu", "dense2"))


def queried(sure: bool) -> Head:
    """Labels and boxes of patches, and how `sure` it is that there is something."""

    def made(c: OwlViTConfig) -> Spec:
        seen = c.vision_config
        wide, nodes = seen.hidden_size, {"boxes": ("box_head", 4), "objects": ("objectness_head", 1)}
        return Spec(
            width=wide,
            shared=c.text_config.hidden_size,
            labels="class_head",
            inside={"space": "dense0", "shift": "logit_shift", "scale": "logit_scale", "act": "elu"},
            nodes={
                role: (path, perceptron(wide, out))
                for role, (path, out) in nodes.items()
                if sure or role == "boxes"
            },
            norm=("layer_norm", spec.Norm("layer", seen.layer_norm_eps)),
            squash="sigmoid",
            patch=spec.pair(seen.patch_size),
        )

    return Head("open_vocabulary_detection", made)


def text(layer: str) -> Single:
    """The text tower: the highest id ends a text."""
    return Single(
        lambda c: replace(clip_towers.text(c), layer_class=layer, pooler=spec.Summary("end")),
        reads=("input_ids", "attention_mask", "position_ids"),
    )


def image(layer: str) -> Single:
    """The image tower."""
    return Single(
        lambda c: replace(clip_towers.image(c), layer_class=layer, names=IMAGE_NAMES),
        spec.Patches,
        reads=("pixel_values", "interpolate_pos_encoding"),
    )


def part(name: str, config: type[Any], inner: Single, base: str) -> type[BaseModel]:
    """A tower as it stands in the whole; in a file of its own it has the same path."""
    path = config.base_config_key.replace("config", "model")
    found: list[type[BaseModel]] = []
    own = register(
        Family(
            model_type=config.model_type,
            name=name,
            config=config,
            base=base,
            assembly=Wrapped(lambda: found[0], path, inner),
            heads={},
            ignored=(*clip_towers.IGNORED, rf"^{base}\.(?!{path})"),
            order=clip_towers.ORDER,
        )
    )
    within = replace(own, ignored=clip_towers.IGNORED)
    about = {"_family": within, "_assembly": inner, "config_class": config, "base_model_prefix": path}
    found.append(type(f"{name}Transformer", (BaseModel,), {**about, "__module__": __name__}))
    return found[0]


def family(name: str, config: type[Any], parts: tuple[type[BaseModel], ...], sure: bool) -> Family:
    """One release."""
    kinds = {one.config_class: one for one in parts}
    return register(
        replace(
            clip.CLIP,
            model_type=config.model_type,
            name=name,
            config=config,
            base=config.model_type,
            assembly=DualTowers(
                lambda c: kinds[type(c)],
                text=("text_model", "text_config"),
                image=("vision_model", "vision_config"),
                shared=lambda c: replace(clip.shared(c), apart=True),
            ),
            heads={"ForObjectDetection": queried(sure)},
        )
    )


_LAYER, _LAYER2 = "OwlViTEncoderLayer", "Owlv2EncoderLayer"
OwlViTTextTransformer = part("OwlViTText", OwlViTTextConfig, text(_LAYER), "owlvit")
OwlViTVisionTransformer = part("OwlViTVision", OwlViTVisionConfig, image(_LAYER), "owlvit")
Owlv2TextTransformer = part("Owlv2Text", Owlv2TextConfig, text(_LAYER2), "owlv2")
Owlv2VisionTransformer = part("Owlv2Vision", Owlv2VisionConfig, image(_LAYER2), "owlv2")
OWLVIT = family("OwlViT", OwlViTConfig, (OwlViTTextTransformer, OwlViTVisionTransformer), sure=False)
OWLV2 = family("Owlv2", Owlv2Config, (Owlv2TextTransformer, Owlv2VisionTransformer), sure=True)
