"""`PeftModel`: a model with adapters on it, saved and loaded as its adapters alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from formers.adapters.config import PeftConfig, PeftType, TaskType
from formers.adapters.layer import AdapterLayer
from formers.adapters.methods import tuner_for
from formers.adapters.mixed import MixedModel, check_mixed
from formers.adapters.rows import carrying, each_by_its_own
from formers.adapters.state import (
    check_loaded,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
    write_weights,
)
from formers.adapters.status import get_layer_status, get_model_status
from formers.adapters.tuner import Tuner, parts_of
from formers.core.notices import notice, refuse_unknown
from formers.hub import (
    HUB_KEYWORDS,
    PUSH_KEYWORDS,
    Pushable,
    push_saved,
    split_hub_keywords,
    split_push_keywords,
)
from formers.nn.tree import Block


class PeftModel(Pushable, nn.Module):
    """A model with adapters.

    Attributes:
        base_model: the tuner, whose `model` is the model itself.
        peft_config: name -> config of the adapters.
        active_adapter: the name of the one that computes.
    """

    _saving_keywords: ClassVar[tuple[str, ...]] = (
        *("safe_serialization", "selected_adapters", "save_embedding_layers", "is_main_process"),
    )
    _saved_heads: ClassVar[tuple[str, ...]] = ()  # ends of paths that are trained and saved whole

    def __init__(
        self,
        model: nn.Module,
        peft_config: PeftConfig,
        adapter_name: str = "default",
        autocast_adapter_dtype: bool = True,
        low_cpu_mem_usage: bool = False,
    ) -> None:
        super().__init__()
        self._claim_heads(peft_config)
        self.peft_type = PeftType(peft_config.peft_type)
        self.base_model: Tuner = self._tuner_for(peft_config)(
            model, {adapter_name: peft_config}, adapter_name, low_cpu_mem_usage
        )
        _widen(self, adapter_name, autocast_adapter_dtype)
        checkpointing = getattr(model, "is_gradient_checkpointing", False)
        if checkpointing and not isinstance(model, Block) and hasattr(model, "enable_input_require_grads"):
            model.enable_input_require_grads()  # type: ignore[operator]  # a method: ours recompute layers in any case

    def _tuner_for(self, config: PeftConfig) -> type[Tuner]:
        return tuner_for(config)

    def _refuse(self, config: PeftConfig) -> None:
        if config.peft_type != self.peft_type:
            raise ValueError(
                f"Cannot combine adapters with different peft types. Found {self.peft_type.value} and "
                f"{PeftType(config.peft_type).value}: get_peft_model(..., mixed=True) can mix some"
            )

    def _claim_heads(self, config: Any) -> None:
        own = list(config.modules_to_save or ()) if hasattr(config, "modules_to_save") else []
        if self._saved_heads:
            config.modules_to_save = [*own, *(name for name in self._saved_heads if name not in own)]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model, name)

    def forward(self, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """As the model; `adapter_names` names an adapter for every row, "__base__" for none."""
        with each_by_its_own(self.base_model, adapter_names):
            return self.base_model(*args, **kwargs)

    def generate(self, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """As the model; `adapter_names` as in `forward`."""
        with each_by_its_own(self.base_model, adapter_names):
            return self.base_model.generate(*args, **kwargs, **carrying(adapter_names))

    # -- what it holds ---------------------------------------------------------------------------------

    @property
    def peft_config(self) -> dict[str, PeftConfig]:
        """Name -> config of the adapters."""
        found: dict[str, PeftConfig] = self.base_model.peft_config
        return found

    @property
    def active_adapter(self) -> str:
        """The name of the first that computes."""
        return next(iter(self.active_adapters), "default")

    @property
    def active_adapters(self) -> list[str]:
        """Names of those that compute."""
        return self.base_model.active_adapters

    @property
    def active_peft_config(self) -> PeftConfig:
        """The config of the active adapter."""
        return self.peft_config[self.active_adapter]

    @property
    def modules_to_save(self) -> set[str] | None:
        """Ends of the paths of the modules that are trained and saved whole."""
        named = [getattr(config, "modules_to_save", None) or () for config in self.peft_config.values()]
        return {name for names in named for name in names} or None

    def get_base_model(self) -> Any:
        """The model, with the adapters in it."""
        return self.base_model.model

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """Numbers that are trained, and all."""
        counts = [(parameter.numel(), parameter.requires_grad) for parameter in self.parameters()]
        return sum(count for count, trained in counts if trained), sum(count for count, _ in counts)

    def print_trainable_parameters(self) -> None:
        """Print how much is trained."""
        trained, every = self.get_nb_trainable_parameters()
        print(
            f"trainable params: {trained:,d} || all params: {every:,d} || trainable%: "
            f"{100 * trained / every:.4f}"
        )

    def get_layer_status(self) -> list[Any]:
        """How every adapted module stands; see `get_layer_status`."""
        return get_layer_status(self)

    def get_model_status(self) -> Any:
        """How the adapters stand altogether; see `get_model_status`."""
        return get_model_status(self)

    # -- adapters --------------------------------------------------------------------------------------

    def add_adapter(
        self,
        adapter_name: str,
        peft_config: PeftConfig,
        low_cpu_mem_usage: bool = False,
        autocast_adapter_dtype: bool = True,
    ) -> None:
        """Put another adapter beside those that are there; `set_adapter` makes it the active one.

        Raises:
            ValueError: for a name that is taken, or another method than the first one's.
        """
        if adapter_name in self.peft_config:
            raise ValueError(f"Adapter with name '{adapter_name}' already exists.")
        self._refuse(peft_config)
        self._claim_heads(peft_config)
        self.base_model.inject_adapter(adapter_name, peft_config, low_cpu_mem_usage)
        _widen(self, adapter_name, autocast_adapter_dtype)

    def set_adapter(self, adapter_name: str | Sequence[str], inference_mode: bool = False) -> None:
        """Let one adapter compute and train, or several; see `Tuner.set_adapter`."""
        self.base_model.set_adapter(adapter_name, inference_mode)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The model without its adapters, inside a `with`."""
        enabled = not self.base_model.disabled
        frozen = [p for p in self.parameters() if not p.requires_grad]
        self.base_model.disable_adapter_layers()
        try:
            yield
        finally:
            if enabled:
                self.base_model.enable_adapter_layers()
                for parameter in frozen:
                    parameter.requires_grad_(False)

    # -- files -----------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Write the adapters alone: "default" into the folder, others into folders of their names.

        Args:
            save_directory: created when missing.
            options: `safe_serialization` (True), `selected_adapters` (all), `save_embedding_layers` ("auto"),
                `is_main_process` (True), `state_dict`, `push_to_hub` with the keywords of an upload.

        Raises:
            OSError: when the path is a file.
            ValueError: for an adapter that is not there.
        """
        save_adapters(self, Path(save_directory), options)

    @classmethod
    def from_pretrained(
        cls,
        model: nn.Module,
        model_id: Any,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: PeftConfig | None = None,
        autocast_adapter_dtype: bool = True,
        low_cpu_mem_usage: bool = False,
        **options: Any,
    ) -> Any:
        """Put a saved adapter on a model.

        Args:
            model: the model that it goes on, which is changed.
            model_id: folder or Hub id of the adapter.
            adapter_name: what to call it.
            is_trainable: whether it is trained further; else it is frozen, and the model in evaluation mode.
            config: in place of the adapter's own.
            autocast_adapter_dtype: half precision becomes float32 in the adapter.
            low_cpu_mem_usage: nothing is drawn before the weights are read.
            options: keywords of the Hub, `torch_device`, `ignore_mismatched_sizes`.

        Raises:
            OSError: when there is no adapter.
            LoadError: when it is another model's.
        """
        hub, _ = split_hub_keywords(options)
        config = PeftConfig.from_pretrained(model_id, **hub) if config is None else config
        if not isinstance(config, PeftConfig):
            raise ValueError(f"The input config must be a PeftConfig, got {type(config)}")
        config.inference_mode = not is_trainable
        how = {"autocast_adapter_dtype": autocast_adapter_dtype, "low_cpu_mem_usage": low_cpu_mem_usage}
        made = (cls if issubclass(cls, PeftMixedModel) else class_for(config, cls))(
            model, config, adapter_name, **how
        )
        made.load_adapter(model_id, adapter_name, is_trainable, autocast_adapter_dtype, **options)
        return made

    def load_adapter(
        self,
        model_id: Any,
        adapter_name: str,
        is_trainable: bool = False,
        autocast_adapter_dtype: bool = True,
        low_cpu_mem_usage: bool = False,
        **options: Any,
    ) -> Any:
        """Put another saved adapter beside those that are there; see `from_pretrained`.

        Returns:
            What was missing and what had no place, both empty.
        """
        allowed = (*HUB_KEYWORDS, "torch_device", "ignore_mismatched_sizes")
        refuse_unknown(options, allowed, "load_adapter")
        hub, rest = split_hub_keywords(options)
        if adapter_name not in self.peft_config:
            config = PeftConfig.from_pretrained(model_id, **hub)
            config.inference_mode = not is_trainable
            self.add_adapter(adapter_name, config, low_cpu_mem_usage, autocast_adapter_dtype)
            if is_trainable:
                self.base_model.set_requires_grad(adapter_name)
        tensors = load_peft_weights(model_id, rest.get("torch_device"), **hub)
        ignore = bool(rest.get("ignore_mismatched_sizes"))
        found = set_peft_model_state_dict(self, tensors, adapter_name, ignore_mismatched_sizes=ignore)
        check_loaded(found, model_id, self.get_base_model())
        if not is_trainable:
            self.eval()
        return found

    def load_adapter_weights(self, folder: str | os.PathLike[str]) -> None:
        """Take the weights of a checkpoint into the adapters that are here."""
        load_weights(self, Path(folder))


class PeftModelForSequenceClassification(PeftModel):
    """A classifier of sequences with adapters; its head is trained and saved too."""

    _saved_heads = ("classifier", "score")


class PeftModelForTokenClassification(PeftModel):
    """A classifier of tokens with adapters; its head is trained and saved too."""

    _saved_heads = ("classifier", "score")


class PeftModelForQuestionAnswering(PeftModel):
    """A finder of answers with adapters; its head is trained and saved too."""

    _saved_heads = ("qa_outputs",)


class PeftModelForCausalLM(PeftModel):
    """A language model with adapters."""


class PeftModelForSeq2SeqLM(PeftModel):
    """A model from text to text with adapters."""


class PeftModelForFeatureExtraction(PeftModel):
    """A model without a head, with adapters."""


class PeftMixedModel(PeftModel):
    """A model with adapters of several methods, as far as these add to weights; it is not saved as one."""

    def _tuner_for(self, config: PeftConfig) -> type[Tuner]:
        self._refuse(config)
        return MixedModel

    def _refuse(self, config: PeftConfig) -> None:
        check_mixed(config)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """There are no files for adapters of several methods.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "Saving is not supported for PeftMixedModel: save each on a model of its own"
        )


CLASSES: dict[TaskType, type[PeftModel]] = {
    TaskType.SEQ_CLS: PeftModelForSequenceClassification,
    TaskType.SEQ_2_SEQ_LM: PeftModelForSeq2SeqLM,
    TaskType.CAUSAL_LM: PeftModelForCausalLM,
    TaskType.TOKEN_CLS: PeftModelForTokenClassification,
    TaskType.QUESTION_ANS: PeftModelForQuestionAnswering,
    TaskType.FEATURE_EXTRACTION: PeftModelForFeatureExtraction,
}


def class_for(config: PeftConfig, usual: type[PeftModel] = PeftModel) -> type[PeftModel]:
    """The class that a config's task asks for."""
    return usual if config.task_type is None else CLASSES[TaskType(config.task_type)]


def get_peft_model(
    model: nn.Module,
    peft_config: PeftConfig,
    adapter_name: str = "default",
    mixed: bool = False,
    autocast_adapter_dtype: bool = True,
    revision: str | None = None,
    low_cpu_mem_usage: bool = False,
) -> Any:
    """Put a fresh adapter on a model, which is changed and frozen: only the adapter is trained.

    Args:
        model: any module; the usual targets are known for models of this library.
        peft_config: the method and its settings; its `task_type` decides the class.
        adapter_name: what to call it.
        mixed: adapters of other methods may be put beside it: a `PeftMixedModel`.
        autocast_adapter_dtype: on a model in half precision, the adapter is float32.
        revision: of the model, noted in the config.
        low_cpu_mem_usage: draw no values, for an adapter whose weights are read next.

    Raises:
        ValueError: for targets that are not there or cannot be adapted.
    """
    if any(True for _ in parts_of(model)):
        notice(
            "You are trying to modify a model with PEFT for a second time: adapters are in it already. "
            "To start "
            "anew, call unload() or merge_and_unload() first; to put one beside the others, add_adapter"
        )
    peft_config.base_model_name_or_path = model.__dict__.get("name_or_path") or None
    peft_config.revision = revision or peft_config.revision
    made = PeftMixedModel if mixed else class_for(peft_config)
    return made(model, peft_config, adapter_name, autocast_adapter_dtype, low_cpu_mem_usage)


def inject_adapter_in_model(
    peft_config: PeftConfig, model: nn.Module, adapter_name: str = "default", low_cpu_mem_usage: bool = False
) -> nn.Module:
    """Put a fresh adapter on a model's leaves, and return the model itself.

    Raises:
        ValueError: for prompts, which go around a model; else as `get_peft_model`.
    """
    if peft_config.is_prompt_learning:
        raise ValueError(f"{peft_config.peft_type} goes around a model: get_peft_model(model, config)")
    return tuner_for(peft_config)(model, peft_config, adapter_name, low_cpu_mem_usage).model


def _widen(model: Any, name: str, wanted: bool) -> None:
    """Adapters in half precision become float32."""
    if not wanted or not model.base_model.widens:
        return
    for _, part in parts_of(model):
        for kind in part.adapter_layer_names if isinstance(part, AdapterLayer) else ():
            table = getattr(part, kind)
            held = [table[name]] if name in table else []
            for parameter in (
                p for one in held for p in ([one] if isinstance(one, nn.Parameter) else one.parameters())
            ):
                if parameter.dtype in (torch.float16, torch.bfloat16):
                    parameter.data = parameter.data.float()


def save_adapters(model: Any, folder: Path, options: dict[str, Any]) -> None:
    """The body of `save_pretrained` of a model with adapters."""
    allowed = (
        "safe_serialization",
        "selected_adapters",
        "save_embedding_layers",
        "is_main_process",
        "state_dict",
    )
    refuse_unknown(options, (*allowed, "push_to_hub", *PUSH_KEYWORDS), "save_pretrained")
    if folder.is_file():
        raise OSError(f"Provided path ({folder}) should be a directory, not a file")
    names = (
        list(model.peft_config) if options.get("selected_adapters") is None else options["selected_adapters"]
    )
    unknown = [name for name in names if name not in model.peft_config]
    if unknown:
        raise ValueError(f"selected_adapters names {unknown}; there are {list(model.peft_config)}")
    if not options.get("is_main_process", True):
        return
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        config, home = model.peft_config[name], folder if name == "default" else folder / name
        home.mkdir(exist_ok=True)
        wanted = options.get("save_embedding_layers", "auto")
        tensors = get_peft_model_state_dict(model, options.get("state_dict"), name, wanted)
        if model is inner:
            tensors = {f"base_model.model.{key}": value for key, value in tensors.items()}
        write_weights(tensors, home, options.get("safe_serialization", True))
        _save_config(config, inner, home)
    _write_card(model, inner, folder)
    if options.get("push_to_hub"):
        push_saved(folder, split_push_keywords(options)[0])


def _save_config(config: Any, inner: nn.Module, home: Path) -> None:
    config.base_model_name_or_path = (
        config.base_model_name_or_path or inner.__dict__.get("name_or_path") or None
    )
    mode, config.inference_mode = config.inference_mode, True
    kind = type(inner)
    ours = kind.__module__.startswith("formers.")
    parent = "transformers" if ours else kind.__module__  # as readers know it
    of = {"base_model_class": kind.__name__, "parent_library": parent}
    config.save_pretrained(home, auto_mapping_dict=of if config.task_type is None else None)
    config.inference_mode = mode


def _write_card(model: Any, inner: Any, folder: Path) -> None:
    from formers.hub.card import model_card, save_card

    if (folder / "README.md").exists():
        return
    base = inner.__dict__.get("name_or_path") or None
    tagged = getattr(inner, "_tagged_task", None)
    save_card(
        folder,
        model_card(
            name=folder.name,
            base_model=base if base and base.count("/") == 1 else None,
            task=tagged()[0] if callable(tagged) else None,
            tags=[
                *sorted({str(config.peft_type.value).lower() for config in model.peft_config.values()}),
                "adapter",
            ],
            library="peft",
        ),
    )


def load_weights(model: Any, folder: Path) -> None:
    """Take the weights of a folder into the adapters of a model, each from where `save_adapters` puts it."""
    for name in model.peft_config:
        home = folder if name == "default" else folder / name
        found = set_peft_model_state_dict(model, load_peft_weights(str(home)), name)
        check_loaded(found, home, model)
