"""Source: a folder or a Hub repository, asked for its files. The cache is asked first."""

from __future__ import annotations

import inspect
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from formers.core.notices import notice
from formers.hub import cache as _cache
from formers.hub import gguf
from formers.hub.failures import HubError, not_cached, translate

# After a failure the Hub is not asked again for this long (seconds): a cached model would
# otherwise wait for one time-out per optional file.
_RETRY_AFTER = 30.0
_failed_at: dict[str, float] = {}


def split_hub_keywords(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the keywords of `Source.of` from the rest.

    `resume_download` and `mirror`, which older versions took, are noticed and dropped: downloads
    always resume, and `HF_ENDPOINT` names another Hub.
    """
    hub = {name: value for name, value in kwargs.items() if name in HUB_KEYWORDS}
    rest = {name: value for name, value in kwargs.items() if name not in HUB_KEYWORDS}
    if rest.pop("resume_download", None) is not None:
        notice("resume_download is not needed: downloads always resume. Leave it out.")
    if rest.pop("mirror", None) is not None:
        notice("mirror has no effect: set the environment variable HF_ENDPOINT to use another Hub.")
    return hub, rest


def looks_like_a_path(name: str) -> bool:
    """Whether a name can only be a path on this machine, never a repository id."""
    if name.startswith((".", "/", "~", "\\")) or "\\" in name or name.endswith("/") or name.count("/") > 1:
        return True
    return re.match(r"[A-Za-z]:", name) is not None


@dataclass
class Source:
    """Where a model's files come from. Make one with `Source.of`."""

    name: str
    folder: Path | None = None
    revision: str = "main"
    subfolder: str = ""
    token: str | bool | None = None
    cache_dir: Path = field(default_factory=_cache.default_cache)
    local_files_only: bool = False
    force_download: bool = False
    repo_type: str = "model"
    proxies: dict[str, str] | None = None
    gguf_file: str = ""
    _commit: str | None = None
    _names: frozenset[str] | None = None
    _fetched: set[str] = field(default_factory=set)
    _asked: bool = False
    doubt: str | None = None  # why a file that `find` did not find may exist all the same

    @classmethod
    def of(
        cls,
        name_or_path: str | os.PathLike[str] | Source,
        *,
        revision: str | None = None,
        subfolder: str | None = "",
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        repo_type: str | None = "model",
        proxies: dict[str, str] | None = None,
        use_auth_token: str | bool | None = None,
        gguf_file: str | None = None,
    ) -> Source:
        """Take a folder (which always wins) or a repository id.

        Args:
            name_or_path: a folder, or `name`, or `owner/name`, or a GGUF file.
            revision: a branch, a tag or a commit hash.
            subfolder: a folder inside the folder or repository.
            token: an access token; True for the stored one, False for none.
            cache_dir: another cache folder than `default_cache()`.
            local_files_only: never use the network.
            force_download: download again what the cache has.
            repo_type: "model", "dataset" or "space".
            proxies: for versions of `huggingface_hub` that take them.
            use_auth_token: the older name of `token`.
            gguf_file: a file of the folder or repository that holds config, tokenizer and weights.

        Raises:
            OSError: when the name looks like a path and nothing is there, or it is a file.
            TypeError: for a name that is no text and no path.
        """
        if isinstance(name_or_path, Source):
            return name_or_path
        if not isinstance(name_or_path, (str, os.PathLike)):
            raise TypeError(
                f"a model is named by a folder or by a repository id such as 'gpt2', not by a "
                f"{type(name_or_path).__name__} ({str(name_or_path)[:60]})"
            )
        name = os.fspath(name_or_path)
        if not isinstance(name, str) or not name:
            raise OSError(
                f"a model is named by a folder or by a repository id such as 'gpt2', not by {name!r}"
            )
        path = Path(name).expanduser()
        subfolder = (subfolder or "").strip("/")
        local: dict[str, Any] = {"revision": revision or "main", "subfolder": subfolder}
        if path.is_dir():
            return cls(name, folder=path, gguf_file=gguf_file or "", **local)
        if path.is_file():
            if path.suffix == gguf.ENDING:
                return cls(name, folder=path.parent, gguf_file=path.name, **local)
            raise OSError(f"{path} is a file; give the folder that holds it: {str(path.parent)!r}")
        if name.startswith(("http://", "https://")):
            raise OSError(
                f"{name!r} is an address; name the repository alone, such as 'owner/name', and another Hub "
                "by the environment variable HF_ENDPOINT"
            )
        if looks_like_a_path(name):
            raise OSError(
                f"there is no folder {str(path)!r} (looked in {Path.cwd()}). A repository of the Hub is "
                "named `name` or `owner/name`."
            )
        if force_download and (local_files_only or _cache.offline()):
            why = (
                "local_files_only=True"
                if local_files_only
                else "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"
            )
            raise OSError(
                f"force_download=True downloads {name!r} again, but {why}: leave one of the two out. Without "
                "force_download the files of the cache are used"
            )
        return cls(
            name,
            token=token if token is not None else use_auth_token,
            cache_dir=Path(cache_dir).expanduser() if cache_dir is not None else _cache.default_cache(),
            local_files_only=local_files_only,
            force_download=force_download,
            repo_type=repo_type or "model",
            proxies=proxies,
            gguf_file=gguf_file or "",
            **local,
        )

    # -- what it is ---------------------------------------------------------------------------

    @property
    def is_local(self) -> bool:
        """Whether the files lie in a folder that was named."""
        return self.folder is not None

    @property
    def commit(self) -> str | None:
        """The commit hash where known without asking the network."""
        if self.is_local:
            return None
        return self._commit or self._repo.commit_of(self.revision)

    @property
    def _repo(self) -> _cache.RepoCache:
        return _cache.RepoCache.of(self.name, self.repo_type, self.cache_dir)

    @cached_property
    def _endpoint(self) -> str:
        return _cache.endpoint()

    def __str__(self) -> str:
        return str(self.folder) if self.folder is not None else f"{self.name} (revision {self.revision})"

    def _inside(self, filename: str) -> str:
        return f"{self.subfolder}/{filename}" if self.subfolder else filename

    def _no_network_because(self) -> str | None:
        if self.local_files_only:
            return "local_files_only=True"
        return "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set" if _cache.offline() else None

    @property
    def gguf(self) -> gguf.Header | None:
        """What the GGUF file says that holds the model; None where none was named.

        Raises:
            OSError: when it is not there, or damaged.
        """
        return gguf.read_header(self.get(self.gguf_file)) if self.gguf_file else None

    # -- files --------------------------------------------------------------------------------

    def find(self, filename: str) -> Path | None:
        """Return the path of a file, downloading it if need be; None when there is no such file.

        Without the network, a file that the cache does not have and whose absence is not known
        counts as absent, as long as the cache has anything of the revision.

        Raises:
            OSError: when the repository cannot be read.
        """
        inside = self._inside(filename)
        if self.folder is not None:
            path = self.folder / inside
            return path if path.is_file() else None
        cached = self._from_cache(inside)
        if cached is not None:
            return cached
        commit = self.commit
        if commit is not None and not self._must_ask() and self._repo.known_absent(commit, inside):
            return None
        why = self._no_network_because()
        if why is not None:
            self._refuse_without_network(inside, why)
            return None
        try:
            if inside not in self._remote_names():
                return None
            return self._download(inside)
        except HubError as error:  # no connection, or no access any more: what is cached still works
            if commit is None or not self._repo.has(commit) or self._must_ask():
                raise
            self._refuse_without_network(inside, f"the Hub failed ({error})", error)
            return None

    def find_in_passing(self, filename: str) -> Path | None:
        """Like `find`, for a file that is not worth a request of its own.

        It is downloaded only when this source is downloading anyway; a failure counts as absence.
        """
        if self.is_local or self._asked:
            try:
                return self.find(filename)
            except OSError:
                return None
        return self._from_cache(self._inside(filename))

    def get(self, filename: str) -> Path:
        """Return the path of a file that must be there.

        Raises:
            OSError: says what was looked for, where, and what to do.
        """
        path = self.find(filename)
        if path is not None:
            return path
        inside = self._inside(filename)
        if self.folder is not None:
            there = sorted(p.name for p in (self.folder / self.subfolder).glob("*"))[:12]
            raise OSError(
                f"{self.folder} has no file {inside}. It holds: {', '.join(there) or 'nothing'}. "
                "Give the folder that save_pretrained wrote."
            )
        commit = self.commit
        if self.doubt is not None and (commit is None or not self._repo.known_absent(commit, inside)):
            raise HubError(not_cached(self.name, inside, self.revision, self.cache_dir, self.doubt))
        raise HubError(
            f"{self.name} (revision {self.revision}) has no file {inside}: see its files at "
            f"{self._endpoint}/{self.name}/tree/{self.revision}"
        )

    def get_all(self, filenames: list[str]) -> list[Path]:
        """Return the paths of several files, downloading what is missing at the same time."""
        missing = [
            name for name in filenames if self.folder is None and self._from_cache(self._inside(name)) is None
        ]
        if len(missing) > 1 and self._no_network_because() is None:
            from concurrent.futures import ThreadPoolExecutor

            self._remote_names()
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(self.get, missing))
        return [self.get(name) for name in filenames]

    def listing(self) -> list[str]:
        """Return the names of all files, relative to the folder or repository (and subfolder).

        Raises:
            OSError: when the repository cannot be read.
        """
        if self.folder is not None:
            root = self.folder / self.subfolder
            return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        names = self._known_names()
        start = f"{self.subfolder}/" if self.subfolder else ""
        return sorted(name.removeprefix(start) for name in names if name.startswith(start))

    # -- the cache ----------------------------------------------------------------------------

    def _must_ask(self) -> bool:
        return self.force_download

    def _from_cache(self, inside: str) -> Path | None:
        commit = self.commit
        if commit is None or (self._must_ask() and inside not in self._fetched):
            return None
        return self._repo.file(commit, inside)

    def _known_names(self) -> frozenset[str]:
        commit = self.commit
        recorded = self._repo.listing(commit) if commit is not None and not self._must_ask() else None
        if recorded is not None:
            return recorded
        why = self._no_network_because()
        if why is None:
            try:
                return self._remote_names()
            except HubError:
                if commit is None or not self._repo.has(commit):
                    raise
        if commit is None or not self._repo.has(commit):
            raise HubError(
                not_cached(self.name, "the list of files", self.revision, self.cache_dir, why or "")
            )
        return frozenset(self._repo.downloaded(commit))

    def _refuse_without_network(self, inside: str, why: str, cause: Exception | None = None) -> None:
        """Raise unless the file may count as absent: something was downloaded, and no list names it."""
        commit = self.commit
        listed = self._repo.listing(commit) if commit is not None else None
        if commit is None or not self._repo.has(commit) or (listed is not None and inside in listed):
            raise HubError(not_cached(self.name, inside, self.revision, self.cache_dir, why)) from cause
        if listed is None:
            self.doubt = why

    # -- the network --------------------------------------------------------------------------

    def _remote_names(self) -> frozenset[str]:
        """Ask the Hub once for the commit and the names of its files; both are recorded."""
        if self._names is None:
            commit = None if self._must_ask() else self.commit
            names = self._repo.listing(commit) if commit is not None else None
            if names is None:
                self._spare_a_failed_hub(commit)
                info = self._ask(
                    "the list of files",
                    lambda api: api.repo_info(
                        self.name,
                        revision=commit or self.revision,
                        repo_type=self.repo_type,
                        token=self.token,
                    ),
                )
                commit = info.sha
                if info.siblings is None:
                    raise HubError(f"{self._endpoint} did not say which files {self.name} has")
                names = frozenset(item.rfilename for item in info.siblings)
                if commit is not None:
                    self._repo.remember_commit(self.revision, commit)
                    self._repo.remember_listing(commit, names)
            self._commit, self._names = commit, names
        return self._names

    def _download(self, inside: str) -> Path:
        from huggingface_hub import hf_hub_download

        extra: dict[str, Any] = {}
        if self.proxies:
            if "proxies" in inspect.signature(hf_hub_download).parameters:
                extra["proxies"] = self.proxies
            else:
                notice("this version of huggingface_hub takes no proxies: set HTTPS_PROXY in the environment")
        path = self._ask(
            inside,
            lambda _: hf_hub_download(
                self.name,
                inside,
                revision=self._commit or self.revision,
                repo_type=self.repo_type,
                cache_dir=self.cache_dir,
                token=self.token,
                force_download=self.force_download,
                endpoint=self._endpoint,
                library_name="formers",
                **extra,
            ),
        )
        self._fetched.add(inside)
        return Path(path)

    def _spare_a_failed_hub(self, commit: str | None) -> None:
        """Do not wait for one time-out per optional file when the cache has the model."""
        since = _failed_at.get(f"{self._endpoint}/{self.name}")
        recently = since is not None and time.monotonic() - since < _RETRY_AFTER
        if recently and commit is not None and self._repo.has(commit):
            raise HubError(f"{self._endpoint} failed a moment ago")

    def _ask(self, what: str, question: Any) -> Any:
        """Ask the Hub something; every failure becomes one clear OSError."""
        from huggingface_hub import HfApi

        self._asked = True
        try:
            answer = question(HfApi(endpoint=self._endpoint, library_name="formers"))
        except Exception as error:
            _failed_at[f"{self._endpoint}/{self.name}"] = time.monotonic()
            raise translate(
                error, what=what, repo_id=self.name, revision=self.revision, endpoint=self._endpoint
            ) from error
        _failed_at.pop(f"{self._endpoint}/{self.name}", None)
        return answer


# the keywords of `Source.of`
HUB_KEYWORDS: frozenset[str] = frozenset(inspect.signature(Source.of).parameters) - {"name_or_path"}
