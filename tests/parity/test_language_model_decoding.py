"""Texts of models that spell, found by beam search with a language model, beside the reference's."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from formers.core.extras import installed

pytestmark = pytest.mark.skipif(not installed("pyctcdecode"), reason="pyctcdecode searches")
SIGNS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh")


class Bigrams:
    """A language model as `kenlm.Model` is one: a word is likely behind one with an earlier letter."""

    order = 2

    def __init__(self, path: str) -> None:
        self.path = path.encode()
        self.shares = json.loads(Path(path).read_text())

    def BeginSentenceWrite(self, state: Any) -> None:  # noqa: N802
        state.word = "a"

    NullContextWrite = BeginSentenceWrite

    def BaseScore(self, before: Any, word: str, after: Any) -> float:  # noqa: N802
        after.word = word
        return float(self.shares[word[:1] > before.word[:1]])

    def __contains__(self, word: str) -> bool:
        return len(word) < 3


class State:
    """What was said before."""

    word = ""

    def __hash__(self) -> int:
        return hash(self.word)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self.word == other.word


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the reference's processor writes, with a model of two-word sequences beside it."""
    import pyctcdecode

    kenlm = types.ModuleType("kenlm")
    kenlm.Model, kenlm.State = Bigrams, State  # type: ignore[attr-defined]
    kenlm.__spec__ = types.SimpleNamespace(name="kenlm")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "kenlm", kenlm)
    for name in ("decoder", "language_model"):
        monkeypatch.setattr(getattr(pyctcdecode, name), "kenlm", kenlm, raising=False)
    model = tmp_path / "words.arpa"
    model.write_text(json.dumps([-3.0, -0.5]))
    letters = tmp_path / "vocab.json"
    letters.write_text(json.dumps({sign: i for i, sign in enumerate(SIGNS)}))
    decoder = pyctcdecode.build_ctcdecoder(
        [{"<pad>": "", "|": " ", "<unk>": "⁇"}.get(sign, sign) for sign in SIGNS],
        str(model),
        unigrams=["ab", "ha", "de", "c", "fg"],
    )
    made = transformers.Wav2Vec2ProcessorWithLM(
        transformers.Wav2Vec2FeatureExtractor(), transformers.Wav2Vec2CTCTokenizer(str(letters)), decoder
    )
    made.save_pretrained(tmp_path / "made")
    return tmp_path / "made"


def _logits(*lengths: int) -> Any:
    draw = np.random.default_rng(3)
    made = draw.normal(size=(len(lengths), max(lengths), len(SIGNS))).astype(np.float32) * 2
    made[..., 1:4] -= 20
    for row, length in zip(made, lengths, strict=True):
        row[length:] = -100
    return made


def test_texts_scores_and_words_are_those_of_the_reference(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = importlib.import_module("transformers.models.wav2vec2_with_lm.processing_wav2vec2_with_lm")
    monkeypatch.setattr(reference, "is_kenlm_available", lambda: True)
    theirs = reference.Wav2Vec2ProcessorWithLM.from_pretrained(folder)
    ours = formers.AutoProcessor.from_pretrained(folder)
    assert type(ours).__name__ == "Wav2Vec2ProcessorWithLM"
    ours.save_pretrained(tmp_path / "again")
    ours.save_pretrained(tmp_path / "again")  # in the place of what is there
    again = reference.Wav2Vec2ProcessorWithLM.from_pretrained(tmp_path / "again")
    logits = _logits(30, 22)
    for row in (
        {},
        {"n_best": 3, "beam_width": 20, "output_word_offsets": True},
        {"hotwords": ["hab"], "hotword_weight": 30.0, "output_word_offsets": True},
        {"alpha": 2.0, "beta": -1.0, "unk_score_offset": -2.0},
        {"token_min_logp": -2.0, "beam_prune_logp": -5.0, "lm_score_boundary": False},
    ):
        expected = [dict(one.decode(logits[0], **row)) for one in (theirs, again)]
        assert expected[0] == expected[1] == dict(ours.decode(torch.from_numpy(logits[0]), **row))
        whole = dict(theirs.batch_decode(logits, num_processes=1, **row))
        assert whole == dict(ours.batch_decode(logits, **row))
    assert dict(ours.batch_decode(logits, num_processes=2)) == dict(ours.batch_decode(logits))
    lighter = [one.from_pretrained(folder, alpha=0.1, beta=3.0) for one in (type(theirs), type(ours))]
    assert dict(lighter[0].decode(logits[0])) == dict(lighter[1].decode(logits[0]))
    assert lighter[1].language_model.beta == 3.0


def test_a_pipeline_takes_the_language_model_beside_its_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    waves = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 4), "num_conv_pos_embeddings": 4}
    config = formers.Wav2Vec2Config(
        vocab_size=len(SIGNS), num_conv_pos_embedding_groups=2, **sizes, **waves, initializer_range=2.0
    )
    formers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "feature_extractor_type": "Wav2Vec2FeatureExtractor",
                "processor_class": "Wav2Vec2ProcessorWithLM",
            }
        )
    )
    wave = np.random.default_rng(0).normal(size=3200).astype(np.float32)
    pipe = formers.pipeline("automatic-speech-recognition", model=str(folder))
    assert pipe.type == "ctc_with_lm"
    theirs = transformers.AutomaticSpeechRecognitionPipeline(
        model=transformers.Wav2Vec2ForCTC.from_pretrained(folder),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
        feature_extractor=transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder),
        decoder=formers.Wav2Vec2ProcessorWithLM.from_pretrained(folder).decoder,
    )
    answer = pipe(wave, return_timestamps="word")
    assert answer["text"]
    assert answer == theirs(wave, return_timestamps="word")
    processor = formers.AutoProcessor.from_pretrained(folder)
    given = formers.AutomaticSpeechRecognitionPipeline(model=pipe.model, processor=processor)
    assert given(wave, return_timestamps="word") == answer
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.warns(UserWarning, match=r"spelled without it: `kenlm` is needed.*formers\[ctc-lm\]"):
        plain = formers.pipeline("automatic-speech-recognition", model=str(folder))
    assert plain.type == "ctc"


def test_what_does_not_fit_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = formers.Wav2Vec2ProcessorWithLM.from_pretrained(folder)
    parts = (ours.feature_extractor, ours.tokenizer)
    with pytest.raises(TypeError, match=r"BeamSearchDecoderCTC as decoder=, not str: .*build_ctcdecoder"):
        formers.Wav2Vec2ProcessorWithLM(*parts, "decoder")
    ours.tokenizer.add_tokens(["z"])
    with pytest.raises(ValueError, match=r"alphabet lacks \['z'\]"):
        formers.Wav2Vec2ProcessorWithLM(*parts, ours.decoder)
    with pytest.raises(ValueError, match="at least one, not 0"):
        ours.decode(_logits(3)[0], n_best=0)
    with pytest.raises(ValueError, match="leave num_processes out"):
        ours.batch_decode(_logits(3), pool=object(), num_processes=2)
    monkeypatch.setitem(sys.modules, "pyctcdecode", None)
    with pytest.raises(ImportError, match=r"pip install 'formers\[ctc-lm\]'"):
        formers.Wav2Vec2ProcessorWithLM(*parts, ours.decoder)
