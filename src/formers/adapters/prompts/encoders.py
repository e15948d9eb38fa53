"""What makes learned prompts: tables, and the small networks behind them while they are trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.prompts.config import PromptEncoderReparameterizationType
from formers.checkpoints import TensorFiles

_OF_TASKS = ("prefix_task_cols", "prefix_task_rows")


class PromptEncoder(nn.Module):
    """A table, and where the config asks for it a network that its rows go through.

    A frozen one is the table alone: files hold what the network made.
    """

    def __init__(self, config: Any, count: int, words: nn.Module) -> None:
        super().__init__()
        width, hidden = config.token_dim, getattr(config, "encoder_hidden_size", None) or config.token_dim
        made = config.num_layers * 2 * width if config.peft_type is PeftType.PREFIX_TUNING else width
        learns = not config.inference_mode
        self.lstm_head: nn.Module | None = None
        self.mlp_head: nn.Module | None = None
        self.transform: nn.Module | None = None
        if config.peft_type is PeftType.P_TUNING and learns:
            if config.encoder_reparameterization_type is PromptEncoderReparameterizationType.LSTM:
                how = {"dropout": config.encoder_dropout, "bidirectional": True, "batch_first": True}
                self.lstm_head = nn.LSTM(width, hidden, config.encoder_num_layers, **how)
                self.mlp_head = _mlp(hidden * 2, hidden * 2, width)
            else:
                self.mlp_head = _mlp(width, hidden, hidden, width)
        projects = learns and getattr(config, "prefix_projection", False)
        if projects:
            self.transform = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, made))
        self.embedding = nn.Embedding(count, width if projects else made)
        if getattr(config, "init_weights", None) == "zero":
            last: Any = self.transform[2] if isinstance(self.transform, nn.Sequential) else self.embedding
            for parameter in last.parameters():
                nn.init.zeros_(parameter)
        self.tasks = config.peft_type is PeftType.MULTITASK_PROMPT_TUNING
        if self.tasks:
            shape, ranks = (config.num_tasks, count, config.num_ranks), config.num_ranks
            self.prefix_task_cols = nn.Parameter(0.02 * torch.randn(shape))
            self.prefix_task_rows = nn.Parameter(0.02 * torch.randn(config.num_tasks, ranks, width))
        if hasattr(config, "prompt_tuning_init") and learns and not self.embedding.weight.is_meta:
            self._begin(config, count, words)

    def _begin(self, config: Any, count: int, words: Any) -> None:
        """The vectors of tokens of the model, or those of a file, where the config asks for that."""
        how = config.prompt_tuning_init.value
        if how == "RANDOM":
            return
        if how not in ("TEXT", "SAMPLE_VOCAB"):
            self._go_on(config, how)
            return
        if how == "TEXT":
            from formers.tokenization import load

            reader = load(config.tokenizer_name_or_path, **(config.tokenizer_kwargs or {}))
            given = reader(config.prompt_tuning_init_text)["input_ids"]
            ids = torch.tensor((given * (-(-count // len(given))))[:count])
        else:
            ids = torch.randint(0, words.num_embeddings, (count,))
        with torch.no_grad():
            self.embedding.weight.copy_(words(ids.to(words.weight.device)).float())

    def _go_on(self, config: Any, how: str) -> None:
        """Begin as prompts that were trained."""
        held = TensorFiles.of([config.prompt_tuning_init_state_dict_path])
        made = {name: held.tensor(name) for name in ("prompt_embeddings", *_OF_TASKS)}
        if how == "AVERAGE_SOURCE_TASKS":
            made |= {name: made[name].mean(0, keepdim=True) for name in _OF_TASKS}
        elif how == "EXACT_SOURCE_TASK":
            made |= {name: made[name][config.prompt_tuning_init_task][None] for name in _OF_TASKS}
        else:
            made = {"prompt_embeddings": made["prompt_embeddings"]}
        self.take(made)

    def held(self) -> dict[str, Tensor]:
        """What a file holds: the prompts, and those of the tasks."""
        own = {name: getattr(self, name) for name in _OF_TASKS} if self.tasks else {}
        made = self.embedding.weight if self.tasks else self()
        return {name: value.detach().clone() for name, value in (("prompt_embeddings", made), *own.items())}

    def take(self, given: dict[str, Tensor]) -> None:
        """Take out of a file's tensors what `held` has, as far as it is there.

        Raises:
            ValueError: for another shape.
        """
        self.load(given.pop("prompt_embeddings"))
        for name in _OF_TASKS if self.tasks else ():
            value, own = given.pop(name, None), getattr(self, name)
            if value is None:
                continue
            if value.shape != own.shape:
                raise ValueError(f"the file holds {name} {tuple(value.shape)}, not {tuple(own.shape)}")
            setattr(self, name, nn.Parameter(value.to(self.embedding.weight), own.requires_grad))

    def forward(self, task_ids: Tensor | None = None) -> Tensor:
        """[P, E], of tasks [B, P, E]; of a prefix [P, layers * 2 * E].

        Raises:
            ValueError: for prompts of tasks without `task_ids`, [B], int64.
        """
        found: Tensor = self.embedding.weight
        if self.tasks:
            if task_ids is None:
                raise ValueError(
                    "task_ids cannot be None: these prompts differ by task, name one for each row"
                )
            return found * (self.prefix_task_cols[task_ids] @ self.prefix_task_rows[task_ids])
        if self.lstm_head is not None:
            found = self.lstm_head(found[None])[0][0]
        for network in (self.mlp_head, self.transform):
            found = found if network is None else network(found)
        return found

    def load(self, made: Tensor) -> None:
        """Take what a file holds.

        Raises:
            ValueError: for another shape, or where a network stands behind the table.
        """
        held = self.embedding.weight
        if held.shape != made.shape or not (self.mlp_head is self.transform is self.lstm_head is None):
            raise ValueError(
                f"the file holds learned prompts {tuple(made.shape)}, and not the network that made them: "
                f"they cannot be put into a table {tuple(held.shape)}, or trained further"
            )
        value = made.to(held.device if not held.is_meta else made.device, held.dtype)
        self.embedding.weight = nn.Parameter(value.clone(), held.requires_grad)


def _mlp(*widths: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for read, out in zip(widths, widths[1:], strict=False):
        parts += [nn.Linear(read, out), nn.ReLU()]
    return nn.Sequential(*parts[:-1])
