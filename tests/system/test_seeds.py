"""What tutorials of every year tell a person to type, with `formers` in place of the library they name.

Stories follow five sources from the first code block to the last; checkpoints carry the names that a source
uses, and come from `seed_zoo`. What it prints wrongly works, or fails with the way out, as its story states.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch

from formers.core.notices import Notice
from system.seed_zoo import build

FRESH = "ignore:.*were initialised afresh:formers.core.notices.Notice"
pytestmark = pytest.mark.filterwarnings(FRESH)
SST2 = "distilbert-base-uncased-finetuned-sst-2-english"
ROWS = [
    ("i love this product", 1),
    ("great service !", 1),
    ("terrible experience", 0),
    ("i hate this movie , it was not great", 0),
] * 4


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(autouse=True)
def among_the_checkpoints(zoo, monkeypatch):
    """A name in a source's code is a folder here, so that its code runs as printed."""
    monkeypatch.chdir(zoo)


def reviews():
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    table = Dataset.from_list([{"text": text, "label": label} for text, label in ROWS])
    return DatasetDict(train=table, validation=table.select(range(8)), test=table.select(range(8)))


def accuracy(eval_pred):
    logits, labels = eval_pred
    predictions = np.argmax(logits, axis=-1)
    return {"accuracy": np.mean(predictions == labels)}


# -- seed 000: best practices ---------------------------------------------------------------------------


def test_best_practices_of_loading(tmp_path):
    from formers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

    model_name = "bert-base-uncased"
    tokenizer = AutoTokenizer.from_pretrained(model_name, use_fast=True)
    model = AutoModelForSequenceClassification.from_pretrained(model_name, num_labels=3)
    assert model.config.num_labels == 3

    config = AutoConfig.from_pretrained(model_name)
    config.hidden_dropout_prob = 0.2
    config.attention_probs_dropout_prob = 0.2
    assert AutoModel.from_pretrained(model_name, config=config).config.hidden_dropout_prob == 0.2
    assert AutoModel.from_config(config).config.attention_probs_dropout_prob == 0.2

    model.save_pretrained(tmp_path / "my-model")
    tokenizer.save_pretrained(tmp_path / "my-model")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "my-model")
    inputs = AutoTokenizer.from_pretrained(tmp_path / "my-model")("how are you", return_tensors="pt")
    assert torch.allclose(again(**inputs).logits, model.eval()(**inputs).logits, atol=1e-6)

    whole = AutoModel.from_pretrained(model_name)
    small = AutoModel.from_pretrained(model_name, load_in_8bit=True, device_map="auto")
    assert small.get_memory_footprint() < whole.get_memory_footprint()
    assert torch.allclose(small(**inputs)[0], whole(**inputs)[0], atol=0.2)
    model.save_pretrained(tmp_path / "onnx-model", export=True)
    graph = AutoModelForSequenceClassification.from_pretrained(tmp_path / "onnx-model")
    assert torch.allclose(graph(**inputs).logits, model(**inputs).logits, atol=1e-4)


def test_best_practices_of_tokenization():
    from formers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    model = AutoModel.from_pretrained("bert-base-uncased")
    texts = ["first text", "second text , much longer", "third text"]
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
    assert tokens["input_ids"].shape[0] == 3
    assert tokens.get("token_type_ids") is not None
    assert torch.equal((tokens["input_ids"] != tokenizer.pad_token_id).long(), tokens["attention_mask"])

    tokenizer.add_special_tokens({"additional_special_tokens": ["[CUSTOM]", "[MARKER]"]})
    model.resize_token_embeddings(len(tokenizer))
    ids = tokenizer("hello [CUSTOM] movie", add_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=False) == "[CLS] hello [CUSTOM] movie [SEP]"
    assert model(torch.tensor([ids])).last_hidden_state.shape == (1, 5, 24)

    pair = tokenizer(
        "what is the capital of france ?", "france is a country in europe . its capital is paris .",
        padding="max_length", truncation="only_second", max_length=16, return_tensors="pt",
    )  # fmt: skip
    assert pair["input_ids"].shape == (1, 16)
    with pytest.raises(TypeError, match=r"batched.*datasets\.Dataset\.map"):
        tokenizer(texts, padding=True, return_tensors="pt", batched=True, batch_size=1000)


def test_best_practices_of_fine_tuning(tmp_path):
    from formers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments
    from formers.evaluation import load_metric

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    model = AutoModelForSequenceClassification.from_pretrained("bert-base-uncased", num_labels=2)

    def tokenize_function(examples):
        return tokenizer(examples["text"], padding="max_length", truncation=True, max_length=16)

    tokenized = reviews().map(tokenize_function, batched=True)
    metric = load_metric("accuracy")

    def compute_metrics(eval_pred):
        logits, labels = eval_pred
        predictions = np.argmax(logits, axis=-1)
        return metric.compute(predictions=predictions, references=labels)

    training_args = TrainingArguments(
        output_dir=tmp_path / "results",
        evaluation_strategy="epoch",
        learning_rate=2e-5,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        num_train_epochs=1,
        weight_decay=0.01,
        logging_dir=tmp_path / "logs",
        logging_steps=100,
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=tokenized["train"],
        eval_dataset=tokenized["validation"],
        compute_metrics=compute_metrics,
    )
    trainer.train()
    trainer.save_model(tmp_path / "fine-tuned-model")
    assert trainer.state.best_metric is not None
    assert (tmp_path / "fine-tuned-model" / "model.safetensors").is_file()


@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp")
@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_best_practices_of_a_loop_of_ones_own():
    from torch.cuda.amp import GradScaler, autocast
    from torch.utils.data import DataLoader

    from formers import AdamW, AutoModelForSequenceClassification, AutoTokenizer, get_scheduler, set_seed

    set_seed(42)
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    model = AutoModelForSequenceClassification.from_pretrained("bert-base-uncased", num_labels=2)
    model.gradient_checkpointing_enable()
    rows = reviews()["train"].map(lambda row: tokenizer(row["text"], padding="max_length", max_length=16))
    rows = rows.remove_columns("text").rename_column("label", "labels").with_format("torch")
    loader = DataLoader(rows, batch_size=8, shuffle=True)
    optimizer = AdamW(model.parameters(), lr=2e-5)
    lr_scheduler = get_scheduler("linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=4)
    scaler = GradScaler()
    model.train()
    for batch in loader:
        batch = {k: v.to("cpu") for k, v in batch.items()}
        optimizer.zero_grad()
        with autocast():
            loss = model(**batch).loss
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        lr_scheduler.step()
    model.eval()
    with torch.no_grad():
        outputs = model(**batch)
    assert torch.isfinite(outputs.loss)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_best_practices_of_single_families():
    from formers import (
        BertForMaskedLM,
        BertTokenizer,
        GPT2LMHeadModel,
        GPT2Tokenizer,
        T5ForConditionalGeneration,
        T5Tokenizer,
    )

    with pytest.warns(Notice, match="have no place"):
        model = BertForMaskedLM.from_pretrained("bert-base-uncased")
    tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
    inputs = tokenizer("paris is the [MASK] of france .", return_tensors="pt")
    outputs = model(**inputs)
    mask_token_index = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
    mask_token_logits = outputs.logits[0, mask_token_index, :]
    top_5_tokens = torch.topk(mask_token_logits, 5, dim=1).indices[0].tolist()
    assert len([tokenizer.decode([token]) for token in top_5_tokens]) == 5

    tokenizer = GPT2Tokenizer.from_pretrained("gpt2")
    tokenizer.pad_token = tokenizer.eos_token
    inputs = tokenizer(["once upon a time", "the movie"], padding=True, return_tensors="pt")
    logits = GPT2LMHeadModel.from_pretrained("gpt2")(**inputs).logits
    assert logits.shape == (*inputs["input_ids"].shape, len(tokenizer))

    t5, tokenizer = (
        T5ForConditionalGeneration.from_pretrained("t5-small"),
        T5Tokenizer.from_pretrained("t5-small"),
    )
    inputs = tokenizer("translate : how are you ?", return_tensors="pt")
    labels = tokenizer(text_target="i am fine", return_tensors="pt")["input_ids"]
    assert torch.isfinite(t5(**inputs, labels=labels).loss)
    with pytest.raises(ValueError, match="decoder_input_ids"):
        t5(**inputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")
def test_best_practices_of_production():
    import asyncio

    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from pydantic import BaseModel

    from formers import pipeline

    class TextInput(BaseModel):
        text: str

    app = FastAPI()
    classifier = pipeline("text-classification", model=SST2)

    async def classify_text(input):
        result = classifier(input.text)[0]
        return {"label": result["label"], "confidence": result["score"]}

    classify_text.__annotations__["input"] = TextInput
    app.post("/classify")(classify_text)
    answer = TestClient(app).post("/classify", json={"text": "great service !"}).json()
    assert answer["label"] in ("POSITIVE", "NEGATIVE")

    async def many():  # the pipeline stands in a thread of its own, as a server holds it
        texts = [text for text, _ in ROWS]
        return await asyncio.gather(*(asyncio.to_thread(classifier, text) for text in texts))

    together = [answers[0]["label"] for answers in asyncio.run(many())]
    assert together == [answer["label"] for answer in classifier([text for text, _ in ROWS])]

    inputs = classifier.tokenizer("great service !", return_tensors="pt")
    small = torch.quantization.quantize_dynamic(classifier.model, {torch.nn.Linear}, dtype=torch.qint8)
    exact = classifier.model(**inputs).logits
    assert torch.allclose(small(**inputs).logits, exact, atol=0.2)
    assert not torch.equal(small(**inputs).logits, exact)


# -- seed 001: the toolkit ------------------------------------------------------------------------------


# on a processor without bfloat16 instructions the library says that half precision is slow there
@pytest.mark.filterwarnings("ignore:.*(slow|slower than float32):formers.core.notices.Notice")
def test_the_toolkit_s_pipelines(monkeypatch):
    from formers import infer_device, pipeline
    from formers.pipelines.pt_utils import KeyDataset

    pipe = pipeline("text-classification", model=SST2, device=infer_device())
    results = pipe(["Text 1", "Text 2", "Text 3"])
    assert [set(result) for result in results] == [{"label", "score"}] * 3
    table = reviews()["test"]
    assert [r["label"] for r in pipe(KeyDataset(table, "text"))] == [
        r["label"] for r in pipe(table["text"][:])
    ]
    half = pipeline("text-classification", model=SST2, torch_dtype=torch.bfloat16, device="cpu")
    assert half.model.dtype == torch.bfloat16
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for task in ("text-classification", "image-segmentation"):
        with (
            pytest.warns(Notice, match="no model was named"),
            pytest.raises(OSError, match="internet connection"),
        ):
            pipeline(task)
    with pytest.raises(KeyError, match="did you mean 'any-to-any'"):
        pipeline("any-to-al")


def test_the_toolkit_s_classes():
    from formers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    name = "meta-llama/Llama-2-7b-chat-hf"
    model = AutoModelForCausalLM.from_pretrained(name, device_map="auto", torch_dtype="auto")
    assert model.dtype == torch.bfloat16
    assert model.config.torch_dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(name)
    messages = [{"role": "system", "content": "the api"}, {"role": "user", "content": "what is france"}]
    formatted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert formatted == "[system] the api\n[user] what is france\n[assistant]"
    inputs = tokenizer(formatted, return_tensors="pt").to(model.device)
    assert model(**inputs).logits.shape[-1] == model.config.vocab_size

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    assert tokenizer.tokenize("Hello, how are you?") == ["hello", ",", "how", "are", "you", "?"]
    encoded = tokenizer("Hello, how are you?", return_tensors="pt")
    assert tokenizer.decode(encoded["input_ids"][0]) == "[CLS] hello, how are you? [SEP]"
    special = (tokenizer.pad_token, tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token)
    assert special == ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
    bert = AutoModel.from_pretrained("bert-base-uncased", device_map="auto")
    tokenizer.add_tokens(["[CUSTOM]"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["[NEW]"]})
    assert bert.resize_token_embeddings(len(tokenizer)).num_embeddings == len(tokenizer)
    with torch.no_grad():
        assert bert.half().float()(**encoded).last_hidden_state.shape == (1, 8, 24)


def test_the_toolkit_s_errors(monkeypatch):
    from formers import AutoModel

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    caught = ""
    try:
        AutoModel.from_pretrained("model-name")
    except OSError as error:
        caught = str(error)
    except torch.cuda.OutOfMemoryError:
        caught = "wrong"
    assert "model-name" in caught
    assert "internet connection" in caught


# on a processor without bfloat16 instructions the library says that half precision is slow there
@pytest.mark.filterwarnings("ignore:.*(slow|slower than float32):formers.core.notices.Notice")
def test_the_toolkit_s_fine_tuning_ends_on_the_hub(tmp_path, hub):
    from formers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        pipeline,
    )

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    tokenized = reviews().map(lambda rows: tokenizer(rows["text"], truncation=True), batched=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        "bert-base-uncased", num_labels=2, id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )  # fmt: skip
    training_args = TrainingArguments(
        output_dir=tmp_path / "results",
        learning_rate=2e-5,
        per_device_train_batch_size=16,
        num_train_epochs=1,
        warmup_steps=500,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        optim="adafactor",
        bf16=True,
        report_to="tensorboard",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        push_to_hub=False,
        ddp_find_unused_parameters=False,
        hub_model_id="somebody/reviews",
        hub_token="hf_reader",
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=tokenized["train"],
        eval_dataset=tokenized["test"],
        tokenizer=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
    )
    trainer.train()
    assert "eval_loss" in trainer.evaluate()
    trainer.push_to_hub()
    answer = pipeline("text-classification", model="somebody/reviews", token="hf_reader")("great service !")
    assert answer[0]["label"] in ("negative", "positive")
    with pytest.raises(ValueError, match="contradict"):
        TrainingArguments(tmp_path / "both", fp16=True, bf16=True)


def test_the_toolkit_s_sequence_to_sequence(tmp_path):
    from formers import (
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained("t5-small")
    model = AutoModelForSeq2SeqLM.from_pretrained("t5-small")

    def preprocess(examples):
        inputs = ["summarize: " + doc for doc in examples["text"]]
        model_inputs = tokenizer(inputs, max_length=64, truncation=True)
        labels = tokenizer(examples["text"], max_length=16, truncation=True)
        model_inputs["labels"] = labels["input_ids"]
        return model_inputs

    tokenized = reviews()["train"].map(preprocess, batched=True)
    trainer = Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(output_dir=tmp_path, num_train_epochs=1, report_to="none"),
        train_dataset=tokenized,
        tokenizer=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer=tokenizer, model=model),
    )
    assert np.isfinite(trainer.train().training_loss)


# -- seed 002: the ticket router ------------------------------------------------------------------------


def macro_f1(eval_pred):
    from sklearn.metrics import f1_score

    logits, labels = eval_pred
    return {"f1": f1_score(labels, np.argmax(logits, axis=-1), average="macro")}


def test_the_ticket_router(tmp_path):
    from formers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        EarlyStoppingCallback,
        Trainer,
        TrainingArguments,
        pipeline,
    )

    model_id = "distilbert-base-uncased"
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    model = AutoModelForSequenceClassification.from_pretrained(model_id, num_labels=4)
    inputs = tokenizer("Billing dispute on invoice #42", truncation=True, max_length=512, return_tensors="pt")
    assert model(**inputs).logits.shape == (1, 4)

    printed = {
        "output_dir": tmp_path / "ticket-router", "per_device_train_batch_size": 16, "num_train_epochs": 3,
        "evaluation_strategy": "epoch", "load_best_model_at_end": True,
    }  # fmt: skip
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"fp16=True needs a GPU.*bf16=True"):
            TrainingArguments(**printed, fp16=True)
    training_args = TrainingArguments(
        **printed, warmup_ratio=0.1, metric_for_best_model="f1", report_to="none"
    )
    assert training_args.save_strategy == "epoch"  # it follows the evaluation that it depends on
    tokenized = reviews().map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=256))
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=tokenized["train"],
        eval_dataset=tokenized["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=macro_f1,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=1)],
    )
    trainer.train()
    trainer.save_model(tmp_path / "router")
    tokenizer.save_pretrained(tmp_path / "router")
    clf = pipeline("text-classification", model=str(tmp_path / "router"))
    answer = clf("Refund request - card charged twice", top_k=None)
    assert sum(one["score"] for one in answer) == pytest.approx(1, abs=1e-5)
    everything = pipeline("text-classification", model=str(tmp_path / "router"), return_all_scores=True)
    assert len(everything("Refund request")[0]) == 4


def test_the_router_s_pitfalls_are_said():
    from formers import AutoModelForSequenceClassification, AutoTokenizer, BertModel, pipeline

    with pytest.warns(Notice, match="embeddings for"), pytest.raises(IndexError, match="tokenizer of this"):
        pipeline("text-classification", model=SST2, tokenizer="gpt2")("once upon a time")
    inputs = AutoTokenizer.from_pretrained("bert-base-uncased")(
        ["a", "a movie"], padding=True, return_tensors="pt"
    )
    model = BertModel.from_pretrained("bert-base-uncased")
    with pytest.raises(AttributeError, match="AutoModelForSequenceClassification"):
        _ = model(**inputs).logits
    with pytest.raises(TypeError, match="AutoModelForSequenceClassification"):
        model(**inputs, labels=torch.tensor([0, 1]))
    with pytest.warns(Notice, match="attention_mask"):
        model(inputs["input_ids"])
    with pytest.warns(Notice, match="no code is loaded"):
        AutoModelForSequenceClassification.from_pretrained(SST2, trust_remote_code=True)
    with pytest.warns(Notice, match="never trained"):
        pipeline("text-classification", model="bert-base-uncased")
    with pytest.warns(Notice, match="longer than the 512 tokens"):
        pipeline("text-classification", model=SST2)("movie " * 600)


# -- seed 003: the lecture ------------------------------------------------------------------------------


def test_the_lecture_reads_tokens_and_attention(capsys):
    from formers import AutoModel, AutoTokenizer

    model_name = "distilbert/distilbert-base-cased"
    tokenizer = AutoTokenizer.from_pretrained(model_name)
    model = AutoModel.from_pretrained(model_name)
    print(tokenizer)
    print(model)
    print(model.config)
    said = capsys.readouterr().out
    assert re.search(r"q_lin\): Linear.*out_features=24", said)
    text = "Hello, how are you?"
    tokens = tokenizer.tokenize(text)
    token_ids = tokenizer.encode(text)
    assert tokenizer.convert_ids_to_tokens(token_ids) == ["[CLS]", *tokens, "[SEP]"]
    inputs = tokenizer(text, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask"}
    first = model(**inputs).last_hidden_state
    second = model(inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]
    assert torch.equal(first, second)

    model = AutoModel.from_pretrained(model_name, output_attentions=True, output_hidden_states=True)
    model.eval()
    with torch.no_grad():
        model_output = model(**inputs)
    size = len(token_ids)
    assert len(model_output.hidden_states) == 7
    assert [tuple(layer[0, 0].shape) for layer in model_output.attentions] == [(size, size)] * 6
    assert len(model_output.attentions[0][0]) == 12
    assert torch.allclose(model_output.attentions[0][0].sum(-1), torch.ones(12, size), atol=1e-5)


def lecture_data(tokenizer):
    def truncate(example):
        return {"text": " ".join(example["text"].split()[:50]), "label": example["label"]}

    table = reviews().map(truncate)
    table = table.map(lambda rows: tokenizer(rows["text"], padding=True, truncation=True), batched=True)
    table = table.remove_columns(["text"]).rename_column("label", "labels")
    table.set_format("torch")
    return table


def test_the_lecture_trains_by_hand_and_with_the_trainer(tmp_path):
    from torch.optim import AdamW
    from torch.utils.data import DataLoader

    from formers import (
        AutoModel,
        AutoTokenizer,
        DistilBertForSequenceClassification,
        Trainer,
        TrainingArguments,
        get_linear_schedule_with_warmup,
    )

    tokenizer = AutoTokenizer.from_pretrained("distilbert-base-cased")
    small = lecture_data(tokenizer)
    train_dataloader = DataLoader(small["train"], batch_size=16)
    batch = next(iter(train_dataloader))
    with pytest.raises(TypeError, match="AutoModelForSequenceClassification"):
        AutoModel.from_pretrained("distilbert-base-cased")(**batch)  # the lecture's slip: no head, no loss

    model = DistilBertForSequenceClassification.from_pretrained("distilbert-base-cased", num_labels=2)
    optimizer = AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
    lr_scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=0, num_training_steps=1)
    model.train()
    output = model(**batch)
    optimizer.zero_grad()
    output.loss.backward()
    optimizer.step()
    lr_scheduler.step()
    model.eval()
    state = {
        "epoch": 0,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    torch.save(state, tmp_path / "epoch_0.pt")
    again = DistilBertForSequenceClassification.from_pretrained("distilbert-base-cased", num_labels=2)
    again.load_state_dict(torch.load(tmp_path / "epoch_0.pt")["model_state_dict"])
    assert torch.equal(again(**batch).logits, model(**batch).logits)

    for param in model.distilbert.parameters():
        param.requires_grad = False
    frozen = {name: value.clone() for name, value in model.distilbert.state_dict().items()}
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=tmp_path / "sample_hf_trainer",
            per_device_train_batch_size=16,
            per_device_eval_batch_size=16,
            num_train_epochs=2,
            evaluation_strategy="epoch",
            save_strategy="epoch",
            learning_rate=2e-5,
            load_best_model_at_end=True,
            seed=224,
        ),
        train_dataset=small["train"],
        eval_dataset=small["validation"],
        tokenizer=tokenizer,
        compute_metrics=accuracy,
    )
    trainer.train()
    assert len([entry for entry in trainer.state.log_history if "eval_accuracy" in entry]) == 2
    after = model.distilbert.state_dict()
    assert all(torch.equal(after[name], value) for name, value in frozen.items())


def test_the_lecture_s_heads():
    from formers import (
        AutoModelForMultipleChoice,
        AutoModelForQuestionAnswering,
        AutoTokenizer,
        DistilBertForMaskedLM,
        DistilBertForMultipleChoice,
        DistilBertForQuestionAnswering,
        DistilBertForTokenClassification,
    )

    name = "distilbert-base-cased"
    tokenizer = AutoTokenizer.from_pretrained(name)
    choices = tokenizer(["what is"] * 2, ["a movie", "the city of paris"], padding=True, return_tensors="pt")
    choice = DistilBertForMultipleChoice.from_pretrained(name)
    stacked = {key: value.unsqueeze(0) for key, value in choices.items()}
    assert choice(**stacked, labels=torch.tensor([0])).logits.shape == (1, 2)
    assert type(AutoModelForMultipleChoice.from_pretrained(name)) is DistilBertForMultipleChoice

    question = tokenizer("what is paris ?", "paris is a city", return_tensors="pt")
    spans = DistilBertForQuestionAnswering.from_pretrained(name)(
        **question, start_positions=torch.tensor([6]), end_positions=torch.tensor([8])
    )
    assert spans.start_logits.shape == question["input_ids"].shape
    assert torch.isfinite(spans.loss)
    assert type(AutoModelForQuestionAnswering.from_pretrained(name)) is DistilBertForQuestionAnswering
    tagger = DistilBertForTokenClassification.from_pretrained(name, num_labels=5)
    assert tagger(**question).logits.shape == (*question["input_ids"].shape, 5)
    assert DistilBertForMaskedLM.from_pretrained(name)(**question).logits.shape[-1] == len(tokenizer)


def test_the_lecture_s_accelerate_script(tmp_path):
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    from formers import AdamW, AutoModelForSequenceClassification, AutoTokenizer, get_scheduler

    accelerator = Accelerator(cpu=True)
    tokenizer = AutoTokenizer.from_pretrained("distilbert-base-uncased")
    raw = reviews()["train"].map(
        lambda rows: tokenizer(rows["text"], truncation=True, padding=True, max_length=512), batched=True
    )
    model = AutoModelForSequenceClassification.from_pretrained("distilbert-base-uncased", num_labels=2)
    with pytest.raises(TypeError, match=r"'text', 'label'; did you mean 'labels'"):
        model(**next(iter(DataLoader(raw, batch_size=8))))  # as printed, with columns that no model reads

    rows = raw.remove_columns("text").rename_column("label", "labels").with_format("torch")
    train_dataloader = DataLoader(rows, shuffle=True, batch_size=8)
    optimizer = AdamW(model.parameters(), lr=5e-5)
    model, optimizer, train_dataloader = accelerator.prepare(model, optimizer, train_dataloader)
    lr_scheduler = get_scheduler("linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=2)
    model.train()
    for batch in train_dataloader:
        accelerator.backward(model(**batch).loss)
        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
    accelerator.wait_for_everyone()
    unwrapped_model = accelerator.unwrap_model(model)
    unwrapped_model.save_pretrained(tmp_path / "imdb", save_function=accelerator.save)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "imdb")
    assert torch.equal(again.classifier.weight, unwrapped_model.classifier.weight)


# -- seed 004: the chapter ------------------------------------------------------------------------------


def test_the_chapter_s_pipeline_is_what_one_does_by_hand():
    from formers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    texts = ["I love this", "I hate this"]
    tokenizer = AutoTokenizer.from_pretrained(SST2)
    model = AutoModelForSequenceClassification.from_pretrained(SST2)
    enc = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        probs = model(**enc).logits.softmax(dim=-1)
    answers = pipeline("sentiment-analysis", model=SST2)(texts)
    assert [answer["label"] for answer in answers] == [
        model.config.id2label[int(i)] for i in probs.argmax(-1)
    ]
    assert [answer["score"] for answer in answers] == pytest.approx(probs.max(-1).values.tolist(), abs=1e-6)
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["I love this", "I hate this movie"], return_tensors="pt")


def test_the_chapter_s_exercise_from_a_csv_file(tmp_path):
    from datasets import load_dataset

    from formers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    table = tmp_path / "reviews.csv"
    table.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS))
    rows = load_dataset("csv", data_files=str(table), cache_dir=str(tmp_path / "cache"))["train"]
    tokenizer = AutoTokenizer.from_pretrained("distilbert-base-uncased")
    rows = rows.map(lambda row: tokenizer(row["text"], truncation=True, max_length=128), batched=True)
    halves = rows.train_test_split(test_size=0.25, seed=0)
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained("distilbert-base-uncased", num_labels=2),
        args=TrainingArguments(tmp_path / "out", num_train_epochs=1, eval_strategy="epoch", report_to="none"),
        train_dataset=halves["train"],
        eval_dataset=halves["test"],
        processing_class=tokenizer,
        compute_metrics=accuracy,
    )
    trainer.train()
    assert 0 <= trainer.evaluate()["eval_accuracy"] <= 1
    predictions = trainer.predict(halves["test"])
    assert predictions.predictions.shape == (4, 2)
