"""langchain: a model that writes and embeddings, both local, as `langchain-huggingface` wraps them."""

from langchain_huggingface import HuggingFaceEmbeddings, HuggingFacePipeline
from stage import TEXTS, minilm, tiny
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

embedded = HuggingFaceEmbeddings(model_name=minilm(), model_kwargs={"device": "cpu"})
vectors = embedded.embed_documents(TEXTS)
assert len(vectors) == len(TEXTS)
assert len(vectors[0]) == 384
asked = embedded.embed_query("someone makes music")
scores = [sum(a * b for a, b in zip(asked, vector, strict=True)) for vector in vectors]
assert TEXTS[scores.index(max(scores))] == "A woman is playing violin."

name = tiny("AutoModelForCausalLM")
model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
writer = HuggingFacePipeline(
    pipeline=pipeline("text-generation", model=model, tokenizer=tokenizer, max_new_tokens=4, do_sample=False)
)
assert isinstance(writer.invoke("The weather is"), str)
named = HuggingFacePipeline.from_model_id(
    model_id=name, task="text-generation", pipeline_kwargs={"max_new_tokens": 4, "do_sample": False}
)
assert named.invoke("The weather is") == writer.invoke("The weather is")
