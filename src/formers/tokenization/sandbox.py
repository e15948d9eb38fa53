"""The Jinja environment of chat templates: a sandbox with a budget of steps and of text."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_STEPS = 1_000_000  # turns of loops, calls, filters; what is large counts more
MOST_CHARS = 10_000_000  # of a text that a template makes, and of all that it writes
MOST_WIDTH = 100_000  # of a number that says how wide something is; bits of a number that is computed
MOST_SECONDS = 5.0  # of processor time
MARKS = "__marks_of_generation__"
_ITEM = 50  # characters that an item of a list or map counts for
_SIZED = (str, bytes, list, tuple, dict, set, frozenset)
_PLAIN: tuple[type[Any], ...] = (
    *_SIZED, bool, int, float, range, Set, type({}.values()), type(None), jinja2.Undefined
)  # fmt: skip
_GROWING = {"expandtabs", "indent", "tojson", "wordwrap", "translate", "join", "batch"}
_WIDE = {"center", "ljust", "rjust", "zfill", "slice", "to_bytes", *_GROWING}
# filters that do not write their value out
_LOOKING = {
    "attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length",
    "list", "map", "max", "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr",
    "slice", "sort", "sum", "unique",
}  # fmt: skip
_SHORT = 1000  # characters of a text that is not worth weighing
# a width of six digits, or one that is given beside the format
_TOO_WIDE = {
    "%": re.compile(r"%[^a-zA-Z%]{0,40}(?:[0-9]{6}|\*)"),
    "format": re.compile(r"\{[^{}]*:[^{}]*(?:[0-9]{6}|\{)"),
}
_GUARDED = {"replace", "*", *_WIDE, *_TOO_WIDE, "format_map"}


class Exhausted(jinja2.TemplateRuntimeError):
    """The template wants more than its budget."""


class Budget:
    """What one run of a template may still do."""

    def __init__(self) -> None:
        self.steps, self.chars = MOST_STEPS, MOST_CHARS
        self._until = time.thread_time() + MOST_SECONDS
        self._looks = 0

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            Exhausted: when there are none left, or they took too long.
        """
        self.steps -= steps
        self._looks += 1
        if self.steps < 0:
            raise Exhausted(f"it takes more than {MOST_STEPS:,} steps")
        if not self._looks % 16 and time.thread_time() > self._until:
            raise Exhausted(f"it takes more than {MOST_SECONDS:g} s")

    def weigh(self, value: Any, shown: bool = False) -> int:
        """The size of a value written out; spends steps for looking.

        Raises:
            Exhausted: when it is too large.
            TemplateRuntimeError: when it is `shown` and no text or plain value.
        """
        size, left = 0, [value]
        while left:
            one = left.pop()
            if shown and not isinstance(one, _PLAIN):
                raise jinja2.TemplateRuntimeError(f"it writes a {type(one).__name__}, which is no text")
            if isinstance(one, _SIZED):
                size += len(one) if isinstance(one, (str, bytes)) else _ITEM * len(one)
            elif isinstance(one, int):
                size += one.bit_length() // 4
            if size > MOST_CHARS:
                raise Exhausted(f"it makes a value of more than {MOST_CHARS:,} characters")
            if isinstance(one, Mapping):
                left.extend(one)
                left.extend(one.values())
            elif isinstance(one, (list, tuple, set, frozenset)):
                left.extend(one)
        self.spend(1 + size // 1000)
        return size

    def foresee(self, name: str, value: Any, given: tuple[Any, ...]) -> None:
        """Refuse what would grow beyond the budget before it is made: `name` of `value` with `given`."""
        if name not in _GUARDED:
            return
        numbers = [abs(one) for one in given if isinstance(one, int)]
        width = max(numbers, default=0)
        if name in _WIDE and width > MOST_WIDTH:
            raise Exhausted(f"it makes something wider than {MOST_WIDTH:,} characters ({name})")
        if name == "replace" and len(given) > 1 and isinstance(value, str):
            old, new = str(given[0]), str(given[1])
            self._allow(value.count(old) * len(new))
        elif name == "*":
            self._allow(self.weigh(value) * max(given[0], 0))
        elif name in _GROWING:
            self._allow(self.weigh(value) * (1 + max([width, *(self.weigh(one) for one in given)])))
        elif (wide := _TOO_WIDE.get(name.removesuffix("_map"))) and isinstance(value, str):
            self._allow((value.count("%") + value.count("{")) * self.weigh(given, shown=True))
            if wide.search(value):
                raise Exhausted(f"the format {value[:50]!r} is too wide")

    def bits(self, count: int) -> None:
        """Refuse a whole number of so many bits."""
        if count > MOST_WIDTH:
            raise Exhausted("it computes a number that is too long")

    def _allow(self, size: int) -> None:
        if size > MOST_CHARS:
            raise Exhausted(f"it makes a text of more than {MOST_CHARS:,} characters")


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextlib.contextmanager
def budgeted() -> Iterator[Budget]:
    """Give a template a budget for the time of the block."""
    budget = Budget()
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def _budget() -> Budget:
    return _current.get() or Budget()


class Generation(Extension):
    """`{% generation %} ... {% endgeneration %}` marks what the assistant said."""

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        """Read the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = nodes.CallBlock(self.call_method("_mark"), [], [], body)
        return call.set_lineno(line)

    @jinja2.pass_context
    def _mark(self, context: Any, caller: Callable[[], str]) -> str:
        text, marks = caller(), context.get(MARKS)
        return f"{marks[0]}{text}{marks[1]}" if marks else text


class Sandbox(ImmutableSandboxedEnvironment):
    """Counts what a template does: turns of loops, calls, filters, operators, literals, what it writes."""

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[Generation, "jinja2.ext.loopcontrols"],
            finalize=_written,
        )
        self.filters["tojson"] = _tojson
        self.filters = {name: _counted(name, found) for name, found in self.filters.items()}
        self.filters |= {"_step": _step, "_made": _made, "_joined": _joined}
        self.globals.pop("lipsum")
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        _count_in(source)
        return super()._generate(source, *args, **kwargs)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (jinja's own)
        """Call what a template calls."""
        budget = _budget()
        known = getattr(__obj, "__wrapped__", __obj)
        budget.spend()
        budget.foresee(
            getattr(known, "__name__", ""), getattr(known, "__self__", None), (*args, *kwargs.values())
        )
        return _made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute what a template computes."""
        budget = _budget()
        budget.spend()
        if operator == "%":
            budget.foresee("%", left, right if isinstance(right, tuple) else (right,))
        elif operator != "+" and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length()
            budget.bits(bits * right if operator == "**" else bits + right.bit_length())
        elif operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, _SIZED) and isinstance(times, int):
                    budget.foresee("*", value, (times,))
        return _made(super().call_binop(context, operator, left, right))


def _made(value: Any) -> Any:
    if isinstance(value, str) and len(value) < _SHORT:
        return value
    if isinstance(value, _SIZED) or (isinstance(value, int) and value.bit_length() > 64):
        _budget().weigh(value)
    return value


def _joined(parts: list[Any]) -> str:
    if not all(isinstance(one, str) and len(one) < _SHORT for one in parts):
        _budget().weigh(parts, shown=True)
    return "".join(map(str, parts))


@jinja2.pass_context
def _step(context: Any, steps: int) -> bool:
    _budget().spend(steps)
    return True


def _written(value: Any) -> Any:
    budget = _budget()
    budget.chars -= len(value) if isinstance(value, str) else budget.weigh(value, shown=True)
    if budget.chars < 0:
        raise Exhausted(f"it writes more than {MOST_CHARS:,} characters")
    return value


def _counted(name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    skipped = 1 if hasattr(found, "jinja_pass_arg") else 0

    @functools.wraps(found)
    def run(*args: Any, **kwargs: Any) -> Any:
        budget = _budget()
        budget.spend()
        if hasattr(args[skipped], "__next__") and name not in _LOOKING - {"batch"}:
            args = (*args[:skipped], list(args[skipped]), *args[skipped + 1 :])
        value = args[skipped]
        if name not in _LOOKING and not (isinstance(value, str) and len(value) < _SHORT):
            budget.weigh(value, shown=True)
        budget.foresee("%" if name == "format" else name, value, (*args[skipped + 1 :], *kwargs.values()))
        return _made(found(*args, **kwargs))

    return run


def _count_in(source: nodes.Template) -> None:
    """Put the counting into a parsed template: into loops and macros, and around what makes new values."""

    def step(within: nodes.Node) -> nodes.Filter:
        data = sum(len(one.data) for one in within.find_all(nodes.TemplateData))
        return nodes.Filter(nodes.Const(1 + data // 100), "_step", [], [], None, None)

    for loop in source.find_all(nodes.For):
        if loop.test is not None:
            loop.test = nodes.And(step(loop), loop.test)
    blocks: tuple[type[Any], ...] = (nodes.For, nodes.Macro, nodes.CallBlock)
    for block in [one for kind in blocks for one in source.find_all(kind)]:
        block.body.insert(0, nodes.ExprStmt(step(block)))
    _wrap_literals(source)


def _wrap_literals(node: nodes.Node) -> None:
    for field, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, field, [_wrapped(one) for one in value])
        elif isinstance(value, nodes.Node):
            setattr(node, field, _wrapped(value))


def _wrapped(node: Any) -> Any:
    if not isinstance(node, nodes.Node):
        return node
    _wrap_literals(node)
    if isinstance(node, nodes.Concat):
        return nodes.Filter(nodes.List(node.nodes, lineno=node.lineno), "_joined", [], [], None, None)
    sliced = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    paired = isinstance(node, nodes.Tuple) and node.ctx == "load"
    if isinstance(node, (nodes.List, nodes.Dict)) or sliced or paired:
        return nodes.Filter(node, "_made", [], [], None, None)
    return node


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    if len(form) > 1000 or re.search(r"%[^a-zA-Z%]*[0-9]{3}", form):
        raise Exhausted("the format of strftime_now is too long")
    return datetime.now().strftime(form)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which a model has never seen.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
