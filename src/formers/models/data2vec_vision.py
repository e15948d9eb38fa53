"""The vision model of data2vec (Baevski et al. 2022, arXiv:2202.03555): BEiT's, trained otherwise."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import beit, upernet
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense


class Data2VecVisionConfig(beit.VisionConfig):
    """Configuration of data2vec's vision model."""

    model_type = "data2vec-vision"


def data2vec(c: Data2VecVisionConfig) -> spec.Stack:
    """The same, whose attention has a module for its dropout."""
    return beit.stack(
        c,
        "Data2VecVisionLayer",
        beit.NAMES.with_(layer={"weights_dropout": "attention.attention.dropout"}),
    )


def pools(c: Data2VecVisionConfig, conv: upernet.Conv, read: int, wide: int) -> nets.Node:
    """Pools of a map, under newer names."""
    run, blocks = (nets.BEGIN, "pooling", "conv", multi_scale.Grown()), len(c.pool_scales)
    made = [
        nets.Node({"pooling": nets.Pool(to=to), "conv": conv(read, wide, 1)}, run) for to in c.pool_scales
    ]
    runs = tuple((name,) for name in multi_scale.numbered("blocks", blocks))
    return nets.Node({"blocks": nets.row(*made)}, (multi_scale.Branches(runs),))


def pixels(c: Data2VecVisionConfig) -> Dense:
    """As BEiT's, under newer names."""
    return beit.pixels(c, upernet.named("normalization", "convolution"), pools, "psp_bottleneck")


DATA2VEC_VISION = register(
    Family(
        model_type="data2vec-vision",
        name="Data2VecVision",
        config=Data2VecVisionConfig,
        base="data2vec_vision",
        assembly=Single(data2vec, spec.Patches, pools=False),
        heads={
            "ForImageClassification": beit.LABELS,
            "ForSemanticSegmentation": Head("semantic_segmentation", pixels),
        },
        ignored=beit.IGNORED,
        order=(("attention", "intermediate", "output", "layernorm_before", "drop_path", "layernorm_after"),),
    )
)
