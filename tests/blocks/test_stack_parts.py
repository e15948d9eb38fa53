"""What a stack owns beside its layers, and layers that share weights, against plain loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import formers
from formers.nn.losses import binary

IDS = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])
MASK = (IDS != 0).long()
SIZES = {"vocab_size": 20, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 20}


def close(one: Tensor, two: Tensor) -> None:
    torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_groups_of_layers_run_in_their_order_behind_the_projection() -> None:
    shared = {"num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2, "embedding_size": 8}
    model = formers.AlbertModel(formers.AlbertConfig(**SIZES, **shared)).eval()
    assert len(model.encoder.albert_layer_groups) == 2
    with torch.no_grad():
        found = model(IDS, MASK, output_hidden_states=True)
        x = model.encoder.embedding_hidden_mapping_in(model.embeddings(IDS))
        close(found.hidden_states[0][MASK.bool()], x[MASK.bool()])
        for group in (0, 0, 0, 1, 1):
            for layer in model.encoder.albert_layer_groups[group].albert_layers:
                x = layer(x, MASK)
        close(found.last_hidden_state[MASK.bool()], x[MASK.bool()])
        by_hand = model.encoder(model.embeddings(IDS), attention_mask=MASK).last_hidden_state
    close(by_hand, x)
    assert len(found.hidden_states) == 11


def test_one_table_of_distances_moves_the_scores_of_every_layer() -> None:
    model = formers.MPNetModel(formers.MPNetConfig(**{**SIZES, "vocab_size": 40}, num_hidden_layers=2)).eval()
    table = model.encoder.relative_attention_bias
    with torch.no_grad():
        table.weight.zero_()
        table.weight[16 + 1] = 50.0  # the bucket of the next token
        weights = model(IDS[:1], output_attentions=True).attentions
    for each in weights:
        close(each[0, :, :-1].diagonal(offset=1, dim1=-2, dim2=-1), torch.ones(3, 4))


@pytest.mark.parametrize("padded", [False, True])
def test_gradients_of_that_table_do_not_depend_on_recomputing_layers(padded: bool) -> None:
    model = formers.MPNetModel(formers.MPNetConfig(**SIZES, num_hidden_layers=2, hidden_dropout_prob=0.0))
    model.encoder.relative_attention_bias.weight.data.normal_()
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    found = []
    for recomputed in (False, True):
        if recomputed:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        model(IDS, MASK if padded else None).last_hidden_state.square().sum().backward()
        found.append(model.encoder.relative_attention_bias.weight.grad.clone())
    assert found[0].any()
    close(found[0], found[1])


def test_kinds_of_tasks_are_added_to_embeddings_or_refused() -> None:
    config = formers.ErnieConfig(**SIZES, num_hidden_layers=1, use_task_id=True)
    model = formers.ErnieModel(config).eval()
    tasks = torch.full_like(IDS, 2)
    with torch.no_grad():
        table = model.embeddings.task_type_embeddings.weight
        assert not torch.equal(model(IDS, MASK)[0], model(IDS, MASK, task_type_ids=tasks)[0])
        table[2] = table[0]
        close(model(IDS, MASK)[0], model(IDS, MASK, task_type_ids=tasks)[0])
    config.use_task_id = False
    with pytest.raises(TypeError, match="leave task_type_ids out"):
        formers.ErnieModel(config)(IDS, MASK, task_type_ids=tasks)


def test_binary_losses_leave_out_padding_and_places_without_a_label() -> None:
    logits, labels = torch.randn(2, 5), torch.tensor([[1, 0, 1, -100, 0], [0, 1, 1, 0, 1]])
    counts = MASK.bool() & (labels != -100)
    expected = F.binary_cross_entropy_with_logits(logits[counts], labels[counts].float())
    close(binary(logits, labels, MASK), expected)
    close(binary(logits, labels, MASK, items=14), expected * counts.sum() / 14)


def test_narrow_tokens_are_projected_before_positions_are_added_and_after_the_last_norm() -> None:
    config = formers.OPTConfig(
        **{name: value for name, value in SIZES.items() if name != "intermediate_size"},
        **{"num_hidden_layers": 0, "word_embed_proj_dim": 6, "pad_token_id": 0},
    )
    model = formers.OPTModel(config).eval()
    part = model.decoder
    counted = (MASK.cumsum(1) * MASK - 1) + 2
    with torch.no_grad():
        given = part.project_in(part.embed_tokens(IDS)) + part.embed_positions.weight[counted]
        expected = part.project_out(part.final_layer_norm(given))
        close(model(IDS, MASK).last_hidden_state[MASK.bool()], expected[MASK.bool()])
        left = model(IDS.flip(1), MASK.flip(1)).last_hidden_state
        assert left.shape == (2, 5, 6)
        alone = model(IDS[1:, :3].flip(1)).last_hidden_state
        close(left[1, 2:], alone[0])


def test_a_learned_vector_moves_what_the_last_attention_gives() -> None:
    sizes = {name: value for name, value in SIZES.items() if name != "intermediate_size"}
    model = formers.GPTNeoXJapaneseModel(formers.GPTNeoXJapaneseConfig(**sizes, num_hidden_layers=2)).eval()
    held = [name for name, _ in model.named_parameters() if name.endswith("dense_bias")]
    assert held == ["layers.1.attention.dense_bias"]
    layer = model.layers[1]
    with torch.no_grad():
        layer.attention.dense_bias.normal_()
        layer.mlp.dense_4h_to_h.weight.zero_()
        x = torch.randn(2, 5, 24)
        attended = layer.attention(layer.input_layernorm(x))[0]
        close(layer(x), x + attended + layer.attention.dense_bias)


def test_norms_of_heads_by_leaves_of_their_own_are_called_where_somebody_looks() -> None:
    config = formers.StableLmConfig(**SIZES, num_hidden_layers=1, qk_layernorm=True, num_key_value_heads=3)
    model = formers.StableLmModel(config).eval()
    norms = model.layers[0].self_attn.q_layernorm
    with torch.no_grad():
        for one in norms.norms:
            one.weight.normal_()
        x = torch.randn(4, 3, 8)
        expected = torch.stack([F.layer_norm(x[:, h], (8,), norms.norms[h].weight) for h in range(3)], 1)
        close(norms(x), expected)
        close(norms(x.transpose(0, 1)[None]), expected.transpose(0, 1)[None])
        plain, seen = model(IDS, MASK).last_hidden_state, []
        handle = norms.norms[1].register_forward_hook(lambda _m, _a, out: seen.append(out.shape))
        close(model(IDS, MASK).last_hidden_state[MASK.bool()], plain[MASK.bool()])
        handle.remove()
        assert seen == [(2, 1, 5, 8)]
        norms.norms[1] = torch.nn.Sequential(norms.norms[1], torch.nn.Tanh())
        assert not torch.allclose(model(IDS, MASK).last_hidden_state, plain)


def test_states_for_a_model_without_cross_attention_are_refused() -> None:
    model = formers.GPT2Model(formers.GPT2Config(vocab_size=20, n_embd=24, n_layer=1, n_head=3))
    with pytest.raises(ValueError, match="no cross attention, so nothing would read encoder_hidden_states"):
        model(IDS, encoder_hidden_states=torch.randn(2, 4, 24))


def seen(model: Any, *inputs: Any, **named: Any) -> list[Tensor]:
    """The states of real tokens, where nobody looks and where somebody does."""
    with torch.no_grad():
        found = [model(*inputs, **named).last_hidden_state]
        model.embeddings.register_forward_hook(lambda *_: None)
        found.append(model(*inputs, **named).last_hidden_state)
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_sines_that_stand_in_the_file_turn_queries_and_keys_and_values_where_the_config_says_so(
    turned: bool,
) -> None:
    config = formers.RoFormerConfig(**SIZES, num_hidden_layers=1, rotary_value=turned)
    model = formers.RoFormerModel(config).eval().double()
    table = model.encoder.embed_positions.weight
    table.data.normal_()
    with torch.no_grad():
        x, layer = model.embeddings(IDS), model.encoder.layer[0]
        sin, cos = (half[:5].repeat_interleave(2, dim=-1) for half in table.chunk(2, dim=-1))  # [T, D]

        def turn(t: Tensor) -> Tensor:
            half = torch.stack((-t[..., 1::2], t[..., ::2]), dim=-1).flatten(-2)
            return t * cos + half * sin

        own = layer.attention.self
        q, k, v = (leaf(x).view(2, 5, 3, 8).transpose(1, 2) for leaf in (own.query, own.key, own.value))
        scores = turn(q) @ turn(k).transpose(-1, -2) / 8**0.5
        weights = scores.masked_fill(MASK[:, None, None] == 0, -torch.inf).softmax(-1)
        mixed = (weights @ (turn(v) if turned else v)).transpose(1, 2).flatten(2)
        y = layer.attention.output(mixed, x)
        expected = layer.output(layer.intermediate(y), y)
    for found in seen(model, IDS, MASK):
        close(found[MASK.bool()], expected[MASK.bool()])
    with pytest.raises(IndexError, match="rotary_table table has 1536 rows"):
        model(IDS, MASK, position_ids=torch.full_like(IDS, 1536))


def test_a_convolution_adds_what_stands_beside_every_token_to_the_first_layer() -> None:
    config = formers.DebertaV2Config(**SIZES, num_hidden_layers=2, conv_kernel_size=3, conv_groups=2)
    model = formers.DebertaV2Model(config).eval().double()
    conv = model.encoder.conv
    with torch.no_grad():
        x = model.embeddings(IDS) * MASK[..., None]
        first = model.encoder.layer[0](x, MASK)
        around = F.pad(x, (0, 0, 1, 1))
        ways = conv.conv.weight.chunk(2)  # of each half of the features
        sums = [
            torch.stack([around[:, at : at + 3, 12 * i : 12 * i + 12].flatten(1) for at in range(5)], 1)
            @ way.transpose(1, 2).flatten(1).T
            for i, way in enumerate(ways)
        ]
        beside = ((torch.cat(sums, -1) + conv.conv.bias) * MASK[..., None]).tanh()
        y = F.layer_norm(first + beside, (24,), conv.LayerNorm.weight, conv.LayerNorm.bias, 1e-7)
        expected = model.encoder.layer[1](y * MASK[..., None], MASK)
    for found in seen(model, IDS, MASK):
        close(found[MASK.bool()], expected[MASK.bool()])
    with pytest.raises(ValueError, match="odd reach, not 4"):
        formers.DebertaV2Model(formers.DebertaV2Config(**SIZES, conv_kernel_size=4))


def test_places_start_anew_in_every_cell_of_a_table() -> None:
    config = formers.TapasConfig(**SIZES, num_hidden_layers=0, max_position_embeddings=3)
    model = formers.TapasModel(config, add_pooling_layer=False).eval()
    types = torch.zeros(1, 7, 7, dtype=torch.long)
    types[0, 3:, 1] = torch.tensor([1, 1, 2, 2])
    types[0, 4:, 2] = 1
    at = torch.tensor([[0, 1, 2, 0, 0, 0, 1]])
    ids = torch.tensor([[4, 5, 6, 7, 8, 9, 10]])
    with torch.no_grad():
        found = model(ids, token_type_ids=types).last_hidden_state
        close(found, model(ids, token_type_ids=types, position_ids=at).last_hidden_state)
        long = model(torch.full((1, 9), 4)).last_hidden_state  # one cell, longer than the table of places
    close(long[0, 2:], long[0, 2].expand(7, -1))


def test_boxes_are_six_rows_of_four_tables() -> None:
    config = formers.LayoutLMConfig(**SIZES, num_hidden_layers=0, max_2d_position_embeddings=10)
    model = formers.LayoutLMModel(config).eval()
    own = model.embeddings
    box = torch.tensor([1, 2, 5, 9])
    with torch.no_grad():
        found = model(IDS[:1], bbox=box.expand(1, 5, -1)).last_hidden_state
        x, y = own.x_position_embeddings.weight, own.y_position_embeddings.weight
        sides = x[1] + y[2] + x[5] + y[9]
        sides = sides + own.h_position_embeddings.weight[7] + own.w_position_embeddings.weight[4]
        rest = own.position_embeddings.weight[:5] + own.token_type_embeddings.weight[0]
        close(found[0], own.LayerNorm(own.word_embeddings(IDS[0]) + rest + sides))
    with pytest.raises(IndexError, match="bbox hold -3, but the width table has 10 rows"):
        model(IDS[:1], bbox=torch.tensor([5, 2, 2, 9]).expand(1, 5, -1))


def test_words_without_labels_get_no_logits_where_the_config_says_so() -> None:
    sparse = {"sparse_prediction": True, "pad_token_id": 0, "num_hidden_layers": 1}
    model = formers.ModernBertForMaskedLM(formers.ModernBertConfig(**SIZES, **sparse)).eval()
    labels = torch.full_like(IDS, -100)
    labels[0, 1], labels[1, 2] = 3, 4
    with torch.no_grad():
        every, found = model(IDS, MASK).logits, model(IDS, MASK, labels=labels)
    close(found.logits, every[labels != -100])
    close(found.loss, F.cross_entropy(every.flatten(0, 1), labels.flatten()))
