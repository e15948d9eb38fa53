"""Speech in stages, beside the reference: what stages score, what they say, voices, and the pipeline."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import formers
from formers.core.notices import Notice
from system.cli_command import in_this_process
from tests.parity.voice_shapes import STAGED

HOW: dict[str, Any] = {
    "semantic_config": {
        **{"eos_token_id": 40, "max_new_tokens": 14, "text_encoding_offset": 60, "text_pad_token": 198},
        **{"semantic_infer_token": 199, "semantic_vocab_size": 40, "max_input_semantic_length": 12},
    },
    "coarse_acoustics_config": {
        **{"coarse_semantic_pad_token": 110, "coarse_infer_token": 111, "max_coarse_input_length": 10},
        **{"max_coarse_history": 30, "sliding_window_len": 8},
    },
    "fine_acoustics_config": {
        **{"max_fine_history_length": 16, "max_fine_input_length": 32, "n_fine_codebooks": 4},
    },
    "codebook_size": 32,
    "sample_rate": 16_000,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "morning", "hello", "##s", "!"]
PARTS = {"semantic": "Semantic", "coarse_acoustics": "Coarse"}


def voice() -> dict[str, Any]:
    """Arrays."""
    draw = np.random.default_rng(0)
    shapes = {"semantic_prompt": (23,), "coarse_prompt": (2, 37), "fine_prompt": (4, 37)}
    return {name: draw.integers(0, 32, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, its tokenizer, and a voice."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("bark")
    model = transformers.BarkModel(transformers.BarkConfig(**STAGED["bark"])).eval()
    for name, value in model.state_dict().items():
        if name.endswith("embed"):
            value.normal_()
        elif name.startswith("codec") and value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.05)
    model.generation_config = transformers.GenerationConfig(**HOW)
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(WORDS))
    (path / "voices").mkdir()
    listed = {}
    for name, array in voice().items():
        np.save(path / "voices" / f"{name}.npy", array)
        listed[name] = f"voices/{name}.npy"
    tokenizer = transformers.BertTokenizer(str(path / "vocab.txt"))
    processor = transformers.BarkProcessor(tokenizer, {"repo_or_path": str(path), "v2/en": listed})
    processor.save_pretrained(str(path))
    return path


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Any, Any]:
    """The reference's model and ours."""
    return transformers.BarkModel.from_pretrained(folder).eval(), formers.AutoModel.from_pretrained(folder)


def _ids() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(1, 130, (2, 12), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return ids, mask


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"voice": True},
        {"voice": True, "min_eos_p": 0.03, "return_output_lengths": True},
        {"semantic_max_new_tokens": 40, "fine_temperature": 1.0},
        {"semantic_do_sample": False, "coarse_repetition_penalty": 1.3, "max_length": None},
    ],
    ids=["plain", "a voice", "ends early", "several windows", "settings of stages"],
)
def test_texts_are_said_as_in_the_reference(pair: tuple[Any, Any], given: dict[str, Any]) -> None:
    ids, mask = _ids()
    given = dict(given)
    if given.pop("voice", False):
        given["history_prompt"] = {name: torch.from_numpy(one) for name, one in voice().items()}
    expected, found = (model.generate(ids, attention_mask=mask, **copy.deepcopy(given)) for model in pair)
    if "return_output_lengths" in given:
        assert found[1] == expected[1]
        assert len(set(found[1])) == 2
        found, expected = found[0], expected[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_stages_score_as_the_references(pair: tuple[Any, Any], part: str) -> None:
    theirs, ours = (getattr(model, part) for model in pair)
    ids, mask = _ids()
    assert type(ours).__name__ == type(theirs).__name__
    for given in ({"input_ids": ids % 60}, {"input_ids": ids % 60, "attention_mask": mask}):
        asked = {"output_hidden_states": True, "output_attentions": True, "use_cache": True}
        expected, found = (model(**given, **asked) for model in (theirs, ours))
        real = mask.bool() if "attention_mask" in given else torch.ones_like(mask).bool()
        for one, two in (
            (found.logits, expected.logits),
            *zip(found.hidden_states, expected.hidden_states, strict=True),
        ):
            torch.testing.assert_close(one[real], two[real], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.attentions[0][0], expected.attentions[0][0], atol=1e-5, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="is not trained here"):
        ours(ids % 60, labels=ids)


def test_fine_codes_are_scored_as_in_the_reference(pair: tuple[Any, Any]) -> None:
    theirs, ours = (model.fine_acoustics for model in pair)
    codes = torch.randint(0, 33, (2, 9, 4), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, 6:] = 0
    for book in (1, 2, 3):
        expected, found = (
            model(book, codes, attention_mask=mask, output_hidden_states=True) for model in (theirs, ours)
        )
        torch.testing.assert_close(found.logits[mask > 0], expected.logits[mask > 0], atol=1e-5, rtol=1e-5)
        last = [one.hidden_states[-1][mask > 0] for one in (found, expected)]
        torch.testing.assert_close(*last, atol=1e-5, rtol=1e-5)
    assert ours.lm_heads[0].weight is ours.input_embeds_layers[1].weight
    for book, says in ((0, "codebook_idx is a book that is predicted, from 1 to 3"), (4, "not 4")):
        with pytest.raises(ValueError, match=says):
            ours(book, codes)


def test_files_are_read_by_the_reference(pair: tuple[Any, Any], tmp_path: Path) -> None:
    theirs, ours = pair
    held = {name for name in theirs.state_dict() if not name.endswith("attn.bias")}  # masks, which follow
    assert set(ours.state_dict()) == held
    ours.save_pretrained(tmp_path)
    again = transformers.BarkModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(again[name], value) for name, value in theirs.state_dict().items())
    assert ours.generation_config.codebook_size == 32
    kept = formers.GenerationConfig.from_pretrained(tmp_path)
    assert kept.semantic_config == HOW["semantic_config"]


def test_a_stage_is_a_model_of_its_own(pair: tuple[Any, Any], tmp_path: Path) -> None:
    pair[0].semantic.save_pretrained(tmp_path)
    ours = formers.AutoModel.from_pretrained(tmp_path)
    assert type(ours) is formers.BarkSemanticModel
    ids = _ids()[0] % 60
    torch.testing.assert_close(ours(ids).logits, pair[0].semantic(ids).logits, atol=1e-5, rtol=1e-5)


def test_settings_of_stages_are_the_references() -> None:
    from transformers.models.bark import generation_configuration_bark as their_module

    from formers.models.bark import generation_configuration_bark as ours_module

    for name in ("Semantic", "Coarse", "Fine"):
        theirs, ours = (
            getattr(module, f"Bark{name}GenerationConfig")() for module in (their_module, ours_module)
        )
        for field, value in vars(theirs).items():
            if not field.startswith("_") and value is not None and field != "transformers_version":
                assert getattr(ours, field) == value, (name, field)
    whole = ours_module.BarkGenerationConfig(semantic_config={"max_new_tokens": 5})
    assert whole.semantic_config.max_new_tokens == 5
    assert whole.to_dict()["coarse_acoustics_config"]["coarse_infer_token"] == 12_050


def test_texts_and_voices_are_prepared_as_in_the_reference(folder: Path, tmp_path: Path) -> None:
    theirs, ours = (library.AutoProcessor.from_pretrained(folder) for library in (transformers, formers))
    assert ours.available_voice_presets == theirs.available_voice_presets == ["v2/en"]
    np.savez(tmp_path / "mine.npz", **voice())
    for told in (None, "v2/en", voice(), str(tmp_path / "mine")):
        given = {"voice_preset": told, "max_length": 12}
        expected, found = (one(["good morning", "hellos !"], **given) for one in (theirs, ours))
        assert set(found) == set(expected)
        for name in ("input_ids", "attention_mask"):
            assert torch.equal(found[name], expected[name])
        for name, value in expected.get("history_prompt", {}).items():
            assert torch.equal(found["history_prompt"][name], value)
    ours.save_pretrained(tmp_path / "kept")
    again = transformers.BarkProcessor.from_pretrained(str(tmp_path / "kept"))
    found = again("good", voice_preset="v2/en")["history_prompt"]["fine_prompt"]
    assert torch.equal(found, torch.from_numpy(voice()["fine_prompt"]))


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("nobody", "there is no voice 'nobody'.* this model's are v2/en"),
        ({"semantic_prompt": np.zeros(3, int)}, "its coarse_prompt is an array of 2 axes, not NoneType"),
        (
            {**voice(), "fine_prompt": np.zeros(3, int)},
            "its fine_prompt is an array of 2 axes, not an arr",
        ),
        (3, "a voice is a name, a file or arrays by name, not int"),
    ],
)
def test_what_is_no_voice_is_refused(folder: Path, told: Any, says: str) -> None:
    processor = formers.BarkProcessor.from_pretrained(folder)
    with pytest.raises((OSError, ValueError), match=says):
        processor("good", voice_preset=told)


def test_voices_lie_beside_their_list(folder: Path) -> None:
    processor = formers.BarkProcessor.from_pretrained(folder)
    processor.speaker_embeddings["v2/en"]["fine_prompt"] = "../secret.npy"
    with pytest.raises(ValueError, match="names a file outside its folder"):
        processor("good", voice_preset="v2/en")


def test_the_pipeline_and_the_command_speak(
    folder: Path, pair: tuple[Any, Any], tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    ours = formers.pipeline("text-to-speech", model=str(folder), device="cpu")
    found = ours("good morning")
    tokenizer = transformers.BarkProcessor.from_pretrained(folder)
    expected = pair[0].generate(**tokenizer("good morning", max_length=12))
    assert found["sampling_rate"] == 16_000
    np.testing.assert_allclose(found["audio"], expected[0].numpy(), atol=1e-5)
    assert type(formers.AutoModelForTextToWaveform.from_pretrained(folder)) is formers.BarkModel
    run, path = in_this_process(capsys, monkeypatch), tmp_path / "said.wav"
    status, _, told = run(
        "speak", "-m", folder, "--voice", "v2/en", "--device", "cpu", "-o", path, "good morning"
    )
    assert (status, path.exists()) == (0, True), told
    status, _, told = run("speak", "-m", folder, "--voice", "none", "--device", "cpu", "-o", path, "good")
    assert status != 0
    assert "there is no voice 'none'" in told


def test_what_cannot_be_said_is_refused(pair: tuple[Any, Any]) -> None:
    ours, (ids, _) = pair[1], _ids()
    with pytest.raises(ValueError, match="BarkModel speaks texts"):
        ours.generate()
    with pytest.raises(ValueError, match="input_ids are .B, 12., texts padded to that length"):
        ours.generate(ids[:, :5])
    with pytest.raises(NotImplementedError, match=r"call generate\(\)"):
        ours(ids)
    with pytest.raises(ValueError, match="history_prompt is a voice with a 'semantic_prompt'"):
        ours.generate(ids, history_prompt={})
    with pytest.raises(TypeError, match="temprature"):
        ours.generate(ids, fine_temprature=2.0)
    with pytest.raises(ValueError, match="semantic_generation_config says how this stage goes on"):
        ours.semantic.generate(ids)
    with pytest.warns(Notice, match="the text has 15 tokens and the model reads 12"):
        ours.generate(torch.cat((ids, ids[:, :3]), dim=1))
