"""What a decoder of speech begins with: tokens of the language, the task, and whether times are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formers.generation.processors.base import require
from formers.tokenization.languages import spoken_code
from formers.tokenization.speech import TASKS


def language_id(language: str, known: Mapping[str, int]) -> int:
    """The id of a language's token among the `known` ones.

    Raises:
        ValueError: for one that this model was not trained on.
    """
    token = language.lower() if language.lower() in known else f"<|{spoken_code(language)}|>"
    require(
        token in known, f"this model has no token for {language!r} in lang_to_id of its generation_config"
    )
    return known[token]


def languages_of(language: Any, batch: int) -> list[str] | None:
    """One language for every sound, or None where nobody says.

    Raises:
        TypeError: for a list that leaves some open.
        ValueError: for another number of them than sounds.
    """
    if language is None:
        return None
    if isinstance(language, str):
        return [language] * batch
    if any(one is None for one in language):
        raise TypeError("language is one string, a list with a string for every sound, or None for all")
    require(len(language) == batch, f"there are {len(language)} languages for {batch} sounds")
    return list(language)


def check(config: Any, task: str | None, language: Any) -> None:
    """Refuse a task or a language that a model's settings cannot say.

    Raises:
        ValueError: naming what they lack.
    """
    for name, value, table in (("task", task, "task_to_id"), ("language", language, "lang_to_id")):
        if value is None:
            continue
        require(
            getattr(config, "is_multilingual", True),
            f"this model knows English alone and takes no {name}: leave it out, or pass is_multilingual=True",
        )
        require(
            hasattr(config, table),
            f"the generation_config of this model has no {table}, which names the tokens of {name}s: take "
            "over that of a newer checkpoint",
        )
    require(task is None or task in TASKS, f"task is 'transcribe' or 'translate', not {task!r}")


def forced(config: Any, model_config: Any) -> list[int | None]:
    """What older settings force behind the start; None stands for the language that is heard.

    Raises:
        ValueError: for places with a gap.
    """
    given: Sequence[Sequence[Any]] | None = getattr(config, "forced_decoder_ids", None)
    given = given or getattr(model_config, "forced_decoder_ids", None) or ()
    if not given or given[0][0] != 1:
        return []
    places = [place for place, _ in given]
    require(
        places == list(range(1, len(given) + 1)),
        f"forced_decoder_ids={given} leaves a place open: name one id for every place from 1 on",
    )
    return [token for _, token in given]


def opening(
    start: int, behind: Sequence[int | None], language: int | None, config: Any, task: str | None, asked: bool
) -> list[int]:
    """The tokens that one text begins with.

    Args:
        start: the first.
        behind: what older settings force.
        language: the id of its token, if it has one.
        config: the settings of generation: ids of tasks, `no_timestamps_token_id`, `return_timestamps`.
        task: "transcribe", "translate" or None.
        asked: whether the caller named the language, which then needs a task beside it.
    """
    rest = list(behind)
    if language is not None:
        rest[:1] = [language]
    tasks: Mapping[str, int] = getattr(config, "task_to_id", None) or {}
    if task is not None:
        rest.append(tasks[task])
    elif asked and tasks and not set(tasks.values()) & set(rest):
        rest.append(tasks["transcribe"])
    timeless = getattr(config, "no_timestamps_token_id", None)
    found = [start, *rest]
    if not config.return_timestamps:
        if timeless is not None and found[-1] != timeless:
            found.append(timeless)
    elif found[-1] == timeless:
        found.pop()
    return [token for token in found if token is not None]
