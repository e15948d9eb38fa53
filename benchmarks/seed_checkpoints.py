"""Tiny checkpoints, pictures and sounds that documents name, beside those of the tests' own zoo."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from system.seed_zoo import VOCABULARY

SQUAD = ("distilbert-base-cased-distilled-squad", "distilbert-base-uncased-distilled-squad")


def build(folder: Path) -> None:
    """Write the checkpoints; each folder is named as its original is on the Hub."""
    import torch

    torch.manual_seed(0)
    _texts(folder)
    _pictures(folder)
    _speech(folder / "openai" / "whisper-base")


def _tokenizer(folder: Path, kind: str) -> None:
    import formers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    made = getattr(formers, kind)(vocab_file=folder / "vocab.txt", model_max_length=512)
    made.save_pretrained(folder)


def _texts(folder: Path) -> None:
    import formers

    small = {"vocab_size": len(VOCABULARY), "dim": 24, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    for name in SQUAD:
        formers.DistilBertForQuestionAnswering(formers.DistilBertConfig(**small)).save_pretrained(
            folder / name
        )
        _tokenizer(folder / name, "DistilBertTokenizer")
    tags = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    shape: dict[str, Any] = {
        **{"vocab_size": len(VOCABULARY), "hidden_size": 24, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "intermediate_size": 32},
    }
    tagging = formers.BertConfig(**shape, id2label=dict(enumerate(tags)), initializer_range=0.4)
    formers.BertForTokenClassification(tagging).save_pretrained(folder / "dslim" / "bert-base-NER")
    _tokenizer(folder / "dslim" / "bert-base-NER", "BertTokenizer")
    judging = formers.BartConfig(
        **{"vocab_size": len(VOCABULARY), "d_model": 24, "encoder_layers": 1, "decoder_layers": 1},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32},
        **{"decoder_ffn_dim": 32, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
        **{"decoder_start_token_id": 3, "forced_eos_token_id": 3},
        id2label={0: "contradiction", 1: "neutral", 2: "entailment"},
    )
    judge = folder / "facebook" / "bart-large-mnli"
    formers.BartForSequenceClassification(judging).save_pretrained(judge)
    _tokenizer(judge, "BertTokenizer")
    told = json.loads((judge / "tokenizer_config.json").read_text())
    (judge / "tokenizer_config.json").write_text(
        json.dumps({**told, "tokenizer_class": "PreTrainedTokenizerFast"})
    )


def _pictures(folder: Path) -> None:
    import formers

    seen = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    vit = folder / "google" / "vit-base-patch16-224"
    formers.ViTForImageClassification(
        formers.ViTConfig(**seen, image_size=32, patch_size=16, id2label={0: "cat", 1: "dog"})
    ).save_pretrained(vit)
    formers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(vit)
    git = folder / "microsoft" / "git-base"
    formers.GitForCausalLM(
        formers.GitConfig(
            **seen,
            **{"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
            vision_config={**seen, "image_size": 32, "patch_size": 16},
        )
    ).save_pretrained(git)
    _tokenizer(git, "BertTokenizer")
    square = {"height": 32, "width": 32}
    formers.GitProcessor(
        formers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square),
        formers.BertTokenizer(vocab_file=git / "vocab.txt", model_max_length=512),
    ).save_pretrained(git)


def _speech(folder: Path) -> None:
    import formers

    letters = [chr(i) for i in range(ord("!"), ord("~") + 1)] + ["Ġ"]
    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|translate|>"]
    marks += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{i / 50:.2f}|>" for i in range(1501)]
    size = len(letters) + len(marks) + len(times)
    at = {mark: len(letters) + i for i, mark in enumerate(marks)}
    config = formers.WhisperConfig(
        **{"vocab_size": size, "d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "num_mel_bins": 8},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32},
        **{"decoder_ffn_dim": 32, "decoder_start_token_id": at["<|startoftranscript|>"]},
        **dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), at["<|endoftext|>"]),
        max_target_positions=64,
    )
    model = formers.WhisperForConditionalGeneration(config)
    given = model.generation_config
    given.no_timestamps_token_id, given.is_multilingual = at["<|notimestamps|>"], True
    given.lang_to_id = {"<|en|>": at["<|en|>"]}
    given.task_to_id = {name: at[f"<|{name}|>"] for name in ("transcribe", "translate")}
    given.max_length, given.suppress_tokens, given.begin_suppress_tokens = 40, [], []
    given.max_initial_timestamp_index = 50
    model.save_pretrained(folder)
    tokenizer = formers.WhisperTokenizer(
        vocab={letter: i for i, letter in enumerate(letters)}, merges=[], pad_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.add_tokens(times)
    tokenizer.save_pretrained(folder)
    formers.WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)


def put_files(folder: Path, reviews: list[tuple[str, int]]) -> None:
    """The pictures, sounds and data sets that blocks open by name; reviews are texts with labels.

    Data sets without an owner lie in folders: newer versions of `datasets` ask a Hub for owners' alone.
    """
    import numpy as np
    import soundfile
    from PIL import Image

    for name in ("image.jpg", "img0.jpg", "img1.jpg", "img2.jpg", "path/to/image.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 40), (200, 120, 40)).save(folder / name)
    wave = np.sin(np.arange(16000) / 20).astype("float32")
    for name in ("audio.mp3", "audio_file.mp3"):
        soundfile.write(folder / name, wave, 16000)
    for name, files in _data_sets(reviews).items():
        for path, data in files.items():
            place = folder / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data.encode() if isinstance(data, str) else data)


def review_rows(reviews: list[tuple[str, int]]) -> dict[str, bytes | str]:
    """A data set of texts and labels."""
    rows = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in reviews)
    return {"train.jsonl": rows, "test.jsonl": rows}


def _data_sets(reviews: list[tuple[str, int]]) -> dict[str, dict[str, bytes | str]]:
    """Name -> files."""
    from PIL import Image

    pairs = "".join(
        json.dumps({"sentence1": text, "sentence2": text, "label": label, "idx": i}) + "\n"
        for i, (text, label) in enumerate(reviews)
    )
    told = "---\nconfigs:\n- config_name: mrpc\n  data_files:\n" + "".join(
        f"  - split: {split}\n    path: {split}.jsonl\n" for split in ("train", "validation", "test")
    )
    dishes: dict[str, bytes | str] = {}
    for i in range(8):
        held = io.BytesIO()
        Image.new("RGB", (48, 40), (30 * i, 120, 40)).save(held, "png")
        dishes[f"train/{('pizza', 'soup')[i % 2]}/{i}.png"] = held.getvalue()
    return {
        "imdb": review_rows(reviews),
        "glue": {
            **{f"{split}.jsonl": pairs for split in ("train", "validation", "test")},
            "README.md": told + "---\n",
        },
        "food101": dishes,
    }
