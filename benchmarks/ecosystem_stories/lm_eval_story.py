"""lm-eval: its model class `hf` asked for likelihoods and for text, as its tasks ask."""

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from stage import tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

name = tiny("AutoModelForCausalLM")
judged = HFLM(pretrained=name, device="cpu", batch_size=2, dtype="float32", backend="causal")
pairs = [("The weather is", " lovely today"), ("A man is", " eating food"), ("A", " b")]
requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
found = judged.loglikelihood(requests, disable_tqdm=True)
assert len(found) == len(pairs)

model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
context, rest = judged._encode_pair(*pairs[0])
whole = [*context, *rest]
with torch.no_grad():
    scores = model(torch.tensor([whole])).logits.log_softmax(-1)[0]
expected = sum(float(scores[at - 1, whole[at]]) for at in range(len(context), len(whole)))
assert abs(found[0][0] - expected) < 1e-3, (found[0], expected)

asked = [Instance("generate_until", {}, ("A man is", {"until": ["."], "max_gen_toks": 4}), 0)]
assert isinstance(judged.generate_until(asked, disable_tqdm=True)[0], str)
