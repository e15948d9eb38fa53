"""Drafts of tokens that a model may go on with: by a smaller model, or looked up in the text."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.generation.decoder import cache_name, taken_by
from formers.generation.early_exit import first_layers
from formers.generation.processors.base import LogitsProcessorList, require, whole
from formers.generation.resolve import Call, keep_everything, room_of
from formers.generation.rows import Draw
from formers.generation.structure import NAMES

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
    if config.assistant_early_exit is not None:
        require(
            model is None and config.prompt_lookup_num_tokens is None,
            "give one of assistant_early_exit, assistant_model and prompt_lookup_num_tokens",
        )
        return Assistant(call, first_layers(call.model, config.assistant_early_exit), settled, draw)
    if config.prompt_lookup_num_tokens is not None:
        require(model is None, "give one of assistant_model and prompt_lookup_num_tokens")
        require(
            weight is None, "assistant_ensemble_weight weighs an assistant's scores, and a look-up has none"
        )
        return Lookup(call)
    tokenizers = (call.extras.get("tokenizer"), call.extras.get("assistant_tokenizer"))
    if tokenizers[1] is not None:
        require(
            tokenizers[0] is not None,
            "assistant_tokenizer needs the model's own tokenizer beside it: tokenizer=...",
        )
        require(weight is None, "assistant_ensemble_weight weighs scores of one vocabulary, not of two")
        return Translated(call, model, settled, draw)
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
        self.model, self.eos = model, call.eos
        self.draw: Callable[[Tensor], Tensor] = draw
        self.limit, self.room = call.limit, room_of(model) or sys.maxsize
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
        self.own = self._own_call(call, settled)
        keep_everything(self.own)
        self.decoder = self.own.decoder()

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
        config, encodes = copy.deepcopy(call.config), bool(self.model.config.is_encoder_decoder)
        config.max_new_tokens = config.min_new_tokens = config.return_dict_in_generate = (
            config.guidance_scale
        ) = None
        config.min_length, config.use_cache, config.token_healing = 0, True, False
        for name in NAMES:  # `processors` hold the assistant to the form, too
            setattr(config, name, None)
        config.assistant_early_exit = None
        ids, inputs = self._inputs(call, encodes)
        device = self.model.device
        inputs = {n: v.to(device) if isinstance(v, Tensor) else v for n, v in inputs.items()}
        begun = inputs.get("decoder_input_ids", ids[:, :1]) if encodes else ids
        config.max_length = begun.shape[1] + 1  # how far it goes is said by each draft
        return settled(self.model, ids.to(device), config, inputs, {})

    def _inputs(self, call: Call, encodes: bool) -> tuple[Tensor, dict[str, Any]]:
        """What the assistant reads, [1, T], and what beside it."""
        taken = taken_by(self.model)
        inputs = {n: v for n, v in call.inputs.items() if v is not None and n in taken}
        made = (cache_name(call.model), call.model._assembly.keeps, "position_ids", "logits_to_keep")
        for name in (*made, "encoder_outputs") if encodes else made:
            inputs.pop(name, None)
        if encodes:
            return call.prompt, {**inputs, "decoder_input_ids": call.ids}
        if call.encoder_decoder:
            require(
                "encoder_outputs" in inputs,
                f"{type(self.model).__name__} does not read what the model's encoder computed: choose an "
                "assistant with an encoder",
            )
            inputs["attention_mask"] = inputs.pop("decoder_attention_mask", None)
        return call.ids, inputs

    def propose(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens [1, n] and the distributions that they come from, [n, V]."""
        most = min(self.count, self.limit - ids.shape[1] - 1)
        read, chances = self._write(ids.to(self.model.device), ids.shape[1] - 1, most)
        return read[:, ids.shape[1] :].to(self.home), torch.cat(chances).to(self.home) if chances else None

    def _write(self, read: Tensor, known: int, most: int) -> tuple[Tensor, list[Tensor]]:
        """Go on with `read` [1, T], whose first `known` tokens are as before, by up to `most` tokens.

        Returns:
            All tokens, and the distributions that each of the new ones comes from, [1, V].
        """
        chances: list[Tensor] = []
        self.decoder.crop(known)
        for _ in range(min(most, self.room - read.shape[1] - 1)):
            scores = self.processors(read, self.decoder.read(read).logits[:, -1].float())
            chosen = self.draw(scores)
            read = torch.cat((read, chosen[:, None]), dim=1)
            chances.append(scores.softmax(-1))
            unsure = bool(chances[-1][0, chosen] < self.threshold)
            if unsure or (self.eos is not None and bool(torch.isin(chosen.to(self.home), self.eos))):
                break
        return read, chances

    def learn(self, taken: int, count: int) -> None:
        """By a heuristic, ask for more where all were taken, and else for fewer."""
        if self.schedule != "constant" and count:
            self.count = self.count + 2 if taken == count else max(1, self.count - 1)

    def end(self) -> None:
        """Let the assistant's later calls begin where this one ended, where the schedule says so."""
        if self.schedule == "heuristic" and self.model.generation_config is not None:
            self.model.generation_config.num_assistant_tokens = self.count


class Translated(Assistant):
    """A smaller model with a vocabulary of its own: texts go to and fro, cut anew by the tokenizer of either.

    Only a window of tokens before what is new is cut again; `target_lookbehind` and `assistant_lookbehind`
    are the windows, in tokens. The drafts are the likeliest, whether or not the model samples.
    """

    def __init__(self, call: Call, model: Any, settled: Settled, draw: Draw) -> None:
        self.tokenizer, self.other = call.extras["tokenizer"], call.extras["assistant_tokenizer"]
        windows = ("target_lookbehind", "assistant_lookbehind")
        self.windows = [whole(getattr(call.config, name), name, 1) for name in windows]
        super().__init__(call, model, settled, draw)
        self.draw = _likeliest
        self.processors = LogitsProcessorList()  # those of the call speak of the other vocabulary
        self.eos = self.own.eos
        start = self.own.ids[0].tolist() if self.own.encoder_decoder else []
        self.start, self.ids, self.text, self.read = start, list(start), "", list[int]()

    def _same_vocabulary(self, call: Call) -> None:
        """They differ."""

    def _inputs(self, call: Call, encodes: bool) -> tuple[Tensor, dict[str, Any]]:
        read = call.prompt if call.encoder_decoder else call.ids
        require(
            encodes == call.encoder_decoder,
            "a model and an assistant of another vocabulary both have an encoder, or neither has",
        )
        return torch.tensor([self._cut(self.other, _said(self.tokenizer, read[0]), True)]), {}

    def propose(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens [1, n]; they were not drawn."""
        said = _said(self.tokenizer, ids[0])
        if self.text and said.startswith(self.text):
            self.ids += self._behind(self.other, self.ids[-self.windows[1] :], said[len(self.text) :])
        else:
            self.ids = self.start + self._cut(self.other, said, not self.start)
        self.text = said
        if not self.ids:
            return ids[:, :0], None
        known = next((i for i, (a, b) in enumerate(zip(self.read, self.ids, strict=False)) if a != b), None)
        known = min(len(self.read), len(self.ids) - 1) if known is None else known
        start = torch.tensor([self.ids], device=self.model.device)
        written, _ = self._write(start, min(known, len(self.ids) - 1), self.count)
        self.read = written[0, :-1].tolist()
        window = slice(max(len(self.ids) - self.windows[1], 0), None)
        before, after = _said(self.other, self.ids[window]), _said(self.other, written[0, window])
        added = after[len(before) :] if after.startswith(before) else ""
        found = self._behind(self.tokenizer, ids[0, -self.windows[0] :].tolist(), added) if added else []
        found = found[: self.limit - ids.shape[1] - 1]
        return torch.tensor([found], dtype=torch.int64, device=self.home), None

    def _behind(self, tokenizer: Any, window: list[int], added: str) -> list[int]:
        """How a text is cut that follows the tokens `window`."""
        before = _said(tokenizer, window)
        cut, whole_cut = self._cut(tokenizer, before), self._cut(tokenizer, before + added)
        return whole_cut[len(cut) :] if whole_cut[: len(cut)] == cut else self._cut(tokenizer, added)

    @staticmethod
    def _cut(tokenizer: Any, text: str, specials: bool = False) -> list[int]:
        return list(tokenizer(text, add_special_tokens=specials)["input_ids"])


def _likeliest(scores: Tensor) -> Tensor:
    """[1, V] -> [1]."""
    return scores.argmax(-1)


def _said(tokenizer: Any, ids: Any) -> str:
    """The text of ids."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
