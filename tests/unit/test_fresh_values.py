"""Models that nobody trained begin as their papers and the ecosystem have them begin."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import formers

SMALL = {"vocab_size": 40, "hidden_size": 64, "num_hidden_layers": 4, "state_size": 5}


def mixer(**values):
    torch.manual_seed(0)
    model = formers.MambaForCausalLM(formers.MambaConfig(**SMALL, **values))
    return model.backbone.layers[-1].mixer


def test_a_fresh_scan_forgets_at_every_speed_and_begins_with_steps_within_bounds():
    found = mixer(time_step_min=0.01, time_step_max=0.2)
    counts = torch.arange(1, 6).log().expand(128, 5)
    assert torch.equal(found.A_log, counts)
    assert found.D.eq(1).all()
    steps = torch.nn.functional.softplus(found.dt_proj.bias)
    assert steps.min() >= 0.01 - 1e-6
    assert steps.max() <= 0.2 + 1e-6
    middle = steps.log().mean().item()  # even in the logarithm
    assert abs(middle - (math.log(0.01) + math.log(0.2)) / 2) < 0.3
    floored = torch.nn.functional.softplus(mixer(time_step_floor=0.05).dt_proj.bias)
    assert floored.min() >= 0.05 - 1e-6


@pytest.mark.parametrize(("scheme", "scale"), [("random", 1.0), ("random", 0.5), ("constant", 2.0)])
def test_the_weights_that_choose_steps_begin_as_the_config_says(scheme, scale):
    weight = mixer(time_step_init_scheme=scheme, time_step_scale=scale).dt_proj.weight
    bound = scale * weight.shape[1] ** -0.5
    if scheme == "constant":
        assert torch.allclose(weight, torch.full_like(weight, bound))
    else:
        assert 0.9 * bound < weight.abs().max() <= bound


@pytest.mark.parametrize("shared", [False, True])
def test_a_fresh_convolution_and_projection_are_drawn_within_their_reach(shared):
    found = mixer(rescale_prenorm_residual=shared, conv_kernel=3)
    assert 0.9 * 3**-0.5 < found.conv1d.weight.abs().max() <= 3**-0.5
    assert found.conv1d.bias.eq(0).all()
    bound = 128**-0.5 / (2 if shared else 1)
    assert 0.9 * bound < found.out_proj.weight.abs().max() <= bound


def test_a_fresh_model_of_images_begins_with_small_positions_and_a_mask_of_zeros():
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = formers.ViTConfig(**sizes, image_size=32, patch_size=4, initializer_range=0.1)
    found = formers.ViTForMaskedImageModeling(config).vit.embeddings
    assert found.mask_token.eq(0).all()
    assert abs(found.position_embeddings.std().item() - 0.1) < 0.01
    assert 0.05 < found.cls_token.std().item() < 0.15
    assert abs(found.patch_embeddings.projection.weight.std().item() - 0.1) < 0.01


def test_norms_with_an_offset_begin_at_one():
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 8}
    config = formers.Gemma2Config(**sizes, **heads)
    model = formers.Gemma2Model(config)
    x = torch.randn(2, 16)
    for norm in (model.norm, model.layers[0].input_layernorm, model.layers[0].post_feedforward_layernorm):
        assert norm.weight.eq(0).all()
        plain = torch.nn.functional.rms_norm(x, (16,), eps=config.rms_norm_eps)
        torch.testing.assert_close(norm(x), plain)


def test_fresh_weights_of_modernbert_are_cut_and_small_where_sums_grow():
    torch.manual_seed(0)
    sizes = {"vocab_size": 200, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96}
    config = formers.ModernBertConfig(
        **sizes, num_hidden_layers=8, initializer_range=0.1, initializer_cutoff_factor=1.5, pad_token_id=0
    )
    found = formers.ModernBertForSequenceClassification(config)
    layer = found.model.layers[3]
    bounds = {layer.attn.Wqkv: 0.1, layer.mlp.Wo: 0.1 / 4, found.head.dense: 0.1 / 4, found.classifier: 1 / 8}
    for leaf, deviation in bounds.items():
        assert 0.8 * 1.5 * deviation < leaf.weight.abs().max() <= 1.5 * deviation


def test_a_model_whose_values_are_drawn_within_bounds_can_be_copied():
    config = formers.ModernBertConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        pad_token_id=0,
    )
    model = formers.ModernBertModel(config).eval()
    ids = torch.tensor([[3, 4, 5]])
    found = copy.deepcopy(model)(ids).last_hidden_state
    assert torch.equal(found, model(ids).last_hidden_state)
