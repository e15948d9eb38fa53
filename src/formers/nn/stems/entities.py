"""The stem of entities, and that of text with the entities in it behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.dropout import Dropout
from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import linear, norm
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, place_stem, want
from formers.nn.stems.tokens import TokenStem, check_ids, look_up
from formers.nn.tree import Block, has, leaf, place

_INPUTS = {
    "entity_ids": "[B, N], int64, the entities in the text.",
    "entity_attention_mask": "[B, N], 1 at entities, 0 at padding.",
    "entity_token_type_ids": "[B, N], int64.",
    "entity_position_ids": "[B, N, M], int64, positions of the tokens that name them; -1 for none.",
}


class EntityStem(Stem):
    """See `spec.Entities`. Its node is called with the names that it has for itself."""

    inputs: ClassVar = {
        "entity_ids": _INPUTS["entity_ids"],
        "position_ids": _INPUTS["entity_position_ids"],
        "token_type_ids": _INPUTS["entity_token_type_ids"],
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the tables, projection, norm and dropout."""
        s: spec.Entities = self.spec
        made: dict[str, nn.Module] = {"entity": nn.Embedding(s.vocabulary, s.inner, padding_idx=0)}
        if s.inner != s.width:
            made["entity_projection"] = linear("linear", s.inner, s.width, False)
        made["entity_position"] = nn.Embedding(s.positions, s.width)
        made["entity_type"] = nn.Embedding(s.types, s.width)
        made |= {"entity_norm": norm(s.norm, s.width), "entity_dropout": Dropout(s.dropout)}
        want(names, *made)
        for role, module in made.items():
            place(owner, role, str(names[role]), module)

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and N of the ids."""
        ids = given["entity_ids"]
        check_ids(ids)
        return size(ids.shape[0]), size(ids.shape[1])

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """[B, N, M], as they were given."""
        at, ids = given.get("position_ids"), given["entity_ids"]
        if not isinstance(at, Tensor) or at.dim() != 3 or at.shape[:2] != ids.shape:
            raise ValueError(
                f"entity_position_ids say where entities stand, {[*ids.shape, 'M']}, -1 for nowhere, but "
                f"{'none were given' if at is None else f'have shape {list(at.shape)}'}"
            )
        return at

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, N] -> [B, N, E]."""
        ids, types, at = given["entity_ids"], given.get("token_type_ids"), pass_.geometry.positions
        x = look_up(node, "entity", ids, "entity_ids")
        if has(node, "entity_projection"):
            x = project(leaf(node, "entity_projection"), x, None, pass_.watched)
        named = (at != -1).to(x.dtype)[..., None]  # [B, N, M, 1]
        each = look_up(node, "entity_position", at.clamp(min=0), "entity_position_ids") * named
        x = x + each.sum(-2) / named.sum(-2).clamp(min=1)
        name = "entity_token_type_ids"
        x = x + look_up(node, "entity_type", ids.new_zeros(ids.shape) if types is None else types, name)
        dropped: Tensor = leaf(node, "entity_dropout")(leaf(node, "entity_norm")(x))
        return dropped


class EntityTokensStem(TokenStem):
    """See `spec.EntityTokens`. Both are embedded with their padding, and laid out as one."""

    inputs: ClassVar = {**TokenStem.inputs, **_INPUTS}
    by_row = ()

    def place(self, owner: Block, names: Paths) -> None:
        """Register both, in nodes of their own."""
        behind = {role: path for role, path in names.items() if role.startswith("entity")}
        text = {role: path for role, path in names.items() if role not in behind}
        self.nodes = [
            place_stem(owner, stem, paths)[0]
            for stem, paths in ((TokenStem(self.spec), text), (EntityStem(self.spec.entities), behind))
        ]

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many there are of both."""
        batch, length = super().shape(given)
        ids = given.get("entity_ids")
        if ids is None:
            alone = [name for name in _INPUTS if given.get(name) is not None]
            if alone:
                raise ValueError(f"{' and '.join(alone)} belong to entities: pass entity_ids too")
            return batch, length
        check_ids(ids)
        if ids.dim() != 2 or ids.shape[0] != batch:
            raise ValueError(f"entity_ids must have shape [{batch}, N], not {list(ids.shape)}")
        return batch, length + ids.shape[1]

    def second(self, given: Mapping[str, Any]) -> int | None:
        """Behind the text."""
        return None if given.get("entity_ids") is None else super().shape(given)[1]

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Both masks as one, [B, T + N]."""
        given = given or {}
        ids, behind = given.get("entity_ids"), given.get("entity_attention_mask")
        if ids is None or (mask is None and behind is None):
            return mask
        shape = super().shape(given)
        mask = torch.ones(shape, device=ids.device) if mask is None else mask
        behind = torch.ones_like(ids) if behind is None else behind
        for name, value, wanted in (
            ("attention_mask", mask, shape),
            ("entity_attention_mask", behind, tuple(ids.shape)),
        ):
            if not isinstance(value, Tensor) or tuple(value.shape) != wanted:
                found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f"beside entities {name} must have shape {list(wanted)}, not {found}")
        return torch.cat((mask.bool(), behind.bool()), dim=1)

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Those of the text, [B, T + N]; those of entities are several each."""
        batch, length = super().shape(given)
        found = super().places(given, Layout.dense(batch, length), past, real).expand(batch, length)
        return nn.functional.pad(found, (0, layout.length - length))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Text and entities -> [N, E], or [B, T, E] in a watched pass."""
        text, entities = (node._modules[name] for name in self.nodes)
        told = {name: given[name] for name in TokenStem.inputs if given.get(name) is not None}
        x = text(**told)
        if given.get("entity_ids") is not None:
            own = {name: given.get(f"entity_{name}") for name in ("position_ids", "token_type_ids")}
            x = torch.cat((x, entities(given["entity_ids"], **own)), dim=1)
        return x if pass_.watched else pass_.layout.pack(x)
