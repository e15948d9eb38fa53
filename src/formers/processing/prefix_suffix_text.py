"""Processors of pictures, a prompt and what is to be written behind it: PaliGemma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formers.processing.features import BatchFeature
from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.placeholders import Grown
from formers.processing.reading import is_picture, listed

# what the models write of places and shapes
_LOCATIONS = [f"<loc{i:04}>" for i in range(1024)] + [f"<seg{i:03}>" for i in range(128)]


class PromptShowingProcessor(ShowingProcessor):
    """Pictures, a prompt behind them, and what is to be written; see `ShowingProcessor`.

    Prompts are written behind the pictures, between the token that begins texts and the end of a line. As
    many tokens stand for a picture as the image processor's `image_seq_length` says.

    Raises:
        ValueError: for an image processor that says no such number.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        given = {**dict(zip(self.attributes, parts, strict=False)), **named}
        images, tokenizer = given.get("image_processor"), given.get("tokenizer")
        if images is not None and getattr(images, "image_seq_length", None) is None:
            raise ValueError(
                f"the image processor of a {type(self).__name__} says how many tokens stand for a picture: "
                "pass image_seq_length= to it"
            )
        if hasattr(tokenizer, "add_tokens"):
            assert tokenizer is not None
            if getattr(tokenizer, "image_token", None) is None:
                tokenizer.add_special_tokens({"additional_special_tokens": [self._shows().image]})
            tokenizer.add_tokens(_LOCATIONS)
            tokenizer.add_bos_token = tokenizer.add_eos_token = False
        super().__init__(**given)
        self.image_seq_length = int(self.image_processor.image_seq_length)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        own = ("token_type_ids", "labels")
        return [*(name for name in super().model_input_names if name not in own), *own]

    def __call__(  # type: ignore[override]  # what is to be written stands third, as the ecosystem has it
        self, images: Any = None, text: Any = None, suffix: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare prompts, their pictures, and what is to be written.

        Args:
            images: the pictures in the order of the prompts: one, a list, or a list for each.
            text: a prompt or a list of them, with `image_token` wherever a picture is shown; where none is,
                each has its pictures before it; "" for captions; None for pictures alone.
            suffix: for each what is to be written.
            **options: see `ShowingProcessor`.

        Returns:
            What the tokenizer gives, [B, T]; `token_type_ids`, 1 for what is to be written; `labels`, its
            ids, -100 elsewhere; and `pixel_values`.

        Raises:
            TypeError: see `ShowingProcessor`.
            ValueError: see there; without pictures, and for what is to be written without a prompt.
        """
        return self._made(images, text, None, {**options, "suffix": suffix})[0]

    def _made(
        self, images: Any, text: Any, videos: Any, options: dict[str, Any]
    ) -> tuple[BatchFeature, list[Grown]]:
        if text is not None and not isinstance(text, str) and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        if images is None:
            raise ValueError(f"{type(self).__name__} needs images=: its models write about pictures")
        suffix = options.pop("suffix", None)
        if text is None and suffix is not None:
            raise ValueError('what is to be written stands behind a prompt: pass text= ("" for captions)')
        if text is None:
            return super()._made(images, None, videos, options)
        tensors = options.pop("return_tensors", None)
        if suffix is not None:
            ends = [suffix] if isinstance(suffix, str) else [*suffix]
            told = {"text_pair": [one + self.tokenizer.eos_token for one in ends]}
            options["text_kwargs"] = {**(options.get("text_kwargs") or {}), **told}
        prompts = self._prompts(text, images)
        options["return_token_type_ids"] = True
        found, grown = super()._made(images, prompts, videos, options)
        types, ids = (found[name] for name in ("token_type_ids", "input_ids"))
        found["labels"] = [
            [number if kind else -100 for number, kind in zip(*row, strict=True)]
            for row in zip(ids, types, strict=True)
        ]
        return found.convert_to_tensors(tensors), grown

    def _prompts(self, text: Any, images: Any) -> list[str]:
        """The prompts behind their pictures."""
        texts, begin, token = self._texts(text), self.tokenizer.bos_token, str(self.image_token)
        if not any(token in one for one in texts):
            counts = self._counts(texts, images)
            return [f"{token * count}{begin}{one}\n" for one, count in zip(texts, counts, strict=True)]
        made = []
        for one in texts:
            behind = one.rfind(token) + len(token) if token in one else len(token) - 1
            made.append(f"{one[:behind]}{begin}{one[behind:]}\n")
        return made

    @staticmethod
    def _counts(texts: Sequence[str], images: Any) -> list[int]:
        """How many pictures each prompt has, where none says it."""
        given = images if isinstance(images, (list, tuple)) else [images]
        if len(given) != len(texts):
            raise ValueError(
                f"there are {len(given)} pictures, or lists of them, and {len(texts)} prompts: give one for "
                "each"
            )
        return [len(one) if isinstance(one, (list, tuple)) else 1 for one in given]
