"""Pipelines whose inputs are texts."""
