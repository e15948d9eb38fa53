"""The stages of speech: tokens of what a text means, coarse codes of its sound, and fine ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.core.notices import refuse_unknown
from formers.core.outputs import ModelOutput, TaskOutput
from formers.generation import staged_speech
from formers.nn.leaves import linear
from formers.nn.steps import apply
from formers.nn.tree import place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.language_model import CausalLM


@dataclass(frozen=True)
class Books:
    """A head for codes of several books.

    Attributes:
        path: of the list of output tables.
        books: how many books there are; the first `given` of them have no table.
        size: rows of each table.
        tied: path of the list of tables by which codes are read, if those of the same books are one with
            these.
    """

    path: str
    books: int
    given: int
    size: int
    tied: str | None = None


def place_tables(model: Any, spec: Books, width: int) -> None:
    """Register the output tables."""
    for i in range(spec.books - spec.given):
        place(model, f"out_{i}", f"{spec.path}.{i}", linear("linear", width, spec.size, False))


class Stage(CausalLM):
    """A stage that goes on token by token; its scores alone are offered, no loss."""

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        refuse_labels(self, targets)
        super()._prepare(given, targets, ask)

    def get_output_embeddings(self) -> Any:
        """None: what is written are other tokens than those that are read."""
        return None


class Meaning(Stage):
    """Tokens of what a text means."""

    @torch.no_grad()
    def generate(  # type: ignore[override]  # as the ecosystem's class takes it
        self,
        input_ids: Tensor,
        semantic_generation_config: Any = None,
        history_prompt: Any = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Say what texts mean.

        Args:
            input_ids: [B, T], int64, padded to `max_input_semantic_length` at least.
            semantic_generation_config: a `BarkSemanticGenerationConfig`.
            history_prompt: a voice: `semantic_prompt` [n], int64.
            attention_mask: [B, T], 1 at what is read.
            **kwargs: see `GenerationMixin.generate`; `min_eos_p` wins over the config's.

        Returns:
            [B, tokens], int64, ended texts padded by the token that ends them.

        Raises:
            ValueError: without settings, or for texts that are too short.
        """
        how = staged_speech.needed(semantic_generation_config, "semantic_generation_config")
        return staged_speech.meant(self, input_ids, how, history_prompt, attention_mask, kwargs)


class Coarse(Stage):
    """Codes of the first books, in turn."""

    @torch.no_grad()
    def generate(  # type: ignore[override]  # as the ecosystem's class takes it
        self,
        semantic_output: Tensor,
        semantic_generation_config: Any = None,
        coarse_generation_config: Any = None,
        codebook_size: int = 1024,
        history_prompt: Any = None,
        return_output_lengths: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make codes of what is meant.

        Args:
            semantic_output: [B, tokens], int64, as the first stage returned them.
            semantic_generation_config: a `BarkSemanticGenerationConfig`.
            coarse_generation_config: a `BarkCoarseGenerationConfig`.
            codebook_size: codes of a book.
            history_prompt: a voice: `semantic_prompt` [n] and `coarse_prompt` [books, m], int64.
            return_output_lengths: return [B] too, how many codes each row has.
            **kwargs: see `GenerationMixin.generate`.

        Returns:
            [B, books * places], int64, each code in the room of its book.

        Raises:
            ValueError: without settings, or where nothing was said.
        """
        said = staged_speech.needed(semantic_generation_config, "semantic_generation_config")
        how = staged_speech.needed(coarse_generation_config, "coarse_generation_config")
        made, lengths = staged_speech.coarse(
            self, semantic_output, said, how, codebook_size, history_prompt, kwargs
        )
        return (made, lengths) if return_output_lengths else made


class Fine(TaskModel):
    """Codes of one book, given those of the books before it."""

    _by_place: ClassVar[tuple[str, ...]] = ("codebook_idx",)
    _options: ClassVar[tuple[str, ...]] = ("return_dict",)
    _says = (
        "Score the codes of a book, [B, T, codes]. `codebook_idx`: which book, from the first one that is "
        "not given; the codes of all books before it are read, and those that it has so far."
    )

    @classmethod
    def can_generate(cls) -> bool:
        """Its own way: all places at once, book by book."""
        return False

    def _place_head(self, spec: Books, config: Any) -> None:
        place_tables(self, spec, self._width())

    def _tied_weights(self) -> dict[str, str]:
        spec: Books = self._formers.facts["head"]
        if spec.tied is None or not self.config.tie_word_embeddings:
            return {}
        return {
            f"{spec.path}.{i}.weight": f"{spec.tied}.{i + 1}.weight" for i in range(spec.books - spec.given)
        }

    def get_input_embeddings(self) -> nn.Module:
        """The tables by which codes are read, one for each book."""
        spec: Books = self._formers.facts["head"]
        return self.get_submodule(str(spec.tied))

    def get_output_embeddings(self) -> nn.Module:
        """The output tables."""
        spec: Books = self._formers.facts["head"]
        return self.get_submodule(spec.path)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        refuse_labels(self, targets)
        spec: Books = self._formers.facts["head"]
        book, ids = given.get("codebook_idx"), given.get("input_ids")
        least = max(spec.given, 1)
        if not isinstance(book, int) or book not in range(least, spec.books):
            raise ValueError(
                f"codebook_idx is a book that is predicted, from {least} to {spec.books - 1}, not {book!r}: "
                "the first ones are given"
            )
        if ids is not None:
            given["input_ids"] = ids[..., : book + 1]

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Books = self._formers.facts["head"]
        role = f"out_{given['codebook_idx'] - spec.given}"
        logits = states.spread(apply(self, role, states.rows, states.watched))
        return TaskOutput(None, logits, hidden_states=states.hidden, attentions=states.attentions)

    @torch.no_grad()
    def generate(
        self,
        coarse_output: Tensor,
        semantic_generation_config: Any = None,
        coarse_generation_config: Any = None,
        fine_generation_config: Any = None,
        codebook_size: int = 1024,
        history_prompt: Any = None,
        temperature: float | None = None,
        **more: Any,
    ) -> Tensor:
        """Make codes of all books.

        Args:
            coarse_output: [B, given * places], int64, as the second stage returned them.
            semantic_generation_config: a `BarkSemanticGenerationConfig`.
            coarse_generation_config: a `BarkCoarseGenerationConfig`.
            fine_generation_config: a `BarkFineGenerationConfig`.
            codebook_size: codes of a book.
            history_prompt: a voice: `fine_prompt` [books, m], int64.
            temperature: in place of the config's; other than 1 it draws.
            **more: nothing else.

        Returns:
            [B, books, places], int64.

        Raises:
            TypeError: for a keyword that is none of these.
            ValueError: without settings.
        """
        refuse_unknown(more, ("temperature", "history_prompt"), f"{type(self).__name__}.generate")
        said = staged_speech.needed(semantic_generation_config, "semantic_generation_config")
        first = staged_speech.needed(coarse_generation_config, "coarse_generation_config")
        how = staged_speech.needed(fine_generation_config, "fine_generation_config")
        warm = how.temperature if temperature is None else temperature
        return staged_speech.fine(self, coarse_output, said, first, how, codebook_size, history_prompt, warm)


def refuse_labels(model: Any, targets: dict[str, Any]) -> None:
    """Say that a stage is not trained here.

    Raises:
        NotImplementedError: where there are labels.
    """
    if targets.get("labels") is not None:
        raise NotImplementedError(f"{type(model).__name__} has no loss, and is not trained here: no labels")
