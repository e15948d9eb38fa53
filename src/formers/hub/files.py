"""Single files of a folder or repository, by the functions that scripts call for them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from formers.core.environment import version
from formers.core.jsonfile import read_json_object
from formers.core.notices import refuse_unknown
from formers.hub.cache import offline
from formers.hub.source import HUB_KEYWORDS, Source, split_hub_keywords

CONFIG_NAME = "config.json"
GENERATION_CONFIG_NAME = "generation_config.json"
PROCESSOR_NAME = "processor_config.json"
CHAT_TEMPLATE_NAME = "chat_template.json"
WEIGHTS_NAME = "pytorch_model.bin"
WEIGHTS_INDEX_NAME = "pytorch_model.bin.index.json"
SAFE_WEIGHTS_NAME = "model.safetensors"
SAFE_WEIGHTS_INDEX_NAME = "model.safetensors.index.json"
ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.bin"
ADAPTER_SAFE_WEIGHTS_NAME = "adapter_model.safetensors"

_SILENT = (
    "_raise_exceptions_for_missing_entries",
    "_raise_exceptions_for_connection_errors",
    "_raise_exceptions_for_gated_repo",
)


def _source(name: Any, options: dict[str, Any], where: str) -> tuple[Source, list[bool]]:
    loud = [bool(options.pop(word, True)) for word in _SILENT]
    for word in ("user_agent", "_commit_hash", "resume_download"):  # said for statistics, or without effect
        options.pop(word, None)
    hub, rest = split_hub_keywords(options)
    refuse_unknown(rest, [*sorted(HUB_KEYWORDS), *_SILENT], where)
    return Source.of(name, **hub), loud


def cached_file(path_or_repo_id: Any, filename: str, **kwargs: Any) -> str | None:
    """The path of one file of a folder or repository, downloaded if need be.

    Args:
        path_or_repo_id: a folder, or `owner/name`.
        filename: relative to it.
        **kwargs: those of `Source.of` (`revision`, `subfolder`, `token`, `cache_dir`, ...), and
            `_raise_exceptions_for_missing_entries`, `_raise_exceptions_for_connection_errors` and
            `_raise_exceptions_for_gated_repo`: False returns None instead.

    Raises:
        OSError: when the file is missing, or the repository cannot be read.
    """
    source, loud = _source(path_or_repo_id, kwargs, "cached_file()")
    try:
        found = source.find(filename)
    except OSError:
        if all(loud[1:]):
            raise
        return None
    if found is None and loud[0]:
        found = source.get(filename)
    return None if found is None else str(found)


def has_file(path_or_repo: Any, filename: str, **kwargs: Any) -> bool:
    """Whether a folder or repository has a file of that name; keywords as `cached_file` takes them.

    Raises:
        OSError: when the repository cannot be read.
    """
    source, _ = _source(path_or_repo, kwargs, "has_file()")
    return filename in source.listing()


def get_checkpoint_shard_files(
    pretrained_model_name_or_path: Any, index_filename: str, **kwargs: Any
) -> tuple[list[str], dict[str, Any]]:
    """The shards that an index lists, downloaded if need be, and what the index says beside their names.

    Raises:
        OSError: when the index or a shard is missing.
        ValueError: for a file that is no index.
    """
    if not os.path.isfile(index_filename):
        raise OSError(f"there is no index of shards {str(index_filename)!r}")
    index = read_json_object(Path(index_filename))
    table = index.get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise ValueError(f"{index_filename} is no index of shards: it needs a map from weights to files")
    names = sorted(set(table.values()))
    source, _ = _source(pretrained_model_name_or_path, kwargs, "get_checkpoint_shard_files()")
    metadata = {
        **(index.get("metadata") or {}),
        "all_checkpoint_keys": list(table),
        "weight_map": dict(table),
    }
    return [str(path) for path in source.get_all(names)], metadata


def extract_commit_hash(resolved_file: str | None, commit_hash: str | None = None) -> str | None:
    """The commit that a path of the cache belongs to, None for other paths; a hash that is known stays."""
    if commit_hash is not None or resolved_file is None:
        return commit_hash
    found = re.search(r"snapshots/([0-9a-f]{40})/", Path(resolved_file).as_posix())
    return None if found is None else found[1]


def is_offline_mode() -> bool:
    """Whether the network is forbidden by `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`."""
    return offline()


def is_remote_url(url_or_filename: str) -> bool:
    """Whether a text is the address of a web page or file."""
    return str(url_or_filename).startswith(("http://", "https://"))


def http_user_agent(user_agent: dict[str, Any] | str | None = None) -> str:
    """What a request says of who makes it: this library, Python, torch, and what the caller adds."""
    said = [f"formers/{version('formers')}", f"python/{sys.version.split()[0]}", f"torch/{version('torch')}"]
    if isinstance(user_agent, dict):
        said += [f"{key}/{value}" for key, value in user_agent.items()]
    elif user_agent:
        said.append(user_agent)
    return "; ".join(said)
