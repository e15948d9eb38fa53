"""What optimum calls tasks and classes, and the tasks of the library that they are."""

from __future__ import annotations

from typing import Any

from formers.core.notices import did_you_mean
from formers.export.errors import ExportError

# class of a model in ONNX Runtime -> optimum's name of the task, and the library's tasks, best first; an
# empty one is the model without a head
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ORTModelForFeatureExtraction": ("feature-extraction", ("",)),
    "ORTModelForMaskedLM": ("fill-mask", ("masked_lm", "any_lm")),
    "ORTModelForSequenceClassification": ("text-classification", ("sequence_classification",)),
    "ORTModelForTokenClassification": ("token-classification", ("token_classification",)),
    "ORTModelForQuestionAnswering": (
        "question-answering",
        ("question_answering", "question_spans", "answers_after_question"),
    ),
    "ORTModelForMultipleChoice": ("multiple-choice", ("multiple_choice",)),
    "ORTModelForCausalLM": ("text-generation", ("causal_lm", "any_lm")),
    "ORTModelForSeq2SeqLM": ("text2text-generation", ("seq2seq_lm",)),
    "ORTModelForSpeechSeq2Seq": ("automatic-speech-recognition", ("speech_seq2seq", "transcription")),
    "ORTModelForVision2Seq": ("image-to-text", ("joined_captions",)),
    "ORTModelForImageClassification": ("image-classification", ("image_classification",)),
    "ORTModelForSemanticSegmentation": ("semantic-segmentation", ("semantic_segmentation",)),
    "ORTModelForImageToImage": ("image-to-image", ("image_to_image",)),
    "ORTModelForZeroShotImageClassification": (
        "zero-shot-image-classification",
        ("zero_shot_image_classification",),
    ),
    "ORTModelForAudioClassification": (
        "audio-classification",
        ("audio_classification", "spectrogram_classification"),
    ),
    "ORTModelForCTC": ("automatic-speech-recognition", ("ctc",)),
    "ORTModelForAudioFrameClassification": ("audio-frame-classification", ("audio_frame_classification",)),
    "ORTModelForAudioXVector": ("audio-xvector", ("audio_xvector",)),
}
WITH_PAST = "-with-past"
_SPELLED = {
    "default": "feature-extraction",
    "sentence-similarity": "feature-extraction",
    "masked-lm": "fill-mask",
    "causal-lm": "text-generation",
    "seq2seq-lm": "text2text-generation",
    "sequence-classification": "text-classification",
    "summarization": "text2text-generation",
    "translation": "text2text-generation",
    "speech2seq-lm": "automatic-speech-recognition",
    "vision2seq-lm": "image-to-text",
    "image-segmentation": "semantic-segmentation",
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
}


def ending_of(family: Any, tasks: tuple[str, ...]) -> str | None:
    """The ending of a family's class for the first of those tasks that it has; None where it has none."""
    for task in tasks:
        if not task and family.bare:
            return "Model"
        for ending, head in family.heads.items():
            if head.task == task:
                return str(ending)
    return None


def ending_for(family: Any, task: str) -> tuple[str, bool | None]:
    """The ending of a family's class for optimum's name of a task, and whether it says that it has a past.

    Raises:
        ExportError: for an unknown name, or a task that the family has no head for, naming those that it has.
    """
    plain, past = task.removesuffix(WITH_PAST), (True if task.endswith(WITH_PAST) else None)
    plain = _SPELLED.get(plain, plain)
    known = {name for name, _ in KINDS.values()} | {head.task for head in family.heads.values()}
    if plain not in known:
        raise ExportError(
            f"there is no task {task!r}{did_you_mean(plain, known)}; known are {_listed(known)}"
        )
    for name, tasks in [*KINDS.values(), (plain, (plain,))]:
        ending = ending_of(family, tasks) if name == plain else None
        if ending is not None:
            return ending, past
    able = {name for name, tasks in KINDS.values() if ending_of(family, tasks) is not None}
    raise ExportError(f"{family.name} has no head for {task!r}; it has those for {_listed(able)}")


def kind_of(model_class: Any) -> str:
    """The class in ONNX Runtime for a class of models; `ORTModelForCustomTasks` for any other."""
    task = getattr(model_class, "_task", None)
    key = "" if task is None else task.key
    for name, (_, tasks) in KINDS.items():
        if key in tasks:
            return name
    return "ORTModelForCustomTasks"


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))
