"""Models split over the processes of torchrun, beside whole ones. Usage: tensor_job.py FOLDER RESULT.pt

The folder holds a checkpoint each of the classes below; of every one, logits of both, and what both are after
two steps of training (the split one saved and loaded again).
"""

import sys
from pathlib import Path

import torch
from torch import distributed

import formers

CLASSES = ("MixtralForCausalLM", "Qwen3ForCausalLM")


def job(folder: Path, result: Path) -> None:
    ids = torch.arange(18).view(2, 9) % 50 + 5
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    given["attention_mask"][1, 6:] = 0
    found = {}
    for name in CLASSES:
        kind = getattr(formers, name)
        one = kind.from_pretrained(folder / name)
        two = kind.from_pretrained(folder / name, tp_plan="auto")
        with torch.no_grad():
            logits = [model(**given).logits[given["attention_mask"].bool()] for model in (one, two)]
        for model in (one, two):
            optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
            for _ in range(2):
                model(**given).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        share = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in two.parameters())
        two.save_pretrained(folder / "split" / name)
        distributed.barrier()
        saved = kind.from_pretrained(folder / "split" / name)
        weights = [model.state_dict() for model in (one, saved)]
        found[name] = {"logits": logits, "weights": weights, "share": share / one.num_parameters()}
    if distributed.get_rank() == 0:
        torch.save(found, result)
    distributed.destroy_process_group()


if __name__ == "__main__":
    job(Path(sys.argv[1]), Path(sys.argv[2]))
