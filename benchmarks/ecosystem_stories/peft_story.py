"""peft itself over models of formers: LoRA and prompts trained, saved, merged."""

import tempfile

import peft
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, TaskType, get_peft_model
from stage import TEXTS, tiny
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

assert "site-packages/peft" in str(peft.__file__)
name = tiny("AutoModelForSequenceClassification")
tokenizer = AutoTokenizer.from_pretrained(name)
inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
labels = torch.tensor([0, 1, 0, 1, 0, 1])


def fitted(model: torch.nn.Module, **kwargs: torch.Tensor) -> tuple[float, float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(20):
        loss = model(**kwargs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return sum(losses[:5]), sum(losses[-5:])


config = LoraConfig(task_type=TaskType.SEQ_CLS, r=4, lora_alpha=8, target_modules=["query", "value"])
model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(name), config)
first, last = fitted(model, **inputs, labels=labels)
assert last < first
folder = tempfile.mkdtemp()
model.save_pretrained(folder)
model.eval()
again = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(name), folder).eval()
with torch.no_grad():
    expected = model(**inputs).logits
    assert torch.allclose(again(**inputs).logits, expected, atol=1e-6)
    assert torch.allclose(again.merge_and_unload()(**inputs).logits, expected, atol=1e-5)

name = tiny("AutoModelForCausalLM")
tokenizer = AutoTokenizer.from_pretrained(name)
inputs = tokenizer(TEXTS[0], return_tensors="pt", return_token_type_ids=False)
config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=4)
model = get_peft_model(AutoModelForCausalLM.from_pretrained(name), config)
first, last = fitted(model, **inputs, labels=inputs["input_ids"])
assert last < first
config = LoraConfig(task_type=TaskType.CAUSAL_LM, target_modules=["c_attn"], fan_in_fan_out=True)
model = get_peft_model(AutoModelForCausalLM.from_pretrained(name), config)
assert fitted(model, **inputs, labels=inputs["input_ids"])[1] > 0
assert (
    model.generate(**inputs, max_new_tokens=3, do_sample=False).shape[1] == inputs["input_ids"].shape[1] + 3
)
