"""Attention of tokens and of streams that look ahead is its definition, whole, cached and padded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from formers.nn.positions import Buckets

STREAMS, HEADS, LENGTH = 3, 3, 9
SIZES = {
    "vocab_size": 30,
    "hidden_size": 12,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 20,
    "num_buckets": 6,
    "relative_max_distance": 7,
    "ngram": STREAMS,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "is_decoder": True,
}


@pytest.fixture(scope="module")
def decoder() -> Any:
    torch.manual_seed(0)
    model = formers.ProphetNetDecoder(formers.ProphetNetConfig(**SIZES)).eval().double()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.3)
    return model


def _ids() -> Tensor:
    return torch.randint(3, 30, (2, LENGTH), generator=torch.Generator().manual_seed(1))


def _bucket(back: int) -> int:
    rule = Buckets(6, 7, two_sided=False)
    return int(rule.of(torch.tensor(-back)))


def _written_out(model: Any, ids: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's attention, place by place: tokens [T, E] and streams [n, T, E] of one row."""
    table, places = model.word_embeddings.weight, model.position_embeddings.weight
    tokens = table[ids] + places[1 : 1 + LENGTH]
    ahead = model.ngram_embeddings.weight.roll(1, 0)[:, None] + places[2 : 2 + LENGTH]
    attention, found = model.layers[0].self_attn, []
    states = [model.embeddings_layer_norm(x) for x in (tokens, *ahead)]

    def heads(part: Any, x: Tensor) -> Tensor:
        return part(x).view(HEADS, -1)

    for stream, rows in enumerate(states):
        for i in range(LENGTH):
            here = rows[i]
            far = attention.relative_pos_embeddings(here).view(-1, HEADS)
            limit = i if stream == 0 else i - (stream - 1)
            seen = [j for j in range(LENGTH) if (j <= limit or (j == 0 and stream)) and real[j]]
            read = [(states[0][j], i - j + (stream > 0)) for j in seen]
            read += [(here, 0)] if stream or not real[i] else []  # what padding reads counts for nothing
            mixed = []
            for head in range(HEADS):
                q = heads(attention.query_proj, here)[head] / 2
                scores = [
                    q @ heads(attention.key_proj, x)[head] + far[_bucket(back), head] for x, back in read
                ]
                weights = torch.stack(scores).softmax(0)
                values = torch.stack([heads(attention.value_proj, x)[head] for x, _ in read])
                mixed.append(weights @ values)
            found.append(attention.out_proj(torch.cat(mixed)))
    whole = torch.stack(found).view(1 + STREAMS, LENGTH, -1)
    return whole[0], whole[1:]


@pytest.mark.parametrize("sided", ["none", "left", "right"])
def test_every_place_reads_what_the_definition_says(decoder: Any, sided: str) -> None:
    ids, mask = _ids(), torch.ones(2, LENGTH, dtype=torch.long)
    if sided != "none":
        mask[1, slice(3) if sided == "left" else slice(6, None)] = 0
    held: list[Tensor] = []
    handle = decoder.layers[0].self_attn.register_forward_hook(lambda _m, _a, out: held.append(out[0]))
    with torch.no_grad():
        watched = decoder(ids, attention_mask=mask)
        handle.remove()
        plain = decoder(ids, attention_mask=mask, use_cache=False)
        for row in range(2):
            real = mask[row].bool()
            own, ahead = _written_out(decoder, ids[row], real)
            rows = held[0][row].view(1 + STREAMS, LENGTH, -1)
            torch.testing.assert_close(rows[0][real], own[real])
            torch.testing.assert_close(rows[1:][:, real], ahead[:, real])
    for name in ("last_hidden_state", "last_hidden_state_ngram"):
        torch.testing.assert_close(watched[name], plain[name])


@pytest.mark.parametrize("widths", [[1] * LENGTH, [4, 1, 3, 1]], ids=["token by token", "in chunks"])
@pytest.mark.parametrize("sided", ["none", "left"])
def test_a_cache_changes_nothing(decoder: Any, sided: str, widths: list[int]) -> None:
    ids, mask, past, at = _ids(), torch.ones(2, LENGTH, dtype=torch.long), None, 0
    if sided == "left":
        mask[1, :3] = 0
    steps: list[Any] = []
    with torch.no_grad():
        whole = decoder(ids, attention_mask=mask, use_cache=False)
        for width in widths:
            now = slice(at, at + width)
            steps.append(
                decoder(ids[:, now], attention_mask=mask[:, : now.stop], past_key_values=past, use_cache=True)
            )
            past, at = steps[-1].past_key_values, now.stop
    real = mask.bool()
    tokens = torch.cat([one.last_hidden_state for one in steps], dim=1)
    torch.testing.assert_close(tokens[real], whole.last_hidden_state[real])
    shape = (2, STREAMS, -1, 12)
    ahead = torch.cat([one.last_hidden_state_ngram.view(shape) for one in steps], dim=2)
    expected = whole.last_hidden_state_ngram.view(shape)
    torch.testing.assert_close(ahead.transpose(1, 2)[real], expected.transpose(1, 2)[real])


def test_weights_of_tokens_and_streams_sum_to_one_and_hide_the_future(decoder: Any) -> None:
    with torch.no_grad():
        out = decoder(_ids(), output_attentions=True, use_cache=False)
    own, ahead = out.attentions[0], out.ngram_attentions[0]
    assert own.shape == (2, HEADS, LENGTH, LENGTH)
    assert ahead.shape == (2, STREAMS, HEADS, LENGTH, 2 * LENGTH)
    for weights in (own, ahead):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not own.triu(1).any()
    for stream in range(STREAMS):
        assert not ahead[:, stream, ..., 1:LENGTH].triu(-stream).any()
        assert not (ahead[:, stream, ..., LENGTH:] * (1 - torch.eye(LENGTH, dtype=torch.double))).any()


def test_too_few_streams_and_too_many_tokens_are_refused(decoder: Any) -> None:
    with pytest.raises(ValueError, match="predicts one token at least"):
        formers.ProphetNetDecoder(formers.ProphetNetConfig(**{**SIZES, "ngram": 0}))
    with pytest.raises(ValueError, match="the model has 18 positions"):
        decoder(torch.ones(1, 19, dtype=torch.long))
