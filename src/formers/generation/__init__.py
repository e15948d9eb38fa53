"""Text from models: what may come next, when a text ends, who reads it. Names are loaded when first used."""

from __future__ import annotations

from formers.core.lazy import lazy

# module -> its public names, which are the package's too
NAMES: dict[str, tuple[str, ...]] = {
    "formers.configs.generation": ("GenerationMode",),
    "formers.generation.by_name": ("BeamSearchScorer",),
    "formers.generation.compiling": ("CompileConfig",),
    "formers.generation.bayesian": (
        "BayesianDetectorConfig",
        "BayesianDetectorModel",
    ),
    "formers.generation.constraints": (
        "Constraint",
        "ConstraintListState",
        "DisjunctiveConstraint",
        "PhrasalConstraint",
    ),
    "formers.generation.mixin": ("GenerationMixin",),
    "formers.generation.outputs": (
        "GenerateBeamDecoderOnlyOutput",
        "GenerateBeamEncoderDecoderOutput",
        "GenerateDecoderOnlyOutput",
        "GenerateEncoderDecoderOutput",
        *("GenerateBeamOutput", "GenerateNonBeamOutput", "GenerateOutput"),
        *("BeamSampleDecoderOnlyOutput", "BeamSampleEncoderDecoderOutput", "BeamSearchDecoderOnlyOutput"),
        *("BeamSearchEncoderDecoderOutput", "ContrastiveSearchDecoderOnlyOutput"),
        *("ContrastiveSearchEncoderDecoderOutput", "GreedySearchDecoderOnlyOutput"),
        *("GreedySearchEncoderDecoderOutput", "SampleDecoderOnlyOutput", "SampleEncoderDecoderOutput"),
    ),
    "formers.generation.processors.audio": (
        "AlternatingCodebooksLogitsProcessor",
        "BarkEosPrioritizerLogitsProcessor",
        "DiaEOSChannelFilterLogitsProcessor",
        "DiaEOSDelayPatternLogitsProcessor",
        "WhisperNoSpeechDetection",
        "WhisperTimeStampLogitsProcessor",
    ),
    "formers.generation.processors.base": (
        "LogitsProcessor",
        "LogitsProcessorList",
        "LogitsWarper",
    ),
    "formers.generation.processors.bias": (
        "NoBadWordsLogitsProcessor",
        "PrefixConstrainedLogitsProcessor",
        "SequenceBiasLogitsProcessor",
        "SuppressTokensAtBeginLogitsProcessor",
        "SuppressTokensLogitsProcessor",
    ),
    "formers.generation.processors.guidance": (
        "ClassifierFreeGuidanceLogitsProcessor",
        "DiaClassifierFreeGuidanceLogitsProcessor",
        "UnbatchedClassifierFreeGuidanceLogitsProcessor",
    ),
    "formers.generation.processors.lengths": (
        "ExponentialDecayLengthPenalty",
        "ForceTokensLogitsProcessor",
        "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor",
        "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor",
    ),
    "formers.generation.processors.repetition": (
        "EncoderNoRepeatNGramLogitsProcessor",
        "EncoderRepetitionPenaltyLogitsProcessor",
        "HammingDiversityLogitsProcessor",
        "NoRepeatNGramLogitsProcessor",
        "OccurrencePenaltyLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor",
    ),
    "formers.generation.processors.structured": ("StructuredOutputLogitsProcessor",),
    "formers.generation.processors.values": (
        "InfNanRemoveLogitsProcessor",
        "LogitNormalization",
    ),
    "formers.generation.processors.warpers": (
        "EpsilonLogitsWarper",
        "EtaLogitsWarper",
        "MinPLogitsWarper",
        "TemperatureLogitsWarper",
        "TopHLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
        "TypicalLogitsWarper",
        "top_k_top_p_filtering",
    ),
    "formers.generation.processors.watermarks": (
        "SynthIDTextWatermarkLogitsProcessor",
        "WatermarkLogitsProcessor",
    ),
    "formers.generation.stopping": (
        "ConfidenceCriteria",
        "EosTokenCriteria",
        "MaxLengthCriteria",
        "MaxNewTokensCriteria",
        "MaxTimeCriteria",
        "StopStringCriteria",
        "StoppingCriteria",
        "StoppingCriteriaList",
        "validate_stopping_criteria",
    ),
    "formers.generation.streamers": (
        "AsyncTextIteratorStreamer",
        "BaseStreamer",
        "TextIteratorStreamer",
        "TextStreamer",
    ),
    "formers.generation.structure": ("structure_of",),
    "formers.generation.watermarking": (
        "SynthIDTextWatermarkDetector",
        "WatermarkDetector",
        "WatermarkDetectorOutput",
    ),
    "formers.generation.watermarks": (
        "BaseWatermarkingConfig",
        "SynthIDTextWatermarkingConfig",
        "WatermarkingConfig",
    ),
}

__getattr__, __dir__ = lazy(__name__, {**NAMES, "formers.configs": ("GenerationConfig",)})
