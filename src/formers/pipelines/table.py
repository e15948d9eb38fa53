"""A record for each task: its class, models, default checkpoint and other names."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as in `pipeline(name)`.
        pipeline_class: the class, or "module:Class", which is imported when the task is first asked for.
        model_classes: Auto classes (or names of them in `formers`) that load its models, tried in order.
        default: repository and revision of the model that is used when none is named; None for none.
        aliases: other names.
        heads: endings of the class names of models that answer this task; empty where any model may.
        also: of those that can answer it too, and are for another task where none is named.
        kind: "text", "image", "audio", "video" or "multimodal".
    """

    name: str
    pipeline_class: type | str
    model_classes: tuple[type | str, ...] = ()
    default: tuple[str, str | None] | None = None
    aliases: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    kind: str = "text"

    def load_class(self) -> type:
        """The pipeline class."""
        if not isinstance(self.pipeline_class, str):
            return self.pipeline_class
        module, _, name = self.pipeline_class.partition(":")
        found: type = getattr(importlib.import_module(module), name)
        return found

    def load_model_classes(self) -> list[Any]:
        """The Auto classes."""
        formers = importlib.import_module("formers")
        return [getattr(formers, one) if isinstance(one, str) else one for one in self.model_classes]

    def answered_by(self, architecture: str) -> bool:
        """Whether models of a class of that name answer this task."""
        return architecture.endswith(self.heads)

    def can_be_asked(self, architecture: str) -> bool:
        """Whether they can, where the task is named."""
        return architecture.endswith((*self.heads, *self.also))


TASKS = (
    Task(  # before the next one, whose heads end alike
        "audio-classification",
        "formers.pipelines.audio.classification:AudioClassificationPipeline",
        model_classes=("AutoModelForAudioClassification",),
        default=("superb/wav2vec2-base-superb-ks", "372e048"),
        heads=(
            *("ForAudioClassification", "HubertForSequenceClassification"),
            "Wav2Vec2ForSequenceClassification",
        ),
        kind="audio",
    ),
    Task(
        "text-classification",
        "formers.pipelines.text.classification:TextClassificationPipeline",
        model_classes=("AutoModelForSequenceClassification",),
        default=("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "714eb0f"),
        aliases=("sentiment-analysis",),
        heads=("ForSequenceClassification",),
    ),
    Task(
        "feature-extraction",
        "formers.pipelines.text.features:FeatureExtractionPipeline",
        model_classes=("AutoModel",),
        default=("distilbert/distilbert-base-cased", "6ea8117"),
    ),
    Task(
        "sentence-embeddings",
        "formers.pipelines.text.embedding:SentenceEmbeddingPipeline",
        model_classes=("AutoModelForTextEncoding", "AutoModel"),
        default=("sentence-transformers/all-MiniLM-L6-v2", "c9745ed"),
        aliases=("sentence-similarity",),
    ),
    Task(
        "zero-shot-classification",
        "formers.pipelines.text.zero_shot:ZeroShotClassificationPipeline",
        model_classes=("AutoModelForSequenceClassification",),
        default=("facebook/bart-large-mnli", "d7645e1"),
        heads=("ForSequenceClassification",),
    ),
    Task(
        "text-ranking",
        "formers.pipelines.text.ranking:TextRankingPipeline",
        model_classes=("AutoModelForSequenceClassification",),
        default=("cross-encoder/ms-marco-MiniLM-L6-v2", "c5ee24c"),
        aliases=("reranking",),
        heads=("ForSequenceClassification",),
    ),
    Task(
        "token-classification",
        "formers.pipelines.text.token_classification:TokenClassificationPipeline",
        model_classes=("AutoModelForTokenClassification",),
        default=("dbmdz/bert-large-cased-finetuned-conll03-english", "4c53496"),
        aliases=("ner",),
        heads=("ForTokenClassification",),
    ),
    Task(  # before question answering, whose heads end alike
        "table-question-answering",
        "formers.pipelines.text.table_question_answering:TableQuestionAnsweringPipeline",
        model_classes=("AutoModelForTableQuestionAnswering", "AutoModelForSeq2SeqLM"),
        default=("google/tapas-base-finetuned-wtq", "e3dde19"),
        heads=("TapasForQuestionAnswering",),
        also=("ForConditionalGeneration",),
    ),
    Task(  # likewise
        "visual-question-answering",
        "formers.pipelines.image.visual_questions:VisualQuestionAnsweringPipeline",
        model_classes=("AutoModelForVisualQuestionAnswering",),
        default=("dandelin/vilt-b32-finetuned-vqa", "d0a1f6a"),
        aliases=("vqa",),
        heads=(
            *("ViltForQuestionAnswering", "BlipForQuestionAnswering"),
            "Blip2ForConditionalGeneration",
        ),
        kind="multimodal",
    ),
    Task(  # before the rewriting of texts, whose heads end alike
        "image-text-to-text",
        "formers.pipelines.image.image_text_to_text:ImageTextToTextPipeline",
        model_classes=("AutoModelForImageTextToText",),
        default=("Qwen/Qwen3-VL-2B-Instruct", "8964489"),
        heads=(
            *("LlavaForConditionalGeneration", "Qwen2VLForConditionalGeneration"),
            "Florence2ForConditionalGeneration",
            *("Gemma3ForConditionalGeneration", "PaliGemmaForConditionalGeneration"),
            *("AyaVisionForConditionalGeneration", "ChameleonForConditionalGeneration"),
            "InternVLForConditionalGeneration",
            *("Idefics3ForConditionalGeneration", "SmolVLMForConditionalGeneration"),
            "Mistral3ForConditionalGeneration",
            "MllamaForConditionalGeneration",
            *("LlavaNextForConditionalGeneration", "LlavaOnevisionForConditionalGeneration"),
            *("Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration"),
            *("Blip2ForConditionalGeneration", "InstructBlipForConditionalGeneration"),
            *("VipLlavaForConditionalGeneration", "Idefics2ForConditionalGeneration"),
            "Cohere2VisionForConditionalGeneration",
            *("GotOcr2ForConditionalGeneration", "LlavaNextVideoForConditionalGeneration"),
            "Kosmos2ForConditionalGeneration",
        ),
        also=("Phi4MultimodalForCausalLM",),
        kind="multimodal",
    ),
    Task(  # likewise, and behind it: models that read pictures alone are asked about those
        "any-to-any",
        "formers.pipelines.image.any_to_any:AnyToAnyPipeline",
        model_classes=("AutoModelForMultimodalLM",),
        default=("google/gemma-3n-E4B-it", "c1221e9"),
        heads=("Phi4MultimodalForCausalLM", "Qwen2AudioForConditionalGeneration"),
        also=("ForConditionalGeneration", "ForCausalLM"),
        kind="multimodal",
    ),
    Task(  # before text generation, whose heads end alike
        "image-to-text",
        "formers.pipelines.image.captions:ImageToTextPipeline",
        model_classes=("AutoModelForVision2Seq",),
        default=("ydshieh/vit-gpt2-coco-en", "5bebf1e"),
        heads=(
            *("BlipForConditionalGeneration", "GitForCausalLM", "VisionEncoderDecoderModel"),
            *("Blip2ForConditionalGeneration", "Pix2StructForConditionalGeneration"),
            "Kosmos2ForConditionalGeneration",
        ),
        kind="multimodal",
    ),
    Task(  # before question answering too, and behind image-to-text, which is asked of models of both
        "document-question-answering",
        "formers.pipelines.image.document_questions:DocumentQuestionAnsweringPipeline",
        model_classes=("AutoModelForDocumentQuestionAnswering", "AutoModelForVision2Seq"),
        default=("impira/layoutlm-document-qa", "beed3c4"),
        heads=(
            *(f"LayoutLM{which}ForQuestionAnswering" for which in ("", "v2", "v3")),
            "VisionEncoderDecoderModel",
        ),
        kind="multimodal",
    ),
    Task(
        "question-answering",
        "formers.pipelines.text.question_answering:QuestionAnsweringPipeline",
        model_classes=("AutoModelForQuestionAnswering",),
        default=("distilbert/distilbert-base-cased-distilled-squad", "564e9b5"),
        heads=("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
    ),
    Task(
        "text-generation",
        "formers.pipelines.text.generation:TextGenerationPipeline",
        model_classes=("AutoModelForCausalLM",),
        default=("openai-community/gpt2", "607a30d"),
        heads=("ForCausalLM", "LMHeadModel"),
    ),
    Task(
        "conversational",
        "formers.pipelines.text.conversational:ConversationalPipeline",
        model_classes=("AutoModelForSeq2SeqLM", "AutoModelForCausalLM"),
        default=("microsoft/DialoGPT-medium", "8bada3b"),
    ),
    Task(
        "text-to-audio",
        "formers.pipelines.audio.speaking:TextToAudioPipeline",
        model_classes=("AutoModelForTextToWaveform", "AutoModelForTextToSpectrogram"),
        default=("suno/bark-small", "1dbd7a1"),
        aliases=("text-to-speech",),
        heads=("BarkModel", "MusicgenForConditionalGeneration", "VitsModel", "ForTextToSpeech"),
        kind="multimodal",
    ),
    Task(  # before the next one, whose heads end alike
        "automatic-speech-recognition",
        "formers.pipelines.audio.recognition:AutomaticSpeechRecognitionPipeline",
        model_classes=("AutoModelForSpeechSeq2Seq", "AutoModelForCTC"),
        default=("openai/whisper-base", "e37978b"),
        aliases=("asr", "speech-recognition"),
        heads=(
            *("MoonshineForConditionalGeneration", "Speech2TextForConditionalGeneration"),
            *("WhisperForConditionalGeneration", "ForSpeechToText", "ForCTC"),
        ),
        kind="multimodal",
    ),
    Task(
        "text2text-generation",
        "formers.pipelines.text.rewriting:Text2TextGenerationPipeline",
        model_classes=("AutoModelForSeq2SeqLM",),
        default=("google-t5/t5-base", "a9723ea"),
        heads=("ForConditionalGeneration",),
    ),
    Task(
        "fill-mask",
        "formers.pipelines.text.fill_mask:FillMaskPipeline",
        model_classes=("AutoModelForMaskedLM",),
        default=("distilbert/distilroberta-base", "fb53ab8"),
        heads=("ForMaskedLM", "WithLMHeadModel", "ForPreTraining", "ForConditionalGeneration"),
    ),
    Task(
        "summarization",
        "formers.pipelines.text.rewriting:SummarizationPipeline",
        model_classes=("AutoModelForSeq2SeqLM",),
        default=("sshleifer/distilbart-cnn-12-6", "a4f8f3e"),
    ),
    Task(
        "translation",
        "formers.pipelines.text.rewriting:TranslationPipeline",
        model_classes=("AutoModelForSeq2SeqLM",),
        default=("google-t5/t5-base", "a9723ea"),
    ),
    Task(
        "image-classification",
        "formers.pipelines.image.classification:ImageClassificationPipeline",
        model_classes=("AutoModelForImageClassification",),
        default=("google/vit-base-patch16-224", "3f49326"),
        heads=("ForImageClassification",),
        kind="image",
    ),
    Task(
        "video-classification",
        "formers.pipelines.image.video_classification:VideoClassificationPipeline",
        model_classes=("AutoModelForVideoClassification",),
        default=("MCG-NJU/videomae-base-finetuned-kinetics", "488eb9a"),
        heads=("ForVideoClassification",),
        kind="video",
    ),
    Task(
        "image-feature-extraction",
        "formers.pipelines.image.features:ImageFeatureExtractionPipeline",
        model_classes=("AutoModel",),
        default=("google/vit-base-patch16-224", "3f49326"),
        kind="image",
    ),
    Task(
        "zero-shot-audio-classification",
        "formers.pipelines.audio.zero_shot:ZeroShotAudioClassificationPipeline",
        model_classes=("AutoModel",),
        default=("laion/clap-htsat-fused", "cca9e28"),
        heads=("ClapModel",),
        kind="multimodal",
    ),
    Task(
        "zero-shot-image-classification",
        "formers.pipelines.image.zero_shot:ZeroShotImageClassificationPipeline",
        model_classes=("AutoModelForZeroShotImageClassification",),
        default=("openai/clip-vit-base-patch32", "3d74acf"),
        heads=("Blip2ForImageTextRetrieval", "ChineseCLIPModel", "CLIPModel", "Siglip2Model", "SiglipModel"),
        kind="multimodal",
    ),
    Task(
        "zero-shot-object-detection",
        "formers.pipelines.image.zero_shot_objects:ZeroShotObjectDetectionPipeline",
        model_classes=("AutoModelForZeroShotObjectDetection",),
        default=("google/owlvit-base-patch32", "cbc355f"),
        heads=("OwlViTForObjectDetection", "Owlv2ForObjectDetection", "GroundingDinoForObjectDetection"),
        kind="multimodal",
    ),
    Task(
        "image-segmentation",
        "formers.pipelines.image.segmentation:ImageSegmentationPipeline",
        model_classes=(
            *("AutoModelForImageSegmentation", "AutoModelForSemanticSegmentation"),
            "AutoModelForUniversalSegmentation",
        ),
        default=("facebook/detr-resnet-50-panoptic", "d53b52a"),
        heads=(
            "ForSemanticSegmentation",
            "ForInstanceSegmentation",
            "ForUniversalSegmentation",
            "DetrForSegmentation",
        ),
        kind="image",
    ),
    Task(
        "image-to-image",
        "formers.pipelines.image.image_to_image:ImageToImagePipeline",
        model_classes=("AutoModelForImageToImage",),
        default=("caidas/swin2SR-classical-sr-x2-64", "cee1c92"),
        heads=("ForImageSuperResolution",),
        kind="image",
    ),
    Task(
        "object-detection",
        "formers.pipelines.image.detection:ObjectDetectionPipeline",
        model_classes=("AutoModelForObjectDetection",),
        default=("facebook/detr-resnet-50", "1d5f47b"),
        heads=("ForObjectDetection",),
        kind="image",
    ),
    Task(
        "keypoint-matching",
        "formers.pipelines.image.keypoint_matching:KeypointMatchingPipeline",
        model_classes=("AutoModelForKeypointMatching",),
        default=("magic-leap-community/superglue_outdoor", "f4041f8"),
        heads=("ForKeypointMatching",),
        kind="image",
    ),
    Task(
        "mask-generation",
        "formers.pipelines.image.mask_generation:MaskGenerationPipeline",
        model_classes=("AutoModelForMaskGeneration",),
        default=("facebook/sam-vit-huge", "87aecf0"),
        heads=(
            "SamModel",
            "Sam2Model",
            "Sam2VideoModel",
        ),
        kind="multimodal",
    ),
    Task(
        "depth-estimation",
        "formers.pipelines.image.depth:DepthEstimationPipeline",
        model_classes=("AutoModelForDepthEstimation",),
        default=("Intel/dpt-large", "bc15f29"),
        heads=("ForDepthEstimation",),
        kind="image",
    ),
)
