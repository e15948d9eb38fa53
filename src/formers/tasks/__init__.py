"""Task heads: one file per task, good for every stack."""
