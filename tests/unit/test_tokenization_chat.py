"""Chat templates by themselves: what a rendered conversation remembers, and what a template may not do."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jinja2
import pytest

from formers.core.notices import Notice
from formers.tokenization import BertTokenizer, get_json_schema

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "hello", "how", "are", "you", "user", "assistant", ":", "fine"]
TEMPLATE = (
    "{{ cls_token }}{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
CHAT = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "how are you"}]


@pytest.fixture
def tokenizer():
    return BertTokenizer(vocab=WORDS, chat_template=TEMPLATE)


def test_a_rendered_conversation_gets_its_special_tokens_once(tokenizer):
    text = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    assert text == "[CLS]user: hello assistant: how are you assistant:"
    ids = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True)["input_ids"]
    assert tokenizer(text)["input_ids"] == ids
    assert tokenizer([text, text])["input_ids"] == [ids, ids]
    assert tokenizer.encode(text) == ids
    assert ids.count(tokenizer.cls_token_id) == 1
    assert tokenizer(str(text) + "")["input_ids"].count(tokenizer.cls_token_id) == 2
    with pytest.raises(ValueError, match="encode them in two calls"):
        tokenizer([text, "hello"])


def test_the_answer_is_a_dictionary_or_ids_as_asked(tokenizer):
    found = tokenizer.apply_chat_template(CHAT)
    assert isinstance(found, dict)
    ids = tokenizer.apply_chat_template(CHAT, return_dict=False)
    assert ids == found["input_ids"]
    tensor = tokenizer.apply_chat_template(CHAT, return_dict=False, return_tensors="pt")
    assert tensor.tolist() == [ids]


def test_arguments_of_the_call_are_passed_on(tokenizer):
    found = tokenizer.apply_chat_template(
        [CHAT, CHAT[:1]], tokenizer_kwargs={"return_length": True}, padding=True
    )
    assert len(set(map(len, found["input_ids"]))) == 1
    assert "length" in found
    with pytest.raises(TypeError, match="'paddingg'"):
        tokenizer.apply_chat_template(CHAT, tokenizer_kwargs={"paddingg": True})


def test_messages_may_be_objects(tokenizer):
    @dataclasses.dataclass
    class Message:
        role: str
        content: str

    class Conversation:
        messages = [Message("user", "hello")]

    want = "[CLS]user: hello "
    assert tokenizer.apply_chat_template([Message("user", "hello")], tokenize=False) == want
    assert tokenizer.apply_chat_template(Conversation(), tokenize=False) == want
    assert tokenizer.apply_chat_template([Conversation()], tokenize=False) == [want]


def test_what_is_not_a_conversation_is_refused(tokenizer):
    with pytest.raises(ValueError, match="the conversation is empty"):
        tokenizer.apply_chat_template([])
    with pytest.raises(TypeError, match="message 0 must be a dictionary"):
        tokenizer.apply_chat_template(["hello"])
    with pytest.raises(ValueError, match="choose one"):
        tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, continue_final_message=True)
    with pytest.raises(ValueError, match="needs tokenize=True"):
        tokenizer.apply_chat_template(CHAT, tokenize=False, return_assistant_tokens_mask=True)
    with pytest.raises(TypeError, match="document 0 must be a dictionary"):
        tokenizer.apply_chat_template(CHAT, documents=["text"])
    with pytest.raises(TypeError, match="a tool must be a JSON schema or a function"):
        tokenizer.apply_chat_template(CHAT, tools=["search"])


def test_a_missing_template_says_what_to_do():
    with pytest.raises(ValueError, match="has no chat template.*Pass chat_template="):
        BertTokenizer(vocab=WORDS).apply_chat_template(CHAT)
    several = BertTokenizer(
        vocab=WORDS, chat_template=[{"name": "a", "template": "A"}, {"name": "b", "template": "B"}]
    )
    with pytest.raises(ValueError, match=r"one of \['a', 'b'\]"):
        several.apply_chat_template(CHAT)
    assert several.apply_chat_template(CHAT, chat_template="b", tokenize=False) == "B"


def test_a_mask_without_marks_is_noticed(tokenizer):
    with pytest.warns(Notice, match="no {% generation %} blocks"):
        found = tokenizer.apply_chat_template(CHAT, return_assistant_tokens_mask=True)
    assert set(found["assistant_masks"]) == {0}


def test_a_refusal_of_the_template_can_be_caught_in_both_ways(tokenizer):
    template = "{{ raise_exception('roles must alternate') }}"
    for kind in (ValueError, jinja2.TemplateError):
        with pytest.raises(kind, match="refused this conversation: roles must alternate"):
            tokenizer.apply_chat_template(CHAT, chat_template=template)
    with pytest.raises(ValueError, match="not valid Jinja"):
        tokenizer.apply_chat_template(CHAT, chat_template="{% for %}")


@pytest.mark.parametrize(
    "attack",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ '{0.__class__}'.format(messages) }}",
    ],
)
def test_a_template_cannot_get_at_python(tokenizer, attack):
    # The sandbox raises, or renders an empty undefined value; it never reaches a class.
    try:
        text = tokenizer.apply_chat_template(CHAT, chat_template=attack, tokenize=False)
    except ValueError:
        return
    assert "class" not in text
    assert "builtins" not in text


def test_objects_in_messages_are_not_handed_to_the_template(tokenizer):
    class Image:
        def save(self):
            raise AssertionError("a template called a method")

    chat = [{"role": "user", "content": [{"type": "image", "image": Image()}]}]
    template = "{{ messages[0].content[0].image }}{{ messages[0].content[0].image.save }}"
    assert tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False) == "<Image>"


def test_an_undescribed_tool_says_what_is_missing(tokenizer):
    def silent(city: str) -> str:
        return city

    def untyped(city):
        """Tell the weather.

        Args:
            city: Where.
        """

    def unexplained(city: str):
        """Tell the weather."""

    for tool, said in (
        (silent, "needs a docstring"),
        (untyped, "needs a type hint"),
        (unexplained, "under 'Args:'"),
    ):
        with pytest.raises(TypeError, match=said):
            tokenizer.apply_chat_template(CHAT, tools=[tool], tokenize=False)


def test_variables_of_the_template_are_checked(tokenizer):
    call = {"tokenize": False, "chat_template": "{{ style }}"}
    assert tokenizer.apply_chat_template(CHAT, style="plain", **call) == "plain"
    with pytest.raises(TypeError, match="'add_generation_promt'; did you mean 'add_generation_prompt'"):
        tokenizer.apply_chat_template(CHAT, add_generation_promt=True, **call)
    with pytest.warns(Notice, match=r"does not read \['enable_thinking'\]"):
        tokenizer.apply_chat_template(CHAT, enable_thinking=False, **call)
    with pytest.raises(ValueError, match="sanitize_control_tokens=True is not available"):
        tokenizer.apply_chat_template(CHAT, sanitize_control_tokens=True, **call)


# --- what a template may not use up ---------------------------------------------------------------

GROWING = (
    "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = VALUE %}{% endfor %}{{ ns.s }}"
)


@pytest.mark.parametrize(
    "attack",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        "{% macro f() %}" + "A" * 10_000 + "{% endmacro %}{% for a in range(9999) %}{{ f() }}{% endfor %}",
    ],
    ids=["nested loops", "filtered loops", "forks", "recursion", "recursive loop", "long constants"],
)
def test_a_template_has_a_budget_of_steps(tokenizer, monkeypatch, attack):
    from formers.tokenization import sandbox

    monkeypatch.setattr(sandbox, "MOST_STEPS", 10_000)
    with pytest.raises(
        ValueError, match=r"refused this conversation: (it takes|it writes|maximum recursion)"
    ):
        tokenizer.apply_chat_template(CHAT, chat_template=attack, tokenize=False)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * [1] }}",
        "{{ 10 ** (10**10) }}",
        "{{ 'x'.center(10**10) }}",
        "{{ 'x'|center(10000000000) }}",
        "{{ messages|tojson(indent=10**9) }}",
        "{{ [1]|batch(10**10, 'x')|list }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' % (10**10, 1) }}",
        "{{ '%10000000000d'|format(1) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10**10) }}",
        "{{ '{a:>10000000000}'.format_map({'a': 1}) }}",
        "{% set s = 'x' * 99999 %}{{ s.replace('x', s) }}",
        "{% set s = 'x' * 99999 %}{{ s|replace('x', s) }}",
        "{% set s = 'x' * 99999 %}{{ range(99999)|map('string')|join(s) }}",
        "{{ (' \t' * 99999).expandtabs(99999) }}",
        "{{ strftime_now('%10000000d') }}",
        GROWING.replace("VALUE", "ns.s ~ ns.s"),
        GROWING.replace("VALUE", "ns.s + ns.s"),
        GROWING.replace("VALUE", "[ns.s, ns.s]"),
        GROWING.replace("VALUE", "{'a': ns.s, 'b': ns.s}"),
        "{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    ],
)
def test_what_would_grow_without_bound_is_refused_before_it_is_made(tokenizer, attack):
    with pytest.raises(ValueError, match=r"refused this conversation: (it|the format)"):
        tokenizer.apply_chat_template(CHAT, chat_template=attack, tokenize=False)


@pytest.mark.parametrize(
    "source", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% if 1 %}" * 300 + "{% endif %}" * 300]
)
def test_a_template_that_is_nested_too_deep_is_refused(tokenizer, source):
    with pytest.raises(ValueError, match="nested too deep"):
        tokenizer.apply_chat_template(CHAT, chat_template=source, tokenize=False)


def test_a_template_that_is_too_long_is_refused(tokenizer):
    with pytest.raises(ValueError, match="1,000,000 are taken"):
        tokenizer.apply_chat_template(CHAT, chat_template="x" * 1_000_001, tokenize=False)


@pytest.mark.parametrize(
    "leak",
    [
        "{{ raise_exception }}", "{{ [range, strftime_now] }}", "{{ raise_exception ~ '' }}",
        "{{ raise_exception|string }}", "{{ raise_exception|upper }}", "{{ '%s' % raise_exception }}",
        "{{ '%s'|format(raise_exception) }}", "{{ '{}'.format(raise_exception) }}",
        "{{ [raise_exception]|join }}", "{{ [raise_exception]|map('upper')|join }}", "{{ 'a'.upper }}",
        "{{ namespace(a=1) }}", "{{ messages|map('upper') }}", "{{ {'a': raise_exception}|xmlattr }}",
    ],
)  # fmt: skip
def test_a_template_never_writes_what_is_no_text(tokenizer, leak):
    with pytest.raises(ValueError, match=r"it writes a \w+, which is no text"):
        tokenizer.apply_chat_template(CHAT, chat_template=leak, tokenize=False)


def test_what_templates_ordinarily_do_is_within_the_budget(tokenizer):
    source = (
        "{% for m in messages %}{{ m.role + ': ' ~ m.content|trim }}{{ {'a': m, 'b': [1, 2]}|tojson }}"
        "{% set a, b = 1, 2 %}{{ '%s %03d' % (a, b) }}{{ '{:>3}|{}'.format(a, 1234567) }}{{ 2**10 }}"
        "{{ loop.length if loop.last }}{% endfor %}{{ none }}{{ absent }}{{ messages[1:]|length }}"
    )
    many = CHAT * 500
    text = tokenizer.apply_chat_template(many, chat_template=source, tokenize=False)
    assert text.startswith(
        'user: hello{"a": {"role": "user", "content": "hello"}, "b": [1, 2]}1 002  1|12345671024'
    )
    assert text.endswith("1000None999")


def test_each_rendering_has_a_budget_of_its_own(tokenizer, monkeypatch):
    from formers.tokenization import sandbox

    monkeypatch.setattr(sandbox, "MOST_STEPS", 100)
    for _ in range(20):
        tokenizer.apply_chat_template(CHAT, tokenize=False)


def test_an_error_inside_a_template_is_told_as_the_templates(tokenizer):
    for fault in ("{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ messages[0].content.index('z') }}"):
        with pytest.raises(ValueError, match="the chat template refused this conversation"):
            tokenizer.apply_chat_template(CHAT, chat_template=fault, tokenize=False)
    long = "{{ raise_exception(messages[0].content) }}"
    with pytest.raises(ValueError) as told:
        tokenizer.apply_chat_template([{"role": "user", "content": "a" * 99_999}], chat_template=long)
    assert len(str(told.value)) < 3000


def test_messages_that_hold_themselves_or_nest_too_deep_are_refused(tokenizer):
    itself = {"role": "user"}
    itself["content"] = [itself]
    deep = "end"
    for _ in range(5000):
        deep = [deep]
    for content in (itself["content"], deep):
        with pytest.raises(ValueError, match="nested more than 100 deep"):
            tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)


def test_messages_with_every_private_character_leave_no_marks(tokenizer):
    every = "".join(map(chr, range(0xE100, 0xF8FF)))
    marked = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    with pytest.raises(ValueError, match="private area"):
        tokenizer.apply_chat_template(
            [{"role": "assistant", "content": every}], chat_template=marked, return_assistant_tokens_mask=True
        )


def test_a_method_and_choices_of_several_types_are_described():
    class Desk:
        def order(self, size: Literal["small", 3], rows: tuple[int, ...]):
            """Order.

            Args:
                size: how large
                rows: how many
            """

    Desk.order.__annotations__ = {"size": Literal["small", 3], "rows": tuple[int, ...]}
    said = get_json_schema(Desk.order)["function"]["parameters"]
    assert said["required"] == ["size", "rows"]
    assert said["properties"]["size"] == {
        "type": ["string", "integer"],
        "enum": ["small", 3],
        "description": "how large",
    }
    assert said["properties"]["rows"] == {
        "type": "array",
        "items": {"type": "integer"},
        "description": "how many",
    }
