"""bertviz: attentions as a page."""

from bertviz import head_view, model_view
from stage import TEXTS, tiny
from transformers import AutoModel, AutoTokenizer

name = tiny("AutoModel")
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModel.from_pretrained(name, output_attentions=True)
ids = tokenizer.encode(TEXTS[0], return_tensors="pt")
attention, tokens = model(ids)[-1], tokenizer.convert_ids_to_tokens(ids[0])
assert "weather" in head_view(attention, tokens, html_action="return").data
assert "weather" in model_view(attention, tokens, html_action="return").data
