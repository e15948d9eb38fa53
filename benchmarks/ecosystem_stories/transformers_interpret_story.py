"""transformers-interpret: which words a label comes from."""

from stage import TEXTS, tiny
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers_interpret import SequenceClassificationExplainer

name = tiny("AutoModelForSequenceClassification")
model, tokenizer = (
    AutoModelForSequenceClassification.from_pretrained(name),
    AutoTokenizer.from_pretrained(name),
)
words = SequenceClassificationExplainer(model, tokenizer)(TEXTS[0])
assert [word for word, _ in words][:3] == ["[CLS]", "the", "weather"]
assert any(abs(score) > 1e-3 for _, score in words)
