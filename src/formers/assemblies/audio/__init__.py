"""Assemblies of models that hear sounds, or make them."""
