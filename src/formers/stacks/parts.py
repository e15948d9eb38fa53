"""Classes of what a layer holds, by which scripts look for parts: `LlamaAttention`, `BertSelfOutput`.

They compute nothing of their own: a node of the tree gets the class that its layer's name and its own place
say.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from torch import nn

from formers.nn.program import Node

# place within a layer -> how the class's name ends
_ENDINGS = {
    "attention": "Attention",
    "attention.attention": "SelfAttention",
    "attention.output": "SelfOutput",
    "attention.self": "SelfAttention",
    "attn": "Attention",
    "crossattention": "Attention",
    "crossattention.output": "SelfOutput",
    "crossattention.self": "SelfAttention",
    "encoder_attn": "Attention",
    "intermediate": "Intermediate",
    "mlp": "MLP",
    "output": "Output",
    "self_attn": "Attention",
    "self_attention": "Attention",
}
# what a node holds -> how its class's name ends, and how that of what it holds
_BY_CHILD = {
    "DenseReluDense": ("LayerFF", "DenseActDense"),
    "EncDecAttention": ("LayerCrossAttention", "Attention"),
    "SelfAttention": ("LayerSelfAttention", "Attention"),
    "experts": ("SparseMoeBlock", "Experts"),
}
_LAYER = re.compile(r"(\w+?)(?:Attention)?(?:Encoder|Decoder|Conformer|Cross)?(?:Layer|Block)")
# parts that are not called after their layers
_CALLED = {
    "DbrxSparseMoeBlock": "DbrxFFN",
    "DebertaSelfAttention": "DisentangledSelfAttention",
    "DebertaV2SelfAttention": "DisentangledSelfAttention",
    "DeepseekV2SparseMoeBlock": "DeepseekV2Moe",
    "DeepseekV3SparseMoeBlock": "DeepseekV3MoE",
    "FunnelAttention": "FunnelRelMultiheadAttention",
    "GptOssSparseMoeBlock": "GptOssMLP",
    "GraniteMoeHybridSparseMoeBlock": "GraniteMoeHybridMoE",
    "GraniteMoeSharedSparseMoeBlock": "GraniteMoeSharedMoE",
    "GraniteMoeSparseMoeBlock": "GraniteMoeMoE",
    "JambaMambaExperts": "JambaExperts",
    "JambaMambaSparseMoeBlock": "JambaSparseMoeBlock",
    "JetMoeMLP": "JetMoeMoE",
    "Llama4TextSparseMoeBlock": "Llama4TextMoe",
    "Qwen2VLMLP": "Qwen2MLP",
    "Qwen2_5_VLMLP": "Qwen2MLP",
    "Qwen2_5_VLVisionMLP": "Qwen2_5_VLMLP",
    "RwkvAttention": "RwkvSelfAttention",
    "T5GemmaAttention": "T5GemmaSelfAttention",
    "TimesformerAttention": "TimeSformerAttention",
    "TransformerAttention": "DistilBertSelfAttention",
    "Wav2Vec2BertAttention": "Wav2Vec2BertSelfAttention",
    "Wav2Vec2ConformerAttention": "Wav2Vec2ConformerSelfAttention",
}
_PART = re.compile(
    r"[A-Z]\w*?(?:Attention|SelfOutput|Intermediate|MLP|MoE|Mo[ae]|Output|LayerFF|DenseActDense|SparseMoeBlock"
    r"|Experts|FFN|FlashAttention2)"
)


@cache
def part_class(name: str) -> type[Node]:
    """The class of parts of that name."""
    return type(name, (Node,), {"__module__": __name__, "__doc__": Node.__doc__, "__init__": refuse})


def refuse(self: Any, *_: Any, **options: Any) -> None:
    """The constructor of a class that is there to be looked for.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        f"{type(self).__name__} is what models of that family hold, to be looked for; they are made of "
        "shared blocks, so it cannot be made by itself: take it out of a model, or write a torch.nn.Module"
    )


def may_be_part(name: str) -> bool:
    """Whether parts are called so."""
    return _PART.fullmatch(name) is not None


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if may_be_part(name):
        return part_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def name_parts(layer: nn.Module, name: str) -> None:
    """Give the nodes of a layer of class `name` their classes."""
    found = _LAYER.fullmatch(name)
    if found is None:
        return
    for path, ending in _ENDINGS.items():
        node: Any = layer
        for step in path.split("."):
            node = None if node is None else node._modules.get(step)
        if type(node) is Node and "experts" not in node._modules:
            _call(node, found[1] + ending)
    for node in list(layer.modules()):
        for child, (ending, below) in _BY_CHILD.items() if type(node) is Node else ():
            if child in node._modules:
                _call(node, found[1] + ending)
                _call(node._modules[child], found[1] + below)


def _call(node: Any, plain: str) -> None:
    """Give a node the class of that name, or what its family calls that."""
    if type(node) is Node:
        node.__class__ = part_class(_CALLED.get(plain, plain))
