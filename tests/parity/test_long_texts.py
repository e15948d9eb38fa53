"""Texts far longer than a window: tokens that see all, sums of blocks, padding on either side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import formers
from formers.core.notices import Notice, forget_notices
from tests.parity.plain_shapes import ENCODER

_LONG = {**ENCODER, "num_hidden_layers": 2, "max_position_embeddings": 600, "pad_token_id": 1}
_T5 = {
    "vocab_size": 101,
    "d_model": 32,
    "d_kv": 12,
    "d_ff": 48,
    "num_heads": 4,
    "num_layers": 2,
    "local_radius": 5,
    "global_block_size": 4,
    "relative_attention_num_buckets": 8,
    "encoder_attention_type": "transient-global",
}


def _pair(name: str, folder: Path, **values: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    theirs = kind(kind.config_class(**values)).eval()
    theirs.save_pretrained(folder)
    return theirs, getattr(formers, name).from_pretrained(folder)


def _texts(pad: int, length: int = 117) -> tuple[Tensor, Tensor]:
    """Three texts: one without padding, one with padding on the right, one on the left."""
    ids = torch.randint(3, 101, (3, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 90:], mask[2, :31] = 0, 0
    return ids.masked_fill(mask == 0, pad), mask


def _close(theirs: Tensor, ours: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spoken", ["global_attention_mask", "attention_mask"])
def test_tokens_that_see_all_are_the_references(spoken: str, tmp_path: Path) -> None:
    theirs, ours = _pair("LongformerModel", tmp_path, **_LONG, attention_window=[4, 8])
    ids, mask = _texts(1)
    marked = torch.zeros_like(ids)
    marked[0, [0, 5, 40]] = marked[1, [3, 95]] = 1  # of which one is padding
    given = {"attention_mask": mask, "global_attention_mask": marked}
    if spoken == "attention_mask":
        given = {"attention_mask": mask * (1 + marked)}
    with torch.no_grad():
        expected = theirs(ids, **given, output_attentions=True)
        found, plain = ours(ids, **given, output_attentions=True), ours(ids, **given)
    for one in (found, plain):
        _close(expected[0][mask.bool()], one[0][mask.bool()])
    for one, two in zip(expected.attentions, found.attentions, strict=True):
        _close(one, two)
    held = torch.arange(3) < (marked * mask).sum(1, keepdim=True)  # [B, G]
    for one, two in zip(expected.global_attentions, found.global_attentions, strict=True):
        _close(one[:, :, :117].permute(0, 3, 1, 2)[held], two.permute(0, 3, 1, 2)[held])


def test_sums_of_blocks_begin_at_the_first_column_as_in_the_reference(tmp_path: Path) -> None:
    theirs, ours = _pair("LongT5EncoderModel", tmp_path, **_T5)
    ids, mask = _texts(0)
    with torch.no_grad():
        for rows in ([0, 1], [0, 1, 2]):  # without and with padding on the left
            expected = theirs(ids[rows], attention_mask=mask[rows])[0]
            found = ours(ids[rows], attention_mask=mask[rows])[0]
            _close(expected[mask[rows].bool()], found[mask[rows].bool()])


@pytest.mark.parametrize("training", [False, True], ids=["read", "trained"])
@pytest.mark.parametrize(
    ("length", "block", "drawn"),
    [(117, 4, 2), (96, 8, 3), (1024, 64, 3)],
    ids=["filled up", "even", "published"],
)
def test_blocks_are_the_references_and_so_are_those_that_are_drawn(
    length: int, block: int, drawn: int, training: bool, tmp_path: Path
) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 1100}
    values = {**_LONG, **still, "block_size": block, "num_random_blocks": drawn}
    theirs, ours = _pair("BigBirdModel", tmp_path, **values)
    theirs.train(training), ours.train(training)
    ids, mask = _texts(1, length)
    with torch.no_grad():
        expected, found = (model(ids, attention_mask=mask)[0] for model in (theirs, ours))
    _close(expected, found)


def test_a_decoder_does_not_attend_by_blocks_and_says_so(tmp_path: Path) -> None:
    values = {**_LONG, "block_size": 4, "num_random_blocks": 1, "is_decoder": True}
    forget_notices()
    with pytest.warns(Notice, match="this decoder sees all that came before"):
        made = formers.BigBirdForCausalLM(formers.BigBirdConfig(**values)).eval()
    ids, _ = _texts(1, 40)
    with torch.no_grad():
        whole, first = made(ids).logits, made(ids[:, :33], use_cache=True)
        rest = made(ids[:, 33:], past_key_values=first.past_key_values).logits
    _close(whole, torch.cat((first.logits, rest), 1))


def test_answers_lie_behind_the_question(tmp_path: Path) -> None:
    values = {**_LONG, "attention_type": "original_full", "sep_token_id": 9}
    theirs, ours = _pair("BigBirdForQuestionAnswering", tmp_path, **values)
    ids, mask = _texts(1, 40)
    ids[:, 12] = ids[:2, 30] = 9
    lengths, types = torch.tensor([[3], [20], [7]]), torch.zeros_like(ids)
    for told in ({}, {"question_lengths": lengths}, {"token_type_ids": types}):
        with torch.no_grad():
            expected, found = (model(ids, attention_mask=mask, **told) for model in (theirs, ours))
        for key in ("start_logits", "end_logits"):
            _close(expected[key][mask.bool()], found[key][mask.bool()])
        behind = 12 if "question_lengths" not in told else 3
        assert bool((found.start_logits[0, 1:behind] < -9e5).all())


def test_a_compiled_model_lets_the_same_tokens_see_all() -> None:
    torch.manual_seed(0)
    made = formers.LongformerForSequenceClassification(formers.LongformerConfig(**_LONG, attention_window=4))
    ids, mask = _texts(1, 33 + 60)
    with torch.no_grad():
        expected = made.eval()(ids, attention_mask=mask).logits
        found = torch.compile(made, backend="eager")(ids, attention_mask=mask).logits
    _close(expected, found)


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.found = max(self.found, out.untyped_storage().nbytes() // out.element_size())
        return out


_NEAR = {"LongformerModel": {"attention_window": 4}, "BigBirdModel": {"block_size": 2}}


@pytest.mark.parametrize("name", ["LongformerModel", "LongT5EncoderModel", "BigBirdModel"])
def test_twice_the_text_takes_no_more_than_twice_the_memory(name: str) -> None:
    kind = getattr(formers, name)
    values = {**_T5, "encoder_attention_type": "local"} if "T5" in name else {**_LONG, **_NEAR[name]}
    values |= {} if "T5" in name else {"max_position_embeddings": 4100}
    torch.manual_seed(0)
    made, largest = kind(kind.config_class(**values)).eval(), []
    for length in (2048, 4096):
        with torch.no_grad(), _Largest() as seen:
            made(torch.full((1, length), 7))
        largest.append(seen.found)
    assert largest[1] <= 2 * largest[0] + 1000
    assert largest[1] < 4096 * 4096 / 4
