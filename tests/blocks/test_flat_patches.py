"""The stem of images as patches that say where they stand, against its definition written out."""

from __future__ import annotations

from typing import Any

import torch

import formers


def model(**settings: Any) -> Any:
    """A small model without layers."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "patch_embed_hidden_size": 6, "seq_len": 5, "num_hidden_layers": 0}
    config = formers.Pix2StructVisionConfig(**sizes, num_attention_heads=2, d_kv=4, d_ff=8, **settings)
    return formers.Pix2StructVisionModel(config).eval().double()


@torch.no_grad()
def test_rows_and_columns_are_looked_up_and_added_and_what_is_empty_is_left_out() -> None:
    made = model()
    parts = made.embeddings
    patches = torch.randn(2, 3, 8, dtype=torch.float64)
    patches[..., 0], patches[..., 1] = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 4.0])
    patches[1, 2] = 0
    expected = torch.empty(2, 3, 8, dtype=torch.float64)
    for row in range(2):
        for place in range(3):
            down, across, *pixels = patches[row, place].tolist()
            x = parts.patch_projection.weight @ torch.tensor(pixels).double() + parts.patch_projection.bias
            x = x + parts.row_embedder.weight[int(down)] + parts.column_embedder.weight[int(across)]
            expected[row, place] = x / (x.square().mean() + 1e-6).sqrt()
    real = patches.sum(-1) != 0
    for mask in (None, real.float(), real):
        found = made(patches, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(found[real], expected[real])
    seen: list[Any] = []
    parts.register_forward_hook(lambda _module, _args, out: seen.append(out))
    watched = made(patches).last_hidden_state
    torch.testing.assert_close(watched[real], expected[real])
    assert tuple(seen[0].shape) == (2, 3, 8)
