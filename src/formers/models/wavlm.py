"""WavLM (Chen et al. 2021, arXiv:2110.13900): wav2vec 2.0 whose queries weigh a bias of distances."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family
from formers.models import hubert, wav2vec2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Buckets


class WavLMConfig(hubert.WaveConfig, wav2vec2.CodesConfig, wav2vec2.VoicesConfig, wav2vec2.AdapterConfig):
    """Configuration of WavLM."""

    model_type = "wavlm"
    num_buckets: int = 320
    max_bucket_distance: int = 800
    num_ctc_classes: int = 80
    ctc_loss_reduction: str = "mean"


ROLES = {
    "score_bias": "attention.rel_attn_embed",
    "bias_gates": "attention.gru_rel_pos_linear",
    "bias_gain": "attention.gru_rel_pos_const",
}


def stack(c: WavLMConfig) -> spec.Stack:
    """The encoder, whose first layer holds the table of distances."""
    made = replace(hubert.stack(c, "WavLM", tells=True), behind=wav2vec2.behind(c, "WavLM"))
    mixer = spec.GatedRelativeBias(
        **vars(hubert.attention(c)) | {"score_bias": Buckets(c.num_buckets, c.max_bucket_distance)}
    )
    first, other = (
        hubert.layer(c, replace(mixer, owns_score_bias=owns), c.do_stable_layer_norm)
        for owns in (True, False)
    )
    layers = (first, *(other,) * (c.num_hidden_layers - 1))
    return replace(made, layers=layers, names=made.names.with_(layer=ROLES))


WAVLM = register(
    Family(
        model_type="wavlm",
        name="WavLM",
        config=WavLMConfig,
        base="wavlm",
        assembly=WaveformEncoder(stack),
        heads=wav2vec2.HEADS,
        renames=hubert.RENAMES,
    )
)
