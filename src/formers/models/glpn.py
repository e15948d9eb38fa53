"""GLPN (Kim et al. 2022, arXiv:2201.07436): depths from the stages of SegFormer."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.staged import Staged
from formers.models.registry import register
from formers.models.segformer import StagedConfig, stages
from formers.nn.spec import dense
from formers.tasks.dense import Spec as Dense


class GLPNConfig(StagedConfig):
    """Configuration of GLPN."""

    model_type = "glpn"
    decoder_hidden_size: int = 64
    max_depth: int = 10
    head_in_index: int = -1


def _depths(c: GLPNConfig) -> Dense:
    widths, width = tuple(c.hidden_sizes[: c.num_encoder_blocks]), c.decoder_hidden_size
    head = dense.BoundedDepth(width, c.max_depth, c.head_in_index)
    return Dense((("decoder", dense.SelectiveMaps(widths, width)), ("head", head)))


GLPN = register(
    Family(
        model_type="glpn",
        name="GLPN",
        config=GLPNConfig,
        base="glpn",
        assembly=Staged(lambda c: stages(c, "GLPNLayer")),
        heads={"ForDepthEstimation": Head("depth_estimation", _depths)},
    )
)
