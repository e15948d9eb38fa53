"""What knows nothing of models: notices, extras, outputs, batching, devices."""
