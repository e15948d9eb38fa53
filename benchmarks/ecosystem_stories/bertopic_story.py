"""bertopic: topics of texts."""

from bertopic import BERTopic
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from stage import TEXTS, minilm

texts = [f"{text} {word}" for text in TEXTS for word in ("indeed", "again", "really", "today")]
model = BERTopic(
    embedding_model=minilm(), umap_model=PCA(2), hdbscan_model=KMeans(3, n_init=1, random_state=0)
)
topics, _ = model.fit_transform(texts)
assert len(topics) == len(texts)
assert len(model.get_topic_info()) == 3
