"""What a GGUF file's metadata say of a model, as a config's fields, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formers.hub.gguf import Header, model_type_of

# key below the architecture's name -> names that configs have for it: all that a class declares are set
_FIELDS: dict[str, tuple[str, ...]] = {
    "context_length": ("max_position_embeddings",),
    "block_count": ("num_hidden_layers",),
    "embedding_length": ("hidden_size",),
    "feed_forward_length": ("ffn_hidden_size", "intermediate_size", "n_inner", "d_ff"),
    "attention.head_count": ("num_attention_heads",),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim", "d_kv"),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "layer_norm_epsilon", "norm_eps"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "attention.sliding_window": ("sliding_window",),
    "attention.relative_buckets_count": ("relative_attention_num_buckets",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "decoder_start_token_id": ("decoder_start_token_id",),
    "rope.freq_base": ("rope_theta",),
    "expert_count": ("num_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "ssm.conv_kernel": ("conv_kernel",),
    "ssm.state_size": ("state_size",),
    "ssm.time_step_rank": ("time_step_rank",),
    "logit_scale": ("logit_scale",),
}
_TOKENS = {"bos": "bos", "eos": "eos", "pad": "padding"}


def record(header: Header, kind: type[Any]) -> dict[str, Any]:
    """What `config.json` of a model of that class would say; of `PretrainedConfig` itself, what all have."""
    # some classes take the width of a head without declaring it
    grouped = {"head_dim"} if "num_key_value_heads" in kind._declared else set()
    known = {*grouped, *kind._declared, *kind.attribute_map, *(getattr(kind, "rope_names", tuple)())}
    called = header.architecture
    found: dict[str, Any] = {"model_type": model_type_of(called, [kind.model_type]) or called}
    for key, names in _FIELDS.items():
        value = header.of_model(key)
        if value is not None:
            found |= {name: value for name in names if name in known}
    for name, called in _TOKENS.items():
        found[f"{name}_token_id"] = header.fields.get(f"tokenizer.ggml.{called}_token_id")
    found["tie_word_embeddings"] = "output.weight" not in header.tensors
    if (table := header.tensors.get("token_embd.weight")) is not None:
        found["vocab_size"] = table.shape[0]
    found |= {name: value for name, value in _by_tensors(header).items() if name in known}
    found |= _rotary(header, known, found)
    if "expand" in known and (inner := header.of_model("ssm.inner_size")) is not None:
        found["expand"] = inner / found["hidden_size"]
    return {**kind.gguf_defaults, **found}


def _by_tensors(header: Header) -> dict[str, Any]:
    """What the metadata leave to which tensors there are."""
    held = {name.rpartition("blk.")[2].partition(".")[2] for name in header.tensors if "blk." in name}
    biased = "attn_q.bias" in held
    return {
        "attention_bias": biased,
        "use_qkv_bias": biased,
        "use_parallel_residual": "ffn_norm.weight" not in held,
        "feed_forward_proj": "gated-gelu" if "ffn_gate.weight" in held else "relu",
    }


def _rotary(header: Header, known: set[str], found: Mapping[str, Any]) -> dict[str, Any]:
    """How positions turn heads: over which share of their width, and how far they are stretched."""
    turned, said = header.of_model("rope.dimension_count"), {}
    if turned is not None and "partial_rotary_factor" in known:
        width = (
            header.of_model("attention.key_length") or found["hidden_size"] // found["num_attention_heads"]
        )
        said["partial_rotary_factor"] = turned / width
    elif turned is not None and "head_dim" in known and "head_dim" not in found:
        said["head_dim"] = turned
    kind = header.of_model("rope.scaling.type")
    if kind in ("linear", "yarn") and "rope_scaling" in known:
        said["rope_scaling"] = {"rope_type": kind, "factor": header.of_model("rope.scaling.factor")}
        length = header.of_model("rope.scaling.original_context_length")
        if length is not None:
            said["rope_scaling"]["original_max_position_embeddings"] = length
    return said | (_stretched(header) if "rope_scaling" in known else {})


def _stretched(header: Header) -> dict[str, Any]:
    """Divisors of the frequencies, which are tensors: one list (Llama 3.1), or a short and a long."""
    one = header.floats("rope_freqs.weight")
    if one is not None:  # whatever rule they came from
        both = {"short_factor": one, "long_factor": one}
        return {"rope_scaling": {"rope_type": "longrope", **both, "attention_factor": 1.0}}
    short, long = (header.floats(f"rope_factors_{reach}.weight") for reach in ("short", "long"))
    if short is None or long is None:
        return {}
    found = {"rope_scaling": {"rope_type": "longrope", "short_factor": short, "long_factor": long}}
    length = header.of_model("rope.scaling.original_context_length")
    return found if length is None else {**found, "original_max_position_embeddings": length}


def described(config: Any, architecture: str, rms: bool) -> dict[str, Any]:
    """The metadata of a model: what `record` reads, under the architecture's name.

    Args:
        config: of the model.
        architecture: what llama.cpp calls it.
        rms: whether its norms divide by the root mean square alone.
    """
    found: dict[str, Any] = {"general.architecture": architecture}
    known = {*config._declared, *config.attribute_map, *getattr(config, "rope_names", tuple)(), "head_dim"}
    other = f"attention.layer_norm_{'' if rms else 'rms_'}epsilon"
    for key, names in _FIELDS.items():
        value = next((v for n in names if n in known and (v := getattr(config, n, None)) is not None), None)
        if value is not None and key != other:
            found[f"{architecture}.{key}"] = value
    said = {key.removeprefix(f"{architecture}."): value for key, value in found.items()}
    heads, width = said.get("attention.head_count"), said["embedding_length"]
    if heads is not None:
        each = said.get("attention.key_length", width // heads)
        found |= {f"{architecture}.attention.{name}_length": each for name in ("key", "value")}
        if "rope.freq_base" in said:
            share = getattr(config, "partial_rotary_factor", None) or 1.0
            found[f"{architecture}.rope.dimension_count"] = int(each * share)
    if "expand" in known:
        found[f"{architecture}.ssm.inner_size"] = int(config.expand * width)
    found[f"{architecture}.vocab_size"] = config.vocab_size
    scaling = getattr(config, "rope_scaling", None) or {}
    if (kind := scaling.get("rope_type")) in ("linear", "yarn"):
        found |= {
            f"{architecture}.rope.scaling.{n}": v for n, v in (("type", kind), ("factor", scaling["factor"]))
        }
    if (length := scaling.get("original_max_position_embeddings")) is not None and kind != "llama3":
        found[f"{architecture}.rope.scaling.original_context_length"] = length
    floats = {
        key for key in found if key.endswith(("epsilon", "freq_base", "softcapping", "factor", "scale"))
    }
    return {key: float(value) if key in floats else value for key, value in found.items()}
