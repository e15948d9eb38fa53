"""What models that people wrote by hand call on themselves, and packages on models: masks, parts, sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.nn.additive import AttentionMaskConverter
from formers.nn.script_names import DUMMY_INPUTS

_POSITIONS = (
    "{name} has no table of positions that can be exchanged alone: load with from_pretrained(..., "
    "max_position_embeddings=N, ignore_mismatched_sizes=True)"
)


class Unset:
    """A value that is computed until the model, or a subclass's constructor, sets one of its own."""

    def __init__(self, made: Callable[[Any], Any]) -> None:
        self._made = made
        self.__doc__ = made.__doc__

    def __get__(self, model: Any, kind: Any = None) -> Any:
        return self if model is None else self._made(model)


class Handwritten:
    """Methods of `PreTrainedModel` that computing itself never asks for.

    Attributes:
        is_parallelizable, model_parallel: always False: `device_map` places parts on several devices.
        loss_function: what computes the loss from logits, of this class's task; one that is set is used.
    """

    config: Any
    is_parallelizable: ClassVar[bool] = False
    model_parallel: ClassVar[bool] = False
    _supports_cache_class: ClassVar[bool] = True
    _supports_flash_attn: ClassVar[bool] = False  # attention runs on kernels of torch
    _supports_flash_attn_2: ClassVar[bool] = False
    _own_loss: Callable[..., Any] | None = None

    if TYPE_CHECKING:  # of the model, or the module, that has these methods

        @property
        def dtype(self) -> torch.dtype:
            """That of the weights."""

    # -- masks --------------------------------------------------------------------------------------

    def get_extended_attention_mask(
        self, attention_mask: Tensor, input_shape: Any, device: Any = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """A mask that is added to scores: 0 where a key counts, else the least number.

        Args:
            attention_mask: [B, S], or [B, T, S], 1 for what counts.
            input_shape: (B, T).
            device: where the mask already is; says nothing.
            dtype: of the result; None for the model's.

        Returns:
            [B, 1, 1 or T, S]; of a decoder (`config.is_decoder`), without what comes later, [B, 1, T, S].

        Raises:
            ValueError: for a mask of another form.
        """
        dtype = self.dtype if dtype is None else dtype
        if attention_mask.dim() == 3:
            return self.invert_attention_mask(attention_mask, dtype)
        if attention_mask.dim() != 2:
            raise ValueError(f"an attention mask is [B, S] or [B, T, S], not {list(attention_mask.shape)}")
        if not getattr(self.config, "is_decoder", False):
            return self.invert_attention_mask(attention_mask, dtype)
        queries, keys = int(input_shape[-1]), attention_mask.shape[1]
        return AttentionMaskConverter(is_causal=True).to_4d(attention_mask, queries, dtype, keys)

    def invert_attention_mask(
        self, encoder_attention_mask: Tensor, dtype: torch.dtype | None = None
    ) -> Tensor:
        """A mask over an encoder's states as one that is added to scores.

        Args:
            encoder_attention_mask: [B, S], or [B, T, S], 1 for what counts.
            dtype: of the result; None for the model's.

        Returns:
            [B, 1, 1 or T, S].
        """
        dtype = self.dtype if dtype is None else dtype
        rows = encoder_attention_mask[:, None]
        rows = rows[:, :, None] if encoder_attention_mask.dim() == 2 else rows
        return (1.0 - rows.to(dtype)) * torch.finfo(dtype).min

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> Any:
        """Which heads count, for every layer.

        Args:
            head_mask: [H], or [layers, H], 1 for a head that counts; None for all.
            num_hidden_layers: layers.
            is_attention_chunked: one more axis at the end.

        Returns:
            [layers, 1, H, 1, 1] in the model's dtype; a list of None where all count.

        Raises:
            ValueError: for a mask of another form.
        """
        if head_mask is None:
            return [None] * num_hidden_layers
        if head_mask.dim() not in (1, 2):
            raise ValueError(f"a head mask is [H] or [layers, H], not {list(head_mask.shape)}")
        rows = head_mask.expand(num_hidden_layers, -1)
        found = rows[:, None, :, None, None].to(self.dtype)
        return found[..., None] if is_attention_chunked else found

    # -- parts and sizes ----------------------------------------------------------------------------

    def get_encoder(self) -> Any:
        """The encoder; the model itself where it is one stack. Models written by hand say their own."""
        return self._half("encoder")

    def get_decoder(self) -> Any:
        """The decoder, likewise."""
        return self._half("decoder")

    def set_encoder(self, encoder: nn.Module) -> None:
        """Put another encoder in the place of `get_encoder()`.

        Raises:
            TypeError: for a model that is one stack.
        """
        self._replace(self.get_encoder(), encoder, "encoder")

    def set_decoder(self, decoder: nn.Module) -> None:
        """Put another decoder in the place of `get_decoder()`; likewise."""
        self._replace(self.get_decoder(), decoder, "decoder")

    def _half(self, name: str) -> Any:
        base: Any = getattr(self, "base_model", self)
        if base is not self and hasattr(base, f"get_{name}"):
            return getattr(base, f"get_{name}")()
        return getattr(self, name, base)

    def _replace(self, part: nn.Module, by: nn.Module, name: str) -> None:
        whole: Any = self
        path = next((path for path, one in whole.named_modules() if one is part), "")
        if not path:
            raise TypeError(f"{type(self).__name__} is one stack: there is no {name} in it to replace")
        owner, _, leaf = path.rpartition(".")
        setattr(whole.get_submodule(owner), leaf, by)

    @Unset
    def vocab_size(self) -> int:
        """Tokens that the config says; of a model of several kinds of input, those of its text."""
        return int(self.config.get_text_config().vocab_size)

    @Unset
    def dummy_inputs(self) -> Mapping[str, Tensor]:
        """Ids [3, 5] that show the model once to what traces it."""
        return {"input_ids": torch.tensor(DUMMY_INPUTS)}

    def get_position_embeddings(self) -> nn.Module:
        """Refused, as by every model that has no method of its own for it.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(_POSITIONS.format(name=type(self).__name__))

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Likewise.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(_POSITIONS.format(name=type(self).__name__))

    # -- training -----------------------------------------------------------------------------------

    @property
    def loss_function(self) -> Callable[..., Any]:
        """The loss of this class's task, by the ecosystem's keywords; `formers.LOSS_MAPPING` has all.

        What is set here computes the loss where labels are given: of language models and taggers it is
        called with `logits`, `labels`, `vocab_size` or `config`, and `num_items_in_batch`.

        Raises:
            AttributeError: where no loss goes by the class's name.
        """
        module: Callable[..., Any] | None = self.__dict__["_modules"].get(
            "loss_function"
        )  # a subclass's part
        if own := self._own_loss or module:
            return own
        from formers.nn.named_losses import LOSS_MAPPING

        name = getattr(self.config, "loss_type", None) or loss_of(self, LOSS_MAPPING)
        if name not in LOSS_MAPPING:
            raise AttributeError(
                f"{type(self).__name__} has no loss_function; there are those of {', '.join(LOSS_MAPPING)}: "
                "set one of your own, or say config.loss_type"
            )
        return LOSS_MAPPING[name]

    @loss_function.setter
    def loss_function(self, value: Callable[..., Any]) -> None:
        self.__dict__["_own_loss"] = value

    @property
    def _gradient_checkpointing_func(self) -> Callable[..., Any]:
        """Runs a layer so that it is computed again in the backward pass: func(layer.__call__, *args)."""
        usual = partial(checkpoint, use_reentrant=False)
        found: Callable[..., Any] = self.__dict__.get("_checkpointing", usual)
        return found

    @_gradient_checkpointing_func.setter
    def _gradient_checkpointing_func(self, value: Callable[..., Any]) -> None:
        self.__dict__["_checkpointing"] = value

    def _checkpoint(self, enable: bool) -> None:
        """Call `_set_gradient_checkpointing`, in the form that a class written by hand has."""
        own: Any = self._set_gradient_checkpointing
        if "value" not in signature(own).parameters:
            own(enable, self._gradient_checkpointing_func)
            return
        whole: Any = self
        for module in whole.modules():
            own(module, value=enable)

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Any = None
    ) -> None:
        """Let every part recompute its layers, or no longer. Models written by hand have their own.

        An older form, `(module, value=False)`, is called for every part.
        """
        whole: Any = self
        for module in whole.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = enable
                by_hand = not type(module).__module__.startswith("formers.")
                if by_hand and enable and gradient_checkpointing_func is not None:
                    module._gradient_checkpointing_func = gradient_checkpointing_func

    @property
    def _hf_peft_config_loaded(self) -> bool:
        """Whether adapters lie in the model."""
        return bool(self.__dict__.get("peft_config"))


class ModuleUtilsMixin(Handwritten):
    """`Handwritten` for modules that are no `PreTrainedModel`."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the first parameter; torch's default without any."""
        module: Any = self
        return next((one.dtype for one in module.parameters()), torch.get_default_dtype())

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        module: Any = self
        return next((one.device for one in module.parameters()), torch.device("cpu"))

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of parameters; shared ones count once."""
        module: Any = self
        tables = {
            id(p) for one in module.modules() if isinstance(one, nn.Embedding) for p in one.parameters()
        }
        return sum(
            one.numel()
            for one in module.parameters()
            if (one.requires_grad or not only_trainable) and not (exclude_embeddings and id(one) in tables)
        )


# what a task's losses are called where its classes are not
_OF_TASKS = {"causal_lm": "ForCausalLM", "masked_lm": "ForMaskedLM", "seq2seq_lm": "ForCausalLM"}


def loss_of(model: Any, losses: Mapping[str, Any]) -> str:
    """The loss that a model's class says: `LlamaForCausalLM` -> `ForCausalLM`; empty where none."""
    name = type(model).__name__
    task = getattr(getattr(model, "_task", None), "key", "")
    return max((loss for loss in losses if loss in name), key=len, default=_OF_TASKS.get(task, ""))
