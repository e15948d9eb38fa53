"""`python -m formers.dropin script.py args...`: a script for the ecosystem runs on formers, unchanged."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence

USAGE = """python -m formers.dropin [--version V] [--packages A,B] script.py [arguments]
       python -m formers.dropin [--version V] [--packages A,B] -m module [arguments]
       python -m formers.dropin [--version V] [--packages A,B] -c code [arguments]
       python -m formers.dropin [--version V] transformers-cli|transformers|huggingface-cli [arguments]
       python -m formers.dropin [--version V] optimum-cli [arguments]
       python -m formers.dropin [--version V] --install-pth
       python -m formers.dropin --remove-pth | --status"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; the status that the process ends with."""
    parser = argparse.ArgumentParser("python -m formers.dropin", usage=USAGE, allow_abbrev=False)
    parser.add_argument("--version", help="what transformers.__version__ says")
    parser.add_argument("--packages", help="names that mean formers, with commas")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="run a module")
    kinds.add_argument("-c", dest="code", nargs=argparse.REMAINDER, help="run a line of code")
    kinds.add_argument("--install-pth", action="store_true", help="let this environment always begin so")
    kinds.add_argument("--remove-pth", action="store_true", help="undo --install-pth")
    kinds.add_argument("--status", action="store_true", help="say what stands for what here")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="a script and its arguments")
    given = parser.parse_args(arguments)
    if not (given.install_pth or given.remove_pth or given.status):
        if not (given.module or given.code or given.script):
            parser.error("name a script, -m module or -c code")
        return _run(given, parser)
    from formers.dropin import environment

    try:
        if given.install_pth:
            lines = [f"wrote {path}" for path in environment.install_pth(given.version)]
        elif given.remove_pth:
            lines = [f"removed {path}" for path in environment.remove_pth()] or ["there is nothing to remove"]
        else:
            lines = environment.status()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print("\n".join(lines))
    return 0


def _run(given: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run a script, a module or a line as Python itself does, with formers in the place of other packages."""
    from formers.dropin import commands, environment, install, installed

    try:
        install(given.version, given.packages.split(",") if given.packages else None)
    except ValueError as error:
        parser.error(str(error))
    found = installed()
    environment.pass_on(given.version, found.packages if found and given.packages else None)
    if given.module:
        sys.argv = list(given.module)
        sys.path[0] = os.getcwd()
        runpy.run_module(given.module[0], run_name="__main__", alter_sys=True)
    elif given.code:
        sys.argv = ["-c", *given.code[1:]]
        sys.path[0] = ""
        exec(
            compile(given.code[0], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__}
        )
    else:
        sys.argv = list(given.script)
        script = given.script[0]
        if not os.path.exists(script) and script in commands.programs():
            return commands.main(script, given.script[1:])
        if not os.path.exists(script):
            parser.error(f"there is no file {script}")
        sys.path[0] = os.path.dirname(os.path.abspath(script))
        runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
