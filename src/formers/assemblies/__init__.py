"""Assemblies: named stacks and what ties them. A head asks one for states and never which one it is."""
