"""The commands for pictures: the demonstration, training on a folder, and what a model sees, drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import formers
from system.cli_command import in_this_process

pytestmark = pytest.mark.filterwarnings("default::formers.core.notices.Notice")  # heads are made afresh


@pytest.fixture
def command(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


def test_the_demonstration_trains_judges_beside_a_baseline_and_its_model_answers_pictures(command, tmp_path):
    folder = tmp_path / "demo"
    status, out, err = command("vision-demo", "--output", folder, "--epochs", "0.2")
    assert status == 0, err
    assert "logistic regression" in out
    assert "1437 pictures to train on, 360 held out" in err
    assert Image.open(folder / "seen.png").width > 400
    assert Image.open(folder / "answers.png").height > 320
    assert json.loads((folder / "model" / "config.json").read_text())["id2label"]["9"] == "9"

    Image.new("RGB", (50, 40), (9, 200, 9)).save(tmp_path / "green.png")
    (tmp_path / "bad.png").write_text("no picture")
    given = [tmp_path / "green.png", tmp_path / "bad.png"]
    model = ["--model", folder / "model"]
    status, out, err = command("look", *model, *given, "--json", "--draw", tmp_path / "drawn")
    assert status == 1
    first, second = (json.loads(line) for line in out.splitlines())
    assert len(first["answer"]) == 5
    assert "bad.png' is no picture" in second["answer"]["error"]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["green.png"]
    assert "name a folder" in command("look", *model, *given, "--draw", "one.png")[2]


def test_a_folder_of_labelled_pictures_becomes_a_judged_classifier(command, tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    formers.ViTForImageClassification(
        formers.ViTConfig(**sizes, image_size=8, patch_size=4, num_labels=5)
    ).save_pretrained(tmp_path / "base")
    formers.ViTImageProcessor(size=8).save_pretrained(tmp_path / "base")
    rng = np.random.default_rng(0)
    for place, label in enumerate(("red", "blue")):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(30):
            pixels = rng.integers(0, 80, (12, 10, 3), dtype=np.uint8)
            pixels[..., 2 * place] += 150
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{i}.png")
    options = ["--task", "image-classification", "--model", tmp_path / "base", "--no-bf16", "--device", "cpu"]
    status, _, err = command(
        *("train", *options, "--data", tmp_path / "data", "--output", tmp_path / "made"),
        *("--epochs", 3, "--learning-rate", "1e-2", "--batch-size", 8, "--test-size", 0.2),
    )
    assert status == 0, err
    assert json.loads((tmp_path / "made" / "metrics.json").read_text())["accuracy"] == 1.0
    assert (tmp_path / "made" / "preprocessor_config.json").is_file()
    held_out = tmp_path / "made" / "held-out.jsonl"
    status, out, err = command("evaluate", "--model", tmp_path / "made", "--data", held_out)
    assert (status, "accuracy" in out + err) == (0, True), err
    assert (
        formers.pipeline(model=str(tmp_path / "made"))(tmp_path / "data" / "red" / "0.png")[0]["label"]
        == "red"
    )
    refused = command("train", *options, "--data", tmp_path / "base", "--output", tmp_path / "x")
    assert "must hold a folder for each of at least two labels" in refused[2]
