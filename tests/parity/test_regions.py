"""Texts beside vectors of a picture's regions: VisualBERT, and LXMERT, in which both read each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from tests.parity.region_shapes import SHAPES, labels
from tests.parity.shapes import write_checkpoint

IDS = torch.randint(5, 99, (4, 7), generator=torch.Generator().manual_seed(0))
TEXT, SEEN = torch.ones(4, 7, dtype=torch.long), torch.ones(4, 3, dtype=torch.long)
TEXT[1, 4:] = TEXT[2, 2:] = 0
SEEN[0, 2:] = SEEN[1, 1:] = 0
REGIONS = torch.randn(4, 3, 10, generator=torch.Generator().manual_seed(1))
PADDED = {
    **{"input_ids": IDS, "attention_mask": TEXT, "visual_embeds": REGIONS, "visual_attention_mask": SEEN},
    "image_text_alignment": torch.tensor([[[1, 2], [3, -1], [0, -1], [2, 2]]] * 4),  # of one region too many
}
PHRASES = {"region_to_phrase_position": torch.tensor([[1, 3], [2, -1], [0, 1], [5, 8]])}
ENDINGS = ("Model", "ForPreTraining", "ForQuestionAnswering", "ForRegionToPhraseAlignment")


@pytest.mark.parametrize("ending", ENDINGS)
def test_texts_and_regions_with_padding_are_read_as_the_reference_reads_them(
    ending: str, tmp_path: Path
) -> None:
    name = f"VisualBert{ending}"
    theirs = write_checkpoint("visual_bert", "plain", name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    told = {**labels(name, IDS), **(PHRASES if "Phrase" in ending else {})}
    if ending == "ForPreTraining":
        told["labels"][:, :7].masked_fill_(TEXT == 0, -100)
    if "Phrase" in ending:  # no phrase means a region that is not there
        told["labels"] = told["labels"] * SEEN[:, None]
    expected, found = (model(**PADDED, **told) for model in (theirs, ours))
    real = torch.cat((TEXT, SEEN), dim=1).bool()
    if ending != "Model":
        torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
        expected.loss.backward(), found.loss.backward()
        each = dict(theirs.named_parameters())
        for key, value in ours.named_parameters():
            if each[key].grad is not None:
                torch.testing.assert_close(value.grad, each[key].grad, atol=1e-5, rtol=1e-5)
    for one, two in zip(found.to_tuple(), expected.to_tuple(), strict=True):
        one, two = (t[real] if t.shape[:2] == real.shape else t for t in (one, two))
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_regions_a_text_is_read_alone(tmp_path: Path) -> None:
    theirs = write_checkpoint("visual_bert", "plain", "VisualBertModel", tmp_path)
    ours = formers.AutoModel.from_pretrained(tmp_path)
    expected, found = (model(input_ids=IDS, attention_mask=TEXT) for model in (theirs, ours))
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-5)
    real = TEXT.bool()
    torch.testing.assert_close(found[0][real], expected[0][real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input_ids": IDS, "visual_attention_mask": SEEN}, "visual_attention_mask go with visual_embeds"),
        ({**PADDED, "visual_embeds": REGIONS[:3]}, r"visual_embeds must have shape \[4, regions, 10\]"),
        ({**PADDED, "visual_attention_mask": SEEN[:, :2]}, r"visual_attention_mask must have shape \[4, 3\]"),
        ({**PADDED, "image_text_alignment": SEEN}, r"image_text_alignment must have shape \[4, 3, words\]"),
        ({**PADDED, "attention_mask": TEXT[:, :3]}, r"attention_mask must have shape \[4, 7\]"),
    ],
)
def test_what_does_not_fit_is_said(given: dict[str, Any], said: str) -> None:
    model = formers.VisualBertModel(formers.VisualBertConfig(**SHAPES["visual_bert"]["plain"]))
    with pytest.raises(ValueError, match=said):
        model(**given)


def test_heads_say_what_they_lack() -> None:
    config = formers.VisualBertConfig(**SHAPES["visual_bert"]["plain"])
    phrases = formers.VisualBertForRegionToPhraseAlignment(config).eval()
    with pytest.raises(ValueError, match="region_to_phrase_position says where phrases stand"):
        phrases(**PADDED)
    with pytest.raises(ValueError, match="places below 10"):
        phrases(**PADDED, region_to_phrase_position=torch.full((4, 1), 10))
    asked = formers.VisualBertForQuestionAnswering(config).eval()
    with pytest.raises(ValueError, match="fewer than two tokens"):
        asked(input_ids=IDS, attention_mask=(torch.arange(7) < 1).expand(4, 7).long())
    with pytest.raises(ValueError, match=r"the share of each answer, a tensor \[4, 2\], not \[4\]"):
        asked(**PADDED, labels=torch.tensor([0, 1, 1, 0]))


CROSSED = {
    **{"input_ids": IDS, "attention_mask": TEXT, "visual_feats": REGIONS, "visual_attention_mask": SEEN},
    "visual_pos": torch.rand(4, 3, 4, generator=torch.Generator().manual_seed(4)),
}


@pytest.mark.parametrize("watched", [False, True])
def test_both_sides_and_their_weights_are_those_of_the_reference(watched: bool, tmp_path: Path) -> None:
    theirs = write_checkpoint("lxmert", "plain", "LxmertForPreTraining", tmp_path)
    ours = formers.AutoModelForPreTraining.from_pretrained(tmp_path)
    if watched:
        ours.lxmert.register_forward_pre_hook(lambda *_: None)
    theirs.set_attn_implementation("eager")
    told = labels("LxmertForPreTraining", IDS)
    told["labels"].masked_fill_(TEXT == 0, -100)
    for name, (right, counts) in told["obj_labels"].items():
        told["obj_labels"][name] = right, counts * SEEN
    shown = {"output_hidden_states": True, "output_attentions": True}
    expected, found = (model(**CROSSED, **told, **shown) for model in (theirs, ours))
    torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    assert list(found) == list(expected)
    text, regions = TEXT.bool(), SEEN.bool()
    for name in list(found)[2:]:
        one, two = (
            (out[name],) if isinstance(out[name], torch.Tensor) else out[name] for out in (found, expected)
        )
        for mine, other in zip(one, two, strict=True):
            real = regions if name.startswith("vision") else text
            if "attentions" in name:
                mine, other = (t.transpose(1, 2) for t in (mine, other))
            if "states" in name or "attentions" in name:
                mine, other = mine[real], other[real]
            torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
    for out in (expected, found):
        out.loss.backward()
    each = dict(theirs.named_parameters())
    for key, value in ours.named_parameters():
        torch.testing.assert_close(value.grad, each[key].grad, atol=1e-5, rtol=1e-5)


def test_a_head_learns_to_tell_more_answers_apart() -> None:
    model = formers.LxmertForQuestionAnswering(formers.LxmertConfig(**SHAPES["lxmert"]["plain"])).eval()
    before = model(**CROSSED).question_answering_score
    assert model.resize_num_qa_labels(9) is model.get_qa_logit_layer()
    after = model(**CROSSED).question_answering_score
    assert after.shape == (4, 9)
    assert model.config.num_qa_labels == 9
    torch.testing.assert_close(after[:, :6], before, atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="1 answer apart at least, not 0"):
        model.resize_num_qa_labels(0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"visual_feats": None}, "pass visual_feats and visual_pos"),
        ({"visual_feats": REGIONS[:3]}, r"visual_feats must have shape \[4, regions, 10\]"),
        ({"visual_pos": REGIONS}, r"visual_pos must have shape \[4, regions, 4\]"),
        ({"visual_attention_mask": SEEN[:, :2]}, r"visual_attention_mask must have shape \[4, 3\]"),
        ({"attention_mask": TEXT[:, :3]}, r"attention_mask must have shape \[4, 7\]"),
        ({"obj_labels": {"obj": SEEN}}, "obj_labels is a dictionary with the keys obj, attr, feat"),
    ],
)
def test_regions_that_do_not_fit_are_said(given: dict[str, Any], said: str) -> None:
    model = formers.LxmertForPreTraining(formers.LxmertConfig(**SHAPES["lxmert"]["plain"]))
    with pytest.raises(ValueError, match=said):
        model(**{**CROSSED, **given})
