"""PoolFormer (Yu et al. 2021, arXiv:2111.11418): transformer layers, whose tokens are mixed by pooling."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.specs import Sequences


class PoolFormerConfig(PretrainedConfig):
    """Configuration of PoolFormer."""

    model_type = "poolformer"
    num_channels: int = 3
    patch_size: int = 16
    stride: int = 16
    pool_size: int = 3
    mlp_ratio: float = 4.0
    depths: list[int] = [2, 2, 6, 2]
    hidden_sizes: list[int] = [64, 128, 320, 512]
    patch_sizes: list[int] = [7, 3, 3, 3]
    strides: list[int] = [4, 2, 2, 2]
    padding: list[int] = [2, 1, 1, 1]
    num_encoder_blocks: int = 4
    drop_path_rate: float = 0.0
    hidden_act: str = "gelu"
    use_layer_scale: bool = True
    layer_scale_init_value: float = 1e-5
    initializer_range: float = 0.02


def layer(c: PoolFormerConfig, wide: int, rate: float) -> nets.Node:
    """What the mean around a place differs by from it is added, then two convolutions of every place."""
    pool = nets.Pool("mean", c.pool_size, 1, c.pool_size // 2)
    inner, names = int(wide * c.mlp_ratio), ("layer_scale_1", "layer_scale_2")
    output = {
        "conv1": nets.Conv(wide, inner, bias=True),
        "conv2": nets.Conv(inner, wide, bias=True),
        "drop": nets.Drop(rate, paths=True),
        "act_fn": nets.Act(c.hidden_act),
    }
    parts = {
        "pooling": nets.Node({"pool": pool}, (nets.BEGIN, "pool", nets.LESS)),
        "output": nets.Node(output, ("conv1", "act_fn", "drop", "conv2", "drop")),
        "before_norm": nets.GroupNorm(wide),
        "after_norm": nets.GroupNorm(wide),
        "drop_path": nets.Drop(rate, paths=True),
        **(
            {name: nets.Factor(wide, c.layer_scale_init_value) for name in names} if c.use_layer_scale else {}
        ),
    }
    scales = [(nets.Scaled(name, rows=False),) if c.use_layer_scale else () for name in names]
    run = (
        *(nets.BEGIN, "before_norm", "pooling", *scales[0], "drop_path", nets.SUM),
        *(nets.BEGIN, "after_norm", "output", *scales[1], "drop_path", nets.SUM),
    )
    return nets.Node(parts, run, "PoolFormerLayer")


def net(c: PoolFormerConfig) -> nets.Net:
    """Stages, before each of which patches are made of what was before."""
    count, widths, rates = c.num_encoder_blocks, c.hidden_sizes, nets.rates(c.drop_path_rate, c.depths)
    read = (c.num_channels, *widths)
    patches = [
        nets.Conv(read[i], widths[i], c.patch_sizes[i], c.strides[i], bias=True, padding=c.padding[i])
        for i in range(count)
    ]
    parts = {
        "patch_embeddings": nets.row(
            *(nets.Node({"projection": one, "norm": nets.Act()}) for one in patches)
        ),
        "block": nets.row(
            *nets.stages(
                widths[0], widths[:count], c.depths[:count], lambda _, made, i, j: layer(c, made, rates[i][j])
            )
        ),
    }
    run = [step for i in range(count) for step in (f"patch_embeddings.{i}", f"block.{i}", nets.KEEP)]
    return nets.Net(
        {"encoder": nets.Node(parts, tuple(run), record=True)},
        channels=c.num_channels,
        widths=tuple(widths[:count]),
        std=c.initializer_range,
        layer_classes=("PoolFormerLayer",),
    )


def labels(c: PoolFormerConfig) -> Sequences:
    """The mean over all places of the last map, normalised."""
    return Sequences("classifier", pool="maps", norm=nets.GroupNorm(c.hidden_sizes[-1]), norm_path="norm")


POOLFORMER = register(
    Family(
        model_type="poolformer",
        name="PoolFormer",
        config=PoolFormerConfig,
        base="poolformer",
        assembly=FeatureMaps(net),
        heads={"ForImageClassification": Head("image_classification", labels)},
    )
)
