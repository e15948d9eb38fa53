"""What layers hold, found by class as scripts look for it."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest
import torch
import transformers

import formers

SMALL = {"vocab_size": 99, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "Bart": {"vocab_size": 99, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1},
    "Bert": SMALL,
    "CLIPText": {**SMALL, "bos_token_id": 1, "eos_token_id": 2},
    "Cohere": SMALL,
    "DebertaV2": SMALL,
    "DistilBert": {"vocab_size": 99, "dim": 8, "n_heads": 2, "n_layers": 1},
    "GPT2": {"vocab_size": 99, "n_embd": 8, "n_head": 2, "n_layer": 1},
    "Jamba": {**SMALL, "num_hidden_layers": 8, "num_key_value_heads": 2, "num_experts": 2},
    "Llama": SMALL,
    "Mixtral": {**SMALL, "num_key_value_heads": 2, "num_local_experts": 2},
    "DeepseekV3": {
        **{**SMALL, "num_hidden_layers": 2, "first_k_dense_replace": 1, "n_routed_experts": 2, "n_group": 1},
        "num_key_value_heads": 2,
        **{"topk_group": 1, "num_experts_per_tok": 1},
    },
    "Qwen3": {**SMALL, "head_dim": 4, "num_key_value_heads": 2},
    "T5": {"vocab_size": 99, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2},
    "Whisper": {"d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "num_mel_bins": 8},
}


def made(library: Any, family: str) -> Any:
    with torch.device("meta"):
        return getattr(library, f"{family}Model")(getattr(library, f"{family}Config")(**SHAPES[family]))


@pytest.mark.parametrize("family", SHAPES)
def test_parts_are_called_as_in_the_ecosystem_and_found_by_that_name(family):
    real = dict(made(transformers, family).named_modules())
    named = {
        path: part
        for path, part in made(formers, family).named_modules()
        if type(part).__module__ == "formers.stacks.parts"
    }
    assert named
    called = {type(part).__name__ for part in real.values()}
    for path, part in named.items():  # experts lie on the paths of checkpoints, of any release
        assert type(part).__name__ in ({type(real[path]).__name__} if path in real else called)
    for part in named.values():
        if type(part).__name__ == "DisentangledSelfAttention":
            continue  # the one that two families have under one name
        assert getattr(formers, type(part).__name__) is type(part)


def test_attention_is_found_by_the_names_that_it_had_for_each_kernel():
    assert formers.LlamaSdpaAttention is formers.LlamaFlashAttention2 is formers.LlamaAttention
    assert formers.BertSdpaSelfAttention is formers.BertSelfAttention


def test_what_families_share_is_found_by_each_one_s_name():
    llama, bert = made(formers, "Llama"), made(formers, "Bert")
    assert isinstance(llama.norm, formers.LlamaRMSNorm)
    assert isinstance(llama.rotary_emb, formers.LlamaRotaryEmbedding)
    assert isinstance(bert.embeddings, formers.BertEmbeddings)
    assert isinstance(bert.encoder, formers.BertEncoder)
    assert not isinstance(bert.encoder, formers.BertEmbeddings)
    with pytest.raises(AttributeError, match="own parts"):
        _ = formers.BertRMSNorm
    for part in ("LlamaRMSNorm", "LlamaAttention"):
        with pytest.raises(NotImplementedError, match="cannot be made by itself"):
            getattr(formers, part)(8)


def test_a_model_whose_parts_have_classes_is_copied_and_cut_by_them():
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    model = formers.LlamaModel(formers.LlamaConfig(**SMALL))
    again = pickle.loads(pickle.dumps(model))
    assert type(again.layers[0].self_attn) is formers.LlamaAttention
    cut = partial(
        transformer_auto_wrap_policy, transformer_layer_cls={formers.LlamaAttention, formers.LlamaMLP}
    )
    found = [
        name for name, part in again.named_modules() if cut(module=part, recurse=False, nonwrapped_numel=0)
    ]
    assert found == ["layers.0.self_attn", "layers.0.mlp"]
    ids = torch.arange(5)[None]
    assert torch.equal(again.eval()(ids)[0], model.eval()(ids)[0])
