"""CodeGen (Nijkamp et al. 2022, arXiv:2203.13474): GPT-J whose projections lie in four parts."""

from __future__ import annotations

from dataclasses import replace

from formers.assemblies.single import Single
from formers.models import gptj
from formers.models.registry import register
from formers.nn import spec


class CodeGenConfig(gptj.GPTJConfig):
    """Configuration of CodeGen. `n_ctx` is kept, and has no effect."""

    model_type = "codegen"
    n_ctx: int = 2048


NAMES = gptj.NAMES.with_(layer={"q": None, "k": None, "v": None, "qkv": "attn.qkv_proj"})


def stack(c: CodeGenConfig) -> spec.Stack:
    """The decoder."""
    mixer = replace(gptj.attention(c), fused="quarters")
    return gptj.decoder(c, mixer, NAMES, "CodeGenBlock")


CODEGEN = register(
    replace(
        gptj.GPTJ,
        model_type="codegen",
        name="CodeGen",
        config=CodeGenConfig,
        assembly=Single(stack),
        heads={"ForCausalLM": gptj.GPTJ.heads["ForCausalLM"]},
        ignored=(r".*attn\.(causal_mask|bias|masked_bias)",),
        order=(gptj.GPTJ.order[0],),
    )
)
