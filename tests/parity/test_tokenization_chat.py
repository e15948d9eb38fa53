"""Chat templates, against the reference's rendering."""

from __future__ import annotations

import pytest

from formers.tokenization import load
from parity.tokenization_samples import write_byte_bpe

transformers = pytest.importorskip("transformers")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRICT = """{{ bos_token }}
{%- set ns = namespace(seen=false) -%}
{% for message in messages %}
    {% if message.role not in ['user', 'assistant'] %}
        {{ raise_exception('no ' + message.role + ' here') }}
    {% endif %}
    {% if message.role == 'user' %}
[INST] {{ message.content | trim }} [/INST]
    {% elif message.role == 'assistant' %}
        {% set ns.seen = true %}
        {% generation %}
{{ message.content | trim }}{{ eos_token }}
        {% endgeneration %}
    {% endif %}
    {% if loop.index > 50 %}{% break %}{% endif %}
{% endfor %}
{% if add_generation_prompt %}>{% endif %}"""
TOOLS = (
    "{{ bos_token }}{% if tools %}TOOLS {{ tools | tojson }}\n{% endif %}"
    "{% if documents %}{% for d in documents %}[{{ d.title }}: {{ d.text }}]{% endfor %}{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ style | default('') }}\n{% endfor %}"
)
CHAT = [
    {"role": "user", "content": "  Where is my parcel? \U0001f4e6 "},
    {"role": "assistant", "content": "It left the harbor on Monday. "},
    {"role": "user", "content": "Thanks!"},
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    write_byte_bpe(folder, ["<|endoftext|>", "<s>", "</s>"])
    theirs = transformers.GPT2Tokenizer.from_pretrained(
        folder, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    theirs.save_pretrained(folder / "saved")
    return theirs, load(folder / "saved")


def weather(city: str, days: int = 3, unit: str | None = None) -> str:
    """Tell the weather of a city.

    It knows harbors best.

    Args:
        city: The name of the city.
        days: How many days
            ahead.
        unit: Celsius or Fahrenheit. (choices: ["celsius", "fahrenheit"])

    Returns:
        The forecast.
    """
    return f"{city} {days} {unit}"


def either(codes: list[int], table: dict[str, float], flag: bool | int) -> None:
    """Do one or the other.

    Args:
        codes: Some numbers.
        table: Some shares.
        flag: Which.
    """


CALLS = {
    "chatml": {"chat_template": CHATML},
    "chatml with a prompt": {"chat_template": CHATML, "add_generation_prompt": True},
    "strict": {"chat_template": STRICT},
    "strict with a prompt": {"chat_template": STRICT, "add_generation_prompt": True},
    "tools": {"chat_template": TOOLS, "tools": [weather, either]},
    "schemas": {"chat_template": TOOLS, "tools": [{"type": "function", "function": {"name": "é"}}]},
    "documents": {"chat_template": TOOLS, "documents": [{"title": "T", "text": "U"}], "style": "!"},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_conversations_are_written_alike(pair, call):
    theirs, ours = pair
    for chat in (CHAT, CHAT[:1], [CHAT, CHAT[:1]]):
        want = theirs.apply_chat_template(chat, tokenize=False, **call)
        assert ours.apply_chat_template(chat, tokenize=False, **call) == want
        ids = theirs.apply_chat_template(chat, **call)
        found = ours.apply_chat_template(chat, **call)
        assert isinstance(found, dict)
        assert dict(found) == dict(ids)
        assert ours.apply_chat_template(chat, return_dict=False, **call) == ids["input_ids"]


def test_a_batch_of_conversations_becomes_tensors_alike(pair):
    theirs, ours = pair
    call = {
        "chat_template": CHATML,
        "return_tensors": "pt",
        "padding": True,
        "truncation": True,
        "max_length": 60,
    }
    a, b = (tokenizer.apply_chat_template([CHAT, CHAT[:1]], **call) for tokenizer in pair)
    assert {key: value.tolist() for key, value in a.items()} == {
        key: value.tolist() for key, value in b.items()
    }


@pytest.mark.parametrize("template", [CHATML, STRICT])
def test_the_last_message_can_go_on_alike(pair, template):
    theirs, ours = pair
    chat = [*CHAT, {"role": "assistant", "content": "You are wel  "}]
    call = {"chat_template": template, "continue_final_message": True, "tokenize": False}
    assert ours.apply_chat_template(chat, **call) == theirs.apply_chat_template(chat, **call)


def test_what_the_assistant_said_is_masked_alike(pair):
    theirs, ours = pair
    call = {"chat_template": STRICT, "return_assistant_tokens_mask": True}
    chat = [*CHAT, {"role": "assistant", "content": "You are welcome."}]
    assert dict(ours.apply_chat_template(chat, **call)) == dict(theirs.apply_chat_template(chat, **call))
    call |= {"return_tensors": "pt", "padding": True}
    a, b = (tokenizer.apply_chat_template([chat, CHAT], **call) for tokenizer in pair)
    assert a["assistant_masks"].tolist() == b["assistant_masks"].tolist()


def test_one_more_message_is_encoded_alike(pair):
    theirs, ours = pair
    call = {"chat_template": CHATML}
    for history in (None, CHAT[:2]):
        assert ours.encode_message_with_chat_template(CHAT[2], history, **call) == (
            theirs.encode_message_with_chat_template(CHAT[2], history, **call)
        )


def test_reasoning_is_found_under_its_names_alike(pair):
    theirs, ours = pair
    template = "{% for m in messages %}{{ m.reasoning_content }}|{{ m.thinking }}|{{ m.content }}{% endfor %}"
    for name in ("reasoning_content", "thinking", "reasoning"):
        chat = [{"role": "assistant", "content": "so", name: "because", "tool_calls": None}]
        call = {"chat_template": template, "tokenize": False}
        assert ours.apply_chat_template(chat, **call) == theirs.apply_chat_template(chat, **call)


def test_templates_survive_saving_on_both_sides(pair, tmp_path):
    theirs, _ = pair
    theirs.chat_template = {"default": CHATML, "tool_use": TOOLS}
    try:
        theirs.save_pretrained(tmp_path / "theirs")
    finally:
        theirs.chat_template = None
    ours = load(tmp_path / "theirs")
    assert ours.chat_template == {"default": CHATML, "tool_use": TOOLS}
    assert ours.get_chat_template(tools=[weather]) == TOOLS
    assert ours.get_chat_template() == CHATML
    ours.save_pretrained(tmp_path / "ours")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "ours").chat_template == ours.chat_template
    ours.chat_template = CHATML
    ours.save_pretrained(tmp_path / "in config", save_jinja_files=False)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "in config").chat_template == CHATML
    assert load(tmp_path / "in config").chat_template == CHATML
