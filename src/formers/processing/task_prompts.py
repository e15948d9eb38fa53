"""Processors of pictures and of tasks that prompts name, whose answers say places: Florence-2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formers.core.notices import notice
from formers.processing.features import BatchFeature
from formers.processing.location_tokens import answer
from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.placeholders import Grown
from formers.processing.reading import is_picture, listed

# task -> the kind of its answers, and what the model is asked
_TASKS: dict[str, tuple[str, str]] = {
    "<OCR>": ("pure_text", "What is the text in the image?"),
    "<OCR_WITH_REGION>": ("ocr", "What is the text in the image, with regions?"),
    "<CAPTION>": ("pure_text", "What does the image describe?"),
    "<DETAILED_CAPTION>": ("pure_text", "Describe in detail what is shown in the image."),
    "<MORE_DETAILED_CAPTION>": ("pure_text", "Describe with a paragraph what is shown in the image."),
    "<OD>": ("description_with_bboxes", "Locate the objects with category name in the image."),
    "<DENSE_REGION_CAPTION>": (
        "description_with_bboxes",
        "Locate the objects in the image, with their descriptions.",
    ),
    "<REGION_PROPOSAL>": ("bboxes", "Locate the region proposals in the image."),
    "<CAPTION_TO_PHRASE_GROUNDING>": ("phrase_grounding", "Locate the phrases in the caption: {input}"),
    "<REFERRING_EXPRESSION_SEGMENTATION>": ("polygons", "Locate {input} in the image with mask"),
    "<REGION_TO_SEGMENTATION>": ("polygons", "What is the polygon mask of region {input}"),
    "<OPEN_VOCABULARY_DETECTION>": (
        "description_with_bboxes_or_polygons",
        "Locate {input} in the image.",
    ),
    "<REGION_TO_CATEGORY>": ("pure_text", "What is the region {input}?"),
    "<REGION_TO_DESCRIPTION>": ("pure_text", "What does the region {input} describe?"),
    "<REGION_TO_OCR>": ("pure_text", "What text is in the region {input}?"),
}
_BESIDE = "{input}"


class TaskPromptProcessor(ShowingProcessor):
    """Pictures, and prompts that name a task, such as "<CAPTION>"; see `ShowingProcessor`.

    What a task needs stands behind its name: "<OPEN_VOCABULARY_DETECTION>a green car". As many tokens stand
    for a picture as the image processor's `image_seq_length` says.

    Attributes:
        num_image_tokens: those.

    Raises:
        ValueError: for an image processor that says no such number.
    """

    num_additional_image_tokens: int
    post_processor_config: dict[str, Any] | None

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        count = getattr(self.image_processor, "image_seq_length", None)
        if count is None:
            raise ValueError(
                f"the image processor of a {type(self).__name__} says how many tokens stand for a picture: "
                "pass image_seq_length= to it"
            )
        self.num_image_tokens = self.image_seq_length = int(count)

    def _made(
        self, images: Any, text: Any, videos: Any, options: dict[str, Any]
    ) -> tuple[BatchFeature, list[Grown]]:
        if text is not None and not isinstance(text, str) and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        if text is None and images is not None:
            notice("Florence-2 is told what to do by a prompt, such as '<CAPTION>': none was given")
            text = [""] * (len(images) if isinstance(images, list) else 1)
        prompts = None if text is None else [asked(one) for one in self._texts(text)]
        if prompts is not None and images is not None:
            token, begin, end = self.image_token, self.tokenizer.bos_token, self.tokenizer.eos_token
            prompts = [f"{token}{begin}{one}{end}" for one in prompts]
        return super()._made(images, prompts, videos, options)

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """What was written, [B, T] -> B texts; with the special tokens, by which places are written."""
        found: list[str] = self.batch_decode(
            generated_outputs, skip_special_tokens=skip_special_tokens, **options
        )
        return found

    def post_process_generation(
        self,
        text: str | None = None,
        sequence: Any = None,
        task: str | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """What was written as an answer to a task.

        Args:
            text: with its special tokens; or
            sequence: its ids, [T].
            task: its name, such as "<OD>"; the answer to another is its text.
            image_size: width and height of the picture, for answers that say places.

        Returns:
            The task -> a text; `bboxes` (left, top, right, bottom in pixels) and `labels`; `quad_boxes`
            (four corners) and `labels`; `polygons` and `labels`; or both of the first and the last.

        Raises:
            ValueError: without a task; without a text or ids, or with both; without a size that is needed;
                and for a kind of answers that the settings do not have.
        """
        if task is None:
            raise ValueError("an answer is read by its task: pass task=, such as '<CAPTION>'")
        if (text is None) == (sequence is None):
            raise ValueError("give exactly one of text and sequence")
        kind = _TASKS[task][0] if task in _TASKS else "pure_text"
        known = self.post_processor_config
        if known is not None and kind not in known:
            raise ValueError(
                f"the post_processor_config of this processor has no {kind!r}, the kind of answers to {task}"
            )
        known = known or {}
        words = self._spelled(sequence) if text is None else text
        unwanted = known.get("phrase_grounding", {}).get("banned_grounding_tokens", ())
        return {task: answer(words, kind, image_size, known.get(kind) or {}, unwanted)}

    def _spelled(self, sequence: Any) -> str:
        """Ids as a text, special tokens as they are."""
        ids: Sequence[int] = sequence.tolist() if hasattr(sequence, "tolist") else list(sequence)
        ids = ids[1:] if ids and ids[0] == self.tokenizer.bos_token_id else ids
        special = set(self.tokenizer.all_special_tokens)
        tokens = self.tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=False)
        return "".join(
            one if one in special else self.tokenizer.convert_tokens_to_string([one]) for one in tokens
        )


def asked(prompt: str) -> str:
    """What the model is asked where a prompt names a task; other prompts stay.

    Raises:
        ValueError: for words beside a task that takes none.
    """
    for task, (_, question) in _TASKS.items():
        if task not in prompt:
            continue
        if _BESIDE in question:
            return question.replace(_BESIDE, prompt.replace(task, "").strip())
        if prompt != task:
            raise ValueError(f"{task} takes nothing beside it: the prompt is {prompt!r}")
        return question
    return prompt
