"""Which processors and criteria the settings ask for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig as TheirConfig
from transformers import GenerationMixin
from transformers.generation import logits_process, stopping_criteria

import formers.generation as processors
from formers import GenerationConfig
from formers.core.notices import Notice
from formers.generation import stopping
from formers.generation.build import criteria_for, processors_for
from formers.generation.watermarks import SynthIDTextWatermarkingConfig, WatermarkingConfig
from generation.small_tokenizers import pair

MODEL_CONFIG = SimpleNamespace(
    is_encoder_decoder=False, vocab_size=30, max_position_embeddings=64, get_text_config=lambda: MODEL_CONFIG
)
PROMPT = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
PADDED = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])

SETTINGS: list[dict[str, Any]] = [
    {},
    {"do_sample": True},
    {"do_sample": True, "top_k": 0},
    {"do_sample": True, "num_beams": 3, "top_p": 0.6, "top_k": 2, "eos_token_id": [3, 4, 5]},
    {
        **{"do_sample": True, "temperature": 0.7, "top_h": 0.5, "top_p": 0.9, "min_p": 0.1},
        **{"typical_p": 0.8, "epsilon_cutoff": 0.01, "eta_cutoff": 0.02, "renormalize_logits": True},
    },
    {
        **{"sequence_bias": [[[4], 2.0]], "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
        **{"encoder_repetition_penalty": 1.2, "encoder_no_repeat_ngram_size": 3, "bad_words_ids": [[7, 8]]},
        **{"min_length": 6, "min_new_tokens": 3, "forced_eos_token_id": 3, "remove_invalid_values": True},
        **{"exponential_decay_length_penalty": (1, 1.1), "suppress_tokens": [9], "guidance_scale": 1.5},
        **{"begin_suppress_tokens": [10], "max_length": 5},
    },
    {"forced_bos_token_id": 4, "begin_suppress_tokens": [10]},
    {"min_length": 6, "eos_token_id": None},
    {"repetition_penalty": 1.3, "do_sample": True, "temperature": 0.5},
]


class Model(GenerationMixin):
    """As much of a model as the reference asks for."""

    config = MODEL_CONFIG

    def __call__(self, ids: torch.Tensor, **keywords: Any) -> Any:
        return logits_output(ids)


def logits_output(ids: torch.Tensor) -> Any:
    steps = torch.sin((ids[..., None] + 1.0) * torch.arange(1, 31))
    out = SimpleNamespace(logits=steps, past_key_values=None)
    out.get = lambda name, default: getattr(out, name, default)
    return out


def theirs(settings: dict[str, Any], prompt_length: int, own: Any = ()) -> Any:
    config = TheirConfig(**settings)
    end = config.eos_token_id
    config._eos_token_tensor = None if end is None else torch.tensor(end).reshape(-1)
    if config.max_length is None:
        config.max_length = 20
    config.num_beams = config.num_beams or 1
    if config.do_sample and config.top_k is None:
        config.top_k = 50
    return Model()._get_logits_processor(
        config,
        input_ids_seq_length=prompt_length,
        encoder_input_ids=PROMPT,
        logits_processor=logits_process.LogitsProcessorList(own),
        device="cpu",
        model_kwargs={"attention_mask": PADDED},
    )


def names(several: Any) -> list[str]:
    return [type(one).__name__ for one in several]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("length", [1, 4])
def test_settings_ask_for_the_processors_of_the_reference(settings: dict[str, Any], length: int) -> None:
    settings = {"eos_token_id": 3, **settings}
    mine = processors_for(
        GenerationConfig(**settings),
        prompt_length=length,
        encoder_ids=PROMPT,
        model=Model(),
        model_inputs={"attention_mask": PADDED},
    )
    other = theirs(settings, length)
    assert names(mine) == names(other)
    scores = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    text = PROMPT[:, :length]
    if length == PADDED.shape[1]:
        torch.testing.assert_close(mine(text, scores), other(text, scores.clone()))


def test_left_padding_was_not_said_and_without_any_rows_are_alone() -> None:
    config = GenerationConfig(repetition_penalty=1.5)
    padded = processors_for(config, prompt_length=4, model_inputs={"attention_mask": PADDED})
    assert padded(PROMPT, torch.ones(2, 30))[0, :5].tolist() == [1, 1, 1, *[pytest.approx(1 / 1.5)] * 2]
    assert not padded.row_wise
    whole = processors_for(config, prompt_length=4, model_inputs={"attention_mask": torch.ones(2, 4)})
    assert whole.row_wise


def test_the_caller_s_processor_takes_the_place_of_one_of_its_class_or_the_end() -> None:
    class Own(processors.LogitsProcessor):
        pass

    config = GenerationConfig(min_length=9, suppress_tokens=[4], eos_token_id=3, do_sample=True, top_k=5)
    own = [Own(), processors.MinLengthLogitsProcessor(7, 2)]
    with pytest.warns(Notice, match="a MinLengthLogitsProcessor and one was passed too"):
        mine = processors_for(config, prompt_length=4, own=own)
    assert names(mine) == [
        "MinLengthLogitsProcessor",
        "SuppressTokensLogitsProcessor",
        "Own",
        "TopKLogitsWarper",
    ]
    assert mine[0] is own[1]
    assert mine[2] is own[0]


def test_groups_of_beams_are_kept_apart() -> None:
    config = GenerationConfig(num_beams=4, num_beam_groups=2, diversity_penalty=0.5)
    assert names(processors_for(config, prompt_length=4)) == ["HammingDiversityLogitsProcessor"]


@pytest.mark.parametrize(
    "watermark", [{"bias": 3.0}, WatermarkingConfig(bias=3.0)], ids=["dictionary", "object"]
)
def test_a_watermark_comes_after_what_shapes_the_distribution(watermark: Any) -> None:
    config = GenerationConfig(do_sample=True, watermarking_config=watermark, renormalize_logits=True)
    mine = processors_for(config, prompt_length=4, model=Model())
    assert names(mine) == ["TopKLogitsWarper", "WatermarkLogitsProcessor", "LogitNormalization"]
    assert mine[1].bias == 3.0
    assert mine[1].vocab_size == 30
    tournament = GenerationConfig(watermarking_config={"ngram_len": 4, "keys": [1, 2]})
    assert names(processors_for(tournament, prompt_length=4, model=Model())) == [
        "SynthIDTextWatermarkLogitsProcessor"
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exponential_decay_length_penalty": (1, 1.1)}, "needs eos_token_id"),
        ({"watermarking_config": {}}, "a watermark needs a model"),
        ({"guidance_scale": 1.5}, "guidance_scale needs a model"),
        ({"do_sample": True, "top_p": 1.5}, "top_p has to lie from 0 to 1"),
        ({"do_sample": True, "top_k": -1}, "top_k has to be a whole number"),
        ({"do_sample": True, "typical_p": 2.0}, "typical_p has to lie between"),
        ({"do_sample": True, "temperature": 0.0}, "do_sample=False"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size has to be"),
        ({"min_length": -1, "eos_token_id": 3}, "min_length has to be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        processors_for(GenerationConfig(**settings), prompt_length=4)


@pytest.mark.parametrize("setting", ["encoder_repetition_penalty", "encoder_no_repeat_ngram_size"])
def test_a_setting_about_a_source_says_where_there_is_none(setting: str) -> None:
    with pytest.warns(Notice, match=f"{setting} compares with the ids that an encoder read"):
        assert not processors_for(GenerationConfig(**{setting: 2}), prompt_length=4)


def test_settings_ask_for_the_criteria_of_the_reference() -> None:
    mine_tokenizer, their_tokenizer = pair("byte-level")
    settings = {
        **{"max_time": 60.0, "stop_strings": "stop", "eos_token_id": [3, 4], "is_assistant": True},
        "max_length": 7,
    }
    config = TheirConfig(**settings, assistant_confidence_threshold=0.4)
    config._eos_token_tensor = torch.tensor([3, 4])
    other = Model()._get_stopping_criteria(
        config, stopping_criteria=stopping_criteria.StoppingCriteriaList(), tokenizer=their_tokenizer
    )
    mine = criteria_for(GenerationConfig(**settings), mine_tokenizer, 7)
    assert names(mine) == names(other)
    assert mine.max_length == 7
    own = [stopping.MaxTimeCriteria(5)]
    with pytest.warns(Notice, match="a MaxTimeCriteria and one was passed too"):
        assert criteria_for(GenerationConfig(max_time=60.0), own=own) == own


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="give generate the model's tokenizer"):
        criteria_for(GenerationConfig(stop_strings=["x"]))


def test_settings_of_watermarks_are_kept_in_files(tmp_path: Any) -> None:
    settings = SynthIDTextWatermarkingConfig(ngram_len=4, keys=[1, 2])
    GenerationConfig(watermarking_config=settings).save_pretrained(tmp_path)
    read = GenerationConfig.from_pretrained(tmp_path).watermarking_config
    assert SynthIDTextWatermarkingConfig.from_dict(read) == settings
    settings.to_json_file(tmp_path / "one.json")
    assert (tmp_path / "one.json").read_text() == theirs_json(settings)
    changed = WatermarkingConfig.from_dict({"bias": 1.0}, bias=4.0)
    changed.update(context_width=2)
    assert dict(changed) == {**dict(WatermarkingConfig()), "bias": 4.0, "context_width": 2}
    for wrong in ({"greenlist_ratio": 1.5}, {"seeding_scheme": "x"}, {"context_width": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            WatermarkingConfig(**wrong)
    with pytest.raises(TypeError, match="did you mean 'bias'"):
        changed.update(biass=1.0)


def theirs_json(settings: Any) -> str:
    import json

    return json.dumps(settings.to_dict(), indent=2, sort_keys=True) + "\n"
