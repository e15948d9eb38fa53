"""Pages and questions as many vectors each: the processor, both kinds of input, and how well they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import formers
from parity.pictures import colours

PAGES = [Image.fromarray(colours(*size)) for size in ((40, 50), (60, 45))]
QUESTIONS = ["what is it", "a cat and a dog in the room"]


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {**SMALL, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 1500, "initializer_range": 0.3}
TURNS = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 4]}
MODELS: dict[str, dict[str, Any]] = {
    "ColPali": {
        "model_type": "paligemma",
        "text_config": {"model_type": "gemma", **TEXT},
        "vision_config": {
            **{"model_type": "siglip_vision_model", **SMALL, "image_size": 16, "patch_size": 4},
            "vision_use_head": False,
        },
        **{"image_token_index": 3, "projection_dim": 32, "hidden_size": 32},
    },
    "ColQwen2": {
        "model_type": "qwen2_vl",
        "text_config": {**TEXT, "rope_parameters": TURNS},
        "vision_config": {
            **{"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 4},
            "mlp_ratio": 2,
        },
        "image_token_id": 3,
    },
}


def _images(kind: str) -> Any:
    """What prepares pages, small."""
    if kind == "ColQwen2":
        return Qwen2VLImageProcessorPil(patch_size=4, min_pixels=64, max_pixels=1024)
    images = SiglipImageProcessorPil(size={"height": 16, "width": 16})
    images.image_seq_length = 16
    return images


@pytest.fixture(scope="module", params=["ColPali", "ColQwen2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the reference with its processor."""
    home, kind = tmp_path_factory.mktemp(request.param), request.param
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<eos>", "<bos>", "<image>" if kind == "ColPali" else "<|image_pad|>"],
    )
    made.train_from_iterator(["Question: what is it? Describe the image. a cat and a dog"], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    getattr(transformers, f"{kind}Processor")(_images(kind), tokenizer).save_pretrained(home)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vlm_config=MODELS[kind], embedding_dim=12)
    getattr(transformers, f"{kind}ForRetrieval")(config).save_pretrained(home)
    return home


def _both(folder: Path) -> tuple[Any, Any]:
    return tuple(one.AutoProcessor.from_pretrained(folder) for one in (transformers, formers))


def test_pages_and_questions_become_what_the_reference_makes_of_them(folder: Path, tmp_path: Path) -> None:
    theirs, ours = _both(folder)
    assert type(ours).__name__ == type(theirs).__name__
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
        getattr(transformers, type(theirs).__name__.replace("Processor", "ForRetrieval"))
        .from_pretrained(folder)
        .eval(),
        formers.AutoModelForRetrieval.from_pretrained(folder).eval(),
    ]
    with torch.no_grad():
        pages = [model(**theirs(images=PAGES)).embeddings for model in models]
        asked = [model(**theirs(text=QUESTIONS)).embeddings for model in models]
    for expected, found in (pages, asked):
        assert torch.allclose(expected, found, atol=1e-5)
    real = theirs(text=QUESTIONS)["attention_mask"].bool()
    rows = [row[here] for row, here in zip(asked[1], real, strict=True)]
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


def test_pages_and_patches_that_do_not_fit_are_refused() -> None:
    small = formers.ColQwen2Config(vlm_config={**MODELS["ColQwen2"], "video_token_id": 4}, embedding_dim=12)
    model = formers.ColQwen2ForRetrieval(small).eval()
    ids, grid = torch.tensor([[5, 3, 3, 6]]), torch.tensor([[1, 2, 4]])
    for patches in (torch.rand(8, 96), torch.rand(2, 8, 96), torch.rand(1, 7, 96)):
        with pytest.raises(ValueError, match="give a row of patches for each"):
            model(ids, pixel_values=patches, image_grid_thw=grid)
    with pytest.raises(ValueError, match="image_grid_thw"):
        model(ids, pixel_values=torch.rand(1, 8, 96))
    assert model(ids, pixel_values=torch.rand(1, 9, 96), image_grid_thw=grid).embeddings.shape == (1, 4, 12)
