"""OFT: config, leaves and tuner."""
