"""Learned prompts: tokens, prefixes, and what makes them: config, leaves and tuner."""
