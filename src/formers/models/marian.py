"""Marian (Junczys-Dowmunt et al. 2018, arXiv:1804.00344): post-norm translators with fixed sinusoids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Head
from formers.models import bart, pegasus
from formers.models.registry import register
from formers.nn import spec


class MarianConfig(bart.PairConfig):
    """Configuration of Marian.

    Without `share_encoder_decoder_embeddings` the decoder has `decoder_vocab_size` tokens of its own;
    otherwise that is `vocab_size`.
    """

    model_type = "marian"
    vocab_size: int = 58101
    decoder_vocab_size: int | None = None
    decoder_start_token_id: int | None = 58100
    pad_token_id: int | None = 58100
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 0
    forced_eos_token_id: int | list[int] | None = 0
    share_encoder_decoder_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.decoder_vocab_size = values.get("decoder_vocab_size") or self.vocab_size

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "vocab_size" and self.share_encoder_decoder_embeddings:
            self.decoder_vocab_size = value  # tables that are one grow as one


NAMES = bart.NAMES.with_(embeddings={"embedding_norm": None})


def half(c: MarianConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    stem = pegasus.tokens(c, decoder, written(c) if decoder else c.vocab_size)
    return bart.stack(c, decoder, "Marian", stem, NAMES)


def written(c: MarianConfig) -> int:
    """How many tokens the decoder knows."""
    return c.vocab_size if c.share_encoder_decoder_embeddings else c.decoder_vocab_size or c.vocab_size


def words(c: MarianConfig) -> Any:
    """The decoder's token table, and a constant for every token."""
    table = None if c.share_encoder_decoder_embeddings else "model.decoder.embed_tokens"
    return replace(bart.WORDS, vocabulary=written(c), table=table)


FIXED = tuple(f"model.{half}.embed_positions.weight" for half in ("encoder", "decoder"))
MARIAN = register(
    replace(
        pegasus.PEGASUS,
        model_type="marian",
        name="Marian",
        config=MarianConfig,
        assembly=EncoderDecoder(half, may_untie=True, apart=lambda c: not c.share_encoder_decoder_embeddings),
        heads={
            "MTModel": Head("seq2seq_lm", words, unsaved=FIXED),
            "ForCausalLM": Head(
                "causal_lm",
                lambda c: replace(words(c), shifts=False, table=None, logits_bias=None),
                over="decoder",
            ),
        },
    )
)
