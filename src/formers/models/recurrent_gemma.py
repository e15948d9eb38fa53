"""RecurrentGemma (Botev et al. 2024, arXiv:2404.07839): Griffin's gated recurrences and local attention."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.positions import Rotary
from formers.tasks.specs import Words


class RecurrentGemmaConfig(PretrainedConfig):
    """Configuration of RecurrentGemma."""

    model_type = "recurrent_gemma"
    attribute_map = {"sliding_window": "attention_window_size", "layer_types": "layers_block_type"}
    default_share = 0.5
    num_hidden_layers: int = 26
    vocab_size: int = 256000
    hidden_size: int = 2560
    intermediate_size: int = 3 * 2560
    num_attention_heads: int = 10
    lru_width: int | None = None
    attention_window_size: int = 2048
    conv1d_width: int = 4
    logits_soft_cap: float = 30.0
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    hidden_activation: str = "gelu_pytorch_tanh"
    rope_parameters: dict[str, Any] | None = None
    block_types: list[str] | tuple[str, ...] = ("recurrent", "recurrent", "attention")
    attention_dropout: float = 0.0
    num_key_value_heads: int | None = None
    attention_bias: bool = False
    w_init_variance_scale: float = 0.01
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.lru_width = self.hidden_size if self.lru_width is None else self.lru_width
        self.block_types = list(self.block_types)
        self.head_dim = self.hidden_size // self.num_attention_heads
        self.num_key_value_heads = self.num_key_value_heads or self.num_attention_heads
        self.final_w_init_variance_scale = 2.0 / self.num_hidden_layers

    @property
    def layers_block_type(self) -> list[str]:
        """What each layer is: the kinds of blocks by turns."""
        kinds = {"recurrent": "linear_attention", "attention": "sliding_attention"}
        turns = [kinds.get(kind, kind) for kind in self.block_types]
        return [turns[i % len(turns)] for i in range(self.num_hidden_layers)] if turns else []


HERE, INNER = "temporal_block", "mlp_block"
UNIT = {
    "decay": "recurrent_param",
    "input_weight": "input_gate_weight",
    "input_bias": "input_gate_bias",
    "keep_weight": "recurrent_gate_weight",
    "keep_bias": "recurrent_gate_bias",
}
NAMES = llama.NAMES.with_(
    layer={
        "attention_norm": "temporal_pre_norm",
        "feedforward_norm": "channel_pre_norm",
        **{role: f"{HERE}.{role}_proj" for role in "qkvo"},
        **{role: f"{INNER}.{role}_proj" for role in ("gate", "up", "down")},
        **{f"lru_{role}": f"{HERE}.rg_lru.{name}" for role, name in UNIT.items()},
        "act": f"{INNER}.act_fn",
        "scan_gate": f"{HERE}.linear_y",
        "scan_act": f"{HERE}.act_fn",
        "in": f"{HERE}.linear_x",
        "conv": f"{HERE}.conv_1d",
        "out": f"{HERE}.linear_out",
    },
    stack={"final_norm": "final_norm", "rotary": None},
)


def deviations(c: RecurrentGemmaConfig) -> dict[str, float]:
    """Those of fresh weights, by the ending of their names."""
    read = dict.fromkeys(("linear_x", "linear_y", "q_proj", "k_proj", "v_proj"), 1.0 / c.hidden_size)
    last = c.final_w_init_variance_scale
    read |= {"o_proj": last / c.hidden_size, "linear_out": last / (c.lru_width or 1)}
    return {f"{HERE}.{name}.weight": variance**0.5 for name, variance in read.items()}


def stack(c: RecurrentGemmaConfig) -> spec.Stack:
    """The decoder."""
    norm, heads = spec.Norm("rms", c.rms_norm_eps, offset=1.0), llama.heads(c)
    rotary = Rotary.of(heads.width, c.rope_parameters or {}, 8192)  # which it was trained on
    attention = spec.Attention(
        heads,
        Causal(c.attention_window_size),
        c.attention_dropout,
        bias=c.attention_bias,
        rotary=rotary,
    )
    recurrence = spec.GatedRecurrence(
        c.lru_width or c.hidden_size,
        c.num_attention_heads,
        c.conv1d_width,
        c.hidden_activation,
        c.w_init_variance_scale,
    )
    inner = spec.FeedForward(c.intermediate_size // 2, c.hidden_activation, gated=True)
    mixers: dict[str, spec.Mixer] = {"linear_attention": recurrence, "sliding_attention": attention}
    kinds = {kind: spec.layer(mixer, inner, norm, order="pre") for kind, mixer in mixers.items()}
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            scale=c.hidden_size**0.5,
            scale_rounded="bfloat16",
            padding_idx=c.pad_token_id,
        ),
        layers=llama.by_kind(c, kinds, "layers_block_type"),
        names=NAMES,
        width=c.hidden_size,
        layer_class="RecurrentGemmaDecoderLayer",
        decoder=True,
        final_norm=norm,
        initial_std=(c.w_init_variance_scale / c.conv1d_width) ** 0.5,
        init=deviations(c),
    )


RECURRENT_GEMMA = register(
    Family(
        model_type="recurrent_gemma",
        name="RecurrentGemma",
        config=RecurrentGemmaConfig,
        base="model",
        assembly=Single(stack),
        heads={
            "ForCausalLM": Head("causal_lm", lambda c: Words("lm_head", bias=False, cap=c.logits_soft_cap))
        },
        ignored=llama.LLAMA.ignored,
        order=(("linear_y", "linear_x", "linear_out", "conv_1d", "rg_lru"),),
    )
)
