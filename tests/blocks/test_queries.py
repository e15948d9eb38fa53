"""The stem of learned vectors: held by the stack or handed in, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import formers
from formers.nn import spec
from formers.nn.tree import Block
from formers.stacks.stack import Ask, Inputs, place_stack, run

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "encoder_hidden_size": 12,
}


def holder() -> Block:
    """One layer over five vectors of its own, in which they ask states that are 12 wide."""
    heads, norm = spec.Heads.split(16, 2), spec.Norm("layer", 1e-5)
    layer = spec.Layer((spec.Part(spec.Attention(heads, cross=True, source=12), "cross", before=norm),))
    paths = {f"cross_{role}": f"ask.{role}" for role in "qkvo"}
    names = spec.Names(
        layers="layers",
        layer={**paths, "cross_norm": "norm"},
        embeddings={"query": "latents", "embedding_norm": "start"},
    )
    torch.manual_seed(0)
    block = Block()
    place_stack(block, spec.Stack(spec.Queries(5, 16, norm), (layer,), names, 16))
    with torch.no_grad():
        for value in block.parameters():
            value.normal_(0, 0.3)
    return block.eval()


def asked(block: Block, states: Tensor, seen: Tensor | None = None, **given: Any) -> Tensor:
    """What the vectors know at the end, [B, 5, E]."""
    inputs = Inputs({"encoder_hidden_states": states, **given}, encoder=states, encoder_mask=seen)
    with torch.no_grad():
        return run(block, inputs, Ask(rows=False)).last


def by_definition(block: Any, states: Tensor, seen: Tensor) -> Tensor:
    """The same, written out in float64."""
    block, states = block.double(), states.double()
    layer = block.layers[0]
    x = block.start(block.latents).expand(states.shape[0], -1, -1)
    q, k, v = (
        leaf(y) for leaf, y in ((layer.ask.q, layer.norm(x)), (layer.ask.k, states), (layer.ask.v, states))
    )
    q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in (q, k, v))  # [B, H, .., D]
    scores = (q @ k.mT / 8**0.5).masked_fill(seen[:, None, None] == 0, -torch.inf)
    return x + layer.ask.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("watched", [False, True], ids=["packed", "watched"])
def test_vectors_that_the_stack_holds_ask_for_every_row(watched: bool) -> None:
    block, states = holder(), torch.randn(3, 6, 12)
    seen = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [0] + [1] * 5])
    if watched:
        block.get_submodule("layers.0.ask.q").register_forward_hook(lambda *_: None)
    found = asked(block, states, seen)
    assert found.shape == (3, 5, 16)
    with torch.no_grad():
        expected = by_definition(block, states, seen)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_vectors_that_are_handed_in_stand_in_place_of_those_that_are_held() -> None:
    block, states = holder(), torch.randn(2, 6, 12)
    held = block.get_parameter("latents")
    expected = asked(block, states)
    torch.testing.assert_close(asked(block, states, query_embeds=held), expected)
    assert not torch.allclose(asked(block, states, query_embeds=held + torch.randn_like(held)), expected)


def test_one_row_of_vectors_serves_a_whole_batch() -> None:
    model = formers.Blip2QFormerModel(formers.Blip2QFormerConfig(**SMALL)).eval()
    vectors, states = torch.randn(1, 4, 16), torch.randn(3, 6, 12)
    with torch.no_grad():
        once = model(vectors, encoder_hidden_states=states)
        each = model(vectors.expand(3, -1, -1), encoder_hidden_states=states, query_length=4)
    torch.testing.assert_close(once.last_hidden_state, each.last_hidden_state)
    torch.testing.assert_close(once.pooler_output, each.last_hidden_state[:, 0])


def test_every_nth_layer_asks_and_the_others_have_nothing_to_ask_with() -> None:
    model = formers.Blip2QFormerModel(formers.Blip2QFormerConfig(**SMALL, cross_attention_frequency=2))
    assert [hasattr(layer, "crossattention") for layer in model.encoder.layer] == [True, False, True]
    asking = model.encoder.layer[0].crossattention.attention
    assert [tuple(part.weight.shape) for part in (asking.query, asking.key)] == [(16, 16), (16, 12)]
    assert isinstance(asking.value, nn.Linear)


def test_what_is_given_is_named_in_the_signature_and_nothing_else_is_taken() -> None:
    import inspect

    names = list(inspect.signature(formers.Blip2QFormerModel.forward).parameters)
    assert names[1:6] == [
        "query_embeds",
        "query_length",
        "attention_mask",
        "encoder_hidden_states",
        "encoder_attention_mask",
    ]
    assert formers.Blip2QFormerModel.main_input_name == "query_embeds"
    model = formers.Blip2QFormerModel(formers.Blip2QFormerConfig(**SMALL))
    with pytest.raises(TypeError, match="input_ids"):
        model(input_ids=torch.ones(1, 3, dtype=torch.long))


def test_queries_that_cannot_ask_are_refused_with_what_is_missing() -> None:
    model = formers.Blip2QFormerModel(formers.Blip2QFormerConfig(**SMALL))
    vectors, states = torch.randn(2, 4, 16), torch.randn(2, 6, 12)
    with pytest.raises(ValueError, match="pass a tensor"):
        model(vectors)
    with pytest.raises(ValueError, match=r"\[B, T, 16\], not NoneType"):
        model(encoder_hidden_states=states)
    with pytest.raises(ValueError, match=r"\[B, T, 16\], not \[2, 4, 12\]"):
        model(vectors[..., :12], encoder_hidden_states=states)
    with pytest.raises(ValueError, match="3 rows of query_embeds cannot ask 2 rows"):
        model(torch.randn(3, 4, 16), encoder_hidden_states=states)
    with pytest.raises(ValueError, match="query_length is 3, but query_embeds hold 4"):
        model(vectors, query_length=3, encoder_hidden_states=states)
    reads = formers.Blip2QFormerModel(formers.Blip2QFormerConfig(**SMALL, use_qformer_text_input=True))
    with pytest.raises(ValueError, match="query_length is 5, but query_embeds hold 4"):
        reads(vectors, query_length=5, encoder_hidden_states=states)
    with pytest.raises(ValueError, match="nothing asks: leave encoder_hidden_states out"):
        reads(vectors, query_length=0, encoder_hidden_states=states)


@pytest.mark.parametrize("watched", [False, True], ids=["packed", "watched"])
def test_texts_behind_what_asks_are_read_and_ask_nothing_themselves(watched: bool) -> None:
    config = formers.Blip2QFormerConfig(**SMALL, use_qformer_text_input=True)
    torch.manual_seed(0)
    model = formers.Blip2QFormerModel(config).eval()
    called = []
    if watched:
        for name in ("intermediate", "intermediate_query"):
            part = model.get_submodule(f"encoder.layer.0.{name}")
            part.register_forward_hook(lambda _, __, out: called.append(tuple(out.shape)))
    rows, states = torch.randn(2, 7, 16), torch.randn(2, 6, 12)
    real = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    asks = {"query_length": 4, "attention_mask": real}
    with torch.no_grad():
        found = model(rows, encoder_hidden_states=states, **asks).last_hidden_state
        other = model(rows, encoder_hidden_states=states + 1, **asks).last_hidden_state
        short = model(rows[1:, :5], encoder_hidden_states=states[1:], query_length=4).last_hidden_state
        alone = model(rows[:, 4:], query_length=0, attention_mask=real[:, 4:]).last_hidden_state
        single = model(rows[1:, 4:5], query_length=0).last_hidden_state
    torch.testing.assert_close(found[1, :5], short[0])
    torch.testing.assert_close(alone[1, 0], single[0, 0])
    assert not torch.allclose(found[:, :4], other[:, :4])
    if watched:
        assert called[:2] == [(2, 4, 24), (2, 3, 24)]
        assert called[-1] == (1, 1, 24)
