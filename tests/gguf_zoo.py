"""GGUF files of tiny models with random weights, written with the `gguf` package in llama.cpp's layout."""

from __future__ import annotations

import re

import gguf
import numpy as np
import torch
import transformers

_COMMON = {"vocab_size": 48, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_DECODER = {
    **_COMMON,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
_EXPERTS = {**_DECODER, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}

# architecture -> model type, config
SHAPES = {
    "llama": ("llama", {**_DECODER, "head_dim": 16}),
    "qwen2": ("qwen2", _DECODER),
    "qwen3": ("qwen3", {**_DECODER, "head_dim": 128}),
    "qwen2moe": ("qwen2_moe", {**_EXPERTS, "shared_expert_intermediate_size": 32}),
    "qwen3moe": ("qwen3_moe", {**_EXPERTS, "head_dim": 32, "norm_topk_prob": True}),
    "gemma2": ("gemma2", {**_DECODER, "head_dim": 32, "sliding_window": 8}),
    "gemma3": ("gemma3_text", {**_DECODER, "head_dim": 32, "sliding_window": 8}),
    "phi3": ("phi3", _DECODER),
    "gpt2": ("gpt2", {**_COMMON, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024}),
    "bloom": ("bloom", {**_COMMON, "hidden_size": 64, "n_layer": 2, "n_head": 4}),
    "falcon": ("falcon", {**_DECODER, "num_kv_heads": 1, "intermediate_size": None}),
    "starcoder2": ("starcoder2", _DECODER),
    "stablelm": ("stablelm", {**_DECODER, "tie_word_embeddings": False}),
    "nemotron": ("nemotron", {**_DECODER, "head_dim": 16, "tie_word_embeddings": False}),
    "mamba": ("mamba", {**_COMMON, "hidden_size": 64, "num_hidden_layers": 2, "state_size": 16}),
    "t5": (
        "t5",
        {
            **{"vocab_size": 48, "d_model": 64, "d_ff": 96, "num_layers": 2, "num_heads": 4, "d_kv": 16},
            **{"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0},
        },
    ),
}


def reference(architecture, **more):
    """The reference's model, with every weight drawn anew so that none is 0 or 1."""
    kind, fields = SHAPES[architecture]
    fields = {key: value for key, value in {**fields, **more}.items() if value is not None}
    config = transformers.AutoConfig.for_model(kind, **fields)
    classes = transformers.AutoModelForSeq2SeqLM if kind == "t5" else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = classes.from_config(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.endswith("A_log"):
                value.add_(torch.randn_like(value) * 0.1)
    return model


def _permuted(x, heads):
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def _in_file(architecture, name, x, config):
    """What llama.cpp's converter makes of a weight of the ecosystem's checkpoint."""
    if architecture == "llama" and name.endswith("q_proj.weight"):
        return _permuted(x, config.num_attention_heads)
    if architecture == "llama" and name.endswith("k_proj.weight"):
        return _permuted(x, config.num_key_value_heads)
    if architecture in ("gemma2", "gemma3", "nemotron") and name.endswith("norm.weight"):
        return x + 1
    if architecture == "gpt2" and re.search(r"(c_attn|c_proj|c_fc)\.weight", name):
        return x.T
    if architecture == "bloom" and "query_key_value" in name:
        shape = (config.n_head, 3, config.hidden_size // config.n_head, *x.shape[1:])
        return x.reshape(shape).swapaxes(0, 1).reshape(x.shape)
    if name.endswith("A_log"):
        return -np.exp(x)
    if name.endswith("conv1d.weight"):
        return x.squeeze(1)
    return x.squeeze(0) if name.endswith("shared_expert_gate.weight") else x


def _metadata(writer, architecture, config):
    if architecture in ("gpt2", "bloom"):
        writer.add_context_length(1024)
    else:
        writer.add_context_length(getattr(config, "max_position_embeddings", 64))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    ff = getattr(config, "intermediate_size", None) or getattr(config, "d_ff", None) or 4 * config.hidden_size
    writer.add_feed_forward_length(ff)
    if architecture == "mamba":
        writer.add_ssm_conv_kernel(config.conv_kernel)
        writer.add_ssm_state_size(config.state_size)
        writer.add_ssm_time_step_rank(config.time_step_rank)
        writer.add_ssm_inner_size(config.intermediate_size)
    else:
        writer.add_head_count(config.num_attention_heads)
        shared = 1 if architecture == "falcon" else getattr(config, "num_key_value_heads", None)
        writer.add_head_count_kv(shared or config.num_attention_heads)
    width = getattr(config, "head_dim", None)
    if architecture == "t5":
        writer.add_key_length(config.d_kv)
        writer.add_decoder_start_token_id(0)
        writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    elif width and architecture in ("llama", "qwen3moe", "gemma2", "gemma3", "qwen3"):
        writer.add_key_length(width)
        writer.add_rope_dimension_count(width)
    if getattr(config, "num_experts", 0):
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        if architecture == "qwen2moe":
            writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    if getattr(config, "sliding_window", None) and "gemma" in architecture:
        writer.add_sliding_window(config.sliding_window)
    names = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps")
    eps = next(getattr(config, name) for name in names if hasattr(config, name))
    (writer.add_layer_norm_rms_eps if architecture in _RMS else writer.add_layer_norm_eps)(eps)


_RMS = ("llama", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "gemma2", "gemma3", "phi3", "mamba", "nemotron")


def _files(model, architecture):
    """Name in the file -> numbers, and -> name in the checkpoint."""
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    tied = model.config.tie_word_embeddings or architecture in ("bloom", "falcon")
    found = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        x = _in_file(architecture, name, value.numpy(), model.config)
        if name.endswith("experts.gate_up_proj"):
            layer = re.search(r"\d+", name)[0]
            found[f"blk.{layer}.ffn_gate_exps.weight"], found[f"blk.{layer}.ffn_up_exps.weight"] = np.split(
                x, 2, 1
            )
            continue
        if name.endswith("experts.down_proj"):
            found[f"blk.{re.search(r'[0-9]+', name)[0]}.ffn_down_exps.weight"] = x
            continue
        if name.endswith("coder.embed_tokens.weight"):  # the shared table
            continue
        bare = name.removeprefix("transformer.")
        called = next(c for n in (name, bare) if (c := names.get_name(n, try_suffixes=(".weight", ".bias"))))
        found[called] = np.ascontiguousarray(x)
    return found


# one layer whose rows fill the superblocks of the k-quants
WIDE = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "num_hidden_layers": 1}


def write(path, architecture, kind="F32", beside=None, trained=None, **fields):
    """Write a model of `reference(architecture)`; matrices as `kind`, vectors in float32.

    `beside` makes further tensors out of the model; `trained` is the length before it was stretched.
    """
    model = reference(architecture, **fields)
    writer = gguf.GGUFWriter(str(path), architecture)
    _metadata(writer, architecture, model.config)
    if trained is not None:
        writer.add_rope_scaling_orig_ctx_len(trained)
    for name, x in (beside(model) if beside else {}).items():
        writer.add_tensor(name, np.asarray(x, np.float32))
    add_tokens(writer, model.config.vocab_size)
    for name, x in _files(model, architecture).items():
        numbers = gguf.GGMLQuantizationType[kind]
        block = gguf.GGML_QUANT_SIZES[numbers][0]
        fits = x.ndim > 1 and x.shape[-1] % block == 0
        if not fits or kind == "F32":
            writer.add_tensor(name, x.astype(np.float32))
        else:
            packed = quantized(x, numbers)
            writer.add_tensor(name, packed, raw_dtype=numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def quantized(x, numbers):
    """Numbers of a type; where the package can only read it, random blocks with small scales."""
    try:
        return gguf.quants.quantize(x.astype(np.float32), numbers)
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[numbers]
        rows = x.reshape(-1, x.shape[-1])
        rng = np.random.default_rng(0)
        made = rng.integers(0, 256, (rows.shape[0], rows.shape[1] // block, size), dtype=np.uint8)
        scale = np.frombuffer(np.float16(0.002).tobytes(), np.uint8)
        if numbers.name == "Q6_K":
            made[..., -2:] = scale
        else:  # Q4_K, Q5_K: d and dmin in front
            made[..., :2], made[..., 2:4] = scale, scale
        return made.reshape(*x.shape[:-1], -1)


def add_tokens(writer, count):
    """A vocabulary of that many words, of no use but to be there."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(count - 3))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * count)
    writer.add_token_types([2, 3, 3, *[6] * (count - 3)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(0)


def write_tokenizer(path, architecture, kind, tokens, scores=None, types=None, **metadata):
    """A file that holds a tokenizer alone."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_tokenizer_model(kind)
    writer.add_token_list(tokens)
    if scores is not None:
        writer.add_token_scores(scores)
    writer.add_token_types(types or [1] * len(tokens))
    for name, value in metadata.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
