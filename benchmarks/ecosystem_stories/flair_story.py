"""flair: embeddings of tokens and documents out of an encoder, and a classifier trained on them."""

import tempfile

import flair
import torch
from flair.data import Corpus, Sentence
from flair.datasets import FlairDatapointDataset
from flair.embeddings import TransformerDocumentEmbeddings, TransformerWordEmbeddings
from flair.models import TextClassifier
from flair.trainers import ModelTrainer
from stage import TEXTS, minilm, tiny

flair.device = torch.device("cpu")
sentence = Sentence(TEXTS[0])
words = TransformerWordEmbeddings(minilm(), layers="-1")
words.embed(sentence)
assert all(token.embedding.shape == (384,) for token in sentence)

documents = TransformerDocumentEmbeddings(tiny("AutoModel"), fine_tune=True)
rows = []
for i, text in enumerate(TEXTS):
    one = Sentence(text)
    one.add_label("kind", ("a", "b")[i % 2])
    rows.append(one)
data = FlairDatapointDataset(rows)
corpus = Corpus(train=data, dev=data, test=data)
tagger = TextClassifier(documents, label_dictionary=corpus.make_label_dictionary("kind"), label_type="kind")
folder = tempfile.mkdtemp()
ModelTrainer(tagger, corpus).fine_tune(folder, max_epochs=1, mini_batch_size=2)
again = TextClassifier.load(f"{folder}/final-model.pt")
asked = Sentence(TEXTS[0])
again.predict(asked)
assert asked.get_label("kind").value in ("a", "b")
