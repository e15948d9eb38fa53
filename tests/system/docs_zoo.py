"""A reader's folder: tiny checkpoints under the names that the documentation uses, and files to read."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import formers
import tiny
from parity.pictures import colours
from system import seed_zoo, task_zoo

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
# name in the documentation -> task of the zoo of tasks
OF_TASKS = {
    "Intel/dpt-large": "depth-estimation",
    "caidas/swin2SR-classical-sr-x2-64": "image-to-image",
    "cross-encoder/ms-marco-MiniLM-L6-v2": "text-ranking",
    "dandelin/vilt-b32-finetuned-vqa": "visual-question-answering",
    "facebook/detr-resnet-50": "object-detection",
    "facebook/detr-resnet-50-panoptic": "image-segmentation",
    "facebook/mms-tts-eng": "text-to-speech",
    "google/tapas-base-finetuned-wtq": "table-question-answering",
    "impira/layoutlm-document-qa": "document-question-answering",
    "openai/clip-vit-base-patch32": "zero-shot-image-classification",
    "superb/wav2vec2-base-superb-ks": "audio-classification",
}
# other names of checkpoints that the zoos of tutorials have
ALSO = {
    "bert-base-cased": "bert-base-uncased",
    "distilgpt2": "gpt2",
    "distilbert/distilbert-base-cased-distilled-squad": "distilbert-base-cased-distilled-squad",
    "distilbert/distilbert-base-uncased": "distilbert-base-uncased",
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": (
        "distilbert-base-uncased-finetuned-sst-2-english"
    ),
    "google-bert/bert-base-uncased": "bert-base-uncased",
    "google-t5/t5-small": "t5-small",
    "openai-community/gpt2": "gpt2",
}
TALK = (
    "{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] in ('image', 'audio') %}MARK{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def build(folder: Path) -> Path:
    """Write everything; each checkpoint's folder is named as its original is on the Hub."""
    from benchmarks import seed_checkpoints

    seed_zoo.build(folder)
    seed_checkpoints.build(folder)
    torch.manual_seed(0)
    for name, task in OF_TASKS.items():
        (folder / name).mkdir(parents=True)
        task_zoo.build(task, folder / name)
    for name, write in _MORE.items():
        (folder / name).mkdir(parents=True)
        write(folder / name)
    _ends(folder / "gpt2")
    for name, real in ALSO.items():
        shutil.copytree(folder / real, folder / name)
    tiny.save_classifier(folder / "router")
    tiny.save_encoder(folder / "sentence-transformers" / "all-MiniLM-L6-v2")
    write_files(folder)
    seed_checkpoints.put_files(folder, [("i love this product", 1), ("terrible experience", 0)] * 8)
    return folder


def _ends(folder: Path) -> None:
    """Let texts end by the tokenizer's own mark, so that forms can be kept to."""
    for name in ("config.json", "generation_config.json"):
        told = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**told, "bos_token_id": 0, "eos_token_id": 0}))


def write_files(folder: Path) -> None:
    """Pictures, sounds, a film and tables."""
    import av
    import soundfile

    for name, size in (("cats.jpg", (40, 50)), ("street.jpg", (48, 64)), ("invoice.png", (60, 45))):
        Image.fromarray(colours(*size)).save(folder / name)
    for name, size in (("left.jpg", (40, 50)), ("right.jpg", (48, 48))):
        Image.fromarray(colours(*size)).save(folder / name)
    wave = (0.2 * np.sin(np.arange(16000) / 15)).astype("float32")
    for name in ("talk.wav", "bark.wav"):
        soundfile.write(folder / name, wave, 16000)
    with av.open(str(folder / "film.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "yuv420p"
        for shade in range(20):
            frame = np.full((16, 24, 3), 10 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    rows = tiny.tickets(20)
    with (folder / "tickets.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([("text", "label"), *rows])
    (folder / "today.txt").write_text("\n".join(text for text, _ in rows[:8]) + "\n")
    (folder / "notes.txt").write_text("once upon a time i love the city of paris . \n" * 40)


def _bytes(folder: Path, marks: list[str], **named: str) -> Any:
    """A tokenizer of bytes with marks in front, saved."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(marks)
    tokenizer = formers.PreTrainedTokenizerFast(tokenizer_object=made, padding_side="left", **named)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _talker(folder: Path) -> None:
    """LLaVA."""
    marks = ["<s>", "</s>", "<pad>", "<image>"]
    tokenizer = _bytes(folder, marks, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    images = formers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    formers.LlavaProcessor(
        images,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TALK.replace("MARK", "<image>"),
    ).save_pretrained(folder)
    two = {**SMALL, "num_hidden_layers": 2}
    config = formers.LlavaConfig(
        text_config={"model_type": "llama", **two, "vocab_size": 300, "eos_token_id": 1, "pad_token_id": 2},
        vision_config={"model_type": "clip_vision_model", **two, "image_size": 16, "patch_size": 8},
        image_token_index=3,
    )
    formers.LlavaForConditionalGeneration(config).save_pretrained(folder)


def _listener(folder: Path) -> None:
    """Qwen2-Audio."""
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tokenizer = _bytes(folder, marks, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    extractor = formers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    formers.Qwen2AudioProcessor(
        extractor, tokenizer, chat_template=TALK.replace("MARK", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    ).save_pretrained(folder)
    heard = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 24}
    config = formers.Qwen2AudioConfig(
        text_config={
            **{"model_type": "qwen2", **SMALL, "num_key_value_heads": 1, "vocab_size": 300},
            **{"eos_token_id": 2, "pad_token_id": 0, "bos_token_id": None},
        },
        audio_config={
            **{"model_type": "qwen2_audio_encoder", **heard, "num_mel_bins": 8},
            "max_source_positions": 50,
        },
        audio_token_index=3,
    )
    formers.Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)


def _films(folder: Path) -> None:
    """VideoMAE."""
    config = formers.VideoMAEConfig(
        **SMALL, image_size=16, patch_size=8, num_frames=4, id2label={0: "running", 1: "archery"}
    )
    formers.VideoMAEForVideoClassification(config).save_pretrained(folder)
    square = {"height": 16, "width": 16}
    formers.VideoMAEImageProcessor(size={"shortest_edge": 16}, crop_size=square).save_pretrained(folder)


def _sounds(folder: Path) -> None:
    """CLAP."""
    from parity.speech_shapes import MORE

    marks = ["<pad>", "<s>", "</s>", "<unk>"]
    tokenizer = _bytes(folder, marks, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    shape = json.loads(json.dumps(MORE["clap"]["fused"]))
    shape["text_config"].update(vocab_size=300, max_position_embeddings=80)
    formers.ClapModel(formers.ClapConfig(**shape)).save_pretrained(folder)
    extractor = formers.ClapFeatureExtractor(
        feature_size=8, max_length_s=1, fft_window_size=256, frequency_max=20000
    )
    formers.ClapProcessor(extractor, tokenizer).save_pretrained(folder)


def _finder(folder: Path) -> None:
    """OWL-ViT."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = formers.CLIPTokenizer(
        vocab_file=folder / "vocab.json",
        merges_file=folder / "merges.txt",
        model_max_length=24,
        pad_token="!",
    )
    images = formers.OwlViTImageProcessor(size={"height": 16, "width": 16})
    formers.OwlViTProcessor(images, tokenizer).save_pretrained(folder)
    text = {**SMALL, "vocab_size": len(tokens), "max_position_embeddings": 24, "pad_token_id": 0}
    config = formers.OwlViTConfig(
        text_config=text, vision_config={**SMALL, "image_size": 16, "patch_size": 8}, projection_dim=16
    )
    formers.OwlViTForObjectDetection(config).save_pretrained(folder)


def _matcher(folder: Path) -> None:
    """SuperGlue."""
    from parity.vision_points_shapes import SHAPES

    (shape,) = SHAPES["superglue"].values()
    formers.SuperGlueForKeypointMatching(formers.SuperGlueConfig(**shape)).save_pretrained(folder)
    formers.SuperGlueImageProcessor(size={"height": 32, "width": 48}).save_pretrained(folder)


def _masks(folder: Path) -> None:
    """SAM."""
    from parity.test_sam import DECODER, PROMPTS, SIZES, VISION

    parts = {"vision_config": VISION, "prompt_encoder_config": PROMPTS, "mask_decoder_config": DECODER}
    formers.SamModel(formers.SamConfig(**parts)).save_pretrained(folder)
    formers.SamProcessor(formers.SamImageProcessor(**SIZES)).save_pretrained(folder)


_MORE: dict[str, Callable[[Path], None]] = {
    "MCG-NJU/videomae-base-finetuned-kinetics": _films,
    "Qwen/Qwen2-Audio-7B-Instruct": _listener,
    "facebook/sam-vit-huge": _masks,
    "google/owlvit-base-patch32": _finder,
    "laion/clap-htsat-fused": _sounds,
    "llava-hf/llava-1.5-7b-hf": _talker,
    "magic-leap-community/superglue_outdoor": _matcher,
}
