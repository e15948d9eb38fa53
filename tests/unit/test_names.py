"""What scripts import from the package, and from its older module paths."""

from __future__ import annotations

import importlib
import importlib.util
import logging as python_logging
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import formers
from formers import logging, paths
from formers.core.notices import Notice, forget_notices, notice


@pytest.fixture(autouse=True)
def level():
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)


@pytest.mark.parametrize("path", sorted(set(paths.PATHS) - {"logging", "utils.logging"}))
def test_every_name_of_an_older_path_is_the_name_of_the_package(path):
    module = importlib.import_module(f"formers.{path}")
    assert module.__all__ or any(one.startswith(f"{path}.") for one in paths.PATHS)
    for name in module.__all__:
        assert getattr(module, name) is getattr(formers, name)


def test_older_paths_cost_nothing_until_they_are_used():
    code = (
        "import sys, formers\nassert not {'torch', 'formers.paths'} & set(sys.modules)\n"
        "import formers.utils, formers.trainer_utils\nfrom formers.utils import is_torch_available, logging\n"
        "logging.get_logger('x').warning_once('said')\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_asking_for_pipelines_imports_no_task() -> None:
    code = (
        "import sys\nfrom formers import Trainer, pipeline\n"
        "print([name for name in sys.modules if name.startswith('formers.pipelines.text.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_refused_with_a_reason():
    with pytest.raises(ImportError, match="cannot import name 'get_last_chekpoint'"):
        from formers.trainer_utils import get_last_chekpoint  # noqa: F401
    with pytest.raises(AttributeError, match="did you mean 'set_seed'"):
        importlib.import_module("formers.trainer_utils").set_sed  # noqa: B018
    with pytest.raises(ImportError, match="generation is not part"):
        from formers import ContinuousBatchingManager  # noqa: F401
    with pytest.raises(ImportError, match="Reformer is not among the model families of this version"):
        from formers import ReformerForMaskedLM  # noqa: F401
    with pytest.raises(ImportError, match="did you mean 'BertForMaskedLM'"):
        from formers import BertForMaskdLM  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("formers.nothing_of_the_kind")


# modules of families


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("bert.modeling_bert", "BertModel BertForMaskedLM BertPreTrainedModel BertLayer"),
        ("llama.modeling_llama", "LlamaForCausalLM LlamaDecoderLayer apply_rotary_pos_emb repeat_kv"),
        ("xlm_roberta.modeling_xlm_roberta", "XLMRobertaModel"),
        ("gpt2.configuration_gpt2", "GPT2Config"),
        ("bert.tokenization_bert_fast", "BertTokenizerFast"),
        ("camembert", "CamembertForMaskedLM"),
        ("gemma3.modeling_gemma3", "Gemma3ForCausalLM"),
        ("bert", "BertModel BertConfig BertTokenizer"),
        ("clip.modeling_clip", "CLIPModel CLIPTextModel"),
        ("auto.modeling_auto", "AutoModel MODEL_FOR_MASKED_LM_MAPPING"),
        ("auto.configuration_auto", "CONFIG_MAPPING"),
    ],
)
def test_a_family_has_its_classes_under_the_paths_of_the_ecosystem(path, names):
    module = importlib.import_module(f"formers.models.{path}")
    for name in names.split():
        assert getattr(module, name) is getattr(formers, name)
        assert name in getattr(module, "__all__", [name]) or name[0].islower()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from formers.models.bert.modeling_bert import BertOnlyMLMHead", "a family's own parts"),
        ("from formers.models.bert.modeling_bert import BertModl", "did you mean 'BertModel'"),
        ("from formers.models.bert.modeling_bert import GPT2Model", "cannot import name 'GPT2Model'"),
        (
            "from formers.models.auto.modeling_auto import MODEL_FOR_POSE_ESTIMATION_MAPPING",
            "this task is",
        ),
        ("import formers.models.zamba.modeling_zamba", "this model family is not part"),
        ("import formers.models.bert.nonsense", "No module named 'formers.models.bert.nonsense'$"),
        ("import formers.generation.candidate_generator", "text generation is made with is not part"),
        ("from formers.trainer_utils import set_sed", "did you mean 'set_seed'"),
        ("from formers.trainer_utils import BertModel", "cannot import name 'BertModel'"),
        ("from formers.utils import training", "cannot import name 'training'"),
        ("from formers.models.bert.modeling_bert import nn", "torch and tqdm offer themselves"),
        (
            "from formers.models.phimoe.modeling_phimoe import sparsemixer",
            "functions that a family is written",
        ),
        ("from formers.pipelines import PipelineIterator", "here: PIPELINE_REGISTRY"),
        ("from formers.pipelines import pipelin", "did you mean 'pipeline'"),
        ("import formers.models.gpt2.convert_gpt2_original_tf_checkpoint_to_pytorch", "conversion to other"),
        ("import formers.integrations.bitsandbytes", "quantized loading is"),
        ("import formers.distributed.sharding_utils", "a choice of kernels and of parallelism is"),
        ("from formers.utils.logging import are_progress_bars_disabled", "torch and tqdm offer themselves"),
    ],
)
def test_what_a_path_has_not_got_is_refused_with_a_reason(line, said):
    with pytest.raises(ImportError, match=said):
        exec(line, {})


@pytest.mark.parametrize(
    "line",
    [
        "from formers.trainer import is_sagemaker_mp_enabled, TrainOutput, set_seed",
        "from formers.trainer_callback import IntervalStrategy",
        "from formers.trainer_utils import EvaluationStrategy, is_main_process",
        "from formers.tokenization_utils import PreTrainedTokenizerBase",
        "from formers.modeling_utils import is_fsdp_enabled, logger",
        "from formers.models.bert.modeling_bert import ACT2FN, logger",
    ],
)
def test_a_path_hands_out_what_the_ecosystems_module_imports_itself(line):
    found = {}
    exec(line, found)
    logger = found.pop("logger", None)
    assert logger is None or logger.name == line.split()[1]
    names = set(found) - {"__builtins__"}
    assert names
    assert all(found[name] is getattr(formers, name) for name in names)


def test_paths_are_reached_by_attributes_too():
    assert formers.models.bert.modeling_bert.BertModel is formers.BertModel
    assert formers.models.auto.AutoModel is formers.AutoModel
    assert not hasattr(formers.models.bert, "nonsense")


def test_asking_for_a_path_that_is_not_there_raises_nothing_else():
    assert not hasattr(formers, "tokenization_mistral_common")
    assert importlib.util.find_spec("formers.tokenization_mistral_common") is None
    assert not hasattr(formers.models, "nonsense")
    assert not hasattr(importlib.import_module("formers.models.bert.modeling_bert"), "BertSelfTension")


# records of outputs


def test_a_named_record_has_its_fields_in_their_order():
    logits, hidden = torch.zeros(1, 2), (torch.ones(1),)
    made = formers.SequenceClassifierOutput(None, logits, hidden)
    assert made.hidden_states is hidden
    assert made.to_tuple() == (logits, hidden)
    assert formers.CausalLMOutputWithPast(None, logits, "past").past_key_values == "past"
    with pytest.raises(TypeError):
        formers.SequenceClassifierOutput(past_key_values=1)


def test_what_a_model_returns_is_an_instance_of_the_records_that_fit():
    config = formers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    found = formers.BertForSequenceClassification(config)(torch.tensor([[1, 2]]))
    assert isinstance(found, formers.SequenceClassifierOutput)
    assert isinstance(found, formers.ModelOutput)
    assert not isinstance(found, formers.QuestionAnsweringModelOutput)
    assert not isinstance({"logits": 1}, formers.SequenceClassifierOutput)
    spans = formers.BertForQuestionAnswering(config)(torch.tensor([[1, 2]]))
    assert isinstance(spans, formers.QuestionAnsweringModelOutput)
    assert not isinstance(spans, formers.SequenceClassifierOutput)


# maps


def test_maps_lead_from_types_to_classes():
    assert formers.CONFIG_MAPPING["bert"] is formers.BertConfig
    assert formers.MODEL_MAPPING[formers.BertConfig] is formers.BertModel
    assert (
        formers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[formers.RobertaConfig]
        is formers.RobertaForSequenceClassification
    )
    assert formers.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["gpt2"] == "GPT2LMHeadModel"
    assert formers.TOKENIZER_MAPPING[formers.BertConfig] == (formers.BertTokenizer, formers.BertTokenizerFast)
    assert formers.BertConfig not in formers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    assert formers.T5Config in formers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    assert {"bert", "t5"} <= set(formers.CONFIG_MAPPING.keys())
    assert formers.BertConfig in list(formers.MODEL_FOR_MASKED_LM_MAPPING)
    with pytest.raises(KeyError, match="no 'unheard-of'"):
        formers.CONFIG_MAPPING["unheard-of"]
    assert formers.CONFIG_MAPPING.get("unheard-of") is None


def test_what_is_registered_stands_in_the_maps():
    class OwnConfig(formers.PretrainedConfig):
        model_type = "own-of-the-map"

    class OwnModel(formers.PreTrainedModel):
        config_class = OwnConfig

    formers.AutoConfig.register("own-of-the-map", OwnConfig)
    formers.AutoModel.register(OwnConfig, OwnModel)
    assert formers.CONFIG_MAPPING["own-of-the-map"] is OwnConfig
    assert formers.MODEL_MAPPING[OwnConfig] is OwnModel
    assert "own-of-the-map" in formers.CONFIG_MAPPING


# how much is said


def test_verbosity_silences_logs_and_notices_and_lets_them_speak_again():
    logging.set_verbosity_error()
    assert logging.get_verbosity() == logging.ERROR == python_logging.getLogger("formers").level
    notice("not now")
    logging.set_verbosity("warning")
    with pytest.warns(Notice, match="not now"):
        notice("not now")
    forget_notices()
    with pytest.raises(ValueError, match="'loud' is no level"):
        logging.set_verbosity("loud")


def test_a_logger_says_a_thing_once():
    said = []
    handler = python_logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.get_logger("formers.here")
    logging.add_handler(handler)
    try:
        for _ in range(3):
            logger.warning_once("only once")
        logger.warning("again")
    finally:
        logging.remove_handler(handler)
    logger.warning("no more")
    assert said == ["only once", "again"]


def test_progress_bars_can_be_switched_off_for_all(capfd):
    from formers.pipelines.frame import _bar

    logging.disable_progress_bar()
    try:
        assert not logging.is_progress_bar_enabled()
        with _bar(True, "x", 3) as done:
            done(1)
        assert capfd.readouterr().err == ""
    finally:
        logging.enable_progress_bar()
    assert logging.is_progress_bar_enabled()


# what is installed


def test_questions_for_packages_have_true_answers():
    assert formers.is_torch_available()
    assert formers.utils.is_tokenizers_available()
    assert not formers.is_torch_npu_available()
    assert formers.is_torch_cuda_available() is torch.cuda.is_available()
    with pytest.raises(AttributeError):
        formers.is_nothing_known_available  # noqa: B018


def test_a_question_with_a_version_or_a_device_is_answered_with_it():
    assert formers.is_tokenizers_available("0.1")
    assert not formers.is_tokenizers_available(min_version="99.0")
    assert not formers.is_torch_npu_available(check_device=True)
    with pytest.raises(TypeError, match="takes min_version and check_device, not minimum"):
        formers.is_tokenizers_available(minimum="1")


def test_a_development_version_of_torch_is_older_than_its_release(monkeypatch):
    monkeypatch.setattr("formers.core.available.version_of", lambda package: "2.9.0.dev20250801+cu128")
    assert not formers.is_torch_greater_or_equal("2.9.0")
    assert formers.is_torch_greater_or_equal("2.9.0", accept_dev=True)
    assert formers.is_torch_greater_or_equal("2.8")
    monkeypatch.setattr("formers.core.available.version_of", lambda package: "2.9.0+cpu")
    assert formers.is_torch_greater_or_equal("2.9.0")


def test_the_age_of_torch_is_a_constant_too(monkeypatch):
    assert formers.pytorch_utils.is_torch_greater_or_equal_than_2_4 is True
    assert formers.is_torch_greater_or_equal_than_99_0 is False
    with pytest.raises(ImportError):
        exec("from formers import is_torch_greater_or_equal_than_new", {})


def test_versions_are_checked_as_pip_writes_them():
    formers.require_version("torch>=2.0,<99")
    formers.require_version("python>=3.10")
    with pytest.raises(ImportError, match=r"numpy<1 is needed, but .* is here: pip install 'numpy<1'"):
        formers.require_version("numpy<1")
    with pytest.raises(ImportError, match="no-such-package is needed but not installed. Ask Ann"):
        formers.require_version("no-such-package", "Ask Ann")
    with pytest.raises(ValueError, match="is no requirement"):
        formers.require_version("torch ~ 2")
    formers.utils.check_min_version("4.57.0.dev0")
    with pytest.raises(ImportError, match="wants the interface of transformers 99.0"):
        formers.utils.check_min_version("99.0")
    with pytest.raises(ImportError, match="Thing needs no_such_package"):
        formers.requires_backends(type("Thing", (), {}), ["torch", "no_such_package"])


# files, modules, numbers


def test_one_file_of_a_folder_is_found_or_said_to_be_missing(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert formers.cached_file(tmp_path, "config.json") == str(tmp_path / "config.json")
    assert formers.utils.has_file(tmp_path, "config.json")
    assert not formers.utils.has_file(tmp_path, "other.json")
    assert formers.cached_file(tmp_path, "no.json", _raise_exceptions_for_missing_entries=False) is None
    with pytest.raises(OSError, match="has no file no.json"):
        formers.cached_file(tmp_path, "no.json")
    with pytest.raises(TypeError, match="did you mean 'revision'"):
        formers.cached_file(tmp_path, "config.json", revison="main")
    path = f"/cache/models--a--b/snapshots/{'a' * 40}/config.json"
    assert formers.extract_commit_hash(path) == "a" * 40


def test_what_a_tokenizer_config_says_can_be_asked_for_alone(tmp_path):
    ask = formers.models.auto.tokenization_auto.get_tokenizer_config
    assert ask(tmp_path) == {}
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 7}')
    assert ask(tmp_path, local_files_only=True) == {"model_max_length": 7}
    with pytest.raises(TypeError, match="did you mean 'revision'"):
        ask(tmp_path, revison="main")


def test_leaves_are_cut_down_and_layers_computed_in_pieces():
    leaf = formers.Conv1D(nf=6, nx=4)
    assert (leaf.nf, leaf.nx) == (6, 4)
    x, kept = torch.randn(2, 4), torch.tensor([0, 2, 5])
    assert torch.equal(formers.prune_conv1d_layer(leaf, kept)(x), leaf(x)[:, kept])
    linear = torch.nn.Linear(4, 6)
    assert torch.allclose(formers.prune_linear_layer(linear, kept)(x), linear(x)[:, kept])
    fewer = formers.prune_linear_layer(linear, kept[:2], dim=1)
    assert torch.allclose(
        fewer(x[:, kept[:2]]), x[:, kept[:2]] @ linear.weight[:, kept[:2]].t() + linear.bias
    )
    rows = torch.randn(2, 6, 4)
    assert torch.allclose(formers.apply_chunking_to_forward(linear, 3, 1, rows), linear(rows))
    with pytest.raises(ValueError, match="pieces of 4"):
        formers.apply_chunking_to_forward(linear, 4, 1, rows)
    assert torch.equal(formers.ACT2FN["gelu"](x), torch.nn.functional.gelu(x))
    with pytest.raises(KeyError):
        formers.ACT2FN["gelou"]


def test_heads_to_prune_are_counted_from_the_first_and_rows_that_stay_from_those_that_are_left():
    going, stays = formers.find_pruneable_heads_and_indices([1, 3], 3, 2, {1})  # heads 0, 2 and 3 are left
    assert going == {3}
    assert stays.tolist() == [0, 1, 2, 3]
    assert formers.find_pruneable_heads_and_indices({1}, 3, 1, ())[1].tolist() == [0, 2]


def test_activations_are_there_by_their_own_names():
    x = torch.linspace(-2, 2, 9)
    assert torch.equal(formers.activations.gelu(x), torch.nn.functional.gelu(x))
    assert torch.equal(formers.activations.linear_act(x), x)


def test_nests_of_predictions_are_joined_with_padding():
    first = {"a": torch.ones(2, 3), "b": (np.ones(2),)}
    joined = formers.nested_concat(first, {"a": torch.zeros(1, 2), "b": (np.zeros(1),)})
    assert joined["a"].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, -100]]
    assert joined["b"][0].tolist() == [1, 1, 0]
    assert not formers.nested_detach([torch.ones(1, requires_grad=True)])[0].requires_grad
    with pytest.raises(TypeError, match="cannot be joined"):
        formers.nested_concat(first, [1])


def test_names_of_parameters_without_norms_and_biases():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    assert formers.get_parameter_names(model, [torch.nn.LayerNorm]) == ["0.weight", "0.bias"]
    assert formers.get_parameter_names(model, formers.ALL_LAYERNORM_LAYERS, ["bias"]) == ["0.weight"]
    assert formers.get_model_param_count(model) == 10


def test_speed_counts_from_the_time_of_day():
    found = formers.speed_metrics("eval", time.time() - 2, num_samples=10)
    assert 1.9 < found["eval_runtime"] < 60
    assert found["eval_samples_per_second"] == pytest.approx(10 / found["eval_runtime"], rel=1e-2)


# decorators


def test_docstrings_are_put_together():
    @formers.add_start_docstrings("Before. ", "Too. ")
    def says():
        """Own."""

    assert says.__doc__ == "Before. Too. Own."

    @formers.replace_return_docstrings(output_type=formers.SequenceClassifierOutput)
    def gives():
        """Own.

        Returns:
        """

    assert "[`SequenceClassifierOutput`]: A record of outputs" in gives.__doc__


def test_an_older_keyword_is_handed_on_under_its_newer_name():
    @formers.deprecate_kwarg("old", version="9", new_name="new")
    def call(new=0):
        return new

    with pytest.warns(FutureWarning, match="'old' is deprecated.*use 'new'"):
        assert call(old=3) == 3


def test_a_tool_becomes_a_schema_and_a_token_is_added():
    def weather(town: str) -> str:
        """Tell the weather.

        Args:
            town: where.
        """

    assert formers.utils.get_json_schema(weather)["function"]["name"] == "weather"
    assert formers.AddedToken("x").content == "x"


def test_the_class_of_every_task_of_pipelines_is_a_name_of_the_package():
    for task in map(formers.pipelines.PIPELINE_REGISTRY.get, formers.pipelines.get_supported_tasks()):
        kind = task.load_class()
        assert getattr(formers, kind.__name__) is kind


def test_there_are_34_tasks_and_all_that_tutorials_name_are_among_them():
    registry = formers.pipelines.PIPELINE_REGISTRY
    assert len(registry.supported_tasks) == 34
    named = (
        "text-classification sentiment-analysis token-classification ner fill-mask zero-shot-classification "
        "text-generation question-answering summarization translation translation_en_to_fr conversational "
        "image-classification image-segmentation object-detection depth-estimation image-to-image "
        "zero-shot-image-classification automatic-speech-recognition audio-classification text-to-audio "
        "zero-shot-audio-classification visual-question-answering vqa document-question-answering "
        "image-to-text zero-shot-object-detection feature-extraction any-to-any"
    )
    for name in named.split():
        assert registry.get(name).load_class(), name


# names that are not there


ABSENT = {
    "text generation is": "ContinuousBatchingConfig ContinuousBatchingManager",
    "this processor of images or audio is": "EomtImageProcessor PeAudioProcessor PilBackend id_to_rgb",
    "quantized loading is": "AqlmConfig EetqConfig VptqConfig",
    "this pipeline is": "DecisionPipeline",
    "this task is": "AutoModelForTimeSeriesPrediction MODEL_FOR_POSE_ESTIMATION_MAPPING",
    "is not among the model families": (
        "FuyuForCausalLM ZambaConfig MoshiModel ReformerForSequenceClassification BitNetModel"
        " "
        "Glm4vConfig DabDetrForObjectDetection"
    ),
    "a family's own parts": "BertOnlyMLMHead MT5Stack DPREncoder",
    "models and trainer are written with": "GenericForSequenceClassification RotaryEmbeddingConfigMixin",
    "AutoTokenizer reads any tokenizer.json": "BertweetTokenizer",
    "parts of slower ones": "SpecialTokensMixin import_protobuf",
    "begin with an underscore": "_LazyModule _expand_mask",
    "use BertModel": "TFBertModel",
    "of Gemma3 this version has .*Gemma3TextConfig": "Gemma3ForTokenClassification",
    "of Bert this version has BertConfig": "BertForObjectDetection",
    "what huggingface_hub, safetensors, torch": "CrossEntropyLoss create_repo",
    "this helper of attention functions is": "flex_attention_mask",
    "this part of converting weights is": "spawn_materialize",
    "'BertAdam' from 'formers'$": "BertAdam",
    "run on PyTorch alone$": "TFGroupViTModel FlaxCLIPProcessor",
}
SAID = [(name, why) for why, names in ABSENT.items() for name in names.split()]


@pytest.mark.parametrize(("name", "why"), SAID, ids=[name for name, _ in SAID])
def test_a_name_that_is_absent_says_what_it_belongs_to(name, why):
    with pytest.raises(ImportError, match=why):
        exec(f"from formers import {name}", {})


def test_reasons_of_absence_agree_with_where_the_ecosystem_has_the_name():
    """Each sentence about a whole room of the ecosystem is given for names of that room alone."""
    transformers = pytest.importorskip("transformers")
    from formers.models.table import OLDER_NAMES
    from formers.names import reason_of_absence

    there = {*formers.__all__, *OLDER_NAMES}

    rooms = {
        "text generation": r"generation",
        "images and audio": r"process|image|feature_ex|video|vision",
        "quantized": r"quantiz|cache_utils",
        "this pipeline": r"pipelines",
        "model families": r"models\.|generation",
        "attention functions": r"masking|modeling_utils",
        "parts of slower ones": r"tokenization|convert_slow|mistral_common",
    }
    wrong, silent, count = [], [], 0
    for name, module in transformers._class_to_module.items():
        if name.startswith("is_") or name in there:
            continue
        count += 1
        why = reason_of_absence(name)
        room = next((pattern for word, pattern in rooms.items() if word in why), "")
        if not re.search(room, module):
            wrong.append(f"{name} of {module}{why[:60]}")
        silent += [name] * (why == "")
    assert count > 1000
    assert not wrong
    assert len(silent) < count / 50, silent  # those get the nearest name


def test_classes_of_layers_are_there_for_policies_that_wrap_them():
    model = formers.LlamaModel(
        formers.LlamaConfig(
            vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
        )
    )
    assert type(model.layers[0]) is formers.LlamaDecoderLayer
    assert formers.BartEncoderLayer is not formers.BartDecoderLayer
    assert issubclass(formers.T5Block, torch.nn.Module)


def test_code_is_not_saved_with_a_class_and_the_refusal_names_the_way_out():
    for kind in (formers.BertConfig, formers.BertModel, formers.BertTokenizer):
        with pytest.raises(NotImplementedError, match=r"no code of checkpoints is run here.*register"):
            kind.register_for_auto_class()


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_a_seed_that_is_none_is_refused_before_anything_is_seeded(seed):
    formers.set_seed(np.int64(3))
    expected = torch.rand(1)
    formers.set_seed(3)
    with pytest.raises(ValueError, match="a seed is an integer from 0"):
        formers.set_seed(seed)
    assert torch.equal(torch.rand(1), expected)
