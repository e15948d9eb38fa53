"""Configs of learned prompts: prompt tuning, p-tuning, prefix tuning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from formers.adapters.config import PeftConfig, PeftType, TaskType, check_ranks, declared


class PromptTuningInit(str, Enum):
    """What learned tokens begin as."""

    TEXT = "TEXT"
    SAMPLE_VOCAB = "SAMPLE_VOCAB"
    RANDOM = "RANDOM"

    __str__ = str.__str__


class MultitaskPromptTuningInit(str, Enum):
    """What the prompts of several tasks begin as: also a trained file's, of all tasks or of one."""

    TEXT = "TEXT"
    RANDOM = "RANDOM"
    AVERAGE_SOURCE_TASKS = "AVERAGE_SOURCE_TASKS"
    EXACT_SOURCE_TASK = "EXACT_SOURCE_TASK"
    ONLY_SOURCE_SHARED = "ONLY_SOURCE_SHARED"

    __str__ = str.__str__


class PromptEncoderReparameterizationType(str, Enum):
    """What makes the tokens of p-tuning."""

    MLP = "MLP"
    LSTM = "LSTM"

    __str__ = str.__str__


@dataclass
class PromptLearningConfig(PeftConfig):
    """What all learned prompts say.

    Attributes:
        num_virtual_tokens: how many are learned.
        token_dim: their width; read off the model, as what follows.
        num_transformer_submodules: 2 for encoder-decoders, else 1.
        num_attention_heads: of the keys and values of a prefix.
        num_layers: how many layers have a prefix.
        modules_to_save: ends of paths of modules that are trained and saved whole.
    """

    num_virtual_tokens: int | None = None
    token_dim: int | None = None
    num_transformer_submodules: int | None = None
    num_attention_heads: int | None = None
    num_layers: int | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        count = self.num_virtual_tokens
        if isinstance(count, bool) or not isinstance(count, int) or count <= 0:
            raise ValueError(f"{self.peft_type} needs num_virtual_tokens of 1 or more, got {count!r}")
        if self.task_type in (None, TaskType.QUESTION_ANS):
            raise ValueError(
                f"{self.peft_type} needs a task_type that is not QUESTION_ANS: what is read depends on it"
            )

    @property
    def is_prompt_learning(self) -> bool:
        """It adds tokens."""
        return True


@declared
class PromptTuningConfig(PromptLearningConfig):
    """Learned vectors before those of the tokens (Lester et al. 2021, arXiv:2104.08691).

    Attributes:
        prompt_tuning_init: begin as "RANDOM" vectors, random tokens' ("SAMPLE_VOCAB"), or a "TEXT"'s.
        prompt_tuning_init_text: that, repeated or cut; `tokenizer_name_or_path` reads it.
        tokenizer_kwargs: keywords of the tokenizer's `from_pretrained`.
    """

    kind: ClassVar[PeftType | None] = PeftType.PROMPT_TUNING
    starts: ClassVar[type[Enum]] = PromptTuningInit

    prompt_tuning_init: Any = "RANDOM"
    prompt_tuning_init_text: str | None = None
    tokenizer_name_or_path: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.prompt_tuning_init = self.starts(self.prompt_tuning_init)
        texts = (self.prompt_tuning_init_text, self.tokenizer_name_or_path)
        if self.prompt_tuning_init.value == "TEXT" and not all(texts):
            raise ValueError("prompt_tuning_init='TEXT' needs the text and tokenizer_name_or_path")
        if self.tokenizer_kwargs and self.prompt_tuning_init.value != "TEXT":
            raise ValueError("tokenizer_kwargs only valid when using prompt_tuning_init='TEXT'.")


@declared
class MultitaskPromptTuningConfig(PromptTuningConfig):
    """Prompts that tasks share, times few ranks for each task (Wang et al. 2023, arXiv:2303.02861).

    Attributes:
        prompt_tuning_init: a `MultitaskPromptTuningInit`.
        prompt_tuning_init_state_dict_path: file of a trained adapter, for those that begin with one.
        prompt_tuning_init_task: which of its tasks, for "EXACT_SOURCE_TASK".
        num_ranks: ranks of the matrices.
        num_tasks: how many tasks there are; calls name them by `task_ids`, [B], int64.
    """

    kind: ClassVar[PeftType | None] = PeftType.MULTITASK_PROMPT_TUNING
    starts: ClassVar[type[Enum]] = MultitaskPromptTuningInit

    prompt_tuning_init_state_dict_path: str | None = None
    prompt_tuning_init_task: int = 0
    num_ranks: int = 1
    num_tasks: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranks(self.num_ranks, self.num_tasks)
        reads = self.prompt_tuning_init not in ("TEXT", "RANDOM")
        if reads and self.prompt_tuning_init_state_dict_path is None:
            how = self.prompt_tuning_init.value
            raise ValueError(f"prompt_tuning_init={how!r} needs prompt_tuning_init_state_dict_path")


@declared
class PromptEncoderConfig(PromptLearningConfig):
    """Learned vectors that a small network makes (P-tuning, Liu et al. 2021, arXiv:2103.10385).

    Attributes:
        encoder_reparameterization_type: "MLP" or "LSTM".
        encoder_hidden_size: its inner width; that of the tokens where None.
        encoder_num_layers: of the LSTM.
        encoder_dropout: between the layers of the LSTM.
    """

    kind: ClassVar[PeftType | None] = PeftType.P_TUNING

    encoder_reparameterization_type: PromptEncoderReparameterizationType | str = (
        PromptEncoderReparameterizationType.MLP
    )
    encoder_hidden_size: int | None = None
    encoder_num_layers: int = 2
    encoder_dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.encoder_reparameterization_type = PromptEncoderReparameterizationType(
            self.encoder_reparameterization_type
        )


@declared
class PrefixTuningConfig(PromptLearningConfig):
    """Learned keys and values before those of the tokens, in every layer (Li & Liang 2021, arXiv:2101.00190).

    Attributes:
        init_weights: "zero" for zeros; None: drawn.
        encoder_hidden_size: inner width of the projection; that of the tokens where None.
        prefix_projection: let a small network make them, while training.
    """

    kind: ClassVar[PeftType | None] = PeftType.PREFIX_TUNING

    init_weights: str | None = None
    encoder_hidden_size: int | None = None
    prefix_projection: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_weights not in (None, "zero"):
            raise ValueError(f"init_weights is None or 'zero', not {self.init_weights!r}")
