"""`formers quantize` and `formers perplexity`, on a tiny decoder."""

from __future__ import annotations

import json

import pytest
import torch

import formers
from formers.jobs import quantizing
from system import tiny_writer
from system.cli_command import in_this_process

pytestmark = pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")
TEXT = "We like the green hills.\n\nYou see the rain today, and we know it.\n" * 6
READ = TEXT.replace("\n\n", "\n").strip()  # blank lines are left out


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return tiny_writer.write(tmp_path_factory.mktemp("decoder"))


@pytest.fixture
def run(capsys, monkeypatch):
    return in_this_process(capsys, monkeypatch)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.txt"
    path.write_text(TEXT)
    return path


def test_perplexity_is_that_of_windows_that_lie_end_to_end(decoder, page, run):
    status, shown, _ = run("perplexity", decoder, page, "--max-length", 40, "--json")
    found = json.loads(shown)
    model = formers.AutoModelForCausalLM.from_pretrained(decoder)
    tokenizer = formers.AutoTokenizer.from_pretrained(decoder)
    ids = tokenizer(READ, add_special_tokens=False)["input_ids"]
    total, count = 0.0, 0
    for begin in range(0, len(ids), 40):
        window = torch.tensor([ids[begin : begin + 40]])
        if window.shape[1] > 1:
            with torch.no_grad():
                total += float(model(window, labels=window).loss) * (window.shape[1] - 1)
            count += window.shape[1] - 1
    assert status == 0
    assert found["tokens"] == count
    assert found["perplexity"] == pytest.approx(float(torch.tensor(total / count).exp()), rel=1e-4)


@pytest.mark.parametrize("to", ["int8", "gptq", "gguf-q8_0"])
def test_a_model_is_written_in_fewer_bits_with_its_figures(decoder, page, run, tmp_path, to):
    status, shown, _ = run(
        "quantize", decoder, "--to", to, "-o", tmp_path / "small", "--text", page, "--json"
    )
    assert status == 0
    found = json.loads(shown)
    model, tokenizer = quantizing.load(found["written"])
    again = quantizing.perplexity(model, tokenizer, READ)[0]
    assert found["after"]["perplexity"] == pytest.approx(again, rel=0.01)
    assert found["after"]["files"] < found["before"]["memory"]
    assert found["after"]["speed"] > 0
    assert [path.name for path in tmp_path.iterdir() if ".partial" in path.name] == []


@pytest.mark.parametrize(
    ("to", "name", "says"),
    [
        ("int9", "small", "--to int9 is no format"),
        ("int8", "page.txt", "is there already, and nothing is overwritten"),
        ("int8", "x.gguf", "and --to int8 writes a folder"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(decoder, page, run, tmp_path, to, name, says):
    status, _, remarks = run("quantize", decoder, "--to", to, "-o", tmp_path / name)
    assert (status, says in remarks) == (2, True), remarks


def test_an_interrupted_write_leaves_nothing(decoder, run, tmp_path, monkeypatch):
    def stop(self, *args, **options):
        (args[0] / "half").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(formers.LlamaForCausalLM, "save_pretrained", stop)
    assert run("quantize", decoder, "--to", "int8", "-o", tmp_path / "small")[0] == 130
    assert list(tmp_path.iterdir()) == []
