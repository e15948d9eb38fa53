"""BioGPT (Luo et al. 2022, arXiv:2210.10341): GPT-2's size with BART's layers, for texts of biomedicine."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.base import first_set
from formers.tasks.specs import Labels, Words


class BioGptConfig(PretrainedConfig):
    """Configuration of BioGPT. `layer_norm_eps` is kept, and has no effect: it is 1e-5."""

    model_type = "biogpt"
    vocab_size: int = 42384
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1024
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    scale_embedding: bool = True
    use_cache: bool = True
    layerdrop: float = 0.0
    activation_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="layers",
    layer={
        "attention_norm": "self_attn_layer_norm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.out_proj",
        "feedforward_norm": "final_layer_norm",
        "up": "fc1",
        "act": "activation_fn",
        "down": "fc2",
    },
    embeddings={"token": "embed_tokens", "position": "embed_positions"},
    stack={"final_norm": "layer_norm"},
)


def stack(c: BioGptConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", 1e-5)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    mixer = spec.Attention(heads, mask=Causal(), dropout=c.attention_probs_dropout_prob)
    feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act, dropout=c.activation_dropout)
    layer = spec.layer(mixer, feedforward, norm, "pre", dropout=c.hidden_dropout_prob)
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings, offset=2),
            table_scale=c.hidden_size**0.5 if c.scale_embedding else 1.0,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="BioGptDecoderLayer",
        decoder=True,
        final_norm=norm,
        layer_drop=c.layerdrop,
        initial_std=c.initializer_range,
    )


def labels(c: BioGptConfig) -> Labels:
    """A label for every token."""
    return Labels("classifier", first_set(getattr(c, "classifier_dropout", None), c.hidden_dropout_prob))


BIOGPT = register(
    Family(
        model_type="biogpt",
        name="BioGpt",
        config=BioGptConfig,
        base="biogpt",
        assembly=Single(stack),
        heads={
            "ForCausalLM": Head("causal_lm", lambda c: Words("output_projection", bias=False)),
            "ForTokenClassification": Head("token_classification", labels),
            **llama.heads_of("ForSequenceClassification"),
        },
        order=(
            ("embed_tokens", "embed_positions", "layers", "layer_norm"),
            ("self_attn", "activation_fn", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"),
            ("k_proj", "v_proj", "q_proj", "out_proj"),
        ),
    )
)
