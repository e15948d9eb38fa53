"""Config values of another type than declared are refused, by keyword, by setting and from a file."""

from __future__ import annotations

import json
from typing import Optional

import numpy as np
import pytest

from formers import AutoConfig, BertConfig, GPT2Config, LlamaConfig, T5Config
from formers.configs import PretrainedConfig
from formers.configs.checks import ACTIVATION_NAMES
from formers.nn.activations import ACTIVATIONS

NEVER = [
    ({"hidden_size": "a"}, TypeError, r"BertConfig\.hidden_size takes a whole number, not 'a' \(str\)$"),
    ({"hidden_size": "12"}, TypeError, "leave out the quotes, hidden_size=12$"),
    ({"hidden_size": "3.5"}, TypeError, r"not '3.5' \(str\)$"),
    ({"hidden_size": 3.5}, TypeError, r"hidden_size takes a whole number, not 3\.5 \(float\)"),
    ({"hidden_size": float("nan")}, TypeError, "takes a whole number, not nan"),
    ({"hidden_dropout_prob": "0.1"}, TypeError, "takes a number.*leave out the quotes, hidden_dropout_prob="),
    ({"classifier_dropout": "0.1"}, TypeError, "takes a number or None"),
    ({"num_hidden_layers": -1}, ValueError, "num_hidden_layers is a size or a count.* cannot be -1"),
    ({"hidden_act": "gelu_newe"}, ValueError, "hidden_act='gelu_newe'.*did you mean 'gelu_new'"),
    ({"hidden_act": "foo"}, ValueError, "no known activation; known are .*gelu, "),
]


@pytest.mark.parametrize(("values", "error", "text"), NEVER)
def test_a_value_that_no_model_can_use_is_refused_wherever_it_comes_from(tmp_path, values, error, text):
    (name, value), *_ = values.items()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **values}))
    ways = (
        lambda: BertConfig(**values),
        lambda: BertConfig.from_dict({}, **values),
        lambda: BertConfig.from_pretrained(tmp_path),
        lambda: AutoConfig.from_pretrained(tmp_path),
        lambda: setattr(BertConfig(), name, value),
    )
    for way in ways:
        with pytest.raises(error, match=text):
            way()


def test_another_name_of_a_field_is_checked_as_the_field():
    with pytest.raises(TypeError, match=r"GPT2Config\.n_embd takes a whole number"):
        GPT2Config(hidden_size="wide")
    with pytest.raises(ValueError, match="dense_act_fn='gelo'"):
        T5Config(feed_forward_proj="gated-gelo")


@pytest.mark.parametrize(
    "values", [{"hidden_size": None}, {"hidden_size": True}, {"use_cache": "false"}, {"eos_token_id": "</s>"}]
)
def test_what_a_file_may_hold_is_refused_as_a_keyword(values):
    (name, value), *_ = values.items()
    assert getattr(BertConfig.from_dict(values), name) == value
    with pytest.raises(TypeError, match=f"BertConfig.{name} takes"):
        BertConfig(**values)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"hidden_dropout_prob": 1}, 1),
        ({"hidden_size": 768.0}, 768),
        ({"hidden_size": np.int64(8)}, 8),
        ({"hidden_dropout_prob": np.float32(0.5)}, 0.5),
        ({"use_cache": np.bool_(False)}, False),
        ({"pad_token_id": -1}, -1),
        ({"pad_token_id": None}, None),
        ({"classifier_dropout": None}, None),
        ({"eos_token_id": [1, 2]}, [1, 2]),
        ({"type_vocab_size": 0}, 0),
    ],
)
def test_what_works_is_taken_and_numbers_become_plain_ones(values, kept):
    (name, value), *_ = values.items()
    config = BertConfig(**values)
    assert getattr(config, name) == kept
    assert type(getattr(config, name)) is type(kept)
    assert BertConfig.from_dict(json.loads(config.to_json_string(use_diff=False))) == config


def test_the_fields_of_the_bundled_families_take_their_own_defaults():
    for kind in (BertConfig, GPT2Config, LlamaConfig, T5Config):
        kind(**kind._declared)


class Own(PretrainedConfig):
    """Somebody's own config, whose fields are annotated with types rather than text."""

    model_type = "own"
    __annotations__ = {"depth": int, "rate": Optional[float], "layer": int, "anything": object}  # noqa: RUF012, UP045
    depth = 2
    rate = 0.5
    layer = -2  # a default below zero: the sign means something
    anything = None


def test_fields_of_other_peoples_configs_are_checked_too():
    config = Own(rate=None, layer=-1, anything="goes", undeclared="too")
    assert (config.rate, config.layer, config.undeclared) == (None, -1, "too")
    with pytest.raises(TypeError, match=r"Own\.depth"):
        Own(depth="2")
    with pytest.raises(TypeError, match=r"Own\.rate takes a number or None"):
        Own(rate="fast")


def test_a_part_of_a_file_is_read_as_mildly_as_the_whole():
    class Whole(PretrainedConfig):
        model_type = "whole"
        sub_configs = {"text_config": BertConfig}  # noqa: RUF012
        text_config: BertConfig | None = None

    assert Whole.from_dict({"text_config": {"use_cache": "true"}}).text_config.use_cache == "true"
    with pytest.raises(TypeError, match=r"BertConfig\.hidden_size"):
        Whole.from_dict({"text_config": {"hidden_size": "a"}})


def test_configs_and_models_know_the_same_activations():
    assert ACTIVATIONS.keys() == ACTIVATION_NAMES


@pytest.mark.parametrize("cls", [BertConfig, AutoConfig])
def test_a_value_of_a_file_that_cannot_be_used_is_told_with_the_file(cls, tmp_path):
    values = {**BertConfig().to_dict(), "hidden_size": "wide"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(TypeError, match=r"config\.json: BertConfig\.hidden_size takes a whole number"):
        cls.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**values, "hidden_size": 24}))
    with pytest.raises(TypeError, match=r"^BertConfig\.hidden_size takes a whole number"):
        cls.from_pretrained(tmp_path, hidden_size="wide")
