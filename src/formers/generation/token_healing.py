"""Token healing: a prompt that ends within a word is cut where the tokenizer would cut the whole word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from formers.generation.processors.base import require

_BIAS = 1.0  # by which the token that stands there is favoured, so that few prompts are changed


def healed(model: Any, ids: Tensor, tokenizer: Any, inputs: Mapping[str, Any]) -> Tensor:
    """Prompts whose last token is the likeliest of those that begin with its text.

    What has no other such token, or no token before it, stays as it is.

    Args:
        model: whose prompts they are.
        ids: [B, T], padded on the left.
        tokenizer: has `get_vocab`, `convert_ids_to_tokens` and `all_special_ids`.
        inputs: what else the model reads, by name; masks and positions are cut.

    Raises:
        ValueError: without a tokenizer.
    """
    require(
        tokenizer is not None and ids.dim() == 2,
        "token_healing looks for longer tokens: give generate the model's tokenizer, tokenizer=...",
    )
    if ids.shape[1] < 2:
        return ids
    mask, vocabulary = inputs.get("attention_mask"), tokenizer.get_vocab()
    choices: dict[int, list[int]] = {}
    for row, token in enumerate(ids[:, -1].tolist()):
        tail = tokenizer.convert_ids_to_tokens(token)
        alone = mask is not None and int(mask[row].sum()) < 2
        if token not in tokenizer.all_special_ids and not alone and tail:
            found = [i for name, i in vocabulary.items() if name.startswith(tail)]
            choices |= {row: found} if len(found) > 1 else {}
    if not choices:
        return ids
    cut = {
        name: value[..., : ids.shape[1] - 1]
        if name in ("attention_mask", "position_ids", "token_type_ids")
        else value
        for name, value in inputs.items()
        if value is not None
    }
    scores = model(ids[:, :-1], **cut).logits[:, -1].float()  # [B, V]
    ids = ids.clone()
    for row, found in choices.items():
        own = scores[row].scatter_add(0, ids[row, -1:], scores.new_full((1,), _BIAS))
        places = torch.tensor(found, device=ids.device)
        ids[row, -1] = places[own[places].argmax()]
    return ids
