"""TAPAS (Herzig et al. 2020, arXiv:2004.02349): BERT over a question and a table."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.models import bert, layoutlm
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.specs import Tables


class TapasConfig(bert.BertConfig):
    """Configuration of TAPAS."""

    model_type = "tapas"
    _available = {
        **layoutlm.LayoutLMConfig._available,
        "type_vocab_size": (0,),
        "average_approximation_function": ("ratio", "first_order", "second_order"),
    }
    max_position_embeddings: int = 1024
    type_vocab_size: int = 0
    type_vocab_sizes: list[int] = [3, 256, 256, 2, 256, 256, 10]
    positive_label_weight: float = 10.0
    num_aggregation_labels: int = 0
    aggregation_loss_weight: float = 1.0
    use_answer_as_supervision: bool | None = None
    answer_loss_importance: float = 1.0
    use_normalized_answer_loss: bool = False
    huber_loss_delta: float | None = None
    temperature: float = 1.0
    aggregation_temperature: float = 1.0
    use_gumbel_for_cells: bool = False
    use_gumbel_for_aggregation: bool = False
    average_approximation_function: str = "ratio"
    cell_selection_preference: float | None = None
    answer_loss_cutoff: float | None = None
    max_num_rows: int = 64
    max_num_columns: int = 32
    average_logits_per_cell: bool = False
    select_one_column: bool = True
    allow_empty_column_selection: bool = False
    init_cell_selection_weights_to_zero: bool = False
    reset_position_index_per_cell: bool = True
    disable_per_token_loss: bool = False
    aggregation_labels: dict[int, str] | None = None
    no_aggregation_label_index: int | None = None


_KINDS = {f"type_{i}": f"embeddings.token_type_embeddings_{i}" for i in range(7)}


def stack(c: TapasConfig) -> spec.Stack:
    """BERT's stack, over seven kinds of types; positions start anew in every cell."""
    made = bert.stack(c, "TapasLayer")
    assert isinstance(made.stem, spec.Tokens)
    stem = replace(made.stem, kinds=tuple(c.type_vocab_sizes), restarts=c.reset_position_index_per_cell)
    return replace(made, stem=stem, names=bert.NAMES.with_(embeddings={"type": None, **_KINDS}))


def tables(c: TapasConfig) -> Tables:
    """Cells, and operators."""
    names = {"cell": "output_weights", "cell_bias": "output_bias", "column": "column_output_weights"}
    names |= {
        "column_bias": "column_output_bias",
        "operators": "aggregation_classifier",
        "dropout": "dropout",
    }
    return Tables(
        names=names,
        rows=c.max_num_rows,
        columns=c.max_num_columns,
        operators=c.num_aggregation_labels,
        std=0.0 if c.init_cell_selection_weights_to_zero else c.initializer_range,
        dropout=c.hidden_dropout_prob,
        temperature=c.temperature,
        operator_temperature=c.aggregation_temperature,
        one_column=c.select_one_column,
        no_column=c.allow_empty_column_selection,
        averaged=c.average_logits_per_cell,
        token_loss=not c.disable_per_token_loss,
        weak=bool(c.use_answer_as_supervision),
        average=c.average_approximation_function,
        draws_cells=c.use_gumbel_for_cells,
        draws_operators=c.use_gumbel_for_aggregation,
        normalised=c.use_normalized_answer_loss,
        positive_weight=c.positive_label_weight,
        operator_weight=c.aggregation_loss_weight,
        answer_weight=c.answer_loss_importance,
        huber=c.huber_loss_delta,
        preference=c.cell_selection_preference,
        cutoff=c.answer_loss_cutoff,
    )


TAPAS = register(
    Family(
        model_type="tapas",
        name="Tapas",
        config=TapasConfig,
        base="tapas",
        assembly=Single(stack),
        heads={
            "ForMaskedLM": bert.BERT.heads["ForMaskedLM"],
            "ForSequenceClassification": layoutlm.LAYOUTLM.heads["ForSequenceClassification"],
            "ForQuestionAnswering": Head("table_question_answering", tables, pooler=True),
        },
        ignored=bert.BERT.ignored,
    )
)
