"""haystack: its local components, which embed documents, rank them and label texts."""

from haystack import Document
from stage import TEXTS, tiny

try:
    from haystack.components.rankers import TransformersSimilarityRanker
    from haystack.components.routers import TransformersTextRouter
except ImportError:  # newer releases keep them in a package of their own
    from haystack_integrations.components.rankers.transformers import TransformersSimilarityRanker
    from haystack_integrations.components.routers.transformers import TransformersTextRouter

documents = [Document(content=text) for text in TEXTS]
ranker = TransformersSimilarityRanker(
    model=tiny("AutoModelForSequenceClassification", num_labels=1), device=None, top_k=3
)
ranker.warm_up()
found = ranker.run(query="music", documents=documents)["documents"]
assert len(found) == 3
assert found[0].score >= found[1].score >= found[2].score

router = TransformersTextRouter(
    model=tiny("AutoModelForSequenceClassification", num_labels=2), labels=["LABEL_0", "LABEL_1"]
)
router.warm_up()
assert set(router.run(TEXTS[0])) <= {"LABEL_0", "LABEL_1"}
