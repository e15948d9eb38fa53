"""What packages take of objects: members, fields, keywords, methods that they override; tried on tiny ones.

`specimens` makes one object or more of every kind that the table names. A member is there where one of them
has it. A keyword is there where what is called names it, or where an object that is made of keywords has a
field of that name, or a call that refuses unknown keywords takes it (`demand_keywords.py`). What takes any
further keywords and refuses none is "open", and not counted as there.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import demand_keywords as keywords

_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_KINDS = {"training_args": "TrainingArguments", "generation_config": "GenerationConfig"}
THERE, OPEN, ABSENT, UNKNOWN = "there", "open", "absent", "unknown"


def specimens(library: Any, folder: str) -> dict[str, Any]:
    """Kind of object -> tiny ones of that kind; `folder` is where a trainer may write."""
    from tokenizers import Tokenizer, models

    vocabulary = {"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]"
    )
    made = [
        library.BertForSequenceClassification(library.BertConfig(vocab_size=8, **_SIZES)),
        library.LlamaForCausalLM(library.LlamaConfig(vocab_size=8, **_SIZES)),
        library.T5ForConditionalGeneration(
            library.T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        library.GPT2LMHeadModel(library.GPT2Config(vocab_size=8, n_embd=16, n_layer=1, n_head=2)),
    ]
    arguments = library.TrainingArguments(output_dir=folder, report_to="none", use_cpu=True)
    configs = [kind() for kind in library.CONFIG_MAPPING.values()]
    packed = {"quant_method": "bitsandbytes", "load_in_4bit": True}  # as checkpoints in few bits say it
    configs.append(library.LlamaConfig(quantization_config=packed))
    encoder_decoder = library.EncoderDecoderCache(library.DynamicCache(), library.DynamicCache())
    static = library.StaticCache(made[1].config, max_cache_len=4)
    held: dict[str, Any] = {
        "tokenizer": [tokenizer],
        "model": made,
        "config": configs,
        "training_args": [arguments],
        "trainer": [library.Trainer(model=made[0], args=arguments)],
        "generation_config": [library.GenerationConfig()],
        "cache": [library.DynamicCache(), encoder_decoder, static],
        "callback": [library.TrainerCallback()],
        "pipeline": [library.pipeline("text-classification", model=made[0], tokenizer=tokenizer)],
        "collator": [library.DataCollatorWithPadding(tokenizer)],
        "encoding": [tokenizer("a b")],
        "output": _records(library),
        "processor": [library.ViTImageProcessor(), library.CLIPProcessor, library.WhisperFeatureExtractor()],
    }
    return {**held, "calls": keywords.calls_of(library, held, folder)}


def _records(library: Any) -> list[Any]:
    """The classes of records that models return."""
    from formers.core import outputs, sound_outputs
    from formers.generation import outputs as generated

    held = [value for module in (outputs, sound_outputs, generated) for value in vars(module).values()]
    return [one for one in held if isinstance(one, type) and issubclass(one, library.ModelOutput)]


def judged(library: Any, held: dict[str, Any], kind: str, name: str, owner: str) -> str:
    """THERE, OPEN or ABSENT; UNKNOWN where the row speaks of what packages made themselves."""
    if kind == "override":
        base, _, method = name.rpartition(".")
        found = getattr(library, base, None)
        return UNKNOWN if found is None else THERE if hasattr(found, method) else ABSENT
    if kind != "keyword":
        ones = held.get(owner)
        return UNKNOWN if ones is None else THERE if any(_has(one, name) for one in ones) else ABSENT
    return _keyword(library, held, name, owner)


def _has(one: Any, name: str) -> bool:
    fields = {field.name for field in dataclasses.fields(one)} if dataclasses.is_dataclass(one) else set()
    return name in fields or hasattr(one, name)


def _keyword(library: Any, held: dict[str, Any], name: str, owner: str) -> str:
    root, _, method = owner.removesuffix("()").partition(".")
    if method:
        called = [getattr(one, method) for one in held.get(root, ()) if hasattr(one, method)]
    else:
        called = [getattr(library, root)] if hasattr(library, root) else []
    if not called:
        return UNKNOWN
    signatures = [found for one in called if (found := _signature(one)) is not None]
    named = any(name in one.parameters for one in signatures)
    if not named and method == "generate":
        named = hasattr(held["generation_config"][0], name)
    if not named and not method and isinstance(called[0], type):
        named = _field(library, called[0], name)
    if named:
        return THERE
    known = keywords.knows(held["calls"].get(owner.removesuffix("()"), ()), name)
    if known is not None:
        return THERE if known else ABSENT
    kinds = {parameter.kind for one in signatures for parameter in one.parameters.values()}
    if not signatures:
        return UNKNOWN
    return OPEN if inspect.Parameter.VAR_KEYWORD in kinds else ABSENT


def _signature(called: Any) -> inspect.Signature | None:
    """None of what Python cannot tell one of."""
    try:
        return inspect.signature(called)
    except (TypeError, ValueError):
        return None


def _field(library: Any, kind: type[Any], name: str) -> bool:
    """Whether an object made of keywords has that field."""
    if kind is library.ModelOutput:  # which has the fields that it is made with
        return bool(getattr(kind(**{name: 1}), name) == 1)
    if dataclasses.is_dataclass(kind):
        return name in {field.name for field in dataclasses.fields(kind)}
    made = kind() if issubclass(kind, (library.PretrainedConfig, library.GenerationConfig)) else kind
    return hasattr(made, name)
