"""`python -m formers` is the `formers` command."""

from __future__ import annotations

from formers.cli import main

main()
