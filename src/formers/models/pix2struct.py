"""Pix2Struct (Lee et al. 2022, arXiv:2210.03347): patches of pictures of any form in, T5's decoder behind."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.composed_pair import ComposedPair
from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import t5
from formers.models.classes import base_class, whole_class
from formers.models.registry import config_of, register
from formers.nn import spec
from formers.tasks.specs import Words


class Pix2StructTextConfig(PretrainedConfig):
    """Configuration of the decoder."""

    model_type = "pix2struct_text_model"
    base_config_key = "text_config"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("num_attention_heads", "decoder_attention_heads", "encoder_attention_heads"), "num_heads"
        ),
        **dict.fromkeys(("num_hidden_layers", "decoder_layers", "encoder_layers"), "num_layers"),
    }
    vocab_size: int = 50244
    hidden_size: int = 768
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 12
    num_heads: int = 12
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    dense_act_fn: str = "gelu_new"
    decoder_start_token_id: int | None = 0
    use_cache: bool = False
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = None
    tie_word_embeddings: bool = False
    is_decoder: bool = True
    add_cross_attention: bool = False


class Pix2StructVisionConfig(PretrainedConfig):
    """Configuration of the encoder. Nothing reads its fields of relative positions."""

    model_type = "pix2struct_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    patch_embed_hidden_size: int = 768
    d_ff: int = 2048
    d_kv: int = 64
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    dense_act_fn: str = "gelu_new"
    layer_norm_eps: float = 1e-6
    dropout_rate: float = 0.0
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10
    initializer_factor: float = 1.0
    seq_len: int = 4096
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128


class Pix2StructConfig(PretrainedConfig):
    """Configuration of Pix2Struct. What texts begin and end with is the decoder's."""

    model_type = "pix2struct"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Pix2StructTextConfig,
        "vision_config": Pix2StructVisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    initializer_factor: float = 1.0
    initializer_range: float = 0.02
    is_vqa: bool = False
    tie_word_embeddings: bool = False
    is_encoder_decoder: bool = True
    decoder_start_token_id: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        tokens = ("decoder_start_token_id", "pad_token_id", "eos_token_id")
        self.update({name: getattr(self.text_config, name) for name in tokens})
        self.text_config.initializer_range = self.initializer_range
        self.vision_config.initializer_range = self.initializer_range
        self.text_config.is_encoder_decoder = self.is_encoder_decoder
        self.text_config.tie_word_embeddings = self.tie_word_embeddings

    @classmethod
    def from_text_vision_configs(
        cls, text_config: Any, vision_config: Any, **values: Any
    ) -> Pix2StructConfig:
        """The two configs as one."""
        return cls(text_config=text_config, vision_config=vision_config, **values)


QKVO = {"q": "query", "k": "key", "v": "value", "o": "output"}
IMAGE_NAMES = spec.Names(
    layers="encoder.layer",
    layer={
        **{role: f"attention.{name}" for role, name in QKVO.items()},
        "attention_norm": "pre_attention_layer_norm",
        "gate": "mlp.wi_0",
        "up": "mlp.wi_1",
        "act": "mlp.act",
        "inner_dropout": "mlp.dropout",
        "down": "mlp.wo",
        "feedforward_norm": "pre_mlp_layer_norm",
    },
    embeddings={
        "patch": "embeddings.patch_projection",
        "row": "embeddings.row_embedder",
        "column": "embeddings.column_embedder",
        "embedding_dropout": "embeddings.dropout",
    },
    stack={"final_norm": "layernorm"},
)
_SELF, _CROSS = "self_attention", "encoder_decoder_attention"
TEXT_NAMES = spec.Names(
    layers="layer",
    layer={
        **{role: f"{_SELF}.attention.{name}" for role, name in QKVO.items()},
        "score_bias": f"{_SELF}.attention.relative_attention_bias",
        "attention_norm": f"{_SELF}.layer_norm",
        "attention_dropout": f"{_SELF}.dropout",
        "attention_add": _SELF,
        **{f"cross_{role}": f"{_CROSS}.attention.{name}" for role, name in QKVO.items()},
        "cross_norm": f"{_CROSS}.layer_norm",
        "cross_dropout": f"{_CROSS}.dropout",
        "cross_add": _CROSS,
        "gate": "mlp.DenseReluDense.wi_0",
        "up": "mlp.DenseReluDense.wi_1",
        "act": "mlp.DenseReluDense.act",
        "inner_dropout": "mlp.DenseReluDense.dropout",
        "down": "mlp.DenseReluDense.wo",
        "feedforward_norm": "mlp.layer_norm",
        "feedforward_dropout": "mlp.dropout",
        "feedforward_add": "mlp",
    },
    embeddings={"token": "embed_tokens", "embedding_dropout": "dropout"},
    stack={"final_norm": "final_layer_norm", "final_dropout": "dropout"},
)


def image(c: Pix2StructVisionConfig) -> spec.Stack:
    """The encoder: scores are not divided, and the feed-forward is gated."""
    heads = spec.Heads(c.num_attention_heads, c.num_attention_heads, c.d_kv)
    attention = spec.Attention(heads, dropout=c.attention_dropout, scale=1.0, bias=False, out_bias=False)
    inside = spec.FeedForward(c.d_ff, c.dense_act_fn, gated=True, bias=False, dropout=c.dropout_rate)
    layer = spec.layer(attention, inside, spec.Norm("rms", c.layer_norm_eps), order="pre")
    places = c.hidden_size**-0.5 * c.initializer_factor
    return spec.Stack(
        stem=spec.FlatPatches(c.patch_embed_hidden_size, c.hidden_size, c.seq_len, c.dropout_rate),
        layers=(layer,) * c.num_hidden_layers,
        names=IMAGE_NAMES,
        width=c.hidden_size,
        layer_class="Pix2StructVisionLayer",
        final_norm=spec.Norm("rms", c.layer_norm_eps),
        reports="plain",
        initial_std=c.initializer_range,
        init={"row_embedder.weight": places, "column_embedder.weight": places},
    )


def text(c: Pix2StructTextConfig) -> spec.Stack:
    """The decoder.

    Raises:
        ValueError: for heads that are not as wide as states together.
    """
    if c.num_heads * c.d_kv != c.hidden_size:
        raise ValueError(
            f"heads of Pix2Struct's decoder are as wide as its states together, but num_heads={c.num_heads} "
            f"times d_kv={c.d_kv} is not hidden_size={c.hidden_size}"
        )
    factor, wide = c.initializer_factor, c.initializer_factor * c.hidden_size**-0.5
    by_width = ("key", "value", "wi_0", "wi_1", "relative_attention_bias", "embed_tokens", "lm_head")
    return spec.Stack(
        stem=spec.Tokens(c.vocab_size, c.hidden_size, dropout=c.dropout_rate),
        layers=tuple(t5.layer(c, i == 0, decoder=True, gated=True) for i in range(c.num_layers)),
        names=TEXT_NAMES,
        width=c.hidden_size,
        layer_class="Pix2StructTextBlock",
        decoder=True,
        final_norm=spec.Norm("rms", c.layer_norm_epsilon),
        final_dropout=c.dropout_rate,
        init={
            **{f"{name}.weight": wide for name in by_width},
            ".query.weight": wide * c.d_kv**-0.5,
            ".output.weight": factor * (c.num_heads * c.d_kv) ** -0.5,
            ".wo.weight": factor * c.d_ff**-0.5,
        },
    )


register(
    Family(
        model_type="pix2struct_vision_model",
        name="Pix2StructVision",
        config=Pix2StructVisionConfig,
        base="encoder",
        assembly=Single(image, spec.FlatPatches),
        heads={},
    )
)
register(
    Family(
        model_type="pix2struct_text_model",
        name="Pix2StructText",
        config=Pix2StructTextConfig,
        base="decoder",
        assembly=Single(text),
        heads={
            "Model": Head("texts_of_states", lambda c: Words("lm_head", bias=False, shifts=False), flat=True)
        },
    )
)
PIX2STRUCT = register(
    Family(
        model_type="pix2struct",
        name="Pix2Struct",
        config=Pix2StructConfig,
        base="model",
        assembly=ComposedPair(
            base_class,
            whole_class,
            config_of,
            spec.FlatPatches,
            fields=("vision_config", "text_config"),
            bridges=False,
        ),
        heads={"ForConditionalGeneration": Head("picture_texts", lambda c: None, flat=True)},
        bare="",
    )
)
