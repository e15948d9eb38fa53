"""OneFormer (Jain et al. 2022, arXiv:2211.06220): one model of segments for every task, which a text says."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.masked_attention_segmentation import TaskConditionedSegmenter
from formers.configs import PretrainedConfig
from formers.models.classes import backbone_class
from formers.models.mask2former import larger, matching, over_maps
from formers.models.maskformer import STAGES
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.spec.masked_attention import TaskedQueries, Texts
from formers.tasks.query_segmentation import Tasked


class OneFormerConfig(PretrainedConfig):
    """Configuration of OneFormer.

    Raises:
        ValueError: for maps or texts that are not as wide as queries.
    """

    model_type = "oneformer"
    attribute_map = {"hidden_size": "hidden_dim", "num_hidden_layers": "decoder_layers"}
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {"model_type": "swin", "drop_path_rate": 0.3, "out_features": STAGES},
    }
    # the ecosystem's class draws such a projection anew in every process, and saves none
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"enforce_input_proj": (False,), "norm": ("GN",)}
    backbone_config: Any = None
    ignore_value: int = 255
    num_queries: int = 150
    no_object_weight: float = 0.1
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    contrastive_weight: float = 0.5
    contrastive_temperature: float | None = 0.07
    train_num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75
    init_std: float = 0.02
    init_xavier_std: float = 1.0
    layer_norm_eps: float = 1e-5
    is_training: bool = False
    use_auxiliary_loss: bool = True
    output_auxiliary_logits: bool = True
    strides: list[int] = [4, 8, 16, 32]
    task_seq_len: int = 77
    text_encoder_width: int = 256
    text_encoder_context_length: int = 77
    text_encoder_num_layers: int = 6
    text_encoder_vocab_size: int = 49408
    text_encoder_proj_layers: int = 2
    text_encoder_n_ctx: int = 16
    conv_dim: int = 256
    mask_dim: int = 256
    hidden_dim: int = 256
    encoder_feedforward_dim: int = 1024
    norm: str = "GN"
    encoder_layers: int = 6
    decoder_layers: int = 10
    use_task_norm: bool = True
    num_attention_heads: int = 8
    dropout: float = 0.1
    dim_feedforward: int = 2048
    pre_norm: bool = False
    enforce_input_proj: bool = False
    query_dec_layers: int = 2
    common_stride: int = 4

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        names = ["conv_dim", "mask_dim"]
        names += ["text_encoder_width"] if self.is_training and self.text_encoder_n_ctx else []
        wrong = [
            f"{name} ({getattr(self, name)})" for name in names if getattr(self, name) != self.hidden_dim
        ]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)} must be hidden_dim ({self.hidden_dim}): files of OneFormer hold nothing "
                "that would project one to the other"
            )


def stack(c: OneFormerConfig) -> spec.Stack:
    """The stack over places of maps."""
    return over_maps(c, c.conv_dim, spec.Norm("layer", c.layer_norm_eps), "OneFormer")


def texts(c: OneFormerConfig) -> Texts:
    """What reads texts in training."""
    return Texts(
        width=c.text_encoder_width,
        made=c.hidden_dim,
        layers=c.text_encoder_num_layers,
        last_layers=c.text_encoder_proj_layers,
        length=c.text_encoder_context_length,
        vocabulary=c.text_encoder_vocab_size,
        more=c.text_encoder_n_ctx,
        eps=c.layer_norm_eps,
    )


def queries(c: OneFormerConfig) -> TaskedQueries:
    """The queries."""
    return TaskedQueries(
        width=c.hidden_dim,
        heads=c.num_attention_heads,
        inner=c.dim_feedforward,
        layers=c.decoder_layers - 1,
        queries=c.num_queries,
        read=c.mask_dim,
        pixels=c.mask_dim,
        labels=c.num_labels + 1,
        first_layers=c.query_dec_layers,
        dropout=c.dropout,
        norms_first=c.pre_norm,
        eps=c.layer_norm_eps,
        begins=c.use_task_norm,
        told=c.task_seq_len,
        gain=c.init_xavier_std,
        layer_class="OneFormerTransformerDecoderLayer",
        texts=texts(c) if c.is_training else None,
    )


ONEFORMER = register(
    Family(
        model_type="oneformer",
        name="OneFormer",
        config=OneFormerConfig,
        base="model",
        assembly=TaskConditionedSegmenter(
            lambda c: c.backbone_config,
            backbone_class,
            stack,
            lambda c: larger(c.strides, c.common_stride),
            queries,
        ),
        heads={
            "ForUniversalSegmentation": Head(
                "tasked_masks",
                lambda c: Tasked(matching(c), c.is_training, c.contrastive_weight, c.contrastive_temperature),
            )
        },
    )
)
