"""The files of a checkpoint are written as every other file is: wholly or not at all."""

from __future__ import annotations

from formers.core.atomic import sync_file, sync_folder, temporary_beside, write_atomically, write_text

__all__ = ["sync_file", "sync_folder", "temporary_beside", "write_atomically", "write_text"]
