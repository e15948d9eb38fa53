"""VisualBERT (Li et al. 2019, arXiv:1908.03557): BERT over a text and vectors of a picture's regions."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.region_tasks import PhraseSpec
from formers.tasks.specs import PreTrainingSpec, Sequences


class VisualBertConfig(PretrainedConfig):
    """Configuration of VisualBERT."""

    model_type = "visual_bert"
    _available = {"bypass_transformer": (False,)}  # no release could read pictures with it
    vocab_size: int = 30522
    hidden_size: int = 768
    visual_embedding_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    bypass_transformer: bool = False
    special_visual_initialize: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True


NAMES = bert.NAMES.with_(
    embeddings={
        "region": "embeddings.visual_projection",
        "region_type": "embeddings.visual_token_type_embeddings",
        "region_position": "embeddings.visual_position_embeddings",
    }
)


def stack(c: VisualBertConfig) -> spec.Stack:
    """BERT's layers over both."""
    made = bert.encoder(c, "VisualBertLayer")
    stem = spec.TextAndRegions(**vars(made.stem), source=c.visual_embedding_dim)
    return replace(made, stem=stem, names=NAMES)


def words(c: VisualBertConfig) -> PreTrainingSpec:
    """BERT's, where a label for the pair may be missing."""
    return replace(bert.words(c), words_suffice=True)


def phrases(c: VisualBertConfig) -> PhraseSpec:
    """The same, and one head that compares."""
    return PhraseSpec(**vars(words(c)), heads=c.num_attention_heads)


def labels(c: VisualBertConfig) -> Sequences:
    """A label, or a score for a choice."""
    return Sequences("cls", dropout=c.hidden_dropout_prob, dropout_path="dropout")


VISUAL_BERT = register(
    Family(
        model_type="visual_bert",
        name="VisualBert",
        config=VisualBertConfig,
        base="visual_bert",
        assembly=Single(
            stack,
            spec.TextAndRegions,
            reads=(
                *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
                *("visual_embeds", "visual_attention_mask", "visual_token_type_ids", "image_text_alignment"),
            ),
        ),
        heads={
            "ForPreTraining": Head("picture_pretraining", words, pooler=True),
            "ForMultipleChoice": Head("multiple_choice", labels, pooler=True),
            "ForQuestionAnswering": Head("region_questions", labels, pooler=True),
            "ForVisualReasoning": Head("region_reasoning", labels, pooler=True),
            "ForRegionToPhraseAlignment": Head("region_phrases", phrases, pooler=True),
        },
        ignored=bert.BERT.ignored,
    )
)
