"""The named classes, made from the table of recipes when they are first asked for."""

from __future__ import annotations

from formers.tokenization.recipes import CLASSES, RECIPES
from formers.tokenization.tokenizer import PreTrainedTokenizerFast

_made: dict[str, type[PreTrainedTokenizerFast]] = {}


def named_class(name: str) -> type[PreTrainedTokenizerFast]:
    """Return the class `name`; `XTokenizer` and `XTokenizerFast` are one class."""
    recipe = CLASSES[name]
    if recipe not in _made:
        row = RECIPES[recipe]
        _made[recipe] = type(
            f"{recipe}Tokenizer",
            (PreTrainedTokenizerFast,),
            {
                "__module__": "formers.tokenization",
                "__doc__": f"The tokenizer of {recipe} checkpoints; reads {', '.join(_names(recipe))}.",
                "recipe": row,
                "vocab_files_names": {key: names[0] for key, names in row.files.items()},
                "model_input_names": list(row.inputs),
                "padding_side": row.padding_side,
            },
        )
    return _made[recipe]


def _names(recipe: str) -> list[str]:
    return [*[names[0] for names in RECIPES[recipe].files.values()], "tokenizer.json"]
