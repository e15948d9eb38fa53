"""EuroBERT (Boizard et al. 2025, arXiv:2503.05500): LLaMA's layers, which look both ways."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Head
from formers.assemblies.single import Single
from formers.models import llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Full
from formers.tasks.pooling import Pool
from formers.tasks.specs import Labels, Sequences, Words

_POOLS: dict[str, Pool] = {"bos": "first", "mean": "mean", "late": "late"}


class EuroBertConfig(llama.LlamaConfig):
    """Configuration of EuroBERT."""

    model_type = "eurobert"
    _available = {"classifier_pooling": tuple(_POOLS)}
    keys_to_ignore_at_inference = ["past_key_values"]
    vocab_size: int = 128256
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 8192
    rms_norm_eps: float = 1e-5
    pad_token_id: int | None = 128001
    bos_token_id: int | None = 128000
    eos_token_id: int | list[int] | None = 128001
    mask_token_id: int | None = 128002
    classifier_pooling: str = "late"


def stack(c: EuroBertConfig) -> spec.Stack:
    """The encoder."""
    one = llama.block(
        c,
        llama.attention(c, Full(), c.attention_bias),
        llama.feedforward(c, c.intermediate_size, c.mlp_bias),
    )
    made = llama.decoder(c, (one,) * c.num_hidden_layers, "EuroBertDecoderLayer")
    return replace(made, decoder=False)


def sequences(c: EuroBertConfig) -> Sequences:
    """A label by the first token, the mean of the states, or the mean of what each token says."""
    return Sequences(
        "classifier",
        dense="dense",
        pool=_POOLS[c.classifier_pooling],
        act="gelu",
        act_path="activation",
    )


EUROBERT = register(
    replace(
        llama.LLAMA,
        model_type="eurobert",
        name="EuroBert",
        config=EuroBertConfig,
        assembly=Single(stack, types=False),
        heads={
            "ForMaskedLM": Head("masked_lm", lambda c: Words("lm_head", bias=c.mlp_bias)),
            "ForSequenceClassification": Head("sequence_classification", sequences),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", dropout_path=None)
            ),
        },
    )
)
