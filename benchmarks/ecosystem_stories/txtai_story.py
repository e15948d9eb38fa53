"""txtai: texts indexed and searched, labels and entities by pipelines of its own."""

from stage import TEXTS, minilm, tiny
from txtai import Embeddings
from txtai.pipeline import Labels

embeddings = Embeddings(path=minilm(), content=False, backend="numpy")
embeddings.index([(i, text, None) for i, text in enumerate(TEXTS)])
found = embeddings.search("someone makes music", 2)
assert TEXTS[found[0][0]] == "A woman is playing violin.", found
assert found[0][1] > found[1][1]

labels = Labels(tiny("AutoModelForSequenceClassification", num_labels=2), dynamic=False)
said = labels(TEXTS[:2])
assert len(said) == 2
assert all(0 <= score <= 1 for answers in said for _, score in answers)
