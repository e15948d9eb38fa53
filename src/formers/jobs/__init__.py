"""Whole pieces of work, each as one call: what a command, an example and a notebook have in common."""
