"""wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477): hidden moments of a wave, told from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import hubert
from formers.models.registry import register
from formers.models.whisper import labels
from formers.nn import spec
from formers.tasks.contrastive_pretraining import Spec as Contrasted
from formers.tasks.frame_classification import Spec as Moments
from formers.tasks.speaker_verification import Spec as Voices


class CodesConfig(PretrainedConfig):
    """Codes that hidden moments are told by."""

    num_codevectors_per_group: int = 320
    num_codevector_groups: int = 2
    contrastive_logits_temperature: float = 0.1
    num_negatives: int = 100
    codevector_dim: int = 256
    proj_codevector_dim: int = 256
    diversity_loss_weight: float = 0.1


class VoicesConfig(PretrainedConfig):
    """The layers that make a vector of a voice."""

    tdnn_dim: list[int] = [512, 512, 512, 512, 1500]  # noqa: RUF012
    tdnn_kernel: list[int] = [5, 3, 3, 1, 1]  # noqa: RUF012
    tdnn_dilation: list[int] = [1, 2, 3, 1, 1]  # noqa: RUF012
    xvector_output_dim: int = 512


class AdapterConfig(PretrainedConfig):
    """Layers behind the encoder (`add_adapter`), which make its rows fewer."""

    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    output_hidden_size: int | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.output_hidden_size = self.output_hidden_size or self.hidden_size


class Wav2Vec2Config(hubert.WaveConfig, CodesConfig, VoicesConfig, AdapterConfig):
    """Configuration of wav2vec 2.0.

    With `adapter_attn_dim` every layer whose norms stand before its parts has a small part that is
    learned for one language (Pratap et al. 2023, arXiv:2305.13516, section 5.3).
    """

    model_type = "wav2vec2"
    feat_quantizer_dropout: float = 0.0
    adapter_attn_dim: int | None = None


def behind(c: AdapterConfig, name: str) -> spec.PostEncoder | None:
    """Layers behind the encoder of a family of that name, where the config has them."""
    if not c.add_adapter:
        return None
    shape = c.num_adapter_layers, c.adapter_kernel_size, c.adapter_stride, 1
    widths, norm = (c.hidden_size, c.output_hidden_size or c.hidden_size), spec.Norm("layer", 1e-5)
    return spec.PostEncoder(*widths, *shape, "adapter", f"{name}AdapterLayer", {"conv": "conv"}, norm)


def whole(c: Any) -> Any:
    """A config without layers behind the encoder, as heads that label what it hears need.

    Raises:
        ValueError: where there are such layers.
    """
    if getattr(c, "add_adapter", False):
        raise ValueError(
            "add_adapter=True: heads for labels, and sums over the states of all layers "
            "(use_weighted_layer_sum), read the encoder's own rows; leave it out"
        )
    return c


def weights(c: Any) -> dict[str, Any]:
    """Where the weights of hidden states lie that heads mix, and how many there are."""
    path = "layer_weights" if c.use_weighted_layer_sum else None
    return {"mixed": path, "count": c.num_hidden_layers + 1}


LABELS = Head("audio_classification", lambda c: labels(whole(c)))
MOMENTS = Head("audio_frame_classification", lambda c: Moments("classifier", **weights(whole(c))))
VOICES = Head(
    "audio_xvector",
    lambda c: Voices(
        tuple(c.tdnn_dim),
        tuple(c.tdnn_kernel),
        tuple(c.tdnn_dilation),
        c.xvector_output_dim,
        **weights(whole(c) if c.use_weighted_layer_sum else c),
    ),
)
HEADS = {
    "ForCTC": hubert.LETTERS,
    "ForSequenceClassification": LABELS,
    "ForAudioFrameClassification": MOMENTS,
    "ForXVector": VOICES,
}


def contrasted(c: Any) -> Contrasted:
    """What is learned of sounds alone."""
    return Contrasted(
        c.conv_dim[-1],
        c.num_codevector_groups,
        c.num_codevectors_per_group,
        c.codevector_dim,
        c.proj_codevector_dim,
        c.contrastive_logits_temperature,
        c.diversity_loss_weight,
        c.feat_quantizer_dropout,
    )


ADAPTER = {
    **{"adapter_norm": "adapter_layer.norm", "adapter_up": "adapter_layer.linear_1"},
    **{"adapter_act": "adapter_layer.act_fn", "adapter_down": "adapter_layer.linear_2"},
}


def stack(c: Wav2Vec2Config) -> spec.Stack:
    """The encoder, with adapters where the config has them."""
    made = replace(hubert.stack(c, "Wav2Vec2", tells=True), behind=behind(c, "Wav2Vec2"))
    if c.adapter_attn_dim is None or not c.do_stable_layer_norm:
        return made
    narrow = spec.FeedForward(c.adapter_attn_dim, "relu", prefix="adapter_")
    part = spec.Part(narrow, "adapter", spec.Norm("layer", 1e-5))
    one = replace(made.layers[0], parts=(*made.layers[0].parts, part))
    return replace(made, layers=(one,) * len(made.layers), names=made.names.with_(layer=ADAPTER))


LETTERS = Head("ctc", lambda c: Moments("lm_head", c.final_dropout, adapters="adapter_layer"))
WAV2VEC2 = register(
    Family(
        model_type="wav2vec2",
        name="Wav2Vec2",
        config=Wav2Vec2Config,
        base="wav2vec2",
        assembly=WaveformEncoder(stack),
        heads={"ForPreTraining": Head("contrastive_pretraining", contrasted), **HEADS, "ForCTC": LETTERS},
        renames=hubert.RENAMES,
    )
)
