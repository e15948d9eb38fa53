"""LoKr: config, leaves and tuner."""
