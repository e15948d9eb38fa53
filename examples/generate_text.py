"""The same prompt, gone on with in several ways: greedy, sampled, by beams, by contrast.

python examples/generate_text.py "Once upon a time" --model openai-community/gpt2 --max-new-tokens 40

The first line of each text says how it was written, and how many tokens a second that made.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from formers import AutoModelForCausalLM, AutoTokenizer

WAYS = {
    "greedy": {"do_sample": False},
    "sampled, at a temperature of 0.7": {"do_sample": True, "temperature": 0.7, "seed": 7},
    "sampled from the likeliest 90 %": {"do_sample": True, "top_p": 0.9, "seed": 7},
    "4 beams, no three words twice": {"do_sample": False, "num_beams": 4, "no_repeat_ngram_size": 3},
    "by contrast": {"do_sample": False, "penalty_alpha": 0.6, "top_k": 4},
}


def main(given: Sequence[str] | None = None) -> dict[str, str]:
    options = arguments(given)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype="auto", device_map="auto")
    prompt = tokenizer(options.prompt, return_tensors="pt").to(model.device)
    texts = {}
    for way, settings in WAYS.items():
        began = time.perf_counter()
        ids = model.generate(**prompt, max_new_tokens=options.max_new_tokens, **settings)[0]
        rate = (len(ids) - prompt["input_ids"].shape[1]) / (time.perf_counter() - began)
        texts[way] = tokenizer.decode(ids, skip_special_tokens=True)
        print(f"-- {way}: {rate:.0f} tokens a second\n{texts[way]}\n")
    return texts


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default="Once upon a time")
    parser.add_argument("--model", default="openai-community/gpt2", help="folder or Hub id of a decoder")
    parser.add_argument("--max-new-tokens", type=int, default=40)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
