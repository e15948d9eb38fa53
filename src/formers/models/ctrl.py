"""CTRL (Keskar et al. 2019, arXiv:1909.05858): pre-norm decoder over sinusoids, led by a code word."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import gpt2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Sequences, Words


class CTRLConfig(PretrainedConfig):
    """Configuration of CTRL. `layer_norm_epsilon` is that of the last norm; those of layers have 1e-6."""

    model_type = "ctrl"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = gpt2.GPT2Config.attribute_map
    vocab_size: int = 246534
    n_positions: int = 256
    n_embd: int = 1280
    dff: int = 8192
    n_layer: int = 48
    n_head: int = 16
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True


NAMES = spec.Names(
    layers="h",
    layer={
        "attention_norm": "layernorm1",
        "q": "multi_head_attention.Wq",
        "k": "multi_head_attention.Wk",
        "v": "multi_head_attention.Wv",
        "o": "multi_head_attention.dense",
        "attention_dropout": "dropout1",
        "feedforward_norm": "layernorm2",
        "up": "ffn.0",
        "act": "ffn.1",
        "down": "ffn.2",
        "feedforward_dropout": "dropout2",
    },
    embeddings={"token": "w", "position": "pos_encoding", "embedding_dropout": "dropout"},
    stack={"final_norm": "layernorm"},
)


def stack(c: CTRLConfig) -> spec.Stack:
    """The decoder."""
    layer = spec.layer(
        spec.Attention(spec.Heads.split(c.n_embd, c.n_head), mask=Causal()),
        spec.FeedForward(c.dff, "relu"),
        spec.Norm("layer", 1e-6),
        "pre",
        dropout=c.resid_pdrop,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.n_embd,
            positions=spec.ComputedPositions(closed=False, count=c.n_positions),
            share_types=True,
            scale=c.n_embd**0.5,
            dropout=c.embd_pdrop,
        ),
        layers=(layer,) * c.n_layer,
        names=NAMES,
        width=c.n_embd,
        layer_class="EncoderLayer",
        decoder=True,
        final_norm=spec.Norm("layer", c.layer_norm_epsilon),
        initial_std=c.initializer_range,
    )


CTRL = register(
    Family(
        model_type="ctrl",
        name="CTRL",
        config=CTRLConfig,
        base="transformer",
        assembly=Single(stack),
        heads={
            "LMHeadModel": Head("causal_lm", lambda c: Words("lm_head")),
            "ForSequenceClassification": Head(
                "sequence_classification", lambda c: Sequences("classifier", pool="last", bias=False)
            ),
        },
        order=(
            ("w", "dropout", "h", "layernorm"),
            ("multi_head_attention", "ffn", "layernorm1", "layernorm2", "dropout1", "dropout2"),
        ),
    )
)
