"""MaskFormer (Cheng et al. 2021, arXiv:2107.06278): a mask and a label for every query, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.query_segmentation import QuerySegmenter
from formers.configs import PretrainedConfig
from formers.models import detr
from formers.models.classes import backbone_class
from formers.models.maskformer_swin import MaskFormerSwinConfig
from formers.models.registry import config_class, register
from formers.nn.segment_matching import SegmentMatching
from formers.nn.spec import multi_scale, nets
from formers.tasks.query_segmentation import Spec as Masks

STAGES = ["stage1", "stage2", "stage3", "stage4"]


class MaskFormerConfig(PretrainedConfig):
    """Configuration of MaskFormer.

    Raises:
        ValueError: for a decoder that is not DETR's.
    """

    model_type = "maskformer"
    attribute_map = {"hidden_size": "mask_feature_size"}
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class, "decoder_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {
            **{"model_type": "swin", "depths": [2, 2, 18, 2], "drop_path_rate": 0.3, "image_size": 384},
            **{"embed_dim": 128, "num_heads": [4, 8, 16, 32], "window_size": 12, "out_features": STAGES},
        },
        "decoder_config": {"model_type": "detr"},
    }
    backbone_config: Any = None
    decoder_config: Any = None
    fpn_feature_size: int = 256
    mask_feature_size: int = 256
    no_object_weight: float = 0.1
    use_auxiliary_loss: bool = False
    init_std: float = 0.02
    init_xavier_std: float = 1.0
    dice_weight: float = 1.0
    cross_entropy_weight: float = 1.0
    mask_weight: float = 20.0
    output_auxiliary_logits: bool | None = None
    num_attention_heads: int | None = None
    num_hidden_layers: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        kind = self.decoder_config.model_type
        if kind != detr.DetrConfig.model_type:
            raise ValueError(
                f"the decoder of MaskFormer is DETR's, so decoder_config says 'detr', not {kind!r}"
            )
        self.num_attention_heads = self.decoder_config.encoder_attention_heads
        self.num_hidden_layers = self.decoder_config.encoder_layers


def settled(c: MaskFormerConfig) -> Any:
    """The backbone's config; a Swin is the one of this family, and gives the maps of all stages."""
    if isinstance(c.backbone_config, config_class({"model_type": "swin"})):
        values = {k: v for k, v in c.backbone_config.to_dict().items() if k not in _NOT_TAKEN}
        c.backbone_config = MaskFormerSwinConfig(**values, out_features=STAGES)
    return c.backbone_config


_NOT_TAKEN = ("model_type", "out_features", "out_indices")


def mixed(read: int, made: int, kernel: int, gain: float, act: bool = True) -> nets.Node:
    """A convolution, a norm of groups of channels, an activation."""
    parts = (nets.Conv(read, made, kernel, gain=gain), nets.GroupNorm(made, groups=32))
    return nets.row(*parts, *([nets.Act("relu")] if act else []))


def pixels(c: MaskFormerConfig, widths: Sequence[int]) -> nets.Node:
    """A pyramid, from the last map to the first, whose largest is projected."""
    wide, gain = c.fpn_feature_size, c.init_xavier_std
    layers = [
        nets.Node(
            {"proj": mixed(read, wide, 1, gain, act=False), "block": mixed(wide, wide, 3, gain)},
            ("proj", multi_scale.Raised(), "block"),
        )
        for read in widths[-2::-1]
    ]
    pyramid = nets.Node(
        {"stem": mixed(widths[-1], wide, 3, gain), "layers": nets.row(*layers)},
        (multi_scale.Fold("layers", first="stem"),),
    )
    last = nets.Conv(wide, c.mask_feature_size, 3, bias=True)
    run = ("fpn", nets.KEEP, multi_scale.Pick(-1), "mask_projection")
    return nets.Node({"fpn": pyramid, "mask_projection": last}, run, record=True)


def masks(c: MaskFormerConfig) -> Masks:
    """How segments are found."""
    costs = SegmentMatching(1.0, c.mask_weight, c.dice_weight, c.cross_entropy_weight, c.no_object_weight)
    width = c.decoder_config.hidden_size
    return Masks(costs, width, c.mask_feature_size, c.use_auxiliary_loss, c.init_xavier_std)


_DECODER = "transformer_module.decoder"
MASKFORMER = register(
    Family(
        model_type="maskformer",
        name="MaskFormer",
        config=MaskFormerConfig,
        base="model",
        assembly=QuerySegmenter(
            settled,
            backbone_class,
            pixels,
            partial(detr.half, decoder=True, name="MaskFormerDetr"),
            inner=lambda c: c.decoder_config,
            queries=lambda c: c.decoder_config.num_queries,
        ),
        heads={"ForInstanceSegmentation": Head("instance_masks", masks)},
        aliases={
            f"{_DECODER}.{new.removeprefix('decoder.')}": f"{_DECODER}.{old.removeprefix('decoder.')}"
            for new, old in detr.ALIASES.items()
            if new.startswith("decoder.")
        },
    )
)
