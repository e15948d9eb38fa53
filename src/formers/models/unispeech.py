"""UniSpeech (Wang et al. 2021, arXiv:2101.07597) and UniSpeech-SAT (Chen et al. 2021, arXiv:2110.05752)."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family, Head
from formers.models import hubert, wav2vec2
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.unit_pretraining import Clustered, Replaced


class UniSpeechConfig(hubert.WaveConfig, wav2vec2.CodesConfig):
    """Configuration of UniSpeech. `replace_prob` is read by no part: callers replace states themselves."""

    model_type = "unispeech"
    feat_quantizer_dropout: float = 0.0
    num_ctc_classes: int = 80
    replace_prob: float = 0.5
    ctc_loss_reduction: str = "mean"


class UniSpeechSatConfig(hubert.WaveConfig, wav2vec2.CodesConfig, wav2vec2.VoicesConfig):
    """Configuration of UniSpeech-SAT."""

    model_type = "unispeech-sat"
    feat_quantizer_dropout: float = 0.0
    num_clusters: int = 504
    ctc_loss_reduction: str = "mean"


def aware(c: Any) -> spec.Stack:
    """The encoder of UniSpeech-SAT, whose files always hold what stands in place of hidden rows."""
    made = hubert.stack(c, "UniSpeechSat", tells=True)
    assert isinstance(made.stem, spec.Waves)
    return replace(made, stem=replace(made.stem, masked=True))


def replaced(c: UniSpeechConfig) -> Replaced:
    """States and codes as wide."""
    codes = asdict(wav2vec2.contrasted(c))
    return Replaced(**codes, classes=c.num_ctc_classes, last_dropout=c.final_dropout)


def clustered(c: UniSpeechSatConfig) -> Clustered:
    """What is learned of sounds and of who speaks."""
    codes = {**asdict(wav2vec2.contrasted(c)), "features": c.hidden_size}
    return Clustered(**codes, clusters=c.num_clusters, eps=c.layer_norm_eps, last_dropout=c.final_dropout)


UNISPEECH = register(
    Family(
        model_type="unispeech",
        name="UniSpeech",
        config=UniSpeechConfig,
        base="unispeech",
        assembly=WaveformEncoder(lambda c: hubert.stack(c, "UniSpeech", tells=True)),
        heads={
            "ForPreTraining": Head("unit_pretraining", replaced),
            "ForCTC": hubert.LETTERS,
            "ForSequenceClassification": hubert.LABELS,
        },
        renames=hubert.RENAMES,
    )
)
UNISPEECH_SAT = register(
    Family(
        model_type="unispeech-sat",
        name="UniSpeechSat",
        config=UniSpeechSatConfig,
        base="unispeech_sat",
        assembly=WaveformEncoder(aware),
        heads={"ForPreTraining": Head("cluster_pretraining", clustered), **wav2vec2.HEADS},
        renames=hubert.RENAMES,
    )
)
