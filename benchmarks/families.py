"""Seconds of a forward pass of every family of texts, beside the reference on the same random weights.

Each family's first parity shape is widened (widths times 12: a hidden size of 384, heads as they are, four
layers, a vocabulary of 8,000), written by the reference and loaded by both. Bare models, float32, no padding,
no gradients, default arguments; the two run in turn in one process, and the median of the ratios is given
(of the largest size, a third of the rounds).

    python benchmarks/families.py [--only NAME ...] [--rounds 7] [--record]
"""

from __future__ import annotations

import argparse
import inspect
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZES = ((1, 128), (1, 512), (8, 128), (8, 512))
LEFT_OUT = {
    "encoder-decoder": "whose halves are timed as families of their own",
    "mra": "whose attention the reference leaves out on a CPU (it returns zeros)",
    "nystromformer": "which takes texts of one length alone",
}
WIDER, LAYERS, VOCABULARY, POSITIONS = 12, 4, 8000, 1024
WIDTHS = re.compile(
    r"(hidden|intermediate|embedding|inner|bottleneck|input_embedding|output_embedding)_size$|_dim$|_rank$|"
    r"^(dim|n_embd|n_inner|d_model|d_ff|d_kv|d_inner|d_head|sliding_window|local_attention|window_size|"
    r"query_pre_attn_scalar|ffn_hidden_size)$"
)
DEPTHS = re.compile(r"^(num_hidden_layers|n_layers?|num_layers|num_decoder_layers|(en|de)coder_layers)$")
LENGTHS = re.compile(r"position_embeddings$|^(n_positions|max_seq_len|n_ctx)$")


def widened(fields: dict[str, Any]) -> dict[str, Any]:
    """A tiny shape at a size at which products of matrices take most of the time."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            value = _widened_rule(value) if "rope_type" in value else widened(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            if name.endswith("vocab_size") and name != "type_vocab_size":
                value = VOCABULARY
            elif LENGTHS.search(name):
                value = POSITIONS
            elif DEPTHS.search(name) and not any(isinstance(given, list) for given in fields.values()):
                value = LAYERS
            elif WIDTHS.search(name):
                value *= WIDER
        found[name] = value
    return found


def _widened_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A rotary rule whose factors, one for each pair of features, serve wider heads."""
    return {name: v * WIDER if isinstance(v, list) else v for name, v in rule.items()}


def shapes() -> Iterator[tuple[str, dict[str, Any]]]:
    """The first shape of every family that reads token ids, widened."""
    from formers.models.table import FAMILIES
    from tests.parity import seq2seq_shapes, shapes

    for model_type in sorted(FAMILIES):
        for table in (shapes.SHAPES, seq2seq_shapes.SHAPES):
            if model_type in table:
                yield model_type, widened(next(iter(table[model_type].values())))


def inputs_of(model: Any, rows: int, tokens: int) -> dict[str, Any]:
    """Random ids, and as many for the decoder of a pair."""
    import torch

    ids = torch.randint(3, VOCABULARY - 3, (rows, tokens), generator=torch.Generator().manual_seed(0))
    pair = getattr(model.config, "is_encoder_decoder", False)
    return {"input_ids": ids, **({"decoder_input_ids": ids} if pair else {})}


def seconds(model: Any, inputs: dict[str, Any]) -> float:
    """One pass."""
    start = time.perf_counter()
    model(**inputs)
    return time.perf_counter() - start


def ratios(model_type: str, fields: dict[str, Any], rounds: int) -> list[float] | None:
    """The reference's seconds over ours, a size each; None where the family reads no ids."""
    import torch
    import transformers

    import formers

    torch.manual_seed(0)
    theirs = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(model_type, **fields))
    if "input_ids" not in inspect.signature(theirs.forward).parameters or hasattr(
        theirs.config, "vision_config"
    ):
        return None
    found = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        theirs.eval().save_pretrained(folder)
        ours = formers.AutoModel.from_pretrained(folder).eval()
        for rows, tokens in SIZES:
            inputs = inputs_of(theirs, rows, tokens)
            one, other = (model(**inputs)[0] for model in (theirs, ours))
            apart = float(((one - other).abs() / (1 + one.abs())).max())
            if apart > 1e-3:  # float32 over a long row of large values: a mix-up is far above it
                print(f"{model_type}: {apart:.1e} from the reference at {rows} x {tokens}", file=sys.stderr)
            often = rounds if rows * tokens < 4096 else max(1, rounds // 3)
            pairs = [(seconds(theirs, inputs), seconds(ours, inputs)) for _ in range(often)]
            found.append(statistics.median(one / other for one, other in pairs))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=(), help="model types")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    import transformers

    import record

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    table = [["reference / formers", *(f"{rows} x {tokens}" for rows, tokens in SIZES)]]
    every: list[float] = []
    for model_type, fields in shapes():
        if given.only and model_type not in given.only:
            continue
        found = None if model_type in LEFT_OUT else ratios(model_type, fields, given.rounds)
        if found:
            every += found
            table.append([f"`{model_type}`", *(f"{ratio:.2f}" for ratio in found)])
            print(*table[-1], flush=True)
    record.show(table)
    below = sum(ratio < 1 for ratio in every)
    note = (
        f"Times as fast as the reference: median {statistics.median(every):.2f}, least {min(every):.2f}; "
        f"{below} of {len(every)} below 1.0 (wanted: none, a median of 1.5)."
    )
    note += f" Not timed: {'; '.join(f'`{name}`, {why}' for name, why in LEFT_OUT.items())}."
    print(note)
    if given.record:
        record.section("Families", table, command="python benchmarks/families.py --record", notes=note)


if __name__ == "__main__":
    main()
