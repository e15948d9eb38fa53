"""What the reference makes of a folder that was saved here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.parity.shapes import EAGER

TOLERANCE = 1e-5


def the_reference_loads(theirs: Any, inputs: dict[str, Any], folder: Path, saved: Path) -> None:
    """Hold that the reference makes of `saved` the model that it wrote to `folder`.

    A model follows from its weights and its settings. Where the files of both folders say the same, the
    reference, which wrote one of them, makes the same of both, and need not do it. Else it loads the folder.
    """
    weights = "model.safetensors"
    assert (saved / weights).read_bytes() == (folder / weights).read_bytes()
    if _settings(theirs, saved) == _settings(theirs, folder):
        return
    kind = {"attn_implementation": "eager"} if theirs.config.model_type in EAGER else {}
    again, info = type(theirs).from_pretrained(saved, output_loading_info=True, **kind)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    with torch.no_grad():
        wanted, found = (model(**inputs)[0] for model in (theirs, again.eval()))
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


def _settings(theirs: Any, folder: Path) -> list[Any]:
    """What the reference reads of a folder beside the weights; versions apart."""
    read = [type(theirs.config).from_pretrained(folder).to_dict()]
    generation = folder / "generation_config.json"
    read += [json.loads(generation.read_text())] if generation.is_file() else []
    for one in read:
        one.pop("transformers_version", None)
    return read
