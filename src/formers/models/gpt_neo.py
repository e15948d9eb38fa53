"""GPT-Neo (Black et al. 2021): GPT-2 with plain projections, unscaled scores, every other layer a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import gpt2, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Labels


class GPTNeoConfig(PretrainedConfig):
    """Configuration of GPT-Neo. `attention_types` holds pairs: a run of kinds, and how often it comes."""

    model_type = "gpt_neo"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}
    vocab_size: int = 50257
    max_position_embeddings: int = 2048
    hidden_size: int = 2048
    num_layers: int = 24
    attention_types: list[Any] | None = None
    attention_layers: list[str] | None = None
    num_heads: int = 16
    intermediate_size: int | None = None
    window_size: int = 256
    activation_function: str = "gelu_new"
    resid_dropout: float = 0.0
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    classifier_dropout: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.attention_types is None:
            self.attention_types = [[["global", "local"], 12]]
        self.attention_layers = [kind for kinds, count in self.attention_types for kind in kinds * count]
        if len(self.attention_layers) != self.num_layers:
            raise ValueError(
                f"attention_types names {len(self.attention_layers)} layers, num_layers is {self.num_layers}"
            )


NAMES = gpt2.NAMES.with_(
    layer={
        "qkv": None,
        "q": "attn.attention.q_proj",
        "k": "attn.attention.k_proj",
        "v": "attn.attention.v_proj",
        "weights_dropout": "attn.attention.attn_dropout",
        "o": "attn.attention.out_proj",
        "attention_dropout": "attn.attention.resid_dropout",
    }
)


def stack(c: GPTNeoConfig) -> spec.Stack:
    """The decoder."""
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.num_heads),
        mask=Causal(),
        dropout=c.attention_dropout,
        scale=1.0,
        bias=False,
    )
    feedforward = spec.FeedForward(c.intermediate_size or 4 * c.hidden_size, c.activation_function)
    norm = spec.Norm("layer", c.layer_norm_epsilon)
    one = spec.layer(attention, feedforward, norm, order="pre", dropout=c.resid_dropout)
    kinds = {"global": one, "local": one.masked(Causal(c.window_size))}
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            share_types=True,
            dropout=c.embed_dropout,
        ),
        layers=llama.by_kind(c, kinds, "attention_layers"),
        names=NAMES,
        width=c.hidden_size,
        layer_class="GPTNeoBlock",
        decoder=True,
        final_norm=norm,
        initial_std=c.initializer_range,
    )


HEADS = {ending.replace("LMHeadModel", "ForCausalLM"): head for ending, head in gpt2.HEADS.items()}
LABELS = Head("token_classification", lambda c: Labels("classifier", c.classifier_dropout))
GPT_NEO = register(
    replace(
        gpt2.GPT2,
        model_type="gpt_neo",
        name="GPTNeo",
        config=GPTNeoConfig,
        assembly=Single(stack),
        heads={**HEADS, "ForTokenClassification": LABELS},
        ignored=(r".*attn\.attention\.(bias|masked_bias)",),
        order=(("k_proj", "v_proj", "q_proj", "out_proj"),),
    )
)
