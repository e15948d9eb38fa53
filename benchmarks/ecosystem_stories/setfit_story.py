"""setfit: few labelled texts, training, prediction, saving."""

import tempfile

import numpy as np
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from stage import minilm

rows = {
    "text": ["i loved it", "great fun", "awesome", "terrible", "so bad", "i hated it"],
    "label": [1, 1, 1, 0, 0, 0],
}
model = SetFitModel.from_pretrained(minilm(), labels=["negative", "positive"])
folder = tempfile.mkdtemp()
trainer = Trainer(
    model=model,
    args=TrainingArguments(output_dir=folder, batch_size=4, num_epochs=1, max_steps=4, report_to="none"),
    train_dataset=Dataset.from_dict(rows),
    eval_dataset=Dataset.from_dict(rows),
    metric=lambda predicted, wanted: {
        "accuracy": float((np.asarray(predicted) == np.asarray(wanted)).mean())
    },
)
trainer.train()
assert trainer.evaluate()["accuracy"] > 0.8
assert model.predict(["really great", "really terrible"]) == ["positive", "negative"]
model.save_pretrained(folder)
assert SetFitModel.from_pretrained(folder).predict(["really great"]) == ["positive"]
