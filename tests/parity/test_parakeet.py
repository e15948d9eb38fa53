"""Parakeet beside the reference: sounds of several lengths, what is spelled, texts, the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

import formers
from tests.parity.speech_shapes import SHAPES
from tests.parity.test_families import _close

PIECES = ("<unk>", "▁the", "▁cat", "s", "▁sat", "▁on", "▁a", "▁mat", ".", "e", "t", "h", "▁", "c", "a")
SOUND = np.random.default_rng(5).normal(0, 0.1, 16000).astype(np.float32)
SIZES = {**SHAPES["parakeet_ctc"]["plain"], "vocab_size": len(PIECES) + 1, "pad_token_id": len(PIECES)}


def _pair(folder: Path) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = transformers.ParakeetForCTC(transformers.ParakeetCTCConfig(**SIZES)).eval()
    with torch.no_grad():
        theirs.ctc_head.weight.normal_(0, 1)
    theirs.save_pretrained(folder)
    return theirs, formers.ParakeetForCTC.from_pretrained(folder)


def _tokenizer(folder: Path, *more: str) -> None:
    backend = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(PIECES)], unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(one, special=True) for one in ("<pad>", *more)])
    made = transformers.ParakeetTokenizer(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    made.save_pretrained(folder)


def _processors(folder: Path, *more: str, **settings: Any) -> tuple[Any, Any]:
    _tokenizer(folder, *more)
    extractor = transformers.ParakeetFeatureExtractor(feature_size=12)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.ParakeetProcessor(extractor, tokenizer, **settings)
    theirs.save_pretrained(folder)
    return theirs, formers.ParakeetProcessor.from_pretrained(folder)


def _frames() -> dict[str, torch.Tensor]:
    mask = (torch.arange(45) < torch.tensor([45, 30, 33, 9])[:, None]).long()
    made = torch.randn(4, 45, 12, generator=torch.Generator().manual_seed(1))
    return {"input_features": made * mask[..., None], "attention_mask": mask}


def test_sounds_of_several_lengths_are_heard_as_the_reference_hears_them(tmp_path: Path) -> None:
    theirs, ours = _pair(tmp_path)
    given = _frames()
    with torch.no_grad():
        expected, heard = theirs(**given).logits, theirs.encoder(**given)
        found, own = ours(**given).logits, ours.encoder(**given)
        real = heard.attention_mask.bool()
        assert torch.equal(own.attention_mask, heard.attention_mask)
        assert ours.encoder(**given, output_attention_mask=False).attention_mask is None
        _close(heard.last_hidden_state, own.last_hidden_state, real)
        _close(expected, found, real)
        for module in ours.modules():  # now every node is called, padding included
            module.register_forward_hook(lambda *_: None)
        _close(expected, ours(**given).logits, real)


def test_what_is_spelled_and_its_loss_are_the_references(tmp_path: Path) -> None:
    theirs, ours = _pair(tmp_path)
    given = _frames()
    assert torch.equal(ours.generate(**given), theirs.generate(**given))
    asked = {"return_dict_in_generate": True, "output_hidden_states": True}
    expected, found = theirs.generate(**given, **asked), ours.generate(**given, **asked)
    assert torch.equal(found.sequences, expected.sequences)
    assert len(found.hidden_states) == len(expected.hidden_states)
    labels = torch.tensor([[3, 4, 5], [6, 7, -100], [8, 9, 3], [4, -100, -100]])
    losses = [model(**given, labels=labels).loss for model in (theirs, ours)]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-5)
    for loss in losses:
        loss.backward()
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        expected = parameter.grad  # norms of rows without biases make them large
        assert (gradients[name] - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1), name


@pytest.mark.parametrize(
    ("more", "settings"), [((), {}), (("<blank>",), {}), (("<blank>",), {"decoder_type": "ctc"})]
)
def test_texts_and_sounds_are_prepared_and_read_as_by_the_reference(
    more: tuple[str, ...], settings: dict[str, Any], tmp_path: Path
) -> None:
    theirs, ours = _processors(tmp_path / "a", *more, **settings)
    texts = ["the cats sat.", "on a mat"]
    given = {"text": texts, "sampling_rate": 16000}
    expected, found = theirs([SOUND, SOUND[:9000]], **given), ours([SOUND, SOUND[:9000]], **given)
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4, msg=name)
    rows = [[1, 1, 15, 2, 3, 15, 3, 3], [4, 5, 5, 15, 6, 7, 8, 0]]
    for call in ({}, {"skip_special_tokens": True}, {"group_tokens": False}):
        assert ours.batch_decode(rows, **call) == theirs.batch_decode(rows, **call)
        assert ours.decode(rows[0], **call) == theirs.decode(rows[0], **call)
    assert ours.tokenizer.decode(torch.tensor(rows)) == theirs.tokenizer.decode(torch.tensor(rows))
    ours.save_pretrained(tmp_path / "b")
    again = formers.AutoProcessor.from_pretrained(tmp_path / "b")
    assert type(again) is type(ours)
    assert again.decode(rows[0]) == ours.decode(rows[0])


def test_the_pipeline_writes_what_the_reference_writes(tmp_path: Path) -> None:
    theirs, _ = _pair(tmp_path)
    read, _ = _processors(tmp_path)
    made = formers.pipeline("automatic-speech-recognition", model=str(tmp_path))([SOUND, SOUND[:7000]])
    # by its `generate`: its pipeline reads a row behind the sound's end too
    expected = [read.decode(theirs.generate(**read(one))[0]) for one in (SOUND, SOUND[:7000])]
    assert [one["text"] for one in made] == expected
    assert all(expected)
    with pytest.raises(ValueError, match="ParakeetTokenizer tells no times of what it reads"):
        formers.pipeline("automatic-speech-recognition", model=str(tmp_path))(SOUND, return_timestamps="word")


def test_what_cannot_be_heard_or_read_is_said(tmp_path: Path) -> None:
    _, ours = _pair(tmp_path)
    with pytest.raises(ValueError, match=r"input_features must have shape \[B, frames, 12\]"):
        ours(torch.randn(1, 12, 45))
    with pytest.raises(ValueError, match="an entry for every frame"):
        ours(torch.randn(1, 45, 12), attention_mask=torch.ones(1, 44))
    with pytest.raises(formers.processing.BadSound, match="shorter than two frames, which take 320"):
        formers.ParakeetFeatureExtractor()(SOUND[:200], sampling_rate=16000)
    _, processor = _processors(tmp_path)
    with pytest.raises(ValueError, match="needs audio="):
        processor(text="the cats")
    with pytest.raises(ValueError, match="decoder_type is ctc, rnnt, tdt or None"):
        formers.ParakeetProcessor(processor.feature_extractor, processor.tokenizer, decoder_type="beam")
