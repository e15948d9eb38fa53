"""DETR (Carion et al. 2020, arXiv:2005.12872): objects as a set that queries find in a map."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.query_detection import Detector, QueryDetection
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.classes import backbone_class, class_of
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.matching import Matching
from formers.tasks.detection import Masks
from formers.tasks.detection import Spec as Objects


class DetectorConfig(PretrainedConfig):
    """What detectors over a backbone share.

    Files may say a network of timm by its name, in place of a `backbone_config`.
    """

    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {"model_type": "resnet", "out_features": ["stage4"]}
    }
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "num_hidden_layers": "encoder_layers",
    }
    _stages: ClassVar[list[int]] = [1, 2, 3, 4]  # of a network by name
    num_channels: int = 3
    num_queries: int = 100
    encoder_layers: int = 6
    encoder_ffn_dim: int = 2048
    encoder_attention_heads: int = 8
    decoder_layers: int = 6
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 8
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    is_encoder_decoder: bool = True
    activation_function: str = "relu"
    d_model: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    init_xavier_std: float = 1.0
    auxiliary_loss: bool = False
    position_embedding_type: str = "sine"
    dilation: bool = False
    class_cost: float = 1
    bbox_cost: float = 5
    giou_cost: float = 2
    mask_loss_coefficient: float = 1
    dice_loss_coefficient: float = 1
    bbox_loss_coefficient: float = 5
    giou_loss_coefficient: float = 2

    def __init__(self, **values: Any) -> None:
        older = {
            name: values.pop(name, None) for name in ("use_timm_backbone", "backbone", "backbone_kwargs")
        }
        values.pop("use_pretrained_backbone", None)  # a checkpoint holds the backbone's weights
        if values.get("backbone_config") is None and older["use_timm_backbone"] is not False:
            values["backbone_config"] = self._by_name(values, older)
        super().__init__(**values)

    def _by_name(self, values: dict[str, Any], older: dict[str, Any]) -> dict[str, Any]:
        more = older["backbone_kwargs"] or {}
        found = {
            "model_type": "timm_backbone",
            "backbone": older["backbone"] or "resnet50",
            "num_channels": more.get("in_chans", values.get("num_channels", self.num_channels)),
            "out_indices": more.get("out_indices", self._stages),
        }
        if values.get("dilation"):
            found["output_stride"] = more.get("output_stride", 16)
        return found


class DetrConfig(DetectorConfig):
    """Configuration of DETR."""

    model_type = "detr"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"position_embedding_type": ("sine", "learned")}
    eos_coefficient: float = 0.1


NAMES = bart.NAMES.with_(embeddings={"token": None, "position": None, "embedding_norm": None})
# a ResNet's stages but the first, by its names and by timm's: the rest is never trained (appendix A.4)
_TRAINED = tuple(f"encoder.stages.{i}." for i in (1, 2, 3)) + tuple(f"layer{i}." for i in (2, 3, 4))


def layer(c: Any, decoder: bool, order: Any = "post") -> spec.Layer:
    """A layer of the encoder or the decoder."""
    heads = c.decoder_attention_heads if decoder else c.encoder_attention_heads
    own = spec.Attention(spec.Heads.split(c.d_model, heads), dropout=c.attention_dropout, placed=True)
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    return spec.layer(
        own,
        spec.FeedForward(inner, c.activation_function, dropout=c.activation_dropout),
        bart.NORM,
        order=order,
        cross=spec.Attention(own.heads, dropout=own.dropout, placed=True, cross=True) if decoder else None,
        dropout=c.dropout,
    )


def half(c: Any, decoder: bool, name: str = "Detr", order: Any = "post", closes: bool = False) -> spec.Stack:
    """The encoder, which a norm `closes`, or the decoder, which one always does."""
    norm = decoder or closes
    return spec.Stack(
        stem=spec.Vectors(c.d_model, asks=decoder, dropout=0.0 if decoder else c.dropout),
        layers=(layer(c, decoder, order),) * (c.decoder_layers if decoder else c.encoder_layers),
        names=NAMES.with_(stack={"final_norm": "layernorm"}) if norm else NAMES,
        width=c.d_model,
        layer_class=f"{name}DecoderLayer" if decoder else f"{name}EncoderLayer",
        final_norm=bart.NORM if norm else None,
        layer_drop=c.decoder_layerdrop if decoder else c.encoder_layerdrop,
        stepwise=decoder and c.auxiliary_loss,
        initial_std=c.init_std,
    )


PATHS = {
    "maps": "backbone.conv_encoder",
    "places": "position_embedding",
    "queries": "query_position_embeddings",
    "narrow": "input_projection",
}


def trained(c: Any) -> tuple[str, ...] | None:
    """Which parameters of a backbone are trained."""
    own = c.backbone_config
    return _TRAINED if "resnet" in (own.model_type + str(getattr(own, "backbone", ""))) else None


def about(c: Any) -> Detector:
    """What stands beside the stacks."""
    return Detector(c.position_embedding_type, c.num_queries, PATHS, trained(c))


def matching(c: Any) -> Matching:
    """What counts in the loss."""
    parts = ("bbox", "giou", "mask", "dice")
    weights = {f"loss_{part}": getattr(c, f"{part}_loss_coefficient", 0.0) for part in parts}
    return Matching(c.class_cost, c.bbox_cost, c.giou_cost, c.eos_coefficient, {"loss_ce": 1.0, **weights})


BOXES = Head("object_detection", lambda c: Objects(matching(c)))
PIXELS = Head(
    "object_segmentation",
    lambda c: Masks(c.encoder_attention_heads, c.activation_function),
    over="detector",
    flat=True,
)
_NEWER = {"self_attn.o_proj": "self_attn.out_proj", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}
# newer attribute paths -> those of the files
ALIASES = {
    "backbone.model": "backbone.conv_encoder.model",
    "decoder.layers.{i}.encoder_attn.o_proj": "decoder.layers.{i}.encoder_attn.out_proj",
    **{
        f"{part}.layers.{{i}}.{new}": f"{part}.layers.{{i}}.{old}"
        for part in ("encoder", "decoder")
        for new, old in _NEWER.items()
    },
}
DETR: Family = register(
    Family(
        model_type="detr",
        name="Detr",
        config=DetrConfig,
        base="model",
        assembly=QueryDetection(
            half, about, backbone_class, lambda: class_of(DETR, "ForObjectDetection"), "detr"
        ),
        heads={"ForObjectDetection": BOXES, "ForSegmentation": PIXELS},
        aliases=ALIASES,
        ignored=(r"backbone\..*\.num_batches_tracked$",),
        renames=(Rename("model.backbone.{rest}", "model.backbone.conv_encoder.{rest}"),),
    )
)
