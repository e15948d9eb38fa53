"""GPT (Radford et al. 2018): post-norm decoder, learned positions, fused projections stored transposed."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import gpt2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class OpenAIGPTConfig(PretrainedConfig):
    """Configuration of GPT. `afn` "gelu" is the one by tanh; it keeps no cache unless it is asked to."""

    model_type = "openai-gpt"
    attribute_map = gpt2.GPT2Config.attribute_map
    vocab_size: int = 40478
    n_positions: int = 512
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    afn: str = "gelu"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    summary_type: str = "cls_index"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True


ACTIVATIONS = {"relu": "relu", "silu": "silu", "gelu": "gelu_new", "swish": "silu"}
NAMES = gpt2.NAMES.with_(
    embeddings={"token": "tokens_embed", "position": "positions_embed"}, stack={"final_norm": None}
)


def stack(c: OpenAIGPTConfig) -> spec.Stack:
    """The decoder."""
    if c.afn not in ACTIVATIONS:
        raise ValueError(f"afn is {' or '.join(map(repr, ACTIVATIONS))}, not {c.afn!r}")
    layer = spec.layer(
        spec.Attention(
            spec.Heads.split(c.n_embd, c.n_head), Causal(), c.attn_pdrop, fused="blocks", linear="conv1d"
        ),
        spec.FeedForward(4 * c.n_embd, ACTIVATIONS[c.afn], linear="conv1d"),
        spec.Norm("layer", c.layer_norm_epsilon),
        order="post",
        dropout=c.resid_pdrop,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.n_embd,
            positions=spec.LearnedPositions(c.n_positions),
            share_types=True,
            dropout=c.embd_pdrop,
        ),
        layers=(layer,) * c.n_layer,
        names=NAMES,
        width=c.n_embd,
        layer_class="Block",
        decoder=True,
        initial_std=c.initializer_range,
    )


ENDINGS = ("LMHeadModel", "ForSequenceClassification")
OPENAI_GPT = register(
    replace(
        gpt2.GPT2,
        model_type="openai-gpt",
        name="OpenAIGPT",
        config=OpenAIGPTConfig,
        assembly=Single(stack),
        heads={
            "DoubleHeadsModel": Head("double_heads", lambda c: gpt2.both(c, leads=True)),
            **{ending: gpt2.HEADS[ending] for ending in ENDINGS},
        },
        ignored=(r".*attn\.bias", r"position_ids"),
        order=(("attn", "ln_1", "mlp", "ln_2"),),
    )
)
