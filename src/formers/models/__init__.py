"""Recipes: one file per architecture family."""
