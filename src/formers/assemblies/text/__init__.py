"""Assemblies of models that read texts in ways of their own."""
