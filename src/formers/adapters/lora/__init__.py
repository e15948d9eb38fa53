"""LoRA: two thin matrices beside a leaf (Hu et al. 2021, arXiv:2106.09685)."""
