"""LayoutLMv2 (Xu et al. 2020, arXiv:2012.14740): one encoder over a page's words, boxes and a map of it.

A ResNeXt below a pyramid of maps reads its picture, see `spec.detectron2_backbone`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.single_stream import Pictured
from formers.configs import PretrainedConfig
from formers.models import bert, layoutlm, layoutlmv3
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import PageBuckets
from formers.nn.spec.detectron2_backbone import STAGES, Settings, pooled
from formers.tasks.specs import Labels, Sequences, Spans


class LayoutLMv2Config(PretrainedConfig):
    """Configuration of LayoutLMv2.

    Raises:
        ValueError: for a backbone that is not built here.
    """

    model_type = "layoutlmv2"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    max_2d_position_embeddings: int = 1024
    max_rel_pos: int = 128
    rel_pos_bins: int = 32
    fast_qkv: bool = True
    max_rel_2d_pos: int = 256
    rel_2d_pos_bins: int = 64
    convert_sync_batchnorm: bool = True
    image_feature_pool_shape: list[int] = [7, 7, 256]
    coordinate_size: int = 128
    shape_size: int = 128
    has_relative_attention_bias: bool = True
    has_spatial_attention_bias: bool = True
    has_visual_segment_embedding: bool = False
    detectron2_config_args: dict[str, Any] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.detectron2_config_args is None:
            self.detectron2_config_args = self.get_default_detectron2_config()

    @classmethod
    def get_default_detectron2_config(cls) -> dict[str, Any]:
        """The settings of published checkpoints: a ResNeXt-101 of 32 groups, 8 wide each."""
        sizes = [[32], [64], [128], [256], [512]]
        return {
            "MODEL.MASK_ON": True,
            "MODEL.PIXEL_STD": [57.375, 57.120, 58.395],
            "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
            **{f"MODEL.{part}_FEATURES": [*STAGES] for part in ("FPN.IN", "RESNETS.OUT")},
            "MODEL.ANCHOR_GENERATOR.SIZES": sizes,
            "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
            **{f"MODEL.RPN.PRE_NMS_TOPK_{when}": most for when, most in (("TRAIN", 2000), ("TEST", 1000))},
            "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
            "MODEL.POST_NMS_TOPK_TEST": 1000,
            "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
            "MODEL.ROI_HEADS.NUM_CLASSES": 5,
            "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
            "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
            "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
            "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 14,
            "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
            "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
            "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 7,
            "MODEL.RESNETS.DEPTH": 101,
            "MODEL.RESNETS.SIZES": sizes,
            "MODEL.RESNETS.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
            "MODEL.RESNETS.NUM_GROUPS": 32,
            "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
        }


PICTURE = {
    "network": "visual",
    "map_projection": "visual_proj",
    "map_norm": "visual_LayerNorm",
    "map_dropout": "visual_dropout",
    "map_kind": "visual_segment_embedding",
}
BOXES = {role: layoutlm.NAMES.embeddings[role] for role in ("x", "y", "height", "width")}
NAMES = bert.NAMES.with_(
    layer={"qkv": "attention.self.qkv_linear"}
    | {one: f"attention.self.{one}" for one in ("q_bias", "v_bias")},
    embeddings={**BOXES, **PICTURE},
    stack=layoutlmv3.BIASES,
)


def biases(c: LayoutLMv2Config) -> PageBuckets | None:
    """What is added to scores as it is."""
    found = layoutlmv3.biases(c)
    return found and replace(found, scaled=False, alone=True)


def stack(c: LayoutLMv2Config) -> spec.Stack:
    """BERT's layers over words and the rows of a map.

    Raises:
        ValueError: for positions, boxes or a backbone that do not fit.
    """
    layoutlmv3.check_boxes(c)
    built = Settings.of(c.detectron2_config_args or {})
    made, grid = bert.encoder(c, "LayoutLMv2Layer"), c.image_feature_pool_shape[:2]
    tokens = made.stem
    assert isinstance(tokens, spec.Tokens)
    stem = spec.DocumentMaps(
        tokens.vocabulary,
        tokens.width,
        positions=tokens.positions,
        types=tokens.types,
        boxes=c.max_2d_position_embeddings,
        box_widths=(c.coordinate_size, c.shape_size),
        box_limited=False,
        norm=tokens.norm,
        dropout=tokens.dropout,
        padding_idx=tokens.padding_idx,
        network=pooled(built, c.image_feature_pool_shape),
        grid=(grid[0], grid[1]),
        map_width=built["FPN.OUT_CHANNELS"],
        channels=len(built["PIXEL_MEAN"]),
        stride=built.stride,
        kind=c.has_visual_segment_embedding,
    )
    own = spec.Attention(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.attention_probs_dropout_prob,
        fused="blocks" if c.fast_qkv else "",
        biases=(True, False, True) if c.fast_qkv else None,
        score_bias=biases(c),
    )
    norm, inner = spec.Norm("layer", c.layer_norm_eps), spec.FeedForward(c.intermediate_size, c.hidden_act)
    layer = spec.layer(own, inner, norm, dropout=c.hidden_dropout_prob)
    return replace(made, stem=stem, layers=(layer,) * c.num_hidden_layers, names=NAMES)


def sequences(c: LayoutLMv2Config) -> Sequences:
    """A label by the first token, and by means of the picture's rows before and behind the layers."""
    return Sequences("classifier", pool="page", dropout=c.hidden_dropout_prob, dropout_path="dropout")


READS = ("input_ids", "bbox", "image", *layoutlm.READS[2:])
LAYOUTLMV2 = register(
    Family(
        model_type="layoutlmv2",
        name="LayoutLMv2",
        config=LayoutLMv2Config,
        base="layoutlmv2",
        assembly=Pictured(stack, spec.DocumentMaps, reads=READS),
        heads={
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True, whole=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob), pooler=True
            ),
            "ForQuestionAnswering": Head(
                "document_question_answering",
                lambda c: Spans(two_labels=True),
                pooler=True,
                sets={"has_visual_segment_embedding": True},
            ),
        },
        ignored=(*bert.BERT.ignored, r"visual\.pixel_(mean|std)$", r"visual\..*\.num_batches_tracked$"),
    )
)
