"""What surrounds SeamlessM4T beside the reference: its tokenizer, its processor and its pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from parity.tokenization_samples import AWKWARD, SENTENCES, write_json, write_sentencepiece
from tests.parity.voice_shapes import SPOKEN

LANGUAGES = ("eng", "fra", "deu", "swh")
TABLES = ("text_decoder_lang_to_code_id", "t2u_lang_code_to_id", "vocoder_lang_code_to_id")
TOKENS = [f"__{code}__" for code in LANGUAGES]
# the reference normalizes in a way of its own, where here the file's own table is obeyed; and the library
# drops a mark that stands behind a combined letter
ODD = ("combining accents", "control characters", "byte order mark", "special tokens in the text")
PLAIN = [*(text for name, text in AWKWARD.items() if name not in ODD), *SENTENCES]
ONE, OTHER = SENTENCES[0], SENTENCES[14]
SAMPLES = np.random.default_rng(0).normal(0, 0.1, 9_000).astype("f4")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole model, its tokenizer and its feature extractor, as the reference writes them."""
    folder = tmp_path_factory.mktemp("translator")
    pieces = write_sentencepiece(
        folder / "pieces" / "sentencepiece.bpe.model",
        vocab_size=260,
        model_type="bpe",
        character_coverage=1.0,
    )
    made = formers.SeamlessM4TTokenizer(vocab_file=pieces, additional_special_tokens=TOKENS)
    made.save_pretrained(folder)
    tokenizer = transformers.SeamlessM4TTokenizer.from_pretrained(folder)
    extractor = transformers.SeamlessM4TFeatureExtractor()
    transformers.SeamlessM4TProcessor(extractor, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {**SPOKEN["seamless_m4t"], "vocab_size": len(tokenizer), "feature_projection_input_dim": 160}
    model = transformers.SeamlessM4TModel(transformers.SeamlessM4TConfig(**sizes, sampling_rate=8_000)).eval()
    for name, value in model.state_dict().items():
        if value.is_floating_point() and "running_var" not in name:
            value.add_(torch.randn_like(value) * 0.05)
        if name.endswith("dur_predictor.proj.bias"):  # else every unit is as short as can be
            value.fill_(1.2)
    ids = dict(zip(LANGUAGES, tokenizer.convert_tokens_to_ids(TOKENS), strict=True))
    for name, known in zip(TABLES, (ids, {"fra": 8, "deu": 10}, {"fra": 2, "deu": 3}), strict=True):
        setattr(model.generation_config, name, known)
    model.generation_config.max_new_tokens = 8
    model.save_pretrained(folder)
    return folder


def _same(found: Any, expected: Any) -> None:
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(np.asarray(found[name]), np.asarray(expected[name]), atol=1e-4)


def test_texts_and_targets_are_cut_and_marked_as_the_references(home: Path, tmp_path: Path) -> None:
    import sentencepiece

    pieces = home / "pieces" / "sentencepiece.bpe.model"
    library = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    (tmp_path / pieces.name).write_bytes(pieces.read_bytes())
    options = {"special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    added = {str(261 + index): {"content": token, **options} for index, token in enumerate(TOKENS)}
    settings = {"tokenizer_class": "SeamlessM4TTokenizer", "src_lang": "deu", "added_tokens_decoder": added}
    write_json(tmp_path / "tokenizer_config.json", settings)
    for folder in (home, tmp_path):  # a tokenizer.json; a SentencePiece file and which languages there are
        theirs, ours = (one.AutoTokenizer.from_pretrained(folder) for one in (transformers, formers))
        assert type(ours) is formers.SeamlessM4TTokenizer
        for text in PLAIN:
            expected = theirs(text)["input_ids"]
            assert ours(text)["input_ids"] == expected, text
            assert expected[1:-1] == [piece + 1 for piece in library.encode(text)], text
        for call in (
            {"text": ONE, "text_target": OTHER},
            {"text": [ONE, "a"], "src_lang": "fra", "padding": True},
            {"text": ONE, "text_pair": OTHER},
            {"text_target": ONE, "tgt_lang": "__swh__"},
            {"text": ONE, "text_target": OTHER},  # languages stay
        ):
            assert dict(ours(**call)) == dict(theirs(**call))
            assert (ours.src_lang, ours.tgt_lang) == (theirs.src_lang, theirs.tgt_lang)
        assert (ours.prefix_tokens, ours.suffix_tokens) == (theirs.prefix_tokens, theirs.suffix_tokens)
        given = {"return_tensors": None, "src_lang": "deu", "tgt_lang": "eng"}
        marked = ours._build_translation_inputs(ONE, **given), theirs._build_translation_inputs(ONE, **given)
        assert dict(marked[0]) == dict(marked[1])
        older = {"src_texts": [ONE], "tgt_texts": [OTHER], "src_lang": "eng", "tgt_lang": "fra"}
        made = ours.prepare_seq2seq_batch(**older, max_length=512)  # targets are marked as such here
        assert dict(made) == dict(theirs([ONE], text_target=[OTHER], src_lang="eng", tgt_lang="fra"))
    ids = ours(text_target=ONE)["input_ids"]
    assert ours.decode(ids, skip_special_tokens=True) == ONE
    with pytest.raises(ValueError, match="'swe' is no language of this tokenizer.*__eng__, __fra__"):
        ours(ONE, src_lang="swe")


def test_one_part_of_the_processor_reads(home: Path) -> None:
    theirs, ours = (one.AutoProcessor.from_pretrained(home) for one in (transformers, formers))
    assert type(ours).__name__ == "SeamlessM4TProcessor"
    _same(ours(ONE, src_lang="fra"), theirs(ONE, src_lang="fra"))
    _same(
        ours([ONE, OTHER], src_lang="deu", tgt_lang="eng", padding=True),
        theirs([ONE, OTHER], src_lang="deu", tgt_lang="eng", padding=True),
    )
    sounds = {"audio": [SAMPLES, SAMPLES[:5_000]], "sampling_rate": 16_000}
    _same(ours(**sounds, return_tensors="np"), theirs(**sounds, return_tensors="np"))
    labels = ours(**sounds, text_target=[ONE, OTHER], tgt_lang="deu", return_tensors="pt")["labels"]
    wanted = theirs.tokenizer(text_target=[ONE, OTHER], tgt_lang="deu", padding=True, return_tensors="pt")
    assert torch.equal(labels, wanted["input_ids"])
    with pytest.raises(ValueError, match="a call reads one of them; a transcript .* is text_target="):
        ours(ONE, audio=SAMPLES)
    with pytest.raises(ValueError, match="needs text=, audio= or text_target="):
        ours()
    with pytest.raises(TypeError, match="text= takes texts, not a ndarray: sounds are audio="):
        ours(SAMPLES)


@pytest.mark.filterwarnings("ignore")  # the reference speaks of its own older names
def test_pipelines_write_and_speak_as_models_do(home: Path) -> None:
    theirs = transformers.SeamlessM4TModel.from_pretrained(home).eval()
    tables = formers.GenerationConfig.from_pretrained(home)  # the reference leaves them out
    for name in TABLES:
        setattr(theirs.generation_config, name, getattr(tables, name))
    processor = transformers.AutoProcessor.from_pretrained(home)
    translate = formers.pipeline("translation", model=str(home), device="cpu", src_lang="eng", tgt_lang="swh")
    # of the 8 tokens that the pipeline writes the language is the first
    settings = {"generate_speech": False, "num_beams": 4, "max_new_tokens": 7}
    read = processor(ONE, src_lang="deu", return_tensors="pt")
    ids = theirs.generate(**read, tgt_lang="fra", **settings).sequences
    said = processor.decode(ids[0], skip_special_tokens=True)
    assert translate(ONE, src_lang="deu", tgt_lang="fra") == [{"translation_text": said}]
    with pytest.raises(ValueError, match="'xyz' is no language of this tokenizer"):
        translate(ONE, tgt_lang="xyz")

    hear = formers.pipeline("automatic-speech-recognition", model=str(home), device="cpu")
    read = processor(audio=SAMPLES, sampling_rate=16_000, return_tensors="pt")
    ids = theirs.generate(**read, tgt_lang="deu", generate_speech=False, num_beams=5).sequences
    said = processor.decode(ids[0], skip_special_tokens=True)
    assert hear(SAMPLES, generate_kwargs={"tgt_lang": "deu"})["text"] == said

    speak = formers.pipeline("text-to-speech", model=str(home), device="cpu")
    read = processor([ONE], src_lang="eng", return_tensors="pt")
    said_as = {"tgt_lang": "deu", "spkr_id": 2, "speech_max_new_tokens": 24}
    waves, lengths = theirs.generate(**read, **said_as)
    given = {"preprocess_params": {"src_lang": "eng"}, "forward_params": said_as}
    found = speak(ONE, **given)
    assert found["sampling_rate"] == 8_000
    np.testing.assert_allclose(found["audio"], waves[0, : int(lengths)].numpy(), atol=1e-5)
    read = processor([ONE, "a"], src_lang="eng", padding=True, return_tensors="pt")
    waves, lengths = theirs.generate(**read, **said_as)
    for one, wave, length in zip(speak([ONE, "a"], batch_size=2, **given), waves, lengths, strict=True):
        np.testing.assert_allclose(one["audio"], wave[: int(length)].numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="which language to speak"):
        speak(ONE)
    with pytest.raises(ValueError, match="'swh' is none of the languages in t2u_lang_code_to_id"):
        speak(ONE, forward_params={"tgt_lang": "swh"})
