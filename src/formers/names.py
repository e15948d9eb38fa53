"""Which module a derived public name comes from, without importing it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from formers.models.table import ABSENT, FAMILIES, OLDER_NAMES
from formers.tasks.table import AUTO


def find(name: str) -> tuple[str, str] | None:
    """Module and attribute behind a name such as `BertForMaskedLM`, `BertConfig` or `BertTokenizer`."""
    from formers.core import available
    from formers.processing.audio.recipes import CLASSES as SOUNDS
    from formers.processing.pairs import CLASSES as PAIRS
    from formers.processing.recipes import CLASSES as PROCESSORS
    from formers.processing.video_recipes import FILM_CLASSES as FILMS
    from formers.tokenization.recipes import CLASSES

    if name in CLASSES:
        return "formers.tokenization", name
    if name in PROCESSORS or name in FILMS or name in SOUNDS or name in PAIRS:
        return "formers.processing", name
    if available.answers(name):
        return "formers.core.available", name
    if name in PLAIN_MAPS or auto_of_map(name) is not None:
        return "formers.mappings", name
    if "Output" in name and name in _named_outputs():
        return "formers.core.named_outputs", name
    name = OLDER_NAMES.get(name, name)
    if any(name.startswith(prefix) for _, prefix in FAMILIES.values()):
        return "formers.auto", name
    return None


PLAIN_MAPS = (
    *("CONFIG_MAPPING", "CONFIG_MAPPING_NAMES", "TOKENIZER_MAPPING", "TOKENIZER_MAPPING_NAMES"),
    *("IMAGE_PROCESSOR_MAPPING_NAMES", "PROCESSOR_MAPPING_NAMES"),
)


def auto_of_map(name: str) -> str | None:
    """The Auto class whose map is called `name` (`MODEL_FOR_MASKED_LM_MAPPING`); None where there is none."""
    end = next((end for end in ("_MAPPING_NAMES", "_MAPPING") if name.endswith(end)), None)
    if end is None or not name.startswith("MODEL_"):
        return None
    word = name.removesuffix(end).replace("_", "").replace("SEQTOSEQCAUSALLM", "SEQ2SEQLM")
    return next((one for one in ("AutoModel", *AUTO) if _mapped_word(one).upper() == word), None)


def map_of(auto: str) -> str:
    """How the map of an Auto class is called: `MODEL_FOR_MASKED_LM_MAPPING`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _mapped_word(auto)).upper() + "_MAPPING"


def _mapped_word(auto: str) -> str:
    """`AutoModelForMaskedLM` -> `ModelForMaskedLM`, `AutoBackbone` -> `ModelForBackbone`."""
    word = auto.removeprefix("Auto")
    return word if word.startswith("Model") else f"ModelFor{word}"


def _named_outputs() -> Mapping[str, str]:
    from formers.core import named_outputs

    return named_outputs.FIELDS


# Names that scripts ask for and that this version has not got: what they look like, what they belong to. The
# first that fits answers; endings that leave no doubt stand above words that may stand anywhere.
_IMAGES = "this processor of images or audio is"
_ABSENT: tuple[tuple[str, str], ...] = (
    (r"^LayoutXLM(Model|For|Config|PreT)", ABSENT["layoutxlm"]),
    (r"^_", "private names (they begin with an underscore) are"),
    (
        r"Pipeline(DataFormat)?$|^(Chat|Conversation)$",
        "this pipeline is",
    ),
    (
        r"^(PipelineI\w+|PipelineP\w+|pad_collate_fn|infer_framework\w*)$",
        "what the ecosystem's own pipelines are made with (here: PIPELINE_REGISTRY, check_task) is",
    ),
    (
        r"ContinuousBatching|Candidate|BayesianDet|^ContinuousM|LogitsProcessor$"
        r"|DiffusionStreamer|_CACHE_(IMPLEM|CLASS)"
        r"|^(Greedy|Sample|Beam|Generate)\w*(Output|Scorer)$",
        "this part of text generation is",
    ),
    (
        r"Processor(Fast|Pil|Mixin)?$|Processing(Kwargs|Mixin)$|FeatureExtract|PROCESSOR_|EXTRACTOR_",
        _IMAGES,
    ),
    (
        r"^(Image|Video)(Input|Utils|Metadata|Type)|^MultiModalData$",
        _IMAGES,
    ),
    (
        r"^(Torchvision|Pil)Backend$|_(images?|videos?)(_|$)|^mel_|_by_shape$",
        _IMAGES,
    ),
    (
        r"^get_(image_)?size|^smart_resize$|^reorder_|^center_to|_to_rgb$",
        _IMAGES,
    ),
    (r"anyres|^get_vision_|image_size_to|vision_apply", _IMAGES),
    (
        r"BitsAndBytes|G[Pp][Tt][Qq]|A[Ww][Qq]|Quant|quant|QUANT|[Ff][Pp][48]|TorchAo|H[Qq][Qq]|[Gg][Gg][Uu][Ff]|BitNetQ"
        r"|BitLinear|^(Eetq|Vptq|Aqlm|Higgs|SpQR|AutoRound|CompressedTensors|Quark|Sinq|Metal|FourOverSix)(Config|Linear)$"
        r"|_experts_scheme|^(get_module_from_name|should_convert_module|TENSOR_PROCESSORS|TensorProcessor|PRISM_\w+)$",
        "this kind of quantized loading is",
    ),
    (
        r"^AutoModelFor(Multimodal|.*Visual)|^AutoModelForImageText",
        "this task of several kinds of input is",
    ),
    (
        r"^AutoModelFor(Vision|Sem|Ins|Depth|Mask(Gen)|Video|Pose)",
        "this task of images is",
    ),
    (r"^AutoModelFor(Speech|Audio|CTC|TextTo)", "this task of audio is"),
    (r"^AutoModelFor|^MODEL_\w*MAPPING(_NAMES)?$", "this task is"),
    (r"[Dd]eep[Ss]peed", "DeepSpeed is"),
    (r"^smp_|SageMaker", "SageMaker's model parallelism is"),
    (
        r"[Dd]tensor|tensor_parallel|Parallel$|ALL_PARALLEL|^shard_and|^gather_state",
        "this part of tensor parallelism is",
    ),
    (
        r"dynamic_module|DYNAMIC_MODULE|get_class_(in|from)|^check_imports|relative_import|custom_object|HF_MODULES",
        "code that checkpoints bring is never run: loading it is",
    ),
    (
        r"Attention(Mask)?(Interface|Converter|Kwargs)|^ALL_(ATTEN|MASK)|_masks?(_function)?$|[Ff]lash_?[Aa]tt|FLASH_ATTN"
        r"|[Ff]lex_?[Aa]tt|_attention_forward$|^flex_attention_mask|^prepare_fa|^fa_peft|packed_sequence|chunked_overlay"
        r"|masks_for_generate|use_gqa|_target_dtype",
        "this helper of attention functions is",
    ),
    (
        r"_kernel$|^Kernel|^kernelize$|experts_(forward|impl)|_EXPERTS_|_(conv1d|scan|state)_(fn|update|comb)",
        "a choice of kernels is",
    ),
    (
        r"^(Group)?Weight(C|R|T)|_conversion|CONVERSION|^ConversionOps|^(Concatenate|Transpose|Chunk|VLMS)$|Modulelist$"
        r"|ForRope$|^rename_source|REGISTERED_MAPP|patch_mapping|^(dot_natural_key|set_param_for\w+|spawn_mat\w+|GLOBAL_W\w+)$",
        "this part of converting weights is",
    ),
    (
        r"[Ss]quad|SQUAD|^glue_|^compute_(exact|f1)|^normalize_answer|^(Text|Line|Glue)\w*Dataset$|whitespace_tokenize"
        r"|^Input(Features|Example)$|MULTI_SEP_TOKENS",
        "data of single benchmarks is",
    ),
    (r"^(TO_|FAIRSEQ_)?LANGUAGE(S|_CODES?)$", "a list of languages, apart from its tokenizer, is"),
    (r"Retriever$|^Index$", "retrieval while a model runs is"),
    (
        r"^(Basic|Wordpiece)Tokenizer$|Normalizer$|convert_slow|SLOW_TO|import_protobuf|^ModelProto|^bytes_to_unicode"
        r"|^SpecialTokensMixin$|^(MistralCommon|Python|SentencePiece)\w+$",
        "tokenizers run on the tokenizers library: parts of slower ones are",
    ),
    (r"^Onnx|^convert(_\w+)?$|^Torch?Export", "this part of converting models is"),
    (
        r"[Pp]eft|find_adapter",
        "what the ecosystem's own adapters are made with (here: LoraConfig, load_adapter) is",
    ),
    (r"Callback$|_integrations$|CALLBACKS$|^default_logdir$", "this callback is"),
    (
        r"^(create_(repo|commit)|Commit\w+|safe_open|are_progress_\w+|nn|checkpoint|tqdm|\w+EntropyLoss|\w*MSELoss)$",
        "what huggingface_hub, safetensors, torch and tqdm offer themselves is",
    ),
    (r"_CACHE$|^default_cache_path|^hf_bucket|^get_full_repo", "what huggingface_hub offers itself is"),
    (r"[Mm]odel_?[Cc]ard|MODEL_CARD|markdown|AUTOGENERATED|extract_hyper", "writing model cards by hand is"),
    (
        r"^(GradientCheckpointingLayer|OutputRecorder|ModuleUtilsMixin|DataCollatorMixin|RopeParameters)$|^Generic|Backbone"
        r"|RotaryEmbeddingConfig|Kwargs$|LOSS_MAPPING|^For\w+Loss$|^D(UMMY|ummy)|ARCHIVE_LIST$|_DOCSTRING$|capture_outputs"
        r"|^(dynamic_)?rope_|ROPE_|fixed_cross|check_(model_inputs|torch_load|support_param)|_config_defaults|layer_type_val"
        r"|^shift_tokens|init_weights$|softmax_backward|_mapping$|parse_google|TypeHintParsing|resolve_internal|unwrap_model"
        r"|^get_(parameter|device|length|values)|nested_gather|^(Accelerator|Distributed|Decision)Config$|Cache\w*Layer"
        r"|^(Static|Dynamic|Quantized|Sliding)\w*(Layer|Cache)$|Cache$|^auto_class|getattribute_from|^model_type_to"
        r"|^(Quick|XIE)?GELU(Tanh|Activation)?$|^XIELU|^is_(local_dist|optimizer_fac|valid_mess)|^apply_(rotary|mask_to)|yarn_|rel_pos"
        r"|load_balancing|^dropout_add|_TRUE_VALUES$|^load_(state|shard)|^shard_check|dtype_byte|Sampler$|Shard$|MemoryTracker"
        r"|^RemoveColumns|^FSDPOption|^ShardedDDP|neftune|^find_(b|e|l|sub)|^nested_|^distributed_|^denumpify|_concatenate$"
        r"|^(is|to)_(py_obj|tensor|numpy|torch_(tensor|device|dtype))|^EvalLoopCont|^TYPE_TO_"
        r"|_IMPORT_ERROR$|LAYER_TYPE_|^(caching_alloc|remove_dummy|working_or_temp)|gated_delta|^set_rng|accelerate_hooks|device_map|safe_globals|^torch_distributed_",
        "what the ecosystem's own models and trainer are written with is",
    ),
)
_OF_A_FAMILY = (
    r"(\w+?)((Pre[Tt]rained|(With)?LMHead|DoubleHeads)?Model(WithProjection)?|Config|For[A-Z]\w+|MTModel)"
)
_PART = (
    r"[A-Z]\w+?(Attention|Norm|MLP|Mo[EAe]|Layer|Block|Embeddings?|Encoder|Decoder|Pooler|Head|Experts|Router|Projector|"
    r"Stack|Intermediate|LayerFF|FFN|Gelu|DeltaNet|Conv|Bias|Linear|Indexer|Scorer|Summary|Compressor|Connection|ConvNet|HifiGan|\w*Prenet|\w*Outputs?\w*)\d?"
)


def reason_of_absence(name: str) -> str:
    """Why there is no such name, as the end of a sentence; empty where nothing is known of it."""
    for prefix in ("TF", "Flax"):
        rest = name.removeprefix(prefix)
        if rest != name and rest[:1].isupper():
            return ": models run on PyTorch alone" + ("" if reason_of_absence(rest) else f"; use {rest}")
    if difflib.get_close_matches(name, AUTO, n=1, cutoff=0.95):
        return ""  # a slip, for which the nearest name is worth more
    for pattern, what in _ABSENT:
        if re.search(pattern, name):
            return f": {what} not part of this version"
    family = re.fullmatch(_OF_A_FAMILY, name)
    known = sorted({prefix for _, prefix in FAMILIES.values()})
    if family is not None and family[1] != "Auto":
        if family[1] in known:
            return _rest_of(family[1], name)
        if _is_slip(family[1], [*known, "PreTrained", "Pretrained"]):
            return ""
        return f": {family[1]} is not among the model families of this version ({', '.join(known)})"
    if re.search(r"Tokenizer(Fast)?$", name) and not name.startswith("Auto"):
        return ": no such tokenizer is part of this version; AutoTokenizer reads any tokenizer.json"
    if re.fullmatch(_PART, name):
        return (
            ": models are made of shared blocks and return shared records; a family's own parts and records "
            "are not part of this version"
        )
    return ""


def _rest_of(family: str, name: str) -> str:
    """What there is of a family that has no class `name`; empty for a slip. This imports the family."""
    from formers.auto import derived_names

    longer = tuple(one for _, one in FAMILIES.values() if one.startswith(family) and one != family)
    own = [one for one in derived_names() if one.startswith(family) and not one.startswith(longer)]
    if difflib.get_close_matches(name, own, n=1, cutoff=0.9):
        return ""
    return f": of {family} this version has {', '.join(sorted(own))}"


def _is_slip(word: str, known: list[str]) -> bool:
    """Whether a family's name is one that there is, mistyped; a capital or digit more is another family."""

    def marks(one: str) -> str:
        return re.sub(r"[a-z_]", "", one)

    near = difflib.get_close_matches(word, known, cutoff=0.8)
    return any(marks(one) == marks(word) and not word.startswith(one) for one in near) or word.lower() in {
        one.lower() for one in known
    }


def known() -> Iterator[str]:
    """Every derived name; this imports the families."""
    from formers.auto import derived_names
    from formers.core import available
    from formers.processing.audio.recipes import CLASSES as SOUNDS
    from formers.processing.pairs import CLASSES as PAIRS
    from formers.processing.recipes import CLASSES as PROCESSORS
    from formers.processing.video_recipes import FILM_CLASSES as FILMS
    from formers.tokenization.recipes import CLASSES

    yield from CLASSES
    yield from PROCESSORS
    yield from FILMS
    yield from PAIRS
    yield from SOUNDS
    yield from available.names()
    yield from _named_outputs()
    yield from PLAIN_MAPS
    for auto in ("AutoModel", *AUTO):
        yield from (map_of(auto), f"{map_of(auto)}_NAMES")
    yield from derived_names()
