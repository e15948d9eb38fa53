"""Auto classes of adapters: the model that an adapter's files name, and the adapter on it."""

from __future__ import annotations

from typing import Any, ClassVar

from formers import auto
from formers.adapters.config import PeftConfig, TaskType
from formers.adapters.peft_model import PeftModel, class_for
from formers.hub import split_hub_keywords
from formers.hub.files import ADAPTER_CONFIG_NAME


class AutoPeftModel:
    """The model under an adapter of any task, with the adapter on it."""

    _base: ClassVar[str] = ""
    _task: ClassVar[TaskType | None] = None

    def __init__(self) -> None:
        name = type(self).__name__
        raise OSError(f"{name} is used through {name}.from_pretrained(name)")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        adapter_name: str = "default",
        is_trainable: bool = False,
        **options: Any,
    ) -> Any:
        """Load what an adapter goes on, and put it there.

        Args:
            pretrained_model_name_or_path: folder or Hub id of the adapter.
            adapter_name: what to call it.
            is_trainable: whether it is trained further; else it is frozen.
            options: keywords of the Hub, for the adapter; all others are the model's.

        Raises:
            OSError: when there is no adapter, or no such model.
            ValueError: for an adapter of another task, or one that does not say what it goes on.
        """
        hub, rest = split_hub_keywords(options)
        config = PeftConfig.from_pretrained(pretrained_model_name_or_path, **hub)
        base = config.base_model_name_or_path
        if not base:
            raise ValueError(
                f"the {ADAPTER_CONFIG_NAME} of {pretrained_model_name_or_path} does not say what the "
                "adapter goes on "
                "(base_model_name_or_path): load the model, then PeftModel.from_pretrained(model, adapter)"
            )
        own = {**hub, "revision": config.revision, "subfolder": ""}
        model = cls._class_of(config).from_pretrained(base, **own, **rest)
        return PeftModel.from_pretrained(
            model, pretrained_model_name_or_path, adapter_name, is_trainable, **hub
        )

    @classmethod
    def _class_of(cls, config: PeftConfig) -> Any:
        if cls._task is not None:
            if config.task_type not in (None, cls._task):
                raise ValueError(
                    f"Expected an adapter for {cls._task.value}, but this one is for "
                    f"{config.task_type}: {class_for(config).__name__.replace('Peft', 'AutoPeft')} loads it"
                )
            return getattr(auto, cls._base)
        if config.task_type is not None:
            name = class_for(config).__name__.replace("Peft", "AutoPeft")
            raise ValueError(f"AutoPeftModel takes adapters without a task; {name} loads this one")
        named = (config.auto_mapping or {}).get("base_model_class")
        if not named:
            raise ValueError("the adapter names neither a task nor a class of model: load the model yourself")
        return getattr(auto, str(named))


def _made(ending: str, base: str, task: TaskType) -> type[AutoPeftModel]:
    says = f"The model under an adapter for {task.value}, with the adapter on it."
    own = {"_base": base, "_task": task, "__doc__": says, "__module__": __name__}
    return type(f"AutoPeftModel{ending}", (AutoPeftModel,), own)


AutoPeftModelForCausalLM = _made("ForCausalLM", "AutoModelForCausalLM", TaskType.CAUSAL_LM)
AutoPeftModelForSeq2SeqLM = _made("ForSeq2SeqLM", "AutoModelForSeq2SeqLM", TaskType.SEQ_2_SEQ_LM)
AutoPeftModelForSequenceClassification = _made(
    "ForSequenceClassification", "AutoModelForSequenceClassification", TaskType.SEQ_CLS
)
AutoPeftModelForTokenClassification = _made(
    "ForTokenClassification", "AutoModelForTokenClassification", TaskType.TOKEN_CLS
)
AutoPeftModelForQuestionAnswering = _made(
    "ForQuestionAnswering", "AutoModelForQuestionAnswering", TaskType.QUESTION_ANS
)
AutoPeftModelForFeatureExtraction = _made("ForFeatureExtraction", "AutoModel", TaskType.FEATURE_EXTRACTION)
