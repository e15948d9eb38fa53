"""Which module a derived public name comes from, without importing it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from formers.models.table import FAMILIES, OLDER_NAMES
from formers.tasks.table import AUTO


def find(name: str) -> tuple[str, str] | None:
    """Module and attribute behind a name such as `BertForMaskedLM`, `BertConfig` or `BertTokenizer`."""
    from formers.core import available
    from formers.tokenization.recipes import CLASSES

    if name in CLASSES:
        return "formers.tokenization", name
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


PLAIN_MAPS = ("CONFIG_MAPPING", "CONFIG_MAPPING_NAMES", "TOKENIZER_MAPPING", "TOKENIZER_MAPPING_NAMES")


def auto_of_map(name: str) -> str | None:
    """The Auto class whose map is called `name` (`MODEL_FOR_MASKED_LM_MAPPING`); None where there is none."""
    end = next((end for end in ("_MAPPING_NAMES", "_MAPPING") if name.endswith(end)), None)
    if end is None or not name.startswith("MODEL_"):
        return None
    word = name.removesuffix(end).replace("_", "").replace("SEQTOSEQCAUSALLM", "SEQ2SEQLM")
    return next((one for one in ("AutoModel", *AUTO) if one.removeprefix("Auto").upper() == word), None)


def _named_outputs() -> Mapping[str, str]:
    from formers.core import named_outputs

    return named_outputs.FIELDS


# Names that scripts ask for and that this version has not got: what they look like, what they belong to.
_ABSENT: tuple[tuple[str, str], ...] = (
    (
        r"BitsAndBytes|GPTQ|Gptq|Awq|Quantiz|quantiz|QUANTIZ|F[Pp]8|fp8|Mxfp4|TorchAo|Hqq|gguf|GGUF",
        "quantized loading is",
    ),
    (
        r"Streamer|Stopping|Criteria$|Logits(Processor|Warper)|^Generat\w+(Mixin|Output)$|^GenerationMixin",
        "text generation is",
    ),
    (r"ContinuousBatching|Candidate|Watermark|top_k_top_p", "text generation is"),
    (
        r"Process(or|ing)|FeatureExtract|BatchFeature|^Image|^Video|^Channel|^PIL|IMAGENET|OPENAI_CLIP",
        "processors of images and audio are",
    ),
    (
        r"_images?(_|$)|^make_\w*videos|^(to|infer)_channel|^mel_|^group_|^reorder_|^get_(image_)?size|^smart_resize",
        "processors of images and audio are",
    ),
    (
        r"^AutoModelFor(Image|Object|Vision|Zero|Semantic|Instance|Universal|Depth|Keypoint|Mask|Video)",
        "this task of images is",
    ),
    (r"^AutoModelFor(Speech|Audio|CTC|TextTo)", "this task of audio is"),
    (r"^AutoModelForMultimodal", "models of several kinds of input are"),
    (r"DeepSpeed|deepspeed|^smp_|SageMaker", "DeepSpeed is"),
    (r"dtensor|tensor_parallel|Parallel$|ALL_PARALLEL", "tensor parallelism is"),
    (
        r"dynamic_module|get_class_(in|from)|^check_imports|relative_import|custom_object|HF_MODULES",
        "code that checkpoints bring is never run: loading it is",
    ),
    (
        r"(Attention|AttentionMask)(Interface|Converter|Kwargs)|^ALL_\w+_FUNCTIONS|_masks?$|_mask_function$|flash_attention",
        "attention functions of one's own are",
    ),
    (
        r"_attention_forward$|^(causal|padding|and|or|sdpa|eager|flex)_mask|FlashAttention|SdpaAttention",
        "attention functions of one's own are",
    ),
    (
        r"GradientCheckpointingLayer|OutputRecorder|capture_outputs|ROPE_|RotaryEmbeddingConfig|Kwargs$|LOSS_MAPPING",
        "a class for writing models as the ecosystem does is",
    ),
    (
        r"^Weight[A-Z]|conversion|ConversionOps|^Concatenate$|MergeModulelist|rename_source_key",
        "conversion of weights while loading is",
    ),
    (
        r"squad|Squad|compute_(exact|f1)|^TextDataset|LineByLine|whitespace_tokenize",
        "data of single benchmarks is",
    ),
    (r"Pipeline$", "this pipeline is"),
)
_OF_A_FAMILY = re.compile(r"(\w+?)(PreTrainedModel|LMHeadModel|DoubleHeadsModel|Model|Config|For[A-Z]\w+)")


def reason_of_absence(name: str) -> str:
    """Why there is no such name, as the end of a sentence; empty where nothing is known of it."""
    for prefix in ("TF", "Flax"):
        if name.startswith(prefix) and name[len(prefix) :][:1].isupper():
            return f": models run on PyTorch alone; use {name.removeprefix(prefix)}"
    for pattern, what in _ABSENT:
        if re.search(pattern, name):
            return f": {what} not part of this version"
    family = _OF_A_FAMILY.fullmatch(name)
    known = ["PreTrained", "Pretrained", *(prefix for _, prefix in FAMILIES.values())]
    # a slip of the finger in the name of a family that there is deserves a suggestion instead
    if family is None or name.startswith("Auto") or difflib.get_close_matches(family[1], known, cutoff=0.8):
        return ""
    return f": {family[1]} is not among the model families of this version ({', '.join(sorted(known[2:]))})"


def known() -> Iterator[str]:
    """Every derived name; this imports the families."""
    from formers.auto import derived_names
    from formers.core import available
    from formers.tokenization.recipes import CLASSES

    yield from CLASSES
    yield from available.names()
    yield from _named_outputs()
    yield from PLAIN_MAPS
    for auto in ("AutoModel", *AUTO):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", auto.removeprefix("Auto")).upper()
        yield from (f"{name}_MAPPING", f"{name}_MAPPING_NAMES")
    yield from derived_names()
