"""Steps per second of LoRA training, beside the ecosystem's Trainer on peft, in turn.

python benchmarks/lora.py [--steps 6] [--rounds 3] [--layers 12]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from typing import Any

import torch

SHAPE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 2048}
VOCABULARY = 32000


def rows(count: int) -> list[dict[str, Any]]:
    """Texts of 64 to 128 tokens, padded on the right to 128 by hand, as tokenizers do."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(count):
        length = int(torch.randint(64, 129, (), generator=draw))
        ids = torch.randint(3, VOCABULARY, (length,), generator=draw).tolist()
        rest = 128 - length
        found.append(
            {
                "input_ids": ids + [0] * rest,
                "attention_mask": [1] * length + [0] * rest,
                "labels": ids + [-100] * rest,
            }
        )
    return found


def seconds(library: Any, adapters: Any, shape: dict[str, int], steps: int) -> float:
    """Seconds of one short run, after a step to warm up."""
    torch.manual_seed(0)
    config = library.LlamaConfig(vocab_size=VOCABULARY, pad_token_id=0, max_position_embeddings=256, **shape)
    model = library.LlamaForCausalLM(config)
    lora = adapters.LoraConfig(r=8, lora_alpha=32, lora_dropout=0.1, task_type="CAUSAL_LM")
    model = adapters.get_peft_model(model, lora)
    with tempfile.TemporaryDirectory() as folder:
        args = library.TrainingArguments(
            folder,
            per_device_train_batch_size=4,
            max_steps=steps + 1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_strategy="no",
        )
        stamps: list[float] = []

        class Clock(library.TrainerCallback):  # type: ignore[misc, name-defined]
            def on_step_end(self, *_: Any, **__: Any) -> None:
                stamps.append(time.perf_counter())

        library.Trainer(model, args, train_dataset=rows(4 * (steps + 1)), callbacks=[Clock()]).train()
    return stamps[-1] - stamps[0]


def main() -> None:
    """Print the ratio of every round, and the median."""
    import peft
    import transformers

    import formers

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    shape = {**SHAPE, "num_hidden_layers": given.layers}
    ratios = []
    for _ in range(given.rounds):
        theirs = seconds(transformers, peft, shape, given.steps)
        ours = seconds(formers, formers, shape, given.steps)
        ratios.append(theirs / ours)
        print(
            f"peft {given.steps / theirs:.2f} steps/s, ours {given.steps / ours:.2f}: {ratios[-1]:.2f} times"
        )
    print(f"median: {statistics.median(ratios):.2f} times the steps per second")


if __name__ == "__main__":
    main()
