"""bert-score: texts compared by their tokens."""

from bert_score import BERTScorer
from stage import TEXTS, minilm

scorer = BERTScorer(model_type=minilm(), num_layers=5, device="cpu")
precision, recall, f1 = scorer.score(TEXTS[:2], TEXTS[:2])
assert float(f1.min()) > 0.999
assert float(scorer.score(TEXTS[:1], TEXTS[2:3])[2]) < float(scorer.score(TEXTS[:1], TEXTS[1:2])[2])
