"""TrOCR's decoder (Li et al. 2021, arXiv:2109.10282): BART's alone, over an encoder's states."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import DecoderHalf, EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class TrOCRConfig(PretrainedConfig):
    """Configuration of TrOCR's decoder."""

    model_type = "trocr"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_attention_heads": "decoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "decoder_layers",
    }
    vocab_size: int = 50265
    d_model: int = 1024
    decoder_layers: int = 12
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    activation_function: str = "gelu"
    max_position_embeddings: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    decoder_start_token_id: int | None = 2
    init_std: float = 0.02
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    scale_embedding: bool = False
    use_learned_position_embeddings: bool = True
    layernorm_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    cross_attention_hidden_size: int | None = None
    is_decoder: bool = False
    tie_word_embeddings: bool = True


def stack(c: TrOCRConfig, decoder: bool = True) -> spec.Stack:
    """The decoder, at positions that are learned, or sinusoids that count real tokens."""
    stem, names = bart.tokens(c), bart.NAMES
    if not c.layernorm_embedding:
        stem, names = replace(stem, norm=None), names.with_(embeddings={"embedding_norm": None})
    if not c.use_learned_position_embeddings:
        stem = replace(stem, positions=spec.ComputedPositions(padding_idx=c.pad_token_id))
    made = bart.stack(c, True, "TrOCR", stem, names)
    own, cross, inner = made.layers[0].parts
    assert isinstance(cross.mixer, spec.Attention)
    cross = replace(cross, mixer=replace(cross.mixer, source=c.cross_attention_hidden_size))
    return replace(made, layers=(spec.Layer((own, cross, inner)),) * c.decoder_layers)


TROCR = register(
    Family(
        model_type="trocr",
        name="TrOCR",
        config=TrOCRConfig,
        base="model",
        bare="DecoderWrapper",
        assembly=DecoderHalf(EncoderDecoder(stack)),
        heads={
            "ForCausalLM": Head(
                "causal_lm", lambda c: Words("output_projection", bias=False, shifts=False), over="decoder"
            )
        },
        order=(*bart.ORDER, ("embed_tokens", "embed_positions", "layernorm_embedding", "layers")),
    )
)
