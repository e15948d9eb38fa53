"""SAM 2 of films beside the reference: prompts by frame, memories, both directions; and its processor."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from parity.pictures import colours
from parity.vision_masks_shapes import FILMED

SIZES = {"height": 32, "width": 32}
FRAMES = [np.roll(colours(40, 50), 3 * shift, axis=1) for shift in range(6)]
POINTS = {"input_points": [[[[10, 20]], [[30, 5]]]], "input_labels": [[[1], [1]]]}


def _write(home: Path, **options: Any) -> Any:
    """A model of the reference, most of whose objects are to be seen."""
    torch.manual_seed(0)
    parts = copy.deepcopy(FILMED)
    parts["vision_config"]["backbone_config"]["num_channels"] = 3
    model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig(**{**parts, **options})).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.add_(1.0)
    model.save_pretrained(home)
    images = formers.Sam2ImageProcessor(size=SIZES, mask_size={"height": 8, "width": 8})
    formers.Sam2VideoProcessor(images, formers.Sam2VideoVideoProcessor(size=SIZES)).save_pretrained(home)
    return model


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The reference's model, ours, and their folder."""
    home = tmp_path_factory.mktemp("sam2_video")
    return _write(home), formers.Sam2VideoModel.from_pretrained(home), home


def _theirs(home: Path) -> Any:
    """The reference's processor, whose parts need torchvision, with what it asks of them."""
    from transformers.models.sam2_video.processing_sam2_video import Sam2VideoProcessor

    made = Sam2VideoProcessor.__new__(Sam2VideoProcessor)
    made.image_processor, made.point_pad_value, made.target_size = None, -10, 32
    return made


def _sessions(home: Path) -> list[tuple[Any, Any]]:
    """A processor and a session of each, whose frames ours prepared."""
    own = formers.AutoProcessor.from_pretrained(home)
    assert type(own) is formers.Sam2VideoProcessor
    session = own.init_video_session(FRAMES)
    video = torch.stack([session.get_frame(i) for i in range(len(FRAMES))])
    theirs = transformers.Sam2VideoInferenceSession(video, 40, 50, dtype=torch.float32)
    return [(_theirs(home), theirs), (own, session)]


def _close(theirs: Any, ours: Any, tolerance: float = 1e-5) -> None:
    assert (ours.object_ids, ours.frame_idx) == (theirs.object_ids, theirs.frame_idx)
    for name in ("pred_masks", "object_score_logits"):
        assert ours[name].shape == theirs[name].shape
        torch.testing.assert_close(ours[name], theirs[name], atol=tolerance, rtol=tolerance)


def _kept(theirs: Any, ours: Any, tolerance: float = 1e-5) -> None:
    """What both hold of every object in every frame."""
    for number, kinds in theirs.output_dict_per_obj.items():
        for kind, frames in kinds.items():
            found = ours.output_dict_per_obj[number][kind]
            assert found.keys() == frames.keys()
            for at, one in found.items():
                for name, value in one.items():
                    far = 10 * tolerance if name == "maskmem_features" else tolerance  # long sums
                    torch.testing.assert_close(value, frames[at][name], atol=far, rtol=far)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            **{"max_cond_frame_num": 2, "num_maskmem": 2, "multimask_output_in_sam": False},
            **{
                "enable_temporal_pos_encoding_for_object_pointers": False,
                "max_object_pointers_in_encoder": 2,
            },
            **{"enable_occlusion_spatial_embedding": False, "memory_attention_num_attention_heads": 2},
            **{"rope_parameters": {"rope_type": "axial", "rope_theta": 50.0}},
        },
        {
            **{
                "multimask_output_for_tracking": False,
                "multimask_min_pt_num": 1,
                "mask_downsampler_stride": 4,
            },
            **{
                "memory_attention_downsample_rate": 2,
                "mask_downsampler_padding": 0,
                "memory_fuser_num_layers": 1,
            },
            **{"mask_downsampler_kernel_size": 4, "mask_downsampler_hidden_act": "relu"},
            "memory_attention_feed_forward_hidden_act": "gelu",
        },
        {"num_maskmem": 0},
    ],
    ids=["plain", "little memory", "other parts", "no memory"],
)
def test_objects_are_followed_as_in_the_reference(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # memories of both in all bits: the last ones decide how they are rounded
    monkeypatch.setattr(torch, "bfloat16", torch.float32)
    models = [_write(tmp_path, **options), formers.Sam2VideoModel.from_pretrained(tmp_path)]
    both = _sessions(tmp_path)

    def point(frame: int, ids: Any, **said: Any) -> None:
        for own, session in both:
            own.add_inputs_to_inference_session(session, frame, ids, **said)

    def follow(**where: Any) -> None:
        walks = [
            model.propagate_in_video_iterator(session, **where)
            for model, (_, session) in zip(models, both, strict=True)
        ]
        for theirs, ours in zip(*walks, strict=True):
            _close(theirs, ours)

    def look(frame: int, **more: Any) -> None:
        _close(*(model(one[1], frame, **more) for model, one in zip(models, both, strict=True)))

    point(2, [7, 3], **POINTS)
    look(2)
    follow()
    follow(reverse=True)
    follow(start_frame_idx=0, reverse=True)
    point(4, 9, input_masks=np.arange(2000).reshape(40, 50) % 50 > 30)
    follow(start_frame_idx=4, max_frame_num_to_track=1)
    boxes = {"input_boxes": [[[3, 4, 30, 20]]], "input_points": [[[[8, 9]]]], "input_labels": [[[0]]]}
    point(5, 7, **boxes)
    look(5, run_mem_encoder=False)
    point(5, 7, input_points=[[[[20, 30]]]], input_labels=[[[1]]], clear_old_inputs=False)
    look(5)
    point(0, 3, input_masks=torch.zeros(40, 50))
    look(0)
    follow(start_frame_idx=5, reverse=True)
    _kept(*(session for _, session in both))


def test_frames_may_come_one_by_one(written: tuple[Any, Any, Path]) -> None:
    theirs, ours, home = written
    own = formers.Sam2VideoProcessor.from_pretrained(home)
    sessions = [transformers.Sam2VideoInferenceSession(dtype=torch.float32), own.init_video_session()]
    for number, frame in enumerate(FRAMES):
        read = own(images=Image.fromarray(frame), return_tensors="pt")
        for one, session in zip((_theirs(home), own), sessions, strict=True):
            if number == 0:
                one.add_inputs_to_inference_session(session, 0, 1, **_first(POINTS), original_size=(40, 50))
        pixels = read["pixel_values"][0]
        found = [
            model(session, frame=pixels) for model, session in zip((theirs, ours), sessions, strict=True)
        ]
        _close(*found, tolerance=1e-3)  # memories are rounded to 8 bits
        assert len(sessions[1].cache._frames) == 1  # bounded, however long the film
    _kept(*sessions, tolerance=1e-2)
    sessions[1].reset_inference_session()
    assert (sessions[1].num_frames, sessions[1].get_obj_num()) == (6, 0)


def _first(prompts: dict[str, Any]) -> dict[str, Any]:
    """Of the first object alone."""
    return {name: [one[0][:1]] for name, one in prompts.items()}


def test_files_of_films_open_for_pictures_too(written: tuple[Any, Any, Path], recwarn: Any) -> None:
    theirs, _, home = written
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    points = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(2)) * 32
    auto = formers.AutoModelForMaskGeneration.from_pretrained(home)
    named = formers.Sam2Model.from_pretrained(home)
    assert type(auto) is type(named) is formers.Sam2Model
    assert type(formers.AutoModel.from_pretrained(home)) is formers.Sam2VideoModel
    assert type(formers.pipeline("mask-generation", model=str(home), device="cpu").model) is formers.Sam2Model
    assert not [one for one in recwarn if "model" in str(one.message)]
    expected = transformers.Sam2Model.from_pretrained(home)
    with torch.no_grad():
        for ours in (auto, named):
            for name, value in expected(images, input_points=points).items():
                if name in ("iou_scores", "pred_masks", "object_score_logits"):
                    torch.testing.assert_close(
                        ours(images, input_points=points)[name], value, atol=1e-5, rtol=1e-5
                    )


def test_saving_gives_the_same_bytes(written: tuple[Any, Any, Path], tmp_path: Path) -> None:
    theirs, ours, home = written
    assert set(ours.state_dict()) == set(theirs.state_dict())
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (home / "model.safetensors").read_bytes()
    _, info = transformers.Sam2VideoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_every_hook_fires_where_the_references_does(written: tuple[Any, Any, Path]) -> None:
    theirs, ours, home = written
    seen: list[dict[str, list[Any]]] = []
    for model, (own, session) in zip((theirs, ours), _sessions(home), strict=True):
        own.add_inputs_to_inference_session(session, 0, [1, 2], **POINTS)
        model(session, 0)
        fired: dict[str, list[Any]] = {}

        def note(name: str, into: dict[str, list[Any]]) -> Any:
            def hook(_: Any, __: Any, out: Any) -> None:
                first = out[0] if isinstance(out, (tuple, list)) else out
                into.setdefault(name, []).append(getattr(first, "shape", None))

            return hook

        handles = [
            one.register_forward_hook(note(name, fired)) for name, one in model.named_modules() if name
        ]
        model(session, 1)
        for handle in handles:
            handle.remove()
        seen.append(fired)
    assert [name for name in seen[0] if name not in seen[1]] == []
    unlike = [name for name, shapes in seen[0].items() if not name.startswith("vision_encoder") and
              shapes != seen[1][name]]  # fmt: skip
    assert unlike == []


def test_what_does_not_fit_is_refused(written: tuple[Any, Any, Path]) -> None:
    _, ours, home = written
    own, session = _sessions(home)[1]
    with pytest.raises(TypeError, match=r"init_video_session\(video="):
        ours(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="there is nothing to look for"):
        ours(session, 0)
    add = own.add_inputs_to_inference_session
    with pytest.raises(ValueError, match="must be given together"):
        add(session, 0, 1, input_points=[[[[1, 2]]]])
    with pytest.raises(ValueError, match="input_masks alone must say"):
        add(session, 0, 1)
    with pytest.raises(ValueError, match="input_points are of 2 objects in 1 pictures, but obj_ids names 1"):
        add(session, 0, 1, **POINTS)
    with pytest.raises(ValueError, match="takes clear_old_inputs=True"):
        add(session, 0, 1, input_boxes=[[[1, 2, 3, 4]]], clear_old_inputs=False)
    with pytest.raises(ValueError, match=r"a mask of input_masks is \[height, width\]"):
        add(session, 0, 1, input_masks=np.zeros((2, 40, 50)))
    with pytest.raises(ValueError, match="original_size must say"):
        add(own.init_video_session(), 0, 1, **_first(POINTS))
    add(session, 0, [1, 2], **POINTS)
    with pytest.raises(ValueError, match="frame_idx or frame must say"):
        ours(session)
    with pytest.raises(ValueError, match="there is no frame 9: the session holds 6 frames"):
        ours(session, 9)
    with pytest.raises(ValueError, match="start_frame_idx must say where to begin"):
        next(ours.propagate_in_video_iterator(session))
    ours(session, 0, run_mem_encoder=False)
    with pytest.raises(ValueError, match="looked at with run_mem_encoder=False"):
        ours(session, 1)
    session.reset_tracking_data()
    add(session, 0, [1, 2], **POINTS)
    add(session, 3, 1, **_first(POINTS))
    with pytest.raises(ValueError, match="object 2 was pointed at in no frame that was looked at yet"):
        ours(session, 3)
    with pytest.raises(ValueError, match="a session is of one film, not of 2"):
        own.init_video_session([FRAMES[:2], FRAMES[2:4]])
