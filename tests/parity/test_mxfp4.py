"""Experts in MXFP4, as the files of gpt-oss have them."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import formers
from formers.checkpoints.failures import CheckpointError

SIZES = {
    **{"vocab_size": 48, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1},
    **{
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "num_local_experts": 3,
        "num_experts_per_tok": 2,
    },
}


@pytest.fixture
def packed(tmp_path):
    """A folder, and the reference's values of its packed tensors in bfloat16."""
    torch.manual_seed(0)
    formers.GptOssForCausalLM(formers.GptOssConfig(**SIZES)).bfloat16().save_pretrained(tmp_path)
    tensors, wanted = load_file(tmp_path / "model.safetensors"), {}
    for role in ("gate_up_proj", "down_proj"):
        name = f"model.layers.0.mlp.experts.{role}"
        count, read, out = tensors.pop(name).shape
        blocks = torch.randint(0, 256, (count, out, read // 32, 16), dtype=torch.uint8)
        scales = torch.randint(118, 126, blocks.shape[:-1], dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        wanted[name] = convert_moe_packed_tensors(blocks, scales)
    save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path, wanted


def test_packed_experts_have_the_values_that_the_reference_dequantises(packed, tmp_path):
    folder, wanted = packed
    model = formers.AutoModelForCausalLM.from_pretrained(folder)
    for name, values in wanted.items():
        assert torch.equal(model.get_parameter(name), values)
    ours = formers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    theirs = transformers.GptOssForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=transformers.Mxfp4Config(dequantize=True)
    )
    ids = torch.arange(5, 20)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=2e-5, rtol=0)
    model.save_pretrained(tmp_path / "plain")  # is a model like any other
    again = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert all(torch.equal(again.get_parameter(name), values) for name, values in wanted.items())


def test_blocks_without_scales_are_refused(packed):
    path = packed[0] / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.0.mlp.experts.down_proj_scales"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="down_proj_blocks is in the files, and .*_scales is not"):
        formers.AutoModelForCausalLM.from_pretrained(packed[0])
