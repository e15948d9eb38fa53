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
from formers.nn.leaves import norm, token_table
from formers.nn.mixers.text_behind_queries import ASKING
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.stems.tokens import check_ids, look_up
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
    by_row: ClassVar[tuple[str, ...]] = ("query_embeds",)

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
        return self._entered(node, given.get("query_embeds"), given.get("query_length"), pass_)

    def _entered(self, node: Any, x: Tensor | None, told: int | None, pass_: Pass) -> Tensor:
        """What is read, normalised and dropped; `told` of the rows ask."""
        s: spec.Queries = self.spec
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


class InstructedQueryStem(QueryStem):
    """See `spec.InstructedQueries`."""

    inputs: ClassVar = {
        "input_ids": "[B, T], int64, texts behind the vectors that ask.",
        "attention_mask": "[B, Q + T], 1 at vectors and tokens that count.",
        "position_ids": "[1 or B, T], int64, those of the texts.",
        "query_embeds": "[B, Q, E], the vectors that ask; without them texts are read alone.",
        "encoder_hidden_states": "[B, S, E], what is asked: cross attention reads it.",
        "encoder_attention_mask": "[B, S], 1 at what may be read of it.",
    }
    by_row = ()

    def place(self, owner: Block, names: Paths) -> None:
        """Register the tables too."""
        s: spec.InstructedQueries = self.spec
        want(names, "token", "position")
        place(owner, "token", str(names["token"]), token_table(s.vocab_size, s.width, s.padding_idx))
        place(owner, "position", str(names["position"]), token_table(s.room, s.width))
        super().place(owner, names)

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many vectors and tokens there are.

        Raises:
            ValueError: without either, for a text that is too long, or other rows of one than of the other.
        """
        s: spec.InstructedQueries = self.spec
        ids, vectors = given.get("input_ids"), given.get("query_embeds")
        if ids is None:
            if vectors is None:
                raise ValueError("pass input_ids, query_embeds, or both")
            return super().shape(given)
        check_ids(ids)
        if ids.dim() != 2 or not 0 < ids.shape[1] <= s.room:
            raise ValueError(
                f"texts that say what is asked for are ids [B, T] of 1 to {s.room} tokens, not "
                f"{list(ids.shape)}: cut them (truncation=True, max_length={s.room})"
            )
        if vectors is None:
            if given.get("encoder_hidden_states") is not None:
                raise ValueError("no query_embeds are given, so that nothing asks encoder_hidden_states")
            return size(ids.shape[0]), size(ids.shape[1])
        batch, asking = super().shape(given)
        if ids.shape[0] != batch:
            raise ValueError(
                f"there are {ids.shape[0]} texts that say what is asked for, and {batch} rows that are "
                f"asked: give one for each"
            )
        return batch, asking + size(ids.shape[1])

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: those of texts are counted by themselves."""
        ids = given.get("input_ids")
        device = (given["query_embeds"] if ids is None else ids).device
        return torch.arange(layout.length, device=device)[None]

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: what callers say is of texts alone."""
        return self.positions(given, layout, past, real)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, Q + T, E]; [N, E] where nobody looks."""
        ids, x, told = given.get("input_ids"), given.get("query_embeds"), given.get("position_ids")
        asking = 0 if x is None else x.shape[1]
        if ids is not None:
            told = torch.arange(ids.shape[1], device=ids.device)[None] if told is None else told
            words = look_up(node, "token", ids, "input_ids") + look_up(node, "position", told, "position_ids")
            x = words if x is None else torch.cat((x.expand(ids.shape[0], -1, -1), words), dim=1)
        return self._entered(node, x, asking, pass_)
