"""Queries that a task begins, and texts to compare them with. See `spec.masked_attention.TaskedQueries`.

Queries and the places of maps are [Q, B, E] and [S, B, E].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.core.segment_outputs import TaskedQueriesOutput
from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.fresh import Normal, Xavier, begins
from formers.nn.leaves import linear
from formers.nn.map_positions import SinePlaces
from formers.nn.nets.masked_attention import PackedAttention, QueryAttention, Wanted, read_masks
from formers.nn.nets.tree import fill, part_of
from formers.nn.spec import nets
from formers.nn.spec.masked_attention import Heads, TaskedQueries, Texts
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, leaf, place, place_tensor, wiring


def _added(node: Any, norm: str, dropout: str, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
    """What a part makes of `x`, dropped out and added to it, with the norm before or behind."""
    if wiring(node).facts["spec"].norms_first:
        made: Tensor = x + leaf(node, dropout)(part(leaf(node, norm)(x)))
    else:
        made = leaf(node, norm)(x + leaf(node, dropout)(part(x)))
    return made


def _feedforward(node: Any, s: TaskedQueries, rate: float) -> None:
    """Register two linear layers, what is between them, and a dropout."""
    place(node, "up", "linear1", begins(linear("linear", s.width, s.inner), weight=Xavier(s.gain)))
    place(node, "dropout", "dropout", Dropout(rate))
    place(node, "down", "linear2", begins(linear("linear", s.inner, s.width), weight=Xavier(s.gain)))


def _fed(node: Any, watched: bool) -> Callable[[Tensor], Tensor]:
    def fed(x: Tensor) -> Tensor:
        inner = leaf(node, "dropout")(leaf(node, "act")(apply_rows(node, "up", x, watched)))
        return apply_rows(node, "down", inner, watched)

    return fed


class FirstLayer(Group):
    """Queries attend to each other and to the pixels, and a feed-forward."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "own", "self_attn", PackedAttention(s.first_attention))
        place(self, "across", "multihead_attn", PackedAttention(s.first_attention))
        _feedforward(self, s, s.dropout)
        for i in (1, 2, 3):
            place(self, f"norm{i}", f"norm{i}", nn.LayerNorm(s.width, eps=s.eps))
        for i in (1, 2, 3):
            place(self, f"dropout{i}", f"dropout{i}", Dropout(s.dropout))
        place(self, "act", "activation", Activation("relu"))

    def forward(
        self, output: Tensor, memory: Tensor, pos: Tensor, query_pos: Tensor, wanted: Wanted | None = None
    ) -> Tensor:
        """Queries [Q, B, E] and pixels [S, B, E], with where both stand."""

        def own(x: Tensor) -> Tensor:
            asks = x + query_pos
            result: Tensor = leaf(self, "own")(asks, asks, x)[0]
            return result

        def across(x: Tensor) -> Tensor:
            result: Tensor = leaf(self, "across")(x + query_pos, memory + pos, memory)[0]
            return result

        fed = _fed(self, (wanted or Wanted()).watched)
        for i, part in enumerate((own, across, fed), 1):
            output = _added(self, f"norm{i}", f"dropout{i}", output, part)
        return output


class FirstLayers(Group):
    """All of them, and a norm."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        place(self, "layers", "layers", nn.ModuleList(FirstLayer(s) for _ in range(s.first_layers)))
        place(self, "norm", "norm", nn.LayerNorm(s.width, eps=s.eps))

    def forward(
        self, output: Tensor, memory: Tensor, pos: Tensor, query_pos: Tensor, wanted: Wanted | None = None
    ) -> Tensor:
        """[Q, B, E] -> [1, Q, B, E]."""
        for layer in leaf(self, "layers"):
            own = (wanted,) if isinstance(layer, FirstLayer) else ()
            output = layer(output, memory, pos, query_pos, *own)
        result: Tensor = leaf(self, "norm")(output)[None]
        return result


class FirstLook(Group):
    """Queries ask the pixels, before any has a mask."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        place(self, "decoder", "decoder", FirstLayers(s))

    def forward(
        self,
        src: Tensor,
        query_embed: Tensor,
        pos_embed: Tensor,
        task: Tensor | None,
        wanted: Wanted | None = None,
    ) -> Tensor:
        """Maps [B, E, h, w] of where pixels stand and what is there, queries [Q, E] -> [1, B, Q, E]."""
        memory, pos = (one.flatten(2).permute(2, 0, 1) for one in (src, pos_embed))
        where = query_embed[:, None].expand(-1, len(src), -1)
        x = torch.zeros_like(where) if task is None else task.expand(len(query_embed), -1, -1)
        decoder = leaf(self, "decoder")
        own = (wanted,) if isinstance(decoder, FirstLayers) else ()
        result: Tensor = decoder(x, memory, pos, where, *own).transpose(1, 2)
        return result


class AcrossPart(Group):
    """A look at a map."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "across", "multihead_attn", PackedAttention(s.attention))
        place(self, "norm", "norm", nn.LayerNorm(s.width, eps=s.eps))
        place(self, "dropout", "dropout", Dropout(0.0))

    def forward(
        self,
        output: Tensor,
        memory: Tensor,
        hidden: Tensor,
        pos: Tensor,
        query_pos: Tensor,
        wanted: Wanted | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """[Q, B, E] -> the same, and weights; for `hidden` see `PackedAttention`."""
        kept: list[Tensor | None] = []

        def part(x: Tensor) -> Tensor:
            node = leaf(self, "across")
            ours = wanted is not None and wanted.weights and isinstance(node, PackedAttention)
            more = {"weights_too": True} if ours else {}
            made, weights = node(x + query_pos, memory + pos, memory, attn_mask=hidden, **more)
            kept.append(weights)
            result: Tensor = made
            return result

        return _added(self, "norm", "dropout", output, part), kept[0]


class OwnPart(Group):
    """Queries attend to each other."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "own", "self_attn", QueryAttention(s.attention))
        place(self, "norm", "norm", nn.LayerNorm(s.width, eps=s.eps))
        place(self, "dropout", "dropout", Dropout(0.0))

    def forward(
        self, output: Tensor, query_pos: Tensor, wanted: Wanted | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """[Q, B, E] -> the same, and weights."""
        kept: list[Tensor | None] = []

        def part(x: Tensor) -> Tensor:
            node = leaf(self, "own")
            own = (wanted,) if isinstance(node, QueryAttention) else ()
            made, weights = node(x, query_pos, *own)
            kept.append(weights)
            result: Tensor = made
            return result

        return _added(self, "norm", "dropout", output, part), kept[0]


class FedPart(Group):
    """A feed-forward."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        _feedforward(self, s, 0.0)
        place(self, "norm", "norm", nn.LayerNorm(s.width, eps=s.eps))
        place(self, "act", "activation", Activation("relu"))

    def forward(self, output: Tensor, wanted: Wanted | None = None) -> Tensor:
        """[Q, B, E] -> the same."""
        return _added(self, "norm", "dropout", output, _fed(self, (wanted or Wanted()).watched))


class TaskedLayer(Group):
    """A look at a map, attention of queries to each other, a feed-forward."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        place(self, "across", "cross_attn", AcrossPart(s))
        place(self, "own", "self_attn", OwnPart(s))
        place(self, "fed", "ffn", FedPart(s))

    def forward(
        self,
        output: Tensor,
        memory: Tensor,
        places: Tensor,
        hidden: Tensor,
        query_embeddings: Tensor,
        wanted: Wanted | None = None,
    ) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
        """[Q, B, E] -> the same, and weights of queries for each other, and for the map."""
        across, own, fed = (leaf(self, role) for role in ("across", "own", "fed"))
        given = (output, memory, hidden, places, query_embeddings)
        x, looked = across(*given, *((wanted,) if isinstance(across, AcrossPart) else ()))
        x, weights = own(x, query_embeddings, *((wanted,) if isinstance(own, OwnPart) else ()))
        return fed(x, *((wanted,) if isinstance(fed, FedPart) else ())), (weights, looked)


@cache
def node_class(name: str) -> type[TaskedLayer]:
    """The class of a family's layers."""
    return type(name, (TaskedLayer,), {"__module__": __name__, "__doc__": TaskedLayer.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if name.endswith("DecoderLayer") and name[:1].isupper():
        return node_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class TaskedDecoder(Group):
    """The first look, all layers, and what reads labels and masks off queries."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "first", "query_transformer", FirstLook(s))
        place(self, "norm", "decoder_norm", nn.LayerNorm(s.width, eps=s.eps))
        place(self, "layers", "layers", nn.ModuleList(node_class(s.layer_class)(s) for _ in range(s.layers)))
        narrow = begins(nn.Conv2d(s.read, s.width, kernel_size=1), weight=Xavier(s.gain))
        place(self, "narrow", "query_input_projection", narrow)
        place(self, "labels", "class_embed", nn.Linear(s.width, s.labels))
        masks = nets.perceptron(s.width, s.width, s.width, s.pixels, gain=s.gain)
        fill(self, nets.Node({"mask_embed": nets.Node({"layers": masks})}))

    def forward(
        self,
        task_token: Tensor,
        memory: Sequence[Tensor],
        places: Sequence[Tensor],
        mask_features: Tensor,
        query_features: Tensor,
        query_embeddings: Tensor,
        size_list: Sequence[tuple[int, int]],
        wanted: Wanted | None = None,
    ) -> TaskedQueriesOutput:
        """The task's vector [1, B, E], maps as rows with places and sizes, pixels -> a record.

        Args:
            task_token: what begins.
            memory: maps, [S, B, E] each; `places` where their rows stand.
            places: likewise.
            mask_features: [B, C, h, w].
            query_features: [B, E, h, w], where their places are.
            query_embeddings: [Q, E], where queries ask from.
            size_list: (down, across) of the maps.
            wanted: see there.
        """
        s, wanted = wiring(self).facts["spec"], wanted or Wanted()
        first = leaf(self, "first")
        task = leaf(self, "norm")(task_token) if s.begins else task_token
        asked = (query_features, query_embeddings[:-1], leaf(self, "narrow")(mask_features))
        own = (wanted,) if isinstance(first, FirstLook) else ()
        found = first(*asked, task if s.begins else None, *own)[0].transpose(0, 1)
        x = start = torch.cat((found, task), 0)
        where = query_embeddings[:, None].expand(-1, x.shape[1], -1)
        label, mask, hidden = self._read(x, mask_features, size_list[0])
        labels, masks, seen = [label], [mask], []
        for i, layer in enumerate(leaf(self, "layers")):
            level, ours = i % s.levels, isinstance(layer, TaskedLayer)
            given = (x, memory[level], places[level], hidden, where, *((wanted,) if ours else ()))
            if wanted.recompute:
                x, weights = checkpoint(layer, *given, use_reentrant=False)
            else:
                x, weights = layer(**dict(zip(_READS, given, strict=False)))
            seen.append(weights)
            label, mask, hidden = self._read(x, mask_features, size_list[(i + 1) % s.levels])
            labels.append(label)
            masks.append(mask)
        return TaskedQueriesOutput(
            x.transpose(0, 1),
            start.transpose(0, 1),
            tuple(zip(labels, masks, strict=True)),
            tuple(seen) if wanted.weights else None,
        )

    def _read(self, x: Tensor, pixels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Labels and masks of queries [Q, B, E], and what these hide of a map of that size."""
        rows = leaf(self, "norm")(x).transpose(0, 1)
        heads = wiring(self).facts["spec"].heads
        return leaf(self, "labels")(rows), *read_masks(part_of(self, "mask_embed")(rows), pixels, size, heads)


_READS = ("output", "memory", "places", "hidden", "query_embeddings", "wanted")  # of a layer


class TaskedAsking(Group):
    """Queries, where they ask from, and the maps as the layers read them."""

    def __init__(self, s: TaskedQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "places", "position_embedder", SinePlaces(s.width))
        place(self, "from", "queries_embedder", nn.Embedding(s.queries, s.width))
        place(self, "decoder", "decoder", TaskedDecoder(s))
        place(self, "level", "level_embed", nn.Embedding(s.levels, s.width))

    def forward(
        self,
        multi_scale_features: Sequence[Tensor],
        mask_features: Tensor,
        task_token: Tensor,
        wanted: Wanted | None = None,
    ) -> TaskedQueriesOutput:
        """Maps [B, E, h, w], the one that masks are read off, and the task's vector [B, E] -> a record."""
        *at, pixels_at = (
            leaf(self, "places")(shape=one.shape, device=one.device, dtype=one.dtype)
            for one in (*multi_scale_features, mask_features)
        )
        level: Tensor = leaf(self, "level").weight
        memory = [one.flatten(2).permute(2, 0, 1) + level[i] for i, one in enumerate(multi_scale_features)]
        decoder = leaf(self, "decoder")
        found: TaskedQueriesOutput = decoder(
            task_token=task_token[None],
            memory=memory,
            places=[one.flatten(2).permute(2, 0, 1) for one in at],
            mask_features=mask_features,
            query_features=pixels_at,
            query_embeddings=leaf(self, "from").weight,
            size_list=[tuple(one.shape[2:]) for one in multi_scale_features],
            **({"wanted": wanted} if isinstance(decoder, TaskedDecoder) else {}),
        )
        return found


def task_node(s: TaskedQueries) -> nets.Node:
    """Numbers that say the task -> its vector."""
    return nets.Node(
        {"task_mlp": nets.Node({"layers": nets.perceptron(s.told, s.width, s.width, gain=s.gain)})}
    )


class TextLayer(Group):
    """Tokens attend to each other, and a feed-forward; norms stand before both."""

    def __init__(self, s: Texts) -> None:
        super().__init__()
        heads = Heads(s.width, max(s.width // 64, 1))
        place(self, "own", "self_attn", PackedAttention(heads))
        place(self, "own_norm", "layer_norm1", nn.LayerNorm(s.width, eps=s.eps))
        inner = {"fc1": nets.Dense(s.width, 4 * s.width), "fc2": nets.Dense(4 * s.width, s.width)}
        parts = {"activation_fn": nets.Act("quick_gelu"), **inner}
        fill(self, nets.Node({"mlp": nets.Node(parts, ("fc1", "activation_fn", "fc2"))}))
        place(self, "last_norm", "layer_norm2", nn.LayerNorm(s.width, eps=s.eps))
        _spread(self, s)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[T, B, E] -> the same."""
        x = leaf(self, "own_norm")(hidden_states)
        x = hidden_states + leaf(self, "own")(x, x, x)[0]
        result: Tensor = x + part_of(self, "mlp")(leaf(self, "last_norm")(x))
        return result


def _spread(layer: Any, s: Texts) -> None:
    """First values that follow from how wide and deep the layers are."""
    out = Normal(s.width**-0.5 * (2 * s.layers) ** -0.5)
    begins(leaf(layer, "own"), in_proj_weight=Normal(s.width**-0.5))
    begins(leaf(leaf(layer, "own"), "o"), weight=out)
    begins(part_of(layer, "mlp.fc1"), weight=Normal((2 * s.width) ** -0.5))
    begins(part_of(layer, "mlp.fc2"), weight=out)


class TextLayers(Group):
    """All of them."""

    def __init__(self, s: Texts) -> None:
        super().__init__()
        place(self, "layers", "layers", nn.ModuleList(TextLayer(s) for _ in range(s.layers)))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[T, B, E] -> the same."""
        for layer in leaf(self, "layers"):
            hidden_states = layer(hidden_states)
        return hidden_states


class TextEncoder(Group):
    """A vector for every text: the state of the token with the largest number, which ends it."""

    def __init__(self, s: Texts) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "transformer", "transformer", TextLayers(s))
        places = torch.empty(s.length, s.width)
        place_tensor(self, "position", "positional_embedding", places, Normal(0.01))
        place(self, "norm", "ln_final", nn.LayerNorm(s.width, eps=s.eps))
        place(
            self, "token", "token_embedding", begins(nn.Embedding(s.vocabulary, s.width), weight=Normal(0.02))
        )

    def forward(self, text: Tensor) -> Tensor:
        """Ids [N, T] -> [N, E].

        Raises:
            ValueError: for texts of another length.
        """
        s: Texts = wiring(self).facts["spec"]
        if text.shape[1] != s.length:
            raise ValueError(f"texts have {s.length} tokens, with padding, not {text.shape[1]}")
        x = leaf(self, "token")(text) + leaf(self, "position")
        x = leaf(self, "norm")(leaf(self, "transformer")(x.transpose(0, 1)).transpose(0, 1))
        result: Tensor = x[torch.arange(x.shape[0], device=x.device), text.argmax(-1)]
        return result


class TextMapper(Group):
    """A vector for every query of a picture: those of its texts, and learned ones."""

    def __init__(self, s: Texts) -> None:
        super().__init__()
        place(self, "encoder", "text_encoder", TextEncoder(s))
        layers = nets.perceptron(s.width, *[s.made] * s.last_layers, gain=1.0)
        fill(self, nets.Node({"text_projector": nets.Node({"layers": layers})}))
        if s.more:
            place(self, "more", "prompt_ctx", nn.Embedding(s.more, s.width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Ids [B, N, T] -> [B, N + more, E].

        Raises:
            ValueError: for ids of another shape.
        """
        if inputs.dim() != 3:
            raise ValueError(f"text_inputs must have shape [B, N, T], not {list(inputs.shape)}")
        found = part_of(self, "text_projector")(leaf(self, "encoder")(inputs.flatten(0, 1)))
        found = found.view(*inputs.shape[:2], -1)
        if "more" not in wiring(self).roles:
            result: Tensor = found
            return result
        return torch.cat((found, leaf(self, "more").weight.expand(found.shape[0], -1, -1)), 1)
