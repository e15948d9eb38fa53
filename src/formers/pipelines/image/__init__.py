"""Pipelines for pictures."""
