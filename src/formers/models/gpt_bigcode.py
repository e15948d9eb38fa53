"""GPT-BigCode (Ben Allal et al. 2023, arXiv:2301.03988): GPT-2 whose heads share one key and one value."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import gpt2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal


class GPTBigCodeConfig(gpt2.GPT2Config):
    """Configuration of GPT-BigCode."""

    model_type = "gpt_bigcode"
    keys_to_ignore_at_inference = ["past_key_values"]
    activation_function: str = "gelu_pytorch_tanh"
    attention_softmax_in_fp32: bool = True
    scale_attention_softmax_in_fp32: bool = True
    multi_query: bool = True


def stack(c: GPTBigCodeConfig) -> spec.Stack:
    """The decoder."""
    if c.add_cross_attention:
        raise ValueError(
            "GPT-BigCode has no cross attention that works anywhere; leave add_cross_attention out"
        )
    width = spec.Heads.split(c.n_embd, c.n_head).width
    attention = spec.Attention(
        spec.Heads(c.n_head, 1 if c.multi_query else c.n_head, width),
        mask=Causal(),
        dropout=c.attn_pdrop,
        scale=None if c.scale_attn_weights else 1.0,
        fused="groups",
    )
    feedforward = spec.FeedForward(c.n_inner or 4 * c.n_embd, c.activation_function)
    norm = spec.Norm("layer", c.layer_norm_epsilon)
    layer = spec.layer(attention, feedforward, norm, order="pre", dropout=c.resid_pdrop)
    made = replace(gpt2.stack(c), layers=(layer,) * c.n_layer, layer_class="GPTBigCodeBlock")
    return replace(made, names=gpt2.NAMES.with_(layer={"weights_dropout": None}))


HEADS = {ending.replace("LMHeadModel", "ForCausalLM"): head for ending, head in gpt2.HEADS.items()}
HEADS.pop("ForQuestionAnswering")
GPT_BIGCODE = register(
    replace(
        gpt2.GPT2,
        model_type="gpt_bigcode",
        name="GPTBigCode",
        config=GPTBigCodeConfig,
        assembly=Single(stack),
        heads=HEADS,
    )
)
