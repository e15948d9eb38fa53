"""Shapes of models that find points in pictures."""

from __future__ import annotations

from typing import Any

_POINTS = {
    **{"encoder_hidden_sizes": [4, 6, 8, 8], "decoder_hidden_size": 8, "descriptor_decoder_dim": 6},
    **{"initializer_range": 0.2, "keypoint_threshold": 0.0155},
}
# as many points whatever the picture shows, so that what they say can be compared when a part is changed
_BEST = {"max_keypoints": 5, "keypoint_threshold": 0.0, "nms_radius": 2, "border_removal_distance": 9}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "superpoint": {"the best few, far from edges": {**_POINTS, **_BEST}},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "superpoint": {"all": _POINTS, "none": {**_POINTS, "keypoint_threshold": 1.0}},
}
