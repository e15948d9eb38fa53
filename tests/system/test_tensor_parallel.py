"""Models split over two processes: their logits and their training are those of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

import formers
from formers.model.tensor_parallel import split
from system import tensor_job

JOB = Path(tensor_job.__file__)
SIZES = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
CONFIGS = {
    "MixtralForCausalLM": formers.MixtralConfig(num_local_experts=2, **SIZES, **HEADS),
    "Qwen3ForCausalLM": formers.Qwen3Config(head_dim=8, **SIZES, **HEADS),
}


def test_two_processes_that_share_weights_give_what_one_gives(tmp_path):
    torch.manual_seed(0)
    for name in tensor_job.CLASSES:
        getattr(formers, name)(CONFIGS[name]).save_pretrained(tmp_path / name)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    job = [str(JOB), str(tmp_path), str(tmp_path / "found.pt")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([*run, *job], env=environment, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    for name, found in torch.load(tmp_path / "found.pt", weights_only=True).items():
        whole, split = found["logits"]
        torch.testing.assert_close(split, whole, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
        one, two = found["weights"]
        assert one.keys() == two.keys()
        for key, weight in one.items():  # AdamW divides by small numbers: sums in another order show
            torch.testing.assert_close(two[key], weight, atol=1e-5, rtol=0)
        assert found["share"] < 0.7


def test_the_plan_is_the_ecosystem_s():
    with torch.device("meta"):
        plan = formers.LlamaForCausalLM(formers.LlamaConfig(**SIZES)).tp_plan
    assert plan == {f"model.{path}": how for path, how in LlamaConfig.base_model_tp_plan.items()}


def test_what_cannot_be_split_is_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with torch.device("meta"):
        gpt = formers.GPT2Model(formers.GPT2Config(n_layer=1))
        llama = formers.LlamaModel(formers.LlamaConfig(**SIZES))
    assert not gpt.supports_tp_plan
    with pytest.raises(ValueError, match="one weight, whose columns belong together"):
        split(gpt)
    with pytest.raises(ValueError, match="this one is alone"):
        split(llama)
    with pytest.raises(ValueError, match="did you mean 'layers"):
        split(llama, {"layers.*.self_attn.q_pro": "colwise"})
    with pytest.raises(ValueError, match="leave one out"):
        formers.LlamaModel.from_pretrained(None, state_dict={}, tp_plan="auto", device_map="cpu")
