"""The pitfalls that tutorials warn of: each test falls into one, and is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from formers.core.notices import Notice
from system.seed_zoo import VOCABULARY, build

SST2 = "distilbert-base-uncased-finetuned-sst-2-english"
BERT = "bert-base-uncased"
pytestmark = pytest.mark.filterwarnings("ignore:.*were initialised afresh:formers.core.notices.Notice")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return build(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(autouse=True)
def among_the_checkpoints(zoo, monkeypatch):
    monkeypatch.chdir(zoo)


def classifier():
    from formers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(BERT)


def trained(rows, folder, **parts):
    from formers import Trainer, TrainingArguments

    args = TrainingArguments(
        folder, max_steps=1, report_to="none", disable_tqdm=True, **parts.pop("args", {})
    )
    trainer = Trainer(classifier(), args, train_dataset=rows, **parts)
    trainer.train()
    return trainer


def test_a_tokenizer_whose_ids_are_another_checkpoint_s_is_noticed(tmp_path):
    from formers import BertTokenizer, pipeline

    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY[:5], *reversed(VOCABULARY[5:])]) + "\n")
    BertTokenizer(vocab_file=tmp_path / "vocab.txt", model_max_length=512).save_pretrained(tmp_path)
    with pytest.warns(Notice, match=r"have other ids in that of .*: texts would be read as other words"):
        pipeline("text-classification", model=SST2, tokenizer=str(tmp_path))
    pipeline("text-classification", model=SST2, tokenizer="distilbert-base-cased")  # the same vocabulary


def test_texts_cut_shorter_in_training_than_in_service_are_noticed(tmp_path):
    from formers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BERT)
    texts = ["i love this product " * (1 + i % 4) for i in range(24)]
    rows = [
        {**tokenizer(text, truncation=True, max_length=8), "labels": i % 2} for i, text in enumerate(texts)
    ]
    with pytest.warns(Notice, match=r"model_max_length = 8, so that texts are cut in service as in training"):
        trained(rows, tmp_path, processing_class=tokenizer)
    tokenizer.model_max_length = 8
    trained(rows, tmp_path, processing_class=tokenizer)


def test_texts_trained_on_without_the_tokens_that_service_puts_around_them_are_noticed(tmp_path):
    from formers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BERT)
    rows = [{**tokenizer("i love this", add_special_tokens=False), "labels": i % 2} for i in range(4)]
    with pytest.warns(Notice, match=r"no example has \[CLS\]"):
        trained(rows, tmp_path, processing_class=tokenizer)


def test_the_best_model_chosen_by_the_training_set_is_noticed(tmp_path):
    rows = [{"input_ids": [2, 7, 3], "labels": i % 2} for i in range(4)]
    best = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1, "load_best_model_at_end": True}
    with pytest.warns(Notice, match="eval_dataset is train_dataset"):
        trained(rows, tmp_path, eval_dataset=rows, args=best)


def test_a_metric_that_uses_what_nobody_imported_is_said_before_training(tmp_path):
    def compute_metrics(eval_pred):
        return {"accuracy": numpyy.mean(np.argmax(eval_pred[0], -1) == eval_pred[1])}  # noqa: F821

    rows = [{"input_ids": [2, 7, 3], "labels": i % 2} for i in range(4)]
    with pytest.warns(Notice, match="compute_metrics uses numpyy, which its file does not define"):
        trained(rows, tmp_path, compute_metrics=compute_metrics)


def test_training_that_runs_out_of_memory_says_what_needs_less(tmp_path):
    class Greedy(torch.nn.Module):
        def forward(self, input_ids, labels):
            raise torch.OutOfMemoryError("CUDA out of memory")

    from formers import Trainer, TrainingArguments

    args = TrainingArguments(tmp_path, max_steps=1, report_to="none", disable_tqdm=True)
    rows = [{"input_ids": [2, 7, 3], "labels": 0}] * 4
    trainer = Trainer(Greedy().requires_grad_(), args, train_dataset=rows)
    trainer.model.weight = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trainer.train()
    assert "auto_find_batch_size=True" in caught.value.__notes__[0]


def test_training_that_waits_for_its_data_is_told_what_prepares_it_sooner():
    from formers.training.pitfalls import notice_waiting

    notice_waiting(2.0, 30.0, 0)
    with pytest.warns(Notice, match="waited 20 of 30 seconds for its data: .*dataloader_num_workers=2"):
        notice_waiting(20.0, 30.0, 0)


def test_dropout_that_was_left_on_is_noticed():
    from formers import AutoModelForCausalLM, AutoTokenizer

    model = classifier().train()
    inputs = AutoTokenizer.from_pretrained(BERT)("i love this", return_tensors="pt")
    assert torch.isfinite(model(**inputs).logits).all()  # with gradients it is training
    with torch.no_grad(), pytest.warns(Notice, match=r"dropout is on.*model\.eval\(\)"):
        model(**inputs)
    from formers.core.notices import forget_notices

    forget_notices()
    prompt = AutoTokenizer.from_pretrained("gpt2")("once", return_tensors="pt")
    with pytest.warns(Notice, match="dropout is on"):
        AutoModelForCausalLM.from_pretrained("gpt2").train().generate(**prompt, max_new_tokens=1)


def test_padding_with_the_end_token_and_no_mask_is_noticed():
    from formers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained("gpt2"), AutoTokenizer.from_pretrained("gpt2")
    tokenizer.pad_token = tokenizer.eos_token
    ids = tokenizer(["once", "once upon a time"], padding=True, return_tensors="pt")["input_ids"]
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with pytest.warns(Notice, match="no attention_mask"):
        model.generate(ids, max_new_tokens=1)


@pytest.mark.filterwarnings("ignore:.*cut off before its end:formers.core.notices.Notice")
def test_a_missing_prefix_of_a_model_that_knows_its_task_by_one_is_noticed():
    from formers import AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained("t5-small"),
        AutoTokenizer.from_pretrained("t5-small"),
    )
    model.config.task_specific_params = {"translation_en_to_de": {"prefix": "translate : "}}
    short = {"max_new_tokens": 2, "min_new_tokens": 2, "num_beams": 1}
    with pytest.warns(Notice, match=r"'translate : ' \(translation_en_to_de\)"):
        pipeline("text2text-generation", model=model, tokenizer=tokenizer)("how are you ?", **short)


def test_a_summary_cut_off_before_its_end_is_noticed():
    from formers import pipeline

    summarise = pipeline("summarization", model="t5-small")
    with pytest.warns(Notice, match="was cut off before its end"):
        summarise("i love this product .", max_new_tokens=3, min_new_tokens=3)


@pytest.mark.parametrize("called", ["pipeline", "tokenizer"])
def test_texts_one_by_one_are_noticed(called, monkeypatch):
    from formers import AutoTokenizer, pipeline
    from formers.pipelines import frame
    from formers.tokenization import encoder

    monkeypatch.setattr(frame, "_MANY_SINGLE_CALLS", 3)
    monkeypatch.setattr(encoder, "_MANY_SINGLES", 3)
    call = (
        pipeline("text-classification", model=SST2)
        if called == "pipeline"
        else AutoTokenizer.from_pretrained(BERT)
    )
    call(["i love this"] * 4)
    for _ in range(2):
        call("i love this")
    with pytest.warns(Notice, match="3 (inputs|texts) .*one by one"):
        call("i love this")


def test_logits_where_labels_belong_are_refused():
    from formers.evaluation import load_metric

    with pytest.raises(ValueError, match=r"predictions\.argmax"):
        load_metric("accuracy").compute(predictions=np.eye(2), references=np.array([0, 1]))


@pytest.mark.parametrize(
    "call",
    [
        lambda model, ids: model.generate(ids, max_new_tokens=2),
        lambda model, ids: model.generate(**ids, max_new_tokens=2, do_sample=True, seed=42),
    ],
)
def test_slips_of_calls_work_where_their_meaning_is_plain(call):
    from formers import AutoModelForCausalLM, AutoTokenizer

    model, ids = (
        AutoModelForCausalLM.from_pretrained("gpt2"),
        AutoTokenizer.from_pretrained("gpt2")("once", return_tensors="pt"),
    )
    assert torch.equal(call(model, ids), call(model, ids))


def test_a_template_s_first_token_does_not_come_twice():
    from tokenizers.processors import TemplateProcessing

    from formers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("meta-llama/Llama-2-7b-chat-hf")
    first = (tokenizer.bos_token, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{first[0]} $A", special_tokens=[first]
    )
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert tokenizer(text)["input_ids"].count(first[1]) == 1
