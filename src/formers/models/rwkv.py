"""RWKV-4 (Peng et al. 2023, arXiv:2305.13048): values weighed by keys and age, in place of attention."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.cache import StateCache
from formers.tasks.specs import Words


class RwkvConfig(PretrainedConfig):
    """Configuration of RWKV-4. `context_length` is what it was trained on; a state reaches farther."""

    model_type = "rwkv"
    attribute_map = {"max_position_embeddings": "context_length"}
    vocab_size: int = 50277
    context_length: int = 1024
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    attention_hidden_size: int | None = None
    intermediate_size: int | None = None
    layer_norm_epsilon: float = 1e-5
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 0
    rescale_every: int = 6
    tie_word_embeddings: bool = False
    use_cache: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.attention_hidden_size = self.attention_hidden_size or self.hidden_size
        self.intermediate_size = self.intermediate_size or 4 * self.hidden_size


TIME, CHANNELS = "attention", "feed_forward"
NAMES = spec.Names(
    layers="blocks",
    layer={
        "entry_norm": "pre_ln",
        "attention_norm": "ln1",
        "feedforward_norm": "ln2",
        **{name: f"{TIME}.{name}" for name in ("time_shift", "receptance")},
        **{f"{name}_mix": f"{TIME}.time_mix_{name}" for name in ("key", "value", "receptance")},
        "decay": f"{TIME}.time_decay",
        "bonus": f"{TIME}.time_first",
        "k": f"{TIME}.key",
        "v": f"{TIME}.value",
        "o": f"{TIME}.output",
        "channel_shift": f"{CHANNELS}.time_shift",
        **{f"channel_{name}_mix": f"{CHANNELS}.time_mix_{name}" for name in ("key", "receptance")},
        "up": f"{CHANNELS}.key",
        "channel_receptance": f"{CHANNELS}.receptance",
        "down": f"{CHANNELS}.value",
    },
    embeddings={"token": "embeddings"},
    stack={"final_norm": "ln_out"},
)


def layer(c: RwkvConfig, at: int) -> spec.Layer:
    """One layer. In evaluation sums are halved every so many layers, and what is added to them with them."""
    every, norm = c.rescale_every, spec.Norm("layer", c.layer_norm_epsilon)
    eased = 0.5 ** (at // every) if every > 0 else 1.0
    place = (at, c.num_hidden_layers)
    time = spec.TimeMixing(c.attention_hidden_size or c.hidden_size, place, eased)
    channels = spec.ChannelMixing(c.intermediate_size or 4 * c.hidden_size, place, eased)
    return spec.Layer(
        (spec.Part(time, "attention", before=norm), spec.Part(channels, "feedforward", before=norm)),
        entry=norm if at == 0 else None,
        eased=0.5 if every > 0 and (at + 1) % every == 0 else 1.0,
    )


def stack(c: RwkvConfig) -> spec.Stack:
    """The decoder. Fresh matrices are as large as the ecosystem's, which begin orthogonal."""
    width, inner = c.attention_hidden_size or c.hidden_size, c.intermediate_size or 4 * c.hidden_size
    std = c.hidden_size**-0.5
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.hidden_size),
        layers=tuple(layer(c, at) for at in range(c.num_hidden_layers)),
        names=NAMES,
        width=c.hidden_size,
        layer_class="RwkvBlock",
        final_norm=spec.Norm("layer", 1e-5),
        decoder=True,
        reports="outputs",
        initial_std=std,
        init={
            "embeddings.weight": 1e-4,
            f"{TIME}.output.weight": width**-0.5,
            f"{CHANNELS}.value.weight": inner**-0.5,
            "head.weight": std / 2,
        },
    )


READS = ("input_ids", "attention_mask", "inputs_embeds", "state", "use_cache")
RWKV = register(
    Family(
        model_type="rwkv",
        name="Rwkv",
        config=RwkvConfig,
        base="rwkv",
        assembly=Single(stack, cache="state", reads=READS, kind=StateCache),
        heads={"ForCausalLM": Head("causal_lm", lambda c: Words("head", bias=False))},
        order=(("pre_ln", "ln1", "ln2", TIME, CHANNELS),),
    )
)
