"""Pipelines for sounds."""
