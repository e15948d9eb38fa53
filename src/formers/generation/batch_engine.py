"""Many prompts at once: on the decode engine, which a prompt joins when another's text has ended."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.configs import GenerationConfig
from formers.configs.generation import GenerationMode
from formers.generation.build import criteria_for, processors_for
from formers.generation.decoder import keeps_tokens
from formers.generation.engine import Engine, Request
from formers.generation.mixin import GenerationMixin
from formers.generation.resolve import lengths, settings, token_ids

ROWS = 32  # that go on at once, unless the caller says how many
TOKENS = 1 << 16  # that those may come to
_HONOURED = ("generation_config", "tokenizer")
_MODES = (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
_OVERRIDDEN = ("generate", "prepare_inputs_for_generation", "_update_model_kwargs_for_generation")
# settings that concern a call as a whole, or what only `generate` does
_ALONE = ("cache_implementation", "guidance_scale", "max_time", "return_dict_in_generate", "token_healing")


class Together:
    """Goes on with prompts on an engine; each gets what `generate` gives it alone.

    Args:
        model: a decoder; see `offered`.
        config: settings, complete.
        rows: how many prompts go on at once.
        tokenizer: for stop strings and structured output.
    """

    def __init__(self, model: Any, config: GenerationConfig, rows: int, tokenizer: Any) -> None:
        self.model, self.config, self.tokenizer = model, config, tokenizer
        eos, self.pad = token_ids(config, model.device)
        config.eos_token_id = None if eos is None else eos.tolist()
        self.engine = Engine(model, rows=rows, tokens=TOKENS, waiting=1 << 30)

    @classmethod
    def offered(cls, model: Any, given: Mapping[str, Any], rows: int) -> Together | None:
        """An engine for these keywords of `generate`, or None where they or the model ask for `generate`."""
        names = GenerationConfig().known_names()
        beside = {n for n, value in given.items() if n not in names and value is not None}
        own = isinstance(model, GenerationMixin) and not any(name in vars(model) for name in _OVERRIDDEN)
        if not own or beside - set(_HONOURED) or not keeps_tokens(model):
            return None
        if any(getattr(type(model), name) is not getattr(GenerationMixin, name) for name in _OVERRIDDEN):
            return None
        kwargs = {name: value for name, value in given.items() if name in names}
        config = settings(model, given.get("generation_config"), kwargs)
        plain = not any(getattr(config, name) for name in _ALONE) and config.use_cache
        if not plain or config.get_generation_mode() not in _MODES:
            return None
        tokenizer = given.get("tokenizer")
        trial = copy.deepcopy(config)
        if not processors_for(trial, prompt_length=1, model=model, tokenizer=tokenizer).row_wise:
            return None
        return cls(model, config, rows, tokenizer)

    def go_on(self, prompts: Sequence[Tensor], done: Callable[[int], None]) -> list[Tensor | None]:
        """Go on with prompts, [T] each, int64; sequences [returned, T + new], None for one that is too long.

        Args:
            prompts: at least one token each.
            done: told of prompts that ended.

        Raises:
            Exception: whatever went wrong with one; the others are left.
        """
        asked = [self._requests(prompt.tolist()) for prompt in prompts]
        room = self.engine.scheduler.tokens
        fits = [all(len(one.prompt) + one.most <= room for one in copies) for copies in asked]
        left = {one.number: copies for copies in asked for one in copies}
        failed: list[BaseException] = []

        def ended(request: Request) -> None:
            if request.error is not None:
                failed.append(request.error)
            elif (
                all(one.reason is not None for one in left[request.number]) and request.reason != "cancelled"
            ):
                done(1)

        for request in (one for copies, whole in zip(asked, fits, strict=True) if whole for one in copies):
            request.on_end = ended
            self.engine.submit(request)
        try:
            while not self.engine.scheduler.idle and not failed:
                self.engine.step()
        finally:
            self.engine.close(drain=False)
        if failed:
            raise failed[0]
        return [self._rows(copies) if whole else None for copies, whole in zip(asked, fits, strict=True)]

    def _requests(self, prompt: list[int]) -> list[Request]:
        """One for each text that is wanted of a prompt."""
        found = []
        for copied in range(self.config.num_return_sequences):
            config = copy.deepcopy(self.config)
            limit = lengths(self.model, config, len(prompt))
            config.max_new_tokens = limit - len(prompt)
            if config.seed is not None:
                config.seed += copied
            device = self.model.device
            processors = processors_for(
                config,
                prompt_length=len(prompt),
                encoder_ids=torch.tensor([prompt], device=device),
                model=self.model,
                device=device,
                tokenizer=self.tokenizer,
            )
            found.append(Request(prompt, config, self._stops(config), processors=processors or None))
        return found

    def _stops(self, config: GenerationConfig) -> Callable[..., bool] | None:
        """What ends a text at its stop strings."""
        if config.stop_strings is None:
            return None
        criteria = criteria_for(config, self.tokenizer)
        return lambda request, *_: bool(criteria(request.ids(self.model.device), None))

    def _rows(self, copies: list[Request]) -> Tensor:
        """The texts of a prompt, [returned, T + new], padded behind their ends."""
        rows = [torch.tensor(one.prompt + one.tokens) for one in copies]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pad or 0)
