"""A chat with a tiny decoder: through a pipe, in a terminal, and from Python."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch

import formers
import tiny
from formers.jobs.chat import Chat
from system.cli_command import in_this_process

pytestmark = pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")

WORDS = ("we", "you", "see", "know", "like", "green", "hills", "rain", "today", "and", "not", "so")
MARKS = ("<unk>", "<end>", "user:", "model:", "system:")
TURN = "{{ 'model' if m.role == 'assistant' else m.role }}: {{ m.content }} <end> "
OPENED = "{% if add_generation_prompt %}model:{% endif %}"
TEMPLATE = "{% for m in messages %}" + TURN + "{% endfor %}" + OPENED
FORGETFUL = "{% for m in messages %}{% if m.role == 'user' %}" + TURN + "{% endif %}{% endfor %}" + OPENED


def save_decoder(folder, *, template=TEMPLATE, room=256, window=None):
    """Save a decoder of two layers that talks in `WORDS`, and its tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    names = [*MARKS, *WORDS]
    kind = "Mistral" if window else "Llama"
    config = getattr(formers, kind + "Config")(
        vocab_size=len(names), **sizes, num_key_value_heads=2, max_position_embeddings=room, eos_token_id=1,
        bos_token_id=None, initializer_range=0.6, **({"sliding_window": window} if window else {}),
    )  # fmt: skip
    getattr(formers, kind + "ForCausalLM")(config).save_pretrained(folder)
    made = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "<end>"}
    if template:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return save_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture
def run(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


def talk(folder, **settings):
    return Chat.load(str(folder), **{**GREEDY, **settings})


def said_anew(chat, texts):
    """The answers to `texts` where every prompt is read from its beginning."""
    answers = []
    for text in texts:
        chat._cache, chat._held = None, []
        answers.append(chat.answer(text).text)
    return answers


GREEDY = {"max_new_tokens": 12, "min_new_tokens": 3, "suppress_tokens": [0], "do_sample": False}
OPTIONS = ("--greedy", "--max-new-tokens", 12, "--set", "min_new_tokens=3", "--set", "suppress_tokens=[0]")
TEXTS = ["we like rain", "you see", "today and so"]


def test_piped_lines_are_answered_and_nothing_else_is_written(run, decoder, tmp_path):
    lines = "\n".join([*TEXTS[:2], "", f"/save {tmp_path / 'said.json'}", "/exit", TEXTS[2]])
    status, shown, remarks = run("chat", decoder, *OPTIONS, stdin=lines.encode() + b"\n")
    answers = said_anew(talk(decoder), TEXTS[:2])
    assert (status, shown) == (0, "".join(answer + "\n" for answer in answers))
    assert "4 messages saved in" in remarks
    assert [one["role"] for one in json.loads((tmp_path / "said.json").read_text())] == [
        "user",
        "assistant",
    ] * 2


def test_a_turn_reads_only_what_is_new_and_says_what_a_whole_prompt_says(decoder):
    chat = talk(decoder)
    found = [chat.answer(text) for text in TEXTS]
    assert [one.text for one in found] == said_anew(talk(decoder), TEXTS)
    for before, one, text in zip(found, found[1:], TEXTS[1:], strict=False):
        unread = 1 if before.tokens < 12 else 2  # the end of the answer; behind a cut one its last word too
        assert one.read == unread + len(["user:", *text.split(), "<end>", "model:"])


@pytest.mark.parametrize("window", [None, 4])
def test_a_template_that_rewrites_earlier_turns_is_obeyed(tmp_path, window):
    folder = save_decoder(tmp_path, template=FORGETFUL, window=window)
    chat = talk(folder)
    found = [chat.answer(text) for text in TEXTS]
    assert [one.text for one in found] == said_anew(talk(folder), TEXTS)


def test_the_oldest_turns_make_room_and_that_is_said(run, tmp_path):
    folder = save_decoder(tmp_path, room=40)
    status, shown, remarks = run(
        "chat", folder, *OPTIONS, stdin=("\n".join(TEXTS * 3) + "\nrain" + " rain" * 40)
    )
    assert (status, len(shown.splitlines())) == (0, 9)
    assert "the model reads 40 tokens: the oldest turn is left out" in remarks
    assert "shorten it" in remarks


def test_without_a_template_plain_text_goes_on_and_that_is_said_once(run, tmp_path):
    folder = save_decoder(tmp_path, template=None)
    status, shown, remarks = run(
        "chat", folder, "--greedy", "--max-new-tokens", 5, stdin="we like\nyou see\n"
    )
    tokenizer = formers.AutoTokenizer.from_pretrained(folder)
    model = formers.AutoModelForCausalLM.from_pretrained(folder)
    row = tokenizer("we like", return_tensors="pt")["input_ids"]
    wanted = tokenizer.decode(model.generate(row, max_new_tokens=5)[0, 2:], skip_special_tokens=True)
    assert status == 0
    assert shown.splitlines()[0] == wanted
    assert remarks.count("has no chat template") == 1


def test_a_chat_is_loaded_told_something_reset_and_what_is_no_command_is_said(run, decoder, tmp_path):
    kept, other = tmp_path / "kept.json", tmp_path / "other.json"
    other.write_text('{"no": "chat"}')
    kept.write_text(json.dumps([{"role": "system", "content": "so"}, {"role": "user", "content": "we"},
                                {"role": "assistant", "content": "see"}]))  # fmt: skip
    told = [f"/load {kept}", "/system green", "you", f"/save {kept}", "/reset", f"/save {tmp_path / 'empty'}"]
    told += ["/sav x", f"/load {other}", f"/save {other}", "/help"]
    status, shown, remarks = run(
        "chat", decoder, "--seed", 3, "--set", "min_new_tokens=2", stdin="\n".join(told)
    )
    found = json.loads(kept.read_text())
    assert status == 0
    assert [one["content"] for one in found[:4]] == ["green", "we", "see", "you"]
    assert found[4] == {"role": "assistant", "content": shown.rstrip("\n")}
    assert [one["role"] for one in json.loads((tmp_path / "empty").read_text())] == ["system"]
    assert "/sav is no command; did you mean '/save'?" in remarks
    assert remarks.count("other.json is no chat") == 2
    assert "/reset" in remarks


def test_an_answer_that_breaks_off_keeps_what_was_said(decoder):
    chat = talk(decoder)
    pieces = []

    def write(piece):
        pieces.append(piece)
        if len(pieces) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chat.answer(TEXTS[0], write)
    assert chat.messages[-1] == {"role": "assistant", "content": "".join(pieces)}
    beside = talk(decoder)
    beside.messages = [dict(one) for one in chat.messages]
    assert chat.answer(TEXTS[1]).text == beside.answer(TEXTS[1]).text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_in_a_terminal_ctrl_c_stops_the_answer_and_then_the_chat(tmp_path):
    import pty

    folder = save_decoder(tmp_path, room=1_000_000)
    ours, theirs = pty.openpty()
    options = ("--greedy", "--max-new-tokens", "900000", "--set", "suppress_tokens=[1]")
    command = [sys.executable, "-m", "formers", "chat", str(folder), *options]
    # shells let what runs in their background ignore Ctrl-C
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    where = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    child = subprocess.Popen(command, **where, preexec_fn=heard)
    os.close(theirs)
    seen = ""

    def until(words):
        nonlocal seen
        while words not in seen:
            assert select.select([ours], [], [], 60)[0], seen
            seen += os.read(ours, 4096).decode()
        seen = seen.partition(words)[2]

    try:
        until("> ")
        os.write(ours, b"we like rain\n")
        until("rain\r\n")
        until(" ")  # the answer has begun
        child.send_signal(signal.SIGINT)
        until("(stopped)")
        until("> ")
        os.write(ours, f"/save {tmp_path / 'said.json'}\n".encode())
        until("2 messages saved")
        until("> ")
        for _ in range(60):  # one that comes before the prompt listens waits for a key
            child.send_signal(signal.SIGINT)
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 4096).decode()
            if "\r\n" in seen:  # it may draw its prompt before
                break
        until("\r\n")  # a terminal is left when all is read
        assert child.wait(60) == 0
    finally:
        child.kill()
        os.close(ours)
    assert json.loads((tmp_path / "said.json").read_text())[1]["content"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "temprature=1"), "did you mean 'temperature'"),
        (("--set", "num_beams=4"), "takes no num_beams"),
        (("--set", "max_length=4"), "max_new_tokens"),
        (("--set", "top_p"), "NAME=VALUE"),
        (("--greedy", "--top-k", "3"), "take no top_k"),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_the_model_is_loaded(run, tmp_path, options, said):
    status, _, shown = run("chat", tmp_path / "nowhere", *options)
    assert status == 2
    assert said in shown


def test_models_that_do_not_go_on_with_texts_are_refused(run, decoder, tmp_path):
    formers.LlamaForSequenceClassification.from_pretrained(decoder, num_labels=2).save_pretrained(
        tmp_path / "c"
    )
    tiny.save_encoder(tmp_path / "e")
    assert "there is no folder" in run("chat", tmp_path / "nowhere")[2]
    for name, kind in (("c", "LlamaForSequenceClassification"), ("e", "BertModel")):
        status, _, shown = run("chat", tmp_path / name)
        assert status == 2
        assert f"{kind}, which does not go on with texts" in shown
