"""On one CUDA GPU: parity of every family, and speed beside the reference.

Parity: the main head of every family of `tests/parity`, in every shape, float32 without TF32: ours on the GPU
against ours on the CPU, and outputs, loss and gradients against the reference on the GPU; what generates
must give the same greedy tokens on both devices. A case that fails is listed with its error.

Speed, bf16, random weights: seconds of the reference over ours (above 1: ours is faster), medians of rounds
in which the two take turns, synchronised. Where `generate` is timed, the places where ours waits for the
GPU are counted too.

    python benchmarks/gpu.py [--only MODEL_TYPE ...] [--parts parity speed] [--rounds 5] [--record]
"""

from __future__ import annotations

import argparse
import collections
import copy
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
MAIN = (
    "ForConditionalGeneration",
    "MTModel",
    "EncoderDecoderModel",
    "ForMaskedLM",
    "ForCausalLM",
    "LMHeadModel",
    "Model",
)
LIMIT = 1e-4  # kernels of two devices add in different orders
NEW = 10
BERT = {"vocab_size": 30522}
LLAMA_110M = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "eos_token_id": None,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}
LLAMA_1B = {
    **LLAMA_110M,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
DISTILGPT2 = {"n_layer": 6, "eos_token_id": None, "bos_token_id": None, "pad_token_id": 0}


def moved(value: Any, device: str) -> Any:
    """What a model takes or gives, on another device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)):
        return tuple(moved(one, device) for one in value)
    if isinstance(value, dict):
        return {name: moved(one, device) for name, one in value.items()}
    return value


# -- parity ---------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What one family showed."""

    devices: Any
    reference: Any
    same: int = 0
    wrote: int = 0
    faults: list[str] = field(default_factory=list)


def main_head(names: Sequence[str]) -> list[str]:
    """The head that a family is best known by."""
    for ending in MAIN:
        found = [name for name in names if name.endswith(ending)]
        if found:
            return found[:1]
    return list(names[:1])


def across(case: Any, far: Any, device: str, seen: Any) -> None:
    """Our outputs on the CPU against ours on `device`, of real tokens."""
    import parity

    with torch.no_grad():
        here = case.ours(**case.inputs, output_hidden_states=True)
        there = far(**moved(case.inputs, device), output_hidden_states=True)
    for key in set(here.keys()) - {"past_key_values", "cache_params", "mems"}:
        real = parity.flat(case.real(key)) if "hidden" in key else case.real(key)
        seen.see("hidden" if "hidden" in key else "outputs", here[key], moved(there[key], "cpu"), real)


def writes_alike(case: Any, far: Any, device: str, seen: Seen) -> None:
    """Whether both devices give the same greedy tokens; padding stands on the left of a decoder's prompts."""
    given = {n: v for n, v in (case.left or case.inputs).items() if not n.startswith("decoder_")}
    given.pop("use_cache", None)
    settings = {"max_new_tokens": NEW, "do_sample": False, "num_beams": 1}
    try:
        here = case.ours.generate(**given, **settings)
    except (ValueError, TypeError, NotImplementedError, AttributeError, RuntimeError):
        # no head for the next token, or a shape that the CPU refuses: devices cannot differ; what fails
        # on the GPU alone is not caught
        return
    there = far.generate(**moved(given, device), **settings)
    seen.wrote += 1
    seen.same += int(here.shape == there.shape and bool((here == there.cpu()).all()))


def attempt(what: str, seen: Seen, work: Callable[[], None]) -> None:
    """Do a piece of work; a failure is a result."""
    try:
        work()
    except (Exception, SystemExit) as error:  # whatever fails on this device is what is looked for
        told = " ".join(str(error).split())[:160]
        seen.faults.append(f"{what}: {type(error).__name__}: {told}")


def examine(case: Any, device: str, seen: Seen) -> None:
    """One head in one shape."""
    import parity

    far, theirs = copy.deepcopy(case.ours).to(device), case.theirs.to(device)
    name = case.name
    attempt(f"{name}, devices", seen, lambda: across(case, far, device, seen.devices))
    if hasattr(far, "generate"):
        attempt(f"{name}, generate", seen, lambda: writes_alike(case, far, device, seen))
    there = replace(
        case,
        theirs=theirs,
        ours=far,
        inputs=moved(case.inputs, device),
        labels=moved(case.labels, device),
        left=None if case.left is None else moved(case.left, device),
    )
    attempt(f"{name}, reference", seen, lambda: parity.compare(there, far, seen.reference))


def family(device: str, model_type: str) -> Seen:
    """One family in all its shapes."""
    import transformers

    import parity

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    seen = Seen(parity.Distance(), parity.Distance())
    with tempfile.TemporaryDirectory() as made:
        for cases in (parity.encoders_and_decoders, parity.encoder_decoders):
            attempt(
                "family",
                seen,
                lambda cases=cases: [
                    examine(case, device, seen) for case in cases(Path(made), [model_type], main_head)
                ],
            )
    return seen


def measure_parity(device: str, names: Sequence[str], jobs: int) -> tuple[list[list[str]], list[str]]:
    """A row a family, and what failed."""
    rows, faults = [["family", "shapes", "CPU and GPU", "reference", "its gradients", "tokens alike"]], []
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        found = dict(zip(names, pool.map(partial(family, device), names), strict=True))
    for name, seen in found.items():
        apart, other = seen.devices, seen.reference
        if not other.checkpoints and not seen.faults:
            continue  # a family without shapes
        forward = max(other.outputs, other.hidden, other.loss)
        numbers = [f"{one:.0e}" for one in (max(apart.outputs, apart.hidden), forward, other.gradients)]
        alike = f"{seen.same}/{seen.wrote}" if seen.wrote else ""
        rows.append([name, str(other.checkpoints), *numbers, alike])
        faults += [f"{name}: {fault}" for fault in dict.fromkeys(seen.faults)]
        faults += [
            f"{name}: {kind} apart by {distance.largest:.1e}"
            for kind, distance in (("devices", apart), ("reference", other))
            if not distance.largest <= LIMIT
        ]
        if seen.same < seen.wrote:
            faults.append(f"{name}: other tokens on the GPU in {seen.wrote - seen.same} of {seen.wrote}")
    return rows, faults


# -- speed ----------------------------------------------------------------------------------------------


def settle(device: str) -> None:
    """Wait for the GPU."""
    if device != "cpu":
        torch.cuda.synchronize()


def alternate(device: str, rounds: int, *works: Callable[[], Any]) -> list[float]:
    """Median seconds of each work, which take turns."""
    times: list[list[float]] = [[] for _ in works]
    for i in range(rounds + 2):
        for work, own in zip(works, times, strict=True):
            settle(device)
            start = time.perf_counter()
            work()
            settle(device)
            if i >= 2:  # the first two warm up
                own.append(time.perf_counter() - start)
    return [statistics.median(one) for one in times]


def waits(device: str, work: Callable[[], Any]) -> collections.Counter[str]:
    """Where a piece of work waits for the GPU, and how often."""
    if device == "cpu":
        return collections.Counter()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return collections.Counter(
        f"{'/'.join(Path(one.filename).parts[-3:])}:{one.lineno}"
        for one in caught
        if "synchroniz" in str(one.message)
    )


def pair(name: str, config: Any, device: str) -> tuple[Any, Any]:
    """The reference's random model and ours with its weights, in bf16 and evaluation mode."""
    import transformers

    import formers

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        with torch.device(device):
            theirs = getattr(transformers, name)._from_config(config, dtype=torch.bfloat16)
        theirs.save_pretrained(folder)
        ours = getattr(formers, name).from_pretrained(folder, dtype=torch.bfloat16).to(device)
    return theirs.eval().to(device), ours.eval()


def row(what: str, theirs: float, ours: float) -> list[str]:
    """A row of the table of speed, in milliseconds."""
    return [what, f"{theirs * 1e3:.1f}", f"{ours * 1e3:.1f}", f"{theirs / ours:.2f}"]


def passes(device: str, rounds: int) -> list[list[str]]:
    """Forward and a step of training: an encoder on padded texts, a decoder on full rows."""
    import transformers

    rows = []
    lengths = torch.randint(16, 129, (32,), generator=torch.Generator().manual_seed(0))
    lengths[0] = 128
    mask = (torch.arange(128) < lengths[:, None]).long()
    texts = {"input_ids": torch.randint(5, 30000, (32, 128)) * mask, "attention_mask": mask}
    full = torch.randint(5, 30000, (8, 512))
    choices = torch.randint(0, 2, (32,))
    for what, name, config, inputs, labels in (
        (
            "BERT-base, 32 x 128 padded",
            "BertForSequenceClassification",
            transformers.BertConfig(**BERT),
            texts,
            choices,
        ),
        (
            "LLaMA 110 M, 8 x 512",
            "LlamaForCausalLM",
            transformers.LlamaConfig(**LLAMA_110M),
            {"input_ids": full},
            full,
        ),
    ):
        models = pair(name, config, device)
        given = moved(inputs, device)
        target = labels.to(device)

        def forward(model: Any, given: Any = given) -> None:
            with torch.inference_mode():
                model(**given)

        def step(model: Any, optimizer: Any, given: Any = given, target: Any = target) -> None:
            model(**given, labels=target).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        timed = alternate(device, rounds * 4, *(lambda m=m: forward(m) for m in models))
        rows.append(row(f"{what}: forward", *timed))
        works = []
        for model in models:
            optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5, fused=device != "cpu")
            works.append(lambda model=model, optimizer=optimizer: step(model, optimizer))
        rows.append(row(f"{what}: training step", *alternate(device, rounds * 4, *works)))
    return rows


def generation(device: str, rounds: int, new: int) -> tuple[list[list[str]], list[str]]:
    """Greedy search, beams and the engine; and where ours waits for the GPU."""
    import transformers

    rows, told = [], []
    for what, name, config in (
        ("distilGPT-2", "GPT2LMHeadModel", transformers.GPT2Config(**DISTILGPT2)),
        ("LLaMA 1.1 B", "LlamaForCausalLM", transformers.LlamaConfig(**LLAMA_1B)),
    ):
        theirs, ours = pair(name, config, device)
        for batch, beams in ((1, 1), (8, 1), (1, 4)):
            ids = torch.randint(5, 30000, (batch, 32), generator=torch.Generator().manual_seed(batch)).to(
                device
            )
            given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            settings = {"max_new_tokens": new, "do_sample": False, "num_beams": beams}
            works = [lambda m=m, g=given, s=settings: m.generate(**g, **s) for m in (theirs, ours)]
            label = f"{what}: {f'beams {beams}' if beams > 1 else 'greedy'}, batch {batch}"
            rows.append(row(label, *alternate(device, rounds, *works)))
            found = waits(device, works[1])
            told.append(f"{label}: " + (", ".join(f"{at} {n}" for at, n in found.most_common(6)) or "none"))
        rows.append(
            row(
                f"{what}: engine, 32 requests",
                *alternate(device, max(rounds // 2, 1), *served(theirs, ours, device, new)),
            )
        )
    return rows, told


def served(theirs: Any, ours: Any, device: str, new: int) -> list[Callable[[], Any]]:
    """32 prompts of 8 to 128 tokens want `new` / 4 to 2 `new` more: padded for the one, not for the other."""
    from formers import GenerationConfig
    from formers.generation.engine import Engine, Request

    draw = torch.Generator().manual_seed(3)
    prompts = [
        torch.randint(5, 30000, (int(n),), generator=draw).tolist()
        for n in torch.randint(8, 129, (32,), generator=draw)
    ]
    wanted = torch.randint(max(new // 4, 1), 2 * new + 1, (32,), generator=draw).tolist()
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)

    def padded() -> Any:
        return theirs.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=max(wanted), do_sample=False
        )

    def engine() -> None:
        run = Engine(ours, rows=32, prefix_bytes=0)
        requests = [
            run.submit(
                Request(prompt, GenerationConfig(max_new_tokens=n, do_sample=False, eos_token_id=None))
            )
            for prompt, n in zip(prompts, wanted, strict=True)
        ]
        run.run()
        for request, n in zip(requests, wanted, strict=True):
            if request.error is not None or len(request.tokens) != n:
                raise SystemExit(f"the engine gave {len(request.tokens)} tokens of {n}: {request.error!r}")

    return [padded, engine]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="*", help="model types")
    parser.add_argument("--parts", nargs="*", default=["parity", "speed"], choices=["parity", "speed"])
    parser.add_argument("--jobs", type=int, default=8, help="processes that look at families")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=64, help="tokens that are generated")
    parser.add_argument("--record", action="store_true", help="write the sections of RESULTS.md")
    given = parser.parse_args()
    import transformers

    from formers.models.table import FAMILIES

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    import record

    command = "python benchmarks/gpu.py --record"
    if "parity" in given.parts:
        start = time.perf_counter()
        table, faults = measure_parity(given.device, given.only or list(FAMILIES), given.jobs)
        record.show(table)
        print(
            f"parity: {time.perf_counter() - start:.0f} s; faults: {len(faults)}",
            *faults,
            sep="\n",
            flush=True,
        )
        if given.record:
            record.section(
                "GPU: parity", table, command=command, notes=told("Above the limit or failed", faults)
            )
    if "speed" in given.parts:
        table = [["bf16", "reference, ms", "formers, ms", "ratio"], *passes(given.device, given.rounds)]
        record.show(table)
        rows, waiting = generation(given.device, given.rounds, given.new)
        table += rows
        record.show(table)
        print(*waiting, sep="\n", flush=True)
        if given.record:
            record.section(
                "GPU: speed", table, command=command, notes=told("Where ours waits for the GPU", waiting)
            )


def told(what: str, lines: list[str]) -> str:
    """A note of lines."""
    return f"{what}: " + ("nothing." if not lines else "\n\n" + "\n".join(f"- {line}" for line in lines))


if __name__ == "__main__":
    main()
