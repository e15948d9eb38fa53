"""Watermarks: texts whose tokens a key can tell from others'.

Random numbers, hashes and their constants are part of the format: texts marked elsewhere are recognised.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from formers.core.notices import notice
from formers.generation.processors.base import LogitsProcessor, real, require, whole

Device = torch.device | str | None
_TABLE_SIZE = 1_000_003
_TRIED = 40  # likeliest tokens that "selfhash" looks at
_REMEMBERED = 256  # green lists
_REMEMBERED_TOKENS = 65536


class WatermarkLogitsProcessor(LogitsProcessor):
    """More for a "green" part of the vocabulary, which the tokens before choose (Kirchenbauer et al. 2023).

    Args:
        vocab_size: tokens of the model.
        device: where ids and scores lie; its generator draws the lists.
        greenlist_ratio: the share of the vocabulary that is green.
        bias: what is added to green scores.
        hashing_key: the secret.
        seeding_scheme: "lefthash", the last token chooses; "selfhash", the token itself and those before.
        context_width: how many tokens "selfhash" looks at.
    """

    row_wise = True

    def __init__(
        self,
        vocab_size: int,
        device: Device = None,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ) -> None:
        require(
            seeding_scheme in ("lefthash", "selfhash"),
            f"seeding_scheme is 'lefthash' or 'selfhash', not {seeding_scheme!r}",
        )
        require(
            0 < real(greenlist_ratio, "greenlist_ratio") < 1,
            f"greenlist_ratio has to lie between 0 and 1, not {greenlist_ratio!r}",
        )
        self.vocab_size = whole(vocab_size, "vocab_size", 1)
        self.greenlist_ratio = float(greenlist_ratio)
        self.greenlist_size = int(vocab_size * greenlist_ratio)
        self.bias = real(bias, "bias")
        self.seeding_scheme = seeding_scheme
        self.hash_key = hashing_key
        self.context_width = whole(context_width, "context_width", 1)
        self.rng = torch.Generator(device=device or "cpu")
        self._lists: collections.OrderedDict[int, Tensor] = collections.OrderedDict()
        self._known: dict[tuple[int, int], bool] = {}

    @functools.cached_property
    def fixed_table(self) -> Tensor:
        """A permutation of numbers that hashes tokens, [1000003]."""
        self.rng.manual_seed(self.hash_key)
        return torch.randperm(_TABLE_SIZE, generator=self.rng, device=self.rng.device)

    def seeds(self, contexts: Tensor) -> list[int]:
        """The seed of each green list after `contexts` [n, L], whose last `context_width` tokens count."""
        contexts = contexts[:, -self.context_width :].to(self.rng.device)
        if self.seeding_scheme == "lefthash":
            return [self.hash_key * last % (2**64 - 1) for last in contexts[:, -1].tolist()]
        hashed = self.fixed_table[contexts % _TABLE_SIZE] + 1
        seeds = (self.hash_key * hashed * hashed[:, -1:]).amin(1)
        return [seed % (2**64 - 1) for seed in seeds.tolist()]

    def green(self, seed: int) -> Tensor:
        """The green tokens of a seed, [greenlist_size]."""
        found = self._lists.get(seed)
        if found is None:
            found = self._lists[seed] = self._draw(seed).clone()  # without the tokens behind it
            if len(self._lists) > _REMEMBERED:
                self._lists.popitem(last=False)
        else:
            self._lists.move_to_end(seed)
        return found

    def _draw(self, seed: int) -> Tensor:
        self.rng.manual_seed(seed)
        order = torch.randperm(self.vocab_size, generator=self.rng, device=self.rng.device)
        return order[: self.greenlist_size]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, higher for green tokens."""
        if input_ids.shape[1] < self.context_width:
            notice(
                f"The watermark looks at {self.context_width} tokens and there are {input_ids.shape[1]}: "
                "the first tokens are not marked."
            )
            return scores
        out = scores.clone()
        if self.seeding_scheme == "lefthash":
            for row, seed in enumerate(self.seeds(input_ids)):
                out[row, self.green(seed).to(scores.device)] += self.bias
            return out
        best = scores.topk(min(_TRIED, scores.shape[1]), dim=-1).indices
        for row, tokens in enumerate(best):
            before = input_ids[row].expand(len(tokens), -1)
            seeds = self.seeds(torch.cat([before, tokens[:, None]], 1))
            green = [
                token for token, seed in zip(tokens.tolist(), seeds, strict=True) if self._is(token, seed)
            ]
            out[row, green] += self.bias
        return out

    def _is(self, token: int, seed: int) -> bool:
        """Whether a token is green; only that is remembered, a list for each token would be too much."""
        found = self._known.get((token, seed))
        if found is None:
            if len(self._known) >= _REMEMBERED_TOKENS:
                self._known.clear()
            found = self._known[token, seed] = bool((self._draw(seed) == token).any())
        return found

    def marked(self, context: Sequence[int], token: int) -> bool:
        """Whether `token` is green after `context`, which ends with the token itself under "selfhash"."""
        return self._is(token, self.seeds(torch.tensor([context]))[0])


_MULTIPLIER, _INCREMENT = 6364136223846793005, 1  # Knuth's linear congruence, modulo 2**64


def _hashed(current: Tensor, data: Tensor) -> Tensor:
    """`current` hashed with `data`, int64 that wrap around."""
    return (current + data) * _MULTIPLIER + _INCREMENT


class SynthIDTextWatermarkLogitsProcessor(LogitsProcessor):
    """Tournaments between tokens, by coins that a key and the tokens before choose (Dathathri et al. 2024).

    Args:
        ngram_len: tokens that choose a coin, the new one among them.
        keys: one for each round.
        sampling_table_size: coins that were thrown beforehand.
        sampling_table_seed: for those.
        context_history_size: contexts that are remembered: one that comes again is not marked twice.
        device: where ids and scores lie.
        skip_first_ngram_calls: mark nothing before there are `ngram_len - 1` tokens.
        debug_mode: take all tokens for equally likely.
    """

    def __init__(
        self,
        ngram_len: int,
        keys: list[int],
        sampling_table_size: int,
        sampling_table_seed: int,
        context_history_size: int,
        device: Device = None,
        skip_first_ngram_calls: bool = False,
        debug_mode: bool = False,
    ) -> None:
        device = device or "cpu"
        self.ngram_len = whole(ngram_len, "ngram_len", 2)
        require(len(keys) > 0, "keys has to hold a number for each round")
        self.keys = torch.tensor(keys, device=device)
        generator = torch.Generator(device=device).manual_seed(sampling_table_seed)
        size = whole(sampling_table_size, "sampling_table_size", 1)
        require(size <= 2**24, f"sampling_table_size has to be at most 2**24, not {size}")
        self.sampling_table = torch.randint(0, 2, (size,), generator=generator, device=device)
        self.context_history_size = whole(context_history_size, "context_history_size", 1)
        self.device = device
        self.skip_first_ngram_calls = skip_first_ngram_calls
        self.debug_mode = debug_mode
        self._thrown: Tensor | None = None  # the coins of each key, [depth, sampling_table_size]
        self._start = self._length = 0
        self._history = torch.zeros((0, self.context_history_size), dtype=torch.int64, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logarithms of the probabilities after all rounds; where the context came before, the scores."""
        self._check(input_ids)
        rows, length = input_ids.shape
        if rows != self._history.shape[0] or length != self._length + 1:  # another text begins
            self._start = length
            self._history = self._history.new_zeros((rows, self.context_history_size))
        self._length = length
        if self.debug_mode:
            scores = torch.ones_like(scores)
        width = self.ngram_len - 1
        if self.skip_first_ngram_calls and length - self._start + 1 < self.ngram_len:
            return scores
        # what was written, not the prompt; zeros before it
        written = input_ids[:, max(self._start, length - width) :]
        context = torch.cat([written.new_zeros((rows, width - written.shape[1])), written], 1)
        hashed = self._hash_context(context)
        tokens = torch.arange(scores.shape[1], device=scores.device)
        ngrams = _hashed(hashed[:, None], tokens[None])
        marked = scores.softmax(-1)
        for coins in self._coins(ngrams, scores.dtype):
            marked = _round(marked, coins)
        seen = (self._history == hashed[:, None]).any(1, keepdim=True)
        self._history = torch.cat([hashed[:, None], self._history], 1)[:, :-1]
        return torch.where(seen, scores, _logarithms(marked))

    def _coins(self, ngrams: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        """The coins of every key for hashes [B, V]."""
        size = self.sampling_table.shape[0]
        if size & (size - 1):
            for key in self.keys:
                yield self.sample_g_values(_hashed(ngrams, key)).to(dtype)
            return
        # the last bits of a sum or product follow from the last bits alone: all that they may be, beforehand
        if self._thrown is None or self._thrown.dtype != dtype:
            every = torch.arange(size, device=self.keys.device)
            self._thrown = self.sample_g_values(_hashed(every, self.keys[:, None])).to(dtype)
        last = ngrams & (size - 1)
        for thrown in self._thrown:
            yield thrown[last]

    def update_scores(self, scores: Tensor, g_values: Tensor) -> Tensor:
        """Scores [B, V] after a round for each of the coins [B, V, depth]: logarithms of probabilities."""
        shares = scores.softmax(-1)
        for coins in g_values.unbind(-1):
            shares = _round(shares, coins)
        return _logarithms(shares)

    def sample_g_values(self, ngram_keys: Tensor) -> Tensor:
        """The coins, 0 or 1, of hashes of any shape."""
        return self.sampling_table[ngram_keys % self.sampling_table.shape[0]]

    def compute_ngram_keys(self, ngrams: Tensor) -> Tensor:
        """Hashes [B, n, depth] of runs of tokens [B, n, ngram_len]."""
        require(
            ngrams.dim() == 3 and ngrams.shape[2] == self.ngram_len,
            f"runs have shape [B, n, {self.ngram_len}], not {tuple(ngrams.shape)}",
        )
        return _hashed(self._hash_context(ngrams)[..., None], self.keys)

    def compute_g_values(self, input_ids: Tensor) -> Tensor:
        """The coins of every run of a text [B, T]: [B, T - ngram_len + 1, depth]."""
        self._check(input_ids)
        return self.sample_g_values(self.compute_ngram_keys(input_ids.unfold(1, self.ngram_len, 1)))

    def compute_context_repetition_mask(self, input_ids: Tensor) -> Tensor:
        """Where the context of a run did not come before, [B, T - ngram_len + 1]: what was marked at all."""
        self._check(input_ids)
        hashed = self._hash_context(input_ids[:, :-1].unfold(1, self.ngram_len - 1, 1))
        order = hashed.argsort(dim=1, stable=True)
        hashed = hashed.gather(1, order)
        again = torch.zeros_like(hashed, dtype=torch.bool)
        again[:, 1:] = (hashed[:, 1:] == hashed[:, :-1]) & (order.diff(dim=1) <= self.context_history_size)
        return ~torch.zeros_like(again).scatter_(1, order, again)

    def compute_eos_token_mask(self, input_ids: Tensor, eos_token_id: int) -> Tensor:
        """What stands before the first end of each row, [B, T] bool."""
        self._check(input_ids)
        return (input_ids == eos_token_id).cumsum(1) == 0

    def expected_mean_g_value(self, vocab_size: int, coinflip_prob: float = 0.5) -> float:
        """The mean coin of a marked text whose tokens were all equally likely."""
        return coinflip_prob + coinflip_prob * (1 - coinflip_prob) * (1 - 1 / vocab_size)

    def _hash_context(self, tokens: Tensor) -> Tensor:
        """Hashes of the last dimension."""
        current = torch.ones(tokens.shape[:-1], dtype=torch.int64, device=tokens.device)
        for one in tokens.unbind(-1):
            current = _hashed(current, one)
        return current

    def _check(self, input_ids: Tensor) -> None:
        require(input_ids.dim() == 2, f"ids have shape [B, T], not {tuple(input_ids.shape)}")


def _round(shares: Tensor, coins: Tensor) -> Tensor:
    """Probabilities [B, V] after two draws of which one with coin 1 wins."""
    return shares * (1 + coins - (coins * shares).sum(1, keepdim=True))


def _logarithms(shares: Tensor) -> Tensor:
    logs = shares.log()
    return logs.where(logs.isfinite(), torch.finfo(logs.dtype).min)
