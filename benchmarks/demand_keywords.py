"""Keywords that what is called takes among "any further ones": whether it knows them, tried on tiny objects.

What refuses a keyword that nobody knows is called with each that packages pass. The keyword is there unless
it is refused with the same words; that its value does not fit is no such refusal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from formers.core.dropin_state import stand_for_another, stands_for_another

_NOBODY = "nobodys_keyword"
# what keywords are tried with; others with True
_VALUES: dict[str, Any] = {
    **dict.fromkeys(("token", "use_auth_token", "cache_dir", "proxies", "quantization_config"), None),
    **dict.fromkeys(("revision", "code_revision"), "main"),
    **dict.fromkeys(("dtype", "torch_dtype"), "float32"),
    **dict.fromkeys(("attention_mask", "decoder_attention_mask"), torch.ones(1, 2, dtype=torch.long)),
    **dict.fromkeys(("input_ids", "labels", "decoder_input_ids"), torch.tensor([[2, 3]])),
    **dict.fromkeys(("from_tf", "from_flax", "push_to_hub", "force_download"), False),
    "attn_implementation": "eager",
    "device_map": "cpu",
    "max_length": 4,
    "max_shard_size": "1GB",
    "model_max_length": 8,
    "num_labels": 3,
    "padding_side": "left",
    "position_ids": torch.tensor([[0, 1]]),
    "return_tensors": "np",
    "stopping_criteria": None,
    "subfolder": "",
    **dict.fromkeys(("text", "prompt"), "a b"),
}
Calls = dict[str, list[Callable[..., Any]]]


def calls_of(library: Any, held: dict[str, list[Any]], folder: str) -> Calls:
    """Kind of call -> what calls tiny objects so; any further keywords go with it."""
    models, tokenizer, saved = held["model"], held["tokenizer"][0], str(Path(folder) / "saved")
    models[1].save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    pictures, text = library.ViTImageProcessor(size={"height": 4, "width": 4}), "a b"
    pictures.save_pretrained(saved)
    picture, sound = np.zeros((4, 4, 3), np.uint8), np.zeros(160, np.float32)
    sounds, ids = library.WhisperFeatureExtractor(), torch.tensor([[2, 3]])
    both = library.CLIPProcessor(image_processor=library.CLIPImageProcessor(), tokenizer=tokenizer)
    both.save_pretrained(f"{folder}/both")
    llama = library.LlamaForCausalLM
    backend = tokenizer.backend_tokenizer

    def run(model: Any) -> Callable[..., Any]:
        main = {"input_ids": ids}
        if model.config.is_encoder_decoder:
            main["decoder_input_ids"] = ids
        return lambda **more: model(**{**main, **more})

    def write(model: Any) -> Callable[..., Any]:
        return lambda **more: model.generate(**{"input_ids": ids, "max_new_tokens": 1, **more})

    return {
        "cached_file": [lambda **more: library.utils.cached_file(saved, "config.json", **more)],
        "config.from_pretrained": [
            lambda **more: library.LlamaConfig.from_pretrained(saved, **more),
            lambda **more: library.AutoConfig.from_pretrained(saved, **more),
        ],
        "generation_config.from_pretrained": [
            lambda **more: library.GenerationConfig.from_pretrained(saved, **more)
        ],
        "generation_config.update": [lambda **more: library.GenerationConfig().update(**more)],
        "model.__call__": [run(model) for model in models],
        "model.from_pretrained": [lambda **more: llama.from_pretrained(saved, **more)],
        "model.generate": [write(model) for model in models if model.can_generate()],
        "model.save_pretrained": [lambda **more: models[1].save_pretrained(f"{folder}/other", **more)],
        "pipeline": [
            lambda **more: library.pipeline("text-generation", model=models[1], tokenizer=tokenizer, **more)
        ],
        "pipeline.__call__": [lambda **more: held["pipeline"][0]("a b", **more)],
        "processor.__call__": [
            lambda **more: pictures(picture, **more),
            lambda **more: sounds(sound, sampling_rate=16000, **more),
            lambda **more: both(**{"text": text, "images": picture, **more}),
        ],
        "processor.batch_decode": [lambda **more: both.batch_decode([[2, 3]], **more)],
        "processor.from_pretrained": [
            lambda **more: library.ViTImageProcessor.from_pretrained(saved, **more),
            lambda **more: library.CLIPProcessor.from_pretrained(f"{folder}/both", **more),
        ],
        "processor.preprocess": [lambda **more: pictures.preprocess(picture, **more)],
        "tokenizer.__call__": [lambda **more: tokenizer("a b", **more)],
        "tokenizer.__init__": [lambda **more: type(tokenizer)(tokenizer_object=backend, **more)],
        "tokenizer.decode": [lambda **more: tokenizer.decode([2, 3], **more)],
        "tokenizer.encode": [lambda **more: tokenizer.encode("a b", **more)],
        "tokenizer.from_pretrained": [lambda **more: type(tokenizer).from_pretrained(saved, **more)],
        "tokenizer.save_pretrained": [lambda **more: tokenizer.save_pretrained(f"{folder}/third", **more)],
        "tokenizer.tokenize": [lambda **more: tokenizer.tokenize("a b", **more)],
        "PreTrainedTokenizer": [lambda **more: type(tokenizer)(tokenizer_object=backend, **more)],
        "PreTrainedTokenizerFast": [lambda **more: type(tokenizer)(tokenizer_object=backend, **more)],
        "TextIteratorStreamer": [lambda **more: library.TextIteratorStreamer(tokenizer, **more)],
    }  # fmt: skip


def knows(calls: Iterable[Callable[..., Any]], name: str) -> bool | None:
    """Whether one of some calls knows a keyword; None where none of them refuses any."""
    standing, answers = stands_for_another(), []
    stand_for_another(False)  # which lets through what may be for another reader
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for call in calls:
                before, unknown, _ = _said(call, {_NOBODY: 1}).partition(_NOBODY)
                if unknown:
                    said = _said(call, {name: _VALUES.get(name, True)})
                    answers.append(not said.startswith(before + name))
    finally:
        stand_for_another(standing)
    return any(answers) if answers else None


def _said(call: Callable[..., Any], more: dict[str, Any]) -> str:
    try:
        call(**more)
    except Exception as error:  # whatever it says: only refusals of the name count
        return str(error)
    return ""
