"""What stands in texts for sounds and pictures, against the definition: means, cuts of prompts, scores."""

from __future__ import annotations

import pytest
import torch

from formers.assemblies.multimodal.image_text import begun, behind_picture
from formers.models.qwen2_audio import Qwen2AudioEncoderConfig
from formers.nn import spec
from formers.processing.document_retrieval import late_interaction


def test_means_are_of_rows_that_stand_together_and_no_silence_is_among_them() -> None:
    import formers

    torch.manual_seed(0)
    config = Qwen2AudioEncoderConfig(
        **{"num_mel_bins": 4, "d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2},
        **{"encoder_ffn_dim": 12, "max_source_positions": 7},
    )
    model = formers.Qwen2AudioEncoder(config).eval()
    frames, mask = torch.randn(2, 4, 14), torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    rows = list[torch.Tensor]()
    layers, norm = model.layers, model.layer_norm
    with torch.no_grad():
        packed = model(frames, attention_mask=mask).last_hidden_state
        layers[-1].register_forward_hook(lambda *call: rows.append(call[2]))
        watched = model(frames, attention_mask=mask).last_hidden_state
        alone = model(frames[1:], attention_mask=mask[1:]).last_hidden_state
        expected = norm((rows[0][:, 0:6:2] + rows[0][:, 1:6:2]) / 2)  # the seventh row is left over
    assert torch.allclose(watched, expected, atol=1e-6)
    assert torch.allclose(packed[0], watched[0], atol=1e-6)
    assert torch.allclose(packed[1, :2], watched[1, :2], atol=1e-6)
    assert torch.allclose(alone[0, :2], packed[1, :2], atol=1e-6)


@pytest.mark.parametrize("strides", [(1, 2), (2, 2), (1,)])
def test_rows_of_a_sound_are_those_that_convolutions_make_of_its_frames(strides: tuple[int, ...]) -> None:
    stem = spec.Frames(4, 8, 10, strides=strides)
    for frames in range(1, 30):
        x = torch.zeros(1, 1, frames)
        for stride in strides:
            x = torch.nn.functional.conv1d(x, torch.ones(1, 1, 3), stride=stride, padding=1)
        assert stem.rows(frames) == x.shape[-1]


def test_a_prompt_is_cut_behind_the_pictures_that_have_begun() -> None:
    here = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0, 0]]).bool()
    fills = [2, 3, 2]  # the first row shows two
    ends = [behind_picture(here, stop, fills) for stop in range(1, 9)]
    assert ends == [1, 3, 3, 5, 7, 7, 7, 8]
    assert [begun(here, stop, fills) for stop in (1, 3, 5, 9)] == [[], [0], [0, 1, 2], [0, 1, 2]]


def test_a_passage_scores_what_its_best_vectors_give_each_of_a_question() -> None:
    torch.manual_seed(0)
    questions = [torch.randn(size, 5) for size in (2, 4, 1)]
    passages = [torch.randn(size, 5).abs() for size in (3, 1)]
    found = late_interaction([q.abs() for q in questions], passages, batch_size=2)
    for i, question in enumerate(questions):
        for j, passage in enumerate(passages):
            best = sum(max(float(row @ other) for other in passage) for row in question.abs())
            assert found[i, j].item() == pytest.approx(best, rel=1e-5)
