"""Where downloaded files lie: the environment's variables and the layout of the cache, read at call time."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json
from formers.core.older_names import older_variables

_TRUE = {"1", "ON", "YES", "TRUE"}
_COMMIT = re.compile(r"[0-9a-f]{40}")

# Names from before repositories had owners. The Hub redirects them; a cache may hold either name.
_OWNERS = {
    "bert-": "google-bert",
    "distilbert-": "distilbert",
    "distilroberta-": "distilbert",
    "distilgpt2": "distilbert",
    "gpt2": "openai-community",
    "openai-gpt": "openai-community",
    "roberta-": "FacebookAI",
    "xlm-": "FacebookAI",
    "t5-": "google-t5",
    "albert-": "albert",
    "xlnet-": "xlnet",
    "camembert-": "almanach",
    "ctrl": "Salesforce",
    "transfo-xl-": "transfo-xl",
}


def default_cache() -> Path:
    """The folder of downloaded repositories.

    In this order: `HF_HUB_CACHE`, its older names (`HUGGINGFACE_HUB_CACHE`, `TRANSFORMERS_CACHE`, ...),
    `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`.
    """
    for name in ("HF_HUB_CACHE", *older_variables("HF_HUB_CACHE")):
        if value := os.environ.get(name):
            return Path(os.path.expandvars(value)).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expandvars(base)).expanduser() / "huggingface" / "hub"


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` forbids the network."""
    names = ("HF_HUB_OFFLINE", *older_variables("HF_HUB_OFFLINE"))
    return any(os.environ.get(name, "").upper() in _TRUE for name in names)


def endpoint() -> str:
    """The address of the Hub: `HF_ENDPOINT`, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def legacy_owner(repo_id: str) -> str | None:
    """`"owner/name"` for a name from before repositories had owners, or None."""
    if "/" in repo_id:
        return None
    for start, owner in _OWNERS.items():
        if repo_id == start or (start.endswith("-") and repo_id.startswith(start)):
            return f"{owner}/{repo_id}"
    return f"openai-community/{repo_id}" if repo_id.startswith("gpt2-") else None


@dataclass(frozen=True)
class RepoCache:
    """One repository's folder in the cache, in the layout that `huggingface_hub` writes."""

    folder: Path

    @classmethod
    def of(cls, repo_id: str, repo_type: str, cache_dir: Path) -> RepoCache:
        """Find the folder of a repository; an old bare name is also looked up under its owner."""
        names = [repo_id, legacy_owner(repo_id)]
        folders = [cache_dir / "--".join([f"{repo_type}s", *name.split("/")]) for name in names if name]
        return cls(next((folder for folder in folders if (folder / "snapshots").is_dir()), folders[0]))

    def commit_of(self, revision: str) -> str | None:
        """Return the commit that a branch, a tag or a hash stood for when it was last downloaded."""
        if _COMMIT.fullmatch(revision):
            return revision
        ref = self.folder / "refs" / revision
        with suppress(OSError):
            return ref.read_text(encoding="utf-8").strip() or None
        return None

    def remember_commit(self, revision: str, commit: str) -> None:
        """Record what a branch or tag stands for, as `huggingface_hub` does."""
        if revision != commit:
            _write_small(self.folder / "refs" / revision, commit)

    def file(self, commit: str, name: str) -> Path | None:
        """Return the path of a downloaded file, or None."""
        path = self.folder / "snapshots" / commit / name
        return path if path.is_file() else None

    def known_absent(self, commit: str, name: str) -> bool:
        """Whether the repository is known to have no such file at this commit."""
        if (self.folder / ".no_exist" / commit / name).is_file():
            return True
        listing = self.listing(commit)
        return listing is not None and name not in listing

    def listing(self, commit: str) -> frozenset[str] | None:
        """Return the names of all files of a commit, where they have been recorded.

        A commit never changes, so a listing once recorded holds for ever. Ours lies in
        `.listings/<commit>.json`; newer versions of `huggingface_hub` keep one in `trees/`.
        """
        for path in (self.folder / ".listings" / f"{commit}.json", self.folder / "trees" / f"{commit}.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                return frozenset(read_json(path)["files"])
        return None

    def remember_listing(self, commit: str, names: frozenset[str]) -> None:
        """Record the names of all files of a commit."""
        text = json.dumps({"files": sorted(names)}, indent=1)
        _write_small(self.folder / ".listings" / f"{commit}.json", text)

    def downloaded(self, commit: str) -> list[str]:
        """Return the names of the files of a commit that lie in the cache."""
        root = self.folder / "snapshots" / commit
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def has(self, commit: str) -> bool:
        """Whether anything of this commit was downloaded."""
        return (self.folder / "snapshots" / commit).is_dir()


def _write_small(path: Path, text: str) -> None:
    """Write a file of the cache. One that cannot be written to is no reason to fail."""
    with suppress(OSError):
        write_text(path, text)
