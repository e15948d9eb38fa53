"""Processors that join a tokenizer and what prepares pictures or sounds, as data: a row for each family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

_LONGEST: dict[str, Any] = {"padding": "max_length"}
_SIXTY_FOUR = {**_LONGEST, "max_length": 64}
_PATCHES = {"max_num_patches": 256, "patch_size": 16}
_TENSORS, _ARRAYS = {"return_tensors": "pt"}, {"return_tensors": "np"}
_QUERIES = ("query_images", "query_pixel_values")


@dataclass(frozen=True)
class Shows:
    """How texts show pictures.

    Attributes:
        rule: which function of `placeholders` writes what stands for a picture.
        image: what a text says where it shows one, unless tokenizer or files say it; `video` for a film.
        settings: what the processor keeps beside its parts, by the names of its file, and from what on.
        films: the family that prepares films; empty for none.
        rate: the name under which it is told how far apart their frames are; empty for none.
        mark: the tokenizer's name of what a text says where it shows one, if that is not what then stands for
            it; empty where it is.
        untold: what the image processor says of pictures and models do not take.
        prompts: texts are prompts behind pictures, and what is to be written comes by itself.
        tasks: likewise, that may name tasks; what is written says places.
        kinds: the name under which it is told which tokens are pictures (1) and films (2); empty for none.
    """

    rule: str
    image: str = "<image>"
    video: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    kinds: str = ""
    films: str = ""
    rate: str = ""
    mark: str = ""
    untold: tuple[str, ...] = ()
    prompts: bool = False
    tasks: bool = False


@dataclass(frozen=True)
class Pair:
    """One family's processor.

    Attributes:
        images: the family of `recipes` that prepares pictures, where files do not name one; empty for none.
        model_types: model types whose checkpoints may leave the class out.
        text: keywords of the tokenizer's call, `pictures` of the image processor's, that differ from theirs.
        unread: what the tokenizer gives and the models do not take.
        queries: a picture may have several texts.
        shown: by which name pictures are given in place of texts, and what their values are called.
        labels: beside pictures a text is what is to be written: its tokens are `labels`, and all there is
            of it where they are `alone`.
        fields: what is written may be fields between marks, which `token2json` reads.
        beside: keywords of the tokenizer's call where pictures are given too.
        sounds: it prepares sounds in place of pictures.
        compares: texts beside sounds are no transcripts: they are compared, and their ids stay what they are.
        targets: both sounds and texts may be read, and both may be what is to be said or written.
        pointed: no texts are read, but what is pointed at.
        nested: likewise, in nested lists, and pictures are stretched.
        tasked: no texts are read, but the tasks of pictures.
        shows: texts show pictures by what stands there for them.
        phrases: texts are phrases with a full stop behind each, or lists of such to be joined.
        markdown: what is written are pages in Markdown, which the tokenizer corrects.
        asks: texts stand behind a token for each vector that asks their picture.
        pages: it prepares words in boxes; `picture` is the name under which models read the page's picture.
    """

    images: str
    model_types: tuple[str, ...] = ()
    text: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    queries: bool = False
    shown: tuple[str, str] | None = None
    labels: Literal["", "beside", "alone"] = ""
    beside: Mapping[str, Any] = field(default_factory=dict)
    fields: bool = False
    sounds: bool = False
    compares: bool = False
    targets: bool = False
    pointed: bool = False
    nested: bool = False
    tasked: bool = False
    shows: Shows | None = None
    pages: bool = False
    picture: str = "pixel_values"
    markdown: bool = False
    asks: bool = False
    phrases: bool = False


_TYPES = ("token_type_ids",)
_LLAVA: dict[str, Any] = {
    "patch_size": None,
    "vision_feature_select_strategy": None,
    "image_token": "<image>",
    "num_additional_image_tokens": 0,
}
_GRIDS = Shows("blocks", "<|image_pad|>", "<|video_pad|>", kinds="mm_token_type_ids", films="Qwen2VL")
_SCANNED: dict[str, Any] = {
    "do_convert_rgb": True,
    "do_pan_and_scan": False,
    "pan_and_scan_min_crop_size": 256,
    "pan_and_scan_max_num_crops": 4,
    "pan_and_scan_min_ratio_to_activate": 1.2,
}
PAIRS: dict[str, Pair] = {
    "Align": Pair("EfficientNet", ("align",), _SIXTY_FOUR),
    "AltCLIP": Pair("CLIP", ("altclip",)),
    "Blip": Pair("Blip", ("blip",), {"return_token_type_ids": False}, unread=("token_type_ids",)),
    "Blip2": Pair(
        "Blip", ("blip-2",), {"return_token_type_ids": False}, unread=("token_type_ids",), asks=True
    ),
    "ChineseCLIP": Pair("ChineseCLIP", ("chinese_clip",)),
    "Clap": Pair("", ("clap",), sounds=True, compares=True),
    "CLIP": Pair("CLIP", ("clip", "groupvit", "metaclip_2")),
    "CLIPSeg": Pair("ViT", ("clipseg",), shown=("visual_prompt", "conditional_pixel_values")),
    "Donut": Pair(
        "Donut",
        ("donut-swin",),
        labels="beside",
        beside={"add_special_tokens": False},
        fields=True,
    ),
    "Gemma3": Pair(
        "Gemma3",
        ("gemma3",),
        pictures=_SCANNED,
        unread=_TYPES,
        shows=Shows(
            "framed",
            mark="boi_token",
            settings={"image_seq_length": 256},
            untold=("num_crops",),
            kinds="token_type_ids",
        ),
    ),
    "Florence2": Pair(
        "CLIP",
        ("florence2",),
        {"add_special_tokens": False},
        unread=_TYPES,
        shows=Shows(
            "counted", settings={"num_additional_image_tokens": 0, "post_processor_config": None}, tasks=True
        ),
    ),
    "GroundingDino": Pair(
        "GroundingDino", ("grounding-dino",), {"return_token_type_ids": True}, phrases=True
    ),
    "Git": Pair("CLIP", ("git",)),
    "Llava": Pair("CLIP", ("llava",), unread=_TYPES, shows=Shows("patches_of_one_size", settings=_LLAVA)),
    "LayoutLMv2": Pair("LayoutLMv2", ("layoutlmv2",), pages=True, picture="image"),
    "LayoutLMv3": Pair("LayoutLMv3", ("layoutlmv3",), pages=True),
    "LayoutXLM": Pair("LayoutLMv2", ("layoutxlm",), pages=True, picture="image"),
    "Nougat": Pair("Nougat", ("nougat",), labels="alone", markdown=True),
    "OneFormer": Pair("OneFormer", ("oneformer",), tasked=True),
    "OwlViT": Pair("OwlViT", ("owlvit",), {**_LONGEST, **_TENSORS}, _TENSORS, queries=True, shown=_QUERIES),
    "Owlv2": Pair("Owlv2", ("owlv2",), {**_LONGEST, **_ARRAYS}, _ARRAYS, queries=True, shown=_QUERIES),
    "PaliGemma": Pair("Siglip", ("paligemma",), shows=Shows("counted", prompts=True)),
    "Qwen2VL": Pair("Qwen2VL", ("qwen2_vl",), unread=_TYPES, shows=_GRIDS),
    "Qwen2_5_VL": Pair(
        "Qwen2VL", ("qwen2_5_vl",), unread=_TYPES, shows=replace(_GRIDS, rate="second_per_grid_ts")
    ),
    "Qwen3VL": Pair(
        "Qwen2VL",
        ("qwen3_vl",),
        {"return_token_type_ids": False},
        unread=_TYPES,
        shows=replace(_GRIDS, films="Qwen3VL"),
    ),
    "Sam": Pair("Sam", ("sam",), pointed=True),
    "Sam2": Pair("Sam2", ("sam2",), pointed=True, nested=True),
    "Siglip": Pair("Siglip", ("siglip",)),
    "Siglip2": Pair("Siglip2", ("siglip2",), {**_SIXTY_FOUR, "truncation": True}, _PATCHES),
    "Speech2Text": Pair("", ("speech_to_text",), sounds=True),
    "SpeechT5": Pair("", ("speecht5",), sounds=True, targets=True),
    "TrOCR": Pair("ViT", ("trocr",), labels="alone"),
    "Vilt": Pair("Vilt", ("vilt",)),
    "VisionTextDualEncoder": Pair("ViT", ("vision-text-dual-encoder",)),
    "Wav2Vec2Bert": Pair("", ("wav2vec2-bert",), sounds=True),
    "Wav2Vec2": Pair(
        "",
        (
            *("hubert", "moonshine", "unispeech", "unispeech-sat"),
            *("wav2vec2", "wav2vec2-conformer", "wavlm"),
        ),
        sounds=True,
    ),
    "Whisper": Pair("", ("whisper",), sounds=True),
}
MODEL_TYPES = {kind: name for name, pair in PAIRS.items() for kind in pair.model_types}
CLASSES = {f"{name}Processor": name for name in PAIRS}
