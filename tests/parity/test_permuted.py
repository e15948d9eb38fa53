"""Predictions in any order, memories, segments and spans by beams are the reference's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import formers
from tests.parity.test_hooks import outputs

SIZES = {"vocab_size": 101, "d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48, "dropout": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "both ways": {},
    "short distances, half of the rows backwards": {"clamp_len": 3, "bi_data": True},
    "one way": {"attn_type": "uni"},
    "as many keys for all, backwards": {"attn_type": "uni", "same_length": True, "bi_data": True},
    "short memories of a part": {"mem_len": 5, "reuse_len": 6},
    "all is remembered": {"mem_len": None},
}


def _pair(name: str, folder: Path, **values: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(transformers.XLNetConfig(**{**SIZES, **values})).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    theirs.save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


def _ids(seed: int = 1, length: int = 9) -> Tensor:
    return torch.randint(6, 101, (4, length), generator=torch.Generator().manual_seed(seed))


def _any_order(length: int = 9) -> dict[str, Tensor]:
    """An order of each row's own; three predictions, of which one is made for two tokens at once."""
    torch.manual_seed(3)
    place = torch.stack([torch.randperm(length) for _ in range(4)])
    targets = torch.zeros(4, 3, length)
    targets[:, 0, 2] = targets[:, 1, 5] = targets[:, 2, 7] = targets[:, 2, 0] = 1
    return {"perm_mask": (place[:, :, None] <= place[:, None]).float(), "target_mapping": targets}


def _close(theirs: Any, ours: Any) -> None:
    if isinstance(theirs, (tuple, list)):
        assert len(theirs) == len(ours)
        for one, other in zip(theirs, ours, strict=True):
            _close(one, other)
        return
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("option", OPTIONS)
def test_memories_segments_and_two_streams_are_the_references(option: str, tmp_path: Path) -> None:
    values = OPTIONS[option]
    theirs, ours = _pair("XLNetModel", tmp_path, **values)
    order = _any_order()
    if values.get("attn_type") == "uni":  # there the reference can read no mask of several rows
        order.pop("perm_mask")
    types = torch.arange(9).expand(4, -1) // 5
    first, second = _ids(), _ids(2)
    seen = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        past = [model(first, token_type_ids=types).mems for model in (theirs, ours)]
        _close(*past)
        for more in ({}, {"token_type_ids": types}, order, {"token_type_ids": types, **order}):
            expected = theirs(second, mems=past[0], **more, **seen)
            found = ours(second, mems=past[1], **more, **seen)
            assert list(found) == list(expected)
            for name in expected:
                _close(expected[name], found[name])
            plain = ours(second, mems=past[1], **more)
            _close(expected[0], plain[0])
            assert ours(second, mems=past[1], use_mems=False, **more).get("mems") is None


@pytest.mark.parametrize("sided", ["left", "right"])
def test_padding_on_either_side_leaves_tokens_as_the_reference_has_them(sided: str, tmp_path: Path) -> None:
    theirs, ours = _pair("XLNetForSequenceClassification", tmp_path)
    mask = torch.ones(4, 9, dtype=torch.long)
    mask[1, slice(5, None) if sided == "right" else slice(4)] = 0
    types = torch.arange(9).expand(4, -1) // 5
    base = [model.transformer for model in (theirs, ours)]
    with torch.no_grad():
        expected, *found = (
            *(model(_ids(), attention_mask=mask, token_type_ids=types)[0] for model in base),
            base[1](_ids(), attention_mask=mask, token_type_ids=types, use_mems=False)[0],
            base[1](_ids(), input_mask=1 - mask, token_type_ids=types)[0],
        )
        for one in found:
            _close(expected[mask.bool()], one[mask.bool()])
        _close(*(model(_ids(), attention_mask=mask).logits for model in (theirs, ours)))


def test_losses_of_predictions_and_their_gradients_are_the_references(tmp_path: Path) -> None:
    theirs, ours = _pair("XLNetLMHeadModel", tmp_path)
    given = {**_any_order(), "labels": _ids(4, 3)}
    expected, found = theirs.train()(_ids(), **given), ours.train()(_ids(), **given)
    _close(expected.loss, found.loss)
    _close(expected.logits, found.logits)
    expected.loss.backward(), found.loss.backward()
    wanted = {name: p.grad.clone() for name, p in theirs.named_parameters() if p.grad is not None}
    ours.gradient_checkpointing_enable()
    again = {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}
    ours.zero_grad()
    ours(_ids(), **given).loss.backward()
    for grads in (again, {name: p.grad for name, p in ours.named_parameters()}):
        for name, gradient in wanted.items():
            _close(gradient, grads[name])


def test_hooks_see_both_streams_as_in_the_reference(tmp_path: Path) -> None:
    theirs, ours = _pair("XLNetLMHeadModel", tmp_path)
    given = {"input_ids": _ids(), **_any_order()}
    expected, found = outputs(theirs, given), outputs(ours, given)
    for name, seen in expected.items():
        assert sorted(map(str, found[name])) == sorted(map(str, seen)), name

    def edit(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
        return out * 1.5

    for model in (theirs, ours):
        model.transformer.layer[1].ff.register_forward_hook(edit)
    with torch.no_grad():
        _close(*(model(**given).logits for model in (theirs, ours)))


@pytest.mark.parametrize("hidden", [False, True], ids=["all tokens", "some tokens are in no answer"])
def test_beams_of_spans_are_the_references(hidden: bool, tmp_path: Path) -> None:
    theirs, ours = _pair("XLNetForQuestionAnswering", tmp_path, start_n_top=3, end_n_top=2)
    given: dict[str, Any] = {"cls_index": torch.tensor([8, 0, 3, 8])}
    if hidden:
        given["p_mask"] = torch.zeros(4, 9).index_fill(1, torch.tensor([0, 8]), 1)
    places = {
        "start_positions": torch.tensor([1, 2, 3, 4]),
        "end_positions": torch.tensor([[2], [4], [3], [7]]),
    }
    places["is_impossible"] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    with torch.no_grad():
        for more in ({}, given):
            expected, found = theirs(_ids(), **more), ours(_ids(), **more)
            assert list(found) == [name for name in expected if name != "mems"]
            for name in found:
                _close(expected[name], found[name])
        copies = ({name: t.clone() for name, t in places.items()} for _ in range(2))
        one, two = (
            model(_ids(), **given, **more) for model, more in zip((theirs, ours), copies, strict=True)
        )
        _close(one.loss, two.loss)


def test_inputs_that_do_not_fit_are_refused() -> None:
    model = formers.XLNetModel(formers.XLNetConfig(**SIZES, bi_data=True)).eval()
    mask = torch.ones(4, 9)
    with pytest.raises(ValueError, match="one of attention_mask .* and input_mask"):
        model(_ids(), attention_mask=mask, input_mask=mask)
    with pytest.raises(ValueError, match=r"perm_mask has shape \[4, 9, 9\], but is \[4, 9, 8\]"):
        model(_ids(), perm_mask=torch.zeros(4, 9, 8))
    with pytest.raises(ValueError, match=r"target_mapping has shape \[4, P, 9\]"):
        model(_ids(), target_mapping=torch.zeros(9, 1, 4))
    with pytest.raises(ValueError, match="one tensor for each of 3 layers, not 1"):
        model(_ids(), mems=[torch.zeros(2, 4, 32)])
    with pytest.raises(ValueError, match="their number is even, not 3"):
        model(_ids()[:3])
    with pytest.raises(ValueError, match="d_head is d_model // n_head, 8, not 4"):
        formers.XLNetModel(formers.XLNetConfig(**SIZES, d_head=4))
