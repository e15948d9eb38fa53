"""Which processor reads a checkpoint's films."""

from __future__ import annotations

from typing import Any

from formers.configs import PretrainedConfig
from formers.hub import split_hub_keywords
from formers.processing.auto import UnknownProcessor, named_films
from formers.processing.grid_video import GridFilmProcessor
from formers.processing.pairs import PAIRS
from formers.processing.video_recipes import FILM_CLASSES

# model type -> the class of what reads its films
MODEL_TYPES = {
    kind: f"{pair.films}VideoProcessor" for pair in PAIRS.values() if pair.films for kind in pair.model_types
}
_own: dict[str, type[Any]] = {}


class AutoVideoProcessor:
    """The processor of films that a checkpoint names, or that its model type has."""

    def __init__(self) -> None:
        raise OSError("AutoVideoProcessor is used through AutoVideoProcessor.from_pretrained(name)")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the processor of a folder or Hub id; keywords as `GridFilmProcessor.from_pretrained`.

        Raises:
            OSError: when there are no settings of it.
            UnknownProcessor: for a processor that is not part of this version; a ValueError.
        """
        name, config = pretrained_model_name_or_path, options.pop("config", None)
        hub, _ = split_hub_keywords(dict(options))
        values, rest = GridFilmProcessor.settings_of(name, **options)
        said, kind = values.get("video_processor_type"), getattr(config, "model_type", None)
        if said not in FILM_CLASSES:
            kind = kind or PretrainedConfig.get_config_dict(name, **hub)[0].get("model_type")
        if kind in _own:
            return _own[kind].from_dict(values, **rest)
        known = said if said in FILM_CLASSES else MODEL_TYPES.get(kind or "")
        if known is None:
            raise UnknownProcessor(
                f"{name} names {said or 'no processor of films'} (model type {kind!r}), which is not part of "
                f"this version; those that are: {', '.join(FILM_CLASSES)}"
            )
        return named_films(known).from_dict(values, **rest)

    @staticmethod
    def register(
        config_class: type[PretrainedConfig], video_processor_class: Any, exist_ok: bool = False
    ) -> None:
        """Make a processor class of one's own the answer for a config class.

        Raises:
            TypeError: for what has no `from_dict`.
            ValueError: when the config class has one already.
        """
        own, kind = video_processor_class, config_class.model_type
        if not (isinstance(own, type) and hasattr(own, "from_dict")):
            raise TypeError(f"AutoVideoProcessor.register takes a class with a from_dict, but got {own!r}")
        if (kind in _own or kind in MODEL_TYPES) and not exist_ok:
            raise ValueError(f"model type {kind!r} has a processor of films already")
        _own[kind] = own
