"""Processors of texts behind a picture that name boxes in it: KOSMOS-2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken

from formers.core.notices import refuse_unknown
from formers.processing import patch_boxes as marks
from formers.processing.features import BatchFeature
from formers.processing.image import OF_A_CALL
from formers.processing.image_text import ProcessorMixin
from formers.processing.reading import is_picture, listed
from formers.tokenization.options import CALL_KEYWORDS

_COUNT = "num_patch_index_tokens"
_WHERE = "image_embeds_position_mask"
_BEGIN, _END, _GROUNDED = "<image>", "</image>", "<grounding>"
_TAGS = (
    *("</doc>", _BEGIN, _END, "</chunk>", "</line>", marks.PHRASE, marks.PHRASE_END, marks.OBJECT),
    *(marks.OBJECT_END, marks.NEXT, _GROUNDED),
)


class GroundedTextProcessor(ProcessorMixin):
    """Texts, a picture before each, and boxes behind their phrases, to the inputs of a model like KOSMOS-2.

    A text that begins with `<grounding>` asks for boxes.

    Args:
        *parts: an image processor, a tokenizer, and how many patches have tokens (`num_patch_index_tokens`,
            a square; 1024); by place or by name. The tokenizer learns the marks that it does not know.

    Raises:
        ValueError: for patches that are no square.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        given = {**dict(zip((*self.attributes, _COUNT), parts, strict=False)), **named}
        count = given.pop(_COUNT, None)
        self.num_patch_index_tokens = 1024 if count is None else int(count)
        self._side = math.isqrt(self.num_patch_index_tokens)
        if self._side**2 != self.num_patch_index_tokens or self._side < 1:
            raise ValueError(f"{_COUNT} is a square, as many patches down as across, not {count}")
        super().__init__(**given)
        patches = (marks.patch_token(i) for i in range(self.num_patch_index_tokens))
        added = [AddedToken(one, lstrip=True, rstrip=False, normalized=False) for one in (*_TAGS, *patches)]
        self.tokenizer.add_tokens(added)

    # -- calls -------------------------------------------------------------------------------------

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        bboxes: Any = None,
        num_image_tokens: int = 64,
        first_image_token_id: int | None = None,
        add_eos_token: bool = False,
        **options: Any,
    ) -> BatchFeature:
        """Prepare pictures, texts, or both.

        Args:
            images: as the image processor takes them, one for each text.
            text: a text or a list of them; the two may stand in either order.
            bboxes: boxes of the phrases of a text, a list with an entry for each: None, a box, or a list of
                boxes. A box is a tuple of two patches, or of four shares of the picture (left, top, right,
                bottom). Of several texts a list of such lists.
            num_image_tokens: Q, tokens that stand for a picture; the model's `latent_query_num`.
            first_image_token_id: id of the first of them; the one behind the unknown token's by default.
            add_eos_token: end texts.
            **options: keywords of the tokenizer and of the image processor, told apart by their names; or
                those of one by themselves, `text_kwargs` and `images_kwargs`. `return_tensors` is for both.

        Returns:
            What the image processor gives, and `input_ids`, `attention_mask` and `image_embeds_position_mask`
            [B, T], 1 where a picture stands; one row for a text by itself, unless tensors are wanted. Texts
            beside pictures are padded to the longest.

        Raises:
            TypeError: for a keyword that neither takes, or texts that are none.
            ValueError: without pictures and texts, for more or fewer pictures than texts, and for boxes that
                do not fit.
        """
        if images is None and text is None:
            raise ValueError(f"{type(self).__name__} needs images=, text= or both")
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        texts, pictures = self._told_apart(options)
        older = {"bboxes": bboxes, "num_image_tokens": num_image_tokens}
        older["first_image_token_id"] = first_image_token_id
        bboxes, count, first = (pictures.pop(name, value) for name, value in older.items())
        ended = bool(texts.pop("add_eos_token", add_eos_token))
        found = dict(self.image_processor(images, **pictures)) if images is not None else {}
        if images is None:
            known = {*type(self.image_processor).known_settings(), *OF_A_CALL, *CALL_KEYWORDS, "images"}
            refuse_unknown(pictures, known, type(self).__name__)
        if text is None:
            return BatchFeature(found)
        begun = texts.pop("add_special_tokens", True)
        written = self.preprocess_examples(text, images, bboxes, count)
        if begun and not ended:
            first_token = str(self.tokenizer.bos_token)
            written = (
                first_token + written if isinstance(written, str) else [first_token + one for one in written]
            )
        texts["add_special_tokens"] = begun and ended
        if images is None:
            read = self.tokenizer(written, **texts)
            return BatchFeature({name: value for name, value in read.items() if name not in self._unread})
        first = self.tokenizer.unk_token_id + 1 if first is None else first
        rows = self._rows([written] if isinstance(written, str) else written, texts, int(begun), count, first)
        wanted = texts.get("return_tensors")
        alone = isinstance(text, str) and wanted is None
        made: dict[str, Any] = {name: value[0] if alone else value for name, value in rows.items()}
        return BatchFeature({**found, **BatchFeature(made, wanted)})

    @property
    def _unread(self) -> tuple[str, ...]:
        return self.pair.unread if self.pair is not None else ()

    def _rows(
        self, texts: list[str], options: Mapping[str, Any], begun: int, count: int, first: int
    ) -> dict[str, list[list[int]]]:
        """Ids, masks, and where pictures stand, all of one length."""
        rest = {name: value for name, value in options.items() if name not in ("padding", "return_tensors")}
        read = self.tokenizer(texts, **{**rest, "padding": False})
        more = [name for name in read if name not in (*self._unread, "input_ids", "attention_mask")]
        if more:
            raise ValueError(f"beside pictures texts come without {', '.join(more)}: leave that out")
        longest = max(range(len(texts)), key=lambda i: len(read["input_ids"][i]))
        padded = self.tokenizer([texts[longest]], **{**rest, "padding": options.get("padding", False)})
        wide, start = len(padded["input_ids"][0]), begun + 1
        left = (rest.get("padding_side") or self.tokenizer.padding_side) == "left"
        if min(map(len, read["input_ids"])) < start + count + 1:
            raise ValueError(
                f"max_length cuts into the {start + count + 1} tokens with which texts behind pictures "
                "begin: raise it"
            )

        def filled(row: list[int], value: int) -> list[int]:
            more = [value] * (wide - len(row))
            return more + row if left else row + more

        found: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], _WHERE: []}
        for ids, mask in zip(read["input_ids"], read["attention_mask"], strict=True):
            shown = [*ids[:start], *range(first, first + count), *ids[start + count :]]
            where = [0] * start + [1] * count + [0] * (len(ids) - start - count)
            found["input_ids"].append(filled(shown, self.tokenizer.pad_token_id))
            found["attention_mask"].append(filled(list(mask), 0))
            found[_WHERE].append(filled(where, 0))
        return found

    def preprocess_examples(
        self, texts: Any, images: Any = None, bboxes: Any = None, num_image_tokens: int = 64
    ) -> Any:
        """Texts with the tokens of pictures before them, and of boxes behind their phrases.

        Args:
            texts: one text, or a list of them.
            images: the picture of each; None for none.
            bboxes: see a call.
            num_image_tokens: tokens that stand for a picture.

        Returns:
            As many texts.

        Raises:
            TypeError: for texts that are none.
            ValueError: for more or fewer pictures than texts, and for boxes that do not fit.
        """
        each = [texts] if isinstance(texts, str) else texts
        if not isinstance(each, (list, tuple)) or not each or not all(isinstance(one, str) for one in each):
            raise TypeError("text is one text or a list of texts")
        count = 0 if images is None else len(images) if isinstance(images, (list, tuple)) else 1
        if images is not None and count != len(each):
            raise ValueError(
                f"a picture stands before each text, but there are {count} pictures and {len(each)} texts"
            )
        boxes = [bboxes] if isinstance(texts, str) else marks.boxes_of_each(bboxes, len(each))
        shown = " ".join((_BEGIN, *[_BEGIN] * num_image_tokens, _END)) + " " if count else ""
        made = [
            marks.with_boxes(shown + one.strip(), own, self._side)
            for one, own in zip(each, boxes, strict=True)
        ]
        return made[0] if isinstance(texts, str) else made

    # -- what models wrote -------------------------------------------------------------------------

    def post_process_generation(self, text: str, cleanup_and_extract: bool = True) -> Any:
        """What stands behind the picture in a text that a model wrote.

        Args:
            text: with its marks, as `batch_decode(ids, skip_special_tokens=True)` gives it.
            cleanup_and_extract: take the marks out, and say what they name.

        Returns:
            The text; with `cleanup_and_extract` the text without marks, and a list of what is named: the
            phrase, from which to which letter it stands, and its boxes (left, top, right, bottom) as shares
            of the picture.
        """
        behind = text.split(_END)[-1]
        return marks.without_marks(behind, self._side) if cleanup_and_extract else behind

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **options: Any
    ) -> list[str]:
        """What models wrote behind pictures, with marks, of ids [B, T] or [T]."""
        rows = generated_outputs if getattr(generated_outputs, "ndim", 2) > 1 else [generated_outputs]
        texts = self.batch_decode(rows, skip_special_tokens=skip_special_tokens, **options)
        return [self.post_process_generation(one, cleanup_and_extract=False) for one in texts]

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        own = [*self.tokenizer.model_input_names, *self.image_processor.model_input_names]
        return [*(name for name in own if name not in self._unread), _WHERE]

    # -- files -------------------------------------------------------------------------------------

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        return {_COUNT: options.pop(_COUNT, said.get(_COUNT))}

    def to_dict(self) -> dict[str, Any]:
        """The settings of the image processor, how many patches have tokens, and the name of the class."""
        return {**super().to_dict(), _COUNT: self.num_patch_index_tokens}
