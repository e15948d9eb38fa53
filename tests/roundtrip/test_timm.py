"""Networks of the timm package, by a small stand-in for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import formers
from formers.core.extras import MissingExtra

PICTURED = {
    **{"input_size": [3, 16, 16], "interpolation": "bilinear", "crop_pct": 0.8, "crop_mode": "center"},
    **{"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "num_classes": 3},
}


class Network(nn.Module):
    """A convolution and a head, with the calls of timm's networks, and a table that no file holds."""

    default_cfg = {"classifier": "head"}

    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.register_buffer("table", torch.arange(width).float()[:, None, None], persistent=False)
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        return self.stem(x) + self.table

    def forward_intermediates(
        self, x: Tensor, indices: list[int] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        kept = [self.stem(x), self.forward_features(x)]
        return kept[-1], kept if indices is None else [kept[i] for i in indices]

    def forward_head(self, x: Tensor) -> Tensor:
        made: Tensor = self.head(x.mean((2, 3)))
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in, under timm's name."""

    def create_model(name: str, pretrained: bool = False, **options: Any) -> Network:
        if name != "test_net":
            raise RuntimeError(f"Unknown model ({name})")
        return Network(**options)

    found, data = ModuleType("timm"), ModuleType("timm.data")
    found.create_model, found.__version__ = create_model, "1.0"  # type: ignore[attr-defined]
    data.infer_imagenet_subset = lambda values: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", found)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return found


def checkpoint(folder: Path, labels: int = 3, **more: Any) -> Network:
    """Files as timm writes them; the network that they hold."""
    torch.manual_seed(0)
    network = Network(labels).eval()
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "test_net",
        "num_classes": labels,
        "num_features": 4,
        "pretrained_cfg": PICTURED,
    }
    (folder / "config.json").write_text(json.dumps({**config, **more}))
    return network


@pytest.mark.usefixtures("package")
def test_auto_classes_read_what_timm_wrote_and_compute_what_its_network_does(tmp_path: Path) -> None:
    network = checkpoint(tmp_path, label_names=["cat", "dog", "elk"])
    pixels = torch.randn(2, 3, 16, 16)
    model = formers.AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(model).__name__ == "TimmWrapperForImageClassification"
    assert model.config.id2label == {0: "cat", 1: "dog", 2: "elk"}
    out = model(pixels, labels=torch.tensor([0, 2]), output_hidden_states=[1])
    assert torch.equal(out.logits, network(pixels))
    assert torch.equal(out.loss, nn.functional.cross_entropy(out.logits, torch.tensor([0, 2])))
    assert len(out.hidden_states) == 1
    bare = formers.AutoModel.from_pretrained(tmp_path)(pixels)
    assert torch.equal(bare.last_hidden_state, network.forward_features(pixels))
    assert torch.equal(bare.pooler_output, bare.last_hidden_state.mean((2, 3)))


@pytest.mark.usefixtures("package")
def test_what_is_saved_has_timms_names_and_loads_again(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    model = formers.AutoModelForImageClassification.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path / "again")
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path, tmp_path / "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert (written["num_classes"], written["architecture"]) == (3, "test_net")
    assert "id2label" not in written
    again = formers.AutoModelForImageClassification.from_pretrained(tmp_path / "again")
    pixels = torch.randn(1, 3, 16, 16)
    assert torch.equal(again(pixels).logits, model(pixels).logits)


@pytest.mark.filterwarnings("ignore:.*initialised afresh")
@pytest.mark.usefixtures("package")
def test_a_head_of_other_labels_is_new_and_can_be_trained_alone(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    model = formers.AutoModelForImageClassification.from_pretrained(
        tmp_path, num_labels=5, ignore_mismatched_sizes=True
    )
    assert model(torch.randn(1, 3, 16, 16)).logits.shape == (1, 5)
    model.freeze_base()
    trained = [name for name, one in model.named_parameters() if one.requires_grad]
    assert trained == ["timm_model.head.weight", "timm_model.head.bias"]


@pytest.mark.usefixtures("package")
def test_a_pipeline_prepares_pictures_as_the_config_says(tmp_path: Path) -> None:
    network = checkpoint(tmp_path, label_names=["cat", "dog", "elk"])
    shown = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    picture = Image.fromarray(shown)
    # torchvision's Resize(20), CenterCrop(16), ToTensor, Normalize, written out
    resized = np.asarray(picture.resize((20, 26), Image.Resampling.BILINEAR), np.float32) / 255
    cut = (resized[5:21, 2:18] - np.float32(PICTURED["mean"])) / np.float32(PICTURED["std"])
    pixels = torch.from_numpy(cut).permute(2, 0, 1)[None].float()
    found = formers.AutoImageProcessor.from_pretrained(tmp_path)(picture)["pixel_values"]
    torch.testing.assert_close(found, pixels)
    best = formers.pipeline("image-classification", model=str(tmp_path))(picture)[0]
    scores = network(pixels).detach().softmax(-1)[0]
    assert best["label"] == ["cat", "dog", "elk"][int(scores.argmax())]
    assert best["score"] == pytest.approx(float(scores.max()), abs=1e-5)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"architecture": "test_nets"}, "timm 1.0 has no network 'test_nets'"),
        ({"architecture": "test_net", "model_args": {"widht": 3}}, "model_args=.*widht"),
        ({"architecture": "test_net", "num_labels": 0}, "num_labels=10"),
    ],
)
def test_what_timm_cannot_make_is_one_error(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        formers.TimmWrapperForImageClassification(formers.TimmWrapperConfig(**fields))


def test_without_timm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"formers\[timm\]"):
        formers.TimmWrapperModel(formers.TimmWrapperConfig())
