"""What stands in a text for a picture, once it is known how large the model sees it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from formers.core.tiles import Lines, best_size, most_tiles
from formers.processing.number_words import in_words

Grown = list[tuple[int, int]]  # of a text: (end of what stood for a picture, characters that came)


def expanded(texts: list[str], pieces: Mapping[str, Iterator[str]]) -> tuple[list[str], list[Grown]]:
    """The texts with the pieces in place of the tokens, each token's in order, and how they have grown."""
    if not pieces:
        return texts, [[] for _ in texts]
    tokens = re.compile("|".join(map(re.escape, pieces)))
    made, grown = [], []
    for one in texts:
        parts, more, last = [], Grown(), 0
        for hit in tokens.finditer(one):
            piece = next(pieces[hit.group()])
            parts += [one[last : hit.start()], piece]
            more.append((hit.end(), len(piece) - len(hit.group())))
            last = hit.end()
        made.append(type(one)("".join([*parts, one[last:]])))  # a whole conversation stays one
        grown.append(more)
    return made, grown


def patches_of_one_size(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A token for every patch of a picture, and for what the image model adds (its class token).

    Raises:
        ValueError: where nothing says how large patches are.
    """
    edge = _told(processor, "patch_size")
    height, width = made["pixel_values"][index].shape[-2:]
    count = (height // edge) * (width // edge) + processor.num_additional_image_tokens
    if processor.vision_feature_select_strategy == "default":
        count -= 1
    return str(processor.image_token) * int(count)


def blocks(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A token for every block of patches."""
    frames, down, across = (int(one) for one in made["image_grid_thw"][index])
    count = frames * down * across // int(processor.image_processor.merge_size) ** 2
    return str(processor.image_token) * count


def itself(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """The token alone: the picture is seen beside the text."""
    return str(processor.image_token)


def counted(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens."""
    return str(processor.image_token) * int(processor.image_seq_length)


def between_marks(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens between two marks."""
    tokens = str(processor.image_token) * int(processor.image_seq_length)
    return f"{processor.image_start_token}{tokens}{processor.image_end_token}"


def framed(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens between marks; those of its parts behind a picture that comes with some."""
    begin, end = processor.tokenizer.boi_token, processor.tokenizer.eoi_token
    tokens = str(processor.tokenizer.image_token) * int(processor.image_seq_length)
    one, parts = f"\n\n{begin}{tokens}{end}\n\n", int(made["num_crops"][index])
    if not parts:
        return one
    rest = " ".join([one] * parts)
    return f"Here is the original image {one} and here are some crops to help you see better {rest}"


def lines(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A token for every patch of a picture in tiles, the ends of lines, and all of it as one tile.

    Raises:
        ValueError: where nothing says how large patches are.
    """
    height = made["pixel_values"][0][0].shape[-2]
    edge = height // _told(processor, "patch_size")
    whole = edge**2 + processor.num_additional_image_tokens
    return _in_tiles(processor, made, index, edge, whole, None)


def few_lines(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """Likewise, with lines of fewer patches where there are many; pictures that are not alone are one tile.

    Raises:
        ValueError: where nothing says how many patches a tile has.
    """
    whole = _told(processor, "num_image_tokens")
    most = most_tiles(processor.vision_aspect_ratio)
    return _in_tiles(processor, made, index, math.isqrt(whole), whole, most)


def _in_tiles(
    processor: Any, made: Mapping[str, Any], index: int, edge: int, whole: int, most: int | None
) -> str:
    counts = made.get("batch_num_images")
    alone = counts is None or [count == 1 for count in counts for _ in range(count)][index]
    high, wide = made["pixel_values"][0][0].shape[-2:]
    height, width = (int(one) for one in made["image_sizes"][index])
    room = best_size(height, width, processor.image_processor.image_grid_pinpoints)
    grid = (room[0] // high, room[1] // wide) if alone else None
    count = whole + Lines(grid, edge, (height, width), most).count
    count -= int(processor.vision_feature_select_strategy == "default")
    return str(processor.image_token) * count


def _told(processor: Any, name: str) -> int:
    found = getattr(processor, name)
    if found is None:
        raise ValueError(
            f"this {type(processor).__name__} does not know its image model's patches: set processor.{name} "
            "as the model's config has it"
        )
    return int(found)


def squares(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens for each square of a picture, which is named, and for all of it."""
    down, across = ([n for text in made[name] for n in text][index] for name in ("rows", "cols"))
    around, tokens = processor.fake_image_token, processor.image_token * int(processor.image_seq_len)
    whole = _whole_square(processor)
    if not down * across:
        return whole
    lines = [
        "".join(f"{around}<row_{row}_col_{column}>{tokens}" for column in range(1, across + 1))
        for row in range(1, down + 1)
    ]
    return "".join(f"{line}\n" for line in lines) + f"\n{whole}"


def told(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """As many tokens as the image processor says."""
    return str(processor.image_token) * int(made["num_img_tokens"][index])


def _whole_square(processor: Any) -> str:
    """What stands for all of a picture as one square."""
    around, tokens = processor.fake_image_token, processor.image_token * int(processor.image_seq_len)
    return f"{around}{processor.global_image_tag}{tokens}{around}"


def quarters(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens between marks, for each part of a picture and for all of it."""
    around, tokens = processor.fake_image_token, processor.image_token * int(processor.image_seq_len)
    one = f"{around}{tokens}{around}"
    down, across = ([n for text in made[name] for n in text][index] for name in ("rows", "cols"))
    return one * int(down * across + 1)


def lines_of_patches(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A token for every square of patches, a mark behind each line of them, and another behind the last."""
    edge = int(processor.patch_size) * int(processor.spatial_merge_size)
    down, across = (int(one) // edge for one in made["image_sizes"][index])
    line = str(processor.image_token) * across
    return str(processor.image_break_token).join([line] * down) + str(processor.image_end_token)


def ended_tiles(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens for each tile of a picture and what ends it, between marks of all."""
    tokens = str(processor.image_token) * int(processor.image_processor.patch_size) ** 2
    tiles = f"{tokens}{processor.img_line_break_token}" * int(made["num_patches"][index])
    return f"{processor.boi_token}{tiles}{processor.eoi_token}"


def marked_tiles(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens for each tile of a picture, between marks of all."""
    count = int(processor.image_seq_length) * int(made["num_patches"][index])
    return f"{processor.start_image_token}{processor.image_token * count}{processor.end_image_token}"


def named_tiles(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens for each tile of a picture, behind its name, and for all of it."""
    tokens = processor.img_patch_token * (int(processor.img_size) // int(processor.patch_size)) ** 2
    count = int(made["num_patches"][index])
    parts = "".join(f"{processor.tile_token}_{i}{tokens}" for i in range(1, count))
    whole = f"{processor.tile_global_token}{tokens}"
    return f"{processor.start_of_img_token}{parts}{whole}{processor.end_of_img_token}"


def marked_frames(processor: Any, made: Mapping[str, Any], index: int, facts: Any) -> str:
    """A line for each frame, in which a number of tokens stands between marks."""
    tokens = processor.image_token * int(processor.image_seq_length)
    one = f"{processor.start_image_token}{tokens}{processor.end_image_token}"
    count = len(made["pixel_values_videos"][index])
    return "\n".join(f"Frame{i}: {one}" for i in range(1, count + 1))


def timed_frames(processor: Any, made: Mapping[str, Any], index: int, facts: Any) -> str:
    """How many frames there are of how long a film, and the time and a number of tokens of each."""
    seconds, whole = [int(one) for one in facts.seconds], _whole_square(processor)
    lasts = timedelta(seconds=seconds[-1] if facts.duration is None else int(facts.duration))
    frames = "".join(f"\nFrame from {at // 60:02d}:{at % 60:02d}:{whole}" for at in seconds)
    return (
        f"You are provided the following series of {in_words(len(seconds))} frames from a {lasts} [H:MM:SS] "
        f"video.\n{frames}\n\n"
    )


def pooled_frames(processor: Any, made: Mapping[str, Any], index: int, facts: Any) -> str:
    """A token for every four patches of each frame."""
    frames, edge = made["pixel_values_videos"][index], _told(processor, "patch_size")
    height, width = frames[0].shape[-2:]
    return str(processor.video_token) * int((height // edge) * (width // edge) // 4 * len(frames))


def half_frames(processor: Any, made: Mapping[str, Any], index: int, facts: Any) -> str:
    """A token for every other patch down and across of each frame, and one at the end."""
    edge = -(-math.isqrt(_told(processor, "num_image_tokens")) // 2)
    return str(processor.video_token) * (len(made["pixel_values_videos"][index]) * edge**2 + 1)


def film_blocks(processor: Any, made: Mapping[str, Any], index: int, facts: Any) -> str:
    """Likewise for a film; where its frames stand apart, the seconds and the marks of each beside it."""
    frames, down, across = (int(one) for one in made["video_grid_thw"][index])
    films = processor.video_processor
    count = down * across // int(films.merge_size) ** 2
    token = str(processor.video_token)
    if films.recipe.fit != "film pixels":
        return token * (frames * count)
    start, end = (
        getattr(processor.tokenizer, f"vision_{side}_token", None) or f"<|vision_{side}|>"
        for side in ("start", "end")
    )
    times = facts.times(int(films.temporal_patch_size))
    return "".join(f"<{at:.1f} seconds>{start}{token * count}{end}" for at in times[:frames])


RULES: dict[str, Callable[[Any, Mapping[str, Any], int], str]] = {
    "between_marks": between_marks,
    "blocks": blocks,
    "counted": counted,
    "ended_tiles": ended_tiles,
    "few_lines": few_lines,
    "framed": framed,
    "itself": itself,
    "lines": lines,
    "lines_of_patches": lines_of_patches,
    "marked_tiles": marked_tiles,
    "named_tiles": named_tiles,
    "patches_of_one_size": patches_of_one_size,
    "quarters": quarters,
    "squares": squares,
    "told": told,
}
FILM_RULES: dict[str, Callable[[Any, Mapping[str, Any], int, Any], str]] = {
    "blocks": film_blocks,
    "half_frames": half_frames,
    "marked_frames": marked_frames,
    "pooled_frames": pooled_frames,
    "timed_frames": timed_frames,
}
