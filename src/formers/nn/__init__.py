"""The building blocks: specs, leaves, attention and its backends, masks, positions, caches, losses."""
