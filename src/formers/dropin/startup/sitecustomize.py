"""Found first by interpreters that a script under `python -m formers.dropin` starts: they begin as it did."""

import importlib.machinery
import importlib.util
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != _here]
exec(open(os.path.join(_here, "hook.txt"), encoding="utf-8").read())  # noqa: S102, SIM115

# the environment's own sitecustomize, which this one stands before
_own = importlib.machinery.PathFinder.find_spec("sitecustomize")
if _own is not None and _own.loader is not None:
    sys.modules["sitecustomize"] = importlib.util.module_from_spec(_own)
    _own.loader.exec_module(sys.modules["sitecustomize"])
