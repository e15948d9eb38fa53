"""Documents of several pages, as pictures: PDFs, TIFFs, and pictures that are a page each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from formers.core.extras import need
from formers.processing.reading import BadPicture, load_image, pillow
from formers.processing.sources import called, opened

_MARK, _HEAD = b"%PDF-", 1024  # which stands somewhere at the beginning of a PDF
_INCH = 72  # units of a PDF
_MOST = 1 << 27  # pixels of a page


def load_pages(
    document: Any, pages: Sequence[int] | None = None, dpi: float = 200, timeout: float | None = None
) -> list[Any]:
    """Read a document as pictures of its pages.

    Args:
        document: a PDF, a TIFF or another picture: a path, an http(s) address, bytes, a base64 text or
            `data:` URL, or a file that is open; or a Pillow image, or a list of pictures, each a page.
        pages: numbers of those that are wanted, from 1; None for all.
        dpi: pixels an inch of a PDF's pages.
        timeout: seconds for an address to answer.

    Returns:
        Pillow images in mode "RGB".

    Raises:
        BadPicture: when it cannot be found or read; an OSError and a ValueError.
        IndexError: for the number of a page that there is not.
        MissingExtra: where pypdfium2 is missing, which reads PDFs.
        ValueError: for a document without pages.
    """
    return [page for _, page in pages_of(document, pages, dpi, timeout)]


def pages_of(
    document: Any, pages: Sequence[int] | None = None, dpi: float = 200, timeout: float | None = None
) -> list[tuple[int | None, Any]]:
    """The pages of a document with their numbers; None for what is one picture.

    See `load_pages`.
    """
    if isinstance(document, (list, tuple)):
        found = [load_image(one, timeout, f"page {i}") for i, one in enumerate(document, 1)]
        return _chosen(len(found), pages, found.__getitem__, "the document")
    if hasattr(document, "getbands"):
        return _frames(document, pages, timeout, called(document, "document"))
    name = called(document, "document")
    file = opened(document, "document", BadPicture, timeout, name)
    begin = file.tell()
    head = file.read(_HEAD)
    file.seek(begin)
    if _MARK in head:
        return _pdf(file, pages, dpi, name)
    try:
        return _frames(pillow().open(file), pages, timeout, name)
    except pillow().UnidentifiedImageError as error:
        raise BadPicture(f"{name} is no PDF, and no picture in a format that Pillow reads") from error


def _chosen(count: int, pages: Sequence[int] | None, read: Any, name: str) -> list[tuple[int | None, Any]]:
    """Those pages, by their numbers."""
    if not count:
        raise ValueError(f"{name} has no pages")
    wanted = range(1, count + 1) if pages is None else pages
    for one in wanted:
        if isinstance(one, bool) or not isinstance(one, int) or not 1 <= one <= count:
            raise IndexError(f"{name} has no page {one!r}: its pages are 1 to {count}")
    return [(one, read(one - 1)) for one in wanted]


def _frames(
    image: Any, pages: Sequence[int] | None, timeout: float | None, name: str
) -> list[tuple[int | None, Any]]:
    """The pages of a TIFF; else one picture, which has no number unless somebody asks for one."""
    count = getattr(image, "n_frames", 1) if getattr(image, "format", "") in ("TIFF", "MPO") else 1
    if count == 1 and pages is None:
        return [(None, load_image(image, timeout, name))]

    def frame(at: int) -> Any:
        try:
            if count > 1:
                image.seek(at)
            return load_image(image.copy(), timeout, f"page {at + 1} of {name}")
        except (OSError, EOFError, ValueError) as error:
            raise BadPicture(f"page {at + 1} of {name} cannot be read: {error}") from error

    return _chosen(count, pages, frame, name)


def _pdf(file: Any, pages: Sequence[int] | None, dpi: float, name: str) -> list[tuple[int | None, Any]]:
    pdfium: Any = need("pypdfium2", "documents", "reading PDFs")
    if not dpi > 0:
        raise ValueError(f"dpi says how many pixels an inch has, not {dpi!r}")
    try:
        document = pdfium.PdfDocument(io.BytesIO(file.read()))
    except pdfium.PdfiumError as error:
        raise BadPicture(f"{name} cannot be read as a PDF: {error}") from error
    try:
        return _chosen(len(document), pages, lambda at: _drawn(pdfium, document, at, dpi, name), name)
    finally:
        document.close()


def _drawn(pdfium: Any, document: Any, at: int, dpi: float, name: str) -> Any:
    """A page of a PDF as a picture."""
    try:
        page = document[at]
        width, height = (edge / _INCH * dpi for edge in page.get_size())
        if width * height > _MOST:
            raise BadPicture(
                f"page {at + 1} of {name} would have {width:.0f} x {height:.0f} pixels: choose a smaller dpi"
            )
        return page.render(scale=dpi / _INCH).to_pil().convert("RGB")
    except pdfium.PdfiumError as error:
        raise BadPicture(f"page {at + 1} of {name} cannot be read: {error}") from error
