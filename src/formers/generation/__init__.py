"""Text from models: what `generate` promises, the loops that keep it, and what shapes their scores."""
