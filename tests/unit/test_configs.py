"""Configs: annotated defaults, the ecosystem's JSON both ways, aliases, labels, and generation settings."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from formers.configs import GenerationConfig, PretrainedConfig
from formers.core.notices import Notice


class TinyConfig(PretrainedConfig):
    model_type = "tiny"
    attribute_map = {"num_classes": "num_labels", "n_embd": "hidden_size"}
    vocab_size: int = 30522
    hidden_size: int = 768
    pad_token_id: int | None = 0
    sizes: list = [1, 2]  # noqa: RUF012


class SmallerConfig(TinyConfig):
    model_type = "smaller"
    hidden_size: int = 12
    depth: int = 2


class RotaryConfig(PretrainedConfig):
    model_type = "llama"
    hidden_size: int = 64
    rope_parameters: dict | None = None


class VisionConfig(PretrainedConfig):
    model_type = "pair_vision"
    base_config_key = "vision_config"
    patch: int = 16


class PairConfig(PretrainedConfig):
    model_type = "pair"
    sub_configs = {"text_config": TinyConfig, "vision_config": VisionConfig}
    text_config: TinyConfig | None = None
    vision_config: VisionConfig | None = None


def test_a_config_is_its_annotated_defaults_and_what_is_given():
    config = TinyConfig(hidden_size=8)
    assert (config.vocab_size, config.hidden_size, config.pad_token_id) == (30522, 8, 0)
    assert (config.is_encoder_decoder, config.return_dict, config.num_labels) == (False, True, 2)


def test_a_subclass_adds_and_overrides():
    config = SmallerConfig()
    assert (config.hidden_size, config.depth, config.vocab_size) == (12, 2, 30522)


def test_a_mutable_default_belongs_to_one_config_only():
    TinyConfig().sizes.append(3)
    assert TinyConfig().sizes == [1, 2]


def test_another_name_reads_writes_and_is_a_keyword():
    config = TinyConfig(n_embd=16)
    assert config.hidden_size == config.n_embd == 16
    config.n_embd = 32
    assert config.hidden_size == 32
    assert "n_embd" not in config.to_dict()


def test_a_keyword_that_nearly_spells_a_field_is_noticed_and_kept():
    with pytest.warns(Notice, match="no field 'hiden_size'; did you mean 'hidden_size'"):
        config = TinyConfig(hiden_size=3)
    assert config.hiden_size == 3
    assert config.to_dict()["hiden_size"] == 3


def test_a_key_that_nobody_declared_is_kept_and_written_back(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "tiny", "odd": {"a": [1, None]}, "hiden_size": 1})
    )
    config = TinyConfig.from_pretrained(tmp_path)
    config.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())["odd"] == {"a": [1, None]}


def test_a_missing_attribute_is_named_with_the_nearest():
    with pytest.raises(AttributeError, match="no attribute 'hidden_sise'; did you mean 'hidden_size'"):
        _ = TinyConfig().hidden_sise


def test_settings_of_older_versions_read_as_their_defaults_and_are_not_written():
    assert TinyConfig().max_length == 20
    assert TinyConfig().do_sample is False
    assert "max_length" not in TinyConfig().to_dict()
    assert TinyConfig(max_length=99).to_dict()["max_length"] == 99


# -- labels ---------------------------------------------------------------------------------------


def test_labels_follow_from_each_other():
    assert TinyConfig(num_labels=3).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert TinyConfig(num_classes=4).num_labels == 4
    assert TinyConfig(id2label={"0": "no", "1": "yes", "2": "maybe"}).label2id == {
        "no": 0,
        "yes": 1,
        "maybe": 2,
    }
    assert TinyConfig(label2id={"b": 1, "a": 0}).id2label == {1: "b", 0: "a"}


def test_setting_labels_later_keeps_both_tables_in_step():
    config = TinyConfig()
    config.id2label = {0: "x", 1: "y", 2: "z"}
    assert config.num_labels == 3
    assert config.label2id == {"x": 0, "y": 1, "z": 2}
    config.num_labels = 3
    assert config.id2label[0] == "x"
    config.num_labels = 5
    assert config.id2label[4] == "LABEL_4"


def test_labels_are_text_keys_on_disk_and_numbers_in_memory(tmp_path):
    TinyConfig(id2label={0: "no", 1: "yes"}).save_pretrained(tmp_path)
    on_disk = json.loads((tmp_path / "config.json").read_text())
    assert on_disk["id2label"] == {"0": "no", "1": "yes"}
    assert TinyConfig.from_pretrained(tmp_path).id2label == {0: "no", 1: "yes"}


def test_a_number_of_labels_that_contradicts_the_names_is_noticed_or_refused():
    with pytest.warns(Notice, match="num_labels=5 does not fit"):
        assert TinyConfig(num_labels=5, id2label={0: "a"}).num_labels == 1
    with pytest.raises(ValueError, match="leave num_labels out"):
        TinyConfig.from_dict({}, num_labels=5, id2label={0: "a"})


def test_another_number_of_labels_replaces_those_of_the_file():
    content = TinyConfig(id2label={0: "no", 1: "yes"}).to_dict()
    assert TinyConfig.from_dict(content, num_labels=3).id2label[2] == "LABEL_2"
    assert TinyConfig.from_dict(content, num_labels=2).id2label[1] == "yes"


def test_a_problem_type_is_checked():
    with pytest.raises(ValueError, match="is not known"):
        TinyConfig(problem_type="multilabel")
    with pytest.raises(ValueError, match="num_labels >= 2"):
        TinyConfig(problem_type="single_label_classification", num_labels=1)


# -- dtype, rotary, parts -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("value", [torch.bfloat16, "bfloat16", "torch.bfloat16"])
def test_a_dtype_is_kept_by_its_name_and_written_for_old_and_new_readers(name, value):
    config = TinyConfig(**{name: value})
    assert config.dtype == config.torch_dtype == "bfloat16"
    assert json.loads(config.to_json_string())["torch_dtype"] == "bfloat16"
    assert json.loads(config.to_json_string())["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    "content",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}},
    ],
)
def test_both_spellings_of_the_rotary_settings_are_read_and_both_are_shown(content):
    config = RotaryConfig.from_dict(content)
    assert config.rope_parameters["rope_theta"] == config.rope_theta == 5e5
    assert config.rope_parameters["rope_type"] == "linear"
    assert config.rope_scaling["factor"] == 2.0
    again = RotaryConfig.from_dict(json.loads(config.to_json_string()))
    assert again == config


def test_the_reference_reads_the_rotary_settings_that_we_write(tmp_path):
    RotaryConfig(rope_theta=7e5, rope_scaling={"rope_type": "linear", "factor": 4.0}).save_pretrained(
        tmp_path
    )
    theirs = transformers.LlamaConfig.from_pretrained(tmp_path)
    assert theirs.rope_parameters["rope_theta"] == 7e5
    assert theirs.rope_parameters["rope_type"] == "linear"
    assert theirs.rope_parameters["factor"] == 4.0


@pytest.mark.parametrize(
    "given",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}},
    ],
)
def test_rope_scaling_reads_as_the_reference_has_it_and_a_change_to_it_counts(given):
    ours = RotaryConfig(**copy.deepcopy(given))
    theirs = transformers.LlamaConfig(**copy.deepcopy(given))
    assert ours.rope_scaling == theirs.rope_scaling
    for config in (ours, theirs):
        config.rope_scaling["factor"] = 8.0
        assert config.rope_parameters["factor"] == 8.0
    assert "rope_theta" not in ours.to_diff_dict()["rope_scaling"]  # older readers refuse it there


def test_without_any_rotary_settings_the_usual_base_holds():
    assert RotaryConfig().rope_theta == 10000.0
    assert RotaryConfig().rope_scaling is None


def test_a_function_may_say_which_class_a_part_is_of(tmp_path):
    class Either(PretrainedConfig):
        model_type = "either"
        sub_configs = {  # noqa: RUF012
            "text_config": lambda content: {"tiny": TinyConfig, "smaller": SmallerConfig}[
                content["model_type"]
            ]
        }
        text_config: PretrainedConfig | None = None

    config = Either(text_config={"model_type": "smaller", "depth": 5})
    assert type(config.text_config) is SmallerConfig
    config.save_pretrained(tmp_path)
    again = Either.from_pretrained(tmp_path)
    assert (type(again.text_config), again.text_config.depth) == (SmallerConfig, 5)
    assert config.get_text_config() is config.text_config
    assert json.loads((tmp_path / "config.json").read_text())["text_config"]["depth"] == 5


def test_parts_are_configs_of_their_own(tmp_path):
    config = PairConfig(text_config={"hidden_size": 5}, vision_config=VisionConfig(patch=8))
    assert isinstance(config.text_config, TinyConfig)
    assert config.get_text_config() is config.text_config
    config.save_pretrained(tmp_path)
    again = PairConfig.from_pretrained(tmp_path, text_config={"vocab_size": 9})
    assert (again.text_config.hidden_size, again.text_config.vocab_size, again.vision_config.patch) == (
        5,
        9,
        8,
    )
    assert VisionConfig.from_pretrained(tmp_path).patch == 8


# -- files ----------------------------------------------------------------------------------------


def test_a_config_comes_back_from_a_folder_a_file_and_a_dictionary(tmp_path):
    config = TinyConfig(hidden_size=3, odd=1, id2label={0: "a", 1: "b"}, architectures=["TinyModel"])
    config.save_pretrained(tmp_path)
    assert TinyConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()
    assert TinyConfig.from_pretrained(tmp_path / "config.json").to_diff_dict() == config.to_diff_dict()
    assert TinyConfig.from_dict(config.to_dict()) == config
    assert copy.deepcopy(config) == config


def test_keywords_win_over_the_file_and_the_unused_are_given_back(tmp_path):
    TinyConfig().save_pretrained(tmp_path)
    config, unused = TinyConfig.from_pretrained(
        tmp_path, hidden_size=6, output_attentions=True, banana=1, return_unused_kwargs=True
    )
    assert (config.hidden_size, config.output_attentions, unused) == (6, True, {"banana": 1})


def test_a_keyword_that_is_nothing_is_refused_with_a_suggestion(tmp_path):
    TinyConfig().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="'hiden_size'; did you mean 'hidden_size'"):
        TinyConfig.from_pretrained(tmp_path, hiden_size=6)


@pytest.mark.parametrize(
    ("content", "text"),
    [("{not json", "not a valid JSON file"), ("[1]", "where an object"), ("\ufeff", "not a valid")],
)
def test_a_file_that_is_no_config_is_refused_with_its_name(tmp_path, content, text):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(OSError, match=text):
        TinyConfig.from_pretrained(tmp_path)


def test_what_is_not_there_is_said_to_be_not_there(tmp_path):
    with pytest.raises(OSError, match="has no file config.json"):
        TinyConfig.from_pretrained(tmp_path)
    with pytest.raises(OSError, match="there is no folder"):
        TinyConfig.from_pretrained(str(tmp_path / "nowhere"))


def test_the_config_of_another_kind_of_model_is_noticed(tmp_path):
    RotaryConfig().save_pretrained(tmp_path)
    with pytest.warns(Notice, match="holds the config of a 'llama' model"):
        TinyConfig.from_pretrained(tmp_path)


def test_infinities_of_newer_files_are_numbers(tmp_path):
    (tmp_path / "config.json").write_text('{"limits": [0.0, {"__float__": "Infinity"}]}')
    assert TinyConfig.from_pretrained(tmp_path).limits == [0.0, float("inf")]


def test_fields_can_be_set_from_text():
    config = TinyConfig()
    config.dtype = "float32"
    config.update_from_string("hidden_size=5,is_decoder=y,dtype=float16")
    assert (config.hidden_size, config.is_decoder, config.dtype) == (5, True, torch.float16)
    with pytest.raises(ValueError, match="no field 'nope'"):
        config.update_from_string("nope=1")


def test_a_config_needs_no_torch():
    program = (
        "import sys; from formers.configs import GenerationConfig, PretrainedConfig; import tempfile;"
        "d = tempfile.mkdtemp(); PretrainedConfig().save_pretrained(d); PretrainedConfig.from_pretrained(d);"
        "GenerationConfig().save_pretrained(d);"
        "print([name for name in ('torch', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "theirs",
    [
        transformers.BertConfig(num_labels=3, hidden_size=32, dtype="float16"),
        transformers.GPT2Config(n_layer=2),
        transformers.LlamaConfig(rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
        transformers.T5Config(d_model=16),
        transformers.BartConfig(d_model=16),
    ],
    ids=lambda config: config.model_type,
)
def test_what_the_reference_wrote_is_written_back_unchanged(tmp_path, theirs):
    theirs.save_pretrained(tmp_path / "theirs")
    PretrainedConfig.from_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "ours")
    before = json.loads((tmp_path / "theirs/config.json").read_text())
    after = json.loads((tmp_path / "ours/config.json").read_text())
    common = set(PretrainedConfig._declared)
    for name, value in before.items():
        # A common field at its default may be left out; all else is there and the same.
        assert name in after or name in common, name
        assert after.get(name, value) == value, name
    again = type(theirs).from_pretrained(tmp_path / "ours")
    assert again.to_dict() == type(theirs).from_pretrained(tmp_path / "theirs").to_dict() | {
        "_name_or_path": again._name_or_path
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    extra=st.dictionaries(
        st.from_regex(r"extra_[a-z]{1,5}", fullmatch=True),
        json_values,
        max_size=3,
    ),
    hidden=st.integers(1, 10**6),
    labels=st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
)
def test_any_config_survives_its_json(extra, hidden, labels):
    config = TinyConfig(hidden_size=hidden, id2label=dict(enumerate(labels)), **extra)
    again = TinyConfig.from_dict(json.loads(config.to_json_string()))
    assert again == config


# -- generation -----------------------------------------------------------------------------------


def test_generation_fields_have_defaults_and_only_the_chosen_are_written():
    config = GenerationConfig(max_new_tokens=5, temperature=1.0, seed=3, odd=[1])
    assert (config.max_length, config.num_beams, config.temperature, config.seed) == (20, 1, 1.0, 3)
    assert config.is_set("temperature")
    assert not config.is_set("num_beams")
    assert config.to_diff_dict() == {"max_new_tokens": 5, "temperature": 1.0, "seed": 3, "odd": [1]}


def test_generation_settings_survive_their_file_and_the_reference_reads_them(tmp_path):
    GenerationConfig(max_new_tokens=5, do_sample=True, eos_token_id=[1, 2], top_p=0.5).save_pretrained(
        tmp_path
    )
    ours = GenerationConfig.from_pretrained(tmp_path, top_k=7)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert (ours.max_new_tokens, ours.do_sample, ours.eos_token_id, ours.top_k) == (5, True, [1, 2], 7)
    assert (theirs.max_new_tokens, theirs.do_sample, theirs.eos_token_id, theirs.top_p) == (
        5,
        True,
        [1, 2],
        0.5,
    )


def test_what_the_reference_wrote_of_generation_is_written_back_unchanged(tmp_path):
    theirs = transformers.GenerationConfig(max_new_tokens=9, num_beams=4, pad_token_id=0)
    theirs.save_pretrained(tmp_path)
    before = json.loads((tmp_path / "generation_config.json").read_text())
    GenerationConfig.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text()) == before


def test_generation_settings_of_an_old_model_config_are_found():
    config = GenerationConfig.from_model_config(TinyConfig(num_beams=3, eos_token_id=4, max_length=50))
    assert (config.num_beams, config.eos_token_id, config.max_length) == (3, 4, 50)
    assert config.to_diff_dict()["_from_model_config"] is True


def test_an_unknown_generation_keyword_is_noticed_or_refused(tmp_path):
    with pytest.warns(Notice, match="did you mean 'temperature'"):
        GenerationConfig(temprature=0.5)
    GenerationConfig().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="did you mean 'temperature'"):
        GenerationConfig.from_pretrained(tmp_path, temprature=0.5)


def test_updating_returns_what_is_no_field():
    config = GenerationConfig(top_k=3)
    assert config.update(top_k=5, nothing=1) == {"nothing": 1}
    config.update(defaults_only=True, top_k=9, top_p=0.5)
    assert (config.top_k, config.top_p) == (5, 0.5)
