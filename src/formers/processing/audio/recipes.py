"""What each family does to a sound, as data: the settings it starts from, and the form that a model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# What becomes of a sound: its wave; logarithms of mel bins above its loudest one less a range; Kaldi's filter
# banks of one length, or of each its own; the same with several frames in a row;
# logarithms of mel bins of whole frames, and how many tokens they take;
# decibels of mel bins, of all of it and of crops; its wave, channel by channel, in chunks; logarithms of mel
# bins as they are; the same with mean 0 and variance 1.
Form = Literal[
    "waves",
    "log mel",
    "filled banks",
    "banks",
    "stacked banks",
    "crops",
    "chunks",
    "mel",
    "normed mel",
    "framed mel",
]


@dataclass(frozen=True)
class SoundRecipe:
    """One family's feature extractor.

    Attributes:
        settings: the values it starts from, by the names of `preprocessor_config.json`.
        form: what becomes of a sound.
        inputs: names of what a call may return, the sounds first.
        call: keywords of a call -> what they are where nobody says.
        channels: `feature_size` says how many channels sounds have.
        fits: the form itself brings sounds to one length, by settings of its own.
        targets: what becomes of sounds that models are to say; None where there are none.
        derives: settings that follow from the others, which files hold too.
        model_types: model types whose checkpoints may leave the class out.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    form: Form = "waves"
    inputs: tuple[str, ...] = ("input_values", "attention_mask")
    call: Mapping[str, Any] = field(default_factory=dict)
    channels: bool = False
    fits: bool = False
    targets: Form | None = None
    derives: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: {}
    model_types: tuple[str, ...] = ()


def _numbers(size: int, mask: bool, **more: Any) -> dict[str, Any]:
    return {
        "feature_size": size,
        "sampling_rate": 16000,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": mask,
        **more,
    }


def _frames(values: Mapping[str, Any]) -> dict[str, Any]:
    samples = values["chunk_length"] * values["sampling_rate"]
    return {"n_samples": samples, "nb_max_frames": samples // values["hop_length"]}


def _clips(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "nb_frequency_bins": values["fft_window_size"] // 2 + 1,
        "nb_max_samples": values["max_length_s"] * values["sampling_rate"],
    }


_WAV2VEC2 = (
    *("wav2vec2", "wav2vec2-conformer", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat"),
    *("sew", "sew-d", "mctct", "moonshine", "speech-encoder-decoder"),
)

RECIPES: dict[str, SoundRecipe] = {
    "AST": SoundRecipe(
        _numbers(
            1, False, num_mel_bins=128, max_length=1024, do_normalize=True, mean=-4.2677393, std=4.5689974
        ),
        form="filled banks",
        model_types=("audio-spectrogram-transformer",),
    ),
    "Clap": SoundRecipe(
        {
            **_numbers(64, False, hop_length=480, fft_window_size=1024, max_length_s=10, top_db=None),
            **{"sampling_rate": 48000, "frequency_min": 0, "frequency_max": 14000},
            **{"truncation": "fusion", "padding": "repeatpad"},
        },
        form="crops",
        inputs=("input_features", "is_longer"),
        fits=True,
        derives=_clips,
        model_types=("clap", "clap_audio_model"),
    ),
    "Dac": SoundRecipe(
        _numbers(1, True, hop_length=512),
        form="chunks",
        inputs=("input_values", "n_quantizers"),
        call={"padding": True, "truncation": False},
        channels=True,
        fits=True,
        model_types=("dac",),
    ),
    "Encodec": SoundRecipe(
        {**_numbers(1, True, chunk_length_s=None, overlap=None), "sampling_rate": 24000},
        form="chunks",
        inputs=("input_values", "padding_mask"),
        call={"padding": True, "truncation": False},
        channels=True,
        fits=True,
        model_types=("encodec", "mimi"),
    ),
    "Parakeet": SoundRecipe(
        _numbers(80, True, hop_length=160, n_fft=512, win_length=400, preemphasis=0.97),
        form="normed mel",
        inputs=("input_features", "attention_mask"),
        call={"padding": "longest"},
        model_types=("parakeet_ctc", "parakeet_encoder", "parakeet_rnnt", "parakeet_tdt"),
    ),
    "Phi4Multimodal": SoundRecipe(
        {
            **_numbers(80, True, hop_length=160, n_fft=512, win_length=400, preemphasis=0.97),
            **{"audio_compression_rate": 8, "audio_downsample_rate": 1, "audio_feat_stride": 1},
            **{"mel_min_frequency": 0, "mel_max_frequency": 7690},
        },
        form="framed mel",
        inputs=("audio_input_features", "audio_embed_sizes", "audio_attention_mask"),
        call={"padding": "longest"},
        model_types=("phi4_multimodal",),
    ),
    "SeamlessM4T": SoundRecipe(
        _numbers(80, True, num_mel_bins=80, stride=2),
        form="stacked banks",
        inputs=("input_features", "attention_mask"),
        call={"padding": True, "pad_to_multiple_of": 2, "do_normalize_per_mel_bins": True},
        model_types=("wav2vec2-bert", "seamless_m4t", "seamless_m4t_v2"),
    ),
    "Speech2Text": SoundRecipe(
        _numbers(
            *(80, True),
            num_mel_bins=80,
            dither=0.0,
            do_ceptral_normalize=True,
            normalize_means=True,
            normalize_vars=True,
        ),
        form="banks",
        inputs=("input_features", "attention_mask"),
        model_types=("speech_to_text",),
    ),
    "SpeechT5": SoundRecipe(
        {
            **_numbers(1, True, do_normalize=False, num_mel_bins=80, hop_length=16, win_length=64),
            **{"win_function": "hann_window", "fmin": 80, "fmax": 7600, "mel_floor": 1e-10},
        },
        targets="mel",
        model_types=("speecht5",),
    ),
    "Wav2Vec2": SoundRecipe(_numbers(1, False, do_normalize=True), model_types=_WAV2VEC2),
    "Whisper": SoundRecipe(
        _numbers(80, False, hop_length=160, chunk_length=30, n_fft=400, dither=0.0, do_normalize=None),
        form="log mel",
        inputs=("input_features",),
        call={"padding": "max_length", "truncation": True},
        derives=_frames,
        model_types=("whisper", "qwen2_audio"),
    ),
}
MODEL_TYPES = {kind: name for name, recipe in RECIPES.items() for kind in recipe.model_types}
CLASSES = {f"{name}FeatureExtractor": name for name in RECIPES}
