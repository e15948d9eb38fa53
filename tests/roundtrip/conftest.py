"""Checkpoints to send round, and the Hub on loopback."""

from __future__ import annotations

from system.conftest import hub  # noqa: F401
