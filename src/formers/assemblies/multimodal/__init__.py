"""Assemblies of models that read texts beside pictures, films or sounds."""
