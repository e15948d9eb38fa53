"""BERT for generation (Rothe et al. 2019, arXiv:1907.12461): no segments, no pooler."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class BertGenerationConfig(bert.BertConfig):
    """Configuration of BERT for generation."""

    model_type = "bert-generation"
    _available = {**bert.BertConfig._available, "classifier_dropout": (None,), "type_vocab_size": (0,)}
    vocab_size: int = 50358
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    type_vocab_size: int = 0
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 1


def stack(c: BertGenerationConfig) -> spec.Stack:
    """BERT's stack without segments and pooler."""
    names = replace(bert.NAMES.with_(embeddings={"type": None}), stack={})
    return replace(bert.stack(c, "BertGenerationLayer"), names=names, pooler=None)


BERT_GENERATION = register(
    Family(
        model_type="bert-generation",
        name="BertGeneration",
        config=BertGenerationConfig,
        base="bert",
        bare="Encoder",
        assembly=Single(stack),
        heads={
            "Decoder": Head("causal_lm", lambda c: Words("lm_head.decoder", bias_path="lm_head.bias")),
        },
        ignored=bert.BERT.ignored,
    )
)
