"""Write `docs/models.md` from the registry: every family, its heads, source, blocks, size and parity.

What was measured is read from `parity.json`, which `parity.py --record` writes.

python benchmarks/models.py
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record import markdown
from size import FAMILIES, ROOT, code_lines

PAGE = ROOT / "docs" / "models.md"
ABOUT = """# Models

Written by `python benchmarks/models.py` from the registry; a test holds it up to date. Every class here is
held to the reference by `tests/parity`: outputs, hidden states, attention weights, loss and gradients within
1e-5 in float32, the same bytes on disk, hooks at the same places.

Blocks are those of the default config. Parity is the largest difference of any number (outputs, states, loss,
gradients; over one plus its size) from the reference's, over every head in the given number of random
checkpoints, padded on either side, as `make parity` measured it last.

"""
MEASURED = Path(__file__).resolve().parent / "parity.json"


def blocks(family: Any) -> str:
    """The nouns that its layers are made of, where all layers of a default config are asked."""
    from formers.assemblies.encoder_decoder import EncoderDecoder

    config = family.config()
    if isinstance(family.assembly, EncoderDecoder):
        stacks = [family.assembly.half(config, decoder) for decoder in (False, True)]
    else:
        stacks = [family.assembly.spec(config)]
    if hasattr(stacks[0], "kinds"):  # a network that is no stack
        return ", ".join(stacks[0].kinds)
    named = [type(stack.stem).__name__ for stack in stacks]
    for stack in stacks:
        for part in (part for layer in dict.fromkeys(stack.layers) for part in layer.parts):
            named += words(part)
    return ", ".join(dict.fromkeys(named))


def words(part: Any) -> Iterator[str]:
    """Of a part of a layer: its mixer, and what is particular about it."""
    from formers.nn.spec import Heads

    mixer = part.mixer
    yield type(mixer).__name__
    heads, mask = getattr(mixer, "heads", None), getattr(mixer, "mask", None)
    if isinstance(heads, Heads) and heads.query != heads.key_value:
        yield "grouped heads"
    for name in ("rotary", "score_bias", "qk_norm", "softcap"):
        value = getattr(mixer, name, None)
        if value is not None:
            yield {"qk_norm": "norms of queries and keys", "softcap": "soft cap"}.get(
                name, type(value).__name__
            )
    if getattr(mask, "window", None) is not None:
        yield "window"
    norms = [norm for norm in (part.before, part.inside, part.after) if norm and norm.kind != "none"]
    if norms:
        places = (
            "sandwich" if len(norms) > 1 else "pre" if part.before else "inside" if part.inside else "post"
        )
        yield f"{places}-{norms[0].kind} norm"
    if part.reads != "sum":
        yield "parallel"


def page() -> str:
    """The text of the page."""
    from formers.models.classes import endings
    from formers.models.registry import family_of
    from formers.models.table import FAMILIES as TABLE

    measured = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    rows = [("model type", "classes", "what it is", "blocks", "lines of code", "parity")]
    for model_type, (module, _) in sorted(TABLE.items()):
        family, path = family_of(model_type), FAMILIES / f"{module}.py"
        about = str(importlib.import_module(f"formers.models.{module}").__doc__).split("\n\n")[0]
        names = (family.class_name(e) for e in endings(family) if e != "PreTrainedModel")
        classes = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        seen = measured.get(model_type)
        parity = f"{seen['largest']:.0e} ({seen['checkpoints']})" if seen else ""
        lines = str(code_lines(path.read_text()))
        rows.append((f"`{model_type}`", classes, " ".join(about.split()), blocks(family), lines, parity))
    return ABOUT + markdown(rows).replace("---:", "---") + "\n"


def main(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page())


if __name__ == "__main__":
    main()
