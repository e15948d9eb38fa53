"""Processors of texts that show pictures: for each stand as many tokens as the model sees."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from formers.core.notices import refuse_unknown
from formers.processing.auto import named_films
from formers.processing.features import BatchFeature
from formers.processing.grid_video import every_film, frames_between
from formers.processing.image import OF_A_CALL
from formers.processing.image_text import ProcessorMixin
from formers.processing.pairs import Shows
from formers.processing.placeholders import FILM_RULES, RULES, Grown, expanded
from formers.processing.reading import is_picture, listed
from formers.tokenization.options import CALL_KEYWORDS

_CHOOSE = ("num_frames", "fps")  # of films, which frames


def _all_lists(given: Sequence[Any]) -> bool:
    return all(isinstance(one, (list, tuple)) for one in given)


class ShowingProcessor(ProcessorMixin):
    """Texts in which pictures are shown, and the pictures, to the inputs of a model that reads both.

    Args:
        *parts: an image processor, a tokenizer, what prepares films (the family's own unless given) where the
            family reads any, and the settings of the family; by place or by name.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        known = dict(self._shows().settings)
        given = {**dict(zip((*self.attributes, *known), parts, strict=False)), **named}
        if self._shows().scaled is not None:
            name, factor = self._shows().scaled or ("", "")
            given[name] = given.get(name, known[name]) * given.pop(factor, 1)
        for name, usual in known.items():
            setattr(self, name, given.pop(name, usual))
        if self._shows().films and given.get("video_processor") is None:
            given["video_processor"] = named_films(f"{self._shows().films}VideoProcessor")()
        super().__init__(**given)
        mark = self._shows().mark
        for name, usual in self._shows().marks.items():
            setattr(self, name, getattr(self.tokenizer, name, None) or usual)
        if self._shows().adds:
            known = {**self._shows().marks, "image_token": self._shows().image}
            added = [known[name] for name in self._shows().adds]
            self.tokenizer.add_special_tokens({"additional_special_tokens": added})
        for name in ("image_token", "eoi_token", mark) if mark else ():
            if getattr(self.tokenizer, name, None) is None:
                raise ValueError(
                    f"this tokenizer has no {name}, by which {type(self).__name__} writes what stands for a "
                    f"picture: load the one of the checkpoint, or pass {name}= to it"
                )
        self._fillers = dict[str, tuple[str, Any]]()  # what stands in texts for pictures and films
        for kind, usual in (("image", self._shows().image), ("video", self._shows().video)):
            name = self._shows().named if kind == "image" and self._shows().named else f"{kind}_token"
            token = getattr(self.tokenizer, name, None) or getattr(self, f"{kind}_token", usual)
            if token:
                setattr(self, f"{kind}_token", token)
                setattr(self, f"{kind}_token_id", self.tokenizer.convert_tokens_to_ids(token))
                if kind == "image" or token in self.tokenizer.get_vocab():
                    self._fillers[kind] = token, getattr(self, f"{kind}_token_id")
        if self._shows().filler:
            token = getattr(self, self._shows().filler)
            self.image_token_id = self.tokenizer.convert_tokens_to_ids(token)
            self._fillers["image"] = token, self.image_token_id
        if mark:
            self.image_token = getattr(self.tokenizer, mark)
            self.image_token_id = self.tokenizer.convert_tokens_to_ids(self.image_token)

    @classmethod
    def _shows(cls) -> Shows:
        shows = None if cls.pair is None else cls.pair.shows
        assert shows is not None
        return shows

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        told = [name for name in (self._shows().rate, self._shows().kinds) if name]
        return [name for name in (*super().model_input_names, *told) if name not in self._shows().untold]

    # -- calls -------------------------------------------------------------------------------------

    def __call__(
        self, images: Any = None, text: Any = None, videos: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare texts and the pictures that they show.

        Args:
            images: the pictures in the order of the texts: one, a list, or a list for each text.
            text: a text or a list of them, with `image_token` wherever a picture is shown.
            videos: likewise films, for families that read them.
            **options: keywords of the tokenizer and of the image processor, told apart by their names; or
                those of one by themselves, `text_kwargs` and `images_kwargs`. `return_tensors` is for all.

        Returns:
            What the tokenizer gives, [B, T], and what the image processor gives.

        Raises:
            TypeError: for a keyword that nobody takes, or texts that are none.
            ValueError: when texts show more or fewer pictures than are given, or are cut within one.
        """
        return self._made(images, text, videos, options)[0]

    def _film_template(self) -> str | None:
        return self._shows().film_template

    def _called(self, text: Any, call: dict[str, Any]) -> tuple[Any, list[Grown]]:
        if self._shows().film_template is not None and "videos" in call:
            chosen = [call.get(name, getattr(self.video_processor, name, None)) for name in _CHOOSE]
            call.setdefault("do_sample_frames", any(one is not None for one in chosen))
        return self._made(call.pop("images", None), text, call.pop("videos", None), call)

    def _made(
        self, images: Any, text: Any, videos: Any, options: dict[str, Any]
    ) -> tuple[BatchFeature, list[Grown]]:
        if images is None and text is None and videos is None and options.get("audio") is None:
            raise ValueError(f"{type(self).__name__} needs images=, text= or both")
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        if videos is not None and not self._shows().films:
            raise ValueError(f"{type(self).__name__} prepares no films: pass their frames as images")
        kinds = options.pop("return_mm_token_type_ids", bool(self._shows().kinds))
        for_texts, for_pictures = self._told_apart(options)
        if text is None and images is not None and self._shows().mark:  # pictures alone are shown one by one
            nested = images if isinstance(images, (list, tuple)) and _all_lists(images) else [images]
            text = [" ".join([self.image_token] * len(listed(one))) for one in nested]
        if self._shows().tells is not None:
            name, factors = self._shows().tells or ("", ())
            for_pictures[name] = math.prod(getattr(self, factor) for factor in factors)
        texts = None if text is None else self._texts(text)
        for_films = self._of_films(for_pictures)
        found, pieces = self._heard(texts, for_pictures)
        if texts is not None:
            self._agree(texts, images, "image")
            if self._shows().films:
                self._agree(texts, None if videos is None else every_film(videos), "video")
        if images is not None:
            pictures = listed(images)
            given = self._by_text(texts, images) if self._shows().by_text else images
            found |= self.image_processor(given, **for_pictures)
            if texts is not None:
                pieces[self.image_token] = iter([self._piece(found, i) for i in range(len(pictures))])
        else:
            known = {*type(self.image_processor).known_settings(), *OF_A_CALL, *CALL_KEYWORDS}
            refuse_unknown(for_pictures, known, type(self).__name__)
        if videos is not None:
            made, facts = self.video_processor.with_facts(every_film(videos), for_films)
            if set(made) & set(found):
                raise ValueError(
                    f"{type(self).__name__} prepares pictures or films, and both would be "
                    f"{' and '.join(sorted(set(made) & set(found)))}: pass one of images= and videos="
                )
            found |= made
            if self._shows().rate:
                found[self._shows().rate] = frames_between(facts, self.video_processor.temporal_patch_size)
            film_rule = FILM_RULES[self._shows().film_rule]
            each = [film_rule(self, made, i, one) for i, one in enumerate(facts)]
            pieces[self.video_token] = iter(each)
        grown: list[Grown] = []
        if self._shows().merges and videos is not None:
            found["pixel_values"] = self._merged(texts or (), found)
        if texts is not None:
            texts, grown = self._expanded(texts, pieces)
            encoded = dict(self.tokenizer(texts, **for_texts))
            for name in self.pair.unread if self.pair is not None else ():
                encoded.pop(name, None)
            self._whole(texts, encoded["input_ids"])
            if kinds:
                encoded[self._shows().kinds or "mm_token_type_ids"] = self._kinds(encoded["input_ids"])
            found = {**encoded, **found}
        found |= self._together(found)
        for name in self._shows().untold:
            found.pop(name, None)
        return BatchFeature(found, for_texts.get("return_tensors")), grown

    def _heard(
        self, texts: Sequence[str] | None, options: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Iterator[str]]]:
        """What sounds become, by name, and what stands for them in texts; taken out of `options`."""
        return {}, {}

    def _expanded(
        self, texts: list[str], pieces: Mapping[str, Iterator[str]]
    ) -> tuple[list[str], list[Grown]]:
        """See `expanded`."""
        return expanded(texts, pieces)

    def _together(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What follows of texts and pictures together, by what is made of both."""
        return {}

    def _texts(self, text: Any) -> list[str]:
        texts = list(text) if isinstance(text, (list, tuple)) else [text]
        if not all(isinstance(one, str) for one in texts):
            raise TypeError("text is one text or a list of texts")
        return texts

    def _agree(self, texts: Sequence[str], shown: Any, kind: str) -> None:
        """Refuse pictures that texts do not show, and texts that show more than there is."""
        token = getattr(self, f"{kind}_token")
        asked = [one.count(token) for one in texts]
        if shown is None:
            if any(asked):
                raise ValueError(
                    f"the texts show {sum(asked)} {kind}s by {token}, and none is given: pass {kind}s=, or "
                    f"write no {token}"
                )
            return
        if kind == "image" and isinstance(shown, (list, tuple)) and len(shown) == len(texts) > 1:
            for place, (one, count) in enumerate(zip(shown, asked, strict=True)):
                given = len(listed(one)) if isinstance(one, (list, tuple)) else None
                if given is not None and given != count:
                    raise ValueError(
                        f"text {place} shows {count} {kind}s by {token}, but {given} are given for it"
                    )
        given = len(listed(shown) if kind == "image" else shown)
        if sum(asked) != given:
            raise ValueError(
                f"the texts show {sum(asked)} {kind}s by {token}, but {given} are given: write {token} once "
                "for each"
            )

    def _merged(self, texts: Sequence[str], found: Mapping[str, Any]) -> Any:
        """Tiles of pictures and frames of films in the order in which texts show them."""
        counts, tiles = found.get("num_patches", ()), found.get("pixel_values", ())
        ends = [0, *np.cumsum([int(one) for one in counts])]
        each = {
            self.image_token: iter([tiles[a:b] for a, b in zip(ends, ends[1:], strict=False)]),
            self.video_token: iter(found["pixel_values_videos"]),
        }
        tokens = re.compile("|".join(map(re.escape, each)))
        parts = [next(each[hit.group()]) for one in texts for hit in tokens.finditer(one)]
        return [one for part in parts for one in part]

    def _by_text(self, texts: Sequence[str] | None, images: Any) -> Any:
        """The pictures of each text; those of none are together."""
        if texts is None or (isinstance(images, (list, tuple)) and _all_lists(images)):
            return images
        rest = iter(listed(images))
        return [[next(rest) for _ in range(one.count(self.image_token))] for one in texts]

    def _piece(self, found: Mapping[str, Any], index: int) -> str:
        return RULES[self._shows().rule](self, found, index)

    def _of_films(self, for_pictures: dict[str, Any]) -> dict[str, Any]:
        """Keywords of what prepares films: its own, and those of pictures where it knows them too."""
        if not self._shows().films:
            return {}
        own = dict(for_pictures.pop("videos_kwargs", None) or {})
        films = type(self.video_processor).known_settings() | {"video_metadata"}
        pictures = type(self.image_processor).known_settings()
        both = {name: value for name, value in for_pictures.items() if name in (*films, "return_tensors")}
        for name in films - pictures:
            for_pictures.pop(name, None)
        return {**both, **own}

    def _whole(self, texts: Sequence[str], rows: Any) -> None:
        """Refuse rows that were cut within what stands for a picture."""
        for text, row in zip(texts, rows, strict=True):
            ids, fillers = np.asarray(row), self._fillers.values()
            wanted = sum(text.count(token) for token, _ in fillers)
            found = sum(int((ids == number).sum()) for _, number in fillers)
            if wanted != found:
                raise ValueError(
                    f"{wanted} tokens of a text stand for pictures, of which truncation left {found}: raise "
                    "max_length, or leave truncation out"
                )

    def _kinds(self, rows: Any) -> Any:
        """1 for every token that is of a picture, 2 for a film's: as the ids are given."""
        numbers = {kind: number for kind, (_, number) in self._fillers.items()}
        shown, films = numbers.get("image"), numbers.get("video")

        def of(row: Any) -> Any:
            ids = np.asarray(row)
            kinds = (ids == shown).astype(np.int64)
            return kinds if films is None else kinds + 2 * (ids == films)

        return [of(row).tolist() for row in rows]

    def _read(self) -> tuple[str, ...]:
        return (*super()._read(), *(("videos",) if self._shows().films else ()))

    # -- files -------------------------------------------------------------------------------------

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        settings = cls._shows().settings
        found = {name: said[name] for name in settings if name in said}
        return {**found, **{name: options.pop(name) for name in settings if name in options}}

    def to_dict(self) -> dict[str, Any]:
        """The settings of the parts and its own, and the name of the class; tokenizers have own files."""
        return {**super().to_dict(), **{name: getattr(self, name) for name in self._shows().settings}}
