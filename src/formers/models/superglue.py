"""SuperGlue (Sarlin et al. 2020, arXiv:1911.11763): points of two pictures, matched by attention."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.keypoint_matching import PairedKeypoints
from formers.configs import PretrainedConfig
from formers.models.classes import point_finder_class
from formers.models.registry import config_class, register
from formers.tasks.keypoint_matching import Spec


class SuperGlueConfig(PretrainedConfig):
    """Configuration of SuperGlue."""

    model_type = "superglue"
    sub_configs: ClassVar[dict[str, Any]] = {"keypoint_detector_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "keypoint_detector_config": {"model_type": "superpoint"}
    }
    keypoint_detector_config: Any = None
    hidden_size: int = 256
    keypoint_encoder_sizes: list[int] = [32, 64, 128, 256]
    gnn_layers_types: list[str] = ["self", "cross"] * 9
    num_attention_heads: int = 4
    sinkhorn_iterations: int = 100
    matching_threshold: float = 0.0
    initializer_range: float = 0.02
    is_decoder: bool = False
    attention_probs_dropout_prob: float = 0.0

    def validate(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: when a value cannot be used.
        """
        super().validate()
        if set(self.gnn_layers_types) - {"self", "cross"}:
            raise ValueError(f"gnn_layers_types are 'self' or 'cross', not {self.gnn_layers_types}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is no multiple of "
                f"num_attention_heads={self.num_attention_heads}"
            )


NAMES = {
    **{"encoder": "keypoint_encoder", "encoder_layers": "encoder"},
    **{"dense": "linear", "norm": "batch_norm", "act": "activation"},
    **{"graph": "gnn", "graph_layers": "layers", "attention": "attention", "feedforward": "mlp"},
    **{"mix": "self", "q": "query", "k": "key", "v": "value", "weights_dropout": "dropout"},
    **{"out": "output", "dense_out": "dense"},
    **{"projection": "final_projection", "dense_projection": "final_proj", "none": "bin_score"},
}


def matches(c: SuperGlueConfig) -> Spec:
    """What compares the points."""
    return Spec(
        names=NAMES,
        width=c.hidden_size,
        inner=c.keypoint_encoder_sizes,
        heads=c.num_attention_heads,
        dropout=c.attention_probs_dropout_prob,
        kinds=c.gnn_layers_types,
        rounds=c.sinkhorn_iterations,
        threshold=c.matching_threshold,
    )


SUPERGLUE = register(
    Family(
        model_type="superglue",
        name="SuperGlue",
        config=SuperGlueConfig,
        base="superglue",
        bare="",
        assembly=PairedKeypoints(
            lambda c: (
                "keypoint_detector",
                point_finder_class(c.keypoint_detector_config),
                c.keypoint_detector_config,
            )
        ),
        heads={"ForKeypointMatching": Head("keypoint_matching", matches, flat=True)},
    )
)
