"""A command line from dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Optional, Union

import pytest

from formers import HfArg, HfArgumentParser, TrainingArguments


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Model:
    name: str
    max_length: int = 128
    rate: float = 0.1
    lower: bool = False
    shuffle: bool = True
    perhaps: Optional[bool] = None  # noqa: UP045  (older scripts write it so)
    colour: Colour = "red"
    mode: Literal["fast", "slow", 3] = "fast"
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    words: list[str] | None = None
    either: Union[int, str] = 5  # noqa: UP007
    settings: dict | str | None = HfArg(default=None, aliases=["--set", "-s"], help="as 100 % JSON")
    made: int = field(default=0, init=False)


@dataclass
class Data:
    path: str = "data"


def read(line, *kinds, **options):
    return HfArgumentParser(kinds or (Model,)).parse_args_into_dataclasses(line.split(), **options)


def test_every_field_has_its_option_and_its_default():
    (found,) = read("--name x")
    assert found == Model("x")
    (found,) = read(
        "--name x --max-length 5 --rate 1e-3 --lower --no_shuffle --perhaps yes --colour blue --mode 3 "
        "--sizes 4 5 6 --words a b --either seven"
    )
    assert (found.max_length, found.rate, found.lower, found.shuffle, found.perhaps) == (
        5,
        1e-3,
        True,
        False,
        True,
    )
    assert (found.colour, found.mode, found.sizes, found.words, found.either) == (
        "blue",
        3,
        [4, 5, 6],
        ["a", "b"],
        "seven",
    )


def test_a_switch_takes_a_word_too_and_numbers_of_a_union_stay_numbers():
    (found,) = read("--name x --lower false --shuffle no --either 7")
    assert (found.lower, found.shuffle, found.either) == (False, False, 7)


def test_other_names_of_a_field_and_json_for_a_dictionary():
    assert read('--name x -s {"a":1}')[0].settings == {"a": 1}
    assert read("--name x --set plain")[0].settings == "plain"


@pytest.mark.parametrize("line", ["", "--name x --colour green", "--name x --mode 4", "--name x --rate much"])
def test_what_does_not_fit_ends_with_the_usage(line, capsys):
    with pytest.raises(SystemExit):
        read(line)
    assert "usage:" in capsys.readouterr().err


def test_help_shows_texts_and_defaults(capsys):
    with pytest.raises(SystemExit):
        HfArgumentParser(Data).parse_args_into_dataclasses(["--help"])
    assert "--path PATH" in capsys.readouterr().out


def test_several_dataclasses_options_of_ones_own_and_words_that_are_left():
    parser = HfArgumentParser((Model, Data))
    parser.add_argument("--extra", type=int, default=0)
    model, data, own, rest = parser.parse_args_into_dataclasses(
        ["--name", "x", "--path", "p", "--extra", "3", "--strange", "1"], return_remaining_strings=True
    )
    assert (model.name, data.path, own.extra, rest) == ("x", "p", 3, ["--strange", "1"])
    with pytest.raises(ValueError, match="belong to no option.*--strange"):
        parser.parse_args_into_dataclasses(["--name", "x", "--strange", "1"])


def test_dictionaries_json_and_yaml_are_read_like_the_command_line(tmp_path):
    values = {"name": "x", "max_length": 7, "path": "p"}
    parser = HfArgumentParser((Model, Data))
    wanted = (Model("x", max_length=7), Data("p"))
    assert parser.parse_dict(values) == wanted
    (tmp_path / "a.json").write_text(json.dumps(values))
    assert parser.parse_json_file(tmp_path / "a.json") == wanted
    (tmp_path / "a.yaml").write_text("name: x\nmax_length: 7\npath: p\n")
    assert parser.parse_yaml_file(str(tmp_path / "a.yaml")) == wanted
    with pytest.raises(ValueError, match=r"fields of none.*\['other'\]"):
        parser.parse_dict({**values, "other": 1})
    assert parser.parse_dict({**values, "other": 1}, allow_extra_keys=True) == wanted


def test_words_of_files_come_before_those_of_the_line(tmp_path):
    (tmp_path / "one.args").write_text("--name file --max_length 3")
    (tmp_path / "two.args").write_text("--rate 0.5")
    (found,) = read("--max_length 4", args_filename=str(tmp_path / "one.args"))
    assert (found.name, found.max_length) == ("file", 4)
    line = f"--config {tmp_path / 'one.args'} --config {tmp_path / 'two.args'} --name line"
    (found,) = read(line, args_file_flag="--config", look_for_args_file=False)
    assert (found.name, found.max_length, found.rate) == ("line", 3, 0.5)


def test_the_arguments_of_a_training_can_be_given_on_a_command_line(tmp_path):
    line = f"--output_dir {tmp_path} --learning_rate 3e-4 --eval_strategy epoch --use_cpu --report_to none"
    data, args = read(line, Data, TrainingArguments)
    assert (args.learning_rate, str(args.eval_strategy), args.use_cpu, args.report_to) == (
        3e-4,
        "epoch",
        True,
        [],
    )
    assert data == Data()


def test_what_is_no_dataclass_is_refused():
    with pytest.raises(TypeError, match="takes dataclasses"):
        HfArgumentParser([int])


def test_several_values_come_in_the_container_that_the_field_names():
    @dataclass
    class Sizes:
        pair: tuple[int, int] = (1, 2)
        names: set[str] = field(default_factory=set)

    Sizes.__annotations__ = {"pair": tuple[int, int], "names": set[str]}
    found = HfArgumentParser(Sizes).parse_args_into_dataclasses(["--pair", "3", "4", "--names", "a", "a"])
    assert found == (Sizes((3, 4), {"a"}),)


def test_a_word_of_another_type_is_refused_with_the_type_that_is_wanted(capsys):
    with pytest.raises(SystemExit):
        HfArgumentParser(Model).parse_args_into_dataclasses(["--name", "n", "--max_length", "x"])
    assert "argument --max_length/--max-length: 'x' is no int" in capsys.readouterr().err


def test_keywords_of_other_releases_are_options_too():
    line = (
        "--output_dir x --evaluation_strategy epoch --no_cuda --per_gpu_train_batch_size 4 --group_by_length "
        "--adafactor --overwrite_output_dir --past_index -1 --fp16_opt_level O1 --load_best_model_at_end "
        "--use-mps-device false"
    )
    with pytest.warns(match="overwrite_output_dir=True has no effect"):
        (found,) = read(line, TrainingArguments)
    assert (found.eval_strategy, found.use_cpu, found.per_device_train_batch_size) == ("epoch", True, 4)
    assert (found.train_sampling_strategy, found.optim) == ("group_by_length", "adafactor")
    assert (found.overwrite_output_dir, found.use_mps_device, found.half_precision_backend) == (
        True,
        False,
        "auto",
    )
    assert found.save_strategy == "epoch"  # it was not said, so that it follows
    with pytest.raises(ValueError, match="TPUs are not supported"):
        read("--output_dir x --tpu_num_cores 8", TrainingArguments)
    parsed = HfArgumentParser(TrainingArguments).parse_dict({"output_dir": "x", "evaluation_strategy": "no"})
    assert parsed[0].eval_strategy == "no"


def test_what_a_command_line_says_follows_nothing():
    line = "--output_dir x --eval_strategy epoch --load_best_model_at_end --save_strategy steps"
    with pytest.raises(ValueError, match="save"):
        read(line, TrainingArguments)
