"""keybert: key words of a text, by sentence-transformers and by a pipeline."""

from keybert import KeyBERT
from stage import minilm
from transformers.pipelines import pipeline

text = (
    "Supervised learning is the machine learning task of learning a function that maps an input to an output."
)
words = KeyBERT(model=minilm()).extract_keywords(text, keyphrase_ngram_range=(1, 2), top_n=3)
assert len(words) == 3
assert any("learning" in word for word, _ in words)
by_pipeline = KeyBERT(model=pipeline("feature-extraction", model=minilm())).extract_keywords(text)
assert len(by_pipeline) == 5
