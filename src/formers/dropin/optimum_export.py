"""What `optimum` calls exporting and quantizing, done by `formers.export`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formers.core.notices import notice, refuse_unknown
from formers.export.errors import ExportError
from formers.export.exporting import export_model
from formers.export.kinds import WITH_PAST
from formers.export.reducing import to_int8

# what exports of optimum take that changes nothing here -> why
_NO_EFFECT = {
    "device": "graphs are written on the CPU",
    "monolith": "encoders and decoders are files of their own",
    "no_post_process": "decoders are never merged",
    "framework": "there is one",
    "pad_token_id": "the config has it",
    "trust_remote_code": "no code is loaded from checkpoints",
    "use_subprocess": "it runs here",
    "do_validation": "every graph is compared with the model",
    "do_constant_folding": "it is always done",
    "library_name": "there is one",
    "dynamo": "it is torch's newer exporter anyway",
    "force_download": "the cache is asked first",
    "cache_dir": "HF_HUB_CACHE says where",
    "token": "HF_TOKEN has it",
    "local_files_only": "HF_HUB_OFFLINE=1 says so",
    "preprocessors": "they lie beside the model",
}
_SHAPES = ("batch_size", "sequence_length", "num_choices", "width", "height", "num_channels", "feature_size",
           "nb_max_frames", "audio_sequence_length")  # fmt: skip
_UNUSUAL = (None, False, "default", "", "main")


def _settled(options: Mapping[str, Any], where: str) -> None:
    """Refuse what exports here do not do, and notice what changes nothing.

    Raises:
        ExportError: for an option that would change the graph.
        TypeError: for an unknown keyword.
    """
    changing = (
        "optimize",
        "model_kwargs",
        "custom_onnx_configs",
        "fn_get_submodels",
        "slim",
        "no_dynamic_axes",
    )
    refuse_unknown(options, (*_NO_EFFECT, *_SHAPES, *changing, "_variant", "subfolder", "revision"), where)
    for name, value in options.items():
        if name in (*changing, "_variant", "subfolder", "revision") and value not in _UNUSUAL:
            raise ExportError(f"{where}: {name}={value!r} is not done here; leave it out")
        if name in _NO_EFFECT and value not in (*_UNUSUAL, True, "cpu", "pt", "transformers"):
            notice(f"{where}: {name} has no effect: {_NO_EFFECT[name]}")


def main_export(
    model_name_or_path: str,
    output: str | Path,
    task: str = "auto",
    opset: int | None = None,
    dtype: str | None = None,
    atol: float | None = None,
    **options: Any,
) -> None:
    """Export a checkpoint, as `optimum.exporters.onnx.main_export` does.

    Args:
        model_name_or_path: folder or Hub id.
        output: folder.
        task: its name; "auto" is that of the model.
        opset: the version of ONNX's operators.
        dtype: "fp16", or "fp32".
        atol: how far any number may be from the model's.
        options: what else optimum takes, as far as it means something here.

    Raises:
        ExportError: for a graph that cannot be written, or does not agree.
    """
    from formers.jobs import exporting

    _settled(options, "main_export")
    if dtype not in (None, "fp32", "fp16"):
        raise ExportError(f"dtype is fp32 or fp16, not {dtype!r}")
    exporting.export(
        str(model_name_or_path),
        Path(output),
        task=task,
        with_past=None if task == "auto" else task.endswith(WITH_PAST),
        opset=opset,
        fp16=dtype == "fp16",
        tolerance=atol,
    )


def onnx_export_from_model(
    model: Any,
    output: str | Path,
    opset: int | None = None,
    atol: float | None = None,
    task: str | None = None,
    **options: Any,
) -> None:
    """Export a model that is there, as `optimum.exporters.onnx.onnx_export_from_model` does.

    Raises:
        ExportError: likewise; also for a task, which the model's class says.
    """
    _settled(options, "onnx_export_from_model")
    past = None if task is None else task.endswith(WITH_PAST)
    export_model(model, output, opset=opset, tolerance=atol, with_past=past)


@dataclass(frozen=True)
class QuantizationConfig:
    """How a graph is made smaller.

    Attributes:
        is_static: ranges of activations come from calibration data; `formers export --calibration` does that.
        per_channel: each column of a weight has a scale of its own.
    """

    is_static: bool = False
    per_channel: bool = True


class AutoQuantizationConfig:
    """The settings for a processor; here one does for all: 8-bit weights with a scale for every column."""

    @staticmethod
    def avx512_vnni(is_static: bool, per_channel: bool = True, **options: Any) -> QuantizationConfig:
        """Dynamic ranges, whatever the processor.

        Raises:
            ExportError: for static ones, or other settings.
        """
        if is_static or options:
            more = ", ".join(options) or "is_static=True"
            raise ExportError(
                f"{more} is not done by ORTQuantizer here: export_model(model, folder, int8=True, "
                "calibration=batches) takes ranges from data"
            )
        return QuantizationConfig(per_channel=per_channel)

    avx2 = avx512 = arm64 = avx512_vnni


class ORTQuantizer:
    """Makes an exported model smaller."""

    def __init__(self, file: Path) -> None:
        self.onnx_model_path = file

    @classmethod
    def from_pretrained(cls, model_or_path: Any, file_name: str = "model.onnx") -> ORTQuantizer:
        """Of a model in ONNX Runtime, or a folder."""
        folder = Path(getattr(model_or_path, "folder", model_or_path))
        return cls(folder / file_name)

    def quantize(
        self,
        quantization_config: QuantizationConfig,
        save_dir: str | Path,
        file_suffix: str | None = "quantized",
    ) -> Path:
        """Write the graph in int8, and what lies beside it, into a folder."""
        to, suffix = Path(save_dir), f"_{file_suffix}" if file_suffix else ""
        to.mkdir(parents=True, exist_ok=True)
        made = to / f"{self.onnx_model_path.stem}{suffix}.onnx"
        shutil.copyfile(self.onnx_model_path, made)
        to_int8(made, per_channel=quantization_config.per_channel)
        for path in self.onnx_model_path.parent.glob("*.json"):
            if path.parent.absolute() != to.absolute():
                shutil.copyfile(path, to / path.name)
        return to
