"""Blocks piled up from a Spec, and the base of all models."""
