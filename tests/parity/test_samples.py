"""Moonshine beside the reference: sounds of several lengths, what it writes, its pipeline, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers

import formers
from tests.parity.seq2seq_shapes import SHAPES
from tests.parity.test_families import _close
from tests.parity.test_pipelines_speech import _wave

SHAPE = SHAPES["moonshine"]
KITS = (transformers, formers)


def _write(folder: Path, shape: str) -> None:
    torch.manual_seed(0)
    config = transformers.MoonshineConfig(**SHAPE[shape], initializer_range=0.3)
    transformers.MoonshineForConditionalGeneration(config).save_pretrained(folder)


@pytest.fixture(scope="module", params=[*SHAPE])
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder: Path = tmp_path_factory.mktemp("written")
    _write(folder, request.param)
    made = [kit.MoonshineForConditionalGeneration.from_pretrained(folder).eval() for kit in KITS]
    return made[0], made[1]


def _sounds() -> dict[str, torch.Tensor]:
    mask = (torch.arange(6000) < torch.tensor([6000, 4100, 2000])[:, None]).long()
    made = torch.randn(3, 6000, generator=torch.Generator().manual_seed(1)) * mask
    return {"input_values": made, "attention_mask": mask}


def test_sounds_of_several_lengths_are_heard_as_the_reference_hears_them(pair: tuple[Any, Any]) -> None:
    labels = torch.tensor([[5, 6, 7, 2], [8, 9, 2, -100], [10, 2, -100, -100]])
    with torch.no_grad():
        expected, found = (one(**_sounds(), labels=labels) for one in pair)
        mask = pair[0].model.encoder(**_sounds()).attention_mask.bool()
    _close(expected.logits, found.logits)
    _close(expected.loss, found.loss)
    _close(expected.encoder_last_hidden_state, found.encoder_last_hidden_state, mask)


@pytest.mark.parametrize("asked", [{"num_beams": 1}, {"num_beams": 3}], ids=str)
def test_what_is_written_is_what_the_reference_writes(pair: tuple[Any, Any], asked: dict[str, Any]) -> None:
    expected, found = (one.generate(**_sounds(), max_new_tokens=12, **asked) for one in pair)
    assert torch.equal(found, expected)
    assert len(set(found.flatten().tolist())) > 5


def test_the_pipeline_writes_what_the_reference_writes(tmp_path: Path) -> None:
    _write(tmp_path, "plain")
    words = {"<unk>": 0} | {f"w{i}": i for i in range(1, 101)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="w1", eos_token="w2", pad_token="w3"
    ).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(
        tmp_path
    )
    task = "automatic-speech-recognition"
    theirs, ours = (kit.pipeline(task, model=str(tmp_path), device="cpu") for kit in KITS)
    waves = [_wave(0.5, 1), _wave(0.9, 2)]
    expected = [theirs(wave, generate_kwargs={"max_new_tokens": 9}) for wave in waves]
    assert [ours(wave, generate_kwargs={"max_new_tokens": 9}) for wave in waves] == expected
    # the norm reads padding too, so that company changes what is written
    together = theirs(waves, batch_size=2, generate_kwargs={"max_new_tokens": 9})
    assert ours(waves, batch_size=2, max_new_tokens=9) == together
    kinds = {type(kit.AutoProcessor.from_pretrained(tmp_path)).__name__ for kit in KITS}
    assert kinds == {"Wav2Vec2Processor"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input_values": torch.randn(1, 894)}, "makes a row of 895"),
        ({"input_values": torch.randn(6000)}, r"\[B, samples\]"),
        ({"input_values": torch.zeros(1, 6000, dtype=torch.long)}, "feature extractor"),
        ({**_sounds(), "attention_mask": torch.ones(3, 10)}, "an entry for every sample"),
    ],
    ids=["too few", "no batch", "integers", "a mask of another length"],
)
def test_what_cannot_be_heard_is_refused(given: dict[str, Any], said: str) -> None:
    model = formers.MoonshineModel(formers.MoonshineConfig(**SHAPE["plain"]))
    with pytest.raises((TypeError, ValueError), match=said):
        model(**given, decoder_input_ids=torch.ones(len(given["input_values"]), 1, dtype=torch.long))


def test_each_half_has_heads_of_its_own_and_shares_keys() -> None:
    config = formers.MoonshineConfig(
        **{**SHAPE["plain"], "encoder_num_attention_heads": 2, "decoder_num_key_value_heads": 1}
    )
    model = formers.MoonshineModel(config).eval()
    assert model.encoder.layers[0].self_attn.k_proj.out_features == 40
    assert model.decoder.layers[0].self_attn.k_proj.out_features == 10
    states = model(**_sounds(), decoder_input_ids=torch.ones(3, 2, dtype=torch.long)).last_hidden_state
    assert states.isfinite().all()
