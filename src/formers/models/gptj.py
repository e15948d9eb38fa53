"""GPT-J (Wang and Komatsuzaki 2021): attention and feed-forward read one norm; neighbours turn together."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import gpt2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary
from formers.tasks.specs import Words


class GPTJConfig(PretrainedConfig):
    """Configuration of GPT-J. Of every head the first `rotary_dim` features are turned."""

    model_type = "gptj"
    attribute_map = {
        "max_position_embeddings": "n_positions",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }
    vocab_size: int = 50400
    n_positions: int = 2048
    n_embd: int = 4096
    n_layer: int = 28
    n_head: int = 16
    rotary_dim: int | None = 64
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    attn_pdrop: float = 0.0
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    tie_word_embeddings: bool = False


NAMES = spec.Names(
    layers="h",
    layer={
        "attention_norm": "ln_1",
        "q": "attn.q_proj",
        "k": "attn.k_proj",
        "v": "attn.v_proj",
        "weights_dropout": "attn.attn_dropout",
        "o": "attn.out_proj",
        "attention_dropout": "attn.resid_dropout",
        "up": "mlp.fc_in",
        "act": "mlp.act",
        "down": "mlp.fc_out",
        "feedforward_dropout": "mlp.dropout",
    },
    embeddings={"token": "wte", "embedding_dropout": "drop"},
    stack={"final_norm": "ln_f"},
)


def attention(c: GPTJConfig) -> spec.Attention:
    """Heads of which some features are turned, or all."""
    heads = spec.Heads.split(c.n_embd, c.n_head)
    rotary = Rotary(c.rotary_dim or heads.width, trained_length=c.n_positions, adjacent=True)
    return spec.Attention(
        heads, mask=Causal(), dropout=c.attn_pdrop, bias=False, out_bias=False, rotary=rotary
    )


def decoder(c: GPTJConfig, mixer: spec.Attention, names: spec.Names, layer_class: str) -> spec.Stack:
    """The layers over a token table, and a norm."""
    norm = spec.Norm("layer", c.layer_norm_epsilon)
    feedforward = spec.FeedForward(c.n_inner or 4 * c.n_embd, c.activation_function)
    layer = spec.layer(mixer, feedforward, norm, "pre", dropout=c.resid_pdrop, reads="normed")
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.n_embd, share_types=True, dropout=c.embd_pdrop),
        layers=(layer,) * c.n_layer,
        names=names,
        width=c.n_embd,
        layer_class=layer_class,
        decoder=True,
        final_norm=norm,
        initial_std=c.initializer_range,
    )


HEADS = gpt2.HEADS
GPTJ = register(
    replace(
        gpt2.GPT2,
        model_type="gptj",
        name="GPTJ",
        config=GPTJConfig,
        assembly=Single(lambda c: decoder(c, attention(c), NAMES, "GPTJBlock")),
        heads={
            "ForCausalLM": Head("causal_lm", lambda c: Words("lm_head")),
            "ForSequenceClassification": HEADS["ForSequenceClassification"],
            "ForQuestionAnswering": HEADS["ForQuestionAnswering"],
        },
        order=(
            ("ln_1", "attn", "mlp"),
            ("attn_dropout", "resid_dropout", "k_proj", "v_proj", "q_proj", "out_proj"),
        ),
        ignored=(r".*attn\.(bias|masked_bias)",),
    )
)
