"""Task in, answer out: `pipeline("text-classification")("a text")`. Names are loaded when first used."""

from __future__ import annotations

from formers.core.lazy import lazy

# module -> its public names, which are the package's too
NAMES: dict[str, tuple[str, ...]] = {
    "formers.pipelines.audio.classification": ("AudioClassificationPipeline",),
    "formers.pipelines.audio.recognition": ("AutomaticSpeechRecognitionPipeline",),
    "formers.pipelines.audio.speaking": ("TextToAudioPipeline",),
    "formers.pipelines.audio.zero_shot": ("ZeroShotAudioClassificationPipeline",),
    "formers.pipelines.build": ("pipeline",),
    "formers.pipelines.datasets": ("KeyDataset", "KeyPairDataset"),
    "formers.pipelines.frame": ("ChunkPipeline", "Pipeline"),
    "formers.pipelines.image.captions": ("ImageToTextPipeline",),
    "formers.pipelines.image.classification": ("ImageClassificationPipeline",),
    "formers.pipelines.image.depth": ("DepthEstimationPipeline",),
    "formers.pipelines.image.detection": ("ObjectDetectionPipeline",),
    "formers.pipelines.image.document_questions": ("DocumentQuestionAnsweringPipeline",),
    "formers.pipelines.image.features": ("ImageFeatureExtractionPipeline",),
    "formers.pipelines.image.video_classification": ("VideoClassificationPipeline",),
    "formers.pipelines.image.keypoint_matching": ("KeypointMatchingPipeline",),
    "formers.pipelines.image.mask_generation": ("MaskGenerationPipeline",),
    "formers.pipelines.image.image_to_image": ("ImageToImagePipeline",),
    "formers.pipelines.image.visual_questions": ("VisualQuestionAnsweringPipeline",),
    "formers.pipelines.image.segmentation": ("ImageSegmentationPipeline",),
    "formers.pipelines.image.any_to_any": ("AnyToAnyPipeline",),
    "formers.pipelines.image.image_text_to_text": ("ImageTextToTextPipeline",),
    "formers.pipelines.image.zero_shot": ("ZeroShotImageClassificationPipeline",),
    "formers.pipelines.image.zero_shot_objects": ("ZeroShotObjectDetectionPipeline",),
    "formers.pipelines.labels": ("ClassificationFunction",),
    "formers.pipelines.registry": ("PIPELINE_REGISTRY", "check_task", "get_supported_tasks"),
    "formers.pipelines.text.classification": ("TextClassificationPipeline",),
    "formers.pipelines.text.conversational": ("Conversation", "ConversationalPipeline"),
    "formers.pipelines.text.embedding": ("SentenceEmbeddingPipeline",),
    "formers.pipelines.text.features": ("FeatureExtractionPipeline",),
    "formers.pipelines.text.fill_mask": ("FillMaskPipeline", "PipelineException"),
    "formers.pipelines.text.generation": ("TextGenerationPipeline",),
    "formers.pipelines.text.question_answering": (
        *("QuestionAnsweringArgumentHandler", "QuestionAnsweringPipeline", "SquadExample"),
    ),
    "formers.pipelines.text.ranking": ("TextRankingPipeline",),
    "formers.pipelines.text.rewriting": (
        *("SummarizationPipeline", "Text2TextGenerationPipeline", "TranslationPipeline"),
    ),
    "formers.pipelines.text.table_question_answering": (
        *("TableQuestionAnsweringArgumentHandler", "TableQuestionAnsweringPipeline"),
    ),
    "formers.pipelines.text.token_classification": (
        *("AggregationStrategy", "NerPipeline", "TokenClassificationArgumentHandler"),
        "TokenClassificationPipeline",
    ),
    "formers.pipelines.text.zero_shot": ("ZeroShotClassificationPipeline",),
}
_BESIDE = {"formers.pipelines.registry": ("register",), "formers.pipelines.table": ("Task",)}


def _absent(package: str, name: str, names: list[str]) -> Exception:
    from formers import paths

    return paths.absent(package, name, names, depth=3)  # who asked is one frame further up


__getattr__, __dir__ = lazy(
    __name__,
    {module: NAMES.get(module, ()) + _BESIDE.get(module, ()) for module in {**NAMES, **_BESIDE}},
    _absent,
)
