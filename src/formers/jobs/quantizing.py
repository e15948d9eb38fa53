"""A model in fewer bits: its folder or file, and what that costs in memory, perplexity and speed."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from formers.core.atomic import refuse_unwritable, temporary_beside
from formers.hub import gguf
from formers.jobs.predictor import model_name

GGUF = "gguf-"  # what stands before the kinds of GGUF files
_NEW, _PROMPT = 32, 16  # tokens that are written for the speed, and read before them
_SCORES = 1 << 26  # numbers that are computed at once for windows that are read together


@dataclass(frozen=True)
class Measured:
    """One model.

    Attributes:
        memory: bytes of its weights, loaded.
        files: bytes of its weight files; None where they are not known.
        perplexity: of the text; None without one.
        speed: tokens a second, one text at a time, greedy; None for what does not write.
    """

    memory: int
    files: int | None
    perplexity: float | None
    speed: float | None


def names() -> list[str]:
    """What a model can be quantized to."""
    from formers.checkpoints.gguf_writing import KINDS
    from formers.quantization.formats import FORMATS

    return [*(name for one in FORMATS.values() for name in one.names), *(GGUF + kind for kind in KINDS)]


def perplexity(model: Any, tokenizer: Any, text: str, length: int = 512) -> tuple[float, int]:
    """The exponential of the mean loss per token in windows that lie end to end; and how many counted.

    The first token of a window is not judged. Each window begins with what the tokenizer puts before texts.

    Raises:
        ValueError: for a text that is too short, or a model that does not predict what comes next.
    """
    import torch
    from torch.nn.functional import cross_entropy

    if not model.can_generate() or model.config.is_encoder_decoder:
        raise ValueError(
            f"{type(model).__name__} does not predict the next token: perplexity needs a decoder"
        )
    if length < 2:
        raise ValueError(f"a window has 2 tokens or more, not {length}")
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    front = [bos] if bos is not None and bos in tokenizer("a")["input_ids"][:1] else []
    step = min(length, getattr(model.config, "max_position_embeddings", None) or length) - len(front)
    windows = [front + plain[i : i + step] for i in range(0, len(plain), step)]
    windows = [one for one in windows if len(one) > 1]
    if not windows:
        raise ValueError(f"the text has {len(plain)} tokens: there is nothing to predict")
    whole = [one for one in windows if len(one) == len(windows[0])]
    rows = max(1, _SCORES // (len(whole[0]) * model.config.vocab_size))
    batches = [whole[i : i + rows] for i in range(0, len(whole), rows)]
    batches += [[one] for one in windows[len(whole) :]]
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            ids = torch.tensor(batch, device=model.device)
            scores = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            total += float(cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"))
            count += ids[:, 1:].numel()
    if not math.isfinite(total):
        raise ValueError(
            "the model's scores are not finite: its weights are broken, or too large for their dtype"
        )
    return math.exp(total / count), count


def speed(model: Any, rounds: int = 3) -> float:
    """Tokens a second of greedy text, the best of some rounds."""
    import torch

    ids = torch.arange(_PROMPT)[None].to(model.device) % (model.config.vocab_size - 1) + 1
    how: dict[str, Any] = {
        "max_new_tokens": _NEW,
        "min_new_tokens": _NEW,
        "do_sample": False,
        "pad_token_id": 0,
    }
    model.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        model.generate(ids, **how)
        taken.append(time.perf_counter() - start)
    return _NEW / min(taken)


def measured(model: Any, tokenizer: Any, text: str | None, length: int, files: int | None = None) -> Measured:
    """See `Measured`."""
    writes = model.can_generate() and not model.config.is_encoder_decoder
    return Measured(
        model.get_memory_footprint(),
        files,
        perplexity(model, tokenizer, text, length)[0] if text is not None else None,
        speed(model) if writes else None,
    )


def load(name: str, **options: Any) -> tuple[Any, Any]:
    """A model by the class that its config names, and its tokenizer."""
    import formers

    name = model_name(name)
    config = formers.AutoConfig.from_pretrained(name)
    declared = next(iter(config.architectures or ()), None)
    kind: Any = formers.AutoModelForCausalLM if declared is None else getattr(formers, declared)
    return kind.from_pretrained(name, config=config, **options), formers.AutoTokenizer.from_pretrained(name)


def quantize(
    name: str, to: str, output: Path, *, text: str | None = None, length: int = 512
) -> tuple[Path, Measured, Measured]:
    """Write a model in fewer bits, and measure it before and after.

    Args:
        name: a folder, a GGUF file or a Hub id.
        to: one of `names()`.
        output: a folder; of GGUF files also a file. It must not be there, or be empty.
        text: for perplexity, and what "gptq" and "awq" fit their numbers to.
        length: tokens of a window of the text.

    Returns:
        What was written, and the figures before and after.

    Raises:
        ValueError: for an unknown format, an output that is in use, or a model that cannot be quantized.
    """
    from formers.core.notices import did_you_mean

    if to not in names():
        raise ValueError(f"--to {to} is no format{did_you_mean(to, names())}: there are {', '.join(names())}")
    as_file = output.suffix == gguf.ENDING
    if as_file and not to.startswith(GGUF):
        raise ValueError(f"{output} names a GGUF file, and --to {to} writes a folder: name one")
    if output.exists() and (as_file or not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is there already, and nothing is overwritten: name another --output")
    refuse_unwritable(output.parent)
    model, tokenizer = load(name)
    if getattr(model, "is_quantized", False):
        raise ValueError(f"{name} is quantized already: quantize the model that it was made from")
    before = measured(model, tokenizer, text, length)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(output)
    try:
        if to.startswith(GGUF):
            written = _gguf(model, tokenizer, to.removeprefix(GGUF), part, Path(name).stem)
            after = load(str(written))[0]
        else:
            written = part
            del model
            after = _packed(name, to, tokenizer, text, length)
            after.save_pretrained(part)
            tokenizer.save_pretrained(part)
        kinds = (".safetensors", gguf.ENDING)
        size = sum(path.stat().st_size for path in part.iterdir() if path.suffix in kinds)
        figures = measured(after, tokenizer, text, length, size)
        os.replace(written if as_file else part, output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return output if as_file else output / written.relative_to(part), before, figures


def _gguf(model: Any, tokenizer: Any, kind: str, part: Path, stem: str) -> Path:
    from formers.model.gguf_saving import save_gguf
    from formers.models.registry import called_in_gguf

    called = called_in_gguf(model.config.model_type)
    return save_gguf(model, part / f"{stem or 'model'}-{kind}{gguf.ENDING}", kind, called, tokenizer)


def _packed(name: str, to: str, tokenizer: Any, text: str | None, length: int) -> Any:
    """The model, loaded in a format."""
    from formers.quantization.formats import FORMATS

    found = next(one for one in FORMATS.values() if to in one.names)
    record = dict(found.names[to])
    if text is not None and any(one.name == "dataset" for one in fields(found.config)):  # type: ignore[arg-type]  # they are dataclasses
        ids = tokenizer(text)["input_ids"]
        record["dataset"] = [ids[i : i + length] for i in range(0, len(ids), length)][:128]
    model = load(name, quantization_config=found.config(**record))[0]
    return model


def table(before: Measured, after: Measured) -> list[Sequence[str]]:
    """Rows of what is measured, before and after."""

    def mega(size: int | None) -> str:
        return "" if size is None else f"{size / 1e6:,.1f} MB"

    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    rows = [
        ("files", mega(before.files), mega(after.files)),
        ("memory", mega(before.memory), mega(after.memory)),
        ("perplexity", number(before.perplexity, 3), number(after.perplexity, 3)),
        ("tokens/s", number(before.speed, 1), number(after.speed, 1)),
    ]
    return [row for row in rows if row[2]]
