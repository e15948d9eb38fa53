"""What every pipeline for pictures does: read them, prepare them, run those of one size together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch

from formers.core.notices import refuse_unknown
from formers.pipelines.frame import Call, Pipeline
from formers.pipelines.text.inputs import one_of
from formers.processing.reading import BadPicture, as_pillow_or_array, channels_last, load_image

_PIXELS = 1 << 22  # of all pictures of a batch, where nobody says how many: 83 of 224 x 224
_AHEAD = 32  # pictures at most, so that the first answers come soon


@dataclasses.dataclass(frozen=True)
class Unread:
    """A picture that could not be read, in the place of its inputs."""

    why: str


class ImagePipeline(Pipeline):
    """A pipeline whose inputs are pictures: paths, addresses, bytes, base64, Pillow images, arrays, tensors.

    Keywords of every call, and of the constructor as defaults:

        timeout: seconds for an address to answer.
        on_error: "raise", or "return": a picture that cannot be read is answered by `{"error": why}`, and the
            others as usual.

    Raises:
        ValueError: without an image processor.
    """

    _load_tokenizer: ClassVar[bool | None] = False
    _load_feature_extractor: ClassVar[bool | None] = False
    _load_image_processor: ClassVar[bool | None] = True
    # answers need the pictures' (height, width), which go along as target_size
    _sized: ClassVar[bool] = False

    def __init__(self, model: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(model, tokenizer, **kwargs)
        if self.image_processor is None:
            raise ValueError(
                f"{type(self).__name__} needs image_processor=AutoImageProcessor.from_pretrained(...)"
            )

    def preprocess(
        self, inputs: Any, timeout: float | None = None, on_error: str = "raise", **settings: Any
    ) -> Any:
        """The model's keywords for one picture, [1, C, H, W], in the model's number format.

        Raises:
            BadPicture: when it cannot be read.
        """
        try:
            picture = self._opened(inputs, timeout)
            made = self._made(picture, settings)
            if self._sized:
                made["target_size"] = torch.tensor([self._size(picture)])
        except BadPicture as error:
            if on_error == "return":
                return Unread(str(error))
            raise
        return made if self.dtype is None else made.to(self.dtype)

    def _opened(self, inputs: Any, timeout: float | None) -> Any:
        """A picture that is read; arrays stay."""
        return as_pillow_or_array(inputs, 0, 1) if hasattr(inputs, "ndim") else load_image(inputs, timeout)

    def _size(self, picture: Any) -> Any:
        """(height, width)."""
        found = as_pillow_or_array(picture, 0, 1)
        if hasattr(found, "getbands"):
            return found.height, found.width
        height, width = channels_last(found, None).shape[:2]
        return height, width

    def _made(self, picture: Any, settings: dict[str, Any]) -> Any:
        """The model's keywords for a picture that is read."""
        return self.image_processor(picture, return_tensors="pt", **settings)

    def preprocess_batch(self, inputs: Sequence[Any], first: int | None = None, **params: Any) -> list[Any]:
        """Prepare the pictures of a batch; errors name the place of theirs."""
        found = []
        for place, one in enumerate(inputs):
            try:
                found.append(self.preprocess(one, **params))
            except BadPicture as error:
                if first is None:
                    raise
                raise BadPicture(f"input {first + place}: {error}") from error
        return found

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        inputs = {**model_inputs}
        along = {"target_size": inputs.pop("target_size")} if self._sized else {}
        found = self.model(**inputs, **params)
        return {**found, **along} if along else found

    def _run(self, prepared: Sequence[Any], call: Call) -> list[Any]:
        """Answer a batch: pictures of one size together, and each that was not read by why."""
        read = iter(self._run_alike([one for one in prepared if not isinstance(one, Unread)], call))
        return [{"error": one.why} if isinstance(one, Unread) else next(read) for one in prepared]

    def _batches(self, items: list[Any], call: Call, first: int) -> Iterator[tuple[Sequence[int], list[Any]]]:
        if call.batch_size is None:
            held = self.image_processor
            size = getattr(held, "crop_size", None) or getattr(held, "size", None)
            edges = list(size.values()) if isinstance(size, dict) else [512]
            most = max(1, min(_AHEAD, _PIXELS // (edges[0] * edges[-1])))
            call = dataclasses.replace(call, batch_size=most)
        yield from super()._batches(items, call, first)

    @staticmethod
    def _reading(timeout: float | None, on_error: str | None) -> dict[str, Any]:
        """Keywords of `preprocess` that a call gives."""
        found: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if on_error is not None:
            found["on_error"] = one_of("on_error", on_error, ["raise", "return"])
        return found


class PlainImagePipeline(ImagePipeline):
    """One whose calls take nothing of their own."""

    def _sanitize_parameters(  # type: ignore[override]  # by name, so that others are refused
        self, timeout: float | None = None, parameters: Any = None, on_error: str | None = None
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        refuse_unknown(parameters or {}, ["timeout"], f"{type(self).__name__}'s parameters")
        return self._reading((parameters or {}).get("timeout", timeout), on_error), {}, {}
