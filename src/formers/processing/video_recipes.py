"""What each family of video processors does, as a table."""

from __future__ import annotations

from formers.processing.recipe import BICUBIC, BILINEAR, IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, Recipe
from formers.processing.recipes import CLIP, DEFAULT, OPENAI, SQUARES, sides

_FILMS = Recipe(
    {
        **OPENAI,
        "resample": BICUBIC,
        "size": {"shortest_edge": 128 * 28 * 28, "longest_edge": 28 * 28 * 768},
        **{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2},
        **{"min_frames": 4, "max_frames": 768, "do_sample_frames": False},
    },
    fit="pixels",
    square=False,
)
# family -> what it does to films: to frames one by one, to patches that go through several, or stretched
FILM_RECIPES: dict[str, Recipe] = {
    "InternVL": Recipe(
        {
            **OPENAI,
            "resample": BICUBIC,
            "size": sides(384),
            "do_sample_frames": False,
            "initial_shift": True,
        }
    ),
    "LlavaNextVideo": CLIP.but(do_sample_frames=False),
    "LlavaOnevision": Recipe(
        {**OPENAI, "resample": BICUBIC, "size": sides(384), "do_sample_frames": False}, square=False
    ),
    "Qwen2VL": _FILMS,
    "Qwen3VL": _FILMS.but(
        fit="film pixels",
        size={"shortest_edge": 128 * 32 * 32, "longest_edge": 32 * 32 * 768},
        image_mean=IMAGENET_STANDARD_MEAN,
        image_std=IMAGENET_STANDARD_STD,
        **{"patch_size": 16, "do_sample_frames": True, "fps": 2},
    ),
    "SmolVLM": SQUARES.but(do_sample_frames=False),
    "Sam2Video": Recipe(
        {**DEFAULT, "do_convert_rgb": True, "resample": BILINEAR, "size": sides(1024)}, stretched=True
    ),
}
FILM_CLASSES = {f"{name}VideoProcessor": name for name in FILM_RECIPES}
