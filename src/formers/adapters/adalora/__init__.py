"""AdaLoRA: config, leaves and tuner."""
