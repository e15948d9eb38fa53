"""Assemblies of models that read pictures and films."""
