"""Masks of a caller's own, and several examples in one row, mean what they mean to the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from tests.parity.shapes import VOCABULARY, write_checkpoint

LEAST = torch.finfo(torch.float32).min
SHAPE = {"bert": "plain", "gpt2": "plain", "llama": "grouped heads"}
NAMES = {"bert": "BertModel", "gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}
B, H, T = 3, 4, 7


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's model and ours."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    theirs = write_checkpoint(request.param, SHAPE[request.param], NAMES[request.param], folder)
    return theirs, getattr(formers, NAMES[request.param]).from_pretrained(folder)


def ids() -> torch.Tensor:
    return torch.randint(5, VOCABULARY, (B, T), generator=torch.Generator().manual_seed(0))


def prefix() -> torch.Tensor:
    """Four tokens that see each other, and causal ones after them: [B, 1, T, T], bool."""
    seen = torch.tril(torch.ones(T, T)).bool()
    seen[:4, :4] = True
    return seen.expand(B, 1, T, T)


def added(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.where(prefix(), 0.0, LEAST)
    if kind == "what hides":
        return hidden
    width = H if kind == "one bias for each head" else 1
    return hidden + torch.randn(B, width, T, T, generator=generator)


def compare(pair: tuple[Any, Any], theirs: dict[str, Any], ours: dict[str, Any], implementation: str) -> None:
    reference, model = pair
    reference.set_attn_implementation(implementation)
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        expected, found = reference(**theirs)[0], model(**ours)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["what hides", "one bias for all heads", "one bias for each head"])
def test_an_additive_mask_is_added_and_stands_alone(pair, kind, implementation):
    given = {"input_ids": ids(), "attention_mask": added(kind)}
    compare(pair, given, given, implementation)


@pytest.mark.parametrize("shape", ["[B, T, S]", "[B, 1, T, S]", "[1, 1, T, S]", "[B, H, T, S]"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_ones_are_seen_in_a_mask_of_any_dtype_and_shape(pair, dtype, shape):
    seen = prefix()
    form = {
        "[B, T, S]": seen[:, 0],
        "[B, 1, T, S]": seen,
        "[1, 1, T, S]": seen[:1],
        "[B, H, T, S]": seen.expand(B, H, T, T),
    }[shape]
    theirs = {"input_ids": ids(), "attention_mask": torch.where(seen, 0.0, LEAST)}
    compare(pair, theirs, {"input_ids": ids(), "attention_mask": form.to(dtype)}, "sdpa")


def test_heads_may_see_different_keys(pair):
    generator = torch.Generator().manual_seed(2)
    seen = (torch.rand(B, H, T, T, generator=generator) > 0.4) | torch.eye(T).bool()
    theirs = {"input_ids": ids(), "attention_mask": torch.where(seen, 0.0, LEAST)}
    compare(pair, theirs, {"input_ids": ids(), "attention_mask": seen}, "sdpa")


@pytest.mark.parametrize(
    "shape", [(2, 1, T, T), (B, 3, T, T), (B, 1, T, T - 1), (B, T + 1, T), (1, 1, 1, T, T)]
)
def test_a_mask_of_a_wrong_shape_is_refused_with_the_right_ones(pair, shape):
    with pytest.raises(ValueError, match=r"attention_mask has shape .*B=3, H=4, T=7, S=7"):
        pair[1](input_ids=ids(), attention_mask=torch.zeros(shape))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_positions_that_start_again_start_another_example(tmp_path, name):
    theirs = write_checkpoint(name, SHAPE[name], NAMES[name], tmp_path)
    ours = getattr(formers, NAMES[name]).from_pretrained(tmp_path)
    row = ids().reshape(1, -1)  # [1, 21]
    lengths = [5, 9, 7]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    with torch.no_grad():
        expected = theirs(row, position_ids=positions, use_cache=False).logits
        found = ours(row, position_ids=positions).logits
        apart = torch.cat([ours(part).logits for part in row.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, apart, atol=1e-5, rtol=1e-5)


def test_flattened_batches_lose_what_padded_ones_lose(tmp_path):
    write_checkpoint("llama", SHAPE["llama"], NAMES["llama"], tmp_path)
    model = formers.AutoModelForCausalLM.from_pretrained(tmp_path)
    examples = [{"input_ids": row[:length].tolist()} for row, length in zip(ids(), (3, 7, 5), strict=True)]
    flat = model(**formers.DataCollatorWithFlattening()(examples)).loss
    losses = [model(input_ids=torch.tensor([one["input_ids"]]), labels=torch.tensor([one["input_ids"]])).loss
              for one in examples]  # fmt: skip
    weights = torch.tensor([len(one["input_ids"]) - 1.0 for one in examples])
    torch.testing.assert_close(
        flat, (torch.stack(losses) * weights).sum() / weights.sum(), atol=1e-5, rtol=1e-5
    )


def test_a_position_or_kind_outside_its_table_is_named(tmp_path):
    write_checkpoint("bert", "plain", "BertModel", tmp_path)
    model = formers.BertModel.from_pretrained(tmp_path)
    with pytest.raises(IndexError, match=r"token_type_ids hold 2, but the type table has 2 rows"):
        model(ids(), token_type_ids=torch.full((B, T), 2))
    with pytest.raises(IndexError, match=r"position_ids hold 40, but the position table has 40 rows"):
        model(ids(), position_ids=torch.full((B, T), 40))


def test_an_encoder_without_kinds_given_lives_on_a_disk_too(tmp_path):
    write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)
    whole = formers.BertForSequenceClassification.from_pretrained(tmp_path)
    away = formers.BertForSequenceClassification.from_pretrained(
        tmp_path, device_map={"": "disk"}, offload_folder=tmp_path / "away"
    )
    with torch.no_grad():
        torch.testing.assert_close(away(ids()).logits, whole(ids()).logits)
