"""What a training run sends to the Hub."""

from formers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from formers.training import DataCollatorWithPadding
from system.training_job import PadOnly, examples


def trainer(folder, **options):
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=3,
    )
    args = TrainingArguments(
        str(folder),
        disable_tqdm=True,
        use_cpu=True,
        hub_token="hf_reader",
        hub_model_id="somebody/mine",
        **options,
    )
    data = examples(12)
    collate = DataCollatorWithPadding(PadOnly())
    return Trainer(
        BertForSequenceClassification(config), args, collate, train_dataset=data, eval_dataset=data
    )


def test_a_trained_model_is_pushed_with_its_card_and_loads_again(hub, tmp_path):
    run = trainer(tmp_path / "run", max_steps=2, save_steps=1, eval_strategy="epoch")
    run.train()
    run.push_to_hub("Done", dataset="made-up texts", license="mit")
    files = hub.repos["models", "somebody/mine"].files()
    again = BertForSequenceClassification.from_pretrained("somebody/mine", token="hf_reader")
    assert all((a == b).all() for a, b in zip(again.parameters(), run.model.parameters(), strict=True))
    card = (tmp_path / "run" / "README.md").read_text()
    assert "made-up texts" in card
    assert 'license: "mit"' in card
    assert not [name for name in files if name.startswith("checkpoint-")]
    assert not [name for name, content in files.items() if b"hf_reader" in content], "the token went along"


def test_every_save_is_pushed_during_training(hub, tmp_path):
    run = trainer(tmp_path / "run", max_steps=2, save_steps=1, push_to_hub=True, hub_always_push=True)
    run.train()
    again = BertForSequenceClassification.from_pretrained("somebody/mine", token="hf_reader")
    assert all((a == b).all() for a, b in zip(again.parameters(), run.model.parameters(), strict=True))
