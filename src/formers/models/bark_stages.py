"""The stages of Bark (Suno 2023): a text to what it means, to coarse codes of its sound, to fine ones."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.specs import Words
from formers.tasks.speech_stages import Books


class BarkSubModelConfig(PretrainedConfig):
    """What the configurations of Bark's stages share."""

    attribute_map = {
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "vocab_size": "input_vocab_size",
        "window_size": "block_size",
    }
    block_size: int = 1024
    input_vocab_size: int = 10_048
    output_vocab_size: int = 10_048
    num_layers: int = 12
    num_heads: int = 12
    hidden_size: int = 768
    dropout: float = 0.0
    bias: bool = True
    initializer_range: float = 0.02
    use_cache: bool = True


class BarkSemanticConfig(BarkSubModelConfig):
    """Configuration of what says what a text means."""

    model_type = "semantic"
    base_config_key = "semantic_config"


class BarkCoarseConfig(BarkSubModelConfig):
    """Configuration of what makes coarse codes."""

    model_type = "coarse_acoustics"
    base_config_key = "coarse_acoustics_config"


class BarkFineConfig(BarkSubModelConfig):
    """Configuration of what makes fine codes."""

    model_type = "fine_acoustics"
    base_config_key = "fine_acoustics_config"
    tie_word_embeddings: bool = True
    n_codes_total: int = 8
    n_codes_given: int = 1


NAMES = spec.Names(
    layers="layers",
    layer={
        **{"attention_norm": "layernorm_1", "qkv": "attn.att_proj", "o": "attn.out_proj"},
        **{"weights_dropout": "attn.attn_dropout", "attention_dropout": "attn.resid_dropout"},
        **{"feedforward_norm": "layernorm_2", "up": "mlp.in_proj", "act": "mlp.gelu"},
        **{"down": "mlp.out_proj", "feedforward_dropout": "mlp.dropout"},
    },
    embeddings={
        **{"token": "input_embeds_layer", "position": "position_embeds_layer"},
        "embedding_dropout": "drop",
    },
    stack={"final_norm": "layernorm_final"},
)


def stack(c: Any, causal: bool = True) -> spec.Stack:
    """GPT-2's layers; the last stage looks both ways, at several codes of each place."""
    norm = spec.Norm("layer", 1e-5, bias=c.bias or not causal)
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.num_heads),
        Causal() if causal else Full(),
        c.dropout,
        bias=c.bias,
        out_bias=c.bias,
        fused="blocks",
    )
    layer = spec.layer(
        attention,
        spec.FeedForward(4 * c.hidden_size, "gelu", bias=c.bias),
        norm,
        "pre",
        dropout=c.dropout,
    )
    given: dict[str, Any] = {"positions": spec.LearnedPositions(c.block_size), "dropout": c.dropout}
    names = NAMES
    if causal:
        stem = spec.Tokens(c.input_vocab_size, c.hidden_size, **given)
    else:
        stem = spec.Codes(c.input_vocab_size, c.hidden_size, **given, books=c.n_codes_total)
        names = spec.Names(
            layers=NAMES.layers,
            layer=NAMES.layer,
            embeddings={
                **spec.tables_of("input_embeds_layers", c.n_codes_total),
                **{role: path for role, path in NAMES.embeddings.items() if role != "token"},
            },
            stack=NAMES.stack,
        )
    return spec.Stack(
        stem=stem,
        layers=(layer,) * c.num_layers,
        names=names,
        width=c.hidden_size,
        layer_class="BarkBlock",
        decoder=causal,
        final_norm=norm,
        initial_std=c.initializer_range,
    )


def words(c: Any) -> Words:
    """A table of its own, of other tokens than those that are read."""
    return Words("lm_head", bias=False, tied=False, vocabulary=c.output_vocab_size)


def fine(c: BarkFineConfig) -> Books:
    """A table for each code that is not given, which is also that by which it is read."""
    return Books("lm_heads", c.n_codes_total, c.n_codes_given, c.output_vocab_size, "input_embeds_layers")


_READS = (
    *("input_ids", "past_key_values", "attention_mask", "position_ids", "inputs_embeds", "use_cache"),
    "cache_position",
)
_IGNORED = (r".*attn\.bias",)  # causal masks
SEMANTIC, COARSE = (
    register(
        Family(
            model_type=config.model_type,
            name=name,
            config=config,
            base=config.base_config_key.removesuffix("_config"),
            assembly=Single(stack, reads=_READS),
            heads={"Model": Head(task, words, flat=True)},
            ignored=_IGNORED,
        )
    )
    for config, name, task in (
        (BarkSemanticConfig, "BarkSemantic", "meaning_of_texts"),
        (BarkCoarseConfig, "BarkCoarse", "coarse_codes"),
    )
)
FINE = register(
    Family(
        model_type="fine_acoustics",
        name="BarkFine",
        config=BarkFineConfig,
        base="fine_acoustics",
        assembly=Single(
            lambda c: stack(c, False),
            spec.Codes,
            reads=("input_ids", "attention_mask", "position_ids", "inputs_embeds"),
        ),
        heads={"Model": Head("fine_codes", fine, flat=True)},
    )
)
