"""A small Whisper of windows of one second, as this library's and as the reference's, of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

import formers

# 50 words, their end, then what a text begins with, and times 0 to 1 s: a window has 100 frames
END, START, TRANSLATE, TRANSCRIBE, BEFORE, SILENT, TIMELESS, FIRST = 50, 51, 56, 57, 59, 60, 61, 62
LANGUAGES = {"<|en|>": 52, "<|de|>": 53, "<|fr|>": 54, "<|zh|>": 55}
CONFIG = {
    **{"vocab_size": 113, "num_mel_bins": 8, "d_model": 16, "max_source_positions": 50},
    **{"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2},
    **{"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_target_positions": 36, "median_filter_width": 3},
    **{"pad_token_id": END, "bos_token_id": END, "eos_token_id": END, "decoder_start_token_id": START},
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
SETTINGS = {
    **{"max_length": 36, "pad_token_id": END, "bos_token_id": END, "eos_token_id": END},
    **{"decoder_start_token_id": START, "no_timestamps_token_id": TIMELESS, "prev_sot_token_id": BEFORE},
    **{"is_multilingual": True, "lang_to_id": LANGUAGES, "max_initial_timestamp_index": 20},
    "task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE},
    "alignment_heads": [[0, 1], [1, 0]],
    "suppress_tokens": [3, 7, START, TRANSLATE, TRANSCRIBE, BEFORE, SILENT, *LANGUAGES.values()],
    "begin_suppress_tokens": [11, END],
    "return_timestamps": False,
}


def both(folder: Path) -> tuple[Any, Any]:
    """The reference's model and this library's, the checkpoint in `folder`."""
    torch.manual_seed(7)
    theirs = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**CONFIG)).eval()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            if value.dim() > 1:  # wide enough that the likeliest token changes as a text goes on
                value.normal_(0, 0.9 if "embed" in name else 0.45)
    theirs.generation_config = transformers.GenerationConfig(**SETTINGS)
    theirs.save_pretrained(folder)
    return theirs, formers.WhisperForConditionalGeneration.from_pretrained(folder)


def write_processor(folder: Path) -> None:
    """The tokenizer and the feature extractor of such a checkpoint, as the reference writes them."""
    letters = [chr(one) for one in range(ord("a"), ord("z") + 1)]
    words = ["Ġ", *letters, *(f"Ġ{one}" for one in letters[:22]), "."]
    vocabulary = {word: i for i, word in enumerate(words)} | {"<|endoftext|>": END}
    tokenizer = transformers.WhisperTokenizer(vocabulary, [], pad_token="<|endoftext|>")
    names = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special = ["<|startoftranscript|>", *LANGUAGES, *names, "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([f"<|{i * 0.02:.2f}|>" for i in range(51)])
    tokenizer.save_pretrained(folder)
    sizes = {"feature_size": 8, "chunk_length": 1, "hop_length": 160, "n_fft": 400}
    transformers.WhisperFeatureExtractor(**sizes).save_pretrained(folder)
