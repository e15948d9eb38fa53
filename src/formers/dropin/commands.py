"""The commands `transformers`, `transformers-cli`, `huggingface-cli` and `optimum-cli`, as today's.

    python -m formers.dropin transformers-cli env

`python -m formers.dropin --install-pth` puts them beside the interpreter, where no others are.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence

from formers.core.notices import did_you_mean
from formers.core.older_names import TABLE, Older
from formers.dropin import optimum_command

# options of `transformers chat` and `transformers serve` -> the same one today
_OPTIONS = {
    "--model-name-or-path": "--model",
    "--system-prompt": "--system",
    "--torch-dtype": "--dtype",
}
# options that change nothing here -> why
_NO_EFFECT = {
    "--task": "the task follows from the model",
    "--trust-remote-code": "no code is loaded from checkpoints",
}
_FLAGS = ("--trust-remote-code",)
_OTHER_FRAMEWORKS = ("*.h5", "*.msgpack", "*.ckpt*", "*.onnx", "*.tflite", "*.mlmodel", "*.ot")


def programs() -> tuple[str, ...]:
    """The names of the commands."""
    return (*dict.fromkeys(row.where for row in _rows()), optimum_command.PROGRAM)


def main(program: str, arguments: Sequence[str] | None = None) -> int:
    """Run one of them as what it means today.

    Args:
        program: its name.
        arguments: what follows; None for the rest of the command line.

    Returns:
        The status to end with: 2 where there is no such command.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given else ""
    if name in ("version", "--version"):
        from formers.dropin.packages import accepted_version, checked_version

        print(checked_version(None) or accepted_version())
        return 0
    if program == optimum_command.PROGRAM:
        if name != "env":
            return optimum_command.main(given)
        program = "transformers-cli"
    row = next((one for one in _rows() if one.where == program and one.old == name), None)
    if row is None:
        known = [one.old for one in _rows() if one.where == program]
        said = f"{program} {name}".strip()
        print(
            f"{said}: formers has {', '.join(known)} of {program}{did_you_mean(name, known)}", file=sys.stderr
        )
        return 0 if name in ("", "-h", "--help") else 2
    if name == "download" and program != "huggingface-cli":
        return _download(given[1:])
    try:
        command = translated(row, given[1:])
    except ValueError as error:
        print(f"{program} {name}: {error}", file=sys.stderr)
        return 2
    print(f"{program} {name} is {shlex.join(command[: len(row.new.split())])} today", file=sys.stderr)
    return _run(command)


def translated(row: Older, rest: Sequence[str]) -> list[str]:
    """The command line of today for the arguments of an older one.

    Raises:
        ValueError: for what is not done any more.
    """
    command = row.new.split()
    if command[0] != "formers" or command[1] not in ("chat", "serve"):
        return [*command, *rest]
    return [*command, *_options(command[1], rest)]


def _options(name: str, rest: Sequence[str]) -> list[str]:
    found: list[str] = []
    words = list(rest)
    while words:
        word = words.pop(0)
        option, _, value = word.partition("=")
        option = option.replace("_", "-") if option.startswith("--") else option
        if option in _NO_EFFECT:
            if option not in _FLAGS and not value and words:
                words.pop(0)
            print(f"{option} has no effect: {_NO_EFFECT[option]}. Leave it out.", file=sys.stderr)
        elif option == "--model-name-or-path" or (option == "--model" and name == "chat"):
            found.insert(0, value or (words.pop(0) if words else ""))
        elif option.startswith("--"):
            found.append(_OPTIONS.get(option, option) + (f"={value}" if value else ""))
        elif name == "chat" and re.match(r"https?://", word):
            raise ValueError(f"formers chat runs the model itself and asks no server such as {word}")
        elif name == "chat" and re.fullmatch(r"\w+=\S*", word):
            found += ["--set", word]
        else:
            found.append(word)
    return found


def _download(rest: Sequence[str]) -> int:
    """The files of a model and its tokenizer into the cache; says where they lie."""
    import argparse

    parser = argparse.ArgumentParser("transformers download")
    parser.add_argument("model_id", help="owner/name on the Hub")
    parser.add_argument("--cache-dir", "--cache_dir", help="folder of the cache")
    parser.add_argument("--force-download", "--force", action="store_true", help="also what is there already")
    parser.add_argument("--trust-remote-code", "--trust_remote_code", action="store_true", help="no effect")
    given = parser.parse_args(list(rest))
    if given.trust_remote_code:
        print("--trust-remote-code has no effect: no code is loaded from checkpoints", file=sys.stderr)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = snapshot_download(
            given.model_id,
            cache_dir=given.cache_dir,
            force_download=given.force_download,
            ignore_patterns=list(_OTHER_FRAMEWORKS),
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        print(f"{given.model_id} cannot be downloaded: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    print(folder)
    return 0


def _run(command: Sequence[str]) -> int:
    """Run a command of formers or of the Hub's client in this process."""
    sys.argv = list(command)
    try:
        if command[0] == "formers":
            from formers.__main__ import main as run
        else:
            from huggingface_hub.cli.hf import main as run
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _rows() -> list[Older]:
    return [one for one in TABLE if one.kind == "command"]
