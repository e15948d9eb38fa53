"""FSMT's tables: two vocabularies, an output table in the decoder, sinusoids that older files do not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from tests.parity.seq2seq_shapes import SHAPES, inputs_of, write_checkpoint

SHAPE = "two vocabularies"


def test_tables_of_sinusoids_follow_where_files_hold_none(tmp_path: Path) -> None:
    config = transformers.FSMTConfig(**SHAPES["fsmt"][SHAPE])
    theirs = transformers.FSMTForConditionalGeneration(config).eval()
    theirs.save_pretrained(tmp_path)
    held = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in held.items() if "embed_positions" not in name}
    assert len(kept) == len(held) - 2
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    ours = formers.FSMTForConditionalGeneration.from_pretrained(tmp_path)
    assert ours.load_report.new == []
    inputs = inputs_of(ours)
    real = inputs["decoder_attention_mask"].bool()
    with torch.no_grad():
        torch.testing.assert_close(
            ours(**inputs).logits[real], theirs(**inputs).logits[real], atol=1e-5, rtol=1e-5
        )


def test_the_model_without_a_head_gives_logits_too(tmp_path: Path) -> None:
    write_checkpoint("fsmt", SHAPE, "FSMTForConditionalGeneration", tmp_path)
    ours = formers.FSMTForConditionalGeneration.from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        assert torch.equal(ours(**inputs).logits, ours.model(**inputs).last_hidden_state)
    assert ours.get_input_embeddings() is ours.model.encoder.embed_tokens
    assert ours.get_output_embeddings() is ours.model.decoder.output_projection
    assert issubclass(formers.PretrainedFSMTModel, formers.PreTrainedModel)


def test_one_table_for_two_vocabularies_is_refused() -> None:
    config = formers.FSMTConfig(**{**SHAPES["fsmt"][SHAPE], "tie_word_embeddings": True})
    with pytest.raises(ValueError, match="src_vocab_size is 110 and tgt_vocab_size 101"):
        formers.FSMTModel(config)
