"""Weights in fewer bits: what a checkpoint says of them, the leaves that hold them, how they get there."""
