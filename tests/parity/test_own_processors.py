"""Processors of packages, which stand on the bases of this one: saved, loaded, and called as they say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import transformers
from PIL import Image
from transformers import processing_utils

import formers
from formers.image_processing_utils import BaseImageProcessor, BatchFeature, get_size_dict
from formers.image_processing_utils_fast import BaseImageProcessorFast
from formers.image_transforms import resize, to_channel_dimension_format
from formers.image_utils import ChannelDimension, PILImageResampling, make_list_of_images, to_numpy_array
from formers.processing_utils import ImagesKwargs, ProcessingKwargs, TextKwargs, Unpack
from parity.pictures import colours

PICTURES = [Image.fromarray(colours(*size)) for size in ((20, 30), (9, 40))]


class Halved(BaseImageProcessor):
    """As packages write them: settings by name, and steps one after the other."""

    model_input_names = ["pixel_values", "places"]

    def __init__(self, size=None, share=0.5, resample=PILImageResampling.BICUBIC, **kwargs):
        super().__init__(**kwargs)
        self.size = get_size_dict(size if size is not None else 16)
        self.share, self.resample = share, resample

    def preprocess(self, images, size=None, return_tensors=None, data_format=ChannelDimension.FIRST):
        size = get_size_dict(size if size is not None else self.size)
        edges = (size["height"], size["width"])
        images = [to_numpy_array(one) for one in make_list_of_images(self.fetch_images(images))]
        images = [resize(one, edges, self.resample) for one in images]
        images = [self.rescale(one, 1 / 255) for one in images]
        images = [self.normalize(image=one, mean=[0.5] * 3, std=[self.share] * 3) for one in images]
        images = [self.center_crop(one, {"height": 8, "width": 8}) for one in images]
        images = [to_channel_dimension_format(one, data_format) for one in images]
        return BatchFeature({"pixel_values": images}, tensor_type=return_tensors)


def test_a_processor_of_a_package_does_what_its_preprocess_says(tmp_path):
    made = Halved(share=0.25)
    found = made(PICTURES, return_tensors="np").pixel_values
    same = formers.ViTImageProcessor(
        **{"size": 16, "resample": 3, "image_std": [0.25] * 3, "do_center_crop": True, "crop_size": 8}
    )
    assert np.allclose(found, same(PICTURES, return_tensors="np").pixel_values, atol=1e-5)
    PICTURES[0].save(tmp_path / "one.png")
    assert np.array_equal(made(str(tmp_path / "one.png"))["pixel_values"][0], found[0])


def test_its_settings_are_saved_and_loaded_and_registered_for_a_config(tmp_path):
    Halved(size=12, share=0.25).save_pretrained(tmp_path)
    again = Halved.from_pretrained(tmp_path, share=0.75)
    assert (again.size, again.share, again.resample) == ({"height": 12, "width": 12}, 0.75, 3)

    class HalvedConfig(formers.PretrainedConfig):
        model_type = "halved"

    HalvedConfig().save_pretrained(tmp_path)
    formers.AutoImageProcessor.register(HalvedConfig, Halved)
    assert type(formers.AutoImageProcessor.from_pretrained(tmp_path)) is Halved


class OwnKeywords(ImagesKwargs, total=False):
    tiles: int | None


class Fast(BaseImageProcessorFast):
    valid_kwargs = OwnKeywords
    size = {"shortest_edge": 10}
    default_to_square = False
    crop_size = {"height": 8, "width": 8}
    resample = PILImageResampling.BICUBIC
    image_mean, image_std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    do_resize = do_center_crop = do_rescale = do_normalize = True
    tiles = 4


def test_attributes_of_a_class_are_the_settings_that_it_starts_from(tmp_path):
    from transformers.image_processing_backends import PilBackend

    class Theirs(PilBackend):
        size, default_to_square, crop_size = Fast.size, False, Fast.crop_size
        resample, image_mean, image_std = Fast.resample, Fast.image_mean, Fast.image_std
        do_resize = do_center_crop = do_rescale = do_normalize = True

    for options in ({}, {"size": 12}, {"do_center_crop": False, "size": {"height": 6, "width": 9}}):
        found = Fast(**options)(PICTURES, return_tensors="np").pixel_values
        expected = Theirs(**options)(PICTURES, return_tensors="np").pixel_values
        assert np.allclose(found, expected, atol=1e-5)
    assert Fast().tiles == 4
    Fast(tiles=2).save_pretrained(tmp_path)
    assert Fast.from_pretrained(tmp_path).tiles == 2
    with pytest.raises(TypeError, match="titles"):
        Fast()(PICTURES, titles=1)
    with pytest.raises(TypeError, match="_preprocess would not be called"):
        type("Inner", (BaseImageProcessorFast,), {"_preprocess": print})


class OwnText(TextKwargs, total=False):
    marks: bool


def _keywords(base, text):
    class Own(base, total=False):
        text_kwargs: text
        _defaults = {
            "text_kwargs": {"padding": True, "marks": False},
            "images_kwargs": {"do_resize": False},
            "common_kwargs": {"return_tensors": "pt"},
        }

    Own.__annotations__["text_kwargs"] = text
    return Own


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"marks": True, "do_resize": True},
        {"text_kwargs": {"padding": "max_length"}, "return_tensors": "np"},
        {"max_length": 5, "images_kwargs": {"size": {"height": 2, "width": 2}}},
    ],
)
def test_keywords_are_told_apart_as_in_the_reference(given):
    class TheirText(processing_utils.TextKwargs, total=False):
        marks: bool

    theirs = _keywords(processing_utils.ProcessingKwargs, TheirText)
    own = type("Own", (formers.ProcessorMixin,), {"attributes": ()})()
    settings = {"padding_side": "left", "unknown": 1}
    bare = object.__new__(transformers.ProcessorMixin)
    bare.tokenizer = SimpleNamespace()
    expected = transformers.ProcessorMixin._merge_kwargs(bare, theirs, settings, **given)
    found = own._merge_kwargs(_keywords(ProcessingKwargs, OwnText), settings, **given)
    for kind in ("text_kwargs", "images_kwargs", "videos_kwargs", "audio_kwargs"):
        assert found[kind] == expected[kind], kind


def test_a_keyword_that_no_kind_has_is_refused():
    class Own(formers.ProcessorMixin):
        attributes = ()

        def __call__(self, text=None, **given: Unpack[ProcessingKwargs]):
            return self._merge_kwargs(ProcessingKwargs, **given)

    assert Own()(padding=True)["text_kwargs"] == {"padding": True}
    with pytest.raises(TypeError, match="paddin"):
        Own()(paddin=True)
    with pytest.raises(ValueError, match="given twice"):
        Own()(padding=True, text_kwargs={"padding": False})


_FEW = {"shortest_edge": 16, "longest_edge": 64}


def _words(folder):
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat"]))
    return formers.BertTokenizerFast(str(folder / "vocab.txt"))


def test_parts_may_be_parameters_and_other_parameters_settings(tmp_path):
    class Heard(formers.ProcessorMixin):
        def __init__(self, feature_extractor=None, tokenizer=None, tone=3):
            super().__init__(feature_extractor, tokenizer)
            self.tone = tone

    extractor = formers.Wav2Vec2FeatureExtractor(do_normalize=False)
    Heard(extractor, _words(tmp_path), tone=5).save_pretrained(tmp_path)
    again = Heard.from_pretrained(tmp_path)
    assert (Heard.attributes, again.tone) == (("feature_extractor", "tokenizer"), 5)
    sound = np.linspace(-1, 1, 40, dtype=np.float32)
    found = again(text="a cat", audio=sound, sampling_rate=16000, return_tensors="np")
    assert np.array_equal(found["input_values"][0], sound)
    assert np.array(found["input_ids"]).ravel().tolist() == [2, 5, 6, 3]
    assert set(again(audio=sound, sampling_rate=16000)) == {"input_values"}
    assert Heard.from_pretrained(tmp_path, tone=1, do_normalize=True).feature_extractor.do_normalize
    for wrong in ({"audio": sound, "sampling_rate": 16000, "tones": 8}, {"text": "a", "tones": 8}):
        with pytest.raises(TypeError, match="tones"):
            again(**wrong)
    with pytest.raises(TypeError, match="has no video_processor, so it reads no videos"):
        again(videos=[sound])
    with pytest.raises(TypeError, match="tones"):
        Heard.from_pretrained(tmp_path, tones=1)


def test_parts_may_be_named_by_their_classes(tmp_path):
    class Seen(formers.ProcessorMixin):
        image_processor_class = "AutoImageProcessor"
        video_processor_class = "Qwen2VLVideoProcessor"
        tokenizer_class = ("BertTokenizer", "BertTokenizerFast")

    assert Seen.attributes == ("image_processor", "video_processor", "tokenizer")
    films = formers.Qwen2VLVideoProcessor(patch_size=2, merge_size=1, size=_FEW)
    made = Seen(formers.ViTImageProcessor(size=8), films, _words(tmp_path))
    made.save_pretrained(tmp_path)
    again = Seen.from_pretrained(tmp_path, image_std=[0.1, 0.2, 0.3])
    assert again.image_processor.image_std == [0.1, 0.2, 0.3]
    film = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    found = again(images=film[0], text="cat", videos=[film], return_tensors="np")
    expected = {"input_ids", "attention_mask", "token_type_ids", "pixel_values"}
    assert set(found) == {*expected, "pixel_values_videos", "video_grid_thw"}
    assert found["video_grid_thw"][0, 0] == 1


def test_a_part_that_nobody_finds_is_named(tmp_path):
    class Other(formers.ProcessorMixin):
        attributes = ("tokenizer", "other_thing")

    with pytest.raises(TypeError, match="parts that are not found by themselves .other_thing."):
        Other.from_pretrained(tmp_path)
