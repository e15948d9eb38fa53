"""Budgets of size: files, functions, and above all what one more model family costs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.size import code_lines, docstring_lines, family_files
from budget.source import PACKAGE, ROOT, Source, imports, sources

FILE_CODE_LINES = 500  # docstrings and comments are not counted: prose is no reason to cut a file
FUNCTION_LINES = 60
FAMILY_CODE_LINES = 150
PIPELINE_CODE_LINES = 1_480  # texts, pictures and sounds
TWO_STACK_FAMILY_CODE_LINES = 250  # encoder-decoders and multimodal families wire two stacks

DETECTOR_CODE_LINES = 300  # a backbone, an encoder, queries, and what stands beside

families = pytest.mark.parametrize("path", list(family_files()), ids=lambda path: path.stem)


def test_files_stay_readable():
    # no file has more lines of code than lines, and counting tokens takes time
    long = [source for source in sources() if len(source.text.splitlines()) > FILE_CODE_LINES]
    counted = {source.name: code_lines(source.text) for source in long}
    assert not {name: lines for name, lines in counted.items() if lines > FILE_CODE_LINES}


def test_functions_stay_readable():
    long = []
    for source in sources():
        for node in source.nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                # the body: a signature with many keywords is as long as it is documented
                length = (node.end_lineno or 0) - node.body[0].lineno + 1 - len(docstring_lines(node))
                if length >= FUNCTION_LINES:
                    long.append(f"{source.name}:{node.lineno} {node.name} has {length} lines")
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is_for():
    assert not [source.name for source in sources() if not ast.get_docstring(source.tree)]


def test_there_is_no_drawer_for_odds_and_ends():
    drawers = {"utils.py", "helpers.py", "misc.py", "common.py"}
    assert not [source.name for source in sources() if source.path.name in drawers]


def test_code_lines_count_neither_docstrings_nor_comments():
    assert code_lines('"""Doc.\n\nMore.\n"""\n\n# note\nx = 1  # here\ny = (\n    2,\n)\n') == 4
    assert code_lines('def f():\n    """Doc."""\n    return """a\nb"""\n') == 3


@families
def test_a_family_file_stays_within_its_budget(path):
    source = path.read_text()
    two_stacks = any(
        f"{made}(" in source
        for made in (
            "Captioning",
            "EncoderDecoder",
            "VideoMasks",
            "ImageText",
            "ComposedPair",
            "CrossAttentionLayers",
            "DynamicResolution",
            "LatentQueryText",
            "SpeechPair",
            "BridgedTowers",
            "VisionSpeechText",
        )
    )
    budget = TWO_STACK_FAMILY_CODE_LINES if two_stacks else FAMILY_CODE_LINES
    detects = any(
        f"{made}(" in source
        for made in ("GroundedQueryDetection", "HybridQueryDetection", "DeformableQueryDetection")
    )
    budget = DETECTOR_CODE_LINES if detects else budget
    assert code_lines(source) <= budget, (
        f"{path.name} has {code_lines(source)} lines of code, {budget} allowed"
    )


@families
def test_a_family_file_chooses_and_never_computes(path):
    tree = ast.parse(path.read_text())
    computed = [
        f"imports {name}"
        for _, name in imports(ast.walk(tree), "formers.models")
        if name.split(".")[0] == "torch"
    ]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in ("forward", "__call__"):
            computed.append(f"line {node.lineno} defines {node.name}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            computed.append(f"line {node.lineno} multiplies matrices")
        if isinstance(node, (ast.For, ast.While)):
            computed.append(f"line {node.lineno} loops")
    assert not computed, f"{path.name}: " + "; ".join(computed)


def test_no_code_asks_for_a_family_by_name():
    """Code dispatches on declared fields; only registries and tables of names may spell a model type."""
    families = {path.stem for path in family_files()}
    spelled = []
    for source in sources():
        if source.path.parent == PACKAGE / "models":
            continue
        for node in source.nodes:
            if isinstance(node, ast.Compare):
                words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                if families & words and "model_type" in ast.unparse(node):
                    spelled.append(f"{source.name}:{node.lineno} compares with {sorted(families & words)}")
    assert not spelled, "\n".join(spelled)


def _of_one_task(asked: Source, tasks: set[Path]) -> bool:
    """Whether one task alone is made of a module, which lies under no other then."""
    name = ".".join(("formers", *asked.path.relative_to(PACKAGE).with_suffix("").parts))
    users = [
        source.path
        for source in sources()
        if source.part == "pipelines"
        and any(f"{found}.".startswith(f"{name}.") for _, found in source.imports)
    ]
    return len(users) == 1 and users[0] in tasks


def test_what_lies_under_all_tasks_of_pipelines_stays_small():
    from formers.pipelines.table import TASKS

    modules = {str(task.pipeline_class).partition(":")[0] for task in TASKS}
    tasks = {PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py") for module in modules}
    files = set((PACKAGE / "pipelines").rglob("*.py"))
    assert tasks <= files
    tasks |= {PACKAGE / "pipelines" / name for name in ("__init__.py", "table.py")}  # a record for each
    tasks |= {source.path for source in sources() if source.path in files and _of_one_task(source, tasks)}
    lines = sum(code_lines(path.read_text()) for path in files - tasks)
    assert lines <= PIPELINE_CODE_LINES, f"{lines} lines of code, {PIPELINE_CODE_LINES} allowed"


def test_every_file_beside_the_registry_is_a_registered_family():
    from formers.models.table import FAMILIES

    assert {path.stem for path in family_files()} == {module for module, _ in FAMILIES.values()}


def test_every_family_is_compared_with_the_reference():
    from formers.models.table import FAMILIES
    from tests.parity import seq2seq_shapes, shapes

    compared = {*shapes.SHAPES, *seq2seq_shapes.SHAPES}
    compared.add("timm_wrapper")  # whose networks timm computes on both sides: tests/roundtrip/test_timm.py
    text = "".join(path.read_text() for path in (ROOT / "tests" / "parity").glob("*shapes.py"))
    assert not [one for one in FAMILIES if one not in compared and f'"{one}":' not in text]
