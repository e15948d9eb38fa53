"""A name to files: folders, the Hub, its cache, uploads and model cards."""

from __future__ import annotations

from formers.hub.cache import default_cache
from formers.hub.failures import HubError
from formers.hub.push import push_folder
from formers.hub.source import HUB_KEYWORDS, Source, split_hub_keywords

__all__ = ["HUB_KEYWORDS", "HubError", "Source", "default_cache", "push_folder", "split_hub_keywords"]
