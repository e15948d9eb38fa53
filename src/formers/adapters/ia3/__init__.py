"""(IA)^3: config, leaves and tuner."""
