"""ViLT (Kim et al. 2021, arXiv:2102.03334): one encoder over a text and a picture behind it."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.single_stream import Pictured
from formers.configs import PretrainedConfig
from formers.models import bert, vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Labels, Sequences, Transform, Words


class ViltConfig(PretrainedConfig):
    """Configuration of ViLT."""

    model_type = "vilt"
    vocab_size: int = 30522
    type_vocab_size: int = 2
    modality_type_vocab_size: int = 2
    max_position_embeddings: int = 40
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 384
    patch_size: int | list[int] = 32
    num_channels: int = 3
    qkv_bias: bool = True
    max_image_length: int = -1
    num_images: int = -1
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True


_TEXT = {
    role: str(path).replace("embeddings.", "embeddings.text_embeddings.", 1)
    for role, path in bert.NAMES.embeddings.items()
}
NAMES = spec.Names(
    layers=vit.NAMES.layers,
    layer={**vit.NAMES.layer, "weights_dropout": "attention.attention.dropout"},
    embeddings={
        **_TEXT,
        "picture_class": "embeddings.cls_token",
        "picture_patch": "embeddings.patch_embeddings.projection",
        "picture_position": "embeddings.position_embeddings",
        "picture_dropout": "embeddings.dropout",
        "kind": "embeddings.token_type_embeddings",
    },
    stack={**vit.NAMES.stack, **vit.POOLER},
)


def stack(c: ViltConfig) -> spec.Stack:
    """ViT's layers over both."""
    text = bert.encoder(c, "ViltLayer").stem
    made = vit.plain(c, "ViltLayer", vit.patches(c, dropout=c.hidden_dropout_prob), NAMES)
    assert isinstance(made.stem, spec.Patches)
    stem = spec.Pictured(
        **vars(text),
        picture=made.stem,
        sorts=c.modality_type_vocab_size,
        most=None if c.max_image_length < 0 else c.max_image_length,
    )
    return replace(made, stem=stem, pooler=c.hidden_size)


def words(c: ViltConfig) -> Words:
    """A transformed state, and the token table."""
    inside = "mlm_score.transform"
    return Words(
        "mlm_score.decoder",
        dense=f"{inside}.dense",
        act=c.hidden_act,
        act_path=f"{inside}.transform_act_fn",
        norm=f"{inside}.LayerNorm",
        eps=c.layer_norm_eps,
    )


def labels(c: ViltConfig, wider: int) -> Sequences:
    """Two layers over the pooler's vector, `wider` times as wide between."""
    before = Transform(
        "classifier.0", "gelu", "classifier.2", "classifier.1", spec.Norm(eps=1e-5), norm_first=True
    )
    return Sequences("classifier.3", before=before, inner=wider * c.hidden_size)


VILT = register(
    Family(
        model_type="vilt",
        name="Vilt",
        config=ViltConfig,
        base="vilt",
        assembly=Pictured(
            stack,
            spec.Pictured,
            reads=(
                *("input_ids", "attention_mask", "token_type_ids", "pixel_values", "pixel_mask"),
                *("inputs_embeds", "image_embeds", "image_token_type_idx"),
            ),
        ),
        heads={
            "ForMaskedLM": Head("masked_lm", words, pooler=True),
            "ForQuestionAnswering": Head("visual_question_answering", lambda c: labels(c, 2), pooler=True),
            "ForImageAndTextRetrieval": Head(
                "text_of_picture", lambda c: Sequences("rank_output"), pooler=True
            ),
            "ForImagesAndTextClassification": Head(
                "several_pictures", lambda c: labels(c, c.num_images), pooler=True
            ),
            "ForTokenClassification": Head(
                "token_classification", lambda c: Labels("classifier", c.hidden_dropout_prob)
            ),
        },
        ignored=(r".*embeddings\.position_ids", r"mlm_score\.bias"),
        order=vit.ORDER,
    )
)
