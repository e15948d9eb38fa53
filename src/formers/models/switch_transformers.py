"""Switch Transformers (Fedus et al. 2021, arXiv:2101.03961): T5, some of whose layers have experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Head
from formers.configs import PretrainedConfig
from formers.models import t5
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class SwitchTransformersConfig(PretrainedConfig):
    """Configuration of Switch Transformers. How often a layer is sparse follows from how many are."""

    model_type = "switch_transformers"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    # routers compute in float32; padding takes no room, whatever `router_ignore_padding_tokens` says
    _available = {"router_dtype": ("float32",), "add_router_probs": (False,)}
    is_gated_act = False
    vocab_size: int = 32128
    d_model: int = 768
    d_kv: int = 64
    d_ff: int = 2048
    expert_capacity: int = 64
    num_layers: int = 12
    num_sparse_encoder_layers: int = 3
    num_decoder_layers: int | None = 12
    num_sparse_decoder_layers: int = 3
    num_heads: int = 12
    num_experts: int = 8
    router_bias: bool = False
    router_jitter_noise: float = 0.01
    router_dtype: str = "float32"
    router_ignore_padding_tokens: bool = False
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    router_z_loss_coef: float = 0.001
    router_aux_loss_coef: float = 0.001
    initializer_factor: float = 1.0
    dense_act_fn: str = "relu"
    is_encoder_decoder: bool = True
    add_router_probs: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    tie_word_embeddings: bool = True
    is_decoder: bool = False
    add_cross_attention: bool = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        encoder, decoder = self.num_layers, self.num_decoder_layers
        self.encoder_sparse_step = encoder // (self.num_sparse_encoder_layers or 1)
        self.decoder_sparse_step = decoder // (self.num_sparse_decoder_layers or 1)


def names(decoder: bool) -> spec.Names:
    """T5's; experts stand beside their router."""
    made = t5.names(decoder)
    last = ("layer.2" if decoder else "layer.1") + ".mlp"
    held = {role: path and path.replace("DenseReluDense", "mlp") for role, path in made.layer.items()}
    leaves = {"up": "wi", "act": "act", "inner_dropout": "dropout", "down": "wo"}
    experts = {f"expert_{role}": f"{last}.experts.expert_{{i}}.{name}" for role, name in leaves.items()}
    return made.with_(layer={**held, **experts, "mixture": last, "router": f"{last}.router.classifier"})


def half(c: Any, decoder: bool) -> spec.Stack:
    """The encoder or the decoder: the second of every `sparse_step` layers has experts."""
    made = t5.half(c, decoder)
    step = c.decoder_sparse_step if decoder else c.encoder_sparse_step
    sparse = [step > 0 and (step == 1 or i % step == 1) for i in range(len(made.layers))]
    layers = tuple(mixed(c, one) if so else one for so, one in zip(sparse, made.layers, strict=True))
    deviations = dict.fromkeys(
        (f".expert_{i}.wo.weight" for i in range(c.num_experts)), made.init[".wi.weight"]
    )
    return replace(
        made,
        layers=layers,
        names=names(decoder),
        layer_class="SwitchTransformersBlock",
        init={**made.init, **deviations},
    )


def mixed(c: SwitchTransformersConfig, layer: spec.Layer) -> spec.Layer:
    """A layer whose feed-forward is one of many."""
    *parts, last = layer.parts
    assert isinstance(last.mixer, spec.FeedForward)
    return spec.Layer((*parts, replace(last, mixer=experts(c, last.mixer))))


def experts(c: SwitchTransformersConfig, each: spec.FeedForward) -> spec.Experts:
    """One for every token, as long as it has room."""
    return spec.Experts(
        c.num_experts,
        1,
        each,
        router_bias=c.router_bias,
        normalised=False,
        wide=True,
        jitter=c.router_jitter_noise,
        capacity=c.expert_capacity,
    )


def words(c: SwitchTransformersConfig) -> Words:
    """The token table over scaled states, or a table of its own; and what routers cost."""
    scale = c.d_model**-0.5 if c.tie_word_embeddings else 1.0
    cost = (1, c.router_aux_loss_coef)
    return Words("lm_head", bias=False, scale=scale, balance=cost, steady=c.router_z_loss_coef)


SWITCH_TRANSFORMERS = register(
    replace(
        t5.T5,
        model_type="switch_transformers",
        name="SwitchTransformers",
        config=SwitchTransformersConfig,
        base="switch_transformers",
        assembly=EncoderDecoder(half, may_untie=True, routes=True),
        heads={
            "ForConditionalGeneration": Head("seq2seq_lm", words, flat=True),
            "EncoderModel": Head("encoder", lambda c: None, over="encoder"),
        },
        order=(
            ("SelfAttention", "EncDecAttention", "mlp", "layer_norm", "dropout"),
            ("q", "k", "v", "o", "relative_attention_bias"),
            ("router", "experts"),
        ),
    )
)
