"""Pictures whose models are told the task: processors and the pipeline beside the reference's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import pre_tokenizers

import formers
from formers.processing.post_processing import best_pairs, segments
from tests.parity.pictures import colours
from tests.parity.test_segments import outputs_of, same
from tests.parity.vision_segment_shapes import SHAPES

TASKS = ("semantic", "instance", "panoptic")
NAMES = ("sky", "cat", "wall", "tree")
INFO = {str(i): {"name": name, "isthing": i % 2} for i, name in enumerate(NAMES)}
CALL: dict[str, Any] = {"size": {"shortest_edge": 64, "longest_edge": 100}, "return_tensors": "pt"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings that tell names of labels."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "ade20k.json").write_text(json.dumps(INFO))
    return {"repo_path": str(folder), "class_info_file": "ade20k.json", "num_text": 6}


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    """Two, of other forms."""
    return [colours(40, 50), colours(64, 30)]


@pytest.fixture(scope="module")
def maps() -> list[Any]:
    """Numbers of their segments."""
    return [
        (np.arange(2000).reshape(40, 50) // 200).astype(np.uint8),
        (np.arange(1920).reshape(64, 30) % 4).astype(np.uint8),
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("reduced", [False, True], ids=["as they are", "reduced"])
def test_pictures_tasks_and_texts_are_the_references(
    told: dict[str, Any], pictures: list[Any], maps: list[Any], task: str, reduced: bool
) -> None:
    both = (transformers.OneFormerImageProcessorPil(**told), formers.OneFormerImageProcessor(**told))
    assert both[1].metadata == both[0].metadata
    assert both[1].model_input_names == both[0].model_input_names
    options = {**CALL, "ignore_index": 255, "do_reduce_labels": reduced}
    names = {i: i % 4 + reduced for i in range(10)}
    for place in (0, 1):  # the reference tells of all pictures of a call before
        given = ([pictures[place]], [task], [maps[place]], names)
        expected, found = (one(*given, **options) for one in both)
        assert list(found) == list(expected)
        assert found["text_inputs"] == expected["text_inputs"]
        assert found["task_inputs"] == expected["task_inputs"]
        for name in ("pixel_values", "pixel_mask"):
            torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=0)
        for name in ("mask_labels", "class_labels"):
            assert torch.equal(found[name][0], expected[name][0])


def test_every_picture_has_its_own_task_and_texts(
    told: dict[str, Any], pictures: list[Any], maps: list[Any]
) -> None:
    ours = formers.OneFormerImageProcessor(**told)
    names = {i: i % 4 for i in range(10)}
    tasks = ["panoptic", "semantic"]
    found = ours(pictures, tasks, maps, names, **CALL)
    for place in (0, 1):
        alone = ours(pictures[place], tasks[place], maps[place], names, **CALL)
        assert found["text_inputs"][place] == alone["text_inputs"][0]
        assert found["task_inputs"][place] == alone["task_inputs"][0]
        assert torch.equal(found["class_labels"][place], alone["class_labels"][0])
        assert found["mask_labels"][place].shape[1:] == found["pixel_mask"].shape[1:]


@pytest.mark.parametrize("sizes", [None, [(17, 23), (5, 4)]], ids=["none", "pairs"])
@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("semantic", {}),
        ("instance", {"threshold": 0.05}),
        ("instance", {"threshold": 0.05, "task_type": "panoptic", "return_coco_annotation": True}),
        ("instance", {"is_demo": False, "task_type": "panoptic", "overlap_mask_area_threshold": 0.0}),
        ("panoptic", {"threshold": 0.2, "mask_threshold": 0.1, "label_ids_to_fuse": {3}}),
    ],
)
def test_answers_are_the_references(
    told: dict[str, Any], what: str, options: dict[str, Any], sizes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.oneformer import image_processing_pil_oneformer as home

    class Resizing:  # what torchvision does, which the reference needs here
        InterpolationMode = type("Mode", (), {"BILINEAR": "bilinear"})

        @staticmethod
        def resize(masks: Any, size: Any, interpolation: str) -> Any:
            how = {"mode": interpolation, "align_corners": False, "antialias": True}
            return torch.nn.functional.interpolate(masks, size, **how)

    monkeypatch.setattr(home, "tvF", Resizing, raising=False)
    theirs, ours = transformers.OneFormerImageProcessorPil(**told), formers.OneFormerImageProcessor(**told)
    how, held = f"post_process_{what}_segmentation", outputs_of()
    given = transformers.utils.ModelOutput(**{name: value.clone() for name, value in held.items()})
    expected = getattr(theirs, how)(given, target_sizes=sizes, **options)
    same(getattr(ours, how)(formers.BatchFeature(held), target_sizes=sizes, **options), expected)


def test_labels_of_things_alone_may_be_counted(told: dict[str, Any]) -> None:
    outputs = formers.BatchFeature(outputs_of())
    ours = formers.OneFormerImageProcessor(**told)
    options: dict[str, Any] = {"overlap_mask_area_threshold": 0.0, "mask_threshold": 0.0}
    found = ours.post_process_instance_segmentation(outputs, is_demo=False, **options)
    things = best_pairs(outputs, None, kept_labels=[1, 3], **options)
    for one, other in zip(found, things, strict=True):
        assert torch.equal(one["segmentation"], other["segmentation"])
        labels = [[1, 3][info["label_id"]] for info in one["segments_info"]]
        assert labels == [info["label_id"] for info in other["segments_info"]] != []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, told: dict[str, Any]) -> Path:
    """A OneFormer of the reference with its processor."""
    home, letters = tmp_path_factory.mktemp("oneformer"), sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    (home / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (home / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        vocab=str(home / "vocab.json"), merges=str(home / "merges.txt"), pad_token="!"
    )
    small = {"size": {"height": 64, "width": 64}, "ignore_index": 255}
    images = transformers.OneFormerImageProcessorPil(**told, **small)
    transformers.OneFormerProcessor(images, tokenizer, 40, 50).save_pretrained(home)
    shape = SHAPES["oneformer"]["texts beside"]
    torch.manual_seed(0)
    backbone = {**shape["backbone_config"], "num_channels": 3}
    config = transformers.OneFormerConfig(
        **{**shape, "is_training": False, "task_seq_len": 50, "num_labels": 4, "backbone_config": backbone}
    )
    model = transformers.OneFormerForUniversalSegmentation(config)
    with torch.no_grad():
        for weight in model.model.transformer_module.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.float().save_pretrained(home)  # one number of it has twice the bits
    return home


def test_a_processor_gives_what_the_reference_gives_and_is_its_file(
    folder: Path, tmp_path: Path, pictures: list[Any], maps: list[Any]
) -> None:
    ours = formers.AutoProcessor.from_pretrained(folder)
    theirs = transformers.OneFormerProcessor(
        transformers.OneFormerImageProcessorPil.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
        **{"max_seq_length": 40, "task_seq_length": 50},
    )
    assert type(ours) is formers.OneFormerProcessor
    for tasks in (["panoptic"], ["instance"]):
        given = (pictures[:1], tasks, [maps[0] % 4])
        expected, found = (one(*given, return_tensors="pt") for one in (theirs, ours))
        assert list(found) == list(expected)
        assert torch.equal(found["task_inputs"], expected["task_inputs"])
        assert torch.equal(found["text_inputs"], expected["text_inputs"])
    ours.save_pretrained(tmp_path)
    written, read = (json.loads((one / "processor_config.json").read_text()) for one in (tmp_path, folder))
    written["image_processor"].pop("image_processor_type")  # theirs names what it runs on
    read["image_processor"].pop("image_processor_type")
    assert written == read
    again = formers.OneFormerProcessor.from_pretrained(folder, task_seq_length=30)
    assert again(pictures, "semantic")["task_inputs"].shape == (2, 30)


def test_what_does_not_fit_is_refused(folder: Path, told: dict[str, Any], pictures: list[Any]) -> None:
    ours = formers.OneFormerProcessor.from_pretrained(folder)
    blank = [np.zeros(one.shape[:2], np.uint8) for one in pictures]
    with pytest.raises(ValueError, match="OneFormerProcessor needs images= and task_inputs="):
        ours(pictures)
    with pytest.raises(ValueError, match="task_inputs are semantic, instance, panoptic, not 'depth'"):
        ours(pictures, ["semantic", "depth"])
    with pytest.raises(ValueError, match="there are 2 pictures, but 1 task_inputs"):
        ours(pictures, ["semantic"])
    with pytest.raises(ValueError, match=r"labels \[9\] of a map have no name in metadata"):
        ours(pictures, "semantic", [one + 9 for one in blank])
    with pytest.raises(ValueError, match="texts about segments need num_text and the names of labels"):
        formers.OneFormerImageProcessor()(pictures, "semantic", blank)
    with pytest.raises(OSError, match="there is no file labels.json: say by repo_path="):
        formers.OneFormerImageProcessor(class_info_file="labels.json", repo_path=None)
    (Path(told["repo_path"]) / "odd.json").write_text('{"0": "wall"}')
    with pytest.raises(ValueError, match=r"odd.json says .* but not so for '0'"):
        formers.OneFormerImageProcessor.from_pretrained(folder, class_info_file="odd.json")
    with pytest.raises(ValueError, match="is told the task by a text: pass tokenizer="):
        formers.ImageSegmentationPipeline(
            formers.AutoModelForUniversalSegmentation.from_pretrained(folder),
            image_processor=ours.image_processor,
        )


def test_every_subtask_of_the_pipeline_is_the_references(folder: Path, pictures: list[Any]) -> None:
    images = [Image.fromarray(one) for one in pictures]
    ours = formers.pipeline("image-segmentation", model=str(folder))
    theirs = transformers.OneFormerForUniversalSegmentation.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prepared = transformers.OneFormerImageProcessorPil.from_pretrained(folder)
    options = {"threshold": 0.01, "mask_threshold": 0.01, "overlap_mask_area_threshold": 0.0}
    answers = {}
    for subtask in (None, *TASKS):
        answers[subtask] = ours(images, subtask=subtask, **options) if subtask else ours(images, **options)
        text = tokenizer(f"the task is {subtask or 'panoptic'}", padding="max_length", max_length=50)
        for found, image in zip(answers[subtask], images, strict=True):
            pixels = prepared(image, return_tensors="pt")["pixel_values"]
            with torch.no_grad():
                outputs = theirs(pixels, torch.tensor([text["input_ids"]]))
            size = [(image.height, image.width)]
            if subtask == "semantic":
                numbers = prepared.post_process_semantic_segmentation(outputs, size)[0]
                expected = [(f"LABEL_{one}", None) for one in numbers.unique().tolist()]
            else:
                how = best_pairs if subtask == "instance" else segments
                known = how(outputs, target_sizes=size, **options)[0]["segments_info"]
                expected = [
                    (f"LABEL_{one['label_id']}", pytest.approx(one["score"], abs=1e-5)) for one in known
                ]
            assert [(one["label"], one["score"]) for one in found] == expected
            assert {one["mask"].size for one in found} == {image.size}
    assert len(answers[None][0]) == len(answers["panoptic"][0])
    scores = [[one["score"] for one in answers[subtask][0]] for subtask in ("panoptic", "instance")]
    assert scores[0] != scores[1]
