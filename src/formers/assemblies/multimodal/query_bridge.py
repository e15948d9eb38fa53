"""An image model, vectors that ask its states, and a whole text model that reads their answers: BLIP-2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel, states_in, ties_within
from formers.assemblies.composite import Composite
from formers.assemblies.multimodal.encoder_outputs import SEEN, seen_before
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.model.initialise import mark_filled
from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.stems import stem_of
from formers.nn.stems.base import place_stem
from formers.nn.tree import leaf, path_of, place, place_tensor, wiring
from formers.stacks.stack import Ask, States

_SEEN = ("output_attentions", "output_hidden_states", "return_dict")
_PIXELS = ("pixel_values", "interpolate_pos_encoding")


class QueryBridge(Composite):
    """A querying transformer between an image model and a text model (Li et al. 2023, arXiv:2301.12597).

    The states that a task gets are the image's; without an image model they are those of texts.

    Args:
        model_of: a config -> the class without a head of its family.
        bridge: path of the querying transformer, and the field of the config that describes it.
        reads: what is read, the main input first.
        image: likewise of the image model; None where there is none.
        writer: likewise of the text model, which has its head; None where there is none.
        writer_of: a config -> that class of its family.
        queries: path of the vectors that ask.
        texts: path of the tables of the texts that the querying transformer reads; empty for none.
        projection: path of the layer from its width to the text model's.
        instructed: it reads texts behind those vectors itself, which say what to ask for; then it has the
            precision of the rest.
        parts: assemblies of heads that have other parts, by the name in `Head.over`.
    """

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        bridge: tuple[str, str],
        reads: tuple[str, ...],
        image: tuple[str, str] | None = None,
        writer: tuple[str, str] | None = None,
        writer_of: Callable[[Any], type[PreTrainedModel]] | None = None,
        queries: str = "query_tokens",
        texts: str = "",
        projection: str = "language_projection",
        instructed: bool = False,
        parts: Mapping[str, Assembly] | None = None,
    ) -> None:
        super().__init__(model_of, writer or bridge, image or bridge)
        self.fields = dict(part for part in (image, bridge, writer) if part is not None)
        self.bridge, self.looks = bridge[0], image is not None
        self.writer, self.writer_of = writer and writer[0], writer_of
        self.queries, self.texts, self.projection = queries, texts, projection
        self.instructed = instructed
        self.main, self.inputs, self.others = reads[0], (*reads, *_SEEN), dict(parts or {})

    # -- what there is -----------------------------------------------------------------------------

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the parts, the vectors that ask, and what stands between.

        Raises:
            ValueError: for an image model that reads something else.
        """
        own = getattr(config, self.fields[self.bridge])
        if self.looks:
            self._check(config, self.image)
            self._place_part(model, config, self.image)
        asking = torch.zeros(1, config.num_query_tokens, own.hidden_size)
        place_tensor(model, "query", self.queries, asking, Constant(0.0), keep=True)
        if self.texts:
            tables = spec.Tokens(
                own.vocab_size,
                own.hidden_size,
                positions=spec.LearnedPositions(own.max_position_embeddings),
                padding_idx=own.pad_token_id,
            )
            paths = {"token": "word_embeddings", "position": "position_embeddings"}
            inside = {role: f"{self.texts}.{path}" for role, path in paths.items()}
            place_stem(model, stem_of(tables), inside)
        self._place_part(model, config, self.bridge)
        # it was trained, and is read, in float32
        for part in () if self.instructed else leaf(model, self.bridge).modules():
            part.__dict__["_keep_float32"] = {name for name, _ in part.named_parameters(recurse=False)}
        if self.writer and self.writer_of:
            text = getattr(config, self.fields[self.writer])
            made = linear("linear", own.hidden_size, text.hidden_size)
            place(model, "projection", self.projection, made)
            writer: Any = self.writer_of(text)(text)
            place(model, self.writer, self.writer, writer)
            wiring(model).facts["adapted"] = self.writer
            base = writer.base_model
            above = () if base is writer else (writer.base_model_prefix,)
            wiring(model).roles["token"] = (self.writer, *above, *wiring(base).roles["token"])

    def _place_part(self, model: Any, config: Any, name: str) -> None:
        kind, own = self.part(config, name)
        place(model, name, name, kind(own, part=True))

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One of the `parts`."""
        return self.others[part] if part in self.others else super().alone(part, config_class)

    def ties(self, model: Any) -> dict[str, str]:
        """Those of the parts, by the names that they have in this tree."""
        return ties_within(self.stacks(model))

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the token table of the texts that are read."""
        if self.writer:
            super().set_table(model, value)
            return
        mark_filled(value)
        place(model, "token", path_of(model, "token"), value)

    # -- what is computed --------------------------------------------------------------------------

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The image's states; without an image model those of the texts.

        Raises:
            ValueError: without pixels, or texts.
        """
        before = seen_before(given)
        if before is not None:
            if getattr(before, "vision_outputs", None) is None:
                raise TypeError(
                    f"{SEEN} of these models holds the whole record that get_image_features returned, by the "
                    "key 'image', with its vision_outputs"
                )
            states = states_in(before.vision_outputs)
            states.extras["before"] = before
            return states
        if self.looks:
            if not isinstance(given.get("pixel_values"), Tensor):
                raise ValueError(f"{type(model).__name__} looks at pictures: pass pixel_values")
            return self.states(model, self.image, {name: given.get(name) for name in _PIXELS}, ask)
        x = self.embedded(model, given.get("input_ids"), given.get("position_ids"))
        read = {"query_embeds": x, "query_length": 0, "attention_mask": given.get("attention_mask")}
        return self.states(model, self.bridge, read, ask)

    def asked(
        self,
        model: Any,
        seen: Tensor,
        ask: Ask | None = None,
        behind: Tensor | None = None,
        mask: Tensor | None = None,
        ids: Tensor | None = None,
    ) -> Any:
        """The record of the querying transformer.

        Args:
            model: the whole.
            seen: [B, P, E], what is asked.
            ask: what its caller wants to see of it.
            behind: [B, T, E], texts behind the vectors that ask.
            mask: [B, Q + T], 1 at what counts.
            ids: [B, T], likewise texts, which it reads itself.
        """
        x = leaf(model, "query").expand(seen.shape[0], -1, -1)
        seen = seen.to(leaf(model, self.bridge).dtype)
        given: dict[str, Any] = {"encoder_hidden_states": seen, "attention_mask": mask, "input_ids": ids}
        if behind is not None:
            given["query_length"] = x.shape[1]
            x = torch.cat((x, behind.to(x)), dim=1)
        return self._called(model, {"query_embeds": x, **given}, ask)

    def read(self, model: Any, x: Tensor, mask: Tensor | None) -> Any:
        """The record of the querying transformer for texts alone, [B, T, E]."""
        return self._called(model, {"query_embeds": x, "query_length": 0, "attention_mask": mask}, None)

    def _called(self, model: Any, given: dict[str, Any], ask: Ask | None) -> Any:
        if ask is not None:
            given |= {"output_attentions": ask.attentions, "output_hidden_states": ask.hidden}
        named = {name: value for name, value in given.items() if value is not None}
        return leaf(model, self.bridge)(**named, return_dict=True)

    def embedded(self, model: Any, ids: Any, positions: Tensor | None = None) -> Tensor:
        """Texts as the querying transformer reads them: [B, T] -> [B, T, E].

        Raises:
            ValueError: without ids.
        """
        if not isinstance(ids, Tensor):
            raise ValueError(f"{type(model).__name__} reads texts: pass input_ids")
        node = model.get_submodule(self.texts)
        given = {"input_ids": ids, "position_ids": positions}
        found: Tensor = node(**{name: value for name, value in given.items() if value is not None})
        return found

    def projected(self, model: Any, asked: Tensor, like: Tensor) -> Tensor:
        """Answers to the vectors that ask, as the text model reads them: [B, Q, E] -> [B, Q, F]."""
        return project(leaf(model, "projection"), asked.to(like.dtype), None, watched=True)

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the image model's own, or the querying transformer's."""
        found: ModelOutput = self.record(model, self.image, states)
        return found
