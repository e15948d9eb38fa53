"""T5Gemma (Zhang et al. 2025, arXiv:2504.06225): Gemma 2 as an encoder and a decoder, of any two sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import gemma2, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full, Mask, Window
from formers.tasks.specs import Labels, Sequences, Words


class T5GemmaModuleConfig(gemma2.Gemma2Config):
    """Configuration of one half."""

    model_type = "t5_gemma_module"
    is_decoder: bool = False
    dropout_rate: float = 0.0


class T5GemmaConfig(PretrainedConfig):
    """Configuration of T5Gemma. Rates are the pair's; without `is_encoder_decoder` there is no decoder."""

    model_type = "t5gemma"
    keys_to_ignore_at_inference = ["past_key_values"]
    sub_configs: ClassVar[dict[str, Any]] = dict.fromkeys(("encoder", "decoder"), T5GemmaModuleConfig)
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"encoder": {}, "decoder": {}}
    is_encoder_decoder: bool = True
    dropout_rate: float = 0.0
    classifier_dropout_rate: float = 0.0
    attention_dropout: float = 0.0
    tie_word_embeddings: bool = True
    vocab_size: int = 256000
    initializer_range: float | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        rates = {"dropout_rate": self.dropout_rate, "attention_dropout": self.attention_dropout}
        self.encoder.update({**rates, "is_decoder": False})
        self.decoder.update({**rates, "is_decoder": True, "use_cache": True})
        self.decoder.cross_attention_hidden_size = self.encoder.hidden_size
        if self.initializer_range is None:
            self.initializer_range = self.decoder.initializer_range
        tokens = ("bos_token_id", "pad_token_id", "eos_token_id")
        self.update({name: getattr(self.decoder, name) for name in tokens if name not in values})

    def __getattr__(self, name: str) -> Any:
        if name == "use_cache":
            return self.decoder.use_cache
        # the decoder begins with the token that begins its texts
        return self.decoder.bos_token_id if name == "decoder_start_token_id" else super().__getattr__(name)


NAMES = llama.NAMES.with_(
    layer={
        **{f"cross_{role}": f"cross_attn.{role}_proj" for role in "qkvo"},
        "attention_norm": "pre_self_attn_layernorm",
        "attention_inner": "post_self_attn_layernorm",
        "cross_norm": "pre_cross_attn_layernorm",
        "cross_inner": "post_cross_attn_layernorm",
        "feedforward_norm": "pre_feedforward_layernorm",
        "feedforward_inner": "post_feedforward_layernorm",
        **dict.fromkeys(("attention_dropout", "cross_dropout", "feedforward_dropout"), "dropout"),
        "inner_dropout": "mlp.dropout",
    },
    embeddings={"embedding_dropout": "dropout"},
    stack={"final_dropout": "dropout"},
)


def layer(c: Any, decoder: bool, kind: str) -> spec.Layer:
    """A layer that sees everything, or a window: behind a token, or (of the encoder) on both sides."""
    masks: dict[str, Mask] = {"full_attention": Causal(), "sliding_attention": Causal(c.sliding_window)}
    if not decoder:
        masks = {"full_attention": Full(), "sliding_attention": Window(c.sliding_window)}
    other = {"scale": c.query_pre_attn_scalar**-0.5, "softcap": c.attn_logit_softcapping}
    attention = llama.attention(c, masks[kind], c.attention_bias, kind=kind, **other)
    source = c.cross_attention_hidden_size if decoder else None
    cross = replace(attention, cross=True, source=source, rotary=None, mask=Full()) if decoder else None
    inner, rate = c.intermediate_size, c.dropout_rate
    feedforward = spec.FeedForward(inner, c.hidden_activation, gated=True, bias=False, dropout=rate)
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    return spec.layer(attention, feedforward, norm, order="sandwich", cross=cross, dropout=rate)


def half(config: Any, decoder: bool) -> spec.Stack:
    """The encoder or the decoder, of its own config or the pair's."""
    c = getattr(config, "decoder" if decoder else "encoder", config)
    kinds = {kind: layer(c, decoder, kind) for kind in ("full_attention", "sliding_attention")}
    name = f"T5Gemma{'Decoder' if decoder else 'Encoder'}Layer"
    norm = spec.Norm("rms", c.rms_norm_eps, offset=1.0)
    rates = {"scale": c.hidden_size**0.5, "scale_rounded": "own", "dropout": c.dropout_rate}
    made = llama.decoder(c, llama.by_kind(c, kinds), name, norm, NAMES, **rates)
    return replace(made, decoder=decoder, final_dropout=c.dropout_rate)


def words(c: T5GemmaConfig) -> Words:
    """The decoder's token table, over capped logits."""
    cap = c.decoder.final_logit_softcapping
    return Words("lm_head.out_proj", bias=False, cap=cap, table="model.decoder.embed_tokens")


def sequences(c: T5GemmaConfig) -> Sequences:
    """A label where the last token is read."""
    rate = c.classifier_dropout_rate
    return Sequences("score.out_proj", pool="last", dropout=rate, dropout_path="score.dropout")


T5GEMMA = register(
    Family(
        model_type="t5gemma",
        name="T5Gemma",
        config=T5GemmaConfig,
        base="model",
        assembly=EncoderDecoder(half, places=True, apart=lambda c: True, composed=True, hides_padding="both"),
        heads={
            "EncoderModel": Head("encoder", lambda c: None, over="encoder"),
            "ForConditionalGeneration": Head("seq2seq_lm", words),
            "ForSequenceClassification": Head("sequence_classification", sequences, brief=True),
            "ForTokenClassification": Head(
                "token_classification",
                lambda c: Labels("score.out_proj", c.classifier_dropout_rate, "score.dropout"),
                brief=True,
            ),
        },
        order=gemma2.GEMMA2.order,
    )
)
