"""Sounds to arrays: read, brought to one rate, made spectra of, padded."""
