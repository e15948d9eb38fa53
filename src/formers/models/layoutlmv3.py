"""LayoutLMv3 (Huang et al. 2022, arXiv:2204.08387): one encoder over a page's words, boxes and picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.single_stream import Pictured
from formers.configs import PretrainedConfig
from formers.models import bert, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Buckets, PageBuckets
from formers.tasks.specs import Labels, Spans, Transform


class LayoutLMv3Config(PretrainedConfig):
    """Configuration of LayoutLMv3."""

    model_type = "layoutlmv3"
    _available = {"text_embed": (True,)}
    vocab_size: int = 50265
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
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    max_2d_position_embeddings: int = 1024
    coordinate_size: int = 128
    shape_size: int = 128
    has_relative_attention_bias: bool = True
    rel_pos_bins: int = 32
    max_rel_pos: int = 128
    rel_2d_pos_bins: int = 64
    max_rel_2d_pos: int = 256
    has_spatial_attention_bias: bool = True
    text_embed: bool = True
    visual_embed: bool = True
    input_size: int = 224
    num_channels: int = 3
    patch_size: int = 16
    classifier_dropout: float | None = None


PICTURE = {
    "picture_class": "cls_token",
    "picture_position": "pos_embed",
    "picture_patch": "patch_embed.proj",
    "picture_embedding_dropout": "pos_drop",
    "picture_norm": "norm",
    "both_norm": "LayerNorm",
    "both_dropout": "dropout",
}
BOXES = {f"{role}": f"embeddings.{role[0]}_position_embeddings" for role in ("x", "y", "height", "width")}
BIASES = {
    "order_bias": "encoder.rel_pos_bias",
    "across_bias": "encoder.rel_pos_x_bias",
    "down_bias": "encoder.rel_pos_y_bias",
}
NAMES = spec.Names(
    layers=bert.NAMES.layers,
    layer=bert.NAMES.layer,
    embeddings={**bert.NAMES.embeddings, **BOXES, **PICTURE},
    stack=BIASES,
)


def biases(c: Any) -> PageBuckets | None:
    """What is added to scores; tables of boxes alone lie idle."""
    order = Buckets(c.rel_pos_bins, c.max_rel_pos) if c.has_relative_attention_bias else None
    sides = Buckets(c.rel_2d_pos_bins, c.max_rel_2d_pos) if c.has_spatial_attention_bias else None
    return PageBuckets(order, sides) if order or sides else None


def check_boxes(c: Any) -> None:
    """Refuse widths that do not fit.

    Raises:
        ValueError: where the vectors of a box do not make E features.
    """
    if 4 * c.coordinate_size + 2 * c.shape_size != c.hidden_size:
        raise ValueError(
            f"a box has four edges of coordinate_size={c.coordinate_size} features, and height and width of "
            f"shape_size={c.shape_size}, which must make hidden_size={c.hidden_size} together"
        )


def stack(c: LayoutLMv3Config) -> spec.Stack:
    """BERT's layers over words and patches."""
    check_boxes(c)
    norm, size, patch = spec.Norm("layer", c.layer_norm_eps), spec.pair(c.input_size), spec.pair(c.patch_size)
    pages = spec.Patches(c.num_channels, size, patch, c.hidden_size, std=0.0)
    layer = spec.layer(
        spec.Attention(
            spec.Heads.split(c.hidden_size, c.num_attention_heads),
            dropout=c.attention_probs_dropout_prob,
            score_bias=biases(c),
        ),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        dropout=c.hidden_dropout_prob,
    )
    return spec.Stack(
        stem=spec.DocumentPages(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings, padding_idx=c.pad_token_id),
            types=c.type_vocab_size,
            boxes=c.max_2d_position_embeddings,
            box_widths=(c.coordinate_size, c.shape_size),
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
            picture=pages if c.visual_embed else None,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="LayoutLMv3Layer",
        initial_std=c.initializer_range,
    )


def before(c: LayoutLMv3Config, home: str) -> Transform:
    """A layer between two dropouts."""
    return Transform(f"{home}.dense", "tanh", drops=bert.dropout(c))


def labels(c: LayoutLMv3Config) -> Labels:
    """A linear layer; two where there are ten labels or more."""
    if c.num_labels < 10:
        return Labels("classifier", c.hidden_dropout_prob)
    return Labels(
        "classifier.out_proj", bert.dropout(c), "classifier.dropout", before(c, "classifier"), "dropout"
    )


def spans(c: LayoutLMv3Config) -> Spans:
    """Two layers over words and patches."""
    return Spans("qa_outputs.out_proj", bert.dropout(c), "qa_outputs.dropout", True, before(c, "qa_outputs"))


READS = (
    *("input_ids", "bbox", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
    "pixel_values",
)
LAYOUTLMV3 = register(
    Family(
        model_type="layoutlmv3",
        name="LayoutLMv3",
        config=LayoutLMv3Config,
        base="layoutlmv3",
        assembly=Pictured(stack, spec.DocumentPages, reads=READS),
        heads={
            "ForSequenceClassification": Head(
                "sequence_classification", lambda c: replace(roberta.sequences(c), node=None), whole=True
            ),
            "ForTokenClassification": Head("token_classification", labels),
            "ForQuestionAnswering": Head("document_question_answering", spans, whole=True),
        },
        ignored=(*bert.BERT.ignored, r".*visual_bbox"),
    )
)
