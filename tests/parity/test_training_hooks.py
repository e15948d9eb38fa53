"""Whatever the reference's trainer calls and a script may override is honoured here or refused."""

import types

import pytest
import transformers

import formers

THEIRS = [
    name
    for name, value in vars(transformers.Trainer).items()
    if isinstance(value, types.FunctionType) and not name.startswith("__")
]


@pytest.mark.parametrize("name", THEIRS)
def test_a_method_of_the_reference_is_there_or_refused(name):
    if not hasattr(getattr(formers.Trainer, name, None), "for_callers") and hasattr(formers.Trainer, name):
        type("Mine", (formers.Trainer,), {name: lambda self: None})
    else:
        with pytest.raises(TypeError, match=f"overrides {name}, which this Trainer never calls"):
            type("Mine", (formers.Trainer,), {name: lambda self: None})
