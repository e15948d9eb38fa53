"""What a body of `/v1/responses` asks for, and its answer: an object, or events in their order."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from formers.generation.engine import Request
from formers.generation.stopping import TokenBytes
from formers.serving.classify import encoded
from formers.serving.limits import Refusal, quoted
from formers.serving.settings import Settings
from formers.serving.writing import values
from formers.serving.writing.asked import Asked, Reader
from formers.serving.writing.forms import read_format
from formers.serving.writing.harmony import Thought, thought_tokens
from formers.serving.writing.kept import Kept, Message
from formers.serving.writing.shapes import Shape
from formers.serving.writing.texts import Piece, Told
from formers.serving.writing.tools import Call
from formers.serving.writing.values import BadField, Body

LOG_PROBS = "message.output_text.logprobs"
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512  # of the metadata, as the API has them
RESPONSE_FIELDS = (
    *("model", "input", "instructions", "previous_response_id", "store", "stream", "stream_options"),
    *("max_output_tokens", "temperature", "top_p", "top_k", "seed", "include", "top_logprobs"),
    *("metadata", "text", "user", "tools", "tool_choice", "parallel_tool_calls", "reasoning"),
)
# what is not done here, and the values besides null that ask for nothing
_NOT_HERE: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "service_tier": ("auto", "default"),
    "truncation": ("disabled",),
    **dict.fromkeys(("conversation", "prompt", "max_tool_calls", "moderation", "context_management"), ()),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), ()),
    **dict.fromkeys(("safety_identifier", "background_options", "access_programs", "image"), ()),
}
_FORMAT = "text.format"
_OF_FORMAT = ("name", "schema", "strict", "description")  # beside its type
_ROLES = ("user", "assistant", "system", "developer")
_PARTS = ("input_text", "output_text")
_NO_SUMMARY = ("summary", "encrypted_content")
_OUTPUTS = {"message": ("msg", "output_text"), "reasoning": ("rs", "reasoning_text")}
_OF_CALLS = {
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
}


@dataclass
class AskedResponse(Asked):
    """A checked request for a response.

    Attributes:
        conversation: the messages so far, without the instructions, which hold for this response alone.
        said: fields of the answer that repeat the request.
    """

    conversation: list[Message] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)


class ResponseReader(Reader):
    """Reads the bodies of `/v1/responses`, too.

    Args:
        model: what goes on with texts.
        tokenizer: its tokenizer.
        limits: of texts, their number and their lengths.
        name: what requests call the model.
        kept: responses that a request may go on from.
    """

    def __init__(self, model: Any, tokenizer: Any, limits: Settings, name: str, kept: Kept) -> None:
        super().__init__(model, tokenizer, limits, name)
        self.kept = kept

    def response(self, raw: bytes) -> AskedResponse:
        """The body of `/v1/responses`.

        Raises:
            Refusal: it cannot be answered.
        """
        body = self._body(raw, RESPONSE_FIELDS, _NOT_HERE)
        options = values.record(body, "stream_options")
        values.check_known(options, (), {"include_obfuscation": (False,)}, "stream_options.")
        logged, top = _includes(body), values.whole(body, "top_logprobs", 0, 20)
        if top is not None and not logged:
            raise BadField("top_logprobs", f'top_logprobs needs include: ["{LOG_PROBS}"]')
        said = self._said(body, top or 0)
        said["text"], schema = _format(body)
        effort = _effort(body)
        said["reasoning"] = {"effort": effort, "summary": None}
        tools = self._tools(_as_in_chats(body))
        if tools is not None:
            parallel = body.get("parallel_tool_calls") is not False
            choice = body.get("tool_choice") or "auto"
            said |= {"tools": body["tools"], "tool_choice": choice, "parallel_tool_calls": parallel}
        before = said["previous_response_id"]
        conversation = [] if before is None else self.kept.conversation(before)
        conversation = [*conversation, *self._items(body.get("input"))]
        system = [{"role": "system", "content": text} for text in (said["instructions"],) if text is not None]
        length = ("max_output_tokens", said["max_output_tokens"])
        try:
            told = self._told({**_as_in_chats(body), "reasoning_effort": effort}, {}, "reasoning.effort")
            prompt = self._conversation({"messages": [*system, *conversation]}, tools, told)
            asked = self._asked(body, [prompt], length, logged, top or 0, chat=True)
        except BadField as error:
            error.param = "input" if error.param == "messages" else error.param
            raise
        for name in ("temperature", "top_p"):
            said[name] = getattr(asked.config, name) if body.get(name) is None else body[name]
        self._bind(asked, tools, schema)
        if tools is None and asked.form is not None:
            asked.form = replace(asked.form, param=_FORMAT)
        return AskedResponse(**vars(asked), conversation=conversation, said=said)

    def _said(self, body: Body, top: int) -> dict[str, Any]:
        """The fields of the request that its answer repeats."""
        given = self.limits
        texts = {
            name: None if body.get(name) is None else values.text(body[name], name, given.max_chars)
            for name in ("instructions", "previous_response_id")
        }
        keeps = given.max_kept_responses > 0 if body.get("store") is None else values.flag(body, "store")
        if keeps and not given.max_kept_responses:
            raise BadField("store", "store: this server keeps no responses")
        return {
            **texts,
            "max_output_tokens": values.whole(body, "max_output_tokens", 1, given.max_new_tokens),
            "metadata": _metadata(values.record(body, "metadata")),
            "store": keeps,
            "top_logprobs": top,
            "user": body.get("user"),
        }

    def _items(self, given: Any) -> list[Message]:
        """The messages of `input`."""
        if isinstance(given, str):
            return [{"role": "user", "content": values.text(given, "input", self.limits.max_chars)}]
        if not isinstance(given, list) or not given:
            raise BadField("input", "input is a string, or a list of messages, none of them missing")
        found: list[Message] = []
        for place, item in enumerate(given):
            read = self._item(item, f"input[{place}]")
            thought = found.pop()["thought"] if found and "thought" in found[-1] else None
            if thought is not None and read["role"] == "assistant":  # of the item that follows
                read["reasoning_content"] = thought
            if "tool_calls" in read and found and found[-1]["role"] == "assistant":  # one answer's items
                calls = [*found[-1].get("tool_calls", ()), *read["tool_calls"]]
                found[-1] = {**found[-1], "tool_calls": calls}
            else:
                found.append(read)
        found = found if "content" in found[-1] else found[:-1]
        if not found:
            raise BadField("input", "input is thoughts alone: send the messages around them")
        return found

    def _item(self, item: Any, place: str) -> Message:
        if not isinstance(item, dict):
            raise BadField(place, f"{place} is an object, not {quoted(item)}")
        kind = item.get("type", "message")
        if isinstance(kind, str) and kind in _OF_CALLS:
            values.check_known(item, ("type", "id", "status", *_OF_CALLS[kind]), {}, f"{place}.")
            told = {
                name: values.text(item.get(name), f"{place}.{name}", self.limits.max_chars)
                for name in _OF_CALLS[kind]
            }
            number = told.pop("call_id")
            if kind == "function_call_output":
                return {"role": "tool", "tool_call_id": number, "content": told["output"]}
            call = {"id": number, "type": "function", "function": told}
            return {"role": "assistant", "content": "", "tool_calls": [call]}
        if kind == "reasoning":
            values.check_known(item, ("type", "id", "status", "content"), dict.fromkeys(_NO_SUMMARY, ([],)))
            parts = item.get("content") or []
            if not isinstance(parts, list) or not all(
                isinstance(one, dict) and set(one) == {"type", "text"} for one in parts
            ):
                raise BadField(
                    f"{place}.content",
                    f'{place}.content is a list of {{"type": "reasoning_text", "text": ...}}',
                )
            texts = [values.text(one["text"], f"{place}.content", self.limits.max_chars) for one in parts]
            return {"role": "assistant", "thought": "".join(texts)}
        if kind != "message":
            said = (
                f"{place}.type: {quoted(kind)} is not supported by this server: it reads messages and calls"
            )
            raise BadField(f"{place}.type", said, "unsupported")
        values.check_known(item, ("type", "role", "content", "id", "status"), {"phase": ()}, f"{place}.")
        role, content = item.get("role"), item.get("content")
        if role not in _ROLES:
            raise BadField(f"{place}.role", f"{place}.role is one of {', '.join(_ROLES)}, not {quoted(role)}")
        if isinstance(content, list):
            content = "".join(self._text(part, f"{place}.content[{i}]") for i, part in enumerate(content))
        return {"role": role, "content": values.text(content, f"{place}.content", self.limits.max_chars)}

    def _text(self, part: Any, place: str) -> str:
        if not isinstance(part, dict) or part.get("type") not in _PARTS:
            said = f'{place} is {{"type": "input_text", "text": ...}}: this server reads text alone'
            raise BadField(place, said)
        values.check_known(part, ("type", "text", "annotations", "logprobs"), {}, f"{place}.")
        return values.text(part.get("text"), f"{place}.text", self.limits.max_chars)


def _as_in_chats(body: Body) -> Body:
    """The fields about tools as chats have them, where what a function says lies one object deeper."""
    given, choice = body.get("tools"), body.get("tool_choice")
    if isinstance(given, list):
        given = [_deeper(tool) for tool in given]
    told = _deeper(choice) if given or choice != "auto" else None  # what nobody can choose is no choice
    return {"tools": given, "tool_choice": told, "parallel_tool_calls": body.get("parallel_tool_calls")}


def _deeper(given: Any) -> Any:
    if not isinstance(given, dict) or given.get("type") != "function":
        return given
    return {"type": "function", "function": {key: value for key, value in given.items() if key != "type"}}


def _format(body: Body) -> tuple[dict[str, Any], str | None]:
    """What the answer says of `text`, and the schema that `text.format` asks for, as chats have it."""
    given = values.record(body, "text")
    values.check_known(given, ("format",), {"verbosity": ("medium",)}, "text.")
    found = values.record(given, "format") or {"type": "text"}
    asked = found
    if found.get("type") == "json_schema":
        values.check_known(found, ("type", *_OF_FORMAT), {}, f"{_FORMAT}.")
        told = {name: value for name, value in found.items() if name in _OF_FORMAT}
        asked = {"type": "json_schema", "json_schema": told}
    try:
        return {"format": found}, read_format({"response_format": asked})
    except BadField as error:
        error.param, error.detail = _FORMAT, str(error.detail).replace("response_format", _FORMAT)
        raise


def _effort(body: Body) -> Any:
    """What `reasoning.effort` says."""
    given = values.record(body, "reasoning")
    values.check_known(given, ("effort",), {"summary": (), "generate_summary": ()}, "reasoning.")
    return given.get("effort")


def _includes(body: Body) -> bool:
    """Whether log-probabilities are asked for."""
    given = body.get("include") or []
    if not isinstance(given, list) or not all(one == LOG_PROBS for one in given):
        raise BadField("include", f'include: this server knows "{LOG_PROBS}" alone', "unsupported")
    return bool(given)


def _metadata(given: Body) -> dict[str, str]:
    pairs = [(key, value) for key, value in given.items() if isinstance(value, str)]
    short = all(len(key) <= _LONGEST_KEY and len(value) <= _LONGEST_VALUE for key, value in pairs)
    if len(pairs) < len(given) or len(pairs) > _MOST_PAIRS or not short:
        said = (
            f"metadata is an object of at most {_MOST_PAIRS} strings of at most {_LONGEST_VALUE} characters"
        )
        raise BadField("metadata", f"{said}, with names of at most {_LONGEST_KEY}")
    return dict(pairs)


class ResponseShape(Shape):
    """Writes one response, whole or as events; one that is stored is kept at its end.

    Args:
        asked: what was asked for.
        model: the model's name.
        pieces: what tokens add to a text.
        kept: where it is kept.
    """

    asked: AskedResponse

    def __init__(self, asked: AskedResponse, model: str, pieces: TokenBytes, kept: Kept) -> None:
        super().__init__(asked, model, pieces)
        self.kept = kept
        self.number = f"resp_{uuid.uuid4().hex}"
        self.head = {
            "id": self.number, "object": "response", "created_at": int(time.time()), "model": model
        }  # fmt: skip
        self._output: list[dict[str, Any]] = []  # what is whole
        self._open: dict[str, Any] | None = None  # the message, or the thoughts, that are being written
        self._texts: list[str] = []  # its pieces, and what is told of its tokens
        self._told: list[Told] = []
        self._untold: list[Told] = []  # tokens whose text is held back
        self._answer: dict[str, Any] | None = None  # the finished response
        self._numbers = itertools.count()

    def whole(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The answer to a request that is not streamed."""
        told = [one for piece in pieces for one in piece.told]
        self.events(Piece(0, "".join(piece.text for piece in pieces), told, pieces[-1].ended))
        assert self._answer is not None
        return self._answer

    # -- streamed -------------------------------------------------------------------------------------

    def start(self) -> bytes:
        """The events before any text."""
        begun = self._response("in_progress")
        return self._event("response.created", response=begun) + self._event(
            "response.in_progress", response=begun
        )

    def events(self, piece: Piece) -> bytes:
        """The events of a piece; with the last one, those that end the response."""
        found: list[bytes] = []
        self._untold += piece.told
        parts: list[str | Call | Thought] = [piece.text]
        if self._calls:
            parser = self._calls[0]
            parts = [*parser.add(piece.text), *(parser.end() if piece.ended is not None else ())]
        elif self._open is None:
            found += self._opening()
        for part in parts:
            if isinstance(part, Call):
                found += [*self._closing("completed"), *self._call(part)]
            elif isinstance(part, Thought):
                found += self._said(part.text, "reasoning")
            elif part or (self._untold and not self._calls):
                found += self._said(part)
        if piece.ended is not None:
            cut = piece.ended.reason == "length"
            if not self._calls_or_says():  # an answer has a message, be it empty
                found += self._closing("completed")
                found += self._opening()
            found += self._closing("incomplete" if cut else "completed")
            response = self._answer = self._ended(piece.ended)
            found.append(self._event(f"response.{response['status']}", response=response))
            if self.asked.said["store"]:
                self.kept.put(self.number, encoded(response), [*self.asked.conversation, self._message_of()])
        return b"".join(found)

    def end(self) -> bytes:
        """Nothing: the last piece said it all."""
        return b""

    def failed(self, refusal: Refusal) -> bytes:
        """The last event of a response that failed."""
        error = {"code": "server_error", "message": refusal.detail}
        return self._event("response.failed", response=self._response("failed", error=error))

    def _calls_or_says(self) -> bool:
        items = [*self._output, *([] if self._open is None else [self._open])]
        return any(item["type"] != "reasoning" for item in items)

    def _opening(self, kind: str = "message") -> list[bytes]:
        """A message, or thoughts, begin."""
        own: dict[str, Any] = {"role": "assistant"} if kind == "message" else {"summary": []}
        self._open = {"id": f"{_OUTPUTS[kind][0]}_{uuid.uuid4().hex}", "type": kind, **own}
        self._texts, self._told = [], []
        return [
            self._of_item("output_item.added", item={**self._open, "status": "in_progress", "content": []}),
            self._of_part("content_part.added", part=self._part("", [])),
        ]

    def _said(self, text: str, kind: str = "message") -> list[bytes]:
        """Text of a message or of thoughts, which begin with it where none are open."""
        found: list[bytes] = []
        if self._open is not None and self._open["type"] != kind:
            found += self._closing("completed")
        found += [] if self._open is not None else self._opening(kind)
        told, self._untold = self._untold, []
        self._texts.append(text)
        if kind == "reasoning":  # of whose tokens nothing is told
            return [*found, self._of_part("reasoning_text.delta", delta=text)]
        self._told += told
        return [*found, self._of_part("output_text.delta", delta=text, logprobs=self._log_probs(told))]

    def _closing(self, status: str) -> list[bytes]:
        """What is open ends."""
        if self._open is None:
            return []
        part = self._part("".join(self._texts), self._log_probs(self._told))
        item = {**self._open, "status": status, "content": [part]}
        told = {name: part[name] for name in ("text", "logprobs") if name in part}
        found = [
            self._of_part(f"{part['type']}.done", **told),
            self._of_part("content_part.done", part=part),
            self._of_item("output_item.done", item=item),
        ]
        self._output.append(item)
        self._open = None
        return found

    def _call(self, call: Call) -> list[bytes]:
        """A call is told when it is whole."""
        self._untold = []  # of its tokens nothing is told
        item = {
            "id": f"fc_{uuid.uuid4().hex}", "type": "function_call", "status": "completed",
            "call_id": call.identifier, "name": call.name, "arguments": call.arguments,
        }  # fmt: skip
        begun = {**item, "status": "in_progress", "arguments": ""}
        place = {"item_id": item["id"]}
        found = [
            self._of_item("output_item.added", item=begun),
            self._of_item("function_call_arguments.delta", **place, delta=call.arguments),
            self._of_item("function_call_arguments.done", **place, name=call.name, arguments=call.arguments),
            self._of_item("output_item.done", item=item),
        ]
        self._output.append(item)
        return found

    def _of_item(self, kind: str, **said: Any) -> bytes:
        return self._event(f"response.{kind}", output_index=len(self._output), **said)

    def _of_part(self, kind: str, **said: Any) -> bytes:
        assert self._open is not None
        return self._of_item(kind, item_id=self._open["id"], content_index=0, **said)

    def _event(self, kind: str, **said: Any) -> bytes:
        data = encoded({"type": kind, "sequence_number": next(self._numbers), **said})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    # -- parts ----------------------------------------------------------------------------------------

    def _ended(self, request: Request) -> dict[str, Any]:
        """The finished response."""
        cut = request.reason == "length"
        return self._response(
            "incomplete" if cut else "completed",
            output=self._output,
            usage=_usage(request, self._thought_tokens(request)),
            completed_at=None if cut else int(time.time()),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
        )

    def _thought_tokens(self, request: Request) -> int:
        return thought_tokens(request.tokens, self.pieces.of) if self.asked.channels else 0

    def _message_of(self) -> Message:
        """The answer as a message of the conversation."""
        texts = [item["content"][0]["text"] for item in self._output if item["type"] == "message"]
        calls = [
            {"id": item["call_id"], "type": "function",
             "function": {"name": item["name"], "arguments": item["arguments"]}}
            for item in self._output if item["type"] == "function_call"
        ]  # fmt: skip
        said: Message = {"role": "assistant", "content": "".join(texts)}
        if calls:
            thoughts = [one["content"][0]["text"] for one in self._output if one["type"] == "reasoning"]
            said["tool_calls"] = calls
            said |= {"reasoning_content": "".join(thoughts)} if thoughts else {}
        return said

    def _response(self, status: str, **known: Any) -> dict[str, Any]:
        nothing = dict.fromkeys(("completed_at", "error", "incomplete_details", "usage"))
        fixed = {
            "background": False,
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "truncation": "disabled",
        }
        return {**self.head, "status": status, **nothing, "output": [], **fixed, **self.asked.said, **known}

    def _part(self, text: str, logged: list[Any]) -> dict[str, Any]:
        """The content of what is open."""
        assert self._open is not None
        kind = _OUTPUTS[self._open["type"]][1]
        own = {"annotations": [], "logprobs": logged} if kind == "output_text" else {}
        return {"type": kind, "text": text, **own}

    def _log_probs(self, told: Sequence[Told]) -> list[Any]:
        found: list[Any] = self._logged(0, told)["content"]
        return found


def _usage(request: Request, thoughts: int) -> dict[str, Any]:
    read, written = len(request.prompt), len(request.tokens)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": request.known, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thoughts},
        "total_tokens": read + written,
    }
