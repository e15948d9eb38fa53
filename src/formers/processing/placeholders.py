"""What stands in a text for a picture, once it is known how large the model sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
    edge = processor.patch_size
    if edge is None:
        raise ValueError(
            f"this {type(processor).__name__} does not know its image model's patches: set "
            "processor.patch_size and processor.vision_feature_select_strategy as the model's config has them"
        )
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


def counted(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens."""
    return str(processor.image_token) * int(processor.image_seq_length)


def framed(processor: Any, made: Mapping[str, Any], index: int) -> str:
    """A number of tokens between marks; those of its parts behind a picture that comes with some."""
    begin, end = processor.tokenizer.boi_token, processor.tokenizer.eoi_token
    tokens = str(processor.tokenizer.image_token) * int(processor.image_seq_length)
    one, parts = f"\n\n{begin}{tokens}{end}\n\n", int(made["num_crops"][index])
    if not parts:
        return one
    rest = " ".join([one] * parts)
    return f"Here is the original image {one} and here are some crops to help you see better {rest}"


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
    "blocks": blocks,
    "counted": counted,
    "framed": framed,
    "patches_of_one_size": patches_of_one_size,
}
