"""PreTrainedModel: what every model can do besides computing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from formers.adapters.mixin import Adaptable
from formers.configs import GenerationConfig, PretrainedConfig
from formers.core.notices import notice, refuse_unknown
from formers.hub import Pushable
from formers.model.building import is_for_a_checkpoint, may_be_empty
from formers.model.handwritten import Handwritten
from formers.model.initialise import initialise, mark_filled, unfilled
from formers.model.structure import crossing_prefixes, input_tables, parts_of, pooler_prefix, token_path
from formers.nn.attend import backend
from formers.nn.tree import Block, place
from formers.quantization.packed import PackedLinear

if TYPE_CHECKING:
    from typing_extensions import Self

    from formers.checkpoints import LoadReport


class _LastLoad:
    """`model.load_report`; a part or an attribute of that name, in a class of one's own, comes first."""

    def __get__(self, model: PreTrainedModel | None, owner: type) -> Any:
        if model is None:
            return self
        held = {**model._parameters, **model._buffers, **model._modules}
        return held.get("load_report", model._last_load)


class _TiedNames:
    """The names that share another's parameter, and that one's; models may set their own.

    Older code takes them for a list of those names, and finds them so.
    """

    def __get__(self, model: Any, kind: Any = None) -> dict[str, str] | None:
        return None if model is None else dict(model.all_tied_weights_keys)


class PreTrainedModel(Block, Handwritten, Adaptable, Pushable):
    """Base of all models: configuration, loading, saving, embeddings, freezing, checkpointing.

    Attributes:
        config: the model's configuration.
        load_report: what the last `from_pretrained` found, None for a model made from a config.
        generation_config: how text is generated from it, where it can be.
    """

    config_class: ClassVar[type[PretrainedConfig]] = PretrainedConfig
    base_model_prefix: ClassVar[str] = ""
    main_input_name: ClassVar[str] = "input_ids"
    accepts_loss_kwargs: ClassVar[bool] = True
    _saving_keywords: ClassVar[tuple[str, ...]] = ("max_shard_size", "safe_serialization", "variant", "tags")
    supports_gradient_checkpointing: ClassVar[bool] = True
    tp_size: int | None = None  # how many processes share the weights; None where none do
    model_tags: list[str] | None = None  # what the model card says beside its own
    load_report: ClassVar[LoadReport | None] = _LastLoad()  # type: ignore[assignment]

    _family: ClassVar[Any] = None  # classes of one's own have none
    _exporter: ClassVar[str] = ""  # the module above this one that writes graphs of such models
    _task: ClassVar[Any] = None  # what is computed over the base model
    _unread: ClassVar[tuple[str, ...]] = ()  # expressions for names in checkpoints that this class leaves be
    _unsaved: ClassVar[tuple[str, ...]] = ()  # names that its files lack, because a rule gives the values
    _last_load: LoadReport | None = None  # what `load_report` shows

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("formers.") and "__init__" in vars(cls):
            cls.__init__ = may_be_empty(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, config: PretrainedConfig, *args: Any, **options: Any) -> None:
        super().__init__()
        if args or options:
            given = [*(repr(value) for value in args), *options]
            raise TypeError(
                f"{type(self).__name__} takes a configuration alone, but got {', '.join(given)} too; "
                f"set fields of the configuration instead"
            )
        if not isinstance(config, PretrainedConfig):
            raise TypeError(
                f"{type(self).__name__} takes a configuration, but got {type(config).__name__}; "
                f"to load a checkpoint, use {type(self).__name__}.from_pretrained(name)"
            )
        self.config = config
        self.name_or_path = str(config.name_or_path or "")
        self.gradient_checkpointing = False
        self.generation_config = GenerationConfig.from_model_config(config) if self.can_generate() else None
        self.warnings_issued: dict[str, bool] = {}

    # -- making and loading ------------------------------------------------------------------------

    @classmethod
    def _from_config(cls, config: PretrainedConfig, *, dtype: Any = None, **options: Any) -> Self:
        """A model with random weights."""
        from formers.core.devices import named_dtype
        from formers.model.loading import set_attention

        dtype = options.pop("torch_dtype", dtype)
        set_attention(config, options)
        model = cls(config, **options)
        return model if dtype in (None, "auto") else _cast(model, named_dtype(dtype))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Any:
        """Load a checkpoint from a folder or a Hub id.

        Args:
            pretrained_model_name_or_path: folder or `owner/name`.
            args: passed to the constructor.
            options: `config`, `dtype` (or `torch_dtype`; "auto" by default: as stored), `device_map`,
                `ignore_mismatched_sizes`, `attn_implementation`, `output_loading_info`, `state_dict`,
                `use_safetensors`, `variant`, `key_mapping` (regular expression -> what stands in its
                place in names of the files), `offload_folder`, the Hub keywords (`revision`, `subfolder`,
                `token`, `cache_dir`, `local_files_only`, `force_download`), and any field of the config.
                `tp_plan="auto"` splits the weights over the processes that torchrun started, `tp_size` or
                those of `device_mesh`; all of them read the same batches, and save together.

        Returns:
            The model in evaluation mode; with `output_loading_info=True` a pair with the loading info.

        Raises:
            OSError: when there is no such checkpoint.
            LoadError: when weights of the trunk are missing or do not fit; it lists them all.
            TypeError: for a keyword that is neither an option nor a config field.
        """
        from formers.model.loading import load_pretrained

        return load_pretrained(cls, pretrained_model_name_or_path, args, options)

    def add_model_tags(self, tags: str | Sequence[str]) -> None:
        """Add to the tags that the model card gets when the model is saved or uploaded."""
        new = [tags] if isinstance(tags, str) else list(tags)
        self.model_tags = list(dict.fromkeys([*(self.model_tags or ()), *new]))

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Write weights, config and model card to a folder, atomically.

        Args:
            save_directory: created when missing.
            options: `is_main_process`, `state_dict`, `max_shard_size` ("5GB"), `safe_serialization`
                (True), `variant`, `push_to_hub` with `repo_id`, `private`, `commit_message`, `token`.

        Raises:
            TypeError: for an unknown keyword. `export=True` writes ONNX graphs in place of weights.
            OSError: when the path is a file.
        """
        from formers.model.saving import save_pretrained

        save_pretrained(self, Path(save_directory), options)

    def post_init(self) -> None:
        """Finish construction: tie weights, and draw fresh values for what has none.

        What was loaded, resized, or drawn before stays, and so does what a constructor set itself. Nothing is
        drawn on the meta device, nor for a model that `from_pretrained` makes.
        """
        self.tie_weights()
        if not is_for_a_checkpoint() and not any(p.is_meta for p in self.parameters()):
            self._initialise_weights(unfilled(self))
            mark_filled(self)

    init_weights = post_init

    def _initialise_weights(self, names: list[str]) -> None:
        """Draw fresh values for the named parameters, where their constructors left none that count.

        A subclass with an `_init_weights` of its own is then asked, for every module of which no parameter
        has other values already.
        """
        self._draw(names)
        if type(self)._init_weights is not PreTrainedModel._init_weights:
            fresh = set(names)
            for path, module in reversed(list(self.named_modules())):  # parts before what they are parts of
                own = [f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters()]
                if own and fresh.issuperset(own):
                    self._init_weights(module)

    def _draw(self, names: list[str], anew: bool = False) -> None:
        """Draw values as this model's config wants them, and for each of its parts as that's does."""
        own = set(names)
        for path, part in parts_of(self).items():
            inside = [name for name in names if name.startswith(f"{path}.")]
            own.difference_update(inside)
            part._draw([name.removeprefix(f"{path}.") for name in inside], anew)
        initialise(self, [name for name in names if name in own], *self._initial_deviations(), anew=anew)

    def _init_weights(self, module: nn.Module) -> None:
        """Draw fresh values for what `module`, a part of this model, holds itself.

        Subclasses may choose others. `part.apply(model._init_weights)` starts a part of the model anew.
        """
        path = next((path for path, part in self.named_modules() if part is module), None)
        if path is not None:
            names = [f"{path}.{name}".lstrip(".") for name, p in module._parameters.items() if p is not None]
            self._draw(names, anew=True)

    def _initial_deviations(self) -> tuple[float, Mapping[str, float]]:
        """The standard deviation of fresh weights, and exceptions by ending of the name."""
        std = getattr(self.config, "initializer_range", None) or getattr(self.config, "init_std", None)
        return float(std or 0.02), {}

    # -- structure ----------------------------------------------------------------------------------

    @property
    def base_model(self) -> nn.Module:
        """The model under the head; itself when it has none."""
        return getattr(self, self.base_model_prefix, self) if self.base_model_prefix else self

    @property
    def tp_plan(self) -> dict[str, str]:
        """Which leaves `tp_plan="auto"` splits, by pattern: "colwise" or "rowwise"."""
        from formers.model.tensor_parallel import plan_of

        return plan_of(self)

    _tp_plan = tp_plan

    @property
    def supports_tp_plan(self) -> bool:
        """Whether there are any."""
        return bool(self.tp_plan)

    def _tied_weights(self) -> dict[str, str]:
        """Names of parameters that are another's twin: target -> source."""
        return {}

    def _settle(self, names: list[str]) -> None:
        """Let what a checkpoint holds, by the names of its tensors, decide what the config leaves open."""

    def _optional_parts(self) -> list[str]:
        """Prefixes of names that many checkpoints lack: the pooler's, and cross attention's."""
        prefix = pooler_prefix(self)
        return crossing_prefixes(self) + ([] if prefix is None else [prefix])

    def _tagged_task(self) -> tuple[str | None, bool]:
        """What the Hub calls this model's task, if it has a name for it, and whether its labels are shown."""
        return "feature-extraction", False

    def tie_weights(self) -> None:
        """Make tied parameters one object, except those that a checkpoint held apart."""
        apart = self._last_load.untied if self._last_load is not None else ()
        for target, source in self._tied_weights().items():
            if target in apart:
                continue
            owner, _, leaf = target.rpartition(".")
            from_owner, _, from_leaf = source.rpartition(".")
            parameter = getattr(self.get_submodule(from_owner), from_leaf)
            setattr(self.get_submodule(owner), leaf, parameter)

    @property
    def all_tied_weights_keys(self) -> dict[str, str]:
        """The ecosystem's name of `_tied_weights`."""
        return self._tied_weights()

    _tied_weights_keys: Any = _TiedNames()

    def get_input_embeddings(self) -> nn.Module:
        """The token table."""
        table: nn.Module = self.get_submodule(token_path(self))
        return table

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token table."""
        mark_filled(value)
        base = self.base_model
        if base is not self and isinstance(base, PreTrainedModel):
            base.set_input_embeddings(value)
        else:
            place(self, "token", token_path(self), value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The output table of a language-model head, or None."""
        return None

    def _tables_beside(self) -> tuple[nn.Linear, ...]:
        """Linear leaves with one input for each token, which grow with the vocabulary."""
        return ()

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output table."""
        raise TypeError(f"{type(self).__name__} has no output embeddings")

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Module:
        """Give the model room for `new_num_tokens` tokens and return the token table.

        New rows are the mean of the old ones with a little noise (`mean_resizing`), or drawn afresh.
        Output tables and biases grow along, tied or not.
        """
        from formers.model.vocabulary import resize

        return resize(self, new_num_tokens, pad_to_multiple_of, mean_resizing)

    # -- training -----------------------------------------------------------------------------------

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Any = None) -> None:
        """Recompute layers in the backward pass: less memory, more time.

        Args:
            gradient_checkpointing_kwargs: `{"use_reentrant": False}` or None; layers are recomputed without
                re-entrant autograd, whose results are the same.

        Raises:
            TypeError: for any other setting.
        """
        given = dict(gradient_checkpointing_kwargs or {})
        refuse_unknown(given, ("use_reentrant",), "gradient_checkpointing_kwargs")
        if given.get("use_reentrant"):
            notice("use_reentrant=True has no effect: layers are recomputed without it, to the same results")
        self._checkpoint(True)

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        self._checkpoint(False)

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: Any = None) -> None:
        """The newer name of `gradient_checkpointing_enable`."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs)

    activation_checkpointing_disable = gradient_checkpointing_disable

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether any part recomputes its layers."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def freeze_base(self) -> None:
        """Train the head alone: the base model's parameters get no gradients."""
        for parameter in self.base_model.parameters():
            parameter.requires_grad_(False)

    def freeze_embeddings(self) -> None:
        """The input tables get no gradients."""
        for parameter in self.get_input_embeddings().parameters():
            parameter.requires_grad_(False)

    def enable_input_require_grads(self) -> None:
        """Let gradients reach the embeddings' output, as adapters under checkpointing need."""

        def require(_: nn.Module, __: Any, output: Tensor) -> None:
            output.requires_grad_(True)

        tables = dict.fromkeys((*input_tables(self), self.get_input_embeddings()))  # which stacks may share
        self._require_grads_hooks = [table.register_forward_hook(require) for table in tables]

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`."""
        for hook in self._require_grads_hooks:
            hook.remove()

    # -- facts --------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the first parameter lives."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the first floating-point parameter, else of the first; torch's default without any."""
        floating = (p.dtype for p in self.parameters() if p.dtype.is_floating_point)
        found = next(floating, None)
        return found or next((p.dtype for p in self.parameters()), torch.get_default_dtype())

    @classmethod
    def can_generate(cls) -> bool:
        """Whether there is a head that predicts the next token."""
        return False

    @property
    def framework(self) -> str:
        """Always "pt"."""
        return "pt"

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of parameters; tied ones count once, packed ones as the numbers that they hold."""
        packed = {id(m.weight): m for m in self.modules() if isinstance(m, PackedLinear)}
        tables = {id(p) for m in self.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        return sum(
            (held.in_features * held.out_features if (held := packed.get(id(p))) else p.numel())
            for p in self.parameters()
            if (p.requires_grad or not only_trainable) and not (exclude_embeddings and id(p) in tables)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes held by parameters, and buffers too."""
        held = sum(p.nbytes for p in self.parameters())
        held += sum(getattr(part, "packed_bytes", 0) for part in self.modules())
        return held + (sum(b.nbytes for b in self.buffers()) if return_buffers else 0)

    def set_attn_implementation(self, name: str) -> None:
        """Choose how attention is computed: "eager", "sdpa" or "flex_attention"."""
        backend(name)
        self.config.attn_implementation = name


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """The model in another dtype, less the tensors that a module keeps in float32."""
    kept = [
        (part, name, getattr(part, name).data)
        for part in model.modules()
        for name in getattr(part, "_keep_float32", ())
    ]
    model.to(dtype)
    for part, name, value in kept:
        getattr(part, name).data = value
    return model
