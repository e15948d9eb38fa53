"""A model's first layers as a model of their own, which drafts what the whole goes on with."""

from __future__ import annotations

import copy
from typing import Any

from formers.generation.processors.base import require, whole
from formers.model.building import for_a_checkpoint


def first_layers(model: Any, count: int) -> Any:
    """The first `count` layers of a decoder with its last norm and its head (LayerSkip, arXiv:2404.16710).

    All leaves are the model's own, also those that were replaced: nothing is copied.

    Raises:
        ValueError: for an encoder-decoder, or as many layers as the model has.
    """
    require(
        not model.config.is_encoder_decoder, "assistant_early_exit serves decoders, and this has an encoder"
    )
    config = copy.deepcopy(model.config)
    text = config.get_text_config(decoder=True)
    depth = text.num_hidden_layers
    count = whole(count, "assistant_early_exit", 1)
    require(count < depth, f"assistant_early_exit is below the {depth} layers of the model, not {count}")
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == depth:  # what each layer is
            setattr(text, name, value[:count])
    text.num_hidden_layers = count
    with for_a_checkpoint():
        small = type(model)(config)
    theirs = dict(model.named_modules())
    for path, module in list(small.named_modules()):
        own = theirs[path]
        module._parameters, module._buffers = own._parameters, own._buffers
        if path and not any(module.children()):
            parent, _, name = path.rpartition(".")
            small.get_submodule(parent)._modules[name] = own
    small.generation_config = model.generation_config
    return small.train(model.training)
