"""Texts of a given form: JSON of a schema, a regular expression, a grammar; whatever the weights are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from formers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, pipeline
from formers.core.extras import MissingExtra
from formers.generation import StructuredOutputLogitsProcessor, structure_of
from formers.generation.engine import Engine, Request
from generation.small_tokenizers import pair

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a b", "中文", "é😀"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
SHORT: dict[str, Any] = {"regex": "[a-z]{1,3}( [0-9]{2}){0,2}"}
MATCHES = re.compile(SHORT["regex"])


def unigram() -> Any:
    """SentencePiece's Unigram with byte fallback, as T5's successors and XLM-R-like decoders have it."""
    raw = [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    pieces = [("▁stop", -2.0), ("▁", -3.0), ('▁"', -3.0), ("ab", -3.0), ('":', -3.0), ("中", -4.0)]
    pieces += [(chr(code), -5.0) for code in range(33, 127) if chr(code) not in '{"']
    vocabulary = [("<unk>", -20.0), ("<end>", 0.0), *raw, *pieces]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", unk_token="<unk>")


def byte_fallback() -> Any:
    """SentencePiece's BPE with byte fallback, whose bytes are ordinary tokens."""
    state = json.loads(pair("byte-fallback")[0].backend_tokenizer.to_str())
    state["added_tokens"] = [one for one in state["added_tokens"] if one["content"] == "<end>"]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)), eos_token="<end>")


def of(kind: str) -> Any:
    made = {"unigram": unigram, "byte-fallback": byte_fallback}
    return made[kind]() if kind in made else pair(kind)[0]


def model_for(tokenizer: Any, seed: int = 0) -> Any:
    """Random weights, with more rows of the vocabulary than there are tokens."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 13,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.6,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return of("byte-level")


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    return model_for(tokenizer)


PROMPT = torch.tensor([[40, 41, 42]])


def texts(tokenizer: Any, ids: torch.Tensor, prompt: int = 3) -> list[str]:
    return [str(one) for one in tokenizer.batch_decode(ids[:, prompt:], skip_special_tokens=True)]


def fits(text: str) -> bool:
    found = json.loads(text)
    return (
        list(found) == ["name", "age", "tags"]
        and len(found["name"]) <= 5
        and 0 <= found["age"] <= 130
        and len(found["tags"]) <= 2
        and set(found["tags"]) <= {"a b", "中文", "é😀"}
    )


@pytest.mark.parametrize("kind", ["byte-level", "byte-fallback", "unigram"])
@pytest.mark.parametrize("sampled", [False, True])
def test_random_weights_write_json_of_the_schema(kind: str, sampled: bool) -> None:
    tokenizer = of(kind)
    model = model_for(tokenizer)
    settings: dict[str, Any] = {"do_sample": True, "seed": 1, "num_return_sequences": 4} if sampled else {}
    ids = model.generate(
        PROMPT.repeat(2, 1), json_schema=SCHEMA, tokenizer=tokenizer, max_new_tokens=300, **settings
    )
    found = texts(tokenizer, ids)
    assert len(found) == (8 if sampled else 2)
    assert all(fits(text) for text in found), found
    ends = (ids == tokenizer.eos_token_id).any(1)
    assert bool(ends.all())


@pytest.mark.parametrize("kind", ["wordpiece", "metaspace"])
def test_vocabularies_of_words_write_what_they_can_spell(kind: str) -> None:
    tokenizer = of(kind)
    words = "stop|last|near" if kind == "wordpiece" else "(stop|pot|a)"
    expression = f"({words})( ({words})){{2,3}}"
    ids = model_for(tokenizer).generate(
        PROMPT,
        regex=expression,
        tokenizer=tokenizer,
        max_new_tokens=40,
        do_sample=True,
        num_return_sequences=6,
    )
    found = texts(tokenizer, ids)
    assert all(re.fullmatch(expression, text) for text in found), found


def test_what_the_vocabulary_cannot_spell_is_refused_at_the_beginning_and_said_later() -> None:
    tokenizer = of("wordpiece")
    model = model_for(tokenizer)
    with pytest.raises(ValueError, match="no token with which such a text can begin"):
        model.generate(PROMPT, regex="%~", tokenizer=tokenizer, max_new_tokens=4)
    with pytest.raises(ValueError, match="no token with which the text could go on"):
        model.generate(PROMPT, regex="stop%~", tokenizer=tokenizer, max_new_tokens=4)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_sample": True, "top_k": 2, "seed": 5},
        {"num_beams": 3, "num_return_sequences": 2},
        {"num_beams": 3, "do_sample": True},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
        {"prompt_lookup_num_tokens": 3},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"use_cache": False},
        {"guidance_scale": 1.5},
    ],
    ids=str,
)
def test_every_strategy_keeps_to_the_form(tokenizer: Any, model: Any, settings: dict[str, Any]) -> None:
    prompts = torch.tensor([[40, 41, 42], [50, 51, 52]])[: 1 if "prompt_lookup_num_tokens" in settings else 2]
    ids = model.generate(prompts, tokenizer=tokenizer, max_new_tokens=20, **SHORT, **settings)
    found = texts(tokenizer, ids)
    assert all(MATCHES.fullmatch(text) for text in found), found


def test_an_assistant_only_changes_how_fast_a_text_comes(tokenizer: Any, model: Any) -> None:
    asked: dict[str, Any] = {"json_schema": SCHEMA, "tokenizer": tokenizer, "max_new_tokens": 120}
    plain = model.generate(PROMPT, **asked)
    assert torch.equal(model.generate(PROMPT, assistant_model=model_for(tokenizer, 1), **asked), plain)


def test_beams_are_those_of_all_texts_of_the_form(tokenizer: Any, model: Any) -> None:
    """The best of enough beams is the likeliest of all that the expression allows, each spelt every way."""
    found = model.generate(
        PROMPT, tokenizer=tokenizer, regex="[ab]c?", num_beams=8, max_new_tokens=3, length_penalty=0.0
    )
    letters = {letter: tokenizer.convert_tokens_to_ids(letter) for letter in "abc"}
    end = tokenizer.eos_token_id
    spelt = [[letters[one], end] for one in "ab"] + [[letters[one], letters["c"], end] for one in "ab"]

    def chance(new: list[int]) -> float:
        ids = torch.cat([PROMPT, torch.tensor([new])], 1)
        told = model(ids).logits.detach().log_softmax(-1)[0, 2:-1]
        return float(told.gather(1, torch.tensor(new)[:, None]).sum())

    best = max(spelt, key=chance)
    assert found[0, 3 : 3 + len(best)].tolist() == best


def test_a_grammar_may_be_written_in_either_notation(tokenizer: Any, model: Any) -> None:
    lark = 'start: pair ("," pair)*\npair: KEY "=" /[0-9]{1,2}/\nKEY: "x" | "y"'
    gbnf = 'root ::= pair ("," pair)*\npair ::= ("x" | "y") "=" [0-9] [0-9]?'
    for grammar in (lark, gbnf):
        ids = model.generate(
            PROMPT, grammar=grammar, tokenizer=tokenizer, max_new_tokens=200, do_sample=True, seed=3
        )
        (text,) = texts(tokenizer, ids)
        assert re.fullmatch(r"[xy]=\d{1,2}(,[xy]=\d{1,2})*", text), text


def test_any_json_object(tokenizer: Any, model: Any) -> None:
    ids = model.generate(
        PROMPT, json_object=True, tokenizer=tokenizer, max_new_tokens=400, do_sample=True, seed=2
    )
    assert isinstance(json.loads(texts(tokenizer, ids)[0]), dict)


def test_a_text_that_is_cut_is_a_beginning(tokenizer: Any, model: Any) -> None:
    ids = model.generate(PROMPT, json_schema=SCHEMA, tokenizer=tokenizer, max_new_tokens=4)
    assert texts(tokenizer, ids)[0].replace(" ", "").startswith('{"')
    assert tokenizer.eos_token_id not in ids[0, 3:]


def test_the_settings_may_lie_in_a_config_and_in_a_pipeline(tokenizer: Any, model: Any) -> None:
    config = GenerationConfig(regex="(yes|no)", max_new_tokens=8)
    ids = model.generate(PROMPT, config, tokenizer=tokenizer)
    assert texts(tokenizer, ids)[0] in ("yes", "no")
    write = pipeline("text-generation", model=model, tokenizer=tokenizer)
    found = write("The stop", regex="(yes|no)", return_full_text=False, seed=1, max_new_tokens=8)
    assert found[0]["generated_text"] in ("yes", "no")


def test_a_processor_of_ones_own_serves_one_call_after_another(tokenizer: Any, model: Any) -> None:
    own = StructuredOutputLogitsProcessor(structure_of(tokenizer, **SHORT))
    for prompt in (PROMPT, torch.tensor([[60, 61, 62, 63, 64, 65]]), PROMPT):
        ids = model.generate(prompt, logits_processor=[own], max_new_tokens=20)
        assert MATCHES.fullmatch(texts(tokenizer, ids, prompt.shape[1])[0])


def test_requests_of_one_engine_keep_to_forms_of_their_own(tokenizer: Any, model: Any) -> None:
    expressions = ["[ab]{3}", "(yes|no)", "[0-9]{2,4}", None]
    requests = []
    engine = Engine(model)
    for expression in expressions:
        config = GenerationConfig(max_new_tokens=12, eos_token_id=tokenizer.eos_token_id, do_sample=False)
        processors = None
        if expression is not None:
            processors = [StructuredOutputLogitsProcessor(structure_of(tokenizer, regex=expression))]
        requests.append(engine.submit(Request([40, 41, 42], config, processors=_listed(processors))))
    engine.run()
    for expression, request in zip(expressions[:3], requests, strict=False):
        text = tokenizer.decode(request.tokens, skip_special_tokens=True)
        assert re.fullmatch(str(expression), text)
        assert request.reason == "stop"
    alone = model.generate(PROMPT, max_new_tokens=12)[0, 3:].tolist()
    assert requests[3].tokens == alone[: len(requests[3].tokens)]


def test_a_processor_that_fails_ends_its_own_request_alone(tokenizer: Any, model: Any) -> None:
    def fails(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if ids.shape[1] > 4:
            raise ValueError("no further")
        return scores

    config = GenerationConfig(max_new_tokens=6, eos_token_id=None)
    engine = Engine(model)
    bad = engine.submit(Request([40, 41], config, processors=_listed([fails])))
    good = engine.submit(Request([40, 41], config))
    engine.run()
    assert (bad.reason, str(bad.error)) == ("failed", "no further")
    assert (good.reason, len(good.tokens)) == ("length", 6)


def _listed(processors: Any) -> Any:
    from formers.generation import LogitsProcessorList

    return None if processors is None else LogitsProcessorList(processors)


def test_a_form_is_compiled_once(tokenizer: Any) -> None:
    assert structure_of(tokenizer, json_schema=SCHEMA) is structure_of(
        tokenizer, json_schema=json.dumps(SCHEMA)
    )
    assert structure_of(tokenizer, regex="a") is not structure_of(tokenizer, regex="b")


def test_classes_of_pydantic_are_schemas(tokenizer: Any, model: Any) -> None:
    import pydantic

    class Stop(pydantic.BaseModel):
        near: bool
        number: int = pydantic.Field(ge=0, le=99)

    ids = model.generate(PROMPT, json_schema=Stop, tokenizer=tokenizer, max_new_tokens=80)
    assert 0 <= Stop.model_validate_json(texts(tokenizer, ids)[0]).number <= 99


def test_tokens_added_later_are_known() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(of("byte-level").backend_tokenizer.to_str()), eos_token="<end>"
    )
    structure_of(tokenizer, regex="<added>")
    tokenizer.add_tokens(["<added>"])
    form = structure_of(tokenizer, regex="<added>")
    scores = StructuredOutputLogitsProcessor(form)(PROMPT, torch.zeros(1, len(tokenizer)))
    assert scores[0, tokenizer.convert_tokens_to_ids("<added>")] == 0


BAD = [
    ({"regex": "(("}, "regex cannot be used"),
    ({"regex": "(?=a)b"}, "look-around"),
    ({"regex": 3}, "regex is a string"),
    ({"grammar": "start: nothing"}, "grammar cannot be used"),
    ({"grammar": "root ::= ((("}, "grammar cannot be used"),
    ({"json_schema": {"type": "strin"}}, "json_schema cannot be used"),
    ({"json_schema": "{"}, "json_schema cannot be used"),
    ({"json_schema": [1]}, "JSON object"),
    ({"json_schema": {"not": {"type": "string"}}}, "json_schema cannot be used"),
    ({"json_schema": {"$ref": "https://example.com/schema.json"}}, "json_schema cannot be used"),
    ({"json_schema": SCHEMA, "regex": "a"}, "give one"),
    ({"regex": "a", "force_words_ids": [[[5]]], "num_beams": 2}, "force_words_ids"),
]


@pytest.mark.parametrize(("settings", "said"), BAD, ids=[str(settings)[:40] for settings, _ in BAD])
def test_what_is_no_form_is_refused_before_anything_is_computed(
    tokenizer: Any, model: Any, settings: dict[str, Any], said: str
) -> None:
    read: list[Any] = []
    handle = model.register_forward_pre_hook(lambda *_: read.append(1))
    with pytest.raises(ValueError, match=re.escape(said)):
        model.generate(PROMPT, tokenizer=tokenizer, max_new_tokens=4, **settings)
    handle.remove()
    assert not read


def test_a_schema_nested_too_deep_is_refused(tokenizer: Any) -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(ValueError, match="nested more than"):
        structure_of(tokenizer, json_schema=deep)


def test_what_is_missing_is_said(tokenizer: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="tokenizer="):
        model.generate(PROMPT, regex="a", max_new_tokens=4)
    with pytest.raises(ValueError, match="eos_token_id"):
        StructuredOutputLogitsProcessor(_without_end(tokenizer))
    import sys

    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtra, match=re.escape("formers[structured]")):
        structure_of(tokenizer, regex="never seen")


def _without_end(tokenizer: Any) -> Any:
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    return structure_of(PreTrainedTokenizerFast(tokenizer_object=backend), regex="a")


def test_a_setting_that_forces_a_token_out_of_the_form_is_an_error(tokenizer: Any, model: Any) -> None:
    letter = tokenizer.convert_tokens_to_ids("a")
    with pytest.raises(ValueError, match="no token is left"):
        model.generate(PROMPT, tokenizer=tokenizer, regex="a{3}", suppress_tokens=[letter], max_new_tokens=6)


def test_vocabularies_that_mark_the_ends_of_words_are_refused() -> None:
    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    told = trainers.BpeTrainer(
        vocab_size=60, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator(["hello world { } : true false"] * 4, told)
    marked = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    with pytest.raises(ValueError, match="whatever follows them"):
        structure_of(marked, regex="hello hello")
