"""AltCLIP (Chen et al. 2022, arXiv:2211.06679): CLIP whose texts an XLM-RoBERTa reads, in many languages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.base import BaseModel
from formers.assemblies.family import Family
from formers.assemblies.multimodal.contrastive import DualTowers, Shared
from formers.assemblies.nested import Transformed
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import bert, clip, clip_towers
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec


class AltCLIPTextConfig(PretrainedConfig):
    """Configuration of AltCLIP's text tower."""

    model_type = "altclip_text_model"
    base_config_key = "text_config"
    vocab_size: int = 250002
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    max_position_embeddings: int = 514
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    initializer_factor: float = 0.02
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    type_vocab_size: int = 1
    project_dim: int = 768


class AltCLIPVisionConfig(clip_towers.CLIPVisionConfig):
    """Configuration of AltCLIP's image tower."""

    model_type = "altclip_vision_model"


class AltCLIPConfig(PretrainedConfig):
    """Configuration of AltCLIP."""

    model_type = "altclip"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": AltCLIPTextConfig,
        "vision_config": AltCLIPVisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    projection_dim: int = 768
    logit_scale_init_value: float = 2.6592
    initializer_factor: float = 1.0


def text(c: AltCLIPTextConfig) -> spec.Stack:
    """BERT's; positions count the tokens that are not padding, from pad_token_id + 1."""
    made = bert.encoder(c, "AltRobertaLayer")
    positions = spec.LearnedPositions(c.max_position_embeddings, padding_idx=c.pad_token_id)
    assert isinstance(made.stem, spec.Tokens)
    names = replace(bert.NAMES, layers="encoder.layers")
    return replace(made, stem=replace(made.stem, positions=positions), names=names)


def image(c: AltCLIPVisionConfig) -> spec.Stack:
    """CLIP's."""
    return replace(clip_towers.image(c), layer_class="AltCLIPEncoderLayer")


def shared(c: AltCLIPConfig) -> Shared:
    """The space of both."""
    widths = {"text_projection": c.text_config.project_dim, "visual_projection": c.vision_config.hidden_size}
    init = {f"{path}.weight": width**-0.5 * c.initializer_factor for path, width in widths.items()}
    return Shared(c.projection_dim, c.logit_scale_init_value, apart=True, init=init)


READS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class AltRobertaModel(BaseModel):
    """What reads the texts, inside their tower."""

    _assembly = Single(text, reads=(*READS, "inputs_embeds"))
    config_class = AltCLIPTextConfig
    base_model_prefix = "roberta"


register(
    Family(
        model_type="altclip_text_model",
        name="AltCLIPText",
        config=AltCLIPTextConfig,
        base="roberta",
        assembly=Transformed(
            lambda: AltRobertaModel,
            "roberta",
            norm=lambda c: spec.Norm("layer", c.layer_norm_eps),
            norm_path="pre_LN",
            out="transformation",
            width=lambda c: c.project_dim,
        ),
        heads={},
        renames=(Rename("roberta.encoder.layer.{rest}", "roberta.encoder.layers.{rest}"),),
        ignored=bert.BERT.ignored,
    )
)
register(
    replace(
        clip_towers.IMAGE,
        model_type="altclip_vision_model",
        name="AltCLIPVision",
        config=AltCLIPVisionConfig,
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={},
    )
)
# newer trees call layers alike, and files of the whole do so otherwise
FILES = (
    Rename("vision_model.encoder.layer.{rest}", "vision_model.encoder.layers.{rest}", written=True),
    Rename(
        "text_model.roberta.encoder.layer.{rest}",
        "text_model.roberta.encoder.layers.{rest}",
        written=True,
    ),
)
ALTCLIP = register(
    replace(
        clip.CLIP,
        model_type="altclip",
        name="AltCLIP",
        config=AltCLIPConfig,
        base="altclip",
        assembly=DualTowers(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=shared,
            reads=READS,
        ),
        heads={"Model": clip.CLIP.heads["Model"]},
        renames=FILES,
        ignored=(*clip.CLIP.ignored, *bert.BERT.ignored),
    )
)
