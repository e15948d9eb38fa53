"""Names that packages of the ecosystem import, each by what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import formers
from formers.core.notices import Notice, forget_notices


def test_files_that_a_checkpoint_s_code_needs_are_read_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import torch, numpy.linalg\nfrom .b import x\n"
        "try:\n    import flash_attn\nexcept ImportError:\n    pass\n"
    )
    (tmp_path / "b.py").write_text("from . import c\nfrom .a import y\nraise SystemExit('was run')\n")
    (tmp_path / "c.py").write_text("import nothing_of_the_kind\n")
    assert formers.get_relative_imports(tmp_path / "a.py") == ["b"]
    found = formers.get_relative_import_files(tmp_path / "a.py")
    assert [Path(one).name for one in found] == ["b.py", "c.py"]
    assert formers.get_imports(tmp_path / "a.py") == ["numpy", "torch"]
    assert formers.check_imports(tmp_path / "a.py") == ["b"]
    with pytest.raises(ImportError, match="pip install nothing_of_the_kind"):
        formers.check_imports(tmp_path / "c.py")


def test_a_checkpoint_s_code_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"never run here.*AutoModel\.register"):
        formers.get_class_from_dynamic_module("modeling.Own", str(tmp_path))
    with pytest.raises(ValueError, match="never run here"):
        formers.resolve_trust_remote_code(True, "owner/name", has_local_code=False, has_remote_code=True)
    forget_notices()
    with pytest.warns(Notice, match="no effect for owner/name"):
        assert not formers.resolve_trust_remote_code(True, "owner/name", True, True)
    assert not formers.resolve_trust_remote_code(None, "owner/name", True, False)


def test_a_config_of_ones_own_is_put_into_the_map() -> None:
    from formers import auto

    class OwnConfig(formers.PretrainedConfig):
        model_type = "own-of-the-map"

    try:
        formers.CONFIG_MAPPING.update({"own-of-the-map": OwnConfig})
        assert formers.CONFIG_MAPPING["own-of-the-map"] is OwnConfig
        assert type(formers.AutoConfig.for_model("own-of-the-map")) is OwnConfig
    finally:
        del auto._own_configs["own-of-the-map"]
    with pytest.raises(NotImplementedError, match="follows from what is registered"):
        formers.CONFIG_MAPPING_NAMES["x"] = "XConfig"


def test_a_collator_of_ones_own_answers_in_the_form_that_is_asked_for() -> None:
    class Own(formers.DataCollatorMixin):
        def torch_call(self, examples: Any) -> Any:
            return torch.tensor(examples)

    assert torch.equal(Own()([1, 2]), torch.tensor([1, 2]))
    with pytest.raises(NotImplementedError, match="Own has no numpy_call"):
        Own()([1, 2], return_tensors="np")
    with pytest.raises(ValueError, match="'tf' is not known"):
        Own()([1, 2], return_tensors="tf")


def test_rows_become_a_table_of_markdown() -> None:
    table = formers.make_markdown_table([{"Loss": 0.5, "Epoch": 1}, {"Loss": 0.25, "Epoch": 2}])
    assert table == "| Loss | Epoch |\n|---|---|\n| 0.5 | 1 |\n| 0.25 | 2 |\n"
    assert formers.make_markdown_table([]) == ""


def test_an_adapter_s_config_is_found_in_a_folder(tmp_path: Path) -> None:
    assert formers.find_adapter_config_file(str(tmp_path)) is None
    (tmp_path / "adapter_config.json").write_text("{}")
    assert formers.find_adapter_config_file(str(tmp_path)) == str(tmp_path / "adapter_config.json")
    assert issubclass(formers.BertModel, formers.PeftAdapterMixin)


def test_tags_of_a_model_stand_on_its_card(tmp_path: Path) -> None:
    shape = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    model = formers.BertModel(formers.BertConfig(vocab_size=9, **shape))
    model.add_model_tags(["sft", "own"])
    model.add_model_tags("own")
    assert model.model_tags == ["sft", "own"]
    model.save_pretrained(tmp_path, tags="given")
    head = (tmp_path / "README.md").read_text().split("---")[1]
    assert [tag in head for tag in ("sft", "own", "given")] == [True] * 3


def test_fields_of_ones_own_are_read_from_json(tmp_path: Path) -> None:
    from dataclasses import dataclass

    @dataclass
    class Own(formers.TrainingArguments):
        _VALID_DICT_FIELDS = [*formers.TrainingArguments._VALID_DICT_FIELDS, "own"]  # noqa: RUF012
        own: dict[str, Any] | str | None = None

    assert Own(str(tmp_path), own='{"a": 1}').own == {"a": 1}
    assert Own(str(tmp_path), own="a word").own == "a word"


def test_an_optimizer_s_keywords_may_bring_its_groups() -> None:
    from formers.training.optim.optimizers import made

    weight = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [weight], "lr": 0.5}]
    found = made(
        (torch.optim.SGD, {"lr": 0.1, "optimizer_dict": groups}), [{"params": [torch.nn.Parameter()]}]
    )
    assert found.param_groups[0]["params"][0] is weight
    assert found.param_groups[0]["lr"] == 0.5


def test_tensors_of_one_process_are_gathered_as_they_are() -> None:
    nest = {"a": torch.ones(2), "b": [torch.zeros(())]}
    assert formers.nested_gather(nest) is nest


def test_what_is_missing_is_said_in_the_ecosystem_s_words() -> None:
    from formers.utils import import_utils

    assert "pip install nltk" in import_utils.NLTK_IMPORT_ERROR.format("Own")
    with pytest.raises(ImportError):
        exec("from formers.utils.import_utils import NOTHING_OF_THE_KIND_IMPORT_ERROR")
    assert formers.deepspeed_config() is None
    assert set(formers.get_available_reporting_integrations()) <= {
        "tensorboard",
        "wandb",
        "mlflow",
        "trackio",
    }
    assert np.all([name in formers.default_logdir() for name in ("runs", "_")])


@pytest.mark.parametrize("name", ["BertModel", "BertForSequenceClassification", "T5ForConditionalGeneration"])
def test_a_family_s_classes_are_of_its_base(name: str) -> None:
    base = f"{'T5' if name.startswith('T5') else 'Bert'}PreTrainedModel"
    assert issubclass(getattr(formers, name), getattr(formers, base))
    assert not issubclass(getattr(formers, name), formers.GPT2PreTrainedModel)
