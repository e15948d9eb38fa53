"""Whether DeepSpeed's ZeRO 1 to 3 on two CPU processes ends with the weights of one process without it.

Each row is a stage and an optimizer: the largest difference of any weight after two epochs of a tiny BERT, by
`Trainer(args=TrainingArguments(deepspeed=...))`; 1e-6 is allowed.

    DS_BUILD_OPS=0 pip install --no-build-isolation deepspeed       # beside torch for CPUs, and wheel
    python benchmarks/zero.py [--optimizers sgd adamw_torch] [--stages 1 2 3]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ALLOWED = 1e-6
_CONFIG = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,  # its own kernel for CPUs rounds in another way
}


def train(stage: int, optimizer: str, folder: str) -> None:
    """Train and save, by ZeRO of that stage; 0 is without DeepSpeed."""
    from formers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

    set_seed(0)
    config: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config |= {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**config, intermediate_size=32, num_labels=3))
    draw = random.Random(7)
    rows = [
        {"input_ids": [draw.randrange(1, 50) for _ in range(9)], "labels": draw.randrange(3)}
        for _ in range(48)
    ]
    args = TrainingArguments(
        output_dir=f"{folder}-run",
        num_train_epochs=2,
        per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1")),
        gradient_accumulation_steps=2,
        learning_rate=1e-3,  # AdamW makes steps of this size of gradients that are rounding alone
        optim=optimizer,
        deepspeed={**_CONFIG, "zero_optimization": {"stage": stage}} if stage else None,
        use_cpu=True,
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        seed=3,
    )
    trainer = Trainer(model=model, args=args, train_dataset=rows)
    trainer.train()
    trainer.save_model(folder)


def farthest(one: Path, other: Path) -> float:
    """The largest difference of any weight of two folders."""
    from safetensors.torch import load_file

    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--optimizers", nargs="*", default=["sgd", "adamw_torch"])
    parser.add_argument("--stages", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--job", nargs=3, metavar=("STAGE", "OPTIMIZER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        stage, optimizer, folder = options.job
        train(int(stage), optimizer, folder)
        return
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    with tempfile.TemporaryDirectory() as folder:
        for optimizer in options.optimizers:
            for stage in (0, *options.stages):
                job = [__file__, "--job", str(stage), optimizer, f"{folder}/{optimizer}-{stage}"]
                command = [sys.executable, *(launch if stage else []), *job]
                subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
                if stage:
                    far = farthest(*(Path(folder) / f"{optimizer}-{one}" for one in (0, stage)))
                    verdict = "agrees" if far <= ALLOWED else "differs"
                    print(f"ZeRO {stage}  {optimizer:12} {far:.1e}  {verdict}", flush=True)


if __name__ == "__main__":
    main()
