"""What importing costs: no torch for `import formers`, nothing heavy before its use, never the reference."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import formers
from budget.source import dotted_package, imports, run_on_import, sources
from formers import public

REFERENCE = {"transformers", "peft", "optimum", "evaluate", "sentence_transformers"}
# Optional packages and slow parts of torch: nothing but the function that uses them may import them.
HEAVY = {
    "accelerate",
    "bitsandbytes",
    "datasets",
    "fastapi",
    "matplotlib",
    "mlflow",
    "onnx",
    "onnxruntime",
    "pandas",
    "prometheus_client",
    "pyarrow",
    "scipy",
    "sentencepiece",
    "sklearn",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch._inductor",
    "uvicorn",
    "wandb",
}


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running `code`."""
    code += "\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_library_never_imports_the_reference():
    found = [
        f"{source.name}:{line} imports {name}"
        for source in sources()
        for line, name in source.imports
        if name.split(".")[0] in REFERENCE
    ]
    assert not found, "\n".join(found)


def test_heavy_packages_are_imported_where_they_are_used():
    found = [
        f"{source.name} imports {name} when it is itself imported"
        for source in sources()
        for _, name in imports(run_on_import(source.tree), dotted_package(source))
        if any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY)
    ]
    assert not found, "\n".join(found)


def test_what_runs_on_import_is_told_from_what_does_not():
    tree = ast.parse(
        "import a\nif TYPE_CHECKING:\n    import b\n"
        "class C:\n    import c\n    def f(self):\n        import d\n"
        "try:\n    import e\nexcept ImportError:\n    pass"
    )
    assert {name for _, name in imports(run_on_import(tree), "formers")} == {"a", "c", "e"}


def test_importing_the_package_loads_no_torch_and_nothing_heavy():
    loaded = loaded_after("import formers")
    assert not loaded & {"torch", "numpy", "tokenizers", "huggingface_hub", "safetensors", "typer", *HEAVY}


def test_the_auto_classes_load_no_torch_before_there_is_a_model():
    assert "torch" not in loaded_after("from formers import AutoConfig, AutoModelForSequenceClassification")


def test_the_names_of_a_training_script_load_no_part_of_a_model():
    names = "AutoModel, AutoTokenizer, Trainer, TrainingArguments, pipeline"
    loaded = loaded_after(f"from formers import {names}")
    rooms = ("formers.nn", "formers.stacks", "formers.assemblies", "formers.checkpoints.")
    assert not {name for name in loaded if name.startswith(rooms)}


def test_the_command_line_answers_help_without_torch():
    loaded = loaded_after(
        "import sys\nfrom formers.cli import main\nsys.argv = ['formers', '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )
    assert not loaded & {"torch", "numpy", "tokenizers", "huggingface_hub", *HEAVY}


def test_the_names_of_a_training_script_load_nothing_heavy_beyond_torch():
    names = "pipeline, AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments"
    beyond = loaded_after(f"from formers import {names}") - loaded_after("import torch")
    assert not {name for name in beyond if name in HEAVY}


def test_every_name_of_the_table_resolves():
    listed = set(dir(formers))
    for module, names in public.TABLE.items():
        for name in names:
            value = getattr(formers, name)
            assert value is getattr(sys.modules[module], name), name
            assert name in listed


def test_no_name_stands_twice_in_the_table():
    names = [name for names in public.TABLE.values() for name in names]
    assert sorted(names) == sorted(set(names))


def test_every_derived_name_resolves():
    from formers import names

    known = list(names.known())
    assert len(known) == len(set(known))
    for name in known:
        assert getattr(formers, name).__name__, name


def test_a_misspelt_name_is_refused_with_a_suggestion():
    with pytest.raises(AttributeError, match="did you mean 'AutoTokenizer'"):
        formers.AutoTokeniser  # noqa: B018


def test_a_star_import_brings_every_public_name():
    found: dict[str, object] = {}
    exec("from formers import *", found)
    assert {"pipeline", "Trainer", "AutoModel", "BertModel"} <= set(found)
    assert set(found) - {"__builtins__"} == set(formers.__all__)
