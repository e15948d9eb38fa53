"""Pages and questions as many vectors each: the processor, both kinds of input, and how well they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import formers
from parity.pictures import colours

PAGES = [Image.fromarray(colours(*size)) for size in ((40, 50), (60, 45))]
QUESTIONS = ["what is it", "a cat and a dog in the room"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ColPali of the reference with its processor."""
    home = tmp_path_factory.mktemp("colpali")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<eos>", "<bos>", "<image>"],
    )
    made.train_from_iterator(["Question: what is it? Describe the image. a cat and a dog"], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    images = SiglipImageProcessorPil(size={"height": 16, "width": 16})
    images.image_seq_length = 16
    transformers.ColPaliProcessor(images, tokenizer).save_pretrained(home)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(0)
    config = transformers.ColPaliConfig(
        vlm_config={
            "model_type": "paligemma",
            "text_config": {
                **{"model_type": "gemma", **small, "num_key_value_heads": 1, "head_dim": 16},
                **{"vocab_size": 1500, "initializer_range": 0.3},
            },
            "vision_config": {
                **{"model_type": "siglip_vision_model", **small, "image_size": 16, "patch_size": 4},
                "vision_use_head": False,
            },
            **{"image_token_index": 3, "projection_dim": 32, "hidden_size": 32},
        },
        embedding_dim=12,
    )
    transformers.ColPaliForRetrieval(config).save_pretrained(home)
    return home


def _both(folder: Path) -> tuple[Any, Any]:
    return tuple(one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))


def test_pages_and_questions_become_what_the_reference_makes_of_them(folder: Path, tmp_path: Path) -> None:
    theirs, ours = _both(folder)
    assert type(ours) is formers.ColPaliProcessor
    ours.save_pretrained(tmp_path)
    assert formers.AutoProcessor.from_pretrained(tmp_path).to_dict() == ours.to_dict()
    for given in ({"images": PAGES}, {"text": QUESTIONS}, {"text": QUESTIONS, "suffix": "?"}):
        found, expected = ours(**given), theirs(**given)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.allclose(found[name].double(), value.double(), atol=1e-4), name
    assert torch.equal(ours.process_queries("a cat")["input_ids"], ours(text=["a cat"])["input_ids"])
    assert torch.equal(ours.process_images(PAGES[0])["pixel_values"][0], ours(PAGES)["pixel_values"][0])


def test_vectors_and_scores_are_the_references(folder: Path) -> None:
    theirs, ours = _both(folder)
    models = [
        transformers.ColPaliForRetrieval.from_pretrained(folder).eval(),
        formers.AutoModelForRetrieval.from_pretrained(folder).eval(),
    ]
    with torch.no_grad():
        pages = [model(**theirs(images=PAGES)).embeddings for model in models]
        asked = [model(**theirs(text=QUESTIONS)).embeddings for model in models]
    for expected, found in (pages, asked):
        assert torch.allclose(expected, found, atol=1e-5)
    lengths = theirs(text=QUESTIONS)["attention_mask"].sum(1).tolist()
    rows = [row[-length:] for row, length in zip(asked[1], lengths, strict=True)]
    for queries in (asked[1], rows):
        expected = theirs.score_retrieval(queries, pages[1])
        found = ours.score_retrieval(queries, pages[1], batch_size=1)
        assert found.shape == (2, 2)
        assert torch.allclose(expected, found, atol=1e-5)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    for given in ({}, {"images": PAGES, "text": QUESTIONS}):
        with pytest.raises(ValueError, match="one kind at a time"):
            ours(**given)
    with pytest.raises(ValueError, match="behind questions"):
        ours(images=PAGES, suffix="?")
    with pytest.raises(TypeError, match="'paddin'"):
        ours(text=QUESTIONS, paddin=True)
    with pytest.raises(ValueError, match="no passages"):
        ours.score_retrieval([torch.ones(2, 3)], [])
    with pytest.raises(ValueError, match="bring them to the same"):
        ours.score_retrieval([torch.ones(2, 3)], [torch.ones(2, 4)])
