"""What lies under a folder or repository that holds an adapter alone."""

from __future__ import annotations

from typing import Any

from formers.core.jsonfile import read_json_object
from formers.hub import HUB_KEYWORDS, Source
from formers.hub.files import ADAPTER_CONFIG_NAME, CONFIG_NAME

_OF_THE_ADAPTER = ("revision", "subfolder")


def find_adapter_config_file(
    model_id: Any, cache_dir: Any = None, token: Any = None, revision: str | None = None, **options: Any
) -> str | None:
    """The path of an adapter's config in a folder or repository; None where there is no adapter.

    Args:
        model_id: folder or Hub id.
        cache_dir: where downloads lie.
        token: for the Hub.
        revision: branch, tag or commit.
        options: other keywords of the Hub: `subfolder`, `local_files_only`, ...
    """
    hub = {"cache_dir": cache_dir, "token": token, "revision": revision, **options}
    if model_id is None:
        return None
    known = {name: value for name, value in hub.items() if name in HUB_KEYWORDS and value is not None}
    path = Source.of(model_id, **known).find_in_passing(ADAPTER_CONFIG_NAME)
    return None if path is None else str(path)


def beneath(name: Any, hub: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The model that an adapter goes on, and keywords of the Hub for it; None where `name` is no adapter's.

    Raises:
        OSError: for an adapter that does not say what it goes on, or where nothing is called so.
    """
    source = Source.of(name, **hub)
    if source.gguf_file:
        return None
    alone = source.is_local or source.find(CONFIG_NAME) is None
    path = source.find(ADAPTER_CONFIG_NAME) if alone else source.find_in_passing(ADAPTER_CONFIG_NAME)
    if path is None:
        return None
    held = read_json_object(path)
    base = held.get("base_model_name_or_path")
    if not base:
        raise OSError(
            f"{source} holds an adapter, whose {ADAPTER_CONFIG_NAME} does not say what it goes "
            "on (base_model_name_or_path): load the model, and put the adapter on it with "
            "model.load_adapter(...)"
        )
    rest = {key: value for key, value in hub.items() if key not in _OF_THE_ADAPTER}
    return str(base), {**rest, **({"revision": held["revision"]} if held.get("revision") else {})}
