"""FSMT (Ng et al. 2019, arXiv:1907.06616): translators with two vocabularies; the decoder gives logits."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Words


class FSMTConfig(bart.PairConfig):
    """Configuration of FSMT. `vocab_size` is `tgt_vocab_size`.

    `langs` name what is read and what is written: tokenizers take them from here.
    """

    model_type = "fsmt"
    attribute_map = {**bart.PairConfig.attribute_map, "vocab_size": "tgt_vocab_size"}
    langs: list[str] | tuple[str, ...] = ("en", "de")
    src_vocab_size: int = 42024
    tgt_vocab_size: int = 42024
    activation_function: str = "relu"
    scale_embedding: bool = True
    forced_eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False


NAMES = bart.NAMES.with_(embeddings={"embedding_norm": None})


def half(c: FSMTConfig, decoder: bool) -> spec.Stack:
    """The encoder, or the decoder with the output table, whose states are logits.

    Raises:
        ValueError: for tables that are one, over two vocabularies.
    """
    if c.tie_word_embeddings and c.src_vocab_size != c.tgt_vocab_size:
        raise ValueError(
            f"with tie_word_embeddings all tables are one, but src_vocab_size is {c.src_vocab_size} and "
            f"tgt_vocab_size {c.tgt_vocab_size}"
        )
    pad = c.pad_token_id or 0
    stem = spec.Tokens(
        c.tgt_vocab_size if decoder else c.src_vocab_size,
        c.d_model,
        positions=spec.LearnedPositions(
            c.max_position_embeddings + pad + 1, padding_idx=pad, fixed=True, closed=True
        ),
        scale=bart.scale_of(c),
        dropout=c.dropout,
        padding_idx=c.pad_token_id,
    )
    names = NAMES.with_(stack={"final_projection": "output_projection"}) if decoder else NAMES
    made = bart.stack(c, decoder, "", stem, names, by_time=True)
    return replace(made, projected=c.tgt_vocab_size if decoder else None, reports="plain")


WORDS = Words("model.decoder.output_projection", bias=False, tied=False, within=True)
FSMT = register(
    Family(
        model_type="fsmt",
        name="FSMT",
        config=FSMTConfig,
        base="model",
        assembly=EncoderDecoder(
            half, shifts_inputs=True, wraps=True, apart=lambda c: True, hides_padding="decoder"
        ),
        order=(bart.BART.order[0],),
        heads={"ForConditionalGeneration": Head("seq2seq_lm", lambda c: WORDS)},
    )
)
