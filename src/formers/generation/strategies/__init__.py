"""How the next tokens are found: one loop a file."""
