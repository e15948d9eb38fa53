"""Checkpoints that the reference wrote: read, written back byte for byte, and read by it again."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from formers.checkpoints import TensorFiles, find_weights, save
from formers.hub import Source

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
}


def bert():
    return transformers.BertForMaskedLM(transformers.BertConfig(**SMALL))


def gpt2():
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=50, n_positions=32)
    )


def t5():
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(d_model=16, d_ff=32, d_kv=8, num_layers=2, num_heads=2, vocab_size=50)
    )


MAKERS = {"bert": bert, "gpt2": gpt2, "t5": t5}


@pytest.mark.parametrize("size", ["5GB", 6000])
@pytest.mark.parametrize("family", MAKERS)
def test_what_the_reference_wrote_is_written_back_byte_for_byte(tmp_path, family, size):
    model = MAKERS[family]()
    model.save_pretrained(tmp_path / "theirs", max_shard_size=size)
    files = TensorFiles.of(find_weights(Source.of(tmp_path / "theirs")))
    # The shards follow the order of the model's table, as they do where a model is saved.
    order = [name for name in model.state_dict() if name in files]
    assert set(order) == set(files.names())

    save({name: files.tensor(name) for name in order}, tmp_path / "ours", max_shard_size=size)

    weights = sorted(path.name for path in (tmp_path / "theirs").glob("model*.safetensors"))
    assert weights == sorted(path.name for path in (tmp_path / "ours").glob("model*.safetensors"))
    assert (len(weights) > 1) == (size == 6000)
    for name in weights:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    if len(weights) > 1:
        index = "model.safetensors.index.json"
        ours, theirs = (json.loads((tmp_path / who / index).read_text()) for who in ("ours", "theirs"))
        assert ours == theirs


@pytest.mark.parametrize("size", ["5GB", 6000])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("family", MAKERS)
def test_the_reference_reads_what_is_saved_here(tmp_path, family, size, safe):
    model = MAKERS[family]()
    model.config.save_pretrained(tmp_path)
    tied = getattr(model, "_tied_weights_keys", None) or {}
    save(model.state_dict(), tmp_path, max_shard_size=size, safe_serialization=safe, ties=dict(tied))

    again, info = type(model).from_pretrained(tmp_path, output_loading_info=True)

    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
