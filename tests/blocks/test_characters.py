"""Hashed characters, blocks that attend to themselves, groups of characters: CANINE's parts by definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn import spec

SIZES = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 16, "num_hash_buckets": 23}
RATE, SIZE = 3, 4


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    more = {"num_hash_functions": 4, "downsampling_rate": RATE, "local_transformer_stride": SIZE}
    config = formers.CanineConfig(**{**SIZES, **more, "num_hidden_layers": 2, **values})
    return formers.CanineModel(config).double().eval()


def texts(*lengths: int) -> tuple[Tensor, Tensor]:
    """Code points up to the last plane, and the mask of texts, padded on the right."""
    ids = torch.randint(1, 0x110000, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return ids * mask, mask


def test_a_vector_is_made_of_what_the_hashes_of_a_code_point_find() -> None:
    made, (ids, _) = small(), texts(5)
    seen: dict[str, Tensor] = {}
    made.char_embeddings.LayerNorm.register_forward_pre_hook(lambda _m, given: seen.update(sum=given[0]))
    with torch.no_grad():
        made(ids)
    tables = made.char_embeddings
    for place, point in enumerate(ids[0].tolist()):
        parts = [
            getattr(tables, f"HashBucketCodepointEmbedder_{i}").weight[(point + 1) * prime % 23]
            for i, prime in enumerate((31, 43, 59, 61))
        ]
        expected = torch.cat(parts) + tables.char_position_embeddings.weight[place]
        torch.testing.assert_close(seen["sum"][0, place], expected + tables.token_type_embeddings.weight[0])


@pytest.mark.parametrize("lengths", [(9, 9), (11, 5), (8, 4), (3, 2)])
def test_a_block_attends_to_its_own_tokens_alone(lengths: tuple[int, ...]) -> None:
    made, (ids, mask) = small(num_hidden_layers=0), texts(*lengths)
    layer = made.initial_char_encoder.layer[0].attention.self
    seen: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(lambda _m, given: seen.update(x=given[0])),
        layer.register_forward_hook(lambda _m, _i, out: seen.update(mixed=out[0])),
    ]
    with torch.no_grad():
        whole = made(ids, attention_mask=mask)[0]
        for handle in handles:
            handle.remove()
        torch.testing.assert_close(made(ids, attention_mask=mask)[0], whole)
        q, k, v = (part(seen["x"]).unflatten(-1, (3, 4)) for part in (layer.query, layer.key, layer.value))
    for row in range(2):
        for place in range(ids.shape[1]):
            block = [key for key in range(ids.shape[1]) if key // SIZE == place // SIZE]
            real = [key for key in block if mask[row, key]]
            for head in range(3):
                scores = torch.stack([q[row, place, head] @ k[row, key, head] / 2 for key in real or block])
                weights = scores.softmax(0) if real else torch.ones(len(block)).double() / len(block)
                expected = weights @ v[row, real or block, head]
                torch.testing.assert_close(seen["mixed"][row, place, 4 * head : 4 * head + 4], expected)


def test_a_place_is_made_of_a_group_and_every_character_reads_its_place() -> None:
    made, (ids, _) = small(num_hidden_layers=0, upsampling_kernel_size=2), texts(11)
    seen: dict[str, Tensor] = {}
    made.chars_to_molecules.register_forward_pre_hook(lambda _m, given: seen.update(x=given[0]))
    made.projection.register_forward_hook(lambda _m, given, out: seen.update(both=given[0], out=out))
    with torch.no_grad():
        made(ids)
        x, down, up = seen["x"][0], made.chars_to_molecules, made.projection
        groups = [x[start : start + RATE].T for start in range(0, 6, RATE)]  # of three the last has no place
        made_of = [(down.conv.weight * group).sum((1, 2)) + down.conv.bias for group in groups]
        places = down.LayerNorm(torch.stack([x[0], *map(torch.nn.functional.gelu, made_of)]))
        read = torch.stack([places[min(at // RATE + 1, 2)] for at in range(11)])
        torch.testing.assert_close(seen["both"][0], torch.cat((x, read), -1))
        both = torch.cat((seen["both"][0], torch.zeros(1, 24).double()))
        for at in range(11):
            found = (up.conv.weight * both[at : at + 2].T).sum((1, 2)) + up.conv.bias
            expected = up.LayerNorm(torch.nn.functional.gelu(found))
            torch.testing.assert_close(seen["out"][0, at], expected)


def test_a_head_over_the_pooler_reads_no_character_again() -> None:
    torch.manual_seed(0)
    config = formers.CanineConfig(**SIZES, num_hidden_layers=2, num_hash_functions=4, downsampling_rate=RATE)
    made, (ids, mask) = formers.CanineForSequenceClassification(config).eval(), texts(11, 6)
    with torch.no_grad():
        found = made(ids, attention_mask=mask).logits
        pooled = made.canine(ids, attention_mask=mask).pooler_output
        torch.testing.assert_close(found, made.classifier(pooled))
        made.canine.final_char_encoder.layer[0].output.dense.weight.fill_(float("nan"))
        torch.testing.assert_close(made(ids, attention_mask=mask).logits, found)


def test_weights_of_blocks_are_one_table() -> None:
    made, (ids, mask) = small(), texts(10, 5)
    made.set_attn_implementation("eager")
    weights = made(ids, attention_mask=mask, output_attentions=True).attentions
    assert [list(one.shape[-2:]) for one in weights] == [[10, 10], [3, 3], [3, 3], [10, 10]]
    assert weights[0][0, :, :SIZE, :SIZE].all()
    assert not weights[0][0, :, :SIZE, SIZE:].any()


def test_what_cannot_be_read_is_refused() -> None:
    made = small(max_position_embeddings=9)
    for ids, says in ((texts(2)[0], "make the first place"), (texts(10)[0], "has 9 positions")):
        with pytest.raises(ValueError, match=says):
            made(ids)
    with pytest.raises(IndexError, match="-100"):
        made(torch.tensor([[5, 6, -100]]))
    with pytest.raises(ValueError, match="cannot be honoured"):
        made(texts(6)[0], attention_mask=torch.ones(1, 6, 6))
    with pytest.raises(ValueError, match="hash functions"):
        spec.Characters(23, 12, hashes=5)
    with pytest.raises(ValueError, match="no table of tokens"):
        made.set_input_embeddings(torch.nn.Embedding(4, 12))
