"""What can be wrong with a checkpoint, as exceptions."""

from __future__ import annotations


class CheckpointError(OSError):
    """A weight file is damaged, empty, or not what its name says."""


class UnsafeCheckpoint(CheckpointError):
    """A pickle names something that could run code; nothing of it was run."""


class LoadError(RuntimeError):
    """The weights do not fit the model; the message lists everything that does not."""
