"""BEiT (Bao et al. 2021, arXiv:2106.08254), and the vision model of data2vec (Baevski et al. 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.nn.grids import Grid
from formers.tasks.masked_image import TokensSpec
from formers.tasks.specs import Sequences


class BeitConfig(PretrainedConfig):
    """Configuration of BEiT."""

    model_type = "beit"
    vocab_size: int = 8192
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


class Data2VecVisionConfig(BeitConfig):
    """Configuration of data2vec's vision model."""

    model_type = "data2vec-vision"


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


def stack(c: BeitConfig, name: str = "BeitLayer", names: spec.Names = NAMES) -> spec.Stack:
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


def data2vec(c: Data2VecVisionConfig) -> spec.Stack:
    """The same, whose attention has a module for its dropout."""
    return stack(
        c,
        "Data2VecVisionLayer",
        NAMES.with_(layer={"weights_dropout": "attention.attention.dropout"}),
    )


def codes(c: Any) -> TokensSpec:
    """The codes of hidden patches."""
    return TokensSpec("lm_head", "layernorm", spec.Norm("layer", c.layer_norm_eps), c.vocab_size)


LABELS = Head("image_classification", lambda c: Sequences("classifier"), pooler=True)
IGNORED = (r".*relative_position_index.*",)
BEIT = register(
    Family(
        model_type="beit",
        name="Beit",
        config=BeitConfig,
        base="beit",
        assembly=Single(stack, spec.Patches),
        heads={
            "ForImageClassification": LABELS,
            "ForMaskedImageModeling": Head("visual_tokens", codes),
        },
        ignored=IGNORED,
        order=vit.ORDER,
        aliases=NEWER,
    )
)
DATA2VEC_VISION = register(
    Family(
        model_type="data2vec-vision",
        name="Data2VecVision",
        config=Data2VecVisionConfig,
        base="data2vec_vision",
        assembly=Single(data2vec, spec.Patches, pools=False),
        heads={"ForImageClassification": LABELS},
        ignored=IGNORED,
        order=(("attention", "intermediate", "output", "layernorm_before", "drop_path", "layernorm_after"),),
    )
)
