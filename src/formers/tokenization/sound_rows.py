"""The named tokenizers of models that hear or speak; see `recipes`."""

from __future__ import annotations

from formers.tokenization.file_rows import END
from formers.tokenization.recipe import Recipe

SOUND_ROWS: dict[str, Recipe] = {
    "Speech2Text": Recipe(
        kind="heard",
        files={"vocab_file": ("vocab.json",), "spm_file": ("sentencepiece.bpe.model",)},
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={"do_upper_case": False, "do_lower_case": False, "tgt_lang": None, "lang_codes": None},
        order=("vocab", "spm_file"),
        model_types=("speech_to_text",),
    ),
    "SpeechT5": Recipe(
        kind="spoken_pieces",
        files={"vocab_file": ("spm_char.model",)},
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={"normalize": False},
        model_types=("speecht5",),
    ),
    "Wav2Vec2CTC": Recipe(
        kind="spelling",
        files={"vocab_file": ("vocab.json",)},
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        options={
            "word_delimiter_token": "|",
            "replace_word_delimiter_char": " ",
            "do_lower_case": False,
            "target_lang": None,
        },
        model_types=(
            *("wav2vec2", "hubert", "data2vec-audio", "unispeech", "unispeech-sat", "wavlm"),
            *("wav2vec2-bert", "wav2vec2-conformer", "sew", "sew-d"),
        ),
        positions="relative",
    ),
    "Vits": Recipe(
        kind="sounding",
        files={"vocab_file": ("vocab.json",)},
        special={"pad_token": "<pad>", "unk_token": "<unk>"},
        options={
            **{"language": None, "add_blank": True, "normalize": True, "phonemize": True},
            "is_uroman": False,
        },
        model_types=("vits",),
        positions="relative",
    ),
    "Whisper": Recipe(
        kind="byte_bpe",
        files={
            "vocab_file": ("vocab.json",),
            "merges_file": ("merges.txt",),
            "normalizer_file": ("normalizer.json",),
        },
        special=dict.fromkeys(("unk_token", "bos_token", "eos_token"), END),
        options={
            **{"add_prefix_space": False, "errors": "replace", "language": None, "task": None},
            "predict_timestamps": False,
        },
        model_types=("whisper",),
        reads_all=True,
    ),
}
