"""What a client wants a text to be: JSON of its schema, compiled beside the event loop, in bounded time."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread

from formers.core.extras import MissingExtra
from formers.generation.structure import HEAD, LIMITS, Structure, compiled, is_compiled, schema_text
from formers.serving.limits import quoted
from formers.serving.writing import values
from formers.serving.writing.values import BadField, Body

LONGEST_SCHEMA = 64 * 1024  # characters of the schemas of one request
_CPU_SECONDS = 2  # that a schema may take to be compiled
_WALL_SECONDS = 20.0
# Compiled first where it can be stopped, for bytes: no limit of the library bounds every schema.
_TRIAL = """
import json, resource, sys
seconds, path, limits = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.path.append(path)
import llguidance
class Bytes:
    bos_token_id, eos_token_id, special_token_ids = None, 256, []
    tokens = [*(bytes([n]) for n in range(256)), b"\\xffend"]
    def __call__(self, text):
        return list(text)
made = llguidance.LLMatcher(llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes())), sys.stdin.read(),
                            log_level=0, limits=llguidance.LLParserLimits(**limits))
made.compute_bitmask()
"""


@dataclass(frozen=True)
class Form:
    """What a text may be.

    Attributes:
        param: the field that says so.
        source: rules in Lark's notation.
    """

    param: str
    source: str


def read_format(body: Body) -> str | None:
    """The schema that `response_format` asks for, as the library reads it; None for any text.

    Raises:
        BadField: it is none.
    """
    name = "response_format"
    given = body.get(name)
    if given is None or given == {"type": "text"}:
        return None
    if given == {"type": "json_object"}:
        return checked_schema(name, {"type": "object"}, strict=True)
    if not isinstance(given, dict) or given.get("type") != "json_schema":
        said = '{"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": ...}'
        raise BadField(name, f"{name} is {said}, not {quoted(given)}")
    values.check_known(given, ("type", "json_schema"), {})
    told = given.get("json_schema")
    if not isinstance(told, dict) or not isinstance(told.get("schema"), dict):
        raise BadField(name, f"{name}.json_schema is an object with a name and a schema")
    values.check_known(told, ("name", "schema", "strict", "description"), {})
    return checked_schema(name, told["schema"], strict=values.flag(told, "strict"))


def checked_schema(param: str, schema: dict[str, Any], *, strict: bool) -> str:
    """A schema as JSON, for the grammar; what it says that cannot be held to is refused where it is `strict`.

    Raises:
        BadField: it is too large.
    """
    try:
        text = schema_text(schema, not strict)
    except ValueError as error:
        raise BadField(param, f"{param}: {error}") from None
    if len(text) > LONGEST_SCHEMA:
        raise BadField(param, f"{param}: schemas have at most {LONGEST_SCHEMA} characters, not {len(text)}")
    return text


def json_form(schema: str) -> Form:
    """JSON of a schema, and nothing else."""
    return Form("response_format", f"{HEAD}start: %json {schema}")


_turns = CapacityLimiter(1)


async def structure_for(form: Form, tokenizer: Any) -> Structure:
    """Compile a form beside the event loop, one after the other.

    Raises:
        BadField: it cannot be compiled, or takes too long.
    """
    return await to_thread.run_sync(_compiled, form, tokenizer, limiter=_turns)


def _compiled(form: Form, tokenizer: Any) -> Structure:
    try:
        if not is_compiled(tokenizer, form.source):
            _try(form)
        return compiled(tokenizer, form.param, form.source)
    except MissingExtra as error:
        raise BadField(form.param, f"not supported by this server: {error}", "unsupported") from None
    except ValueError as error:
        raise BadField(form.param, str(error)) from None


def _try(form: Form) -> None:
    told = json.dumps([_CPU_SECONDS, sysconfig.get_path("platlib"), LIMITS])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRIAL, told],
            input=json.dumps({"grammars": [{"lark_grammar": form.source}]}).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_WALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        said = f"it takes more than {_CPU_SECONDS} s of processor time, or too much memory, to be compiled"
        raise BadField(form.param, f"{form.param} cannot be used: {said}")
