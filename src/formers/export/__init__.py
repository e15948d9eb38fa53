"""Models as ONNX graphs: written, compared, made smaller, and run in ONNX Runtime.

`export_model(model, folder)` writes, `ORTModelForSequenceClassification.from_pretrained(folder)` runs.
"""

from __future__ import annotations

from formers.core.lazy import lazy
from formers.export.kinds import KINDS

_NAMES = {
    ".errors": ("BrokenGraph", "ExportError"),
    ".exporting": ("Exported", "export_model"),
    ".folder": ("is_exported",),
    ".classes": ("ORTModel", "ORTModelForCustomTasks", *KINDS),
}
__all__ = [*(name for names in _NAMES.values() for name in names)]  # noqa: PLE0604  # plain names
__getattr__, __dir__ = lazy(__name__, _NAMES)
