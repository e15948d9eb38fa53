"""`formers doctor`, and the table of older names that it speaks from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import formers
from formers.core.older_names import NOTICED, REFUSED, SAME
from formers.dropin.doctor import Finding, examine
from formers.dropin.spellings import markdown, table

SOURCE = """\
import os, transformers
from transformers import AdamW, BertModel, TFBertModel, Trainer
from transformers.trainer_utils import set_sed, set_seed
import transformers.models.zamba
from transformers import TrainingArguments
try:
    from transformers import JukeboxModel
except ImportError:
    JukeboxModel = None
os.environ["TRANSFORMERS_CACHE"] = "/models"
TrainingArguments("x", evaluation_strategy="no", past_index=3, sharded_ddp=True, learning_rat=1)
tokenizer = transformers.AutoTokenizer.from_pretrained("bert", use_auth_token=True, from_tf=True)
tokenizer.encode_plus("a", return_tensors="tf")
transformers.utils.logging.set_verbosity_error()
transformers.pipeline("sumarization")
transformers.pipeline(task="ner")
import datasets, numpy
"""


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Finding]:
    (tmp_path / "a.py").write_text(SOURCE)
    return {one.name: one for one in examine(tmp_path).findings}


def test_what_is_there_is_told_from_what_is_not(found: dict[str, Finding]) -> None:
    there = {name for name, one in found.items() if one.state == "there"}
    assert {
        "transformers.BertModel",
        "transformers.Trainer",
        "transformers.trainer_utils.set_seed",
        "transformers.utils.logging.set_verbosity_error",
        "pipeline('ner')",
    } <= there
    absent = {name for name, one in found.items() if one.state == "absent"}
    assert absent == {
        "TrainingArguments(learning_rat=)",
        "TrainingArguments(past_index=)",
        "TrainingArguments(sharded_ddp=)",
        "from_pretrained(from_tf=)",
        "pipeline('sumarization')",
        "return_tensors='tf'",
        "transformers.TFBertModel",
        "transformers.JukeboxModel",
        "transformers.models.zamba",
        "transformers.trainer_utils.set_sed",
    }


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("transformers.TFBertModel", 2, "PyTorch alone; use BertModel"),
        ("transformers.trainer_utils.set_sed", 3, "did you mean 'set_seed'"),
        ("transformers.AdamW", 2, "torch.optim.AdamW"),
        ("TRANSFORMERS_CACHE", 10, "HF_HOME"),
        ("TrainingArguments(evaluation_strategy=)", 11, "eval_strategy"),
        ("TrainingArguments(learning_rat=)", 11, "did you mean 'learning_rate'"),
        ("from_pretrained(use_auth_token=)", 12, "token"),
        ("tokenizer.encode_plus", 13, "call the tokenizer"),
        ("pipeline('sumarization')", 15, "did you mean 'summarization'"),
    ],
)
def test_it_says_where_and_what_to_type_instead(
    found: dict[str, Finding], name: str, line: int, said: str
) -> None:
    assert (found[name].line, found[name].file) == (line, "a.py")
    assert said in found[name].why


def test_what_a_source_can_do_without_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "try:\n    from transformers import JukeboxModel\nexcept ImportError:\n    pass\n"
    )
    report = examine(tmp_path)
    assert report.findings[0].guarded
    assert report.exit_status == 0
    (tmp_path / "b.py").write_text("from transformers import JukeboxModel\n")
    assert examine(tmp_path).exit_status == 1


def test_notebooks_and_shell_scripts_are_read(tmp_path: Path) -> None:
    cell = {
        "cell_type": "code",
        "source": ["!transformers-cli env\n", "from transformers import TFBertModel\n"],
    }
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [cell]}))
    (tmp_path / "Dockerfile").write_text("RUN huggingface-cli login --token x\n")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "b.py").write_text("import transformers.nothing\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    report = examine(tmp_path)
    assert report.files == 3
    said = {one.name: one.why for one in report.findings}
    assert said["transformers-cli env"].startswith("type: formers env;")
    assert said["huggingface-cli login"].startswith("type: hf auth login;")
    assert "transformers.TFBertModel" in said
    assert "cannot be read" in said["broken.py"]


def test_the_command_answers_people_and_machines(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    asked = [sys.executable, "-m", "formers", "doctor", str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "absent: transformers.TFBertModel (a.py:2)\n    models run on PyTorch alone" in done.stdout
    assert "absent, but guarded: transformers.JukeboxModel" in done.stdout
    answer = json.loads(
        subprocess.run([*asked, "--json"], capture_output=True, text=True, timeout=120).stdout
    )
    assert answer["counts"]["absent"] == 10
    assert {"file", "line", "name", "kind", "state", "why", "guarded"} == set(answer["findings"][0])


def test_every_class_and_method_of_the_table_is_there() -> None:
    owners = {"tokenizer": formers.PreTrainedTokenizerFast, "model": formers.PreTrainedModel, "": formers}
    for one in table():
        if one.kind in ("class", "function", "method"):
            assert hasattr(owners[one.where], one.old), one


@pytest.mark.parametrize(
    "one", [one for one in table() if one.where == "TrainingArguments"], ids=lambda one: one.old
)
def test_keywords_of_training_do_what_the_table_says(one: object, tmp_path: Path) -> None:
    from typing import Any, cast

    row = cast(Any, one)
    values: dict[str, Any] = {
        "evaluation_strategy": "no", "fp16_opt_level": "O2", "fp16_backend": "apex",
        "half_precision_backend": "apex", "tpu_num_cores": 8, "past_index": 3, "mp_parameters": "x",
        "n_gpu": 4, "per_gpu_train_batch_size": 2, "per_gpu_eval_batch_size": 2, "torchdynamo": "inductor",
        "push_to_hub_token": "t", "push_to_hub_model_id": "m", "push_to_hub_organization": "o",
        "xpu_backend": "gloo",
    }  # fmt: skip
    asked = {row.old: values.get(row.old, True)}
    if row.done == REFUSED:
        with pytest.raises(ValueError, match=row.old):
            formers.TrainingArguments(str(tmp_path), **asked)
    elif row.done == NOTICED:
        from formers.core.notices import Notice, forget_notices

        forget_notices()
        with pytest.warns(Notice, match=row.old):
            formers.TrainingArguments(str(tmp_path), **asked)
    else:
        assert row.done == SAME
        formers.TrainingArguments(str(tmp_path), **asked)


def test_older_variables_name_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from formers.hub.cache import default_cache

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    for one in table():
        if one.kind == "variable" and one.where == "HF_HUB_CACHE":
            monkeypatch.setenv(one.old, f"/of/{one.old}")
            assert default_cache() == Path(f"/of/{one.old}")
            monkeypatch.delenv(one.old)
    assert os.environ.get("TRANSFORMERS_CACHE") is None


def test_the_table_is_a_page_of_the_documentation() -> None:
    text = markdown()
    assert (
        "| TrainingArguments | `evaluation_strategy` | eval_strategy | 5.0 | works, means the newer |" in text
    )
