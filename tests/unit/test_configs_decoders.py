"""A decoder's config is obeyed, or refused by a sentence that names the field."""

from __future__ import annotations

from typing import Any

import pytest

import formers
from formers.models.registry import family_of

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "head_dim": 8,
    "pad_token_id": 0,
}
KINDS = ("qwen2", "qwen3", "qwen2_moe", "ministral", "cohere2", "gemma2", "smollm3")


def model(kind: str, **values: Any) -> Any:
    """A base model whose config has those fields."""
    family = family_of(kind)
    fields = {name: value for name, value in SMALL.items() if (kind, name) != ("deepseek_v3", "head_dim")}
    if "moe" in kind:
        fields |= {"num_experts": 4, "moe_intermediate_size": 8}
    return getattr(formers, family.class_name("Model"))(family.config(**{**fields, **values}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_without_a_kind_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="layer_types names 2 layers, num_hidden_layers is 3"):
        model(kind, layer_types=["full_attention"] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_layer_that_is_not_known_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="'full_attention' and 'sliding_attention', not 'chunked_attention'"):
        model(kind, layer_types=["full_attention", "chunked_attention", "full_attention"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_that_was_cut_short_makes_as_many_layers_as_it_says(kind: str) -> None:
    config = model(kind, sliding_window=4).config
    config.num_hidden_layers = 1
    assert len(getattr(formers, family_of(kind).class_name("Model"))(config).layers) == 1


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers names 2 layers"),
        ("smollm3", {"no_rope_layer_interval": 0}, "no_rope_layer_interval is a size or a count, 1 or more"),
        ("qwen2_moe", {"decoder_sparse_step": 0}, "decoder_sparse_step is a size or a count, 1 or more"),
        ("gpt_neo", {"num_layers": 2, "attention_types": [[["global", "far"], 1]]}, "not 'far'"),
        ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention=True is not available"),
        (
            "gemma2",
            {"use_bidirectional_attention": True},
            "use_bidirectional_attention=True is not available",
        ),
        ("deepseek_v3", {"num_key_value_heads": 2}, "4 heads have as many keys.*but there are 2"),
        ("deepseek_v2", {"num_key_value_heads": 2}, "4 heads have as many keys.*but there are 2"),
        ("phi", {"partial_rotary_factor": 0.0}, "partial_rotary_factor is a share"),
        ("phi3", {"rope_scaling": {"type": "yarn"}}, "needs short_factor and long_factor"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
            "partial_rotary_factor=0.5 is not available for LlamaConfig",
        ),
    ],
)
def test_what_cannot_be_obeyed_is_refused(kind: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model(kind, **values)


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        ("Jamba", {"attn_layer_offset": 8}, r"attn_layer_offset \(8\) must be below attn_layer_period \(8\)"),
        ("Jamba", {"expert_layer_offset": 2}, r"expert_layer_offset \(2\) must be below"),
        ("Bamba", {"mamba_d_head": 32}, r"mamba_n_heads \* mamba_d_head \(4096\) must be .* 8192"),
        ("FalconH1", {"ssm_multipliers": [1.0, 2.0]}, "a projection has five parts"),
    ],
)
def test_scans_and_turns_that_do_not_fit_are_refused(config: str, values: Any, message: str) -> None:
    made = getattr(formers, f"{config}Config")(**values)
    with pytest.raises(ValueError, match=message):
        getattr(formers, f"{config}Model")(made)
