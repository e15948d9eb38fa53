"""One clear OSError for each way in which the Hub can fail, saying what to do."""

from __future__ import annotations

from typing import Any

_NETWORK_PACKAGES = {"requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2"}


class HubError(OSError):
    """Something could not be had from the Hub or the cache."""


class Unreachable(HubError):
    """The Hub did not answer."""


def translate(error: BaseException, *, what: str, repo_id: str, revision: str, endpoint: str) -> OSError:
    """Turn an exception of `huggingface_hub` into one that says what to do.

    Args:
        error: what was raised.
        what: what was asked for, for the message (`"config.json"`).
        repo_id: the repository.
        revision: the branch, tag or commit.
        endpoint: the address of the Hub.

    Returns:
        The exception to raise from `error`.
    """
    from huggingface_hub import errors

    error = _reason(error)
    page = f"{endpoint}/{repo_id}"
    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{repo_id} is gated: ask for access at {page}, then log in with `hf auth login` "
            "or give token=..."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(
            f"{repo_id} has no revision {revision!r}: the branches and tags are at {page}/tree/main"
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return HubError(not_found(repo_id, endpoint))
    if isinstance(error, errors.HFValidationError):
        return HubError(
            f"{repo_id!r} is neither a folder here nor a repository id (`name` or `owner/name`): {error}"
        )
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return HubError(
            f"{repo_id} (revision {revision}) has no file {what}: its files are at {page}/tree/{revision}"
        )
    if is_network_failure(error):
        return Unreachable(
            f"could not reach {endpoint} for {what} of {repo_id}, and it is not in the cache. Check the name "
            "and the internet connection; to work without one, download the model first and set "
            f"HF_HUB_OFFLINE=1. ({error})"
        )
    if status is not None:
        return HubError(f"{endpoint} answered {status} when asked for {what} of {repo_id}: {error}")
    return HubError(f"{what} of {repo_id} could not be had from {endpoint}: {type(error).__name__}: {error}")


def is_network_failure(error: BaseException) -> bool:
    """Whether the Hub could not be reached (as against: it answered, with a refusal)."""
    from huggingface_hub import errors

    error = _reason(error)
    if isinstance(error, Unreachable | errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
        return True
    status = _status(error)
    if status is not None:
        return status >= 500 or status == 429
    package = type(error).__module__.split(".")[0]
    return package in _NETWORK_PACKAGES or isinstance(error, ConnectionError | TimeoutError)


def _reason(error: BaseException) -> BaseException:
    """Look behind the client's "not found here either", which hides what the Hub answered."""
    from huggingface_hub import errors

    hidden = isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None
    return error.__cause__ or error if hidden else error


def _status(error: BaseException) -> int | None:
    response: Any = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def not_found(repo_id: str, endpoint: str) -> str:
    """Say that a name is neither a folder nor a repository that can be read."""
    return (
        f"{repo_id!r} is neither a folder here nor a repository at {endpoint} that you can read. "
        "Check the spelling; if the repository is private, log in with `hf auth login` or give token=..."
    )


def not_cached(repo_id: str, what: str, revision: str, folder: object, why: str) -> str:
    """Say that the network may not be used and the cache does not have it."""
    return (
        f"{what} of {repo_id} (revision {revision}) is not in the cache {folder}, and the network is not "
        f"used because {why}. Check the name, or download it once with an internet connection and without "
        "that setting (unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, local_files_only=False)."
    )
