"""`optimum-cli`: its exports, and graphs in int8, done by `formers.export`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from formers.core.notices import did_you_mean

PROGRAM = "optimum-cli"
_KNOWN = ("export onnx", "onnxruntime quantize", "env")
_SIZES = ("batch-size", "sequence-length", "num-choices", "width", "height", "num-channels", "feature-size",
          "nb-max-frames", "audio-sequence-length")  # fmt: skip
_PROCESSORS = ("arm64", "avx2", "avx512", "avx512_vnni")


def main(given: Sequence[str]) -> int:
    """Run one of its commands, other than `env`; the status to end with."""
    words = list(given)
    name, rest = " ".join(words[:2]), words[2:]
    run = {_KNOWN[0]: _export, _KNOWN[1]: _quantize}.get(name)
    if run is None:
        print(
            f"{PROGRAM} {name}".strip() + f": formers has {', '.join(_KNOWN)} of {PROGRAM}"
            f"{did_you_mean(name, _KNOWN)}",
            file=sys.stderr,
        )
        return 0 if not words or words[-1] in ("-h", "--help") else 2
    try:
        run(rest)
    except (ValueError, TypeError, OSError) as error:
        print(f"{PROGRAM} {name}: {error}", file=sys.stderr)
        return 1
    return 0


def _export(words: Sequence[str]) -> None:
    """Write a checkpoint's graphs: `optimum-cli export onnx --model M FOLDER`."""
    from formers.dropin.optimum_export import main_export

    parser = _parser(_KNOWN[0])
    parser.add_argument("-m", "--model", required=True, help="folder or Hub id")
    parser.add_argument("output", help="folder to write to")
    parser.add_argument("--task", default="auto", help="text-classification, text-generation-with-past, ...")
    parser.add_argument("--opset", type=int, help="version of ONNX's operators")
    parser.add_argument("--dtype", choices=("fp32", "fp16"), help="of the numbers")
    parser.add_argument("--fp16", action="store_true", help="numbers in float16")
    parser.add_argument("--atol", type=float, help="how far any number may be from the model's")
    for option in ("monolith", "no-post-process", "trust-remote-code"):
        _flag(parser, option, "no effect here")
    for option in ("no-dynamic-axes", "slim"):
        _flag(parser, option, "refused: graphs stay open, and are as they were compared")
    for option in ("device", "framework", "library-name", "pad-token-id", "cache-dir", "variant", "optimize"):
        _value(parser, option)
    for option in _SIZES:
        _value(parser, option)
    options = {
        key: value for key, value in vars(parser.parse_args(words)).items() if value not in (None, False)
    }
    if "variant" in options:
        options["_variant"] = options.pop("variant")
    if options.pop("fp16", False):
        options["dtype"] = "fp16"
    output = Path(options.pop("output"))
    main_export(options.pop("model"), output, **options)
    print(f"written: {output}")


def _quantize(words: Sequence[str]) -> None:
    """Write a folder's graphs in int8: `optimum-cli onnxruntime quantize --onnx_model DIR -o OUT --avx2`."""
    from formers.dropin.optimum_export import ORTQuantizer, QuantizationConfig
    from formers.export.errors import ExportError

    parser = _parser(_KNOWN[1])
    parser.add_argument("--onnx_model", "--onnx-model", required=True, help="folder of an exported model")
    parser.add_argument("-o", "--output", required=True, help="folder to write to")
    parser.add_argument(
        "--per_channel", "--per-channel", action="store_true", help="a scale for every column"
    )
    kinds = parser.add_mutually_exclusive_group(required=True)
    for option in _PROCESSORS:
        kinds.add_argument(f"--{option}", action="store_true", help="one setting serves every processor")
    found = parser.parse_args(words)
    files = sorted(path.name for path in Path(found.onnx_model).glob("*.onnx"))
    if not files:
        raise ExportError(f"{found.onnx_model} holds no ONNX files: export the model first")
    if Path(found.output).resolve() == Path(found.onnx_model).resolve():
        raise ExportError("--output is the folder of the model itself: name another")
    for file in files:
        quantizer = ORTQuantizer.from_pretrained(found.onnx_model, file_name=file)
        quantizer.quantize(QuantizationConfig(per_channel=found.per_channel), found.output)
    print(f"written: {found.output}")


def _parser(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(f"{PROGRAM} {name}", allow_abbrev=False)


def _flag(parser: argparse.ArgumentParser, option: str, says: str) -> None:
    parser.add_argument(*_spellings(option), action="store_true", help=says)


def _value(parser: argparse.ArgumentParser, option: str) -> None:
    parser.add_argument(*_spellings(option), help=argparse.SUPPRESS)


def _spellings(option: str) -> tuple[str, ...]:
    """With dashes, and with underscores."""
    return tuple(dict.fromkeys((f"--{option}", f"--{option.replace('-', '_')}")))
