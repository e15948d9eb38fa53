"""The stem of learned vectors: rows that no input is read for, and that ask what cross attention reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.dropout import Dropout, drop
from formers.nn.fresh import Constant
from formers.nn.layout import Layout
from formers.nn.leaves import norm
from formers.nn.mixers.aside import ASKING
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.tree import Block, has, leaf, place, place_tensor


class QueryStem(Stem):
    """See `spec.Queries`."""

    inputs: ClassVar = {
        "query_embeds": "[B, T, E], the vectors that ask, in place of the stack's own where it holds some.",
        "query_length": "how many of the vectors ask, from the first on; all of them unless it is told.",
        "attention_mask": "[B, T], 1 at vectors that count.",
        "encoder_hidden_states": "[B, S, E], what is asked: cross attention reads it.",
        "encoder_attention_mask": "[B, S], 1 at what may be read of it.",
    }
    by_row = ("query_embeds",)

    def place(self, owner: Block, names: Paths) -> None:
        """Register the vectors, the norm and the dropout."""
        s: spec.Queries = self.spec
        want(names, *(["query"] if s.count else []), *(["embedding_norm"] if s.norm else []))
        if s.count:
            held = torch.zeros(1, s.count, s.width)
            place_tensor(owner, "query", str(names["query"]), held, Constant(0.0), keep=False)
        if s.norm is not None:
            place(owner, "embedding_norm", str(names["embedding_norm"]), norm(s.norm, s.width))
        if names.get("embedding_dropout"):
            place(owner, "embedding_dropout", str(names["embedding_dropout"]), Dropout(s.dropout))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B of what is asked, and how many ask."""
        s: spec.Queries = self.spec
        asked, vectors = given.get("encoder_hidden_states"), given.get("query_embeds")
        if s.texts and given.get("query_length") == 0:
            return self._shape_of_texts(asked, vectors)
        if not isinstance(asked, Tensor) or asked.dim() != 3:
            found = list(asked.shape) if isinstance(asked, Tensor) else type(asked).__name__
            raise ValueError(
                f"queries ask what encoder_hidden_states hold: pass a tensor [B, S, width], not {found}"
            )
        if vectors is None and s.count:
            return size(asked.shape[0]), s.count
        if not isinstance(vectors, Tensor) or vectors.dim() != 3 or vectors.shape[2] != s.width:
            found = list(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise ValueError(f"the model reads query_embeds as a tensor [B, T, {s.width}], not {found}")
        if vectors.shape[0] not in (1, asked.shape[0]):
            raise ValueError(
                f"{vectors.shape[0]} rows of query_embeds cannot ask {asked.shape[0]} rows of "
                f"encoder_hidden_states: give as many, or one for all"
            )
        told, held = given.get("query_length"), size(vectors.shape[1])
        if told is not None and not (0 < told <= held if s.texts else told == held):
            what = "as many ask at most" if s.texts else "all of them ask (use_qformer_text_input is False)"
            raise ValueError(f"query_length is {told}, but query_embeds hold {held} vectors, and {what}")
        return size(asked.shape[0]), held

    def _shape_of_texts(self, asked: Any, vectors: Any) -> tuple[int, int]:
        """B and T of texts by themselves.

        Raises:
            ValueError: for what nothing asks, or vectors of another shape.
        """
        if asked is not None:
            raise ValueError("query_length is 0, so that nothing asks: leave encoder_hidden_states out")
        if not isinstance(vectors, Tensor) or vectors.dim() != 3 or vectors.shape[2] != self.spec.width:
            found = list(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise ValueError(
                f"the model reads query_embeds as a tensor [B, T, {self.spec.width}], not {found}"
            )
        return size(vectors.shape[0]), size(vectors.shape[1])

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: what a vector asks is in the vector."""
        asked = given.get("encoder_hidden_states")
        device = given["query_embeds"].device if asked is None else asked.device
        return torch.arange(layout.length, device=device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E]; [N, E] where nobody looks."""
        s: spec.Queries = self.spec
        x, told = given.get("query_embeds"), given.get("query_length")
        if s.texts:
            pass_.memo.put(ASKING, pass_.layout.length if told is None else told)
        if x is None:
            x = leaf(node, "query")
        if x.dim() == 3:
            x = x.expand(pass_.layout.batch, -1, -1)
            x = x if pass_.watched else pass_.layout.pack(x)
        if s.norm is not None:
            found = leaf(node, "embedding_norm")
            x = found(x.to(found.weight.dtype))
        if has(node, "embedding_dropout"):
            dropped: Tensor = leaf(node, "embedding_dropout")(x)
            return dropped
        return drop(x, s.dropout) if s.dropout and node.training else x
