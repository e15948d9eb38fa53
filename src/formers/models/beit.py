"""BEiT (Bao et al. 2021, arXiv:2106.08254): ViT with gains, and biases by offset in place of positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import BackboneConfig, PretrainedConfig
from formers.models import upernet, vit
from formers.models.registry import register
from formers.nn import spec
from formers.nn.grids import Grid
from formers.nn.spec import multi_scale, nets
from formers.tasks.backbone import Spec as Maps
from formers.tasks.backbone import of_patches
from formers.tasks.dense_prediction import Spec as Dense
from formers.tasks.masked_image import TokensSpec
from formers.tasks.specs import Sequences


class VisionConfig(PretrainedConfig):
    """What BEiT and data2vec's vision model have."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    use_mask_token: bool = False
    use_absolute_position_embeddings: bool = False
    use_relative_position_bias: bool = False
    use_shared_relative_position_bias: bool = False
    layer_scale_init_value: float = 0.1
    drop_path_rate: float = 0.1
    use_mean_pooling: bool = True
    pool_scales: list[int] = [1, 2, 3, 6]  # noqa: RUF012  # a default, which every config copies
    use_auxiliary_head: bool = True
    auxiliary_loss_weight: float = 0.4
    auxiliary_channels: int = 256
    auxiliary_num_convs: int = 1
    auxiliary_concat_input: bool = False
    semantic_loss_ignore_index: int = 255
    out_indices: list[int] | None = [3, 5, 7, 11]  # noqa: RUF012


class BeitConfig(BackboneConfig, VisionConfig):
    """Configuration of BEiT."""

    model_type = "beit"
    vocab_size: int = 8192
    out_indices: list[int] | None = None
    add_fpn: bool = False
    reshape_hidden_states: bool = True

    def __init__(self, **values: Any) -> None:
        older = values.pop("segmentation_indices", None)
        if older is not None and values.get("out_indices") is None:
            values["out_indices"] = older
        super().__init__(**values)


SHARED = "encoder.relative_position_bias"
NAMES = vit.NAMES.with_(
    layer={
        "feedforward_add": None,
        "score_bias": "attention.attention.relative_position_bias",
        "attention_gain": "lambda_1",
        "attention_skip": "drop_path",
        "feedforward_gain": "lambda_2",
        "feedforward_skip": "drop_path",
    },
    stack={"pool": "pooler", "pooler": "pooler.layernorm"},
)
NEWER = {
    **vit.NEWER,
    "shared_position_bias": SHARED,
    "layers.{i}.relative_position_bias": f"encoder.layer.{{i}}.{NAMES.layer['score_bias']}",
}


def stack(c: VisionConfig, name: str = "BeitLayer", names: spec.Names = NAMES) -> spec.Stack:
    """The encoder; layers are left out the more often the later they stand."""
    (high, wide), (down, across) = spec.pair(c.image_size), spec.pair(c.patch_size)
    norm, count = spec.Norm("layer", c.layer_norm_eps), c.num_hidden_layers
    shared, each = c.use_shared_relative_position_bias, c.use_relative_position_bias
    bias = Grid(high // down, wide // across) if shared or each else None
    gain = c.layer_scale_init_value if c.layer_scale_init_value > 0 else None
    plain = vit.layer(c, dropout=c.hidden_dropout_prob, key_bias=False, score_bias=bias, owns_score_bias=each)

    def layer(rate: float) -> spec.Layer:
        return spec.Layer(tuple(replace(part, gain=gain, skip=rate) for part in plain.parts))

    rates = [c.drop_path_rate * i / max(count - 1, 1) for i in range(count)]
    known = {rate: layer(rate) for rate in rates}  # layers that are alike are one value
    stem = vit.patches(
        c,
        dropout=c.hidden_dropout_prob,
        std=0.0,
        masked=c.use_mask_token,
        placed=c.use_absolute_position_embeddings,
        free=True,
    )
    names = names.with_(stack={"score_bias": SHARED}) if shared else names
    made = vit.encoder(c, name, tuple(known[rate] for rate in rates), stem, names)
    if not c.use_mean_pooling:
        return replace(made, pooler=spec.Summary())
    return replace(made, pooler=spec.Summary("rest", norm=norm), final_norm=spec.Norm("none"))


def codes(c: Any) -> TokensSpec:
    """The codes of hidden patches."""
    return TokensSpec("lm_head", "layernorm", spec.Norm("layer", c.layer_norm_eps), c.vocab_size)


def scales(c: Any) -> dict[str, Any]:
    """Four maps become four and two times as large, stay, and half as large."""
    if len(c.out_indices or ()) != 4:
        raise ValueError(f"out_indices names four layers (of 12 [3, 5, 7, 11]), not {c.out_indices}")
    wide, larger = c.hidden_size, nets.Spread(c.hidden_size, c.hidden_size)
    first = nets.row(larger, nets.BatchNorm(wide), nets.Act("gelu"), larger)
    last = nets.Pool("largest", 2, 2)
    return {"fpn1": first, "fpn2": nets.row(larger), "fpn3": nets.Act(), "fpn4": last}


CONV = upernet.named("bn")


def pixels(c: Any, conv: upernet.Conv = CONV, *newer: Any) -> Dense:
    """Labels of pixels, out of four layers' states; and again, of one of them alone, in training."""
    widths, sizes = [c.hidden_size] * 4, scales(c)
    parts = {**sizes, "decode_head": upernet.decoder(c, conv, widths, c.hidden_size, *newer)}
    aside = {"auxiliary_head": upernet.beside(c, conv, widths)} if c.use_auxiliary_head else {}
    return Dense(
        {**parts, **aside},
        (multi_scale.Placed(), multi_scale.Each(tuple(sizes)), "decode_head"),
        tuple(aside),
        share=c.auxiliary_loss_weight,
        chosen=tuple(i - 1 for i in c.out_indices),
        patch=spec.pair(c.patch_size),
        ignore=c.semantic_loss_ignore_index,
    )


def maps(c: BeitConfig) -> Maps:
    """States as maps, or as they are."""
    return Maps(
        [c.hidden_size] * (c.num_hidden_layers + 1),
        shaped=of_patches(spec.pair(c.patch_size), 1) if c.reshape_hidden_states else None,
        scales=scales(c) if c.add_fpn else None,
        norm=lambda width: nets.ChannelNorm(width, c.layer_norm_eps, rows=True),
        shared=None if c.use_mean_pooling else "beit.layernorm",  # which files hold, though no map is normed
        applied=False,
    )


LABELS = Head("image_classification", lambda c: Sequences("classifier"), pooler=True)
IGNORED = (r".*relative_position_index.*",)
BEIT = register(
    Family(
        model_type="beit",
        name="Beit",
        config=BeitConfig,
        base="beit",
        assembly=Single(stack, spec.Patches, apart={"score_bias": f"beit.{SHARED}"}),
        heads={
            "ForImageClassification": LABELS,
            "ForMaskedImageModeling": Head("visual_tokens", codes),
            "ForSemanticSegmentation": Head("semantic_segmentation", pixels),
            "Backbone": Head("backbone", maps, over="layers", flat=True),
        },
        ignored=IGNORED,
        order=vit.ORDER,
        aliases=NEWER,
    )
)
