"""Summaries or translations from pairs of texts, by the Seq2SeqTrainer.

python examples/fine_tune_writer.py pairs.csv --source document --target summary --prefix "summarize: "
python examples/fine_tune_writer.py pairs.csv --source en --target fr --prefix "translate English to French: "
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import load_dataset

from formers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)


def main(given: Sequence[str] | None = None) -> dict[str, float]:
    options = arguments(given)
    rows = load_dataset("csv", data_files=options.data, split="train")
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForSeq2SeqLM.from_pretrained(options.model)

    def prepared(part: dict[str, Any]) -> Any:
        sources = [options.prefix + text for text in part[options.source]]
        return tokenizer(sources, text_target=part[options.target], max_length=512, truncation=True)

    def exact(prediction: Any) -> dict[str, float]:
        pad = tokenizer.pad_token_id
        texts = (np.where(ids == -100, pad, ids) for ids in (prediction.predictions, prediction.label_ids))
        said, wanted = (tokenizer.batch_decode(ids, skip_special_tokens=True) for ids in texts)
        return {"exact": float(np.mean([a.strip() == b.strip() for a, b in zip(said, wanted, strict=True)]))}

    encoded = rows.map(prepared, batched=True, remove_columns=rows.column_names)
    parts = encoded.train_test_split(test_size=0.2, seed=0)
    trainer = Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(
            f"{options.output}-checkpoints",
            num_train_epochs=options.epochs,
            learning_rate=3e-4,
            per_device_train_batch_size=8,
            predict_with_generate=True,
            generation_max_length=options.max_length,
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=parts["train"],
        eval_dataset=parts["test"],
        processing_class=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        compute_metrics=exact,
    )
    trainer.train()
    found: dict[str, float] = trainer.evaluate()
    trainer.save_model(options.output)
    inputs = tokenizer(options.prefix + rows[options.source][0], return_tensors="pt").to(model.device)
    ids = model.generate(**inputs, max_new_tokens=options.max_length)[0]
    print(f"exact {found['eval_exact']:.3f}; {tokenizer.decode(ids, skip_special_tokens=True)!r}")
    return found


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="CSV with a column for each side")
    parser.add_argument("--source", default="source")
    parser.add_argument("--target", default="target")
    parser.add_argument("--prefix", default="", help="what the model is told before each text")
    parser.add_argument("--model", default="google-t5/t5-small")
    parser.add_argument("--output", default="my-writer")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--max-length", type=int, default=64, help="tokens of an answer")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
