"""The tasks: one record each, from which classes, Auto classes, names, tags and losses are derived.

Plain data, so that names cost no import.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        key: its name, as families spell it in their heads.
        home: module under `formers.tasks` and class that computes it.
        auto: the Auto class that takes it; empty for none.
        says: that class's docstring.
        tag: what the Hub calls it, or None.
        labelled: its labels are shown on the model card.
        shifts: label i + 1 is what place i predicts.
        framed: a text that it goes on with has the special tokens around it.
    """

    key: str
    home: tuple[str, str]
    auto: str
    says: str
    tag: str | None = None
    labelled: bool = False
    shifts: bool = False
    framed: bool = False


TASKS: dict[str, Task] = {
    task.key: task
    for task in (
        Task(
            "answers_after_question",
            ("question_answering", "AfterQuestion"),
            "",
            "Find the span behind a question that answers it.",
            "question-answering",
        ),
        Task(
            "audio_classification",
            ("audio_classification", "AudioClassification"),
            "AutoModelForAudioClassification",
            "Label a whole sound.",
            "audio-classification",
            labelled=True,
        ),
        Task(
            "audio_frame_classification",
            ("frames", "FrameClassification"),
            "AutoModelForAudioFrameClassification",
            "Label every moment of a sound.",
            "audio-frame-classification",
            labelled=True,
        ),
        Task(
            "audio_xvector",
            ("voices", "VoiceVectors"),
            "AutoModelForAudioXVector",
            "Turn a voice into a vector.",
            "audio-xvector",
        ),
        Task(
            "backbone",
            ("backbone", "Backbone"),
            "AutoBackbone",
            "Maps of an image at several sizes, for another model to read.",
        ),
        Task(
            "captions",
            ("language_model", "CausalLM"),
            "",
            "Predict the next word about an image.",
            "image-to-text",
            shifts=True,
        ),
        Task(
            "causal_lm",
            ("language_model", "CausalLM"),
            "AutoModelForCausalLM",
            "Predict the next word.",
            "text-generation",
            shifts=True,
        ),
        Task("clustered_rows", ("replaced_rows", "ClusteredRows"), "", "Tell sounds and speakers."),
        Task("contrasted_rows", ("contrasted_rows", "ContrastedRows"), "", "Tell hidden rows from others."),
        Task(
            "ctc",
            ("frames", "CTC"),
            "AutoModelForCTC",
            "Spell what is said, moment by moment.",
            "automatic-speech-recognition",
        ),
        Task(
            "depth_estimation",
            ("dense", "DepthEstimation"),
            "AutoModelForDepthEstimation",
            "Estimate how far away every pixel of an image is.",
            "depth-estimation",
        ),
        Task(
            "binned_depth",
            ("binned_depth", "BinnedDepth"),
            "",
            "Estimate how many metres away every pixel of an image is.",
            "depth-estimation",
        ),
        Task(
            "double_heads",
            ("double_heads", "DoubleHeads"),
            "",
            "Predict the next word, and choose among continuations.",
            shifts=True,
        ),
        Task(
            "document_question_answering",
            ("question_answering", "QuestionAnswering"),
            "AutoModelForDocumentQuestionAnswering",
            "Find the span of a page that answers a question.",
            "document-question-answering",
        ),
        Task(
            "encoder", ("language_model", "Encoder"), "AutoModelForTextEncoding", "Turn a text into states."
        ),
        Task(
            "entity_classification", ("entities", "EntityClassification"), "", "Label entities.", None, True
        ),
        Task("entity_spans", ("entities", "SpanClassification"), "", "Label every span.", None, True),
        Task(
            "hidden_entities",
            ("entities", "HiddenEntities"),
            "",
            "Predict hidden words and entities.",
            "fill-mask",
        ),
        Task("hidden_clips", ("hidden_clips", "HiddenClips"), "", "Predict pixels of hidden parts of films."),
        Task("hidden_pixels", ("hidden_pixels", "HiddenPixels"), "", "Predict pixels of hidden patches."),
        Task(
            "image_classification",
            ("image_classification", "ImageClassification"),
            "AutoModelForImageClassification",
            "Label a whole image.",
            "image-classification",
            labelled=True,
        ),
        Task(
            "image_to_image",
            ("image_to_image", "ImageToImage"),
            "AutoModelForImageToImage",
            "Make a picture larger, or clearer.",
            "image-to-image",
        ),
        Task(
            "image_text_to_text",
            ("language_model", "CausalLM"),
            "AutoModelForImageTextToText",
            "Answer in text to texts and images.",
            "image-text-to-text",
            shifts=True,
        ),
        Task(
            "bridged_matches",
            ("bridged", "BridgedMatches"),
            "",
            "Judge how well texts fit pictures.",
            "zero-shot-image-classification",
        ),
        Task(
            "bridged_states",
            ("bridged", "BridgedStates"),
            "",
            "Look at pictures, ask what they show, and read that in a text.",
        ),
        Task(
            "bridged_texts",
            ("bridged", "BridgedTexts"),
            "",
            "Write about pictures.",
            "image-text-to-text",
            shifts=True,
        ),
        Task(
            "bridged_vectors",
            ("bridged", "BridgedVectors"),
            "",
            "Bring a text or a picture into the space that both share.",
        ),
        Task(
            "described_answers",
            ("described", "Answers"),
            "",
            "Answer questions about pictures in words.",
            "visual-question-answering",
        ),
        Task(
            "described_captions",
            ("described", "Captions"),
            "",
            "Write about pictures.",
            "image-to-text",
            framed=True,
        ),
        Task(
            "described_matches",
            ("described", "Matches"),
            "",
            "Judge how well texts fit pictures.",
        ),
        Task(
            "joined_captions",
            ("joined", "JoinedGeneration"),
            "",
            "Turn an image into text, by two models.",
            "image-to-text",
        ),
        Task(
            "joined_towers",
            ("zero_shot", "JoinedTowers"),
            "",
            "Compare images with texts, by two models.",
            "zero-shot-image-classification",
        ),
        Task(
            "joined_generation",
            ("joined", "JoinedGeneration"),
            "",
            "Turn one text into another, by two models.",
        ),
        Task(
            "keypoint_detection",
            ("keypoints", "KeypointDetection"),
            "AutoModelForKeypointDetection",
            "Find points of a picture that are found again in others.",
            "keypoint-detection",
        ),
        Task(
            "keypoint_matching",
            ("keypoint_matching", "KeypointMatching"),
            "AutoModelForKeypointMatching",
            "Find points of two pictures that show the same.",
            "keypoint-matching",
        ),
        Task(
            "mask_generation",
            ("whole", "WholeTask"),
            "AutoModelForMaskGeneration",
            "Make masks of what is pointed at in an image.",
            "mask-generation",
        ),
        Task(
            "masked_image_modeling",
            ("masked_image", "MaskedImageModeling"),
            "AutoModelForMaskedImageModeling",
            "Predict hidden patches of an image.",
        ),
        Task(
            "masked_lm",
            ("language_model", "MaskedLM"),
            "AutoModelForMaskedLM",
            "Predict hidden words.",
            "fill-mask",
        ),
        Task(
            "multiple_choice",
            ("multiple_choice", "MultipleChoice"),
            "AutoModelForMultipleChoice",
            "Choose among continuations.",
            "multiple-choice",
        ),
        Task(
            "next_sentence_prediction",
            ("next_sentence", "NextSentencePrediction"),
            "AutoModelForNextSentencePrediction",
            "Judge whether a sentence follows another.",
        ),
        Task(
            "object_detection",
            ("detection", "ObjectDetection"),
            "AutoModelForObjectDetection",
            "Find the objects of a picture.",
            "object-detection",
            labelled=True,
        ),
        Task(
            "object_segmentation",
            ("detection", "ObjectSegmentation"),
            "AutoModelForImageSegmentation",
            "Find the segments of a picture.",
            "image-segmentation",
            labelled=True,
        ),
        Task(
            "instance_masks",
            ("query_masks", "QueryMasks"),
            "AutoModelForInstanceSegmentation",
            "Find the segments of a picture, each by a query.",
            "image-segmentation",
            labelled=True,
        ),
        Task(
            "mask_labels",
            ("query_masks", "MaskLabels"),
            "",
            "Find the segments of a picture, each by a query that its mask guides.",
            "image-segmentation",
            labelled=True,
        ),
        Task(
            "tasked_masks",
            ("query_masks", "TaskedMasks"),
            "",
            "Find the segments of a picture that a task asks for.",
            "image-segmentation",
            labelled=True,
        ),
        Task("passages", ("passages", "PassageModel"), "", "Read passages."),
        Task(
            "layered_detection",
            ("layered_detection", "LayeredDetection"),
            "AutoModelForObjectDetection",
            "Find the objects of a picture.",
            "object-detection",
            labelled=True,
        ),
        Task(
            "refined_detection",
            ("refined_detection", "RefinedDetection"),
            "AutoModelForObjectDetection",
            "Find the objects of a picture.",
            "object-detection",
            labelled=True,
        ),
        Task(
            "pretraining",
            ("next_sentence", "PreTraining"),
            "AutoModelForPreTraining",
            "The model as it was pre-trained.",
        ),
        Task(
            "any_lm",
            ("language_model", "MaskedLM"),
            "",
            "Predict what stands at each place: hidden words, or what comes next.",
            "fill-mask",
        ),
        Task(
            "permuted_lm",
            ("permuted_lm", "PermutedLM"),
            "",
            "Predict words in any order.",
            "text-generation",
        ),
        Task(
            "prompted_maps",
            ("prompted_maps", "PromptedMaps"),
            "",
            "Find the pixels that show what a text, or another image, asks for.",
            "image-segmentation",
        ),
        Task("projection", ("projection", "Projection"), "", "Place texts and images in one space."),
        Task(
            "question_answering",
            ("question_answering", "QuestionAnswering"),
            "AutoModelForQuestionAnswering",
            "Find the span that answers a question.",
            "question-answering",
        ),
        Task(
            "question_spans",
            ("span_selection", "QuestionSpans"),
            "",
            "Find the span that answers a question token.",
            "question-answering",
        ),
        Task(
            "recurring_spans",
            ("span_selection", "RecurringSpans"),
            "",
            "Find the spans that question tokens stand for.",
        ),
        Task("stack", ("language_model", "Bare"), "", "One stack of a pair, without a head."),
        Task("replaced_tokens", ("replaced_tokens", "ReplacedTokens"), "", "Find replaced tokens."),
        Task(
            "seq2seq_lm",
            ("seq2seq", "ConditionalGeneration"),
            "AutoModelForSeq2SeqLM",
            "Turn one text into another.",
        ),
        Task("replaced_rows", ("replaced_rows", "ReplacedRows"), "", "Turn sounds into states and codes."),
        Task(
            "semantic_segmentation",
            ("dense", "SemanticSegmentation"),
            "AutoModelForSemanticSegmentation",
            "Label every pixel of an image.",
            "image-segmentation",
            labelled=True,
        ),
        Task(
            "sentence_order",
            ("next_sentence", "SentenceOrder"),
            "",
            "Predict hidden words and the order of sentences.",
        ),
        Task(
            "sequence_classification",
            ("sequence_classification", "SequenceClassification"),
            "AutoModelForSequenceClassification",
            "Label a whole sequence.",
            "text-classification",
            labelled=True,
        ),
        Task(
            "speech_seq2seq",
            ("seq2seq", "ConditionalGeneration"),
            "AutoModelForSpeechSeq2Seq",
            "Turn speech into text.",
            "automatic-speech-recognition",
        ),
        Task(
            "span_beams",
            ("span_beams", "SpanBeams"),
            "",
            "Find the likeliest spans that answer a question.",
            "question-answering",
        ),
        Task(
            "table_question_answering",
            ("table_question_answering", "TableQuestionAnswering"),
            "AutoModelForTableQuestionAnswering",
            "Find the cells of a table that answer a question.",
            "table-question-answering",
        ),
        Task(
            "spectrogram_classification",
            ("sequence_classification", "SequenceClassification"),
            "",
            "Label a whole sound.",
            "audio-classification",
            labelled=True,
        ),
        Task(
            "taught_image_classification",
            ("image_classification", "TaughtImageClassification"),
            "",
            "Label a whole image, as another model would.",
            "image-classification",
            labelled=True,
        ),
        Task(
            "sound_to_spectrogram",
            ("spectrograms", "SoundSpectra"),
            "",
            "Turn speech into speech of another voice.",
            "audio-to-audio",
        ),
        Task(
            "text_to_spectrogram",
            ("spectrograms", "Spectra"),
            "AutoModelForTextToSpectrogram",
            "Make spectra of speech of a text.",
            "text-to-speech",
        ),
        Task(
            "vocoder",
            ("whole", "WholeTask"),
            "",
            "Make sounds of spectra.",
            None,
        ),
        Task(
            "text_to_waveform",
            ("whole", "WholeTask"),
            "AutoModelForTextToWaveform",
            "Make sounds of a text: speech, or music.",
            "text-to-speech",
        ),
        Task(
            "token_classification",
            ("token_classification", "TokenClassification"),
            "AutoModelForTokenClassification",
            "Label every token.",
            "token-classification",
            labelled=True,
        ),
        Task(
            "video_classification",
            ("image_classification", "ImageClassification"),
            "AutoModelForVideoClassification",
            "Label a whole film.",
            "video-classification",
            labelled=True,
        ),
        Task(
            "grounded_detection",
            ("grounded_detection", "GroundedDetection"),
            "AutoModelForZeroShotObjectDetection",
            "Find what a text names in images.",
            "zero-shot-object-detection",
        ),
        Task(
            "queried_objects",
            ("queried_objects", "QueriedObjects"),
            "AutoModelForZeroShotObjectDetection",
            "Find what texts ask for in images.",
            "zero-shot-object-detection",
        ),
        Task(
            "transcription",
            ("transcription", "Transcription"),
            "",
            "Turn speech of any length into text with times.",
            "automatic-speech-recognition",
        ),
        Task(
            "visual_question_answering",
            ("picture_questions", "PictureQuestions"),
            "AutoModelForVisualQuestionAnswering",
            "Answer a question about a picture by a label.",
            "visual-question-answering",
            labelled=True,
        ),
        Task(
            "text_of_picture",
            ("picture_questions", "TextOfPicture"),
            "",
            "Judge whether a text fits a picture.",
        ),
        Task(
            "several_pictures",
            ("picture_questions", "SeveralPictures"),
            "",
            "Label a text about several pictures.",
            labelled=True,
        ),
        Task("visual_tokens", ("masked_image", "VisualTokens"), "", "Predict codes of hidden patches."),
        Task(
            "zero_shot_image_classification",
            ("zero_shot", "ZeroShotImageClassification"),
            "AutoModelForZeroShotImageClassification",
            "Compare images with texts.",
            "zero-shot-image-classification",
        ),
    )
}
