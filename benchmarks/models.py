"""Write `docs/models.md` from the registry: every family, its heads, its source and the size of its file.

python benchmarks/models.py
"""

from __future__ import annotations

import importlib
from pathlib import Path

from record import markdown
from size import FAMILIES, ROOT, code_lines

PAGE = ROOT / "docs" / "models.md"
ABOUT = """# Models

Written by `python benchmarks/models.py` from the registry; a test holds it up to date. Every class here is
held to the reference by `tests/parity`: outputs, hidden states, attention weights, loss and gradients within
1e-5 in float32, the same bytes on disk, hooks at the same places.

"""


def page() -> str:
    """The text of the page."""
    from formers.models.classes import endings
    from formers.models.registry import family_of
    from formers.models.table import FAMILIES as TABLE

    rows = [("model type", "classes", "what it is", "lines of code")]
    for model_type, (module, _) in sorted(TABLE.items()):
        family, path = family_of(model_type), FAMILIES / f"{module}.py"
        about = str(importlib.import_module(f"formers.models.{module}").__doc__).split("\n\n")[0]
        names = (family.class_name(e) for e in endings(family) if e != "PreTrainedModel")
        classes = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        rows.append((f"`{model_type}`", classes, " ".join(about.split()), str(code_lines(path.read_text()))))
    return ABOUT + markdown(rows).replace("---:", "---") + "\n"


def main(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page())


if __name__ == "__main__":
    main()
