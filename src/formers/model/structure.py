"""Questions about the structure of a model, as functions: so that no name of ours stands on a model."""

from __future__ import annotations

from typing import Any

from torch import nn

from formers.checkpoints.renames import Rename
from formers.configs import PretrainedConfig
from formers.nn.spec import Stack, Tokens
from formers.nn.tree import has, leaf, path_of, roles, wiring


def base_of(model: Any) -> Any:
    """The model under the head; itself when it has none, or when that is no model of the library."""
    base = model.base_model
    return base if hasattr(type(base), "get_input_embeddings") else model


def token_path(model: Any) -> str:
    """Name of the token table in the model's module tree.

    Raises:
        ValueError: for a model that reads no tokens.
    """
    base = base_of(model)
    if base is not model:
        return f"{model.base_model_prefix}.{token_path(base)}"
    if not has(model, "token"):
        raise ValueError(
            f"{type(model).__name__} has no table of token embeddings: it reads {model.main_input_name} "
            "without one"
        )
    return path_of(model, "token")


def input_tables(model: Any) -> list[nn.Module]:
    """The token tables that compute; an encoder-decoder has one in each stack that reads tokens."""
    base = base_of(model)
    if base is not model:
        return input_tables(base)
    parts = [leaf(model, name) for name in ("encoder", "decoder") if has(model, name)]
    held = [part.get_input_embeddings() for part in parts if has(base_of(part), "token")]
    return list(dict.fromkeys(held)) or [model.get_input_embeddings()]


def text_stack(model: Any) -> Stack | None:
    """The spec of the first stack in the model's tree that reads tokens, or None."""
    for module in model.modules() if hasattr(model, "modules") else ():
        found = wiring(module).facts.get("spec")
        if isinstance(found, Stack) and isinstance(found.stem, Tokens):
            return found
    return None


def stem_reading(model: Any, name: str) -> Any:
    """The spec of the first stem in the model's tree whose input has that name, or None."""
    for module in model.modules():
        stem = getattr(wiring(module).facts.get("spec"), "stem", None)
        if getattr(stem, "reads", None) == name:
            return stem
    return None


def parts_of(model: Any) -> dict[str, Any]:
    """The models of other families that are parts of this one, by path: each has a config of its own."""
    found: dict[str, Any] = {}
    for path, part in model.named_modules():
        config = part.__dict__.get("config")
        own = isinstance(config, PretrainedConfig) and config is not model.config
        if (
            own
            and getattr(type(part), "_family", None)
            and not path.startswith(tuple(f"{p}." for p in found))
        ):
            found[path] = part
    return found


def renames_of(model: Any) -> tuple[Rename, ...]:
    """Older spellings of parameter names: the family's, and its parts' below their paths.

    A part may also be spelt as within a model with a head: `vision_tower.vision_model.`
    """
    family = type(model)._family
    if family is None:
        return ()
    found = [*family.renames]
    for path, part in parts_of(model).items():
        path = path.removeprefix(f"{model.base_model_prefix}.")
        prefix, starts = type(part).base_model_prefix, [path]
        if part.base_model is not part:  # it has a head: the family's names are those of what lies below
            starts.append(f"{path}.{prefix}")
        elif prefix:
            found.append(Rename(f"{path}.{prefix}.{{rest}}", f"{path}.{{rest}}"))
        for start in starts:
            found += [Rename(f"{start}.{one.old}", f"{start}.{one.new}") for one in renames_of(part)]
    return tuple(found)


def ignored_of(model: Any) -> tuple[str, ...]:
    """Expressions for names in checkpoints that hold nothing for this model or its parts."""
    family = type(model)._family
    if family is None:
        return ()
    return (*family.ignored, *(one for part in parts_of(model).values() for one in ignored_of(part)))


def pooler_prefix(model: Any) -> str | None:
    """How the names of the base model's pooler begin, or None where it has none."""
    base = model.base_model
    names = roles(base).get("pooler")
    if names is None:
        return None
    start = "" if base is model else f"{model.base_model_prefix}."
    return f"{start}{'.'.join(names)}."


def crossing_prefixes(model: Any) -> list[str]:
    """How the names of cross attention begin in a model of one stack: it is added to join it to another."""
    base = base_of(model)
    if not isinstance(wiring(base).facts.get("spec"), Stack):
        return []
    found = {
        ".".join((path, *names)).lstrip(".") + "."
        for path, node in model.named_modules()
        for role, names in roles(node).items()
        if role.startswith("cross_")
    }
    return sorted(found)


def head_parameter_names(model: Any) -> list[str]:
    """Parameters that pre-training left untouched: those outside the base model, and its pooler."""
    start = "" if model.base_model is model else f"{model.base_model_prefix}."
    pooler = pooler_prefix(model)
    return [
        name
        for name, _ in model.named_parameters()
        if (start and not name.startswith(start)) or (pooler is not None and name.startswith(pooler))
    ]
