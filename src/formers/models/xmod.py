"""X-MOD (Pfeiffer et al. 2022, arXiv:2205.06266): XLM-RoBERTa with adapters for each language."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.text.language_adapters import LanguageAdapters
from formers.models import bert, roberta
from formers.models.registry import register
from formers.nn import spec


class XmodConfig(roberta.RobertaConfig):
    """Configuration of X-MOD."""

    model_type = "xmod"
    vocab_size: int = 30522
    pre_norm: bool = False
    adapter_reduction_factor: int = 2
    adapter_layer_norm: bool = False
    adapter_reuse_layer_norm: bool = True
    ln_before_adapter: bool = True
    languages: list[str] | tuple[str, ...] = ("en_XX",)
    default_language: str | None = None


_ADAPTER = "output.adapter_modules.{i}"
# the layer calls the norms that its parts hold: one of them before the adapters, and again at the end
NAMES = bert.NAMES.with_(
    layer={
        "attention_norm_node": "attention",
        "attention_add": "attention.output",
        "cross_norm_node": "crossattention",
        "cross_add": "crossattention.output",
        "feedforward_norm_node": "",
        "adapter_norm": "output.LayerNorm",
        "adapter_norm_node": "output",
        "adapter_outer": "output.LayerNorm",
        "adapter_outer_node": "",
        "adapter_add": "output",
        "adapter_dropout": "output.dropout",
        "languages": "output",
        "language_up": f"{_ADAPTER}.dense1",
        "language_act": f"{_ADAPTER}.adapter_act_fn",
        "language_down": f"{_ADAPTER}.dense2",
    },
    stack={"final_norm": "encoder.LayerNorm"},
)


def names(c: XmodConfig) -> spec.Names:
    """Where norms around adapters lie."""
    if c.adapter_layer_norm:
        return NAMES.with_(layer={"adapter_norm": "output.adapter_layer_norm"})
    return NAMES if c.adapter_reuse_layer_norm else NAMES.with_(layer={"adapter_norm_node": ""})


def adapted(c: XmodConfig, layer: spec.Layer) -> spec.Layer:
    """One of RoBERTa's layers, with adapters as its last part."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    before = norm if c.adapter_layer_norm or c.adapter_reuse_layer_norm else None
    adapters = spec.Part(
        spec.ByLanguage(
            tuple(map(str, c.languages)),
            spec.FeedForward(c.hidden_size // c.adapter_reduction_factor, c.hidden_act),
        ),
        "adapter",
        before=before,
        dropout=c.hidden_dropout_prob,
        keeps="normed" if before and c.ln_before_adapter else "read",
    )
    *others, feedforward = layer.parts
    if c.pre_norm:
        return spec.Layer((*(replace(part, before=norm, after=None) for part in layer.parts), adapters))
    return spec.Layer((*others, replace(feedforward, after=None), replace(adapters, after=norm)))


def stack(c: XmodConfig) -> spec.Stack:
    """RoBERTa's stack."""
    made = roberta.stack(c, "XmodLayer")
    one = tuple(adapted(c, layer) for layer in made.layers[:1])
    final = spec.Norm("layer", c.layer_norm_eps) if c.pre_norm else None
    return replace(made, layers=one * c.num_hidden_layers, names=names(c), final_norm=final)


XMOD = register(
    replace(
        roberta.XLM_ROBERTA,
        model_type="xmod",
        name="Xmod",
        config=XmodConfig,
        assembly=LanguageAdapters(stack),
    )
)
