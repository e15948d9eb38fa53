"""Drafts of tokens that a model may go on with: by a smaller model, or looked up in the text."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.generation.processors import LogitsProcessorList
from formers.generation.processors.base import require, whole
from formers.generation.rows import Draw
from formers.generation.settle import Call, keep_everything, parameters

Settled = Callable[[Any, Any, GenerationConfig, dict[str, Any], dict[str, Any]], Call]
_SCHEDULES = ("constant", "heuristic", "heuristic_transient")


class Drafts:
    """Proposes tokens, and hears how many of them were taken."""

    def propose(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """What may follow `ids` [1, T]: tokens [1, n], and distributions that they were drawn from, [n, V].

        There may be none, and no more than leave room for one token behind them.
        """
        raise NotImplementedError(f"{type(self).__name__} has to define propose(ids)")

    def learn(self, taken: int, count: int) -> None:
        """Of the last draft's `count` tokens `taken` were taken."""

    def end(self) -> None:
        """No more drafts are wanted."""


def drafts_for(call: Call, settled: Settled, draw: Draw) -> Drafts:
    """The drafts that a call's settings ask for.

    Raises:
        ValueError: for settings that make no sense.
    """
    config, model = call.config, call.extras.get("assistant_model")
    weight = config.assistant_ensemble_weight
    require(
        weight is None or 0 < weight < 1, f"assistant_ensemble_weight lies between 0 and 1, not {weight!r}"
    )
    if config.prompt_lookup_num_tokens is not None:
        require(model is None, "give one of assistant_model and prompt_lookup_num_tokens")
        require(
            weight is None, "assistant_ensemble_weight weighs an assistant's scores, and a look-up has none"
        )
        return Lookup(call)
    return Assistant(call, model, settled, draw)


class Lookup(Drafts):
    """What followed the last few tokens where they stood before, in the text or in what an encoder read.

    Saxena 2023, "Prompt lookup decoding".
    """

    def __init__(self, call: Call) -> None:
        config = call.config
        self.count = whole(config.prompt_lookup_num_tokens, "prompt_lookup_num_tokens", 1)
        longest = config.max_matching_ngram_size
        self.longest = whole(2 if longest is None else longest, "max_matching_ngram_size", 1)
        self.limit, self.eos = call.limit, call.eos
        read = call.prompt
        self.before = read if call.encoder_decoder and read.dim() == 2 and bool((read >= 0).all()) else None

    def propose(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens [1, n]; they were not drawn."""
        room = min(self.count, self.limit - ids.shape[1] - 1)
        text = ids[0] if self.before is None else torch.cat((self.before[0], ids[0]))
        for size in range(min(self.longest, ids.shape[1], len(text) - 1), 0, -1):
            same = (text[:-1].unfold(0, size, 1) == text[-size:]).all(1).nonzero()
            if len(same):
                start = int(same[0]) + size
                found = text[start : start + room]
                if self.eos is not None:  # behind an end nothing is to be learnt
                    found = found[: len(found) - int(torch.isin(found, self.eos).cumsum(0).bool().sum())]
                return found[None], None
        return ids[:, :0], None


class Assistant(Drafts):
    """A smaller model with the same vocabulary.

    Args:
        call: whose drafts are made.
        model: the assistant.
        settled: makes a call.
        draw: chooses tokens.

    Attributes:
        count: how many tokens the next draft may have.
    """

    def __init__(self, call: Call, model: Any, settled: Settled, draw: Draw) -> None:
        self.model, self.draw, self.limit, self.eos = model, draw, call.limit, call.eos
        self.home, self.config = call.ids.device, call.config
        self._same_vocabulary(call)
        self.count = whole(self._setting("num_assistant_tokens"), "num_assistant_tokens", 1)
        self.schedule = self._setting("num_assistant_tokens_schedule")
        require(
            self.schedule in _SCHEDULES,
            f"num_assistant_tokens_schedule is one of {', '.join(_SCHEDULES)}, not {self.schedule!r}",
        )
        self.threshold = float(self._setting("assistant_confidence_threshold") or 0)
        # others may count how often they are called
        self.processors = LogitsProcessorList(p for p in call.processors if getattr(p, "row_wise", False))
        own = self._own_call(call, settled)
        self.limit = min(self.limit, own.limit)
        keep_everything(own)
        self.decoder = own.decoder()

    def _same_vocabulary(self, call: Call) -> None:
        sizes = [m.config.get_text_config(decoder=True).vocab_size for m in (call.model, self.model)]
        require(
            sizes[0] == sizes[1],
            f"the model has {sizes[0]} tokens and its assistant {sizes[1]}: for another vocabulary pass both "
            "tokenizer and assistant_tokenizer",
        )

    def _setting(self, name: str) -> Any:
        """A setting of the call, or else of the assistant."""
        own = self.model.generation_config
        return getattr(self.config if self.config.is_set(name) or own is None else own, name)

    def _own_call(self, call: Call, settled: Settled) -> Call:
        """A call of the assistant with the same prompt.

        Raises:
            ValueError: for a prompt that came as vectors.
        """
        vectors = call.inputs.get("inputs_embeds") is not None or bool((call.prompt < 0).any())
        require(not vectors, "an assistant reads what the model reads: pass input_ids, not vectors or states")
        config, encodes = copy.deepcopy(call.config), self.model.config.is_encoder_decoder
        config.max_new_tokens = config.min_new_tokens = config.return_dict_in_generate = (
            config.guidance_scale
        ) = None
        config.max_length, config.use_cache = call.limit, True
        inputs = {
            n: v for n, v in call.inputs.items() if v is not None and n in parameters(self.model.forward)
        }
        made = (call.model._assembly.cache, call.model._assembly.keeps, "position_ids", "logits_to_keep")
        for name in (*made, "encoder_outputs") if encodes else made:
            inputs.pop(name, None)
        if call.encoder_decoder and not encodes:
            require(
                "encoder_outputs" in inputs,
                f"{type(self.model).__name__} does not read what the model's encoder computed: choose an "
                "assistant with an encoder",
            )
            inputs["attention_mask"] = inputs.pop("decoder_attention_mask", None)
        device = self.model.device
        inputs = {n: v.to(device) if isinstance(v, Tensor) else v for n, v in inputs.items()}
        if encodes:
            inputs["decoder_input_ids"] = call.ids.to(device)
        return settled(self.model, (call.prompt if encodes else call.ids).to(device), config, inputs, {})

    def propose(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens [1, n] and the distributions that they come from, [n, V]."""
        ids, chances = ids.to(self.model.device), []
        self.decoder.crop(ids.shape[1] - 1)
        read = ids
        for _ in range(min(self.count, self.limit - ids.shape[1] - 1)):
            scores = self.processors(read, self.decoder.read(read).logits[:, -1].float())
            chosen = self.draw(scores)
            read = torch.cat((read, chosen[:, None]), dim=1)
            chances.append(scores.softmax(-1))
            unsure = bool(chances[-1][0, chosen] < self.threshold)
            if unsure or (self.eos is not None and bool(torch.isin(chosen.to(self.home), self.eos))):
                break
        return read[:, ids.shape[1] :].to(self.home), torch.cat(chances).to(self.home) if chances else None

    def learn(self, taken: int, count: int) -> None:
        """By a heuristic, ask for more where all were taken, and else for fewer."""
        if self.schedule != "constant" and count:
            self.count = self.count + 2 if taken == count else max(1, self.count - 1)

    def end(self) -> None:
        """Let the assistant's later calls begin where this one ended, where the schedule says so."""
        if self.schedule == "heuristic" and self.model.generation_config is not None:
            self.model.generation_config.num_assistant_tokens = self.count
