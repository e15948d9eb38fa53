"""Learned prompts put before what a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftType, TaskType
from formers.adapters.layer import train
from formers.adapters.prompts.encoders import PromptEncoder
from formers.adapters.tuner import Tuner, parts_of
from formers.core.notices import notice
from formers.nn.cache import DynamicCache

_CLASSIFY = (TaskType.SEQ_CLS, TaskType.TOKEN_CLS, TaskType.FEATURE_EXTRACTION)


class PromptModel(Tuner):
    """A model that reads learned prompts before its tokens; no leaf of it is changed.

    Attributes:
        prompt_encoder: name -> what makes the prompts.
    """

    kind: ClassVar[PeftType] = PeftType.PROMPT_TUNING
    prefix: ClassVar[str] = "prompt_encoder."

    _enabled = True

    # -- putting on ------------------------------------------------------------------------------------

    def inject_adapter(self, name: str, config: Any, low_cpu_mem_usage: bool = False) -> None:
        """Make the prompts of an adapter; the first one freezes the model."""
        self._settle_sizes(config)
        first = not self.peft_config
        if first:
            self.prompt_encoder = nn.ModuleDict()
            self.model.requires_grad_(False)
        count = config.num_virtual_tokens
        if config.peft_type is not PeftType.PREFIX_TUNING:
            count *= config.num_transformer_submodules
        self.peft_config[name] = config
        made = PromptEncoder(config, count, self.word_embeddings).to(self.word_embeddings.weight.device)
        self.prompt_encoder[name] = made
        train(made, first and not config.inference_mode)
        self._save_whole(name, config)
        for _, part in parts_of(self.model):
            part.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _settle_sizes(self, config: Any) -> None:
        """Write into the config what follows from the model's.

        Raises:
            ValueError: for what this model cannot read.
        """
        of: Any = self.model.config
        of = getattr(of, "text_config", None) or of
        seq2seq = bool(getattr(of, "is_encoder_decoder", False))
        if config.num_transformer_submodules is None:
            config.num_transformer_submodules = 2 if config.task_type == TaskType.SEQ_2_SEQ_LM else 1
        config.token_dim = config.token_dim or of.hidden_size
        config.num_layers = config.num_layers or of.num_hidden_layers
        config.num_attention_heads = config.num_attention_heads or of.num_attention_heads
        if config.peft_type is not PeftType.PREFIX_TUNING:
            return
        if not seq2seq and config.task_type != TaskType.CAUSAL_LM:
            raise ValueError(
                f"PREFIX_TUNING is there for CAUSAL_LM and SEQ_2_SEQ_LM, not for {config.task_type}: take "
                "PROMPT_TUNING or P_TUNING"
            )
        groups = getattr(of, "num_key_value_heads", None)
        if groups and groups != config.num_attention_heads:  # keys and values have fewer heads
            width = getattr(of, "head_dim", None) or config.token_dim // config.num_attention_heads
            config.token_dim, config.num_attention_heads = width * groups, groups

    # -- computing -------------------------------------------------------------------------------------

    @property
    def word_embeddings(self) -> Any:
        """The table of the tokens that the prompts stand before."""
        model: Any = self.model
        return model.get_input_embeddings()

    @property
    def _config(self) -> Any:
        return self.peft_config[self.active_adapters[0]]

    def get_prompt(self, batch_size: int, task_ids: Tensor | None = None) -> Any:
        """The prompts for some rows: [B, P, E], or a cache that holds the prefix."""
        config, made = self._config, self.prompt_encoder[self.active_adapters[0]](task_ids)
        if config.peft_type is not PeftType.PREFIX_TUNING:
            return made.to(self.word_embeddings.weight.dtype).expand(batch_size, -1, -1)
        heads = config.num_attention_heads
        shape = (len(made), config.num_layers, 2, heads, config.token_dim // heads)
        held = made.to(self.word_embeddings.weight.dtype).view(shape).permute(1, 2, 3, 0, 4)
        rows = held[:, :, None].expand(-1, -1, batch_size, -1, -1, -1)  # [layers, 2, B, G, P, D]
        return DynamicCache([(layer[0], layer[1]) for layer in rows])

    def _before(self, given: dict[str, Any], name: str, rows: int) -> None:
        """Let a mask reach over the prompts."""
        mask = given.get(name)
        if mask is not None:
            given[name] = torch.cat((mask.new_ones(rows, self._config.num_virtual_tokens), mask), 1)

    def _vectors(self, given: dict[str, Any]) -> Tensor:
        vectors = given.pop("inputs_embeds", None)
        found: Tensor = self.word_embeddings(given["input_ids"]) if vectors is None else vectors
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the model, with the prompts before what it reads.

        Labels of tokens, masks and token types reach over the prompts, whose rows the result has too.
        """
        if not self._enabled:
            kwargs.pop("task_ids", None)
            return self.model(*args, **kwargs)
        given = {**dict(zip(("input_ids", "attention_mask"), args, strict=False)), **kwargs}
        config, count = self._config, self._config.num_virtual_tokens
        rows = len(given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"])
        self._leave_out(given)
        prompts = self.get_prompt(rows, given.pop("task_ids", None))
        if config.peft_type is PeftType.PREFIX_TUNING:
            self._before(given, f"{self._side}attention_mask", rows)
            return self.model(past_key_values=prompts, **given)
        self._before(given, "attention_mask", rows)
        if config.task_type in (TaskType.CAUSAL_LM, TaskType.TOKEN_CLS) and given.get("labels") is not None:
            labels = given["labels"]
            given["labels"] = torch.cat((labels.new_full((rows, count), -100), labels), 1)
        types = given.get("token_type_ids")
        if types is not None:
            given["token_type_ids"] = torch.cat((types.new_zeros(rows, count), types), 1)
        vectors = torch.cat((prompts[:, :count], self._vectors(given)), 1)
        given.pop("input_ids", None)
        if config.peft_type is PeftType.MULTITASK_PROMPT_TUNING and config.num_transformer_submodules == 2:
            self._before_targets(given, prompts[:, count:])
        return self.model(inputs_embeds=vectors, **given)

    def _before_targets(self, given: dict[str, Any], prompts: Tensor) -> None:
        """Put prompts before what a decoder reads too, as those of several tasks are trained."""
        rows, count = prompts.shape[:2]
        model: Any = self.model
        labels, ids = given.get("labels"), given.pop("decoder_input_ids", None)
        if ids is None and labels is not None:
            ids = model.prepare_decoder_input_ids_from_labels(labels)
        vectors = given.get("decoder_inputs_embeds") if ids is None else self.word_embeddings(ids)
        if vectors is None:
            raise ValueError("the decoder reads nothing: give labels or decoder_input_ids")
        given["decoder_inputs_embeds"] = torch.cat((prompts, vectors), 1)
        self._before(given, "decoder_attention_mask", rows)
        if labels is not None:
            given["labels"] = torch.cat((labels.new_full((rows, count), -100), labels), 1)

    @property
    def _side(self) -> str:
        return "decoder_" if self._config.task_type == TaskType.SEQ_2_SEQ_LM else ""

    def _leave_out(self, given: dict[str, Any]) -> None:
        """Positions count from the first prompt, and other tasks than classifying know no token types."""
        for name in ("position_ids",) + (() if self._config.task_type in _CLASSIFY else ("token_type_ids",)):
            if given.pop(name, None) is not None:
                notice(f"{name} are left out: learned prompts stand before the tokens")

    def generate(self, inputs: Any = None, **kwargs: Any) -> Any:
        """As the model, with the prompts before what it reads; what is returned does not hold them.

        Raises:
            ValueError: without `input_ids`.
        """
        model: Any = self.model
        if not self._enabled:
            kwargs.pop("task_ids", None)
            return model.generate(inputs, **kwargs)
        given = dict(kwargs)
        ids = given.pop("input_ids", inputs)
        if ids is None:
            raise ValueError("input_ids must be provided for Peft model generation")
        self._leave_out(given)
        config, rows = self._config, len(ids)
        with torch.no_grad():
            prompts = self.get_prompt(rows, given.pop("task_ids", None))
        if config.peft_type is PeftType.PREFIX_TUNING:
            given["past_key_values"] = prompts
            if config.task_type == TaskType.SEQ_2_SEQ_LM:
                return model.generate(ids, **given)
            prompts = self.word_embeddings.weight.new_zeros(  # its columns are in the cache already
                rows, config.num_virtual_tokens, self.word_embeddings.weight.shape[1]
            )
        vectors = torch.cat((prompts[:, : config.num_virtual_tokens], self.word_embeddings(ids)), 1)
        self._before(given, "attention_mask", rows)
        if config.task_type == TaskType.SEQ_2_SEQ_LM:
            return model.generate(inputs_embeds=vectors, **given)
        return model.generate(ids, inputs_embeds=vectors, **given)

    # -- switching -------------------------------------------------------------------------------------

    def set_adapter(self, adapter_name: str | Sequence[str], inference_mode: bool = False) -> None:
        """Let one adapter's prompts be read, and trained unless `inference_mode`.

        Raises:
            ValueError: for an unknown name, or several.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        if len(names) != 1:
            raise ValueError(f"one adapter's prompts are read at a time, got {names}")
        super().set_adapter(names[0], inference_mode)
        for name, held in self.prompt_encoder.items():
            train(held, name == names[0] and not inference_mode)

    def enable_adapter_layers(self) -> None:
        """Let the prompts be read again."""
        self._enabled = True
        super().enable_adapter_layers()

    def disable_adapter_layers(self) -> None:
        """Let the model read tokens alone."""
        self._enabled = False
        super().disable_adapter_layers()

    @property
    def disabled(self) -> bool:
        """Whether the model computes without its adapters."""
        return not self._enabled

    def delete_adapter(self, adapter_name: str) -> None:
        """Forget an adapter."""
        super().delete_adapter(adapter_name)
        del self.prompt_encoder[adapter_name]

    def merge_adapter(self, adapter_names: Sequence[str] | None = None, safe_merge: bool = False) -> None:
        """There is nothing to merge into.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self._config.peft_type} has prompts, and no weights that could be merged")

    def unmerge_adapter(self) -> None:
        """Nothing was merged."""

    # -- files -----------------------------------------------------------------------------------------

    def to_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the prompts are, and modules that are saved whole."""
        held: Any = self.prompt_encoder[name]
        whole = {f"base_model.{key.removeprefix('base_model.model.')}": v for key, v in tensors.items()}
        return {**held.held(), **whole}

    def from_files(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take the prompts.

        Raises:
            ValueError: where there are none, or of another shape.
        """
        rest = dict(tensors)
        if "prompt_embeddings" not in rest:
            raise ValueError("the file of the adapter holds no prompt_embeddings: it is another method's")
        held: Any = self.prompt_encoder[name]
        held.take(rest)
        return {f"base_model.model.{key.removeprefix('base_model.')}": value for key, value in rest.items()}
