"""Networks of the timm package under the library's calls: checkpoints `timm/...`, by timm's config.json."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.timm_network import TimmNetwork
from formers.checkpoints import Rename
from formers.configs.timm_files import TimmConfig
from formers.models.registry import register


class TimmWrapperConfig(TimmConfig):
    """Configuration of a network by its name in timm."""

    model_type = "timm_wrapper"


TIMM_WRAPPER = register(
    Family(
        model_type="timm_wrapper",
        name="TimmWrapper",
        config=TimmWrapperConfig,
        base="timm_model",
        assembly=TimmNetwork(),
        heads={
            "ForImageClassification": Head(
                "timm_classification", lambda c: c.num_labels, over="labelled", flat=True
            )
        },
        renames=(Rename("{rest}", "timm_model.{rest}", written=True),),
    )
)
