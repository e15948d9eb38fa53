"""Tuned norms: config, leaves and tuner."""
