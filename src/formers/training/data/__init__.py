"""Data for training: tables, columns, collators, samplers, loaders."""

from formers.training.data.columns import check_columns, column, columns_of, has_length, lengths_of
from formers.training.data.tables import label_maps, label_names, load_table, tokenize_rows

__all__ = [
    "check_columns",
    "column",
    "columns_of",
    "has_length",
    "label_maps",
    "label_names",
    "lengths_of",
    "load_table",
    "tokenize_rows",
]
