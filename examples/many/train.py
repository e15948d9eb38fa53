"""Fine-tunes a classifier on a table of `text` and `label`, in as many processes as torchrun starts.

Started again, with the same number of processes or another, it goes on from its last checkpoint.
"""

import argparse

from formers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from formers.training import get_last_checkpoint
from formers.training.data import label_maps, load_table, tokenize_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="a table: CSV, TSV, JSON or JSON lines")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--output", required=True, help="a folder that every machine sees")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32, help="examples per step, of each process")
    parser.add_argument("--shard", action="store_true", help="cut the weights over the processes (FSDP2)")
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()

    rows = load_table(given.data, text_column="text", label_column="label")
    id2label, label2id = label_maps(row["label"] for row in rows)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        given.model, id2label=id2label, label2id=label2id
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            given.output,
            max_steps=given.steps,
            per_device_train_batch_size=given.batch,
            save_steps=max(1, given.steps // 10),
            save_total_limit=2,
            fsdp=True if given.shard else None,
            use_cpu=given.cpu,
        ),
        train_dataset=tokenize_rows(rows, tokenizer, label2id=label2id),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(given.output))
    trainer.save_model(f"{given.output}/model")
    trainer.end()


if __name__ == "__main__":
    main()
