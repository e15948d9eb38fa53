"""DPR (Karpukhin et al. 2020, arXiv:2004.04906): vectors of questions and passages; a reader of passages."""

from __future__ import annotations

from formers.assemblies.base import Assembly, BaseModel
from formers.assemblies.family import Family, Head
from formers.assemblies.nested import Nested, Passages, Reader, Vectors
from formers.models import bert, layoutlm
from formers.models.classes import base_class
from formers.models.registry import register


class DPRConfig(bert.BertConfig):
    """Configuration of DPR. Vectors are first tokens' states, projected where `projection_dim` is not 0."""

    model_type = "dpr"
    _available = layoutlm.LayoutLMConfig._available
    projection_dim: int = 0


def part(name: str, prefix: str, assembly: Assembly) -> type[BaseModel]:
    """A class that is a part of others alone."""
    own = {"_assembly": assembly, "config_class": DPRConfig, "base_model_prefix": prefix}
    return type(name, (BaseModel,), {**own, "__module__": __name__})


ENCODER = Vectors(
    lambda: base_class(bert.BertConfig), "bert_model", "encode_proj", lambda c: c.projection_dim
)
DPREncoder = part("DPREncoder", "bert_model", ENCODER)
READER = Passages(lambda: DPREncoder, "encoder", "qa_outputs", "qa_classifier")
DPRSpanPredictor = part("DPRSpanPredictor", "encoder", READER)
OTHERS = {
    "ctx_encoder": Nested(lambda: DPREncoder, "ctx_encoder"),
    "span_predictor": Reader(lambda: DPRSpanPredictor, "span_predictor"),
}
DPR = register(
    Family(
        model_type="dpr",
        name="DPR",
        config=DPRConfig,
        base="question_encoder",
        bare="QuestionEncoder",
        assembly=Nested(lambda: DPREncoder, "question_encoder", OTHERS),
        heads={
            "ContextEncoder": Head("passages", lambda c: None, base="ctx_encoder", over="ctx_encoder"),
            "Reader": Head("passages", lambda c: None, base="span_predictor", over="span_predictor"),
        },
        ignored=bert.BERT.ignored,
    )
)
