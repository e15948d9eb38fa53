"""accelerate: empty weights, checkpoints dispatched over devices, a loop of one's own."""

import torch
from accelerate import Accelerator, init_empty_weights, load_checkpoint_and_dispatch
from stage import TEXTS, tiny
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, get_scheduler

name = tiny("AutoModelForSequenceClassification")
inputs = AutoTokenizer.from_pretrained(name)(TEXTS, padding=True, return_tensors="pt")
with init_empty_weights():
    empty = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(name))
assert all(p.is_meta for p in empty.parameters())
empty.tie_weights()
loaded = load_checkpoint_and_dispatch(empty, f"{name}/model.safetensors", device_map={"": "cpu"}).eval()
plain = AutoModelForSequenceClassification.from_pretrained(name).eval()
assert torch.allclose(loaded(**inputs).logits, plain(**inputs).logits, atol=1e-6)

accelerator = Accelerator(cpu=True)
optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)
rows = [{**{k: v[i] for k, v in inputs.items()}, "labels": torch.tensor(i % 2)} for i in range(len(TEXTS))]
loader = torch.utils.data.DataLoader(rows, batch_size=3)
schedule = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=2)
plain, optimizer, loader, schedule = accelerator.prepare(plain, optimizer, loader, schedule)
for batch in loader:
    accelerator.backward(plain(**batch).loss)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
assert schedule.get_last_lr() == [0.0]
