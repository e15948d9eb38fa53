"""LUKE (Yamada et al. 2020, arXiv:2010.01057): RoBERTa over a text and the entities in it.

mLUKE (Ri et al. 2021, arXiv:2110.08151) is the same network over another vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from formers.assemblies.family import Family, Head
from formers.assemblies.text.entity_aware import EntityAware
from formers.models import bert, layoutlm, roberta
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import EntityLabels, EntityWords, Transform


class LukeConfig(roberta.RobertaConfig):
    """Configuration of LUKE."""

    model_type = "luke"
    _available = {
        name: value
        for name, value in layoutlm.LayoutLMConfig._available.items()
        if name != "classifier_dropout"
    }
    vocab_size: int = 50267
    entity_vocab_size: int = 500000
    entity_emb_size: int = 256
    use_entity_aware_attention: bool = True


_ENTITIES = {
    "entity": "entity_embeddings",
    "entity_projection": "entity_embedding_dense",
    "entity_position": "position_embeddings",
    "entity_type": "token_type_embeddings",
    "entity_norm": "LayerNorm",
    "entity_dropout": "dropout",
}
_QUERIES = {
    "text_entity_q": "attention.self.w2e_query",
    "entity_text_q": "attention.self.e2w_query",
    "entity_entity_q": "attention.self.e2e_query",
}


def stack(c: LukeConfig) -> spec.Stack:
    """RoBERTa's stack over both."""
    made = roberta.stack(c, "LukeLayer")
    assert isinstance(made.stem, spec.Tokens)
    entities = spec.Entities(
        c.entity_vocab_size,
        c.entity_emb_size,
        c.hidden_size,
        positions=c.max_position_embeddings,
        types=c.type_vocab_size,
        norm=spec.Norm("layer", c.layer_norm_eps),
        dropout=c.hidden_dropout_prob,
    )
    names = bert.NAMES.with_(
        embeddings={role: f"entity_embeddings.{path}" for role, path in _ENTITIES.items()},
        layer=_QUERIES if c.use_entity_aware_attention else {},
    )
    made = replace(made, stem=spec.EntityTokens(**vars(made.stem), entities=entities), names=names)
    if not c.use_entity_aware_attention:
        return made
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    layer = spec.layer(
        spec.EntityAware(heads, dropout=c.attention_probs_dropout_prob),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        entities.norm,
        dropout=c.hidden_dropout_prob,
    )
    return replace(made, layers=(layer,) * c.num_hidden_layers)


def words(c: LukeConfig) -> EntityWords:
    """RoBERTa's head for words, whose table is its own, and one for entities."""
    inside = "entity_predictions.transform"
    return EntityWords(
        **{**vars(roberta.words(c)), "tied": False},
        entities=Transform(
            f"{inside}.dense",
            c.hidden_act,
            f"{inside}.transform_act_fn",
            f"{inside}.LayerNorm",
            spec.Norm("layer", c.layer_norm_eps),
        ),
        inner=c.entity_emb_size,
        entity_out="entity_predictions.decoder",
        entity_bias="entity_predictions.bias",
        entity_count=c.entity_vocab_size,
    )


def labels(c: LukeConfig, count: int = 1, bias: bool = True) -> EntityLabels:
    """Labels of entities."""
    return EntityLabels("classifier", c.hidden_dropout_prob, count, bias)


READS = (
    *("input_ids", "attention_mask", "token_type_ids", "position_ids"),
    *("entity_ids", "entity_attention_mask", "entity_token_type_ids", "entity_position_ids"),
    "inputs_embeds",
)
LUKE = register(
    Family(
        model_type="luke",
        name="Luke",
        config=LukeConfig,
        base="luke",
        assembly=EntityAware(stack, spec.EntityTokens, reads=READS),
        heads={
            "ForMaskedLM": Head("hidden_entities", words, pooler=True),
            "ForEntityClassification": Head("entity_classification", labels, pooler=True),
            "ForEntityPairClassification": Head(
                "entity_classification", partial(labels, count=2, bias=False), pooler=True
            ),
            "ForEntitySpanClassification": Head("entity_spans", labels, pooler=True),
            **{
                ending: bert.BERT.heads[ending]
                for ending in (
                    *("ForSequenceClassification", "ForTokenClassification"),
                    *("ForQuestionAnswering", "ForMultipleChoice"),
                )
            },
        },
        ignored=bert.BERT.ignored,
    )
)
