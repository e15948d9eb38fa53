"""A name to files: folders, the Hub, its cache, uploads and model cards."""

from __future__ import annotations

from formers.hub.cache import default_cache
from formers.hub.failures import HubError
from formers.hub.push import PUSH_KEYWORDS, push_folder, split_push_keywords
from formers.hub.pushable import Pushable, push_saved
from formers.hub.source import HUB_KEYWORDS, Source, split_hub_keywords

PushToHubMixin = Pushable  # the ecosystem's name

__all__ = [
    "HUB_KEYWORDS",
    "PUSH_KEYWORDS",
    "HubError",
    "PushToHubMixin",
    "Pushable",
    "Source",
    "default_cache",
    "push_folder",
    "push_saved",
    "split_hub_keywords",
    "split_push_keywords",
]
