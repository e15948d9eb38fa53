"""A chat with a decoder: its history, the answers as they come, and what the model need not read again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from formers.core.atomic import write_text
from formers.core.jsonfile import BadJson, read_json
from formers.core.notices import refuse_unknown
from formers.generation.decoder import cache_name
from formers.generation.streamers import BaseStreamer, RunningText
from formers.jobs.predictor import model_name
from formers.nn.cache import DynamicCache
from formers.pipelines.registry import PIPELINE_REGISTRY
from formers.pipelines.text.generation import TextGenerationPipeline
from formers.processing.reading import load_image
from formers.tokenization.options import LARGEST_LIMIT

if TYPE_CHECKING:
    from typing_extensions import Self

Message = dict[str, Any]
_TASKS = ("image-text-to-text", "text-generation")
# one answer, as it comes, of a length that leaves room for it
_SETTLED = {"num_beams": 1, "num_return_sequences": 1, "return_dict_in_generate": False, "max_length": None}
_SHAPES = ("temperature", "top_p", "top_k", "min_p", "typical_p")


@dataclass(frozen=True)
class Answer:
    """What the model said.

    Attributes:
        text: all of it.
        tokens: how many it has.
        read: tokens of the prompt that were read for it: those that no turn before has read.
        seconds: until the last token.
        stopped: somebody stopped it.
        left_out: turns that had to be left out of the prompt now, the oldest ones.
    """

    text: str
    tokens: int
    read: int
    seconds: float
    stopped: bool
    left_out: int


class Chat:
    """A conversation that goes on from answer to answer.

    A turn costs what it adds: keys and values of the turns before are kept for as long as the prompt begins
    with the same tokens. A prompt beyond what the model reads loses its oldest turns.

    Args:
        model: a decoder.
        tokenizer: its tokenizer. Without a chat template the texts stand one after the other, as they are. Of
            a model that reads pictures its processor.
        system: what the model is told before all.
        settings: of `generate`. What they leave open is the model's own, then as of the pipeline.

    Attributes:
        messages: what was said, `{"role": "user" or "assistant", "content": text}`; where pictures were shown
            the content is parts, `{"type": "image", "path": ...}` and `{"type": "text", "text": ...}`.
        templated: whether there is a chat template.

    Raises:
        TypeError: for a setting that there is not.
        ValueError: for a setting that contradicts a chat.
    """

    def __init__(self, model: Any, tokenizer: Any, system: str | None = None, **settings: Any) -> None:
        own = model.generation_config
        check_settings(settings)
        self.processor = tokenizer if hasattr(tokenizer, "tokenizer") else None
        self.model, self.tokenizer, self.system = model, getattr(tokenizer, "tokenizer", tokenizer), system
        self._shown: list[Any] = []  # pictures that the next message shows
        self.messages: list[Message] = []
        templates = (getattr(one, "chat_template", None) for one in (tokenizer, self.tokenizer))
        self.templated = any(map(bool, templates))
        defaults = TextGenerationPipeline.defaults
        self.settings: dict[str, Any] = {k: v for k, v in defaults.items() if not own.is_set(k)}
        self.settings["max_new_tokens"] = own.max_new_tokens or defaults["max_new_tokens"]
        if not {"do_sample": own.do_sample, **self.settings, **settings}["do_sample"]:
            self.settings |= dict.fromkeys(_SHAPES)  # the model's own are for drawing
        self.settings |= {**settings, **_SETTLED}
        self._caches = (
            cache_name(model) in ("past_key_values", "cache_params")
            and settings.get("cache_implementation", own.cache_implementation) is None
            and settings.get("use_cache", True)
        )
        self._first = 0  # the first message that still has room
        self._cache: Any = None
        self._held: list[int] = []  # the tokens whose keys and values the cache holds
        self._held_shown: list[Any] = []  # the pictures among them, whose tokens are all alike
        self._writer: _Writer | None = None

    @classmethod
    def load(
        cls, name: str, system: str | None = None, device: Any = None, dtype: Any = None, **settings: Any
    ) -> Self:
        """A chat with the model `name`, a folder or a Hub id; the rest is as in the class.

        Raises:
            OSError: when there is no such model.
            ValueError: for a model that is not made to go on with texts.
        """
        from formers import AutoConfig, pipeline

        check_settings(settings)  # before anything large is loaded
        name = model_name(name)
        config = AutoConfig.from_pretrained(name)
        declared = list(getattr(config, "architectures", None) or ())
        tasks = [PIPELINE_REGISTRY.get(one) for one in _TASKS]
        shows = bool(declared) and any(map(tasks[0].answered_by, declared))
        task = tasks[0] if shows else tasks[1]
        bare = [one for one in declared if one.endswith("Model")]  # its head may be the table of its tokens
        wrong = declared and not bare and not any(map(task.answered_by, declared))
        if wrong or config.is_encoder_decoder:
            raise ValueError(_refusal(name, declared or [type(config).__name__]))
        pipe = pipeline(task.name, model=name, config=config, device=device, dtype=dtype)
        if pipe.model.load_report.new:
            raise ValueError(_refusal(name, declared))
        return cls(pipe.model, pipe.processor if shows else pipe.tokenizer, system, **settings)

    def show(self, picture: Any) -> None:
        """Show a picture with the next message: a path, an address, or what else `load_image` reads.

        Raises:
            BadPicture: when it cannot be read.
            ValueError: for a model that reads none, or has no chat template.
        """
        if self.processor is None:
            raise ValueError(f"{type(self.model).__name__} reads texts alone: it can be shown no picture")
        if not self.templated:
            raise ValueError("without a chat template nothing says where a picture stands in a text")
        load_image(picture)  # now, rather than in the middle of an answer
        self._shown.append(picture)

    # -- answers ------------------------------------------------------------------------------------------

    def answer(self, text: str, write: Callable[[str], Any] | None = None) -> Answer:
        """Say `text` and get the answer, whose pieces `write` gets as they come.

        An answer that breaks off keeps what was said; where nothing was, the chat is as before.

        Raises:
            ValueError: for a text beyond what the model reads, or that the chat template refuses.
        """
        began, first, start = len(self.messages), self._first, time.perf_counter()
        writer = self._writer = _Writer(self.tokenizer, write)
        shown, self._shown = self._shown, []
        content = [*map(_as_part, shown), _as_text_part(text)] if shown else text
        self.messages.append({"role": "user", "content": content})
        try:
            given = self._prompt()
            ids = given["input_ids"]
            held = self._generate(given, writer)
        finally:
            self._writer = None
            if writer.text:
                self.messages.append({"role": "assistant", "content": writer.text})
            else:
                del self.messages[began:]
                self._shown = shown
        left_out = sum(one["role"] == "user" for one in self.messages[first : self._first])
        seconds = time.perf_counter() - start
        return Answer(writer.text, writer.tokens, len(ids) - held, seconds, writer.closed, left_out)

    def stop(self) -> None:
        """Let the answer that is being given end with its next token. Any thread may say so."""
        if self._writer is not None:
            self._writer.close()

    def _generate(self, inputs: dict[str, Any], writer: _Writer) -> int:
        """Let the model go on with what was said and shown; how many of its tokens were read before."""
        ids = inputs["input_ids"]
        pictures = _pictures(self.messages[self._first :])
        if self._held_shown != pictures[: len(self._held_shown)]:
            self._held = []
        cache, held = self._kept(ids) if self._caches else (None, 0)
        given = dict(self.settings)
        if (room := self.room) is not None:
            given["max_new_tokens"] = min(given["max_new_tokens"], room - len(ids))
        if cache is not None:
            given[cache_name(self.model)] = cache
        self._cache, self._held = None, []  # whatever breaks off leaves layers of different lengths
        row = torch.tensor([ids], device=self.model.device)
        shown = {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
            if name not in ("input_ids", "attention_mask")
        }
        found = self.model.generate(
            row,
            attention_mask=torch.ones_like(row),
            tokenizer=self.tokenizer,
            streamer=writer,
            **shown,
            **given,
        )
        if cache is not None:
            self._cache, self._held = cache, found[0, : cache.get_seq_length()].tolist()
            self._held_shown = pictures
        return held

    def _kept(self, ids: list[int]) -> tuple[Any, int]:
        """A cache that holds the beginning of `ids`, and how many; the last one is always left to read."""
        same = 0
        for held, wanted in zip(self._held, ids[:-1], strict=False):
            if held != wanted:
                break
            same += 1
        if same and same < len(self._held):  # the template writes older turns in another way, or a text
            try:  # is cut into other tokens than it was written in
                self._cache.crop(same)
            except ValueError:  # a state, or a window that has moved, cannot go back
                same = 0
        return (self._cache if same else DynamicCache()), same

    # -- prompts ------------------------------------------------------------------------------------------

    @property
    def room(self) -> int | None:
        """How many tokens the model reads; None where nothing says so."""
        config = self.model.config.get_text_config(decoder=True)
        known = (getattr(config, "max_position_embeddings", None), self.tokenizer.model_max_length)
        least = min((n for n in known if n), default=LARGEST_LIMIT)
        return int(least) if least < LARGEST_LIMIT else None

    def _prompt(self) -> dict[str, Any]:
        """The tokens of the history and what it shows, without the oldest turns where there is no room."""
        room = self.room or LARGEST_LIMIT
        turns = [i for i, one in enumerate(self.messages) if one["role"] == "user" and i > self._first]
        for first in (self._first, *turns):
            found = self._inputs(self.messages[first:])
            ids = found["input_ids"]
            if len(ids) + min(self.settings["max_new_tokens"], room // 2) <= room:
                break
        if len(ids) >= room:
            raise ValueError(f"this message makes {len(ids)} tokens and the model reads {room}: shorten it")
        self._first = first
        return found

    @property
    def _parts(self) -> bool:
        """Whether messages are lists of parts, as templates of models expect them that read pictures."""
        return self.processor is not None and self.templated

    def _inputs(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Tokens, and where something is shown all that the model reads of it."""
        if self.system:
            content = [_as_text_part(self.system)] if self._parts else self.system
            messages = [{"role": "system", "content": content}, *messages]
        if not self.templated:
            return {"input_ids": self.tokenizer(_plain(messages))["input_ids"]}
        if self.processor is None:
            ids = self.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, return_dict=False
            )
            return {"input_ids": ids}
        found = self.processor.apply_chat_template(
            [_with_parts(one) for one in messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        return {**found, "input_ids": found["input_ids"][0].tolist()}

    # -- histories ----------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget what was said and shown."""
        self.messages, self._shown, self._first = [], [], 0

    def save(self, path: str | Path) -> None:
        """Write the system's text and what was said as a JSON list of messages.

        Raises:
            ValueError: when another kind of file stands there.
        """
        path = Path(path)
        if path.exists():
            read_messages(path)
        system = [{"role": "system", "content": self.system}] if self.system else []
        write_text(path, as_text([*system, *self.messages]))

    def restore(self, path: str | Path) -> None:
        """Go on where a chat was saved.

        Raises:
            OSError: when the file cannot be read, or holds something else.
        """
        found = read_messages(Path(path))
        self.reset()
        if self.processor is None and any(not isinstance(one["content"], str) for one in found):
            raise ValueError(f"{path} shows pictures, and {type(self.model).__name__} reads texts alone")
        self.system = found.pop(0)["content"] if found and found[0]["role"] == "system" else None
        self.messages = found


class _Writer(BaseStreamer):
    """Collects the answer, and hands out its pieces."""

    def __init__(self, tokenizer: Any, write: Callable[[str], Any] | None) -> None:
        self.text, self.tokens, self._write = "", -1, write  # what comes first is the prompt
        self._running = RunningText(tokenizer, skip_special_tokens=True)

    def put(self, value: Any) -> None:
        """Take the prompt, [1, T], then the ids of each step, [1]."""
        self.tokens += 1
        if self.tokens:
            self._give(self._running.add(value.tolist()))

    def end(self) -> None:
        """Give what is left."""
        self._give(self._running.end())

    def _give(self, piece: str) -> None:
        self.text += piece
        if piece and self._write is not None:
            self._write(piece)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that there are not, that mean nothing, or that a chat does not have.

    Raises:
        TypeError: for an unknown one, with the nearest that there is.
        ValueError: for the others.
    """
    from formers.configs import GenerationConfig

    refuse_unknown(settings, GenerationConfig().known_names(), "a chat")
    for name, value in _SETTLED.items():
        if name in settings and settings[name] != value:
            instead = ": max_new_tokens says how long it may be" if name == "max_length" else ""
            raise ValueError(f"a chat gives one answer as it comes, so it takes no {name}{instead}")
    GenerationConfig(**{"do_sample": True, **settings}).validate()


def read_messages(path: Path) -> list[Message]:
    """A chat that was saved.

    Raises:
        OSError: when there is no such file, or it is no chat; then a ValueError too.
    """
    found = read_json(path)
    roles = ("system", "user", "assistant")
    good = isinstance(found, list) and all(
        isinstance(one, dict)
        and set(one) == {"role", "content"}
        and one["role"] in roles
        and (isinstance(one["content"], str) or _are_parts(one["content"]))
        for one in found
    )
    if not good:
        raise BadJson(
            f'{path} is no chat: a chat is a JSON list of {{"role": ..., "content": ...}}, whose roles are '
            f"{', '.join(roles)}"
        )
    messages: list[Message] = found
    return messages


def as_text(messages: Sequence[Message]) -> str:
    """Messages as JSON, for a file."""
    import json

    return json.dumps(messages, indent=2, ensure_ascii=False) + "\n"


def _as_part(picture: Any) -> dict[str, Any]:
    """A picture as a part of a message; paths stay what they are, so that chats can be saved."""
    named = isinstance(picture, (str, Path))
    return {"type": "image", "path": str(picture)} if named else {"type": "image", "image": picture}


def _as_text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _pictures(messages: Sequence[Message]) -> list[Any]:
    """The pictures that messages show, as their parts bring them."""
    parts = [part for one in messages if isinstance(one["content"], list) for part in one["content"]]
    return [part.get("path", part.get("image")) for part in parts if part["type"] == "image"]


def _with_parts(message: Message) -> Message:
    """A message whose content is a list of parts."""
    content = message["content"]
    return {**message, "content": [_as_text_part(content)] if isinstance(content, str) else content}


def _are_parts(content: Any) -> bool:
    """Whether a content is pictures by their paths, and texts."""
    keys = {"image": "path", "text": "text"}
    return isinstance(content, list) and all(
        isinstance(one, dict)
        and one.get("type") in keys
        and set(one) == {"type", keys[one["type"]]}
        and isinstance(one[keys[one["type"]]], str)
        for one in content
    )


def _plain(messages: Sequence[Message]) -> str:
    """Texts one after the other: the model's where it wrote them, others on a line of their own."""
    text = ""
    for one in messages:
        text += one["content"] if one["role"] == "assistant" or not text else "\n" + one["content"]
    return text


def _refusal(name: str, declared: Sequence[str]) -> str:
    return (
        f"{name} is a {' / '.join(declared) or 'model without a head'}, which does not go on with texts: a "
        "chat needs a decoder that predicts the next token (a ...ForCausalLM or ...LMHeadModel)"
    )
