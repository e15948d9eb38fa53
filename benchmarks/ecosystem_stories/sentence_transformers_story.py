"""sentence-transformers: encode, similarity, cross-encoder, training with its Trainer, adapters."""

import tempfile

from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    losses,
    util,
)
from stage import TEXTS, minilm, tiny

model = SentenceTransformer(minilm())
embeddings = model.encode(TEXTS[:3])
assert embeddings.shape == (3, 384)
near = model.similarity(embeddings, embeddings)
# the figures of the package's own first example
assert abs(float(near[0, 1]) - 0.6660) < 1e-3, near
assert abs(float(near[0, 2]) - 0.1046) < 1e-3, near
hits = util.semantic_search(model.encode("sunshine"), embeddings, top_k=1)
assert hits[0][0]["corpus_id"] in (0, 1)

ranker = CrossEncoder(tiny("AutoModelForSequenceClassification", num_labels=1))
assert len(ranker.predict([("a question", text) for text in TEXTS])) == len(TEXTS)
assert {row["corpus_id"] for row in ranker.rank("a question", TEXTS)} == set(range(len(TEXTS)))

student = SentenceTransformer(tiny("AutoModel"))
pairs = Dataset.from_dict({"anchor": TEXTS, "positive": TEXTS[::-1]})
before = student.encode(TEXTS[:1])
folder = tempfile.mkdtemp()
arguments = SentenceTransformerTrainingArguments(
    output_dir=folder, num_train_epochs=2, per_device_train_batch_size=3, learning_rate=1e-2, report_to="none"
)
trainer = SentenceTransformerTrainer(
    model=student, args=arguments, train_dataset=pairs, eval_dataset=pairs,
    loss=losses.MultipleNegativesRankingLoss(student),
)  # fmt: skip
assert trainer.train().training_loss > 0
assert "eval_loss" in trainer.evaluate()
assert abs(student.encode(TEXTS[:1]) - before).max() > 1e-4
student.save_pretrained(folder)
again = SentenceTransformer(folder)
assert abs(again.encode(TEXTS[:1]) - student.encode(TEXTS[:1])).max() < 1e-6
