"""What `optimum` has that formers has too: its modules, and where their names come from."""

from __future__ import annotations

import functools
from collections.abc import Mapping

FOLLOWED = "2.1.0"  # the version of optimum whose interface is followed
# modules of the package that are made, by path below it
PATHS = (
    *("", "exporters", "exporters.onnx", "exporters.onnx.convert", "onnxruntime"),
    *("onnxruntime.modeling_ort", "onnxruntime.modeling_decoder", "onnxruntime.modeling_seq2seq"),
    *("onnxruntime.configuration", "pipelines"),
)

_DONE = (
    *("main_export", "onnx_export_from_model"),
    *("ORTQuantizer", "AutoQuantizationConfig", "QuantizationConfig"),
)


def is_package(path: str) -> bool:
    """Whether modules lie below the one of that path."""
    return not path or any(other.startswith(f"{path}.") for other in PATHS)


@functools.cache
def homes() -> Mapping[str, str]:
    """Names -> modules of formers that have them."""
    from formers import export

    classes = [name for name in export.__all__ if name.startswith("ORT")]
    return {
        **dict.fromkeys(classes, "formers.export"),
        **dict.fromkeys(_DONE, "formers.dropin.optimum_export"),
        "pipeline": "formers.pipelines",
    }
