"""Processors of scores, by kind: what the next token may be, and how likely it is."""
