"""VeRA: config, leaves and tuner."""
