"""Budgets of size: files, functions, and above all what one more model family costs."""

from __future__ import annotations

import ast

import pytest

from benchmarks.size import code_lines, docstring_lines, family_files
from budget.source import PACKAGE, ROOT, imports, sources

FILE_CODE_LINES = 500  # docstrings and comments are not counted: prose is no reason to cut a file
FUNCTION_LINES = 60
FAMILY_CODE_LINES = 150
PIPELINE_CODE_LINES = 1_510  # texts and pictures
TWO_STACK_FAMILY_CODE_LINES = 250  # encoder-decoders and multimodal families wire two stacks

families = pytest.mark.parametrize("path", list(family_files()), ids=lambda path: path.stem)


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_files_and_functions_stay_readable(source):
    lines = code_lines(source.text)
    assert lines <= FILE_CODE_LINES, f"{source.name} has {lines} lines of code"
    long = []
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # the body: a signature with many keywords is as long as it is documented
            length = (node.end_lineno or 0) - node.body[0].lineno + 1 - len(docstring_lines(node))
            if length >= FUNCTION_LINES:
                long.append(f"{source.name}:{node.lineno} {node.name} has {length} lines")
    assert not long, "\n".join(long)


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_every_module_says_what_it_is_for(source):
    assert ast.get_docstring(source.tree), f"{source.name} has no docstring"


def test_there_is_no_drawer_for_odds_and_ends():
    drawers = {"utils.py", "helpers.py", "misc.py", "common.py"}
    assert not [source.name for source in sources() if source.path.name in drawers]


def test_code_lines_count_neither_docstrings_nor_comments():
    assert code_lines('"""Doc.\n\nMore.\n"""\n\n# note\nx = 1  # here\ny = (\n    2,\n)\n') == 4
    assert code_lines('def f():\n    """Doc."""\n    return """a\nb"""\n') == 3


@families
def test_a_family_file_stays_within_its_budget(path):
    source = path.read_text()
    two_stacks = "EncoderDecoder(" in source
    budget = TWO_STACK_FAMILY_CODE_LINES if two_stacks else FAMILY_CODE_LINES
    assert code_lines(source) <= budget, (
        f"{path.name} has {code_lines(source)} lines of code, {budget} allowed"
    )


@families
def test_a_family_file_chooses_and_never_computes(path):
    tree = ast.parse(path.read_text())
    computed = [
        f"imports {name}" for _, name in imports(tree, "formers.models") if name.split(".")[0] == "torch"
    ]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in ("forward", "__call__"):
            computed.append(f"line {node.lineno} defines {node.name}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            computed.append(f"line {node.lineno} multiplies matrices")
        if isinstance(node, (ast.For, ast.While)):
            computed.append(f"line {node.lineno} loops")
    assert not computed, f"{path.name}: " + "; ".join(computed)


@families
def test_no_code_asks_for_this_family_by_name(path):
    """Code dispatches on declared fields; only registries and tables of names may spell a model type."""
    spelled = []
    for source in sources():
        if source.path.parent == PACKAGE / "models":
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Compare):
                words = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
                if path.stem in words and "model_type" in ast.unparse(node):
                    spelled.append(f"{source.name}:{node.lineno}")
    assert not spelled, f"compared with {path.stem!r}: {spelled}"


def test_what_lies_under_all_tasks_of_pipelines_stays_small():
    from formers.pipelines.table import TASKS

    modules = {str(task.pipeline_class).partition(":")[0] for task in TASKS}
    tasks = {PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py") for module in modules}
    files = set((PACKAGE / "pipelines").rglob("*.py"))
    assert tasks <= files
    tasks.add(PACKAGE / "pipelines" / "table.py")  # a record for each
    lines = sum(code_lines(path.read_text()) for path in files - tasks)
    assert lines <= PIPELINE_CODE_LINES, f"{lines} lines of code, {PIPELINE_CODE_LINES} allowed"


def test_every_file_beside_the_registry_is_a_registered_family():
    from formers.models.table import FAMILIES

    assert {path.stem for path in family_files()} == {module for module, _ in FAMILIES.values()}


def test_every_family_is_compared_with_the_reference():
    from formers.models.table import FAMILIES

    shapes = "".join(path.read_text() for path in (ROOT / "tests" / "parity").glob("*shapes.py"))
    assert not [model_type for model_type in FAMILIES if f'"{model_type}":' not in shapes]
