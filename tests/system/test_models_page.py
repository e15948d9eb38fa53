"""The page of models says what the registry holds."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_models_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import models

    told = models.PAGE.read_text()
    sys.modules.pop("models")
    assert told == models.page(), "write it anew: python benchmarks/models.py"
