"""Every method of adapting on every kind of family, beside peft: which behaviours are the same.

python benchmarks/adapters.py [--families llama,t5] [--methods lora,ia3]

Both read each other's files; outputs and one step of training are compared within 1e-4 of the largest value.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.adapters.adapted_families import FAMILIES, inputs, ours, reference

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("LoraConfig", {"r": 4, "init_lora_weights": False}),
    "dora": ("LoraConfig", {"r": 4, "use_dora": True, "init_lora_weights": False}),
    "adalora": ("AdaLoraConfig", {"init_r": 4, "target_r": 2, "total_step": 9, "init_lora_weights": False}),
    "ia3": ("IA3Config", {"init_ia3_weights": False, "feedforward_modules": []}),
    "loha": ("LoHaConfig", {"r": 3, "init_weights": False}),
    "lokr": ("LoKrConfig", {"r": 2, "init_weights": False}),
    "oft": ("OFTConfig", {"oft_block_size": 8, "init_weights": False}),
    "vera": ("VeraConfig", {"r": 8, "init_weights": False}),
    "norms": ("LNTuningConfig", {}),
}
# linear leaves of every family, by names that both libraries know
TARGETS = {
    "bert": ["query", "value"],
    "gpt2": ["c_attn"],
    "t5": ["q", "v"],
    "whisper": ["q_proj", "v_proj"],
    "vit": ["q_proj", "v_proj"],
    "llama": ["q_proj", "v_proj", "down_proj"],
    "mixtral": ["q_proj", "v_proj"],
}
NORMS = {"bert": ["LayerNorm"], "gpt2": ["ln_1"], "t5": ["layer_norm"], "vit": ["layernorm"]} | {
    "whisper": ["self_attn_layer_norm"],
    "llama": ["input_layernorm"],
    "mixtral": ["input_layernorm"],
}


def adapted(library: Any, model: Any, family: str, method: str) -> Any:
    """A copy of a model with one adapter."""
    kind, values = METHODS[method]
    targets = (NORMS if method == "norms" else TARGETS)[family]
    torch.manual_seed(1)
    config = getattr(library, kind)(target_modules=targets, task_type=FAMILIES[family][4], **values)
    return library.get_peft_model(copy.deepcopy(model), config).eval()


def answers(model: Any, family: str) -> torch.Tensor:
    """Logits of real tokens."""
    with torch.no_grad():
        found: torch.Tensor = model(**inputs(family)).logits
    return torch.cat([found[0, :4], found[1]]) if family in ("gpt2", "llama", "mixtral") else found


def stepped(model: Any, family: str) -> torch.Tensor:
    """Logits after one step down the gradient of their square."""
    for _, part in model.named_parameters():
        part.grad = None
    found = model(**inputs(family)).logits
    if family in ("gpt2", "llama", "mixtral"):
        found = torch.cat([found[0, :4], found[1]])
    found.square().mean().backward()
    with torch.no_grad():
        for part in model.parameters():
            if part.requires_grad and part.grad is not None:
                part -= 0.1 * part.grad
    return answers(model, family)


def near(a: torch.Tensor, b: torch.Tensor) -> str | None:
    """None where both are alike, else by how much they differ."""
    apart, most = float((a - b).abs().max()), max(1.0, float(b.abs().max()))
    return None if apart <= 1e-4 * most else f"{apart:.1e}"


def behaviours(theirs: Any, own: Any, family: str, method: str, folder: Path) -> dict[str, str | None]:
    """Behaviour -> None where it is as peft's, else what differs."""
    import peft

    import formers

    there = adapted(peft, theirs, family, method)
    there.save_pretrained(folder / "theirs")
    here = formers.PeftModel.from_pretrained(copy.deepcopy(own), folder / "theirs", is_trainable=True).eval()
    plain, beside = answers(own, family), answers(there, family)
    found = {"load": near(answers(here, family), beside)}
    count = [model.get_nb_trainable_parameters()[0] for model in (here, there)]
    found["count"] = None if count[0] == count[1] else str(count)
    here.save_pretrained(folder / "own")
    back = peft.PeftModel.from_pretrained(copy.deepcopy(theirs), folder / "own").eval()
    found["save"] = near(answers(back, family), beside)
    with here.disable_adapter():
        found["disable"] = near(answers(here, family), plain)
    here.merge_adapter()
    found["merge"] = near(answers(here, family), beside)
    here.unmerge_adapter()
    found["unmerge"] = near(answers(here, family), beside)
    here.load_adapter(folder / "theirs", "other")
    here.set_adapter("other")
    found["switch"] = near(answers(here, family), beside)
    here.set_adapter("default")
    if method != "norms":
        with torch.no_grad():
            rows = here(**inputs(family), adapter_names=["other", "__base__"]).logits
            alone = own(**inputs(family)).logits
        found["rows"] = near(rows[1], alone[1])
    found["step"] = near(stepped(here, family), stepped(there, family))
    found["unload"] = near(answers(here.unload(), family), plain)
    return found


def told(judge: Callable[[], dict[str, str | None]]) -> str:
    """One line: "as peft's", or what differs, or what was raised."""
    try:
        apart = {name: said for name, said in judge().items() if said is not None}
    except Exception as error:  # whatever it is, it is one cell of the table
        return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
    return "as peft's" if not apart else ", ".join(f"{name} {said}" for name, said in apart.items())


def main() -> None:
    """Print the table."""
    import transformers

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(TARGETS))
    parser.add_argument("--methods", default=",".join(METHODS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    for family in given.families.split(","):
        with tempfile.TemporaryDirectory() as folder:
            theirs = reference(family, Path(folder))
            own = ours(family, Path(folder))
            for method in given.methods.split(","):
                place = Path(folder) / method

                def judge(method: str = method, place: Path = place) -> dict[str, str | None]:
                    return behaviours(theirs, own, family, method, place)  # noqa: B023  # called at once

                print(f"{family:8} {method:8} {told(judge)}", flush=True)


if __name__ == "__main__":
    main()
