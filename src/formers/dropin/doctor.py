"""Reads a project's sources: which names of the ecosystem they use, which are there, what to type instead."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from formers.core.notices import did_you_mean
from formers.core.older_names import REFUSED, SAME, Older
from formers.dropin import PACKAGES, using
from formers.dropin.spellings import table

READ = (*PACKAGES, "accelerate")
THERE, OLDER, ABSENT = "there", "older", "absent"
_SKIPPED = {".git", ".venv", "venv", "node_modules", "__pycache__", "site-packages", ".tox", "build", "dist"}
_SCRIPTS = ("*.sh", "*.bash", "Dockerfile*", "Makefile*", "*.yml", "*.yaml")
_ASKS = ("environ.get", "getenv", "environ.setdefault", "environ.pop")
_MESSAGE = re.compile(
    r"^(?:cannot import name '\w+' from '[\w.]+'|(?:module|No module named) '[\w.]+'[^:;]*)[:;]?\s*"
)


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One name that a source uses.

    Attributes:
        file, line: where.
        name: the whole name, such as `transformers.trainer_utils.set_seed` or `TrainingArguments(no_cuda=)`.
        kind: "name", "module", "keyword", "method", "task", "variable", "command", "value", or "file" for one
            that cannot be read.
        state: "there", "older" (it works; `why` has today's name), or "absent".
        why: the reason, or what to type instead.
        guarded: whether the source goes on without it (`try: ... except ImportError`).
    """

    file: str
    line: int
    name: str
    kind: str
    state: str
    why: str = ""
    guarded: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        files: how many were read.
        findings: one for every use of a name.
    """

    files: int
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """1 where something is needed that is not there, else 0."""
        return int(any(one.state == ABSENT and not one.guarded for one in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """The report for machines."""
        counts = Counter(one.state for one in self.findings)
        return {
            "files": self.files,
            "counts": {state: counts[state] for state in (THERE, OLDER, ABSENT)},
            "findings": [dataclasses.asdict(one) for one in self.findings],
        }

    def __str__(self) -> str:
        shown: dict[tuple[str, str, str], list[Finding]] = {}
        for one in self.findings:
            if one.state != THERE:
                state = "absent, but guarded" if one.state == ABSENT and one.guarded else one.state
                shown.setdefault((state, one.name, one.why), []).append(one)
        lines = []
        for (state, name, why), uses in sorted(shown.items()):
            more = f" and {len(uses) - 1} more" if len(uses) > 1 else ""
            lines.append(
                f"{state}: {name} ({uses[0].file}:{uses[0].line}{more})" + (f"\n    {why}" if why else "")
            )
        counts = Counter(one.state for one in self.findings)
        names = len({one.name for one in self.findings})
        lines.append(
            f"{self.files} files read, {names} names: {counts[THERE]} uses are there, {counts[OLDER]} are "
            f"older spellings that work, {counts[ABSENT]} are absent"
        )
        return "\n".join(lines)


def examine(path: str | Path) -> Report:
    """Read the sources under a folder, or one file: Python, notebooks, shell scripts and what builds images.

    Raises:
        FileNotFoundError: where there is nothing.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    files = [path] if path.is_file() else sorted(_sources(path))
    findings: set[Finding] = set()
    with using(packages=PACKAGES):
        for file in files:
            name = str(file.relative_to(path)) if path.is_dir() else file.name
            findings.update(_of_file(file, name))
    return Report(len(files), tuple(sorted(findings)))


def _sources(folder: Path) -> Iterator[Path]:
    for pattern in ("*.py", "*.ipynb", *_SCRIPTS):
        for file in folder.rglob(pattern):
            if not _SKIPPED & set(file.relative_to(folder).parts) and file.is_file():
                yield file


def _of_file(file: Path, name: str) -> Iterator[Finding]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".ipynb":
            text = _cells(text)
        if file.suffix not in (".py", ".ipynb"):
            yield from _commands(text, name)
            return
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError) as error:
        yield Finding(
            name, getattr(error, "lineno", 0) or 0, name, "file", ABSENT, f"it cannot be read: {error}"
        )
        return
    yield from Reader(name).read(tree)
    if file.suffix == ".ipynb":
        yield from _commands(text, name)


def _cells(text: str) -> str:
    """The code of a notebook; lines for the shell become comments."""
    cells = json.loads(text).get("cells", [])
    code = ["".join(cell.get("source", ())) for cell in cells if cell.get("cell_type") == "code"]
    lines = "\n".join(code).splitlines()
    return "\n".join(re.sub(r"^(\s*)([%!?].*)$", r"\1pass  # \2", line) for line in lines)


def _commands(text: str, name: str) -> Iterator[Finding]:
    rows = [one for one in table() if one.kind == "command"]
    for number, line in enumerate(text.splitlines(), 1):
        for row in rows:
            if re.search(rf"(?<![\w-]){row.where}\s+{row.old}\b", line):
                why = f"type: {row.new}; the older one runs after python -m formers.dropin --install-pth"
                yield Finding(name, number, f"{row.where} {row.old}", "command", OLDER, why)


class Reader(ast.NodeVisitor):
    """Finds the uses in one tree."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[Finding] = []
        self._modules: dict[str, str] = {}  # local name -> module
        self._names: dict[str, str] = {}  # local name -> name of the ecosystem
        self._guards = 0

    def read(self, tree: ast.AST) -> list[Finding]:
        """All uses."""
        self.visit(tree)
        return self._found

    def _say(self, node: Any, name: str, kind: str, state: str, why: str = "") -> None:
        self._found.append(Finding(self._file, node.lineno, name, kind, state, why, self._guards > 0))

    def visit_Try(self, node: ast.Try) -> None:
        """What stands in a `try` that catches a failed import is not needed."""
        caught = " ".join(ast.unparse(one.type) if one.type else "Exception" for one in node.handlers)
        guards = bool(re.search(r"ImportError|ModuleNotFound|AttributeError|\bException", caught))
        self._guards += guards
        for tried in node.body:
            self.visit(tried)
        self._guards -= guards
        for rest in (node.handlers, node.orelse, node.finalbody):
            for one in rest:
                self.visit(one)

    def visit_If(self, node: ast.If) -> None:
        """What stands behind a question for a version or a package is not needed."""
        asked = bool(re.search(r"_available\(|version|hasattr\(|TYPE_CHECKING", ast.unparse(node.test)))
        self._guards += asked
        self.generic_visit(node)
        self._guards -= asked

    def visit_Import(self, node: ast.Import) -> None:
        """`import transformers.x as y`."""
        for one in node.names:
            if one.name.partition(".")[0] in READ:
                self._modules[one.asname or one.name.partition(".")[0]] = (
                    one.name if one.asname else one.name.partition(".")[0]
                )
                self._judge(node, one.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from transformers.x import y`."""
        if node.level or (node.module or "").partition(".")[0] not in READ:
            return
        module = str(node.module)
        for one in node.names:
            if one.name == "*":
                self._judge(node, module)
                continue
            self._names[one.asname or one.name] = one.name
            self._modules[one.asname or one.name] = f"{module}.{one.name}"
            self._judge(node, module, one.name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """`transformers.x.y`, and methods that have another name now."""
        path = _dotted(node)
        root, _, rest = path.partition(".")
        if root in self._modules and rest and self._modules[root].partition(".")[0] in READ:
            whole = f"{self._modules[root]}.{rest}"
            if root not in self._names or whole.count(".") == whole.lower().count("."):
                self._judge(node, *_split(whole))
            return
        for row in table():
            if row.kind == "method" and row.old == node.attr and _belongs(row, ast.unparse(node.value)):
                self._say(node, f"{row.where}.{row.old}", "method", OLDER, f"today: {row.new}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Keywords, tasks of pipelines, and variables of the environment."""
        called = ast.unparse(node.func)
        last = self._names.get(called, called.rpartition(".")[2])
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._keyword(node, last, keyword)
        if last == "pipeline" and node.args and isinstance(node.args[0], ast.Constant):
            self._task(node, str(node.args[0].value))
        if called.endswith(_ASKS) and node.args and isinstance(node.args[0], ast.Constant):
            self._variable(node, str(node.args[0].value))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`os.environ["..."]`."""
        if ast.unparse(node.value).endswith("environ") and isinstance(node.slice, ast.Constant):
            self._variable(node, str(node.slice.value))
        self.generic_visit(node)

    def _variable(self, node: Any, name: str) -> None:
        for row in table():
            if row.kind == "variable" and row.old == name:
                self._say(node, name, "variable", OLDER, f"today: {row.new}")

    def _keyword(self, node: Any, called: str, keyword: ast.keyword) -> None:
        name = f"{called}({keyword.arg}=)"
        if called == "pipeline" and keyword.arg == "task" and isinstance(keyword.value, ast.Constant):
            self._task(node, str(keyword.value.value))
        if keyword.arg == "return_tensors" and isinstance(keyword.value, ast.Constant):
            for row in table():
                if row.kind == "value" and row.old == keyword.value.value:
                    self._say(node, f"return_tensors={row.old!r}", "value", ABSENT, f"use {row.new}")
        if called.endswith("TrainingArguments"):
            self._argument(node, name, str(keyword.arg))
            return
        for row in table():
            fits = row.where == called or (row.where == "Trainer" and called.endswith("Trainer"))
            if row.kind == "keyword" and row.old == keyword.arg and fits:
                self._say_row(node, name, row)

    def _argument(self, node: Any, name: str, word: str) -> None:
        from formers.training.arguments import Seq2SeqTrainingArguments

        known = {one.old: one for one in table() if one.where == "TrainingArguments"}
        fields = [one.name for one in dataclasses.fields(Seq2SeqTrainingArguments)]
        if word in fields:
            self._say(node, name, "keyword", THERE)
        elif word in known:
            self._say_row(node, name, known[word])
        elif name.startswith(
            ("TrainingArguments(", "Seq2SeqTrainingArguments(")
        ):  # not a class of the project
            self._say(node, name, "keyword", ABSENT, did_you_mean(word, [*fields, *known]).removeprefix("; "))

    def _say_row(self, node: Any, name: str, row: Older) -> None:
        if row.done == REFUSED:
            self._say(node, name, "keyword", ABSENT, row.new)
        else:
            today = "today" if row.done == SAME else "it has no effect"
            self._say(node, name, "keyword", OLDER, f"{today}: {row.new}")

    def _task(self, node: Any, task: str) -> None:
        from formers.pipelines import PIPELINE_REGISTRY

        try:
            PIPELINE_REGISTRY.check_task(task)
        except KeyError as error:
            self._say(node, f"pipeline({task!r})", "task", ABSENT, str(error.args[0]))
        else:
            self._say(node, f"pipeline({task!r})", "task", THERE)

    def _judge(self, node: Any, module: str, name: str = "") -> None:
        """Look a name up as an import would."""
        whole = f"{module}.{name}" if name else module
        if why := reason(module, name):
            self._say(node, whole, "name" if name else "module", ABSENT, why)
            return
        older = next((one for one in table() if one.old == name and one.kind in ("class", "function")), None)
        state = OLDER if older is not None else THERE
        self._say(node, whole, "name" if name else "module", state, f"today: {older.new}" if older else "")


def reason(module: str, name: str = "") -> str:
    """Why a module, or a name of it, cannot be had from formers; empty where it can.

    Asks what stands for the packages now: within `formers.dropin.using(packages=PACKAGES)`.
    """
    try:
        held = importlib.import_module(module)
        if name:
            try:
                getattr(held, name)
            except AttributeError as error:
                try:
                    importlib.import_module(f"{module}.{name}")
                except ImportError:
                    raise error from None
    except (ImportError, AttributeError) as error:
        return _MESSAGE.sub("", str(error)) or "it is not part of this version"
    return ""


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _split(whole: str) -> tuple[str, str]:
    """A dotted name as module and name: the module ends before the first part that is none."""
    parts = whole.split(".")
    end = 1
    while end < len(parts) - 1 and not reason(".".join(parts[: end + 1])):
        end += 1
    return ".".join(parts[:end]), parts[end] if end < len(parts) else ""


def _belongs(row: Older, owner: str) -> bool:
    """Whether what a method is called on may be what the row speaks of, by its name."""
    words = {"tokenizer": ("tok",), "model": ("model", "bert", "gpt", "t5", "self")}[row.where]
    return any(word in owner.lower() for word in words)
