"""A text model that reads pictures of any size in tiles, and films: LLaVA-NeXT and its kin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from formers.assemblies.multimodal.encoder_outputs import rows_seen, seen_before
from formers.assemblies.multimodal.image_text import ImageText, Shown, features_of
from formers.core.tiles import Lines, best_size
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Normal
from formers.nn.stems.sized_patches import sizes_in
from formers.nn.tiling import in_lines
from formers.nn.tree import leaf, place, place_tensor
from formers.stacks.stack import Ask, States

_SIZES, _COUNTS, _FILMS, _MOST = (
    "image_sizes",
    "batch_num_images",
    "pixel_values_videos",
    "vision_aspect_ratio",
)


@dataclass(frozen=True)
class Films:
    """How films are shown.

    Attributes:
        token: config -> id of the places that they take.
        stands: config -> what makes of frames [N, P * P, E], P patches along a side, what stands for each,
            [N, T, E].
        ends: whether the vector that ends lines stands behind a film.
        pool: config -> what makes fewer of patches before the connector reads them, under the path `home`.
        flat: callers see what stands for films as one row of numbers.
    """

    token: Callable[[Any], int]
    stands: Callable[[Any], Callable[[Tensor, int], Tensor]] | None = None
    ends: bool = False
    pool: Callable[[Any], nn.Module] | None = None
    home: str = ""
    flat: bool = False


class ImageTiles(ImageText):
    """A text model that reads pictures in tiles behind the whole of them (Liu et al. 2024, "LLaVA-NeXT").

    Args:
        *parts, **named: see `ImageText`.
        films: how films are shown; None where none are.
        most: how many tiles' patches stand for a picture, about, by what a config or a call says in
            `vision_aspect_ratio`; None for all.
    """

    def __init__(
        self, *parts: Any, films: Films | None = None, most: Callable[[str], int] | None = None, **named: Any
    ) -> None:
        self.films, self.most = films, most
        more = tuple(name for name in (_COUNTS, _MOST) if name in named.get("inputs", ()))
        self.beside = (_SIZES, *more)
        super().__init__(*parts, **named)
        if films is not None:
            self.once = (*self.once, _FILMS)
            names = (_FILMS, "vision_feature_layer", "vision_feature_select_strategy")
            self.offers = {**self.offers, "get_video_features": features_of(self, names, self.seen_films)}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register both models, the connector, and what ends lines."""
        width = self.spec(config).width
        first = Normal(width**-0.5)
        place_tensor(model, "newline", "image_newline", torch.zeros(width), first, False)
        super().place(model, config, pooler, masked)
        if self.films is not None and self.films.pool is not None:
            place(model, "film_pool", self.films.home, self.films.pool(config))

    # -- pictures ----------------------------------------------------------------------------------

    def opened(self, model: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The tiles of all pictures, one after the other.

        Raises:
            ValueError: without the pictures' sizes, and for fewer tiles than they ask for.
        """
        pixels: Tensor = given["pixel_values"]
        counts = [one.tiles for one in self._lines(model.config, given)]
        more = {name: given[name] for name in given if name not in (*self.beside, "pixel_values")}
        if pixels.dim() == 5:
            if len(pixels) != len(counts) or (counts and max(counts) > pixels.shape[1]):
                raise ValueError(
                    f"pixel_values {list(pixels.shape)} are {len(pixels)} pictures of {pixels.shape[1]} "
                    f"tiles, but by {_SIZES} there are {len(counts)} of up to {max(counts)}: pass what the "
                    "processor returns"
                )
            pixels = torch.cat([one[:count] for one, count in zip(pixels, counts, strict=True)])
        elif pixels.dim() != 4 or len(pixels) != sum(counts):
            raise ValueError(
                f"pixel_values {list(pixels.shape)} are no tiles of pictures, of which there are "
                f"{sum(counts)} by {_SIZES}: [pictures, tiles, channels, height, width]"
            )
        return {**more, "pixel_values": pixels}

    def stands(self, model: Any, x: Tensor, given: Mapping[str, Any]) -> Sequence[Tensor] | Tensor:
        """The lines of each picture."""
        lines, end = self._lines(model.config, given), leaf(model, "newline")
        parts = torch.split(x, [one.tiles for one in lines])
        return [in_lines(line, tiles, end) for line, tiles in zip(lines, parts, strict=True)]

    def _lines(self, config: Any, given: Mapping[str, Any]) -> list[Lines]:
        """How each picture stands in the text."""
        vision, sizes = config.vision_config, sizes_in(given.get(_SIZES), "of each picture before it was cut")
        counts = given.get(_COUNTS)
        cut = [True] * len(sizes) if counts is None else _cut(counts)
        if len(cut) != len(sizes):
            raise ValueError(f"{_COUNTS} is of {len(cut)} pictures, {_SIZES} of {len(sizes)}")
        edge, found = vision.image_size // vision.patch_size, list[Lines]()
        said = given.get(_MOST) or getattr(config, _MOST, None)
        most = None if self.most is None else self.most(str(said))
        for size, whole in zip(sizes, cut, strict=True):
            down, across = best_size(*size, config.image_grid_pinpoints)
            grid = -(-down // vision.image_size), -(-across // vision.image_size)
            found.append(Lines(grid if whole else None, edge, size, most))
        return found

    def _chosen(
        self, model: Any, ids: Tensor, given: dict[str, Any], which: Callable[..., list[int]]
    ) -> dict[str, Any]:
        """Inputs with what `which` names, by the tokens of all and how many each fills."""
        given, config = dict(given), model.config
        pixels, films = given.get("pixel_values"), given.get(_FILMS)
        if pixels is not None:
            lines = self._lines(config, given)
            base = self._whole(model, given)
            kept = which(ids == self.connector(config).token, [base + one.count for one in lines])
            counts = given.get(_COUNTS)
            parts = pixels if pixels.dim() == 5 else torch.split(pixels, [one.tiles for one in lines])
            given["pixel_values"] = _picked(parts, kept, pixels.dim() == 5)
            given[_SIZES] = torch.tensor([lines[i].picture for i in kept]) if kept else None
            if counts is not None:
                given[_COUNTS] = torch.tensor(_cut(counts))[kept] if kept else None
        if films is not None and self.films is not None:
            here = ids == self.films.token(config)
            kept = which(here, [int(here.sum()) // len(films)] * len(films))
            given[_FILMS] = films[kept] if kept else None
        return {name: value for name, value in given.items() if value is not None}

    def _whole(self, model: Any, given: Mapping[str, Any]) -> int:
        """How many vectors stand for a whole picture."""
        vision = model.config.vision_config
        stack = self.stack(model.config, self.image)
        keeps = given.get("vision_feature_select_strategy") or self.connector(model.config).keeps
        leads = len(getattr(stack.stem, "leads", ()))
        return int((vision.image_size // vision.patch_size) ** 2) + leads - (keeps == "default")

    def tokens(self, config: Any) -> dict[str, int]:
        """Of pictures, and of films."""
        films = {} if self.films is None else {"video": self.films.token(config)}
        return {**super().tokens(config), **films}

    # -- films -------------------------------------------------------------------------------------

    def shown(self, model: Any, given: dict[str, Any], ask: Ask) -> list[Shown]:
        """Pictures and films."""
        found = super().shown(model, given, ask)
        rows = None if self.films is None else self._films(model, given, ask)
        if rows is not None and self.films is not None:
            found.append(
                Shown(
                    "video", self.films.token(model.config), rows, rows.flatten() if self.films.flat else rows
                )
            )
        return found

    def _films(self, model: Any, given: dict[str, Any], ask: Ask) -> Tensor | None:
        before = seen_before(given, "video", _FILMS)
        if before is not None:
            return rows_seen(before)
        if given.get(_FILMS) is None:
            return None
        rows = self.seen_films(model, given, Ask(backend=ask.backend, rows=False, padded=ask.padded))[1]
        return torch.cat(tuple(rows))

    def seen_films(self, model: Any, given: dict[str, Any], ask: Ask) -> tuple[States, Tensor]:
        """The image model's states of frames [B * T, ..], and what stands for each film, [B, N, E].

        Raises:
            ValueError: for what is no films.
        """
        films = given[_FILMS]
        if not isinstance(films, Tensor) or films.dim() != 5:
            said = list(films.shape) if isinstance(films, Tensor) else type(films).__name__
            raise ValueError(f"{_FILMS} are [films, frames, channels, height, width], not {said}")
        choice = {name: given.get(name) for name in given if name.startswith("vision_feature")}
        assert self.films is not None
        before = None if self.films.pool is None else leaf(model, "film_pool")
        states, each = self.connected(model, {"pixel_values": films.flatten(0, 1)}, choice, ask, before)
        if self.films.stands is not None:
            vision = model.config.vision_config
            each = self.films.stands(model.config)(each, vision.image_size // vision.patch_size)
        rows = each.reshape(len(films), -1, each.shape[2])
        if self.films.ends:
            end = leaf(model, "newline").to(rows).expand(len(rows), 1, -1)
            rows = torch.cat((rows, end), dim=1)
        return states, rows


def _cut(counts: Any) -> list[bool]:
    """Which pictures are cut into tiles: those that are alone in their text; or as it is said of each."""
    counts = torch.as_tensor(counts)
    if counts.dtype == torch.bool:
        return cast(list[bool], counts.tolist())
    return [count == 1 for count in counts.tolist() for _ in range(count)]


def _picked(parts: Any, kept: list[int], padded: bool) -> Tensor | None:
    if not kept:
        return None
    found: Tensor = parts[kept] if padded else torch.cat([parts[i] for i in kept])
    return found
