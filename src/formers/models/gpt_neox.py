"""GPT-NeoX (Black et al. 2022, arXiv:2204.06745): attention and feed-forward side by side."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Labels, Sequences, Spans, Words


class GPTNeoXConfig(llama.DecoderConfig):
    """Configuration of GPT-NeoX."""

    model_type = "gpt_neox"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"rotary_pct": "partial_rotary_factor", "rotary_emb_base": "rope_theta"}
    default_share = 0.25
    vocab_size: int = 50432
    hidden_size: int = 6144
    num_hidden_layers: int = 44
    num_attention_heads: int = 64
    intermediate_size: int = 24576
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.0
    classifier_dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    bos_token_id: int | None = 0
    use_parallel_residual: bool = True
    attention_bias: bool = True


NAMES = spec.Names(
    layers="layers",
    layer={
        "attention_norm": "input_layernorm",
        "qkv": "attention.query_key_value",
        "o": "attention.dense",
        "attention_dropout": "post_attention_dropout",
        "feedforward_norm": "post_attention_layernorm",
        "up": "mlp.dense_h_to_4h",
        "act": "mlp.act",
        "down": "mlp.dense_4h_to_h",
        "feedforward_dropout": "post_mlp_dropout",
    },
    embeddings={"token": "embed_in", "embedding_dropout": "emb_dropout"},
    stack={"final_norm": "final_layer_norm", "rotary": "rotary_emb"},
)


def stack(c: GPTNeoXConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    layer = spec.layer(
        llama.attention(c, Causal(), c.attention_bias, fused="groups"),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        order="pre",
        dropout=c.hidden_dropout,
        reads="input" if c.use_parallel_residual else "sum",
    )
    layers = (layer,) * c.num_hidden_layers
    tokens = {"padding_idx": None, "dropout": c.hidden_dropout}
    return llama.decoder(c, layers, "GPTNeoXLayer", norm, NAMES, **tokens)


GPT_NEOX = register(
    Family(
        model_type="gpt_neox",
        name="GPTNeoX",
        config=GPTNeoXConfig,
        base="gpt_neox",
        assembly=Single(stack),
        heads={
            "ForCausalLM": Head("causal_lm", lambda c: Words("embed_out", bias=False)),
            "ForSequenceClassification": Head(
                "sequence_classification", lambda c: Sequences("score", pool="last", bias=False)
            ),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.classifier_dropout)
            ),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans()),
        },
        # causal masks and frequencies that older versions stored as buffers
        ignored=(r".*attention\.(bias|masked_bias|rotary_emb\.inv_freq)",),
        order=(("input_layernorm", "post_attention_layernorm", "attention", "mlp"),),
        aliases={"lm_head": "embed_out"},
    )
)
