"""CANINE (Clark et al. 2021, arXiv:2103.06874): an encoder of characters, and of groups of them."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.text.character_downsampling import Downsampled
from formers.configs import PretrainedConfig
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences, Spans


class CanineConfig(PretrainedConfig):
    """Configuration of CANINE."""

    model_type = "canine"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 16384
    type_vocab_size: int = 16
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0xE000
    eos_token_id: int | list[int] | None = 0xE001
    downsampling_rate: int = 4
    upsampling_kernel_size: int = 4
    num_hash_functions: int = 8
    num_hash_buckets: int = 16384
    local_transformer_stride: int = 128


NAMES = spec.Names(
    layers="initial_char_encoder.layer",
    layer=bert.NAMES.layer,
    embeddings={
        **{f"token_{i}": f"char_embeddings.HashBucketCodepointEmbedder_{i}" for i in range(16)},
        "position": "char_embeddings.char_position_embeddings",
        "type": "char_embeddings.token_type_embeddings",
        "embedding_norm": "char_embeddings.LayerNorm",
        "embedding_dropout": "char_embeddings.dropout",
    },
    stack={"pooler": "pooler.dense"},
)
PATHS = {
    "deep": "encoder.layer",
    "last": "final_char_encoder.layer",
    "down_conv": "chars_to_molecules.conv",
    "down_act": "chars_to_molecules.activation",
    "down_norm": "chars_to_molecules.LayerNorm",
    "up_conv": "projection.conv",
    "up_act": "projection.activation",
    "up_norm": "projection.LayerNorm",
    "up_dropout": "projection.dropout",
    "pooler_dense": "pooler.dense",
    "pooler_act": "pooler.activation",
}


def stack(c: CanineConfig) -> spec.Downsampled:
    """A layer of blocks over characters, layers over groups of them, and a layer over all characters."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    dropout = c.attention_probs_dropout_prob

    def layer(attention: spec.Attention) -> spec.Layer:
        feedforward = spec.FeedForward(c.intermediate_size, c.hidden_act)
        return spec.layer(attention, feedforward, norm, dropout=c.hidden_dropout_prob)

    whole = layer(spec.Attention(heads, dropout=dropout))
    first = spec.Stack(
        stem=spec.Characters(
            c.num_hash_buckets,
            c.hidden_size,
            positions=spec.LearnedPositions(c.num_hash_buckets),
            types=c.type_vocab_size,
            norm=norm,
            dropout=c.hidden_dropout_prob,
            hashes=c.num_hash_functions,
            longest=c.max_position_embeddings,
        ),
        layers=(layer(spec.BlockLocal(heads, dropout=dropout, size=c.local_transformer_stride)),),
        names=NAMES,
        width=c.hidden_size,
        layer_class="CanineLayer",
        initial_std=c.initializer_range,
    )
    return spec.Downsampled(
        first,
        layers=(whole,) * c.num_hidden_layers,
        last=(whole,),
        paths=PATHS,
        rate=c.downsampling_rate,
        kernel=c.upsampling_kernel_size,
        activation=c.hidden_act,
        norm=norm,
        dropout=c.hidden_dropout_prob,
    )


def sequences(c: Any) -> Sequences:
    """A label by the pooler's vector."""
    return Sequences("classifier", dropout=c.hidden_dropout_prob, dropout_path="dropout")


CANINE = register(
    Family(
        model_type="canine",
        name="Canine",
        config=CanineConfig,
        base="canine",
        assembly=Downsampled(stack),
        heads={
            "ForSequenceClassification": Head("sequence_classification", sequences, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", sequences, pooler=True),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob), pooler=True
            ),
            "ForQuestionAnswering": Head("question_answering", lambda c: Spans(), pooler=True),
        },
        ignored=bert.BERT.ignored,
    )
)
