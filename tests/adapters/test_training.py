"""The Trainer on adapters: what is trained, what is saved, and going on from there."""

from __future__ import annotations

import pytest
import torch

import formers
import tiny
from formers import LoraConfig, PeftModel, Trainer, TrainingArguments, get_peft_model

ROWS = [{"input_ids": [3 + i, 4 + i, 5 + i, 6], "labels": i % 2} for i in range(8)]


@pytest.fixture
def base(tmp_path):
    """A saved encoder."""
    torch.manual_seed(0)
    values = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = formers.BertConfig(intermediate_size=24, **values)
    formers.BertForSequenceClassification(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def adapted(base, straight=False):
    model = formers.BertForSequenceClassification.from_pretrained(base)
    torch.manual_seed(1)
    config = LoraConfig(r=2, lora_dropout=0.1, task_type="SEQ_CLS")
    if not straight:
        return get_peft_model(model, config)
    config.modules_to_save = ["classifier"]
    model.add_adapter(config)
    return model


def trainer(model, folder, **more):
    args = TrainingArguments(
        str(folder),
        per_device_train_batch_size=2,
        max_steps=4,
        save_steps=2,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **more,
    )
    return Trainer(model, args, train_dataset=ROWS, eval_dataset=list(ROWS))


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("straight", [False, True])
def test_checkpoints_hold_the_adapter_alone_and_a_resumed_run_ends_the_same(base, tmp_path, straight):
    model = adapted(base, straight)
    before = weights(model)
    trainer(model, tmp_path / "run").train()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}
    half = tmp_path / "run" / "checkpoint-2"
    assert (half / "adapter_model.safetensors").is_file()
    assert not (half / "model.safetensors").exists()
    assert not (half / "config.json").exists()
    again = adapted(base, straight)
    trainer(again, tmp_path / "again").train(resume_from_checkpoint=str(half))
    torch.testing.assert_close(weights(again), weights(model), rtol=0, atol=0)


def test_a_pipeline_takes_an_adapter_s_folder_with_the_tokenizer_of_the_model_below(tmp_path):
    model = formers.AutoModelForSequenceClassification.from_pretrained(
        tiny.save_classifier(tmp_path / "base")
    )
    adapted = get_peft_model(model, LoraConfig(r=2, task_type="SEQ_CLS", init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    answer = formers.pipeline("text-classification", model=str(tmp_path / "adapter"))("my parcel is late")
    tokens = formers.AutoTokenizer.from_pretrained(tmp_path / "base")(
        "my parcel is late", return_tensors="pt"
    )
    shares = adapted.eval()(**tokens).logits.softmax(-1)
    assert answer[0]["score"] == pytest.approx(float(shares.detach().max()), abs=1e-5)


def test_the_best_adapter_is_put_back_and_saved_where_a_pipeline_finds_it(base, tmp_path):
    model = adapted(base)
    more = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
    run = trainer(model, tmp_path / "run", metric_for_best_model="loss", **more)
    run.train()
    run.save_model(str(tmp_path / "best"))
    best = PeftModel.from_pretrained(
        formers.BertForSequenceClassification.from_pretrained(base), run.state.best_model_checkpoint
    )
    loaded = formers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "best")
    ids = torch.tensor([[3, 4, 5]])
    expected = model.eval()(input_ids=ids).logits
    torch.testing.assert_close(best(input_ids=ids).logits, expected)
    torch.testing.assert_close(loaded(input_ids=ids).logits, expected)
