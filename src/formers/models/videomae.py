"""VideoMAE (Tong et al. 2022, arXiv:2203.12602): ViT-MAE over films."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.masked_video import Spec as Pixels
from formers.tasks.specs import Sequences, Transform


class VideoMAEConfig(PretrainedConfig):
    """Configuration of VideoMAE."""

    model_type = "videomae"
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    num_channels: int = 3
    num_frames: int = 16
    tubelet_size: int = 2
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    qv_bias: bool = True
    use_mean_pooling: bool = True
    decoder_num_attention_heads: int = 6
    decoder_hidden_size: int = 384
    decoder_num_hidden_layers: int = 4
    decoder_intermediate_size: int = 1536
    norm_pix_loss: bool = True


NAMES = vit.NAMES.with_(embeddings={"embedding_dropout": None})
DECODER = spec.Names("decoder_layers", vit.NAMES.layer, {}, {})
PATHS = {"embed": "encoder_to_decoder", "mask": "mask_token", "norm": "norm", "out": "head"}


def stack(c: VideoMAEConfig) -> spec.Stack:
    """The encoder."""
    one = vit.layer(c, dropout=c.hidden_dropout_prob, biases=(c.qv_bias, False, c.qv_bias))
    stem = spec.Tubelets(
        **vars(vit.patches(c, leads=(), placed=False)),
        frames=c.num_frames,
        depth=c.tubelet_size,
        waves=True,
    )
    made = vit.encoder(c, "VideoMAELayer", (one,) * c.num_hidden_layers, stem, NAMES)
    return replace(made, final_norm=None) if c.use_mean_pooling else made


def pixels(c: VideoMAEConfig) -> Pixels:
    """The decoder."""
    wide, heads = c.decoder_hidden_size, c.decoder_num_attention_heads
    bias = (c.qv_bias, False, c.qv_bias)
    attention = spec.Attention(
        spec.Heads.split(wide, heads), dropout=c.attention_probs_dropout_prob, biases=bias
    )
    one = spec.layer(
        attention,
        spec.FeedForward(c.decoder_intermediate_size, c.hidden_act),
        spec.Norm("layer", c.layer_norm_eps),
        "pre",
        dropout=c.hidden_dropout_prob,
    )
    layers = spec.Stack(
        stem=spec.Queries(0, wide),
        layers=(one,) * c.decoder_num_hidden_layers,
        names=DECODER,
        width=wide,
        layer_class="VideoMAELayer",
        reports="plain",
        initial_std=c.initializer_range,
    )
    return Pixels(layers, "decoder", PATHS, c.norm_pix_loss)


def labels(c: VideoMAEConfig) -> Sequences:
    """The mean of all patches, normed, or the first one."""
    if not c.use_mean_pooling:
        return Sequences("classifier", pool="first")
    return Sequences("classifier", pool="mean", before=Transform(norm="fc_norm", normed=spec.Norm(eps=1e-5)))


VIDEOMAE = register(
    Family(
        model_type="videomae",
        name="VideoMAE",
        config=VideoMAEConfig,
        base="videomae",
        assembly=Single(stack, spec.Tubelets, reads=("pixel_values", "bool_masked_pos")),
        heads={
            "ForPreTraining": Head("masked_video", pixels),
            "ForVideoClassification": Head("video_classification", labels),
        },
        renames=(
            Rename("{path}.attention.q_bias", "{path}.attention.query.bias", written=True),
            Rename("{path}.attention.v_bias", "{path}.attention.value.bias", written=True),
        ),
        order=(("attention", "intermediate", "output", "layernorm_before", "layernorm_after"),),
    )
)
