"""How tests run the `formers` command: in this process, or in one of its own."""

from __future__ import annotations

import csv
import io
import re
import shlex
import subprocess
import sys
import warnings

import pytest

import tiny
from formers.cli import main


def in_this_process(capsys, monkeypatch):
    """A function that runs the command and gives (exit status, standard output, standard error)."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command replaces it

    def run(*arguments, stdin=None):
        if isinstance(stdin, bytes):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        elif stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    return run


def check_commands(text, capsys):
    """Commands that a page names at the beginning of lines exist, with their options; gives the lines."""
    lines = re.findall(r"^(?:    )?(formers .*)$", text, re.MULTILINE)
    shown = {}
    for line in lines:
        words = shlex.split(line.split(" #")[0])
        command = tuple(words[1:3] if words[1] in ("golden", "drift", "registry") else words[1:2])
        if command not in shown:
            with pytest.raises(SystemExit) as stop:
                main([*command, "--help"])
            assert not stop.value.code, line
            shown[command] = capsys.readouterr().out
        for word in words:
            if word.startswith("--"):
                assert re.search(rf"{word}\b", shown[command]), f"{line}: no {word}"
    return lines


def process(*arguments, **options):
    """The command as a process of its own, its output on pipes."""
    command = [sys.executable, "-m", "formers", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def write_table(path, rows):
    """Write (text, label) rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    return path


def train_options(folder, each=150):
    """`formers train` on a tiny encoder and table in `folder`, which it makes."""
    tiny.save_encoder(folder / "encoder")
    data = write_table(folder / "data.csv", tiny.tickets(each))
    options = ["train", "-m", folder / "encoder", "-d", data, "-o", folder / "router", "--no-bf16"]
    more = ["--learning-rate", "2e-3", "--batch-size", "16", "--validation-size", "0.3", "--device", "cpu"]
    return [*options, *more]
