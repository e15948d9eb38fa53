"""haystack: its local components, which label documents, route texts and find answers and entities."""

from haystack import Document
from haystack_integrations.components.classifiers.transformers import TransformersZeroShotDocumentClassifier
from haystack_integrations.components.readers.transformers import TransformersExtractiveReader
from haystack_integrations.components.routers.transformers import TransformersTextRouter
from stage import TEXTS, tiny
from transformers import AutoConfig

documents = [Document(content=text) for text in TEXTS]
judge = tiny("AutoModelForSequenceClassification", num_labels=3)
config = AutoConfig.from_pretrained(judge)
config.id2label = {0: "contradiction", 1: "neutral", 2: "entailment"}
config.label2id = {label: i for i, label in config.id2label.items()}
config.save_pretrained(judge)
classifier = TransformersZeroShotDocumentClassifier(model=judge, labels=["weather", "sport"])
classifier.warm_up()
found = classifier.run(documents)["documents"]
assert all(one.meta["classification"]["label"] in ("weather", "sport") for one in found)

router = TransformersTextRouter(
    model=tiny("AutoModelForSequenceClassification", num_labels=2), labels=["LABEL_0", "LABEL_1"]
)
router.warm_up()
assert set(router.run(TEXTS[0])) <= {"LABEL_0", "LABEL_1"}

reader = TransformersExtractiveReader(model=tiny("AutoModelForQuestionAnswering"), top_k=2, no_answer=False)
reader.warm_up()
answers = reader.run(query="What is she playing?", documents=documents)["answers"]
assert len(answers) == 2
assert all(one.data in one.document.content for one in answers)
