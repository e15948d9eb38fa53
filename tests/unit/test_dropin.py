"""`import transformers` that means formers: what is found, what is refused, how both stand side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import formers
from formers import dropin
from formers.dropin import commands, environment
from formers.dropin.packages import VERSIONS

ABSENT = [
    ("from transformers import BertModl", ImportError, "from 'transformers'; did you mean 'BertModel'"),
    ("from transformers import TFBertModel", ImportError, "PyTorch alone; use BertModel"),
    ("from transformers.trainer_utils import set_sed", ImportError, "did you mean 'set_seed'"),
    ("import transformers.models.zamba", ImportError, "this model family is not part"),
    ("import transformers.nothing_of_the_kind", ImportError, "formers doctor"),
    (
        "import transformers; transformers.Nothing",
        AttributeError,
        "'transformers' has no attribute 'Nothing'",
    ),
    ("import transformers; transformers.jobs", AttributeError, "has no attribute 'jobs'"),
    ("from peft import XLoraConfig", ImportError, "cannot import name 'XLoraConfig' from 'peft'"),
    ("import peft.tuners.xlora", ImportError, "adapters in formers have"),
    ("import optimum.intel", ImportError, "of optimum, formers has exporters.onnx"),
]


@pytest.fixture
def everything():
    with dropin.using("4.57.6", dropin.PACKAGES):
        yield


def python(code: str, *options: str, **settings: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **settings},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from transformers import AutoModel as found", "AutoModel"),
        ("from transformers.utils import is_torch_available as found", "is_torch_available"),
        ("from transformers.utils.logging import get_logger as found", "get_logger"),
        ("from transformers.modeling_outputs import BaseModelOutput as found", "BaseModelOutput"),
        ("from transformers.models.bert.modeling_bert import BertModel as found", "BertModel"),
        ("from transformers.models.auto import AutoConfig as found", "AutoConfig"),
        ("from transformers.pipelines.pt_utils import KeyDataset as found", "KeyDataset"),
        ("from transformers.pipelines import pipeline as found", "pipeline"),
        ("from transformers.generation import LogitsProcessor as found", "LogitsProcessor"),
        ("from transformers.generation.streamers import TextStreamer as found", "TextStreamer"),
        ("from transformers.generation.utils import GenerationMixin as found", "GenerationMixin"),
        ("import transformers.trainer_utils as m; found = m.set_seed", "set_seed"),
        ("import transformers as m; found = m.models.gpt2.GPT2Config", "GPT2Config"),
        ("from peft import LoraConfig as found", "LoraConfig"),
        ("from peft.tuners.lora import LoraLayer as found", "LoraLayer"),
        ("from peft.utils import get_peft_model_state_dict as found", "get_peft_model_state_dict"),
    ],
)
def test_a_name_of_the_ecosystem_is_the_one_of_formers(everything, line, name):
    held: dict[str, object] = {}
    exec(line, held)
    assert held["found"] is getattr(formers, name)


@pytest.mark.parametrize(("line", "kind", "said"), ABSENT)
def test_a_name_that_is_not_there_is_refused_with_a_reason(everything, line, kind, said):
    with pytest.raises(kind, match=said):
        exec(line, {})


def test_who_asks_whether_a_module_is_there_gets_an_answer(everything):
    from importlib.util import find_spec

    assert find_spec("transformers.utils") is not None
    assert find_spec("transformers.nothing_of_the_kind") is None
    assert find_spec("optimum.onnxruntime") is not None
    assert find_spec("optimum.intel") is None


def test_a_star_import_and_dir_bring_the_public_names(everything):
    held: dict[str, object] = {}
    exec("from transformers import *", held)
    assert held["Trainer"] is formers.Trainer
    assert {"Trainer", "AutoModel"} <= set(dir(__import__("transformers")))


def test_the_version_is_the_chosen_one_wherever_it_is_asked_for():
    code = (
        "import formers.dropin; formers.dropin.install({})\n"
        "import transformers, importlib.metadata as m\n"
        "print(transformers.__version__, m.version('transformers'), m.metadata('transformers')['Name'])"
    )
    assert python(code.format("'4.44.0'")) == "4.44.0 4.44.0 transformers"
    assert python(code.format(""), FORMERS_DROPIN_VERSION="5.16.1") == "5.16.1 5.16.1 transformers"
    assert python(code.format("")).split()[0] in VERSIONS
    with pytest.raises(ValueError, match="no version such as"):
        dropin.install("latest")
    with pytest.raises(ValueError, match="not for 'peftt'; did you mean 'peft'"):
        dropin.install(packages=["peftt"])


def test_the_default_version_is_one_that_the_installed_packages_accept(tmp_path):
    for number, limits in enumerate([">=5.0,<6", ">=4.41", "<5.20"]):
        folder = tmp_path / f"one{number}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Name: one{number}\nVersion: 1.0\nRequires-Dist: transformers{limits}\n"
        )
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]\n"
        "import formers.dropin; formers.dropin.install()\n"
        "import transformers; print(transformers.__version__)"
    )
    # packages of the environment itself count too; none of them refuses what these three agree on
    assert python(code) == "5.16.1"


def test_nothing_is_loaded_before_it_is_used():
    code = (
        "import sys, formers.dropin; formers.dropin.install()\n"
        "import transformers, transformers.utils\n"
        "from transformers import AutoTokenizer, logging\nprint('torch' in sys.modules)"
    )
    assert python(code) == "False"


def test_the_real_package_is_there_again_and_keeps_its_modules():
    code = (
        "import transformers as real, formers, formers.dropin, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "formers.dropin.install(packages=['transformers'])\n"
        "import transformers; assert transformers.BertModel is formers.BertModel\n"
        "formers.dropin.uninstall()\n"
        "import transformers; assert transformers is real\n"
        "assert transformers.BertModel is not formers.BertModel; print(transformers.BertModel.__module__)"
    )
    assert python(code) == "transformers.models.bert.modeling_bert"


def test_what_was_imported_before_is_said():
    import sys as system

    from formers.core.notices import Notice, forget_notices

    forget_notices()
    system.modules.setdefault("optimum", type(system)("optimum"))
    with pytest.warns(Notice, match="install first"):
        dropin.install(packages=["optimum"])
    dropin.uninstall()
    assert system.modules.pop("optimum")


def test_peft_stands_for_itself_where_it_is_installed():
    assert formers.dropin.packages.wanted_packages(None) == ("transformers", "optimum")


def test_datasets_gets_back_what_old_scripts_take_from_it(everything):
    import datasets

    assert datasets.load_metric("accuracy").compute(predictions=[1, 0], references=[1, 1]) == {
        "accuracy": 0.5
    }
    dropin.uninstall()
    assert not hasattr(datasets, "load_metric")


def test_a_script_runs_unchanged_and_so_does_what_it_starts(tmp_path):
    script = tmp_path / "old.py"
    script.write_text(
        "import sys, subprocess, transformers, beside\n"
        "child = 'import transformers; print(transformers.__version__, transformers.AutoModel.__module__)'\n"
        "print(__name__, sys.argv[1:], transformers.AutoModel.__module__, flush=True)\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    (tmp_path / "beside.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "formers.dropin", "--version", "4.40.0", script, "--lr", "1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["__main__ ['--lr', '1'] formers.auto", "4.40.0 formers.auto"], (
        done.stderr
    )
    for words, said in (
        (["-c", "import transformers; print(transformers.AutoModel.__module__)"], "formers.auto"),
        (["-m", "platform"], ""),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "formers.dropin", *words], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0
        assert said in done.stdout


def test_a_script_that_is_not_there_is_a_usage_error():
    done = subprocess.run(
        [sys.executable, "-m", "formers.dropin", "nowhere.py"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "there is no file nowhere.py" in done.stderr


def test_an_environment_that_always_begins_so(tmp_path):
    written = environment.install_pth("4.57.6", tmp_path)
    code = f"import site, sys; site.addsitedir({str(tmp_path)!r})\n"
    assert python(code + "print('formers' in sys.modules)") == "False"
    assert python(code + "import transformers; print(transformers.AutoModel.__module__)") == "formers.auto"
    assert (
        "transformers-4.57.6.dist-info/METADATA"
        in (tmp_path / "transformers-4.57.6.dist-info/RECORD").read_text()
    )
    assert set(written) <= set(environment.remove_pth(tmp_path))
    assert not list(tmp_path.iterdir())
    (tmp_path / "transformers").mkdir()
    with pytest.raises(FileExistsError, match="pip uninstall transformers first"):
        environment.install_pth("4.57.6", tmp_path)
    assert environment.remove_pth(Path(tmp_path)) == []


@pytest.mark.parametrize(
    ("program", "line", "today"),
    [
        ("transformers-cli", "env --json", "formers env --json"),
        ("transformers-cli", "serve --task ner --model m --port 1", "formers serve --model m --port 1"),
        ("transformers", "chat m temperature=0.5 --system_prompt=hi", "formers chat m --set temperature=0.5"),
        ("transformers", "chat --model_name_or_path m", "formers chat m"),
        ("huggingface-cli", "login --token t", "hf auth login --token t"),
    ],
)
def test_an_older_command_is_one_of_today(program, line, today, monkeypatch):
    ran: list[list[str]] = []
    monkeypatch.setattr(commands, "_run", lambda command: ran.append(command) or 0)
    assert commands.main(program, line.split()) == 0
    assert " ".join(ran[0]).startswith(today)


def test_a_command_of_today_runs_under_the_older_name(capsys):
    assert commands.main("transformers-cli", ["env", "--json"]) == 0
    assert '"python"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "line", "why"),
    [
        ("transformers-cli", "evn", "did you mean 'env'"),
        ("transformers", "chat m http://localhost:8000/v1", "asks no server"),
    ],
)
def test_a_command_that_is_not_done_says_what_there_is(program, line, why, capsys):
    assert commands.main(program, line.split()) == 2
    assert why in capsys.readouterr().err


def test_commands_are_put_beside_the_interpreter_and_taken_away(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "transformers").write_text("somebody else's")
    written = environment.install_pth("4.57.6", tmp_path)
    assert tmp_path / "bin" / "transformers-cli" in written
    done = subprocess.run(
        [tmp_path / "bin" / "transformers-cli", "--help"], capture_output=True, text=True, timeout=120
    )
    assert "env" in done.stderr
    environment.remove_pth(tmp_path)
    assert [one.name for one in (tmp_path / "bin").iterdir()] == ["transformers"]


def test_keywords_for_several_readers_are_left_out_and_that_is_said(tmp_path):
    formers.BertConfig(hidden_size=24, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="span_length"):
        formers.AutoConfig.from_pretrained(tmp_path, span_length=8)
    with dropin.using("4.57.6", dropin.PACKAGES), pytest.warns(UserWarning, match="span_length.*left out"):
        config = formers.AutoConfig.from_pretrained(tmp_path, span_length=8)
    assert config.hidden_size == 24
    with pytest.raises(TypeError, match="span_length"):
        formers.AutoConfig.from_pretrained(tmp_path, span_length=8)
