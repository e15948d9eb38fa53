"""Versions of a model from a registry, behind one address: shares of the traffic, and a shadow."""
