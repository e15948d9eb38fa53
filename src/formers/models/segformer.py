"""SegFormer (Xie et al. 2021, arXiv:2105.15203): four stages of layers over overlapping patches."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.hierarchical import Hierarchical
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense
from formers.tasks.specs import Sequences


class StagedConfig(PretrainedConfig):
    """What families of such stages share."""

    num_channels: int = 3
    num_encoder_blocks: int = 4
    depths: list[int] = [2, 2, 2, 2]
    sr_ratios: list[int] = [8, 4, 2, 1]
    hidden_sizes: list[int] = [32, 64, 160, 256]
    patch_sizes: list[int] = [7, 3, 3, 3]
    strides: list[int] = [4, 2, 2, 2]
    num_attention_heads: list[int] = [1, 2, 5, 8]
    mlp_ratios: list[int] = [4, 4, 4, 4]
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    drop_path_rate: float = 0.1
    layer_norm_eps: float = 1e-6


class SegformerConfig(StagedConfig):
    """Configuration of SegFormer."""

    model_type = "segformer"
    attribute_map = {"num_hidden_layers": "num_encoder_blocks"}
    classifier_dropout_prob: float = 0.1
    decoder_hidden_size: int = 256
    semantic_loss_ignore_index: int = 255
    reshape_last_stage: bool = True


NAMES = spec.Names(
    layers="encoder.block.{i}",
    layer={
        "attention_norm": "layer_norm_1",
        **{name[0]: f"attention.self.{name}" for name in ("query", "key", "value")},
        "reduce": "attention.self.sr",
        "reduce_norm": "attention.self.layer_norm",
        "weights_dropout": "attention.self.dropout",
        "o": "attention.output.dense",
        "attention_dropout": "attention.output.dropout",
        "attention_skip": "drop_path",
        "feedforward_norm": "layer_norm_2",
        "up": "mlp.dense1",
        "depthwise": "mlp.dwconv.dwconv",
        "act": "mlp.intermediate_act_fn",
        "inner_dropout": "mlp.dropout",
        "down": "mlp.dense2",
        "feedforward_dropout": "mlp.dropout",
        "feedforward_skip": "drop_path",
    },
    embeddings={
        "patch": "encoder.patch_embeddings.{i}.proj",
        "embedding_norm": "encoder.patch_embeddings.{i}.layer_norm",
    },
    stack={"final_norm": "encoder.layer_norm.{i}"},
)


def _layer(c: StagedConfig, i: int, number: int) -> spec.Layer:
    """A layer of the stage i, with its number in all stages."""
    norm, width, dropout = spec.Norm("layer", 1e-5), c.hidden_sizes[i], c.hidden_dropout_prob
    heads = spec.Heads.split(width, c.num_attention_heads[i])
    attention = spec.SpatialReduction(heads, dropout=c.attention_probs_dropout_prob, ratio=c.sr_ratios[i])
    mixed = spec.MixedFeedForward(int(width * c.mlp_ratios[i]), c.hidden_act, dropout=dropout)
    skip = c.drop_path_rate * number / max(sum(c.depths) - 1, 1)
    parts = (("attention", attention), ("feedforward", mixed))
    return spec.Layer(tuple(spec.Part(m, role, norm, dropout=dropout, skip=skip) for role, m in parts))


def _stage(c: StagedConfig, i: int, layer_class: str) -> spec.Stack:
    norm, before = spec.Norm("layer", 1e-5), sum(c.depths[:i])
    channels, width = (c.num_channels, *c.hidden_sizes)[i], c.hidden_sizes[i]
    return spec.Stack(
        stem=spec.Overlapping(channels, c.patch_sizes[i], c.strides[i], width, norm),
        layers=tuple(_layer(c, i, before + j) for j in range(c.depths[i])),
        names=NAMES,
        width=width,
        layer_class=layer_class,
        final_norm=norm,
        reports="plain",
        initial_std=c.initializer_range,
    )


def stages(c: StagedConfig, layer_class: str = "SegformerLayer", rows: bool = False) -> spec.Stages:
    """The stages."""
    return spec.Stages(tuple(_stage(c, i, layer_class) for i in range(c.num_encoder_blocks)), rows)


def _segmented(c: SegformerConfig) -> Dense:
    """All maps at one width and size, side by side, mixed at every place (section 3.2)."""
    widths, wide = c.hidden_sizes[: c.num_encoder_blocks], c.decoder_hidden_size
    rows = (nets.Node({"proj": nets.Dense(read, wide)}, (nets.PLACES, "proj")) for read in widths)
    parts = {
        "linear_c": nets.row(*rows),
        "linear_fuse": nets.Conv(len(widths) * wide, wide),
        "batch_norm": nets.BatchNorm(wide),
        "activation": nets.Act("relu"),
        "dropout": nets.Drop(c.classifier_dropout_prob),
        "classifier": nets.Conv(wide, c.num_labels, bias=True),
    }
    each = multi_scale.Each(multi_scale.numbered("linear_c", len(widths)), rows=True)
    last = ("batch_norm", "activation", "dropout", "classifier")
    decoder = nets.Node(parts, (each, multi_scale.Mixed("linear_fuse"), *last))
    return Dense({"decode_head": decoder}, ignore=c.semantic_loss_ignore_index)


SEGFORMER = register(
    Family(
        model_type="segformer",
        name="Segformer",
        config=SegformerConfig,
        base="segformer",
        assembly=Hierarchical(lambda c: stages(c, rows=not c.reshape_last_stage)),
        heads={
            "ForImageClassification": Head(
                "image_classification", lambda c: Sequences("classifier", pool="mean")
            ),
            "ForSemanticSegmentation": Head("semantic_segmentation", _segmented),
        },
        aliases={"decode_head.linear_projections": "decode_head.linear_c"},
    )
)
