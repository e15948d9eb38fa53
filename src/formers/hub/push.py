"""Upload a folder to the Hub."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

from formers.core.notices import notice, refuse_unknown
from formers.hub import cache as _cache
from formers.hub.failures import translate


def push_folder(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    repo_type: str = "model",
    files: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    use_auth_token: str | bool | None = None,
    use_temp_dir: bool | None = None,
    **unknown: Any,
) -> str:
    """Create the repository if needed and upload a folder's files as one commit.

    Args:
        folder: what to upload.
        repo_id: `owner/name`, or `name` for one's own.
        commit_message: the first line of the commit.
        commit_description: the rest of it.
        private: whether a new repository is private.
        token: an access token; None or True for the stored one.
        revision: the branch; made if it does not exist.
        create_pr: open a pull request instead of committing to the branch.
        repo_type: "model", "dataset" or "space".
        files: patterns of the names to upload (all, when None).
        ignore: patterns of the names to leave out.
        use_auth_token: the older name of `token`.
        use_temp_dir: older versions asked; what is pushed is always saved into a folder of its own first.
        unknown: refused.

    Returns:
        The address of the commit (or pull request).

    Raises:
        OSError: says what the Hub refused and what to do.
        TypeError: for an unknown keyword, with the nearest known one.
    """
    refuse_unknown(unknown, PUSH_KEYWORDS, "push_to_hub")
    if use_temp_dir is False:
        notice(
            "use_temp_dir=False has no effect: what is pushed is saved into a temporary folder. Leave it out."
        )
    token = token if token is not None else use_auth_token
    from huggingface_hub import HfApi

    endpoint = _cache.endpoint()
    api = HfApi(endpoint=endpoint, token=token, library_name="formers")
    branch = revision or "main"
    try:
        repo = api.create_repo(repo_id, private=private, repo_type=repo_type, exist_ok=True)
        if revision is not None and not revision.startswith("refs/pr/"):
            api.create_branch(repo.repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo.repo_id,
            folder_path=os.fspath(folder),
            repo_type=repo_type,
            commit_message=commit_message or "Upload with formers",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
            allow_patterns=list(files) if files is not None else None,
            ignore_patterns=[*(ignore or ()), ".*.partial"],
        )
    except Exception as error:
        raise translate(
            error, what="the upload", repo_id=repo_id, revision=branch, endpoint=endpoint
        ) from error
    return str(commit.pr_url or commit.commit_url)


PUSH_KEYWORDS: tuple[str, ...] = tuple(inspect.signature(push_folder).parameters)[1:-1]


def split_push_keywords(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the keywords of `push_folder` (`repo_id` among them) from the rest."""
    push = {name: value for name, value in kwargs.items() if name in PUSH_KEYWORDS}
    return push, {name: value for name, value in kwargs.items() if name not in push}
