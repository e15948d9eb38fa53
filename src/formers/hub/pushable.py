"""What saves itself into a folder can be uploaded: `Pushable`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from formers.core.notices import refuse_unknown
from formers.hub.push import PUSH_KEYWORDS, push_folder, split_push_keywords


class Pushable:
    """Something with `save_pretrained(folder)`, which can go to the Hub from there."""

    # keywords that `push_to_hub` hands on to `save_pretrained`, beside those of the upload
    _saving_keywords: ClassVar[tuple[str, ...]] = ()

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> Any:
        """Write the files into a folder."""
        raise NotImplementedError(f"{type(self).__name__} must say how it is saved: define save_pretrained")

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Refused: it would save code beside the weights.

        Raises:
            NotImplementedError: says how Auto classes get to know a class instead.
        """
        raise NotImplementedError(
            f"{cls.__name__} cannot be saved with its code, for no code of checkpoints is run here; where "
            "it is defined, make it known: AutoConfig.register, AutoModel.register, AutoTokenizer.register"
        )

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Save into a folder of its own and upload that.

        Args:
            repo_id: `owner/name`, or `name` for one's own; made where it does not exist.
            **kwargs: keywords of `formers.hub.push_folder` (`private`, `token`, `commit_message`, ...) and
                those of `save_pretrained` that say how to save.

        Returns:
            The address of the commit (or pull request).

        Raises:
            OSError: says what the Hub refused and what to do.
            TypeError: for an unknown keyword, with the nearest known one.
        """
        import tempfile

        refuse_unknown(kwargs, (*self._saving_keywords, *PUSH_KEYWORDS), "push_to_hub")
        push, how = split_push_keywords(kwargs)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, **how)
            return push_folder(folder, repo_id, **push)


def push_saved(
    folder: str | os.PathLike[str], options: Mapping[str, Any], files: Sequence[str] | None = None
) -> str:
    """Upload what `save_pretrained(folder, push_to_hub=True, **options)` wrote.

    The repository is `repo_id` among the options, else it has the folder's name.
    """
    push = {"files": files, **options}
    return push_folder(folder, push.pop("repo_id", None) or Path(folder).absolute().name, **push)
