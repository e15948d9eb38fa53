"""ESM (Rives et al. 2021, doi 10.1073/pnas.2016239118; ESM-2, Lin et al. 2023): encoders of proteins."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.text.contact_prediction import ContactPrediction
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import bert, roberta, roberta_prelayernorm
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.nn.positions import Rotary
from formers.tasks.specs import Labels


class EsmConfig(PretrainedConfig):
    """Configuration of ESM."""

    model_type = "esm"
    _available = {
        "position_embedding_type": ("absolute", "rotary"),
        "is_folding_model": (False,),
        "add_cross_attention": (False,),  # no text says by which positions keys of others are turned
    }
    vocab_size: int | None = None
    mask_token_id: int | None = None
    pad_token_id: int | None = None
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1026
    rope_theta: float = 10000.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    emb_layer_norm_before: bool | None = None
    token_dropout: bool = False
    is_folding_model: bool = False
    esmfold_config: dict[str, object] | None = None
    vocab_list: list[str] | tuple[str, ...] | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 2


NAMES = roberta_prelayernorm.NAMES.with_(
    layer={"feedforward_norm": "LayerNorm", "act": None, "weights_dropout": None},
    embeddings={"type": None, "embedding_norm": "embeddings.layer_norm", "embedding_dropout": None},
    stack={"final_norm": "encoder.emb_layer_norm_after", "rotary": "rotary_embeddings"},
)
_HIDDEN = 0.15 * 0.8  # share of tokens that were hidden in training


def stack(c: EsmConfig) -> spec.Stack:
    """RoBERTa's stack with norms before, whose positions are a table's or turn queries and keys."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    turned = c.position_embedding_type == "rotary"
    room = c.max_position_embeddings
    rotary = Rotary(heads.width, c.rope_theta, trained_length=room, stored=True) if turned else None
    mask = Causal() if c.is_decoder else Full()
    attention = spec.Attention(heads, mask, c.attention_probs_dropout_prob, rotary=rotary)
    feedforward = spec.FeedForward(c.intermediate_size, "gelu")
    layer = spec.layer(attention, feedforward, norm, "pre", dropout=c.hidden_dropout_prob)
    erases = c.token_dropout and c.mask_token_id is not None
    return spec.Stack(
        stem=spec.Tokens(
            c.vocab_size or 0,
            c.hidden_size,
            positions=None if turned else spec.LearnedPositions(room, padding_idx=c.pad_token_id),
            norm=norm if c.emb_layer_norm_before else None,
            padding_idx=c.pad_token_id,
            hides_padding=True,
            erased=(c.mask_token_id or 0, _HIDDEN) if erases else None,
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="EsmLayer",
        final_norm=norm,
        pooler=c.hidden_size,
        initial_std=c.initializer_range,
    )


_OF_LAYER = "encoder.layer.{}.attention.self.rotary_embeddings.inv_freq"
_FREQUENCIES = "rotary_embeddings.inv_freq"
ESM = register(
    Family(
        model_type="esm",
        name="Esm",
        config=EsmConfig,
        base="esm",
        assembly=ContactPrediction(stack),
        heads={
            "ForMaskedLM": Head("masked_lm", lambda c: replace(roberta.words(c), bias=False)),
            "ForSequenceClassification": Head(
                "sequence_classification", lambda c: roberta.labels(c.hidden_dropout_prob)
            ),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
        },
        renames=(  # older files hold frequencies for each layer, and the ecosystem's newest of layer "*"
            Rename(_OF_LAYER.format("*"), _FREQUENCIES, written=True),
            Rename(_OF_LAYER.format(0), _FREQUENCIES),
            Rename("{path}.LayerNorm.gamma", "{path}.LayerNorm.weight", written=True),
            Rename("{path}.LayerNorm.beta", "{path}.LayerNorm.bias", written=True),
        ),
        ignored=(
            *bert.BERT.ignored,
            r".*embeddings\.position_embeddings\.weight",
            r".*" + _OF_LAYER.replace(".", r"\.").format(r"\d+"),
        ),
    )
)
