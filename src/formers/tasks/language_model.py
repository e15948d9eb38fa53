"""Logits over the vocabulary: for hidden words, and for the next word."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.outputs import TaskOutput
from formers.nn.activations import activation
from formers.nn.kernels import project
from formers.nn.leaves import norm
from formers.nn.losses import cross_entropy, next_token
from formers.nn.spec import Norm
from formers.tasks.base import TaskModel, labels_on_padding, owner_parameter, returned


class LanguageModelHead(TaskModel):
    """States to vocabulary logits: an optional dense layer with activation and norm, then the output table.

    Where the family keeps the output bias beside its table (role `bias`), both are one parameter.
    """

    def place_head(self, config: PretrainedConfig) -> None:
        """Roles `dense`, `norm` (both optional) and `out`; path `bias` (optional)."""
        place_vocabulary_head(self, config)

    def _tied_weights(self) -> dict[str, str]:
        """The output table is the token table where the config ties them."""
        return vocabulary_ties(self)

    def get_output_embeddings(self) -> nn.Module:
        """The output table."""
        return self.leaf("out")

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output table, and the bias that is kept beside it."""
        set_vocabulary_table(self, value)

    def vocabulary_logits(self, rows: Tensor) -> Tensor:
        """[N, E] -> [N, V]."""
        return vocabulary_logits(self, rows)

    @staticmethod
    def loss_of(logits: Tensor, labels: Tensor, items: Any) -> Tensor:
        """The loss of this kind of language model."""
        raise NotImplementedError("a language model head states its loss")

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Any = None,
        logits_to_keep: int | Tensor = 0,
        **keywords: Any,
    ) -> Any:
        """Predict tokens.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, S], 1 at real tokens.
            token_type_ids: [B, T], int64.
            position_ids: [B, T], int64.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            labels: [B, T], int64, -100 where there is none; a causal model shifts them itself.
            return_dict: a record (default) or a tuple.
            num_items_in_batch: divisor of the summed loss, for gradient accumulation.
            logits_to_keep: how many of the last places get logits (0 for all), or which places.
            keywords: as the base model takes them.

        Returns:
            `logits` [B, T, V], and `loss` when labels are given.
        """
        states = self.states(
            f"{type(self).__name__}.forward",
            keywords,
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            keep_padding=labels_on_padding(labels, attention_mask),
        )
        if isinstance(logits_to_keep, int) and logits_to_keep == 0:
            logits = states.layout.unpack(self.vocabulary_logits(states.rows))  # [B, T, V]
        else:
            kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            chosen = states.last[:, kept]  # [B, kept, E]
            logits = self.vocabulary_logits(chosen.flatten(0, 1)).view(*chosen.shape[:2], -1)
        loss = None if labels is None else self.loss_of(logits, labels, num_items_in_batch)
        output = TaskOutput(
            loss, logits, **self.shared_outputs(states), cross_attentions=states.cross_attentions
        )
        return returned(output, return_dict, self.config)


class MaskedLM(LanguageModelHead):
    """Predict the words that were hidden."""

    @staticmethod
    def loss_of(logits: Tensor, labels: Tensor, items: Any) -> Tensor:
        """Cross entropy at the labelled places."""
        return cross_entropy(logits, labels, items)


class CausalLM(LanguageModelHead):
    """Predict the next word."""

    shifts_labels: ClassVar[bool] = True  # place i is compared with label i + 1

    @classmethod
    def can_generate(cls) -> bool:
        """There is a next token to predict."""
        return True

    @staticmethod
    def loss_of(logits: Tensor, labels: Tensor, items: Any) -> Tensor:
        """Cross entropy of each token given those before it."""
        return next_token(logits, labels, items)


def place_vocabulary_head(model: TaskModel, config: PretrainedConfig) -> None:
    """Register the leaves of a vocabulary head on `model`, from its head record."""
    head, paths = model.head, model.head.paths
    if "dense" in paths:
        model.place("dense", paths["dense"], nn.Linear(model.width, model.width))
    if "norm" in paths:
        model.place("norm", paths["norm"], norm(Norm(eps=head.eps_of(config)), model.width))
    model.place("out", paths["out"], nn.Linear(model.width, config.vocab_size, bias=head.bias))
    if "bias" in paths:
        owner_parameter(model, paths["bias"], model.leaf("out").bias.detach().clone())  # type: ignore[operator]


def vocabulary_ties(model: TaskModel) -> dict[str, str]:
    """Ties of a vocabulary head: output table to token table, output bias to the bias beside it."""
    ties: dict[str, str] = {}
    if not (model.head.tied and getattr(model.config, "tie_word_embeddings", True)):
        return ties
    out = ".".join(model.roles["out"])
    ties[f"{out}.weight"] = f"{model.token_path()}.weight"
    if "bias" in model.head.paths:
        ties[f"{out}.bias"] = model.head.paths["bias"]
    return ties


def set_vocabulary_table(model: TaskModel, value: nn.Module) -> None:
    """Replace the output table and the bias that is kept beside it."""
    model.place("out", ".".join(model.roles["out"]), value)
    if "bias" in model.head.paths:
        group, _, name = model.head.paths["bias"].rpartition(".")
        setattr(model.get_submodule(group), name, value.bias)


def vocabulary_logits(model: TaskModel, rows: Tensor) -> Tensor:
    """[N, E] -> [N, V]."""
    head = model.head
    if model.has("dense"):
        rows = project(model.leaf("dense"), rows)
        rows = activation(head.activation_of(model.config))(rows)
    if model.has("norm"):
        rows = model.leaf("norm")(rows)
    scale = head.scale_of(model.config)
    if scale != 1.0:
        rows = rows * scale
    return project(model.leaf("out"), rows)
