"""A checkpoint of a few thousand random weights for each task, as the reference writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

from system import tiny_writer
from tests.generation import small_speech, small_spelling
from tests.parity.shapes import SHAPES, write_checkpoint
from tests.parity.test_captions import WORDS, sharpened, words
from tests.parity.test_speaking import SPEAKING, write_vits
from tests.parity.vision_conv_shapes import SHAPES as CONVOLVED
from tests.parity.vision_detr_shapes import SHAPES as DETR

_SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
_WIDE = {"initializer_range": 0.6}


def build(task: str, folder: Path) -> Path:
    """Write the checkpoint of a task."""
    torch.manual_seed(0)
    _BUILDERS[task](folder)
    return folder


def _bert(head: str, **fields: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        config = transformers.BertConfig(
            vocab_size=len(WORDS), max_position_embeddings=64, **_SMALL, **_WIDE, **fields
        )
        getattr(transformers, f"Bert{head}")(config).save_pretrained(folder)
        words(folder, model_max_length=64)

    return write


def _bart(folder: Path) -> None:
    sides = ("encoder", "decoder")
    sizes = {f"{side}_{name}": value for side in sides for name, value in _SIDE.items()}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.BartConfig(
        vocab_size=len(WORDS), d_model=16, max_position_embeddings=64, init_std=0.6, **sizes, **ids
    )
    config.forced_eos_token_id = None
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    words(folder, model_max_length=64)


_SIDE = {"layers": 1, "attention_heads": 2, "ffn_dim": 24}


def _tapas(folder: Path) -> None:
    import formers
    from parity.test_pipelines_table_question_answering import OPERATORS, SIZES
    from parity.tokenization_samples import WORDPIECE_SPECIAL, write_vocab_txt
    from span_zoo import draw

    write_vocab_txt(folder, special=[*WORDPIECE_SPECIAL, "[EMPTY]"])
    tokenizer = formers.TapasTokenizer.from_pretrained(folder, model_max_length=160)
    tokenizer.save_pretrained(folder)
    model = formers.TapasForQuestionAnswering(
        formers.TapasConfig(vocab_size=len(tokenizer), **SIZES, **OPERATORS)
    )
    draw(model)
    model.save_pretrained(folder)


def _vit(folder: Path) -> None:
    config = transformers.ViTConfig(**_SMALL, **_WIDE, image_size=16, patch_size=8)
    config.num_labels = 5
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)


def _detr(head: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_checkpoint("detr", next(iter(DETR["detr"])), head, folder)
        size = {"shortest_edge": 64, "longest_edge": 90}
        transformers.DetrImageProcessorPil(size=size).save_pretrained(folder)

    return write


def _swin2sr(folder: Path) -> None:
    (shape,) = CONVOLVED["swin2sr"].values()
    config = transformers.Swin2SRConfig(**shape)
    transformers.Swin2SRForImageSuperResolution(config).save_pretrained(folder)
    transformers.Swin2SRImageProcessorPil().save_pretrained(folder)


def _captioner(folder: Path) -> None:
    shape = {**SHAPES["vision-encoder-decoder"]["ViT and TrOCR"]}
    shape["encoder"] = {**shape["encoder"], "num_channels": 3}
    config = transformers.VisionEncoderDecoderConfig(**shape)
    sharpened(transformers.VisionEncoderDecoderModel(config), folder)
    images = transformers.ViTImageProcessorPil(size={"height": 12, "width": 12})
    transformers.TrOCRProcessor(images, words(folder)).save_pretrained(folder)


def _vilt(folder: Path) -> None:
    shape = {**SHAPES["vilt"]["plain"], "vocab_size": len(WORDS), "num_channels": 3}
    config = transformers.ViltConfig(**shape, id2label=dict(enumerate(("yes", "no", "two", "red"))))
    model = transformers.ViltForQuestionAnswering(config)
    torch.nn.init.normal_(model.classifier[3].weight, std=1.0)
    model.save_pretrained(folder)
    images = ViltImageProcessorPil(size={"shortest_edge": 12}, size_divisor=4)
    transformers.ViltProcessor(images, words(folder)).save_pretrained(folder)


def _layoutlm(folder: Path) -> None:
    config = transformers.LayoutLMConfig(**_SMALL, vocab_size=len(WORDS), max_position_embeddings=64)
    config.num_labels = 2
    model = transformers.LayoutLMForQuestionAnswering(config)
    torch.nn.init.normal_(model.qa_outputs.weight, std=1.0)
    model.save_pretrained(folder)
    words(folder, model_max_length=64)


def _clip(folder: Path) -> None:
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = (str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer = transformers.CLIPTokenizer(vocab=files[0], merges=files[1], model_max_length=40)
    images = transformers.CLIPImageProcessorPil(size=20, crop_size=16)
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), len(tokens) - 1)
    text = {**_SMALL, **ends, "vocab_size": len(tokens), "max_position_embeddings": 40}
    vision = {**_SMALL, "image_size": 16, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision)
    transformers.CLIPModel(config).save_pretrained(folder)


def _glpn(folder: Path) -> None:
    write_checkpoint("glpn", "plain", "GLPNForDepthEstimation", folder)
    transformers.GLPNImageProcessorPil().save_pretrained(folder)


def _whisper(folder: Path) -> None:
    small_speech.both(folder)
    small_speech.write_processor(folder)


_ENTAILS = {0: "contradiction", 1: "neutral", 2: "entailment"}
_TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"}
_BUILDERS: dict[str, Callable[[Path], Any]] = {
    "text-classification": _bert("ForSequenceClassification", id2label={0: "bad", 1: "good"}),
    "token-classification": _bert("ForTokenClassification", id2label=_TAGS),
    "question-answering": _bert("ForQuestionAnswering"),
    "table-question-answering": _tapas,
    "fill-mask": _bert("ForMaskedLM"),
    "zero-shot-classification": _bert("ForSequenceClassification", id2label=_ENTAILS),
    "feature-extraction": _bert("Model"),
    "sentence-similarity": _bert("Model"),
    "text-ranking": _bert("ForSequenceClassification", num_labels=1),
    "summarization": _bart,
    "translation": _bart,
    "text-generation": tiny_writer.write,
    "image-classification": _vit,
    "image-segmentation": _detr("DetrForSegmentation"),
    "object-detection": _detr("DetrForObjectDetection"),
    "depth-estimation": _glpn,
    "image-to-image": _swin2sr,
    "image-to-text": _captioner,
    "visual-question-answering": _vilt,
    "document-question-answering": _layoutlm,
    "zero-shot-image-classification": _clip,
    "automatic-speech-recognition": _whisper,
    "audio-classification": lambda folder: small_spelling.write(
        folder, "ForSequenceClassification", num_labels=7
    ),
    "text-to-speech": lambda folder: write_vits(folder, SPEAKING),
}
