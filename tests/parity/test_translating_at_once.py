"""SeamlessM4T v2 beside the reference, from the same files: its speech is written all at once, by letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.seamless_m4t_v2 import modeling_seamless_m4t_v2 as reference

import formers
from formers.training.optim import parameter_order
from tests.parity.test_hooks import outputs
from tests.parity.test_translating import IDS, SAID, alike, speech, text
from tests.parity.voice_shapes import SPOKEN

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
SIZES = SPOKEN["seamless_m4t_v2"]
PIECES = ["▁a", "b", ",", ".", "▁", "▁cde", "12", "▁f", "!", "gh"]
SETTINGS = {
    "text_decoder_lang_to_code_id": {"fra": 7, "deu": 9},
    "t2u_lang_code_to_id": {"fra": 8, "deu": 10},
    "vocoder_lang_code_to_id": {"fra": 2, "deu": 3},
    "id_to_text": {str(index): PIECES[index % len(PIECES)] for index in range(101)},
    "char_to_id": {letter: index + 4 for index, letter in enumerate("▁abcdefgh.,1")},
}
WORDS = {"max_new_tokens": 9, "min_new_tokens": 5, "no_repeat_ngram_size": 1}  # it would repeat itself
UNITS = "SeamlessM4Tv2TextToUnitForConditionalGeneration"
WRITE = {"SeamlessM4Tv2ForTextToText": text, "SeamlessM4Tv2ForSpeechToText": speech}
SPEAK = {"SeamlessM4Tv2ForTextToSpeech": text, "SeamlessM4Tv2ForSpeechToSpeech": speech}
HEADS = {**WRITE, **SPEAK, "SeamlessM4Tv2Model": speech}
Two = tuple[Any, Any]


def letters() -> dict[str, Tensor]:
    """States of three texts, and the letters of their tokens."""
    counts = torch.tensor([[0, 2, 1, 3, 2, 1, 0], [0, 4, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0]])
    made = torch.randint(3, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    return {
        "inputs_embeds": torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(0)),
        "attention_mask": IDS.ne(0).long(),
        "char_input_ids": made.masked_fill(torch.arange(9) >= counts.sum(1, keepdim=True), 0),
        "char_count_per_id": counts,
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Name of a class -> the reference's model and ours, from one folder; made once."""
    home, made = tmp_path_factory.mktemp("at once"), dict[str, Two]()

    def of(name: str, **values: Any) -> Two:
        key = f"{name} {values}"
        if key not in made:
            torch.manual_seed(0)
            config = transformers.SeamlessM4Tv2Config(**{**SIZES, **values})
            theirs = getattr(reference, name)(config).eval()
            for part, value in theirs.state_dict().items():
                if value.is_floating_point() and "running_var" not in part:
                    value.add_(torch.randn_like(value) * 0.05)
                if part.endswith(("dur_predictor.proj.bias", "duration_predictor.proj.bias")):
                    value.fill_(0.9)  # else everything is as short as can be
                if part.endswith("t2u_model.lm_head.weight"):
                    value[:4] = 0  # marks are no units
            for setting, known in SETTINGS.items():
                setattr(theirs.generation_config, setting, known)
            theirs.save_pretrained(home / key)
            made[key] = theirs, getattr(formers, name).from_pretrained(home / key)
            assert made[key][0].state_dict().keys() == made[key][1].state_dict().keys()
        return made[key]

    return of


@pytest.mark.parametrize("name", HEADS)
def test_every_head_learns_and_computes_what_the_references_does(pairs: Any, name: str) -> None:
    sides, given = pairs(name), {**HEADS[name](), "labels": SAID.masked_fill(SAID == 3, -100)}
    given["decoder_input_ids"] = SAID
    looks = HEADS[name] is text  # the reference's eager backend adds pieces of speech to scores as numbers
    for model in sides:
        model.set_attn_implementation("eager" if looks else "sdpa")
    expected, found = (model(**given, output_attentions=looks, output_hidden_states=True) for model in sides)
    alike(expected, found)
    for model, out in zip(sides, (expected, found), strict=True):
        model.zero_grad()
        out.loss.backward()
    theirs, ours = (dict(model.named_parameters()) for model in sides)
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        assert (value.grad is None) == (ours[key].grad is None), key
        if value.grad is not None:
            torch.testing.assert_close(ours[key].grad, value.grad, atol=1e-5, rtol=1e-4, msg=key)
    for model in sides:
        model.zero_grad()
        model.set_attn_implementation("sdpa")
    with torch.no_grad():
        torch.testing.assert_close(sides[1](**given).logits, expected.logits, **TOLERANCE)


@pytest.mark.parametrize("values", [{"speech_encoder_chunk_size": 2}, {"speech_encoder_left_chunk_num": -1}])
@torch.no_grad()
def test_speech_is_heard_as_far_back_as_the_config_says(pairs: Any, values: dict[str, Any]) -> None:
    given = {**speech(), "decoder_input_ids": SAID}
    expected, found = (model(**given) for model in pairs("SeamlessM4Tv2ForSpeechToText", **values))
    torch.testing.assert_close(found.logits, expected.logits, **TOLERANCE)


def test_units_of_letters_are_learned_and_computed_as_in_the_reference(pairs: Any) -> None:
    sides, given = pairs(UNITS), letters()
    for model in sides:
        model.set_attn_implementation("eager")
    asked = {"output_attentions": True, "output_hidden_states": True}
    expected = sides[0](**given)
    labels = expected.last_hidden_state.argmax(-1).add(1).remainder(50)
    expected, found = (model(**given, **asked, labels=labels) for model in sides)
    real = expected.padding_mask.bool()
    assert torch.equal(found.padding_mask.bool(), real)
    assert real.sum(1).unique().numel() == 3  # some texts last longer
    assert set(found) == set(expected)
    pick = {real.shape[1]: real, 7: IDS.ne(0)}
    for name, value in expected.items():
        for one, other in zip(
            value if isinstance(value, tuple) else (value,),
            found[name] if isinstance(value, tuple) else (found[name],),
            strict=True,
        ):
            if one.dim() == 3:
                one, other = one[pick[one.shape[1]]], other[pick[one.shape[1]]]
            elif one.dim() == 4:
                rows = pick[one.shape[2]][:, None].expand(one.shape[:3])
                one, other = one[rows], other[rows]
            if name != "loss":  # the reference's counts what it computes at padding
                torch.testing.assert_close(other.float(), one.float(), **TOLERANCE, msg=name)
    (theirs, ours), rows = sides, labels.masked_fill(~real, -100)
    losses = [model(**given, labels=rows).loss for model in sides]
    torch.testing.assert_close(losses[1], losses[0], **TOLERANCE)
    for loss in losses:
        loss.backward()
    wanted, made = (dict(model.named_parameters()) for model in (theirs, ours))
    for key, value in wanted.items():
        grad = made[key].grad
        if value.grad is not None:
            torch.testing.assert_close(grad, value.grad, atol=1e-5, rtol=1e-4, msg=key)
    for model in sides:
        model.zero_grad()
        model.set_attn_implementation("sdpa")


@pytest.mark.parametrize("name", [*WRITE, UNITS])
def test_every_hook_that_fires_in_the_reference_fires_here(pairs: Any, name: str) -> None:
    given = letters() if name == UNITS else {**HEADS[name](), "decoder_input_ids": SAID}
    expected, found = (outputs(model, given) for model in pairs(name))
    assert {one: found.get(one) for one in expected} == expected


def test_what_is_saved_is_what_was_read(pairs: Any, tmp_path: Path) -> None:
    theirs, ours = pairs("SeamlessM4Tv2Model")
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    files = [(tmp_path / side / "model.safetensors").read_bytes() for side in ("theirs", "ours")]
    assert files[0] == files[1]
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    names = parameter_order.to_file(optimizer, ours)["param_groups"][0]["param_names"]
    assert names == [key for key, _ in theirs.named_parameters()]


@pytest.mark.parametrize(
    ("name", "read"), [*SPEAK.items(), ("SeamlessM4Tv2Model", text), ("SeamlessM4Tv2Model", speech)]
)
@torch.no_grad()
def test_speech_in_another_language_is_the_references(pairs: Any, name: str, read: Any) -> None:
    several = {"text_num_beams": 2, "text_num_return_sequences": 2, "speaker_id": 1}
    for how in ({}, several if "ForText" in name else {"text_num_beams": 2, "speaker_id": 1}):
        given = {**read(), **WORDS, **how, "tgt_lang": "deu", "return_intermediate_token_ids": True}
        expected, found = (model.generate(**given) for model in pairs(name))
        assert torch.equal(found.sequences, expected.sequences)
        assert len(set(expected.sequences.flatten().tolist())) > 5
        assert found.unit_sequences.shape == expected.unit_sequences.shape
        assert torch.equal(found.waveform_lengths, expected.waveform_lengths)
        torch.testing.assert_close(found.waveform, expected.waveform, **TOLERANCE)


def test_what_cannot_be_said_is_refused(pairs: Any) -> None:
    speaks, units = pairs("SeamlessM4Tv2ForTextToSpeech")[1], pairs(UNITS)[1]
    with pytest.raises(
        ValueError, match=r"for each of 7 tokens .*, 9, are as many as char_input_ids \[3, 8\]"
    ):
        units(**{**letters(), "char_input_ids": letters()["char_input_ids"][:, :8]})
    with pytest.raises(ValueError, match=r"char_input_ids is a tensor of integers \[3, L\], not NoneType"):
        units(**{**letters(), "char_input_ids": None})
    held = speaks.generation_config.id_to_text
    speaks.generation_config.id_to_text = None
    with pytest.raises(ValueError, match="generation config has no id_to_text"):
        speaks.generate(**text(), **WORDS, tgt_lang="deu")
    speaks.generation_config.id_to_text = held
    with pytest.raises(ValueError, match="every translation is an empty text"):
        speaks.generate(**text(), max_new_tokens=1, tgt_lang="deu")
