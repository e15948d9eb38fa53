"""FLAVA (Singh et al. 2022, arXiv:2112.04482): texts, images, and both in a third model."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.contrastive import Shared
from formers.assemblies.multimodal.unimodal_and_joint import UnimodalAndJoint
from formers.configs import PretrainedConfig
from formers.models import bert, flava_towers, vit
from formers.models.classes import base_class, class_of
from formers.models.flava_towers import (
    FlavaImageCodebookConfig,
    FlavaImageConfig,
    FlavaMultimodalConfig,
    FlavaTextConfig,
)
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.unimodal_and_joint import Spec, Telling, alike

_PARTS: dict[str, Any] = {
    "text_config": FlavaTextConfig,
    "image_config": FlavaImageConfig,
    "multimodal_config": FlavaMultimodalConfig,
    "image_codebook_config": FlavaImageCodebookConfig,
}


class FlavaConfig(PretrainedConfig):
    """Configuration of FLAVA."""

    model_type = "flava"
    sub_configs: ClassVar[dict[str, Any]] = _PARTS
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {name: {} for name in _PARTS}
    hidden_size: int = 768
    layer_norm_eps: float = 1e-12
    projection_dim: int = 768
    init_codebook: bool = True
    logit_scale_init_value: float = 2.6592
    initializer_range: float = 0.02
    ce_ignore_index: int = -100
    mim_weight: float = 1.0
    mlm_weight: float = 1.0
    global_contrastive_weight: float = 1.0
    itm_weight: float = 1.0
    mmm_image_weight: float = 1.0
    mmm_text_weight: float = 1.0
    global_backprop_contrastive: bool = True
    skip_unmasked_multimodal_encoder: bool = True
    return_loss: bool = True
    tie_word_embeddings: bool = True
    initializer_factor: float = 1.0


def shared(c: FlavaConfig) -> Shared:
    """The space of texts and images."""
    return Shared(
        c.projection_dim,
        c.logit_scale_init_value,
        image="image_projection",
        bias=True,
        std=c.initializer_range,
    )


def telling(c: Any) -> Telling:
    """Words of a part, as wide as its states."""
    return Telling("", c.hidden_size, c.vocab_size, c.hidden_act, spec.Norm("layer", c.layer_norm_eps))


def pretraining(c: FlavaConfig) -> Spec:
    """The six tasks."""
    tasks = ("mim", "mlm", "itm", "global_contrastive", "mmm_image", "mmm_text")
    return Spec(
        tells={
            **alike(telling(c.image_config), mim="mim_head", mmm_image="mmm_image_head"),
            **alike(telling(c.text_config), mlm="mlm_head", mmm_text="mmm_text_head"),
        },
        weights={task: getattr(c, f"{task}_weight") for task in tasks},
        fits=("itm_head", c.hidden_size),
        compares="global_contrastive_head",
        width=c.multimodal_config.hidden_size,
        coder=("image_codebook", lambda: class_of(flava_towers.CODEBOOK, "Model"), "image_codebook_config")
        if c.init_codebook
        else None,
        none=c.ce_ignore_index,
        loss=c.return_loss,
        skips=c.skip_unmasked_multimodal_encoder,
    )


FLAVA = register(
    Family(
        model_type="flava",
        name="Flava",
        config=FlavaConfig,
        base="flava",
        assembly=UnimodalAndJoint(
            base_class,
            text=("text_model", "text_config"),
            image=("image_model", "image_config"),
            both=("multimodal_model", "multimodal_config"),
            shared=shared,
            bridges=("text_to_mm_projection", "image_to_mm_projection"),
            reads=flava_towers.READS,
        ),
        heads={"ForPreTraining": Head("united_pretraining", pretraining)},
        ignored=bert.BERT.ignored,
        order=vit.ORDER,
    )
)
