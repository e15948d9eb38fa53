"""Shapes of models that find points in pictures."""

from __future__ import annotations

from typing import Any

_POINTS = {
    **{"encoder_hidden_sizes": [4, 6, 8, 8], "decoder_hidden_size": 8, "descriptor_decoder_dim": 6},
    **{"initializer_range": 0.2, "keypoint_threshold": 0.0155},
}
# as many points whatever the picture shows, so that what they say can be compared when a part is changed
_BEST = {"max_keypoints": 5, "keypoint_threshold": 0.0, "nms_radius": 2, "border_removal_distance": 9}
_LOOKS = {**_POINTS, "model_type": "superpoint", "descriptor_decoder_dim": 8}
_MATCHED = {
    **{
        "hidden_size": 8,
        "keypoint_encoder_sizes": [6, 8],
        "num_attention_heads": 2,
        "initializer_range": 0.3,
    },
    **{"gnn_layers_types": ["self", "cross", "cross"], "sinkhorn_iterations": 7},
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "superglue": {"of the best few": {**_MATCHED, "keypoint_detector_config": {**_LOOKS, **_BEST}}},
    "superpoint": {"the best few, far from edges": {**_POINTS, **_BEST}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "superglue": {
        "of all, none that is unlikely": {
            **_MATCHED,
            **{"keypoint_detector_config": _LOOKS, "matching_threshold": 0.0235},
        },
    },
    "superpoint": {"all": _POINTS, "none": {**_POINTS, "keypoint_threshold": 1.0}},
}
