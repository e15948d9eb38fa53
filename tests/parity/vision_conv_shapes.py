"""Shapes of networks over maps."""

from __future__ import annotations

from typing import Any

_RESNET = {
    "num_channels": 2,
    "embedding_size": 8,
    "hidden_sizes": [16, 24],
    "depths": [2, 1],
    "image_size": 24,
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "resnet": {
        "narrow in the middle": {**_RESNET, "out_features": ["stem", "stage2"]},
        "two convolutions each": {**_RESNET, "layer_type": "basic", "out_indices": [1, 2]},
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "resnet": {
        "smaller at once, in the first of three, gelu": {
            **_RESNET,
            "downsample_in_first_stage": True,
            "downsample_in_bottleneck": True,
            "hidden_act": "gelu",
        },
    },
}
