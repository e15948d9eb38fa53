"""`formers ...`: the library's work as commands. Importing this, or asking for help, loads no torch."""

from __future__ import annotations

from formers.cli.app import app, main

__all__ = ["app", "main"]
