"""What is ESM's own: contacts, frequencies that the file holds, a bias apart, and a tokenizer of letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import formers
from tests.parity.shapes import write_checkpoint

TURNED = "turned, hidden tokens erased"
LETTERS = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
MASKED = 32  # the id of <mask>


def _chains() -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of three chains: one with hidden tokens, one padded behind, one padded in front."""
    ids = torch.randint(3, 30, (3, 12), generator=torch.Generator().manual_seed(1))
    ids[:, 8], ids[0, 3:6] = 2, MASKED
    mask = torch.ones_like(ids)
    mask[1, 9:] = mask[2, :4] = 0
    return ids * mask, mask


@pytest.mark.parametrize("name", ["EsmModel", "EsmForMaskedLM"])
def test_contacts_are_the_references(name: str, tmp_path: Path) -> None:
    theirs = write_checkpoint("esm", TURNED, name, tmp_path)
    theirs.set_attn_implementation("eager")
    ours, given = getattr(formers, name).from_pretrained(tmp_path), _chains()
    with torch.no_grad():
        torch.testing.assert_close(ours.predict_contacts(*given), theirs.predict_contacts(*given))


@pytest.mark.parametrize(
    "spelling", ["rotary_embeddings", "encoder.layer.{}.attention.self.rotary_embeddings"]
)
def test_frequencies_are_those_of_the_file_however_it_spells_them(spelling: str, tmp_path: Path) -> None:
    theirs: Any = write_checkpoint("esm", TURNED, "EsmModel", tmp_path)
    theirs.rotary_embeddings.inv_freq.mul_(1.25)
    file = tmp_path / "model.safetensors"
    held = {key: value for key, value in load_file(file).items() if "inv_freq" not in key}
    names = dict.fromkeys(f"{spelling.format(i)}.inv_freq" for i in range(3))
    save_file({**held, **{name: theirs.rotary_embeddings.inv_freq.clone() for name in names}}, file)
    ours = formers.EsmModel.from_pretrained(tmp_path)
    ids, mask = _chains()
    with torch.no_grad():
        expected, found = (m(ids, attention_mask=mask)[0][mask.bool()] for m in (theirs, ours))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_hidden_row_stays_finite_and_hidden_tokens_weigh_in_their_own_row_alone(tmp_path: Path) -> None:
    write_checkpoint("esm", TURNED, "EsmModel", tmp_path)
    model, (ids, mask) = formers.EsmModel.from_pretrained(tmp_path), _chains()
    with torch.no_grad():
        together = model(ids, attention_mask=mask)[0]
        alone = model(ids[2:, 4:])[0]
        hidden = model(torch.full((1, 5), MASKED))[0]
    torch.testing.assert_close(together[2:, 4:], alone, atol=1e-5, rtol=1e-5)
    assert hidden.isfinite().all()


def test_new_tokens_have_no_bias_and_old_ones_keep_theirs(tmp_path: Path) -> None:
    write_checkpoint("esm", TURNED, "EsmForMaskedLM", tmp_path)
    model = formers.EsmForMaskedLM.from_pretrained(tmp_path)
    before = model.lm_head.bias.detach().clone()
    model.resize_token_embeddings(len(before) + 3)
    assert torch.equal(model.lm_head.bias, torch.cat((before, torch.zeros(3))))
    ids, mask = _chains()
    assert model(ids, attention_mask=mask).logits.shape[-1] == len(before) + 3


@pytest.mark.parametrize(
    "text", ["MKTAYIAKQR", "M K  T", "mk T A<mask>YI", "<cls>MKJT<eos>", " <null_1>.-x y M", "", "LÄA"]
)
def test_letters_become_the_references_tokens_and_text_again(text: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(LETTERS.split()))
    theirs = transformers.EsmTokenizer(tmp_path / "vocab.txt")
    theirs.save_pretrained(tmp_path / "saved")
    ours = formers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert dict(ours(text)) == dict(theirs(text))
    assert dict(ours(text, "AK")) == dict(theirs(text, "AK"))
    assert ours.decode(ours(text)["input_ids"]) == theirs.decode(theirs(text)["input_ids"])
