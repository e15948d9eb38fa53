"""SeamlessM4T beside the reference, from the same files: texts and speech, translated into either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import formers
from formers.training.optim import parameter_order
from tests.parity.test_hooks import outputs
from tests.parity.voice_shapes import SPOKEN

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
SIZES = SPOKEN["seamless_m4t"]
LANGUAGES = {
    "text_decoder_lang_to_code_id": {"fra": 7, "deu": 9, "swh": 11},
    "t2u_lang_code_to_id": {"fra": 8, "deu": 10},
    "vocoder_lang_code_to_id": {"fra": 2, "deu": 3},
}
IDS = torch.tensor([[4, 5, 6, 7, 30, 9, 3], [8, 9, 3, 0, 0, 0, 0], [90, 40, 41, 42, 3, 0, 0]])
SAID = torch.tensor([[3, 7, 60, 61, 62], [3, 7, 63, 3, 3], [3, 7, 80, 81, 82]])
Two = tuple[Any, Any]


def text() -> dict[str, Tensor]:
    """Three texts, two of them padded."""
    return {"input_ids": IDS, "attention_mask": IDS.ne(0).long()}


def speech() -> dict[str, Tensor]:
    """Three sounds, one of them padded."""
    mask = torch.ones(3, 19, dtype=torch.long)
    mask[1, 13:] = 0
    made = torch.randn(3, 19, 10, generator=torch.Generator().manual_seed(0))
    return {"input_features": made, "attention_mask": mask}


def states() -> dict[str, Tensor]:
    """States of three texts, of which units are written."""
    return {
        "inputs_embeds": torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(0)),
        "attention_mask": IDS.ne(0).long(),
    }


UNITS = "SeamlessM4TTextToUnitForConditionalGeneration"
WRITE = {"SeamlessM4TForTextToText": text, "SeamlessM4TForSpeechToText": speech}
SPEAK = {"SeamlessM4TForTextToSpeech": text, "SeamlessM4TForSpeechToSpeech": speech}
READ = {**WRITE, **SPEAK, UNITS: states, "SeamlessM4TModel": text}
SAID_UNITS = SAID.clamp(max=59)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for checkpoints."""
    return tmp_path_factory.mktemp("translating")


@pytest.fixture(scope="module")
def pairs(home: Path) -> Any:
    """Name of a class -> the reference's model and ours, from one folder; made once."""
    made: dict[str, Two] = {}

    def of(name: str, **values: Any) -> Two:
        key = f"{name} {values}"
        if key not in made:
            torch.manual_seed(0)
            config = transformers.SeamlessM4TConfig(**{**SIZES, **values})
            theirs = getattr(transformers, name)(config).eval()
            for part, value in theirs.state_dict().items():
                if value.is_floating_point() and "running_var" not in part:
                    value.add_(torch.randn_like(value) * 0.05)
                if part.endswith("dur_predictor.proj.bias"):  # else every unit is as short as can be
                    value.fill_(1.2)
            if theirs.can_generate():
                for table, known in LANGUAGES.items():
                    setattr(theirs.generation_config, table, known)
            folder = home / key
            theirs.save_pretrained(folder)
            made[key] = theirs, getattr(formers, name).from_pretrained(folder)
            assert made[key][0].state_dict().keys() == made[key][1].state_dict().keys()
        return made[key]

    return of


def alike(expected: Any, found: Any) -> None:
    """The same records at what is real."""
    kept = {7: IDS.ne(0), 19: speech()["attention_mask"].bool(), 5: torch.ones(3, 5).bool()}
    for name, value in expected.items():
        if name == "past_key_values":
            continue
        each = value if isinstance(value, tuple) else (value,)
        ours = found[name] if isinstance(value, tuple) else (found[name],)
        assert len(each) == len(ours), name
        for one, other in zip(each, ours, strict=True):
            if name.startswith("encoder") and one.dim() == 3 and name != "encoder_last_hidden_state":
                one, other = one[kept[one.shape[1]]], other[kept[one.shape[1]]]
            elif name == "encoder_last_hidden_state" and one.shape[1] == 7:
                one, other = one[kept[7]], other[kept[7]]
            elif name == "encoder_attentions":
                rows = kept[one.shape[2]][:, None].expand(one.shape[:3])
                one, other = one[rows], other[rows]
            torch.testing.assert_close(other, one, **TOLERANCE, msg=name)


@pytest.mark.parametrize("name", READ)
@torch.no_grad()
def test_every_head_computes_what_the_references_does(pairs: Any, name: str) -> None:
    given = {**READ[name](), "decoder_input_ids": SAID_UNITS, "output_hidden_states": True}
    sides = pairs(name)
    for model in sides:
        model.set_attn_implementation("eager")
    expected, found = (model(**given, output_attentions=True) for model in sides)
    alike(expected, found)
    for model in sides:
        model.set_attn_implementation("sdpa")
    handle = sides[1].get_encoder().register_forward_hook(lambda *_: None)  # now nothing is left out
    torch.testing.assert_close(sides[1](**given).logits, found.logits, **TOLERANCE)
    handle.remove()


@torch.no_grad()
def test_places_may_turn_what_is_heard(pairs: Any) -> None:
    given = {**speech(), "decoder_input_ids": SAID}
    sides = pairs("SeamlessM4TForSpeechToText", position_embeddings_type="rotary", num_adapter_layers=1)
    expected, found = (model(**given) for model in sides)
    torch.testing.assert_close(found.logits, expected.logits, **TOLERANCE)
    sides[1].set_attn_implementation("eager")
    looked = sides[1](**given, output_attentions=True)
    torch.testing.assert_close(looked.logits, expected.logits, **TOLERANCE)


HOLDS = [*WRITE, UNITS, "SeamlessM4TModel"]  # what the others have too


@pytest.mark.parametrize("name", HOLDS)
def test_every_hook_that_fires_in_the_reference_fires_here(pairs: Any, name: str) -> None:
    expected, found = (
        outputs(model, {**READ[name](), "decoder_input_ids": SAID_UNITS}) for model in pairs(name)
    )
    expected.pop("speech_encoder.encoder.embed_positions", None)  # sinusoids of distances: no node here
    assert {one: found.get(one) for one in expected} == expected


@pytest.mark.parametrize("name", WRITE)
def test_losses_and_gradients_are_the_references(pairs: Any, name: str) -> None:
    learned = []
    for model in pairs(name):
        loss = model(**READ[name](), labels=SAID_UNITS.masked_fill(SAID == 3, -100)).loss
        loss.backward()
        learned.append((loss.detach(), {key: p.grad for key, p in model.named_parameters()}))
        model.zero_grad()
    (expected, theirs), (found, ours) = learned
    torch.testing.assert_close(found, expected, **TOLERANCE)
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        assert (value is None) == (ours[key] is None), key
        if value is not None:
            torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=1e-4, msg=key)


@pytest.mark.parametrize("name", HOLDS)
def test_what_is_saved_is_what_was_read(pairs: Any, home: Path, tmp_path: Path, name: str) -> None:
    theirs, ours = pairs(name)
    ours.save_pretrained(tmp_path)
    file = "model.safetensors"
    assert (tmp_path / file).read_bytes() == (home / f"{name} {{}}" / file).read_bytes()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    names = parameter_order.to_file(optimizer, ours)["param_groups"][0]["param_names"]
    assert names == [key for key, _ in theirs.named_parameters()]


WORDS = {"max_new_tokens": 8, "min_new_tokens": 8, "no_repeat_ngram_size": 1}  # it would repeat itself


@pytest.mark.parametrize("name", WRITE)
@torch.no_grad()
def test_translations_are_the_references_token_for_token(pairs: Any, name: str) -> None:
    for how in ({"tgt_lang": "fra"}, {"tgt_lang": "__swh__", "num_beams": 3}, {"decoder_input_ids": SAID}):
        expected, found = (model.generate(**READ[name](), **WORDS, **how) for model in pairs(name))
        assert torch.equal(found, expected)
        assert len(set(expected.flatten().tolist())) > 3


def test_languages_that_the_model_does_not_know_are_refused(pairs: Any) -> None:
    _, model = pairs("SeamlessM4TForTextToText")
    with pytest.raises(ValueError, match=r"'fro' is none of the languages .*fra"):
        model.generate(**text(), tgt_lang="fro")
    with pytest.raises(ValueError, match="nothing to translate: pass input_ids"):
        model.generate(tgt_lang="fra")
    with pytest.raises(TypeError, match="the code of one language"):
        model.generate(**text(), tgt_lang=["fra"])
    with pytest.raises(ValueError, match="a text and speech|reads speech or a text"):
        pairs("SeamlessM4TModel")[1](**text(), input_features=speech()["input_features"])
    _, speaks = pairs("SeamlessM4TForTextToSpeech")
    with pytest.raises(ValueError, match="which language to speak"):
        speaks.generate(**text())
    with pytest.raises(ValueError, match="'swh' is none of the languages in t2u_lang_code_to_id"):
        speaks.generate(**text(), tgt_lang="swh")
    with pytest.raises(ValueError, match="spkr_id=3 is none of this model's 3 voices: 0 to 2"):
        speaks.generate(**text(), tgt_lang="fra", spkr_id=3)
    with pytest.raises(TypeError, match="spkr_id is the number of a voice, from 0 to 2, not 'bob'"):
        speaks.generate(**text(), tgt_lang="fra", speaker_id="bob")


@torch.no_grad()
def test_units_are_the_references(pairs: Any) -> None:
    expected, found = (model.generate(**states(), num_beams=2, **WORDS) for model in pairs(UNITS))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("count", [1, 3])
@torch.no_grad()
def test_units_are_said_as_by_the_reference(pairs: Any, count: int) -> None:
    ids = torch.tensor([[5, 6, 7, 8, 1, 1], [9, 9, 10, 11, 12, 13], [20, 30, 1, 1, 1, 1]])[:count]
    one = torch.ones(count, 1, dtype=torch.long)
    (waves, lengths), (found, ends) = (model(ids, one, 2 * one) for model in pairs("SeamlessM4TCodeHifiGan"))
    torch.testing.assert_close(found, waves, **TOLERANCE)
    assert torch.equal(ends, lengths)
    assert found.shape[1] > 36  # some units last longer than others


BOTH = [*SPEAK.items(), ("SeamlessM4TModel", text), ("SeamlessM4TModel", speech)]


@pytest.mark.parametrize(("name", "read"), BOTH)
@torch.no_grad()
def test_speech_in_another_language_is_the_references(pairs: Any, name: str, read: Any) -> None:
    for how in ({}, {"text_num_beams": 2, "speech_num_beams": 2, "spkr_id": 1}):
        given = {**read(), **WORDS, **how, "tgt_lang": "deu", "return_intermediate_token_ids": True}
        given["speech_suppress_tokens"] = [0, 3]  # which are no sounds
        expected, found = (model.generate(**given) for model in pairs(name))
        assert torch.equal(found.sequences, expected.sequences)
        assert torch.equal(found.unit_sequences, expected.unit_sequences)
        assert torch.equal(found.waveform_lengths, expected.waveform_lengths)
        torch.testing.assert_close(found.waveform, expected.waveform, **TOLERANCE)


@torch.no_grad()
def test_a_whole_model_writes_too_and_parts_are_read_from_its_files(pairs: Any, home: Path) -> None:
    theirs, ours = pairs("SeamlessM4TModel")
    for read in (text, speech):
        given = {**read(), **WORDS, "tgt_lang": "fra", "generate_speech": False}
        expected, found = (model.generate(**given).sequences for model in (theirs, ours))
        assert torch.equal(found, expected)
    folder = home / "SeamlessM4TModel {}"
    for name, read in {**WRITE, **SPEAK}.items():
        part = getattr(formers, name).from_pretrained(folder)
        given = {**read(), "decoder_input_ids": SAID}
        torch.testing.assert_close(part(**given).logits, ours(**given).logits, **TOLERANCE)
    autos = (formers.AutoModel, formers.AutoModelForSeq2SeqLM, formers.AutoModelForSpeechSeq2Seq)
    for auto in (*autos, formers.AutoModelForTextToWaveform):
        expected = getattr(transformers, auto.__name__).from_config(theirs.config)
        assert type(auto.from_config(ours.config)).__name__ == type(expected).__name__
