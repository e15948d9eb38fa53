"""ViT-MAE (He et al. 2021, arXiv:2111.06377): a ViT that sees some patches, and a decoder of the rest."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.masked_autoencoder import Masked
from formers.checkpoints import Rename
from formers.models import vit
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.masked_autoencoding import Spec as Pixels


class ViTMAEConfig(vit.EncoderConfig):
    """Configuration of ViT-MAE."""

    model_type = "vit_mae"
    decoder_num_attention_heads: int = 16
    decoder_hidden_size: int = 512
    decoder_num_hidden_layers: int = 8
    decoder_intermediate_size: int = 2048
    mask_ratio: float = 0.75
    norm_pix_loss: bool = False


NAMES = vit.NAMES.with_(embeddings={"embedding_dropout": None})
DECODER = spec.Names("decoder_layers", vit.NAMES.layer, {}, {"final_norm": "decoder_norm"})
PATHS = {
    "embed": "decoder_embed",
    "mask": "mask_token",
    "position": "decoder_pos_embed",
    "out": "decoder_pred",
}
LAYER, OLDER = "decoder.decoder_layers.{i}", {k: v for k, v in vit.NEWER.items() if k != "layers.{i}"}


def stack(c: ViTMAEConfig) -> spec.Stack:
    """The encoder."""
    stem = spec.VisiblePatches(**vars(vit.patches(c, fixed=True)), hidden=c.mask_ratio)
    return vit.plain(c, "ViTMAELayer", stem, NAMES)


def pixels(c: ViTMAEConfig) -> Pixels:
    """The decoder."""
    narrow = c.__class__(
        **{
            **{name: getattr(c, name) for name in ("layer_norm_eps", "hidden_act", "qkv_bias")},
            "hidden_dropout_prob": c.hidden_dropout_prob,
            "attention_probs_dropout_prob": c.attention_probs_dropout_prob,
            "hidden_size": c.decoder_hidden_size,
            "num_attention_heads": c.decoder_num_attention_heads,
            "intermediate_size": c.decoder_intermediate_size,
        }
    )
    one = vit.layer(narrow, dropout=c.hidden_dropout_prob, bias=c.qkv_bias)
    layers = spec.Stack(
        stem=spec.Queries(0, c.decoder_hidden_size),
        layers=(one,) * c.decoder_num_hidden_layers,
        names=DECODER,
        width=c.decoder_hidden_size,
        layer_class="ViTMAELayer",
        final_norm=spec.Norm("layer", c.layer_norm_eps),
        reports="plain",
        initial_std=c.initializer_range,
    )
    (high, wide), (side, _) = spec.pair(c.image_size), spec.pair(c.patch_size)
    return Pixels(
        layers, "decoder", PATHS, (high // side, wide // side), side, c.num_channels, c.norm_pix_loss
    )


VIT_MAE = register(
    Family(
        model_type="vit_mae",
        name="ViTMAE",
        config=ViTMAEConfig,
        base="vit",
        assembly=Masked(
            stack,
            spec.VisiblePatches,
            reads=("pixel_values", "noise", "interpolate_pos_encoding", "attention_mask"),
        ),
        heads={"ForPreTraining": Head("masked_autoencoding", pixels)},
        # the ecosystem's newer files
        renames=(
            Rename("decoder.decoder_encoder.layer.{rest}", "decoder.decoder_layers.{rest}", written=True),
        ),
        order=vit.ORDER,
        aliases={
            **vit.NEWER,
            **{
                f"decoder.decoder_{newer}": older.replace("encoder.layer.{i}", LAYER)
                for newer, older in OLDER.items()
            },
        },
    )
)
