"""Does this tokenizer belong to this model?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from formers.tokenization.options import LARGEST_LIMIT
from formers.tokenization.recipes import limit_of
from formers.tokenization.special import NAMED

_FEW_MOVED = 0.01


def fits(
    tokenizer: Any, config: Any, token_limit: Callable[[Mapping[str, Any]], int | None] = limit_of
) -> list[str]:
    """Say what does not fit between a tokenizer and a model's configuration.

    Args:
        tokenizer: a tokenizer.
        config: the model's configuration (an object with attributes, or a dictionary).
        token_limit: says of a configuration, as a dictionary, how many tokens its model takes.

    Returns:
        One sentence per complaint, each with what to do; empty when they fit.
    """
    read = (
        config.get if isinstance(config, dict) else lambda name, default=None: getattr(config, name, default)
    )
    found: list[str] = []
    said = read("vocab_size", None)
    size = said if isinstance(said, int) and said > 0 else math.inf
    if len(tokenizer) > size:
        found.append(
            f"the tokenizer has {len(tokenizer)} tokens, the model has embeddings for {size}: if tokens "
            "were added, call model.resize_token_embeddings(len(tokenizer)); else load the tokenizer of "
            "this very checkpoint"
        )
        outside = [
            f"{name} {getattr(tokenizer, name)!r} ({getattr(tokenizer, name + '_id')})"
            for name in NAMED
            if (getattr(tokenizer, name + "_id") or 0) >= size
        ]
        if outside:
            found.append(f"the model has no embedding for {', '.join(outside)}")
    theirs, ours = read("pad_token_id", None), tokenizer.pad_token_id
    if isinstance(theirs, int) and ours is not None and theirs != ours and theirs >= 0:
        found.append(
            f"the tokenizer pads with {ours} ({tokenizer.pad_token!r}), the model's pad_token_id is "
            f"{theirs}: set model.config.pad_token_id = tokenizer.pad_token_id if that is meant"
        )
    limit = token_limit(config if isinstance(config, dict) else config.to_dict())
    if limit is not None and limit < tokenizer.model_max_length <= LARGEST_LIMIT:
        found.append(
            f"the tokenizer cuts at {tokenizer.model_max_length} tokens, the model takes at most {limit}: "
            f"set tokenizer.model_max_length = {limit}"
        )
    if len(tokenizer) <= size:
        found += _of_another(tokenizer, str(read("name_or_path", None) or ""))
    return found


def _of_another(tokenizer: Any, name: str) -> list[str]:
    """Whether the checkpoint `name` has a tokenizer of its own here that gives words other ids."""
    if not name or not tokenizer.name_or_path or name == tokenizer.name_or_path:
        return []
    from formers.tokenization import load

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a tokenizer that nobody asked for
            own = load(name, local_files_only=True)
    except (OSError, ValueError, TypeError):  # it has none, or none that can be read
        return []
    theirs = own.get_vocab()
    moved = sum(theirs.get(token, -1) != index for token, index in tokenizer.get_vocab().items())
    if moved <= len(tokenizer.added_tokens_decoder) + _FEW_MOVED * len(tokenizer):
        return []
    return [
        f"the tokenizer is that of {tokenizer.name_or_path}, and {moved} of its {len(tokenizer)} tokens "
        f"have other ids in that of {name}, where the model is from: texts would be read as other "
        f"words. Load the tokenizer of {name}"
    ]
