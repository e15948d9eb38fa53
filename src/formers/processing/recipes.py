"""What each family of image processors does, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.processing.audio.recipes import CLASSES as SOUNDS
from formers.processing.recipe import (
    BICUBIC,
    BILINEAR,
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    LANCZOS,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
    Recipe,
)


def sides(edge: int) -> dict[str, Any]:
    """A size: a square of so many pixels."""
    return {"height": edge, "width": edge}


_PLAIN = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
_HALF = {**_PLAIN, "image_mean": IMAGENET_STANDARD_MEAN, "image_std": IMAGENET_STANDARD_STD}
DEFAULT = {**_PLAIN, "image_mean": IMAGENET_DEFAULT_MEAN, "image_std": IMAGENET_DEFAULT_STD}
_CROPPED: dict[str, Any] = {"crop_size": sides(224), "do_center_crop": True}
OPENAI = {**_PLAIN, "image_mean": OPENAI_CLIP_MEAN, "image_std": OPENAI_CLIP_STD, "do_convert_rgb": True}
_VIT = Recipe({**_HALF, "resample": BILINEAR, "size": sides(224)})
CLIP = Recipe({**OPENAI, **_CROPPED, "resample": BICUBIC, "size": {"shortest_edge": 224}}, square=False)
_PAGE: dict[str, Any] = {"apply_ocr": True, "ocr_lang": None, "tesseract_config": ""}
_FROM_ONE: dict[str, Any] = {
    **{"resample": LANCZOS, "size": {"shortest_edge": 512}, "crop_size": sides(512)},
    **{"rescale_factor": 0.0078, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
}
_MOBILE = Recipe({**_HALF, **_CROPPED, "resample": BILINEAR, "size": {"shortest_edge": 256}}, square=False)
_MAPS: dict[str, Any] = {"do_reduce_labels": False}
_GREY: dict[str, Any] = {"do_grayscale": False}
_SEMANTIC, _DEPTHS = {"semantic_segmentation": "semantic"}, {"depth_estimation": "depths"}
_SEGMENTS = {**_SEMANTIC, "instance_segmentation": "instances", "panoptic_segmentation": "panoptic"}
_DETR = Recipe(
    {
        **DEFAULT,
        "resample": BILINEAR,
        "size": {"shortest_edge": 800, "longest_edge": 1333},
        "do_pad": True,
        "do_convert_annotations": True,
        "format": "coco_detection",
    },
    square=False,
    objects=True,
    masks=True,
    model_types=("detr", "table-transformer"),
    answers={"object_detection": "objects", **_SEGMENTS},
)
_QUERIED = Recipe(
    {
        **DEFAULT,
        **_MAPS,
        "resample": BILINEAR,
        "size": {"shortest_edge": 800, "longest_edge": 1333},
        "size_divisor": 32,
        "ignore_index": None,
        "num_labels": None,
    },
    fit="up to multiples",
    square=False,
    maps=True,
    segments=True,
    masks=True,
    model_types=("maskformer",),
    answers={**_SEGMENTS, "instance_segmentation": "surest"},
)

_POINTS = Recipe(
    {
        **_PLAIN,
        "do_normalize": None,
        "resample": BILINEAR,
        "size": {"height": 480, "width": 640},
        **_GREY,
    },
    square=False,
    model_types=("superpoint",),
    answers={"keypoint_detection": "keypoints"},
)

_PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
_EDGES = range(384, 2305, 384)

SQUARES = Recipe(
    {
        **{**_HALF, "resample": LANCZOS, "size": {"longest_edge": 4 * 364}, "do_convert_rgb": True},
        **{"max_image_size": {"longest_edge": 364}, "do_pad": True},
    },
    square=False,
    squares=True,
)

RECIPES: dict[str, Recipe] = {
    "Beit": replace(
        _VIT.but(
            *("beit", "data2vec-vision"),
            resample=BICUBIC,
            crop_size=sides(224),
            do_center_crop=False,
            **_MAPS,
        ),
        maps=True,
        answers=_SEMANTIC,
    ),
    "Bit": CLIP.but("bit", "dinov2", "dinov2_with_registers", "focalnet", "hiera"),
    "Blip": Recipe(
        {**OPENAI, "resample": BICUBIC, "size": sides(384)}, model_types=("blip", "blip-2", "instructblip")
    ),
    "CLIP": CLIP.but(
        "clip",
        "clip_vision_model",
        "align",
        "altclip",
        "florence2",
        "git",
        "kosmos-2",
        "groupvit",
        "vipllava",
        "xclip",
    ),
    "BridgeTower": Recipe(
        {
            **{**_PLAIN, "image_mean": OPENAI_CLIP_MEAN, "image_std": OPENAI_CLIP_STD},
            **{"resample": BICUBIC, "size": {"shortest_edge": 288}, "size_divisor": 32, "do_pad": True},
            **{"crop_size": {"shortest_edge": 288}, "do_center_crop": True},
        },
        fit="cut to multiples",
        square=False,
        masks=True,
        model_types=("bridgetower",),
    ),
    "Chameleon": CLIP.but("chameleon", **_FROM_ONE),
    "ChineseCLIP": CLIP.but("chinese_clip", "chinese_clip_vision_model"),
    "ConditionalDetr": replace(
        _DETR.but("conditional_detr"),
        answers={
            "object_detection": "objects_by_label",
            **_SEGMENTS,
            "semantic_segmentation": "semantic_of_all",
        },
    ),
    "ConvNext": Recipe(
        {**_HALF, "resample": BICUBIC, "size": {"shortest_edge": 384}, "crop_pct": 224 / 256},
        fit="shared crop",
        square=False,
        model_types=("convnext", "convnextv2", "cvt", "regnet", "resnet"),
    ),
    # theirs resizes numbers from 0 to 1, which Pillow does in steps of 1/255
    "DINOv3ViT": Recipe({**DEFAULT, "resample": BILINEAR, "size": sides(224)}, model_types=("dinov3_vit",)),
    "DPT": replace(
        _VIT.but(
            *("dpt", "depth_anything"),
            fit="multiples",
            resample=BICUBIC,
            size=sides(384),
            ensure_multiple_of=1,
            keep_aspect_ratio=False,
            do_pad=False,
        ),
        maps=True,
        answers={**_SEMANTIC, **_DEPTHS},
    ),
    "DeformableDetr": replace(_DETR.but("deformable_detr"), answers={"object_detection": "objects_by_label"}),
    "GroundingDino": replace(_DETR.but("grounding-dino"), answers={"object_detection": "queried"}),
    "DeiT": _VIT.but("deit", resample=BICUBIC, size=sides(256), **_CROPPED),
    "Detr": _DETR,
    "Donut": Recipe(
        {
            **_HALF,
            "resample": BILINEAR,
            "size": {"height": 2560, "width": 1920},
            "do_thumbnail": True,
            "do_align_long_axis": False,
            "do_pad": True,
        },
        fit="narrow",
        framed=True,
        model_types=("donut-swin",),
    ),
    "EfficientNet": _VIT.but(
        "efficientnet",
        resample=BICUBIC,
        size=sides(346),
        crop_size=sides(289),
        do_center_crop=False,
        rescale_offset=False,
        include_top=True,
    ),
    "Flava": Recipe(
        {
            **{**_PLAIN, **_CROPPED, "image_mean": OPENAI_CLIP_MEAN, "image_std": OPENAI_CLIP_STD},
            **{"resample": BICUBIC, "size": sides(224), "return_image_mask": False},
            **{"input_size_patches": 14, "total_mask_patches": 75, "mask_group_min_patches": 16},
            **{"mask_group_max_patches": None, "mask_group_min_aspect_ratio": 0.3},
            **{"mask_group_max_aspect_ratio": None, "return_codebook_pixels": False},
            **{"codebook_do_resize": True, "codebook_size": sides(112), "codebook_resample": LANCZOS},
            **{"codebook_do_center_crop": True, "codebook_crop_size": sides(112)},
            **{"codebook_do_rescale": True, "codebook_rescale_factor": 1 / 255},
            **{"codebook_do_map_pixels": True, "codebook_do_normalize": True},
            **{"codebook_image_mean": [0.0] * 3, "codebook_image_std": [1.0] * 3},
        },
        model_types=("flava",),
    ),
    "Gemma3": replace(
        _VIT.but(
            "gemma3",
            do_convert_rgb=True,
            do_pan_and_scan=None,
            pan_and_scan_min_crop_size=None,
            pan_and_scan_max_num_crops=None,
            pan_and_scan_min_ratio_to_activate=None,
        ),
        scanned=True,
    ),
    "GLPN": Recipe(
        {**_PLAIN, "do_normalize": None, "resample": BILINEAR, "size_divisor": 32},
        fit="floor",
        model_types=("glpn",),
        answers=_DEPTHS,
    ),
    "LayoutLMv2": Recipe(
        {
            **{"do_resize": True, "size": sides(224), "resample": BILINEAR},
            **_PAGE,
        },
        blue_first=True,
        model_types=("layoutlmv2", "layoutxlm"),
    ),
    "LayoutLMv3": Recipe({**_VIT.settings, **_PAGE}, model_types=("layoutlmv3",)),
    "Levit": Recipe(
        {**DEFAULT, **_CROPPED, "resample": BICUBIC, "size": {"shortest_edge": 224}},
        fit="eighth",
        square=False,
        model_types=("levit",),
    ),
    "Mask2Former": replace(
        _QUERIED.but("mask2former"),
        answers={
            "semantic_segmentation": "semantic_in_squares",
            "instance_segmentation": "surest_in_squares",
            "panoptic_segmentation": "panoptic_in_squares",
        },
    ),
    "Cohere2Vision": Recipe(
        {
            **{**OPENAI, "resample": BICUBIC, "size": sides(512), "patch_size": 16},
            **{"crop_to_patches": True, "min_patches": 1, "max_patches": 12},
        },
        canvas=True,
        covering=True,
        model_types=("cohere2_vision",),
    ),
    "GotOcr2": Recipe(
        {
            **{**OPENAI, "resample": BICUBIC, "size": sides(384)},
            **{"crop_to_patches": False, "min_patches": 1, "max_patches": 12},
        },
        canvas=True,
        model_types=("got_ocr2", "internvl", "aya_vision"),
    ),
    "Idefics2": Recipe(
        {
            **{**_HALF, "resample": BILINEAR, "size": {"shortest_edge": 378, "longest_edge": 980}},
            **{"do_convert_rgb": True, "do_pad": True, "do_image_splitting": False},
        },
        square=False,
        squares=True,
        quarters=True,
        model_types=("idefics2",),
    ),
    "Idefics3": SQUARES.but("idefics3", do_image_splitting=True),
    "LlavaNext": replace(
        CLIP.but("llava_next", "llava_next_video", do_pad=True, image_grid_pinpoints=_PINPOINTS),
        pinned="always",
    ),
    "LlavaOnevision": Recipe(
        {
            **{**OPENAI, "resample": BICUBIC, "size": sides(384), "do_pad": True},
            "image_grid_pinpoints": [[down, across] for down in _EDGES for across in _EDGES],
        },
        square=False,
        pinned="alone",
        model_types=("llava_onevision",),
    ),
    "MaskFormer": _QUERIED,
    "Mllama": Recipe(
        {
            **{**_HALF, "resample": BILINEAR, "size": sides(224), "do_convert_rgb": True, "do_pad": True},
            "max_image_tiles": 4,
        },
        forms=True,
        model_types=("mllama",),
    ),
    "MobileNetV1": _MOBILE.but("mobilenet_v1"),
    "MobileNetV2": replace(_MOBILE.but("mobilenet_v2", **_MAPS), maps=True, answers=_SEMANTIC),
    "MobileViT": Recipe(
        {
            **_HALF,
            "do_normalize": None,
            "resample": BICUBIC,
            "size": {"shortest_edge": 224},
            "crop_size": sides(256),
            "do_center_crop": True,
            "do_flip_channel_order": True,
            **_MAPS,
        },
        square=False,
        maps=True,
        model_types=("mobilevit", "mobilevitv2"),
        answers=_SEMANTIC,
    ),
    "OwlViT": replace(
        CLIP.but("owlvit", size=sides(768), crop_size=sides(768), do_center_crop=False),
        square=True,
        answers={
            "object_detection": "queried",
            "grounded_object_detection": "grounded",
            "image_guided_detection": "similar",
        },
    ),
    "OneFormer": replace(
        _QUERIED.but(
            "oneformer",
            fit="size",
            size_divisor=None,
            do_convert_rgb=True,
            **{"repo_path": "shi-labs/oneformer_demo", "class_info_file": None},
            **{"metadata": None, "num_text": None},
        ),
        tasked=True,
        answers={**_SEMANTIC, "panoptic_segmentation": "panoptic_antialiased"},
    ),
    "Owlv2": Recipe(
        {**OPENAI, "resample": BILINEAR, "size": sides(960), "do_pad": True},
        fit="blurred square",
        model_types=("owlv2",),
        answers={
            "object_detection": "queried_in_square",
            "grounded_object_detection": "grounded_in_square",
            "image_guided_detection": "similar_in_square",
        },
    ),
    "Nougat": Recipe(
        {
            **{**DEFAULT, "resample": BILINEAR, "size": {"height": 896, "width": 672}, "do_pad": True},
            **{"do_thumbnail": True, "do_align_long_axis": False, "do_crop_margin": True},
        },
        fit="narrow",
        framed=True,
        thumbnail=BICUBIC,
        model_types=("nougat",),
    ),
    "Pixtral": Recipe(
        {
            **{**OPENAI, "resample": BICUBIC, "size": {"longest_edge": 1024}, "do_pad": True},
            "patch_size": sides(16),
        },
        fit="whole patches",
        sized=True,
        model_types=("pixtral", "mistral3"),
    ),
    "PoolFormer": Recipe(
        {**DEFAULT, **_CROPPED, "resample": BICUBIC, "size": {"shortest_edge": 224}, "crop_pct": 0.9},
        fit="share",
        square=False,
        model_types=("poolformer",),
    ),
    "Pvt": Recipe(
        {**DEFAULT, "resample": BICUBIC, "size": sides(224)},
        model_types=("pvt", "pvt_v2"),
    ),
    "RTDetr": replace(
        _DETR.but(
            *("rt_detr", "rt_detr_v2"),
            do_normalize=False,
            do_pad=False,
            size=sides(640),
            do_convert_annotations=True,
        ),
        answers={"object_detection": "best_objects"},
    ),
    "Qwen2VL": Recipe(
        {
            **OPENAI,
            "resample": BICUBIC,
            "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280},
            **{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2},
        },
        fit="pixels",
        square=False,
        model_types=("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "colqwen2"),
    ),
    "Sam": Recipe(
        {
            **DEFAULT,
            "resample": BILINEAR,
            "do_convert_rgb": True,
            "size": {"longest_edge": 1024},
            "mask_size": {"longest_edge": 256},
            "do_pad": True,
            "pad_size": sides(1024),
            "mask_pad_size": sides(256),
        },
        fit="nearest",
        maps=True,
        pointed=True,
        model_types=("sam",),
    ),
    "Sam2": Recipe(
        {
            **{**DEFAULT, "do_convert_rgb": True, "resample": BILINEAR},
            **{"size": sides(1024), "mask_size": sides(256), "mask_pad_size": None},
        },
        maps=True,
        pointed=True,
        stretched=True,
        model_types=("sam2", "sam2_video"),
    ),
    "Segformer": Recipe(
        {**DEFAULT, "resample": BILINEAR, "size": sides(512), **_MAPS},
        maps=True,
        model_types=("segformer", "upernet"),
        answers=_SEMANTIC,
    ),
    "Phi4Multimodal": Recipe(
        {
            **{**_HALF, "resample": BICUBIC, "size": sides(448), "do_convert_rgb": True},
            **{"patch_size": 14, "dynamic_hd": 36},
        },
        crops=True,
        model_types=("phi4_multimodal",),
    ),
    "Pix2Struct": Recipe(
        {
            **{"do_normalize": True, "do_convert_rgb": True, "rescale_factor": None},
            **{"patch_size": sides(16), "max_patches": 2048, "is_vqa": False},
        },
        model_types=("pix2struct",),
    ),
    "Siglip": replace(
        _VIT.but(
            "siglip", "siglip_vision_model", "paligemma", "colpali", resample=BICUBIC, do_convert_rgb=True
        ),
        square=False,
    ),
    "Siglip2": Recipe(
        {**_HALF, "resample": BILINEAR, "patch_size": 16, "max_num_patches": 256},
        fit="patches",
        model_types=("siglip2", "siglip2_vision_model"),
    ),
    "SmolVLM": SQUARES.but("smolvlm", do_image_splitting=True),
    "SuperGlue": replace(
        _POINTS.but("superglue", do_grayscale=True), paired=True, answers={"keypoint_matching": "matches"}
    ),
    "SuperPoint": _POINTS,
    "Swin2SR": Recipe(
        {
            **{"do_rescale": True, "rescale_factor": 1 / 255, "do_pad": True, "size_divisor": 8},
            **dict.fromkeys(("do_resize", "do_normalize")),
        },
        mirrored=True,
        model_types=("swin2sr",),
    ),
    "TimmWrapper": Recipe(
        {**DEFAULT, "resample": BICUBIC, "do_center_crop": True, "crop_pct": 0.875, "crop_mode": "center"},
        model_types=("timm_wrapper",),
    ),
    "VideoMAE": replace(
        _MOBILE.but("videomae", "timesformer", size={"shortest_edge": 224}),
        films=True,
    ),
    "Vilt": Recipe(
        {
            **_HALF,
            **{"resample": BICUBIC, "size": {"shortest_edge": 384}, "size_divisor": 32, "do_pad": True},
        },
        fit="cut to multiples",
        square=False,
        masks=True,
        model_types=("vilt",),
    ),
    "Vivit": replace(_MOBILE.but("vivit", rescale_factor=1 / 127.5, offset=True), films=True),
    "ViT": _VIT.but("vit", "vit_mae", "vit_msn", "swin", "swinv2", "trocr", "clipseg", "dinat", "ijepa"),
    "Yolos": replace(_DETR.but("yolos", fit="sixteens"), answers={"object_detection": "objects"}),
    "ZoeDepth": Recipe(
        {
            **_HALF,
            **{"resample": BILINEAR, "size": {"height": 384, "width": 512}, "do_pad": True},
            **{"keep_aspect_ratio": True, "ensure_multiple_of": 1 / 32},
        },
        fit="multiples",
        ringed=True,
        model_types=("zoedepth",),
    ),
}
MODEL_TYPES = {kind: name for name, recipe in RECIPES.items() for kind in recipe.model_types}
# every spelling of a class -> its family: today's names, those of other backends, and the older ones
CLASSES = {
    f"{name}{ending}": name
    for name in RECIPES
    for ending in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")
    if f"{name}{ending}" not in SOUNDS  # which have no older name for what prepares pictures
}
