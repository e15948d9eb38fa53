"""BART (Lewis et al. 2019, arXiv:1910.13461): post-norm encoder-decoder, learned positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.tasks.specs import Sequences, Spans, Words


class PairConfig(PretrainedConfig):
    """What the configurations of BART and its kin have in common."""

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
    scale_embedding: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    is_encoder_decoder: bool = True
    decoder_start_token_id: int | None = 2
    is_decoder: bool = False
    tie_word_embeddings: bool = True


class BartConfig(PairConfig):
    """Configuration of BART."""

    model_type = "bart"
    classifier_dropout: float = 0.0
    forced_eos_token_id: int | list[int] | None = 2
    forced_bos_token_id: int | None = None

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


NORM = spec.Norm("layer", 1e-5)
PRE_NORM = NAMES.with_(embeddings={"embedding_norm": None}, stack={"final_norm": "layer_norm"})


def layer(
    c: Any,
    decoder: bool,
    order: Literal["pre", "post"],
    key_bias: bool = True,
    bias: bool = True,
    by_time: bool = False,
) -> spec.Layer:
    """A layer of the encoder or the decoder; each has its own heads and inner width."""
    heads = c.decoder_attention_heads if decoder else c.encoder_attention_heads
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    attention = spec.Attention(
        spec.Heads.split(c.d_model, heads),
        dropout=c.attention_dropout,
        bias=bias,
        key_bias=key_bias,
        out_bias=bias,
        by_time=by_time,
    )
    return spec.layer(
        replace(attention, mask=Causal() if decoder else Full()),
        spec.FeedForward(inner, c.activation_function, dropout=c.activation_dropout),
        NORM,
        order=order,
        cross=replace(attention, cross=True) if decoder else None,
        dropout=c.dropout,
    )


def scale_of(c: Any) -> float:
    """Factor on what is looked up."""
    return float(c.d_model**0.5) if c.scale_embedding else 1.0


def tokens(c: Any) -> spec.Tokens:
    """The stem of either stack: a scaled table, learned positions, a norm."""
    return spec.Tokens(
        c.vocab_size,
        c.d_model,
        positions=spec.LearnedPositions(c.max_position_embeddings, offset=2),
        norm=NORM,
        table_scale=scale_of(c),
        dropout=c.dropout,
        padding_idx=c.pad_token_id,
    )


def stack(
    c: Any,
    decoder: bool,
    name: str,
    stem: spec.Stem,
    names: spec.Names = NAMES,
    order: Literal["pre", "post"] = "post",
    key_bias: bool = True,
    bias: bool = True,
    by_time: bool = False,
) -> spec.Stack:
    """The encoder or the decoder of the family of that name, over a stem; each has its own depth.

    Where the names have a place for a final norm there is one.
    """
    return spec.Stack(
        stem=stem,
        layers=(layer(c, decoder, order, key_bias, bias, by_time),)
        * (c.decoder_layers if decoder else c.encoder_layers),
        names=names,
        width=c.d_model,
        layer_class=f"{name}DecoderLayer" if decoder else f"{name}EncoderLayer",
        final_norm=NORM if "final_norm" in names.stack else None,
        decoder=decoder,
        layer_drop=c.decoder_layerdrop if decoder else c.encoder_layerdrop,
        initial_std=c.init_std,
    )


def half(c: Any, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    return stack(c, decoder, "Bart", tokens(c))


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


# whether norms stand before parts or after them
ORDER = (
    ("k_proj", "v_proj", "q_proj", "out_proj"),
    (
        "self_attn",
        "self_attn_layer_norm",
        "encoder_attn",
        "encoder_attn_layer_norm",
        "fc1",
        "fc2",
        "final_layer_norm",
    ),
)
WORDS = Words("lm_head", bias=False, logits_bias="final_logits_bias")
GENERATION = Head("seq2seq_lm", lambda c: WORDS)
DECODER = Head("causal_lm", lambda c: Words("lm_head", bias=False, shifts=False), over="decoder")
BART = register(
    Family(
        model_type="bart",
        name="Bart",
        config=BartConfig,
        base="model",
        assembly=EncoderDecoder(half, shifts_inputs=True, may_untie=True),
        order=(*ORDER, ("layers", "layernorm_embedding")),
        heads={
            "ForConditionalGeneration": GENERATION,
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans(two_labels=True)),
            "ForCausalLM": DECODER,
        },
        # the decoder alone takes the table that both stacks share
        renames=(
            Rename("{path}.shared.weight", "{path}.decoder.embed_tokens.weight"),
            Rename("shared.weight", "decoder.embed_tokens.weight"),
        ),
        ignored=(r"(en|de)coder\.version$",),
    )
)
