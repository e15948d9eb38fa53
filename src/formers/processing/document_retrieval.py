"""Processors of pages and questions that are found by many vectors each: ColPali, ColQwen2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from formers.core.notices import refuse_unknown
from formers.processing.features import BatchFeature
from formers.processing.image import OF_A_CALL
from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.prefix_suffix_text import PromptShowingProcessor
from formers.processing.reading import is_picture, listed

if TYPE_CHECKING:
    from torch import Tensor

_ASIDE = 10  # tokens of padding behind a question, whose vectors may find what its words do not


class RetrievalProcessor(ShowingProcessor):
    """Pages as pictures, or questions, to the inputs of a model that makes vectors of them.

    Args:
        *parts: an image processor, a tokenizer, and what stands behind every page (`visual_prompt_prefix`)
            and before every question (`query_prefix`); by place or by name.
    """

    visual_prompt_prefix: str
    query_prefix: str
    _tells_kinds = False  # which tokens of questions are of which text, also where there is one alone

    @property
    def query_augmentation_token(self) -> str:
        """What stands behind questions, ten times unless a caller gives a `suffix`."""
        return str(self.tokenizer.pad_token)

    def __call__(  # type: ignore[override]  # one of the two
        self, images: Any = None, text: Any = None, suffix: Any = None, **options: Any
    ) -> BatchFeature:
        """Prepare pages or questions, padded to the longest, as tensors.

        Args:
            images: pages: one, or a list.
            text: a question, or a list of them.
            suffix: what stands behind every question.
            **options: see `ShowingProcessor`.

        Returns:
            What the tokenizer gives, [B, T], and what the image processor gives. Where pages have patches end
            to end, those of each are a row, [B, P, width], with zeros behind them.

        Raises:
            TypeError: see `ShowingProcessor`.
            ValueError: for both at once, or neither; for a suffix of pages.
        """
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        if (images is None) == (text is None):
            raise ValueError("pages and questions are prepared one kind at a time: pass images= or text=")
        tensors = options.pop("return_tensors", "pt")
        if text is None:
            if suffix is not None:
                raise ValueError("a suffix stands behind questions: leave it out beside pages")
            pages = listed(images)
            own = {**(options.pop("text_kwargs", None) or {}), "return_tensors": None}
            prompts = [self.visual_prompt_prefix] * len(pages)
            found = self._made(pages, prompts, None, {**options, "text_kwargs": own})[0]
            if self._shows().rows:
                found["pixel_values"] = rows_of(found["pixel_values"], found[self._shows().rows])
            return found.convert_to_tensors(tensors)
        behind = self.query_augmentation_token * _ASIDE if suffix is None else suffix
        begin = f"{self._begin()}{self.query_prefix}"
        texts = [f"{begin}{one}{behind}\n" for one in self._texts(text)]
        if options.get("max_length") is not None:
            options["max_length"] += self._room()
        told = {"return_token_type_ids": self._tells_kinds or suffix is not None}
        given, rest = self._told_apart({**told, **options, "return_tensors": tensors})
        known = {*type(self.image_processor).known_settings(), *OF_A_CALL}
        refuse_unknown(rest, known, type(self).__name__)
        return BatchFeature(self.tokenizer(texts, **given))

    def _begin(self) -> str:
        """What stands before all else of a question."""
        return ""

    def _room(self) -> int:
        """By how many tokens a question may be longer than `max_length` says."""
        return 0

    def process_images(self, images: Any = None, **options: Any) -> BatchFeature:
        """Prepare pages; see `__call__`."""
        return self(images=images, **options)

    def process_queries(self, text: Any, **options: Any) -> BatchFeature:
        """Prepare questions; see `__call__`."""
        return self(text=text, **options)

    def score_retrieval(
        self,
        query_embeddings: Tensor | Sequence[Tensor],
        passage_embeddings: Tensor | Sequence[Tensor],
        batch_size: int = 128,
        output_dtype: Any = None,
        output_device: Any = "cpu",
    ) -> Tensor:
        """How well pages answer questions; see `late_interaction`."""
        found = late_interaction(query_embeddings, passage_embeddings, batch_size)
        return found.to(output_device, output_dtype or found.dtype)


class PromptRetrievalProcessor(RetrievalProcessor, PromptShowingProcessor):
    """Likewise, where the prompt of pages stands behind them; see `PromptShowingProcessor`.

    Of pages there are `labels` too, and texts as long as a picture and `max_length` together.
    """

    _tells_kinds = True

    def _begin(self) -> str:
        return str(self.tokenizer.bos_token)

    def _room(self) -> int:
        return self.image_seq_length


def rows_of(patches: Any, grids: Any) -> Any:
    """Patches of pictures end to end, [patches, width] -> a row for each, zeros behind: [B, P, width].

    Args:
        patches: float.
        grids: frames, rows and columns of each picture, [B, 3].
    """
    sizes = np.asarray(grids).prod(-1)
    rows = np.zeros((len(sizes), int(sizes.max()), patches.shape[-1]), np.asarray(patches).dtype)
    for row, one in zip(rows, np.split(np.asarray(patches), np.cumsum(sizes)[:-1]), strict=True):
        row[: len(one)] = one
    return rows


def late_interaction(
    questions: Tensor | Sequence[Tensor], passages: Tensor | Sequence[Tensor], batch_size: int = 128
) -> Tensor:
    """The sum over a question's vectors of the best product with one of a passage's: [questions, passages].

    Khattab and Zaharia 2020, arXiv:2004.12832, section 3.3. Vectors of zeros, as padding has, add nothing
    to a question, and compete with a passage's own.

    Args:
        questions: vectors of each, [T, E] in a list, or [questions, T, E].
        passages: likewise.
        batch_size: so many of each are compared at once.

    Raises:
        ValueError: without any of either; for vectors of two devices, types or widths.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    for name, each in (("questions", questions), ("passages", passages)):
        if len(each) == 0:
            raise ValueError(f"there are no {name} to compare")
    one, other = questions[0], passages[0]
    if one.device != other.device or one.dtype != other.dtype or one.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"questions have vectors of {one.shape[-1]} {one.dtype} on {one.device}, passages of "
            f"{other.shape[-1]} {other.dtype} on {other.device}: bring them to the same"
        )

    def batches(each: Any) -> list[Tensor]:
        starts = range(0, len(each), batch_size)
        return [pad_sequence(list(each[at : at + batch_size]), batch_first=True) for at in starts]

    pages = batches(passages)
    rows = [
        torch.cat([torch.einsum("qte,pse->qpts", asked, page).amax(-1).sum(-1) for page in pages], 1)
        for asked in batches(questions)
    ]
    return torch.cat(rows)
