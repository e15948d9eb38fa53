"""Which Auto class takes which tasks, and the task of a model; `records` has the tasks themselves.

Plain data, so that names cost no import.
"""

from __future__ import annotations

from typing import Any

from formers.tasks.records import TASKS, Task

__all__ = ["AUTO", "TASKS", "Task", "task_of"]

# Auto classes that take more than their own task: name -> tasks in order of preference, and what it is for
_WIDER: dict[str, tuple[tuple[str, ...], str]] = {
    "AutoModelForZeroShotObjectDetection": (
        ("open_vocabulary_detection", "grounded_detection"),
        TASKS["open_vocabulary_detection"].says,
    ),
    "AutoModelForAudioClassification": (
        ("audio_classification", "spectrogram_classification"),
        TASKS["audio_classification"].says,
    ),
    "AutoModelForImageClassification": (
        ("image_classification", "timm_classification"),
        TASKS["image_classification"].says,
    ),
    "AutoModelForCTC": (("ctc", "spelled_rows"), TASKS["ctc"].says),
    "AutoModelForTextToWaveform": (
        ("text_to_waveform", "text_to_speech_translation", "staged_speech", "codes_of_texts"),
        TASKS["text_to_waveform"].says,
    ),
    "AutoModelForDepthEstimation": (("depth_estimation", "metric_depth"), TASKS["depth_estimation"].says),
    "AutoModelForCausalLM": (
        ("causal_lm", "permuted_lm", "any_lm", "captions", "multimodal_lm"),
        TASKS["causal_lm"].says,
    ),
    "AutoModelForMaskedLM": (
        ("masked_lm", "any_lm", "hidden_entities", "seq2seq_lm"),
        TASKS["masked_lm"].says,
    ),
    "AutoModelForSeq2SeqLM": (
        ("seq2seq_lm", "text_translation", "joined_generation", "audio_text_to_text"),
        TASKS["seq2seq_lm"].says,
    ),
    "AutoModelForSpeechSeq2Seq": (
        ("speech_seq2seq", "speech_translation", "transcription"),
        TASKS["speech_seq2seq"].says,
    ),
    "AutoModelForPreTraining": (
        (
            "pretraining",
            "picture_pretraining",
            "crossed_pretraining",
            "united_pretraining",
            "pictured_generation",
            "replaced_tokens",
            "sentence_order",
            "recurring_spans",
            "seq2seq_lm",
            "masked_lm",
            "any_lm",
            "hidden_entities",
            "causal_lm",
            "captions",
            "permuted_lm",
            "masked_autoencoding",
            "masked_video",
            "masked_image_modeling",
            "cluster_pretraining",
            "contrastive_pretraining",
            "unit_pretraining",
        ),
        TASKS["pretraining"].says,
    ),
    "AutoModelForQuestionAnswering": (
        (
            "question_answering",
            "question_spans",
            "answers_after_question",
            "document_question_answering",
            "crossed_answers",
        ),
        TASKS["question_answering"].says,
    ),
    "AutoModelForImageTextToText": (
        (
            *("image_text_to_text", "joined_captions", "captions", "described_captions", "bridged_texts"),
            *("instructed_texts", "pictured_generation", "picture_texts", "latent_query_texts"),
            "multimodal_lm",
        ),
        TASKS["image_text_to_text"].says,
    ),
    "AutoModelForVision2Seq": (
        (
            *("image_text_to_text", "joined_captions", "captions", "described_captions", "bridged_texts"),
            *("instructed_texts", "pictured_generation", "picture_texts", "latent_query_texts"),
            "multimodal_lm",
        ),
        "The older name: turn an image, or an image and a text, into text.",
    ),
    "AutoModelForMultimodalLM": (
        (
            *("image_text_to_text", "joined_captions", "captions", "described_captions", "bridged_texts"),
            *(
                "multimodal_lm",
                "instructed_texts",
                "audio_text_to_text",
                "picture_texts",
                "latent_query_texts",
            ),
        ),
        "Answer in text to texts, images and sounds.",
    ),
    "AutoModelForObjectDetection": (
        ("object_detection", "iterative_detection", "deformable_detection"),
        TASKS["object_detection"].says,
    ),
    "AutoModelForUniversalSegmentation": (
        ("instance_masks", "mask_labels", "tasked_masks", "object_segmentation"),
        TASKS["object_segmentation"].says,
    ),
    "AutoModelForVisualQuestionAnswering": (
        ("visual_question_answering", "described_answers", "bridged_texts"),
        TASKS["visual_question_answering"].says,
    ),
    "AutoModelForZeroShotImageClassification": (
        ("zero_shot_image_classification", "bridged_matches"),
        TASKS["zero_shot_image_classification"].says,
    ),
    "AutoModelWithLMHead": (
        ("seq2seq_lm", "masked_lm", "any_lm", "hidden_entities", "causal_lm", "permuted_lm"),
        "The language-model head that the family has; older scripts ask for it without saying which.",
    ),
}
AUTO: dict[str, tuple[tuple[str, ...], str]] = {
    **{task.auto: ((task.key,), task.says) for task in TASKS.values() if task.auto},
    **_WIDER,
}


def task_of(model: Any) -> Task | None:
    """The task of a model of the library, or None for any other module."""
    found = getattr(type(model), "_task", None)
    return found if isinstance(found, Task) else None
