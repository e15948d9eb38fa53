"""span-marker: an encoder with markers of spans, made, trained on two sentences and asked for entities."""

import tempfile

from datasets import Dataset
from span_marker import SpanMarkerModel, Trainer
from stage import tiny
from transformers import TrainingArguments

labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
model = SpanMarkerModel.from_pretrained(
    tiny("AutoModel"), labels=labels, model_max_length=64, entity_max_length=4
)
rows = Dataset.from_dict(
    {
        "tokens": [["John", "lives", "in", "New", "York", "."], ["Mary", "sleeps", "."]] * 4,
        "ner_tags": [[1, 0, 0, 3, 4, 0], [1, 0, 0]] * 4,
    }
)
folder = tempfile.mkdtemp()
arguments = TrainingArguments(
    output_dir=folder, num_train_epochs=1, per_device_train_batch_size=4, report_to="none", use_cpu=True
)
trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
assert trainer.train().training_loss > 0
model.save_pretrained(folder)
again = SpanMarkerModel.from_pretrained(folder)
found = again.predict("John lives in New York.")
assert isinstance(found, list)
assert {"span", "label", "score"} <= set(found[0]) if found else True
