"""LoHa: config, leaves and tuner."""
