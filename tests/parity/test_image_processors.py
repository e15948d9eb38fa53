"""Image processors against the reference's on Pillow: numbers, sizes, files, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import formers
from formers.core.notices import Notice
from formers.processing.reading import BadPicture
from formers.processing.recipes import RECIPES
from parity.pictures import colours, pictures, turned

PICTURES = pictures()
# each rule of sizes once, on all pictures; the other families are these with other numbers
RULES = {
    "ViT": {},
    "CLIP": {},
    "DeiT": {"size": 40, "crop_size": {"height": 33, "width": 36}},
    "ConvNext": {"size": {"shortest_edge": 48}},
    "PoolFormer": {"size": 40, "crop_size": 32},
    "DPT": {"size": (60, 48), "keep_aspect_ratio": True, "ensure_multiple_of": 2},
    "EfficientNet": {"size": 40, "rescale_offset": True},
    "Levit": {"size": 40},
    "MobileViT": {"size": {"shortest_edge": 40}},
    "Blip": {"size": {"shortest_edge": 30, "longest_edge": 50}},
    "Owlv2": {"size": (24, 36)},
    "Siglip2": {"patch_size": 4, "max_num_patches": 60},
}


def both(family: str, **settings):
    name = f"{family}ImageProcessor"
    theirs = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    return theirs(**settings), getattr(formers, f"{family}ImageProcessor")(**settings)


@pytest.mark.filterwarnings("ignore:these pictures hold values from 0 to 1")
@pytest.mark.parametrize("family", RULES)
def test_awkward_pictures_become_the_same_numbers(family):
    theirs, own = both(family, **{"do_convert_rgb": True, **RULES[family]})
    for name, picture in PICTURES.items():
        if family != "ViT" and name == "large":
            continue
        expected = theirs(picture)["pixel_values"][0]
        found = own(picture, return_tensors="np").pixel_values[0]
        assert found.shape == expected.shape, name
        assert np.abs(found - expected).max() < 1e-4, name


# those that are left out need torchvision there; timm's have no file of their own
LEFT_OUT = {"Cohere2Vision", "DINOv3ViT", "Phi4Multimodal", "Sam2", "TimmWrapper"}


@pytest.mark.parametrize("family", sorted(RECIPES.keys() - LEFT_OUT))
def test_what_is_saved_is_what_the_reference_saves(family, tmp_path):
    theirs, own = both(family)
    (written,) = own.save_pretrained(tmp_path)
    with open(written) as file:
        assert file.read() == theirs.to_json_string()
    again = formers.AutoImageProcessor.from_pretrained(tmp_path)
    assert type(again) is type(own)
    assert again.to_dict() == own.to_dict()


def test_a_picture_without_three_channels_becomes_rgb_where_the_model_reads_that():
    own = formers.ViTImageProcessor(size=8)
    for name in ("grey", "palette", "CMYK", "RGBA"):
        assert own(PICTURES[name], return_tensors="pt").pixel_values.shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match="image_mean has 3 values, but the pictures have 1 channel"):
        own(PICTURES["grey"], do_convert_rgb=False)


def test_pictures_of_any_form_become_patches_with_masks_and_shapes():
    theirs, own = both("Siglip2", patch_size=4, max_num_patches=30)
    given = [PICTURES[name] for name in ("thin", "upright", "plain")]
    expected, found = theirs(given, return_tensors="pt"), own(given, return_tensors="pt")
    assert list(found) == list(expected) == own.model_input_names
    assert found.pixel_attention_mask.dtype == expected.pixel_attention_mask.dtype
    assert torch.equal(found.pixel_attention_mask, expected.pixel_attention_mask)
    assert torch.equal(found.spatial_shapes, expected.spatial_shapes)
    with pytest.raises(ValueError, match="leave do_resize on"):
        own(given[0], do_resize=False)


@pytest.mark.filterwarnings("ignore:these pictures hold values from 0 to 1")
def test_a_batch_is_what_its_pictures_are_alone():
    own = formers.CLIPImageProcessor(size={"shortest_edge": 20}, crop_size=16)
    given = [PICTURES[name] for name in ("plain", "upright", "floats", "CMYK", "odd")]
    together = own(given, return_tensors="pt").pixel_values
    assert together.dtype == torch.float32
    for row, one in zip(together, given, strict=True):
        assert torch.equal(row, own(one, return_tensors="pt").pixel_values[0])
    stacked = np.stack([colours(20, 20), colours(20, 20)])
    assert own([stacked[0], [stacked[1]]], return_tensors="np").pixel_values.shape == (2, 3, 16, 16)
    assert own(torch.from_numpy(stacked), return_tensors="np").pixel_values.shape == (2, 3, 16, 16)


def test_pictures_of_different_sizes_are_padded_with_masks_or_refused():
    own = formers.BlipImageProcessor(size={"shortest_edge": 8})
    given = [PICTURES["plain"], PICTURES["upright"]]
    with pytest.raises(ValueError, match="do_pad=True"):
        own(given, return_tensors="pt")
    made = own(given, return_tensors="pt", do_pad=True, return_mask=True)
    assert made.pixel_values.shape == (2, 3, 24, 11)
    assert made.pixel_mask.sum((1, 2)).tolist() == [8 * 11, 24 * 8]


def test_every_way_to_give_a_picture_is_read_upright_and_as_the_reference_reads_it(tmp_path):
    content = turned(6)
    path = tmp_path / "turned.jpg"
    path.write_bytes(content)
    expected = np.asarray(transformers.image_utils.load_image(str(path)))
    assert expected.shape == (60, 40, 3)
    text = base64.b64encode(content).decode()
    for given in (path, str(path), content, io.BytesIO(content), text, f"data:image/jpeg;base64,{text}"):
        assert np.array_equal(np.asarray(formers.load_image(given)), expected)
    # an image that Pillow holds stays as it is: whoever opened it may have turned it
    theirs, own = both("ViT", size={"height": 8, "width": 8})
    opened = Image.open(path)
    assert np.allclose(own(opened).pixel_values[0], theirs(opened)["pixel_values"][0], atol=1e-4)
    assert not np.allclose(own(opened).pixel_values[0], own(str(path)).pixel_values[0], atol=1e-2)


class _Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/picture.jpg" else 404)
        self.end_headers()
        self.wfile.write(turned(1) if self.path == "/picture.jpg" else b"none")

    def log_message(self, *args):
        pass


def test_addresses_are_read_and_one_that_has_none_is_named():
    server = HTTPServer(("127.0.0.1", 0), _Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert formers.load_image(f"{address}/picture.jpg").size == (60, 40)
        with pytest.raises(BadPicture, match=r"missing.jpg' does not answer with a picture: .*404"):
            formers.load_image(f"{address}/missing.jpg")
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(BadPicture, match="does not answer"):
        formers.load_image(f"{address}/picture.jpg", timeout=1)


def _bomb() -> bytes:
    """The head of a PNG that says it is 20,000 pixels high and wide."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\0IDAT\0\0\0\0"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.jpg", lambda: turned(1)[:-300], "cut.jpg' cannot be read: .*[Tt]runcated"),
        ("text.png", lambda: b"no picture at all", "text.png' is no picture in a format"),
        ("bomb.png", _bomb, "bomb.png' is too large: .*400000000 pixels"),
        ("gone.png", None, "there is no file .*gone.png'"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content())
    with pytest.raises(BadPicture, match=said):
        formers.load_image(path)
    with pytest.raises(BadPicture, match=rf"{name}.*\(picture 1 of 2\)"):
        formers.ViTImageProcessor()([PICTURES["plain"], str(path)])


def test_the_first_frame_of_an_animation_is_read_with_a_notice():
    held = io.BytesIO()
    frames = [Image.fromarray(colours(10, 10)), Image.fromarray(colours(10, 10)[::-1].copy())]
    frames[0].save(held, "gif", save_all=True, append_images=frames[1:])
    with pytest.warns(Notice, match="holds 2 frames"):
        assert formers.load_image(held.getvalue()).size == (10, 10)


def test_floats_from_0_to_1_are_scaled_once_more_with_a_notice():
    with pytest.warns(Notice, match="pass do_rescale=False"):
        formers.ViTImageProcessor(size=8)(PICTURES["floats"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("family", ["Owlv2", "ViT", "ZoeDepth"])
def test_pictures_that_are_almost_black_are_not_taken_for_scaled_ones(family):
    dark = np.zeros((20, 30, 3), dtype=np.uint8)
    dark[3, 4] = 1
    getattr(formers, f"{family}ImageProcessor")()([dark, Image.fromarray(dark)])


def test_values_that_cannot_be_resized_and_settings_that_say_nothing_are_refused():
    own = formers.ViTImageProcessor(size=8)
    with pytest.raises(BadPicture, match="values from 0.0 to 900.5"):
        own(np.linspace(0, 900.5, 300, dtype=np.float32).reshape(10, 10, 3))
    with pytest.raises(ValueError, match="channels neither first nor last"):
        own(np.zeros((10, 10, 7)))
    with pytest.raises(ValueError, match="size is a number"):
        formers.ViTImageProcessor(size={"height": 8})
    with pytest.raises(TypeError, match="did you mean 'do_resize'"):
        own(PICTURES["plain"], do_resiz=False)
    with pytest.raises(TypeError, match="a picture is a path"):
        own(3)


def test_maps_of_labels_go_with_their_pictures():
    theirs, own = both("Segformer", size={"height": 12, "width": 16}, do_reduce_labels=True)
    labels = np.random.default_rng(0).integers(0, 5, (50, 70)).astype(np.uint8)
    expected = theirs(PICTURES["plain"], segmentation_maps=labels.copy())["labels"][0]
    found = own(PICTURES["plain"], segmentation_maps=Image.fromarray(labels), return_tensors="pt").labels
    assert found.dtype == torch.int64
    assert np.array_equal(found[0], expected)
    with pytest.raises(TypeError, match="takes no segmentation_maps"):
        formers.ViTImageProcessor()(PICTURES["plain"], segmentation_maps=labels)


@pytest.mark.parametrize(
    ("content", "name", "size"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 30}, "ViT", {"height": 30, "width": 30}),
        ({"image_processor_type": "CLIPFeatureExtractor", "size": 30}, "CLIP", {"shortest_edge": 30}),
        ({"image_processor_type": "BeitImageProcessorFast", "reduce_labels": True}, "Beit", None),
        ({"size": {"shortest_edge": 30}}, "ConvNext", {"shortest_edge": 30}),
    ],
)
def test_older_files_are_read_and_what_nobody_knows_is_kept(tmp_path, content, name, size):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**content, "own_note": 3}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    for auto in (formers.AutoImageProcessor, formers.AutoFeatureExtractor):
        found = auto.from_pretrained(tmp_path, do_normalize=False)
        assert type(found) is getattr(formers, f"{name}ImageProcessor")
    assert size is None or found.size == size
    assert found.to_dict()["own_note"] == 3
    assert found.do_normalize is False
    assert getattr(found, "do_reduce_labels", False) is ("reduce_labels" in content)


def test_one_class_answers_to_all_its_names_and_an_unknown_one_is_refused(tmp_path):
    assert formers.ViTImageProcessorFast is formers.ViTFeatureExtractor is formers.ViTImageProcessor
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "EomtImageProcessor"}')
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(ValueError, match="names EomtImageProcessor .*not part of this version"):
        formers.AutoImageProcessor.from_pretrained(tmp_path)
    nested = {"image_processor": {"image_processor_type": "CLIPImageProcessor", "size": 20}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert formers.AutoImageProcessor.from_pretrained(tmp_path).size.shortest_edge == 20


def test_features_move_and_cast_floats_alone():
    made = formers.ViTImageProcessor(size=4)(PICTURES["plain"], return_tensors="pt")
    made["labels"] = torch.tensor([1])
    made.to("cpu", torch.bfloat16)
    assert (made.pixel_values.dtype, made.labels.dtype) == (torch.bfloat16, torch.int64)
    with pytest.raises(AttributeError, match=r"holds \['pixel_values', 'labels'\]"):
        made.pixel_value  # noqa: B018


@pytest.mark.parametrize("family", ["VideoMAE", "Vivit"])
def test_films_become_the_same_numbers(family):
    theirs, own = both(family, size={"shortest_edge": 20}, crop_size={"height": 16, "width": 18})
    film = [colours(30, 24), colours(30, 24)[::-1], colours(30, 24)[:, ::-1]]
    for given in (film, [film, film[::-1]]):
        expected = np.asarray(theirs(given)["pixel_values"])
        found = own(given, return_tensors="np").pixel_values
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4
