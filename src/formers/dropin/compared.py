"""Names that packages import without a guard, to compare or annotate with, or for a part of theirs.

Nothing here is ever of such a class, so that comparisons are right; to make one is refused with the reason.
Names that packages do guard are not listed: a guard works by the import's failing.
"""

from __future__ import annotations

from typing import Any

# name -> the package that imports it so
NAMES = {
    "DebertaV2Encoder": "gliner",
    "ImageFeatureExtractionMixin": "transformers-interpret",
    "LayoutLMv2FeatureExtractor": "flair",
    "UdopConfig": "sentence-transformers",
}


class Absent:
    """A class that formers has not got."""

    def __init__(self, *args: Any, **options: Any) -> None:
        raise NotImplementedError(_said(type(self)))

    @classmethod
    def from_pretrained(cls, *args: Any, **options: Any) -> Any:
        """Refuse.

        Raises:
            NotImplementedError: always, with the reason.
        """
        raise NotImplementedError(_said(cls))


def _said(kind: type) -> str:
    from formers.names import reason_of_absence

    return (
        f"{kind.__name__} can be imported and compared with, but not made{reason_of_absence(kind.__name__)}"
    )


def named(name: str) -> type[Absent]:
    """The class of one of `NAMES`."""
    return type(name, (Absent,), {"__module__": __name__, "__doc__": f"{name}, to compare classes with."})
