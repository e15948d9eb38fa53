"""What a stack owns beside its layers, and layers that share weights, against plain loops."""

from __future__ import annotations

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
