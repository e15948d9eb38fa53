"""SigLIP beside the reference: its tokenizer, its pipeline, and its parts out of files of the whole."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from parity.tokenization_samples import AWKWARD, SENTENCES, write_t5
from tests.parity.vision_see_shapes import IMAGE, TEXT

LABELS = ["a cat", "dogs that are many!", "zebra"]
# two accents on one letter are put in order by the library, but not by `tokenizers`; what stands behind a
# special token begins with a space here
TEXTS = [t for kind, t in AWKWARD.items() if kind not in ("combining accents", "special tokens in the text")]
TEXTS += [*SENTENCES, "", " !a", "▁ up", '"quoted" text', "don't_stop"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A SigLIP of the reference with its processor."""
    home = tmp_path_factory.mktemp("siglip")
    tokenizer = transformers.SiglipTokenizer(str(write_t5(home / "spiece.model")), model_max_length=500)
    images = transformers.SiglipImageProcessorPil(size={"height": 12, "width": 12})
    transformers.SiglipProcessor(images, tokenizer).save_pretrained(home)
    torch.manual_seed(0)
    text, vision = {**TEXT, "vocab_size": 260, "max_position_embeddings": 64}, {**IMAGE, "num_channels": 3}
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    transformers.SiglipModel(config).save_pretrained(home)
    return home


def test_texts_are_cut_without_punctuation_and_both_read_the_files_of_the_other(folder, tmp_path):
    theirs, ours = (one.AutoTokenizer.from_pretrained(folder) for one in (transformers, formers))
    assert type(ours) is formers.SiglipTokenizer
    assert (len(ours), ours.model_max_length, ours.get_vocab()) == (len(theirs), 500, theirs.get_vocab())
    pickle.loads(pickle.dumps(ours)).save_pretrained(tmp_path)
    assert (tmp_path / "spiece.model").read_bytes() == (folder / "spiece.model").read_bytes()
    again = transformers.SiglipTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        expected, found = theirs(text), ours(text)
        assert dict(found) == dict(expected) == dict(again(text)), text
        ids = expected["input_ids"]
        assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    options = {"padding": "max_length", "max_length": 9, "truncation": True}
    assert dict(ours(LABELS, **options)) == dict(theirs(LABELS, **options))
    assert dict(ours("a cat", "dogs")) == dict(theirs("a cat", "dogs"))
    kept = {"do_lower_case": False}
    theirs, ours = (one.SiglipTokenizer.from_pretrained(folder, **kept) for one in (transformers, formers))
    assert ours("A Cat.")["input_ids"] == theirs("A Cat.")["input_ids"]
    assert formers.SiglipTokenizer(vocab_file=folder / "spiece.model").model_max_length == 64


def test_every_label_is_judged_by_itself(folder):
    own, theirs = (
        one.pipeline("zero-shot-image-classification", model=str(folder), device="cpu")
        for one in (formers, transformers)
    )
    theirs.image_processor = transformers.SiglipImageProcessorPil.from_pretrained(folder)
    pictures = [Image.fromarray(colours(40, 50)), Image.fromarray(colours(16, 60))]
    expected = theirs(pictures, candidate_labels=LABELS)
    found = own(pictures, candidate_labels=LABELS)
    for row, other in zip(found, expected, strict=True):
        assert [one["label"] for one in row] == [one["label"] for one in other]
        assert np.allclose([one["score"] for one in row], [one["score"] for one in other], atol=1e-5)
        assert sum(one["score"] for one in row) != pytest.approx(1)


@torch.no_grad()
def test_a_part_is_loaded_from_a_checkpoint_of_the_whole(folder):
    given = {"pixel_values": torch.randn(2, 3, 20, 16), "interpolate_pos_encoding": True}
    text = {"input_ids": torch.tensor([[5, 6, 7, 1], [8, 1, 1, 1]])}
    text["attention_mask"] = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    whole = formers.SiglipModel.from_pretrained(folder)
    for name, inputs, features in (
        ("SiglipVisionModel", given, whole.get_image_features),
        ("SiglipTextModel", text, whole.get_text_features),
    ):
        theirs, ours = (getattr(one, name).from_pretrained(folder) for one in (transformers, formers))
        assert not [*ours.load_report.new]
        for found in (ours(**inputs), features(**inputs)):
            torch.testing.assert_close(
                found.pooler_output, theirs(**inputs).pooler_output, atol=1e-5, rtol=1e-5
            )


def test_a_tower_without_its_head_has_nothing_to_compare():
    config = formers.SiglipConfig(text_config=TEXT, vision_config={**IMAGE, "vision_use_head": False})
    model = formers.SiglipModel(config)
    given = {"input_ids": torch.tensor([[5, 1]]), "pixel_values": torch.randn(1, 2, 12, 12)}
    with pytest.raises(ValueError, match="vision_model makes no vector that could be compared"):
        model(**given)
    assert model.get_image_features(given["pixel_values"]).last_hidden_state.shape == (1, 9, 16)


def test_an_adapter_of_the_query_s_projection_computes():
    model = formers.SiglipVisionModel(formers.SiglipVisionConfig(**IMAGE)).eval()
    images = torch.randn(1, 2, 12, 12)
    before = model(images).pooler_output
    adapted = formers.get_peft_model(
        model, formers.LoraConfig(target_modules=["head.attention.out_proj"], r=2)
    )
    adapted.train()
    (adapted(images).pooler_output - 1).square().sum().backward()
    moved = [p for name, p in adapted.named_parameters() if "lora_B" in name]
    assert moved
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in moved)
    torch.testing.assert_close(adapted(images).pooler_output, before)


def test_patches_that_do_not_fit_are_refused():
    sizes = {key: value for key, value in IMAGE.items() if key != "image_size"}
    model = formers.Siglip2VisionModel(formers.Siglip2VisionConfig(**sizes, num_patches=9))
    with pytest.raises(ValueError, match=r"must have shape \[B, T, 32\] here"):
        model(torch.randn(1, 2, 12, 12), spatial_shapes=torch.tensor([[3, 3]]))
    with pytest.raises(ValueError, match=r"\[1, 2\], not NoneType"):
        model(torch.randn(1, 6, 32))
    with pytest.raises(ValueError, match="do not fit into 6 places"):
        model(torch.randn(1, 6, 32), spatial_shapes=torch.tensor([[3, 3]]))
    with pytest.raises(ValueError, match="8 patches make none"):
        formers.Siglip2VisionModel(formers.Siglip2VisionConfig(**sizes, num_patches=8))
