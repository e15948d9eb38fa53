"""What a conformer of long sounds has beside others, against the definition written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import formers
from formers.models.phi4_multimodal import Phi4MultimodalAudioConfig
from formers.nn.positions import ClippedDistances
from formers.nn.tiling import Canvas, useful_lines

SMALL: dict[str, Any] = {
    **{"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "num_blocks": 1},
    **{"ext_pw_out_channel": 8, "depthwise_separable_out_channel": 8, "nemo_conv_channels": 3},
    **{"input_size": 5, "time_reduction": 2, "bias_max_distance": 2, "kernel_size": 4},
    "depthwise_multiplier": 2,
}


def _model(**more: Any) -> Any:
    torch.manual_seed(0)
    made = formers.Phi4MultimodalAudioModel(Phi4MultimodalAudioConfig(**{**SMALL, **more})).eval()
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.5)
    return made


@pytest.mark.parametrize(
    ("two_sided", "expected"),
    [(True, [[2, 3, 3, 3], [1, 2, 3, 3], [0, 1, 2, 3], [0, 0, 1, 2]]), (False, [[0, 1, 1, 1]])],
)
def test_distances_beyond_the_farthest_have_its_bias(two_sided: bool, expected: list[list[int]]) -> None:
    rule, at = ClippedDistances(4 if two_sided else 2, 2, two_sided), torch.arange(4)
    assert rule.index(at, at)[: len(expected)].tolist() == expected


def test_convolutions_look_back_alone_in_two_parts() -> None:
    model, seen = _model(), list[tuple[torch.Tensor, torch.Tensor]]()
    conv = model.encoders[0].conv
    conv.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    glu, apart = conv.glu, conv.dw_sep_conv_1d
    with torch.no_grad():
        model(torch.randn(2, 11, 5), None)
        x, found = seen[0]
        rows = conv.layer_norm(x).transpose(1, 2)
        value, gate = F.conv1d(rows, glu.ext_pw_conv_1d.weight, glu.ext_pw_conv_1d.bias).chunk(2, 1)
        rows = (value + glu.b1) * F.silu(gate + glu.b2)
        rows = F.conv1d(F.pad(rows, (3, 0)), apart.dw_conv.weight, apart.dw_conv.bias, groups=8)
        rows = F.silu(F.conv1d(rows, apart.pw_conv.weight, apart.pw_conv.bias))
        expected = F.conv1d(rows, conv.ext_pw_conv_1d.weight, conv.ext_pw_conv_1d.bias).transpose(1, 2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_what_is_real_gets_more_in_the_scores_and_padding_is_read() -> None:
    model, frames = _model(), torch.randn(2, 9, 5)
    mask = torch.arange(9) < torch.tensor([9, 6])[:, None]
    weights = list[torch.Tensor]()
    attention = model.encoders[0].self_attn
    attention.register_forward_hook(
        lambda *call: weights.append(call[2][0] if isinstance(call[2], tuple) else call[2])
    )
    states = list[torch.Tensor]()
    model.encoders[0].layer_norm_att.register_forward_hook(lambda *call: states.append(call[2]))
    with torch.no_grad():
        model(frames, mask)
        x, heads = states[0], 2
        q, k, v = (
            getattr(attention, f"{name}_proj")(x).view(2, 5, heads, 4).transpose(1, 2) for name in "qkv"
        )
        at = torch.arange(5)
        table = model.relative_attention_bias_layer.bias_values.weight
        far = table[(at[None] - at[:, None]).clamp(-2, 1) + 2].permute(2, 0, 1)
        real = (at < torch.tensor([5, 3])[:, None])[:, None, None].float()
        mixed = ((q @ k.transpose(-1, -2)) * 0.5 + far + real).softmax(-1) @ v
        expected = attention.o_proj(mixed.transpose(1, 2).flatten(2))
    assert torch.allclose(weights[0], expected, atol=1e-5)


def test_long_sounds_are_heard_span_by_span() -> None:
    model, frames = _model(), torch.randn(1, 1998, 5)  # 999 rows, of which the last span has 499
    with torch.no_grad():
        found = model(frames, None)
        rows: list[torch.Tensor] = []
        handle = model.embed.register_forward_hook(lambda *call: rows.append(call[2]))
        model(frames, None)
        handle.remove()
        spans = F.pad(rows[0], (0, 0, 0, 1)).reshape(2, 500, 8)
        model.embed.register_forward_hook(lambda *call: spans[1:])
        alone = model(torch.zeros(1, 1000, 5), None)
    assert found.shape == (1, 999, 8)
    assert torch.allclose(found[:, 500:], alone[:, :499], atol=1e-5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"time_reduction": 6}, "time_reduction is 2, 4, 8"),
        ({"ext_pw_out_channel": 9}, "ext_pw_out_channel must be 8"),
        ({"chunk_size": 4}, "chunk_size must be -1"),
    ],
)
def test_configs_that_no_model_of_sounds_can_have_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _model(**given)


def test_sounds_of_another_form_are_refused() -> None:
    model = _model()
    with pytest.raises(ValueError, match="hidden_states must have shape .B, frames, 5."):
        model(torch.randn(1, 9, 4), None)
    with pytest.raises(ValueError, match="mask must have an entry for every frame"):
        model(torch.randn(1, 9, 5), torch.ones(1, 8))
    with pytest.raises(TypeError, match="floating tensor"):
        model(torch.ones(1, 9, 5, dtype=torch.long), None)


def test_lines_of_crops_end_where_a_picture_does() -> None:
    rows = torch.arange(3 * 4.0).view(3, 4, 1)  # the whole, and two crops of 2 x 2
    canvas = Canvas((1, 2), 2, (1, 3))
    found = useful_lines(canvas, rows, torch.tensor([-1.0]), torch.tensor([-2.0])).flatten().tolist()
    assert found == [4, 5, 8, -1, -2, 0, 1, -1, 2, 3, -1]
    assert len(found) == canvas.count
