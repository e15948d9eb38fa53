"""Chat templates by themselves: what a rendered conversation remembers, and what a template may not do."""

from __future__ import annotations

import dataclasses

import jinja2
import pytest

from formers.core.notices import Notice
from formers.tokenization import BertTokenizer

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
