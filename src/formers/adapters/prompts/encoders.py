"""What makes learned prompts: tables, and the small networks behind them while they are trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftType
from formers.adapters.prompts.config import PromptEncoderReparameterizationType, PromptTuningInit


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
        if config.peft_type is PeftType.PROMPT_TUNING and learns:
            self._begin(config, count, words)

    def _begin(self, config: Any, count: int, words: Any) -> None:
        """The vectors of tokens of the model, where the config asks for that."""
        if config.prompt_tuning_init is PromptTuningInit.RANDOM or self.embedding.weight.is_meta:
            return
        if config.prompt_tuning_init is PromptTuningInit.TEXT:
            from formers.tokenization import load

            reader = load(config.tokenizer_name_or_path, **(config.tokenizer_kwargs or {}))
            given = reader(config.prompt_tuning_init_text)["input_ids"]
            ids = torch.tensor((given * (-(-count // len(given))))[:count])
        else:
            ids = torch.randint(0, words.num_embeddings, (count,))
        with torch.no_grad():
            self.embedding.weight.copy_(words(ids.to(words.weight.device)).float())

    def forward(self) -> Tensor:
        """[P, E]; of a prefix [P, layers * 2 * E]."""
        found: Tensor = self.embedding.weight
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
