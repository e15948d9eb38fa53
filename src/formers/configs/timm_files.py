"""The config.json that the timm package writes: an architecture, `pretrained_cfg`, and names of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from formers.configs.base import PretrainedConfig
from formers.core.extras import need

if TYPE_CHECKING:
    from typing_extensions import Self


class TimmConfig(PretrainedConfig):
    """Settings of a network by its name in timm: labels are `num_classes` and `label_names` in files."""

    architecture: str = "resnet50"
    initializer_range: float = 0.02
    do_pooling: bool = True
    model_args: dict[str, Any] | None = None

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Build from what a file holds; the labels of ImageNet's sets are named as timm names them.

        Raises:
            MissingExtra: where names of labels are timm's, and it is not installed.
        """
        values = dict(content)
        count = values.pop("num_classes", None)
        names = values.pop("label_names", None)
        said = values.get("pretrained_cfg")
        if isinstance(said, Mapping):
            count = said.get("num_classes") if count is None else count
            values["pretrained_cfg"] = {key: one for key, one in said.items() if key != "num_classes"}
        if names is None and count:
            names = _imagenet_names(content)
        if names and count in (None, len(names)):
            values.setdefault("id2label", dict(enumerate(names)))
        elif count is not None:
            values.setdefault("num_labels", count)
        return super().from_content(values)

    def _as_dict(self, *, diff: bool) -> dict[str, Any]:
        out = super()._as_dict(diff=diff)
        names = list(self.id2label.values())
        for key in ("id2label", "label2id"):
            out.pop(key, None)
        return {"num_classes": self.num_labels, "label_names": names, **out}


def _imagenet_names(content: Mapping[str, Any]) -> list[str] | None:
    """Descriptions of the labels of the ImageNet set that a file was trained on; None for any other."""
    data = need("timm.data", "timm", "the names of the labels, which the file leaves to it,")
    subset = data.infer_imagenet_subset(dict(content))
    if not subset:
        return None
    info = data.ImageNetInfo(subset)
    says = info.label_descriptions(as_dict=True)
    return [says[one] for one in info.label_names()]
