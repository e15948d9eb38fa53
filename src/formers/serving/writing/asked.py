"""What a request asks for: its prompts as tokens, how they are gone on with, what is told of the texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formers.configs import GenerationConfig
from formers.core.notices import did_you_mean
from formers.generation.build import processors_for
from formers.generation.engine import Request
from formers.generation.processors.base import LogitsProcessor
from formers.generation.processors.repetition import OccurrencePenaltyLogitsProcessor
from formers.generation.processors.structured import StructuredOutputLogitsProcessor
from formers.generation.resolve import room_of, settings
from formers.generation.structure import Structure
from formers.serving.limits import LONGEST_KEY, quoted
from formers.serving.settings import Settings
from formers.serving.writing import values
from formers.serving.writing.forms import Form, json_form, read_format
from formers.serving.writing.harmony import channels_form, is_harmony
from formers.serving.writing.tools import Tools, form_of, read_calls, read_tools
from formers.serving.writing.values import BadField, Body
from formers.tokenization.templates import variables_of

MOST_NESTS = 8192  # lists and objects of a body: messages and their parts
MOST_BIASES = 1024
LONGEST_STOP = 1000  # characters
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
# what a template reads of the request itself, or is an argument of the tokenizer's, not a variable
_FIXED = (
    *("messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "tokenize"),
    *("chat_template", "conversation", "padding", "truncation", "max_length", "return_tensors"),
    *("return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
)
_COLDEST = 1e-5  # a temperature below takes the likeliest token: scores divided by it would overflow
_ROLES = {"developer": "system", **{role: role for role in ("system", "user", "assistant", "tool")}}
_OF_TOOLS = {
    "assistant": ("tool_calls", "reasoning_content"),
    "tool": ("tool_call_id",),
}  # fields of such messages
_COMMON = (
    *(
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
        "n",
    ),
    *("logprobs", "presence_penalty", "frequency_penalty", "logit_bias", "user"),
)
_FORMS = ("response_format", "tools", "tool_choice", "parallel_tool_calls")
_OF_TEMPLATE = ("reasoning_effort", "chat_template_kwargs")
CHAT_FIELDS = (*_COMMON, *_FORMS, *_OF_TEMPLATE, "messages", "max_completion_tokens", "top_logprobs")
TEXT_FIELDS = (*_COMMON, "prompt", "echo")
# what is not done here, and the values besides null that ask for nothing
_NOT_IN_CHAT: dict[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none",),
    **dict.fromkeys(("audio", "prediction", "verbosity", "web_search_options"), ()),
    **dict.fromkeys(("metadata", "prompt_cache_key", "safety_identifier"), ()),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "store": (False,),
}
_NOT_IN_TEXT: dict[str, tuple[Any, ...]] = {"best_of": (1,), "suffix": ("",)}


@dataclass
class Asked:
    """A checked request.

    Attributes:
        prompts: token ids of each, at least one.
        config: how they are gone on with; lengths are those of `prompts[0]` until `request` sets them.
        most: new tokens of each text.
        copies: texts for each prompt.
        stop: strings that end a text.
        logged: whether log-probabilities are wanted; `top` likeliest tokens beside each.
        echo: what each prompt reads as, where its text begins with it.
        chat: whether it is a chat.
        streams, counts: whether texts are sent as they come, and the usage behind them.
        penalties: of presence and of frequency.
        user: whom the client asks for; for the log.
        tools: that may be called.
        channels: whether the model writes its answer in channels.
        form: what the texts may be; `structure` is that, compiled.
    """

    prompts: list[list[int]]
    config: GenerationConfig
    most: int
    copies: int
    stop: tuple[str, ...]
    logged: bool
    top: int
    echo: list[str] | None
    chat: bool
    streams: bool
    counts: bool
    penalties: tuple[float, float]
    user: str | None
    tools: Tools | None = None
    channels: bool = False
    form: Form | None = None
    structure: Structure | None = None

    def request(self, model: Any, index: int, **given: Any) -> Request:
        """The engine's request for text `index`: `copies` of them for each prompt.

        Raises:
            BadField: a setting makes no sense.
        """
        prompt = self.prompts[index // self.copies]
        config = copy.deepcopy(self.config)
        config.max_length = len(prompt) + self.most
        if config.seed is not None:
            config.seed += index % self.copies
        own: list[LogitsProcessor] = []
        if any(self.penalties):
            own.append(OccurrencePenaltyLogitsProcessor(*self.penalties, len(prompt)))
        try:
            if self.structure is not None:
                own.append(StructuredOutputLogitsProcessor(self.structure, config.eos_token_id, len(prompt)))
            made = processors_for(
                config, prompt_length=len(prompt), model=model, device=model.device, own=own
            )
        except ValueError as error:
            raise BadField(None, str(error)) from None
        return Request(
            prompt, config, processors=made or None, wants_log_probs=self.logged, top=self.top, **given
        )


class Reader:
    """Reads bodies for one model.

    Args:
        model: what goes on with texts.
        tokenizer: its tokenizer.
        limits: of texts, their number and their lengths.
        name: what requests call the model.
    """

    def __init__(self, model: Any, tokenizer: Any, limits: Settings, name: str) -> None:
        self.model, self.tokenizer, self.limits, self.name = model, tokenizer, limits, name
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        trained = getattr(config, "max_position_embeddings", None)  # rotary positions go on behind it, badly
        self.room = min((room for room in (room_of(model), trained) if room), default=None)

    def chat(self, raw: bytes) -> Asked:
        """The body of `/v1/chat/completions`.

        Raises:
            Refusal: it cannot be answered.
        """
        body = self._body(raw, CHAT_FIELDS, _NOT_IN_CHAT)
        logged = values.flag(body, "logprobs")
        top = values.whole(body, "top_logprobs", 0, 20)
        if top is not None and not logged:
            raise BadField("top_logprobs", "top_logprobs needs logprobs: true")
        older, most = (values.whole(body, name, 1, self.limits.max_new_tokens) for name in
                       ("max_tokens", "max_completion_tokens"))  # fmt: skip
        if older is not None and most is not None and older != most:
            raise BadField("max_tokens", "max_tokens and max_completion_tokens are two names of one number")
        schema, tools = read_format(body), self._tools(body)
        prompt = self._conversation(
            body, tools, self._told(body, values.record(body, "chat_template_kwargs"))
        )
        name = "max_tokens" if most is None else "max_completion_tokens"
        found = self._asked(body, [prompt], (name, most or older), logged, top or 0, chat=True)
        self._bind(found, tools, schema)
        return found

    def text(self, raw: bytes) -> Asked:
        """The body of `/v1/completions`.

        Raises:
            Refusal: it cannot be answered.
        """
        return self.text_of(self._body(raw, TEXT_FIELDS, _NOT_IN_TEXT))

    def text_of(self, body: Body) -> Asked:
        """The same of a body that is read.

        Raises:
            Refusal: it cannot be answered.
        """
        top = values.whole(body, "logprobs", 0, 20)
        echo = values.flag(body, "echo")
        if echo and top is not None:
            raise BadField("echo", "echo with logprobs is not supported by this server: ask for one of them")
        given = values.texts_or_ids(body.get("prompt"), "prompt")
        if len(given) > self.limits.max_texts:
            raise BadField(
                "prompt", f"prompt holds {len(given)} texts; at most {self.limits.max_texts} are taken"
            )
        prompts = [self._prompt(one) for one in given]
        most = values.whole(body, "max_tokens", 1, self.limits.max_new_tokens)
        found = self._asked(body, prompts, ("max_tokens", most), top is not None, top or 0, chat=False)
        if echo:
            found.echo = [
                one if isinstance(one, str) else self.tokenizer.decode(ids, skip_special_tokens=True)
                for one, ids in zip(given, prompts, strict=True)
            ]
        return found

    def _body(self, raw: bytes, known: Sequence[str], unsupported: dict[str, tuple[Any, ...]]) -> Body:
        bounds = (self.limits.max_queued_tokens, MOST_NESTS)
        return values.body_of(raw, known, unsupported, self.name, *bounds)

    def _asked(
        self, body: Body, prompts: list[list[int]], length: tuple[str, int | None], logged: bool, top: int,
        *, chat: bool,
    ) -> Asked:  # fmt: skip
        copies = values.whole(body, "n", 1, max(1, self.limits.max_texts // len(prompts))) or 1
        streams = values.flag(body, "stream")
        options = body.get("stream_options") or {}
        if not isinstance(options, dict) or options and not streams:
            raise BadField("stream_options", "stream_options is an object, and goes with stream: true")
        values.check_known(options, ("include_usage",), {"include_obfuscation": (False,)})
        config = self._config(body)
        stop = (*_stops(body.get("stop")), *(config.stop_strings or ()))
        config.stop_strings = None
        config.max_new_tokens = most = self._most(prompts, *length, chat)
        return Asked(
            prompts=prompts,
            config=config,
            most=most,
            copies=copies,
            stop=stop,
            logged=logged,
            top=top,
            echo=None,
            chat=chat,
            streams=streams,
            counts=values.flag(options, "include_usage"),
            penalties=(
                values.number(body, "presence_penalty", -2, 2) or 0.0,
                values.number(body, "frequency_penalty", -2, 2) or 0.0,
            ),
            user=body.get("user"),
        )

    def _config(self, body: Body) -> GenerationConfig:
        """The model's own settings with what the request says; sampled unless the temperature is 0."""
        given: dict[str, Any] = {
            "temperature": values.number(body, "temperature", 0, 2),
            "top_p": values.number(body, "top_p", 0, 1),
            "top_k": values.whole(body, "top_k", 0, self.vocabulary),
            "seed": values.whole(body, "seed", -(2**63), 2**63 - 1),
            "sequence_bias": self._biases(body.get("logit_bias")),
        }
        if given["top_p"] == 0:
            raise BadField("top_p", "top_p lies above 0; temperature 0 takes the likeliest token")
        sampled = given["temperature"] is None or given["temperature"] >= _COLDEST
        given = {name: value for name, value in given.items() if value is not None}
        if not sampled:
            given = {name: value for name, value in given.items() if name == "sequence_bias"}
        own = self.model.generation_config
        if sampled and "top_k" not in given and not (own is not None and own.is_set("top_k")):
            given["top_k"] = 0  # the API knows no such limit
        return settings(self.model, None, {**given, "do_sample": sampled, "num_beams": 1})

    def _most(self, prompts: list[list[int]], name: str, asked: int | None, chat: bool) -> int:
        """How many tokens may follow."""
        longest = max(map(len, prompts))
        most = asked or (self.limits.max_new_tokens if chat else 16)
        if self.room is None or longest + most <= self.room:
            return most
        left = self.room - longest
        if left < 1 or asked is not None:
            said = f"the model reads {self.room} tokens at most, and the prompt has {longest}"
            place = name if left > 0 else "messages" if chat else "prompt"
            said += f": ask for at most {left} more" if left > 0 else ": shorten it"
            raise BadField(place, said, "context_length_exceeded")
        return left

    def _biases(self, given: Any) -> dict[tuple[int, ...], float] | None:
        if given is None or given == {}:
            return None
        if not isinstance(given, dict) or len(given) > MOST_BIASES:
            raise BadField("logit_bias", f"logit_bias is an object of at most {MOST_BIASES} token ids")
        found: dict[tuple[int, ...], float] = {}
        for key, bias in given.items():
            if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < self.vocabulary):
                said = f"{quoted(key)} is no token id: those lie below {self.vocabulary}"
                raise BadField("logit_bias", f"logit_bias: {said}")
            if isinstance(bias, bool) or not isinstance(bias, int | float) or not -100 <= bias <= 100:
                raise BadField(
                    "logit_bias", f"logit_bias: a bias lies between -100 and 100, not {quoted(bias)}"
                )
            found[int(key),] = float(bias)
        return found

    def _prompt(self, given: Any) -> list[int]:
        """The ids of a text, or ids that were given; where there are none, the token that begins texts."""
        if isinstance(given, str):
            text = values.text(given, "prompt", self.limits.max_chars)
            ids = list(self.tokenizer(text, verbose=False)["input_ids"])
        else:
            ids = given
            if not all(0 <= token < self.vocabulary for token in ids):
                raise BadField("prompt", f"prompt holds a token id that is not below {self.vocabulary}")
        if ids:
            return ids
        first = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id]
        if not (known := [token for token in first if token is not None]):
            raise BadField("prompt", "prompt is empty, and the model knows no token that begins a text")
        return known[:1]

    def _bind(self, asked: Asked, tools: Tools | None, schema: str | None) -> None:
        """Say what the texts of a chat may be: calls of tools, JSON of a schema."""
        template = self._template(None if tools is None else tools.given)
        asked.tools, asked.channels = tools, template is not None and is_harmony(template)
        if asked.channels:
            asked.form = channels_form(tools, schema, self.tokenizer)
        elif tools is not None:
            asked.form = form_of(tools, schema, self.tokenizer)
        elif schema is not None:
            asked.form = json_form(schema)

    def _template(self, tools: Any) -> str | None:
        known = self.tokenizer.chat_template is not None
        return self.tokenizer.get_chat_template(tools=tools) if known else None

    def _tools(self, body: Body) -> Tools | None:
        template = self._template(body.get("tools"))
        return read_tools(body, template, template is not None and "tools" in variables_of(template))

    def _told(self, body: Body, given: Mapping[str, Any], effort: str = "reasoning_effort") -> dict[str, Any]:
        """What a request tells the chat template besides messages and tools.

        Args:
            body: the request, with `tools` where there are any.
            given: variables by name.
            effort: what the request calls the variable `reasoning_effort`, which lies in `body`.

        Raises:
            BadField: the template reads no such variable, or the value is none for it.
        """
        template = self._template(body.get("tools"))
        read = frozenset() if template is None else variables_of(template) - set(_FIXED)
        found: dict[str, Any] = {}
        for name, value in given.items():
            if name not in read:
                said = did_you_mean(name, read) if len(name) <= LONGEST_KEY else ""
                said = f"the model's chat template reads no variable {quoted(name)}{said}"
                raise BadField("chat_template_kwargs", said)
            if not isinstance(value, str | int | float | bool | None):
                said = f"is text, a number, true or false, not {quoted(value)}"
                raise BadField("chat_template_kwargs", f"chat_template_kwargs: {name} {said}")
            found[name] = values.text(value, name, LONGEST_STOP) if isinstance(value, str) else value
        if (value := body.get("reasoning_effort")) is not None:
            if value not in _EFFORTS:
                raise BadField(effort, f"{effort} is one of {', '.join(_EFFORTS)}, not {quoted(value)}")
            if "reasoning_effort" not in read:
                said = f"{effort}: the model's chat template knows no effort: leave it out"
                raise BadField(effort, said, "unsupported")
            found["reasoning_effort"] = value
        return found

    def _conversation(
        self, body: Body, tools: Tools | None = None, told: Mapping[str, Any] | None = None
    ) -> list[int]:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadField("messages", 'messages is a list of objects with "role" and "content"')
        read = [self._message(one, f"messages[{place}]") for place, one in enumerate(messages)]
        if self.tokenizer.chat_template is None:
            said = "the model has no chat template: it goes on with texts, at /v1/completions"
            raise BadField("messages", said)
        try:
            found = self.tokenizer.apply_chat_template(
                read,
                tools=None if tools is None else tools.given,
                add_generation_prompt=True,
                return_dict=False,
                tokenizer_kwargs={"verbose": False},
                **(told or {}),
            )
        except ValueError as error:
            raise BadField("messages", f"the chat template refuses these messages: {error}") from None
        return list(found)

    def _message(self, message: Any, place: str) -> dict[str, Any]:
        if not isinstance(message, dict):
            raise BadField(place, f"{place} is an object, not {quoted(message)}")
        values.check_known(
            message,
            ("role", "content", "name", *_OF_TOOLS.get(str(message.get("role")), ())),
            dict.fromkeys(("annotations", "audio", "function_call", "refusal"), ([],)),
        )
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or role not in _ROLES:
            raise BadField(f"{place}.role", f"{place}.role is one of {', '.join(_ROLES)}, not {quoted(role)}")
        if isinstance(content, list):
            parts = [self._part(part, f"{place}.content[{i}]") for i, part in enumerate(content)]
            content = "".join(parts)
        read: dict[str, Any] = {"role": _ROLES[role]}
        if message.get("tool_calls"):
            read["tool_calls"] = read_calls(
                message["tool_calls"], f"{place}.tool_calls", self.limits.max_chars
            )
            content = content or ""
        read["content"] = values.text(content, f"{place}.content", self.limits.max_chars)
        if message.get("reasoning_content") is not None:
            thought = values.text(
                message["reasoning_content"], f"{place}.reasoning_content", self.limits.max_chars
            )
            read |= _thinking(thought, read)
        if role == "tool":
            identifier = values.text(message.get("tool_call_id"), f"{place}.tool_call_id", LONGEST_STOP)
            read["tool_call_id"] = identifier
        if message.get("name") is not None:
            read["name"] = values.text(message["name"], f"{place}.name", self.limits.max_chars)
        return read

    def _part(self, part: Any, place: str) -> str:
        if not isinstance(part, dict) or part.get("type") != "text" or set(part) != {"type", "text"}:
            raise BadField(place, f'{place} is {{"type": "text", "text": ...}}: this server reads text alone')
        return values.text(part["text"], f"{place}.text", self.limits.max_chars)


def _thinking(thought: str, message: dict[str, Any]) -> dict[str, str]:
    """The fields in which templates read an answer's thoughts; some take none beside both text and calls."""
    both = message.get("tool_calls") and message.get("content")
    return {} if both else {"thinking": thought, "reasoning_content": thought}


def _stops(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    found = [given] if isinstance(given, str) else given
    if (
        not isinstance(found, list)
        or len(found) > 4
        or not all(isinstance(one, str) and one for one in found)
    ):
        raise BadField(
            "stop", f"stop is a string, or a list of up to four, none of them empty, not {quoted(given)}"
        )
    return tuple(values.text(one, "stop", LONGEST_STOP) for one in found)
