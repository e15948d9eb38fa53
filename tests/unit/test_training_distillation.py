"""A small model learns what a large one says."""

import pytest
import torch
from torch.nn import functional as F

import formers
from formers.training import DataCollatorWithPadding, DistillationTrainer
from formers.training.distillation import soft_loss
from tests.unit.training_toys import PadOnly, rows

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
    "num_labels": 3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def classifier(layers, seed, **options):
    torch.manual_seed(seed)
    config = formers.BertConfig(**{**SIZES, **options}, num_hidden_layers=layers, initializer_range=0.3)
    return formers.BertForSequenceClassification(config)


def distiller(tmp_path, student, teacher, data, **options):
    args = formers.TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=10,
        num_train_epochs=20,
        learning_rate=5e-3,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    return DistillationTrainer(
        model=student,
        args=args,
        train_dataset=data,
        data_collator=DataCollatorWithPadding(PadOnly()),
        teacher=teacher,
        **options,
    )


def test_the_soft_loss_is_the_divergence_of_both_at_a_temperature():
    student, teacher = torch.randn(2, 3, 4, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    real = torch.tensor([True, False, True])
    wanted = sum(
        (
            F.softmax(teacher[i] / 3, -1)
            * (F.softmax(teacher[i] / 3, -1) / F.softmax(student[i] / 3, -1)).log()
        ).sum()
        for i in (0, 2)
    )
    torch.testing.assert_close(soft_loss(student, teacher, real, 3.0), wanted * 9 / 2)


@pytest.mark.parametrize("states_weight", [0.0, 1.0])
def test_a_student_without_labels_comes_to_say_what_its_teacher_says(tmp_path, states_weight):
    teacher, student = classifier(2, 0), classifier(1, 1)
    data = [{"input_ids": row["input_ids"]} for row in rows(40)]
    batch = DataCollatorWithPadding(PadOnly())(data)
    trainer = distiller(tmp_path, student, teacher, data, soft_weight=1.0, states_weight=states_weight)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}

    @torch.no_grad()
    def found():
        student.eval()
        ours, theirs = (m(**batch, output_hidden_states=True) for m in (student, teacher))
        near = F.cosine_similarity(ours.hidden_states[1], theirs.hidden_states[2], dim=-1)
        agree = (ours.logits.argmax(-1) == theirs.logits.argmax(-1)).float().mean()
        return float(agree), float(near[batch["attention_mask"] == 1].mean())

    first = found()
    trainer.train()
    last = found()
    assert last[0] >= 0.75 > first[0], (first, last)
    assert (last[1] > 0.3) is bool(states_weight), (first, last)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_places_without_a_label_teach_a_decoder_nothing(tmp_path):
    torch.manual_seed(0)
    config = formers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=16)
    student, teacher = formers.GPT2LMHeadModel(config).eval(), formers.GPT2LMHeadModel(config)
    trainer = distiller(tmp_path, student, teacher, rows(4), soft_weight=1.0, temperature=1.0)
    ids = torch.arange(1, 7)[None]
    labels = torch.tensor([[-100, -100, 3, 4, -100, -100]])
    found = trainer.compute_loss(student, {"input_ids": ids, "labels": labels})
    ours, theirs = (
        model(input_ids=ids).logits[0, 1:3].log_softmax(-1) for model in (student, teacher.eval())
    )
    torch.testing.assert_close(found, (theirs.exp() * (theirs - ours)).sum() / 2)


@pytest.mark.parametrize(
    ("teacher", "options", "said"),
    [
        ({"vocab_size": 60}, {}, "vocabularies of 50 and 60"),
        ({"num_labels": 4}, {}, "the same labels"),
        ({"hidden_size": 32}, {"states_weight": 1.0}, "as wide as its teacher"),
        ({}, {"temperature": 0}, "temperature is above 0"),
    ],
)
def test_what_cannot_be_taught_says_what_to_take(tmp_path, teacher, options, said):
    with pytest.raises(ValueError, match=said):
        distiller(tmp_path, classifier(1, 0), classifier(1, 0, **teacher), rows(10), **options).train()
