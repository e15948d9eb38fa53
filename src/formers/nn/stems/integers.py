"""The stem of a model that may compute in integers: tokens, segments, positions, each by its scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from formers.nn.integers import Requantise, integer_norm, integer_table
from formers.nn.mixers.integers import enters
from formers.nn.passing import Pass
from formers.nn.spec import IntegerTokens, Paths
from formers.nn.stems.tokens import TokenStem, look_up
from formers.nn.tree import Block, leaf, place


class IntegerStem(TokenStem):
    """See `spec.IntegerTokens`."""

    spec: IntegerTokens

    def place(self, owner: Block, names: Paths) -> None:
        """Register the tables, norm and dropout, with what is kept beside, and what rounds values."""
        super().place(owner, names)
        a, norm = self.spec.arithmetic, self.spec.norm
        for role in ("token", "type", "position"):
            held = leaf(owner, role)
            made = integer_table(held.num_embeddings, self.spec.width, held.padding_idx, a.whole)
            place(owner, role, str(names[role]), made)
        assert norm is not None
        made = integer_norm(self.spec.width, norm.eps, a.of("layernorm"))
        place(owner, "embedding_norm", str(names["embedding_norm"]), made)
        for role, bits in (("sum_act", 16), ("idle_act", 16), ("embedding_act", 8)):
            place(owner, role, str(names[role]), Requantise(bits, a.whole))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Ids, types and positions [N] (or [B, T]) -> [N, E] (or [B, T, E]).

        Raises:
            ValueError: for vectors in place of tokens where these have scales.
        """
        a, vectors = self.spec.arithmetic, given.get("inputs_embeds")
        if not (a.whole or pass_.watched or node.training):
            return super().run(node, given, pass_)
        if a.whole and vectors is not None:
            raise ValueError(
                "a model that counts in integers (quant_mode) reads input_ids: vectors have no scale"
            )
        at, types = pass_.geometry.positions, given.get("token_type_ids")
        rows = vectors if vectors is not None else given["input_ids"]
        types = at.new_zeros(rows.shape[:2] if pass_.watched else rows.shape[:1]) if types is None else types
        x, scale = (vectors, None) if vectors is not None else _read(node, "token", rows, "input_ids")
        for role, ids, name in (("type", types, "token_type_ids"), ("position", at, "position_ids")):
            x, scale = leaf(node, "sum_act")(x, scale, *_read(node, role, ids, name))
        norm = leaf(node, "embedding_norm")
        x, scale = norm(x, scale) if a.of("layernorm") else (norm(x), None)
        x, scale = leaf(node, "embedding_act")(self._dropped(node, x), scale)
        enters(pass_, 0, scale)
        found: Tensor = x
        return found


def _read(node: Any, role: str, ids: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
    found: Any = look_up(node, role, ids, name)
    return found if isinstance(found, tuple) else (found, None)
