"""BART (Lewis et al. 2019, arXiv:1910.13461): post-norm encoder-decoder, learned positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.specs import Sequences, Spans, Words


class BartConfig(PretrainedConfig):
    """Configuration of BART."""

    model_type = "bart"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
    }
    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    classifier_dropout: float = 0.0
    scale_embedding: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    is_encoder_decoder: bool = True
    decoder_start_token_id: int | None = 2
    forced_eos_token_id: int | list[int] | None = 2
    forced_bos_token_id: int | None = None
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        if not {"num_labels", "id2label", "label2id"} & set(values):
            values["num_labels"] = 3
        super().__init__(**values)
        if values.get("force_bos_token_to_be_generated") and self.forced_bos_token_id is None:
            self.forced_bos_token_id = self.bos_token_id  # how the first summarizers said it

    def _labels_are_default(self) -> bool:
        """Always written: without them this family has three labels, and readers differ about that."""
        return False


NAMES = spec.Names(
    layers="layers",
    layer={
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.out_proj",
        "attention_norm": "self_attn_layer_norm",
        "cross_q": "encoder_attn.q_proj",
        "cross_k": "encoder_attn.k_proj",
        "cross_v": "encoder_attn.v_proj",
        "cross_o": "encoder_attn.out_proj",
        "cross_norm": "encoder_attn_layer_norm",
        "up": "fc1",
        "act": "activation_fn",
        "down": "fc2",
        "feedforward_norm": "final_layer_norm",
    },
    embeddings={
        "token": "embed_tokens",
        "position": "embed_positions",
        "embedding_norm": "layernorm_embedding",
    },
)


def half(c: BartConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder; each has its own depth, heads and inner width."""
    heads = c.decoder_attention_heads if decoder else c.encoder_attention_heads
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    norm = spec.Norm("layer", 1e-5)
    attention = spec.Attention(spec.Heads.split(c.d_model, heads), dropout=c.attention_dropout)
    layer = spec.layer(
        replace(attention, mask=Causal() if decoder else Full()),
        spec.FeedForward(inner, c.activation_function, dropout=c.activation_dropout),
        norm,
        order="post",
        cross=replace(attention, cross=True) if decoder else None,
        dropout=c.dropout,
    )
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.d_model,
            positions=spec.LearnedPositions(c.max_position_embeddings, offset=2),
            norm=norm,
            table_scale=c.d_model**0.5 if c.scale_embedding else 1.0,
            dropout=c.dropout,
            padding_idx=c.pad_token_id,
        ),
        layers=(layer,) * (c.decoder_layers if decoder else c.encoder_layers),
        names=NAMES,
        width=c.d_model,
        layer_class="BartDecoderLayer" if decoder else "BartEncoderLayer",
        decoder=decoder,
        layer_drop=c.decoder_layerdrop if decoder else c.encoder_layerdrop,
        initial_std=c.init_std,
    )


def sequences(c: Any) -> Sequences:
    """A label by the state where the sequence ends."""
    return Sequences(
        "classification_head.out_proj",
        dense="classification_head.dense",
        pool="eos",
        act="tanh",
        dropout=c.classifier_dropout,
        dropout_path="classification_head.dropout",
        drop_first=True,
    )


BART = register(
    Family(
        model_type="bart",
        name="Bart",
        config=BartConfig,
        base="model",
        assembly=EncoderDecoder(half, shifts_inputs=True, may_untie=True),
        order=(("k_proj", "v_proj", "q_proj", "out_proj"), ("layers", "layernorm_embedding")),
        heads={
            "ForConditionalGeneration": Head(
                "seq2seq_lm", lambda c: Words("lm_head", bias=False, logits_bias="final_logits_bias")
            ),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans(two_labels=True)),
            "ForCausalLM": Head(
                "causal_lm", lambda c: Words("lm_head", bias=False, shifts=False), over="decoder"
            ),
        },
        # the decoder alone takes the table that both stacks share
        renames=(
            Rename("{path}.shared.weight", "{path}.decoder.embed_tokens.weight"),
            Rename("shared.weight", "decoder.embed_tokens.weight"),
        ),
        ignored=(r"(en|de)coder\.version$",),
    )
)
