"""Collators: hidden tokens, packed rows, and what they refuse."""

import numpy as np
import pytest
import torch

from formers.training import (
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForPermutationLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorForWholeWordMask,
    DataCollatorWithFlattening,
    DataCollatorWithPadding,
    DefaultDataCollator,
    default_data_collator,
)


class Words:
    """A tokenizer of 100 ids: 0 pads, 1 and 2 frame a text, 3 masks; odd ids from 51 on continue a word."""

    pad_token_id, mask_token_id, padding_side = 0, 3, "right"
    all_special_ids = (0, 1, 2, 3)
    model_input_names = ("input_ids", "attention_mask")

    def __len__(self):
        return 100

    def convert_ids_to_tokens(self, ids):
        return [f"##{i}" if i > 50 and i % 2 else f"w{i}" for i in ids]

    def get_vocab(self):
        return dict(zip(self.convert_ids_to_tokens(range(100)), range(100), strict=True))


def texts(count=400, length=30):
    draw = np.random.default_rng(0)
    return [{"input_ids": [1, *draw.integers(4, 100, length).tolist(), 2]} for _ in range(count)]


def test_masked_tokens_have_the_shares_of_the_paper():
    rows = texts()
    batch = DataCollatorForLanguageModeling(Words(), seed=0)(rows)
    original = torch.tensor([row["input_ids"] for row in rows])
    chosen = batch["labels"] != -100
    assert torch.equal(batch["labels"][chosen], original[chosen])
    assert not chosen[:, [0, -1]].any()
    assert abs(chosen[:, 1:-1].float().mean() - 0.15) < 0.01
    masked = (batch["input_ids"] == 3)[chosen].float().mean()
    kept = (batch["input_ids"] == original)[chosen].float().mean()
    assert abs(masked - 0.8) < 0.03
    assert abs(kept - 0.1) < 0.03
    assert torch.equal(batch["input_ids"][~chosen], original[~chosen])


def test_a_seed_makes_masking_repeatable_and_independent_of_the_global_generator():
    first = DataCollatorForLanguageModeling(Words(), seed=3)(texts(5))
    torch.rand(7)
    second = DataCollatorForLanguageModeling(Words(), seed=3)(texts(5))
    assert torch.equal(first["labels"], second["labels"])


def test_whole_words_are_hidden_whole():
    rows = texts(50)
    batch = DataCollatorForWholeWordMask(Words(), mlm_probability=0.4, seed=0)(rows)
    for row, labels in zip(rows, batch["labels"].tolist(), strict=True):
        for place, token in enumerate(row["input_ids"]):
            if token > 50 and token % 2 and row["input_ids"][place - 1] > 3:
                assert (labels[place] == -100) == (labels[place - 1] == -100)


def test_a_padding_token_that_is_also_the_end_is_learnt_where_it_is_real():
    tokenizer = Words()
    tokenizer.pad_token_id = 2
    batch = DataCollatorForLanguageModeling(tokenizer, mlm=False)(
        [{"input_ids": [5, 2]}, {"input_ids": [5, 6, 7, 2]}]
    )
    assert batch["labels"].tolist() == [[5, 2, -100, -100], [5, 6, 7, 2]]


def test_packed_rows_end_where_the_next_begins():
    batch = DataCollatorWithFlattening()(
        [{"input_ids": [5, 6, 7]}, {"input_ids": [8, 9], "labels": [1, 2]}][:1] + [{"input_ids": [8, 9]}]
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]


def test_default_collator_takes_numbers_arrays_tensors_and_leaves_text_out():
    rows = [
        {"a": 1, "b": np.ones(2, np.float32), "c": torch.zeros(2), "label": 2, "text": "x", "none": None}
    ] * 3
    batch = default_data_collator(rows)
    assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
        "a": ((3,), torch.int64),
        "b": ((3, 2), torch.float32),
        "c": ((3, 2), torch.float32),
        "labels": ((3,), torch.int64),
    }
    assert default_data_collator([{"label": 0.5}] * 2)["labels"].dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: default_data_collator([{"input_ids": [1]}, {"input_ids": [1, 2]}]),
            "DataCollatorWithPadding",
        ),
        (lambda: default_data_collator([]), "at least one"),
        (
            lambda: DataCollatorWithPadding(type("T", (), {"pad_token_id": None})())(
                [{"input_ids": [1]}, {"input_ids": [1, 2]}]
            ),
            "tokenizer.pad_token = tokenizer.eos_token",
        ),
        (lambda: DataCollatorForLanguageModeling(type("T", (), {"mask_token_id": None})()), "mlm=False"),
        (
            lambda: DataCollatorWithPadding(Words(), padding="max_length", max_length=2)(texts(1)),
            "max_length is 2",
        ),
    ],
)
def test_what_cannot_be_collated_says_how_it_could(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_targets_of_permutation_see_only_targets_before_them_and_nothing_else_sees_any():
    batch = DataCollatorForPermutationLanguageModeling(Words(), seed=0)(texts(20))
    targets, hidden = batch["labels"] != -100, batch["perm_mask"].bool()
    assert targets.any(1).all()
    for row, mask in zip(targets, hidden, strict=True):
        assert not mask[:, ~row].any()  # the rest is seen by all
        assert mask[~row][:, row].all()  # and sees no target, so that none comes back through it
        among = mask[row][:, row]
        count = len(among)
        # an order: one target sees none, the next one, and so on
        assert sorted((~among).sum(1).tolist()) == list(range(count))
        first = torch.nonzero(row).flatten() < 16
        assert among[first][:, ~first].all()  # the first half, kept as memory, knows nothing of the second


def test_spans_of_permutation_have_the_share_and_the_length_of_the_paper():
    rows = [{"input_ids": [5] * 600} for _ in range(30)]
    batch = DataCollatorForPermutationLanguageModeling(Words(), plm_probability=0.2, seed=1)(rows)
    targets = batch["labels"] != -100
    assert abs(float(targets.float().mean()) - 0.2) < 0.02
    assert (batch["input_ids"][targets] == Words.mask_token_id).all()
    assert (batch["input_ids"][~targets] == 5).all()
    apart = DataCollatorForPermutationLanguageModeling(Words(), max_span_length=1, seed=1)(rows[:2])
    assert ((apart["labels"] != -100).float().mean() * 600).round() == 100


def test_permutation_pads_to_an_even_width_that_nobody_sees_and_can_leave_targets_in_place():
    rows = [{"input_ids": [1, *range(4, 14), 2, 2]}, {"input_ids": [1, 5, 6, 7, 2]}]
    batch = DataCollatorForPermutationLanguageModeling(Words(), hide_targets=False, seed=0)(rows)
    assert batch["input_ids"].shape == (2, 14)
    assert batch["input_ids"][0].tolist() == [*rows[0]["input_ids"], 0]
    assert batch["perm_mask"][1, :, 5:].all()
    assert (batch["labels"][1, 5:] == -100).all()
    assert torch.equal(batch["target_mapping"][1], torch.eye(14))


def test_permutation_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="plm_probability"):
        DataCollatorForPermutationLanguageModeling(Words(), plm_probability=0)
    with pytest.raises(ValueError, match="max_span_length"):
        DataCollatorForPermutationLanguageModeling(Words(), max_span_length=0)
    bare = Words()
    bare.pad_token_id = None
    with pytest.raises(ValueError, match="one even width"):
        DataCollatorForPermutationLanguageModeling(bare)([{"input_ids": [5, 6, 7]}])


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", ["labels", "label"])
def test_a_label_that_is_missing_among_others_is_named_with_its_row(place, name):
    examples = [{"input_ids": [1, 2], name: 1} for _ in range(3)]
    examples[place][name] = None
    for collate in (DataCollatorWithPadding(Words()), default_data_collator):
        with pytest.raises(ValueError, match=f"row {place + 1} of this batch has no label"):
            collate(examples)
    for example in examples:
        example[name] = None
    assert "labels" not in DataCollatorWithPadding(Words())(examples)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("kind", "ids", "label"),
    [
        (DataCollatorForTokenClassification, [5, 6], [1, 2]),
        (DataCollatorForSeq2Seq, [5, 6], [1, 2, 3]),
        (DataCollatorForMultipleChoice, [[5, 6], [5, 7]], 1),
    ],
)
def test_every_collator_names_the_row_whose_label_is_missing(kind, ids, label, place):
    examples = [{"input_ids": ids, "labels": label} for _ in range(2)]
    examples[place]["labels"] = None
    with pytest.raises(ValueError, match=f"row {place + 1} of this batch has no label"):
        kind(Words())(examples)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", ["labels", "token_type_ids"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_field_that_some_rows_lack_is_never_left_out_of_all(place, name, gone):
    rows = [{"input_ids": [5, 6], "token_type_ids": [0, 0], "labels": 1} for _ in range(2)]
    rows[place][name] = None
    if gone:
        del rows[place][name]
    for collate in (DataCollatorWithPadding(Words()), default_data_collator):
        with pytest.raises(ValueError, match=rf"row {place + 1} of this batch has no .*{name}"):
            collate(rows)


def test_a_text_beside_the_inputs_may_be_missing():
    rows = [{"input_ids": [5, 6], "source": None}, {"input_ids": [5], "source": "mail"}, {"input_ids": [7]}]
    assert list(DataCollatorWithPadding(Words())(rows)) == ["input_ids", "attention_mask"]


def test_labels_of_words_are_not_taken_for_labels_of_tokens():
    row = {"input_ids": [5, 6, 7], "labels": [1, 2]}
    with pytest.raises(ValueError, match="3 tokens and 2 labels: give every token one"):
        DataCollatorForTokenClassification(Words())([row])


@pytest.mark.parametrize("choices", [(2, 3), (3, 2)])
def test_no_choice_is_dropped(choices):
    rows = [{"input_ids": [[5], [6], [7]][:count], "labels": 0} for count in choices]
    with pytest.raises(ValueError, match=f"row 2 of this batch has {choices[1]} choices"):
        DataCollatorForMultipleChoice(Words())(rows)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[0, None, 1], [0, 1, 1]], "row 1 of this batch has None in 'labels', where a number is expected"),
        ([[0, 1, 1], [0, "x", 1]], "row 2 of this batch has 'x' in 'labels', where a number is expected"),
        ([[0, 1, 1], 5], "row 2 of this batch has 5 in 'labels', where others have"),
        ([[0, 1, 1], [0, [1], 1]], "row 2 of this batch has .* in 'labels', where others have"),
        ([[0, 1, 1], None], "row 2 of this batch has no label"),
        ([{"a": 1}, {"a": 2}], "row 1 of this batch has {'a': 1} in 'labels'"),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        DataCollatorForTokenClassification,
        DataCollatorForSeq2Seq,
        DataCollatorWithPadding,
        DefaultDataCollator,
    ],
)
def test_a_label_that_no_tensor_holds_is_named_with_its_row(kind, labels, said):
    collate = kind() if kind is DefaultDataCollator else kind(Words())
    with pytest.raises(ValueError, match=said):
        collate([{"input_ids": [2, 5, 3], "labels": label} for label in labels])


def test_inputs_that_no_tensor_holds_are_named_with_their_row():
    for ids in ([None, 5], ["a"], 5, "abc", [[5]]):
        with pytest.raises(ValueError, match="row 2 of this batch has .* in 'input_ids'"):
            DataCollatorWithPadding(Words())([{"input_ids": [2, 5, 3]}, {"input_ids": ids}])


def test_a_label_of_a_token_is_not_cut_to_a_whole_number():
    rows = [{"input_ids": [2, 5, 3], "labels": [0, 1.5, 1]}, {"input_ids": [2, 3], "labels": [0.0, 1.0]}]
    with pytest.raises(ValueError, match=r"whole numbers, and one of this batch is 1\.5"):
        DataCollatorForTokenClassification(Words())(rows)
    whole = DataCollatorForTokenClassification(Words())(rows[1:])
    assert whole["labels"].tolist() == [[0, 1]]
