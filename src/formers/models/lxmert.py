"""LXMERT (Tan and Bansal 2019, arXiv:1908.07490): a text and regions of a picture that read each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.cross_modality import CrossModality, CrossModalityTowers
from formers.configs import PretrainedConfig
from formers.models import bert
from formers.models.registry import register
from formers.nn import spec
from formers.nn.mutual_layers import Crossing
from formers.tasks.cross_modality import AnswerSpec, CrossModalitySpec


class LxmertConfig(PretrainedConfig):
    """Configuration of LXMERT; `num_hidden_layers` follows from the layers of the three parts."""

    model_type = "lxmert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_attention_heads: int = 12
    num_qa_labels: int = 9500
    num_object_labels: int = 1600
    num_attr_labels: int = 400
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    l_layers: int = 9
    x_layers: int = 5
    r_layers: int = 5
    visual_feat_dim: int = 2048
    visual_pos_dim: int = 4
    visual_loss_normalizer: float = 6.67
    task_matched: bool = True
    task_mask_lm: bool = True
    task_obj_predict: bool = True
    task_qa: bool = True
    visual_obj_loss: bool = True
    visual_attr_loss: bool = True
    visual_feat_loss: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    num_hidden_layers: dict[str, int] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        own = {"vision": self.r_layers, "cross_encoder": self.x_layers, "language": self.l_layers}
        self.num_hidden_layers = own


NORM = spec.Norm("layer", 1e-12)
PATHS = {
    **{"encoder": "encoder", "entry": "visn_fc", "text": "layer", "crossing": "x_layers"},
    **{"regions": "r_layers", "vector": "visn_fc", "vector_norm": "visn_layer_norm"},
    **{"box": "box_fc", "box_norm": "box_layer_norm", "dropout": "dropout"},
}
CROSSING = {
    **{"own": "attention", "own_read": "self", "own_add": "output", "own_up": "intermediate"},
    **{"own_down": "output", "across": "visual_attention", "across_read": "att", "across_add": "output"},
    **{"text": "lang_self_att", "text_read": "self", "text_add": "output"},
    **{"regions": "visn_self_att", "regions_read": "self", "regions_add": "output"},
    **{"text_up": "lang_inter", "text_down": "lang_output", "regions_up": "visn_inter"},
    **{"regions_down": "visn_output", "q": "query", "k": "key", "v": "value"},
    **{"weights_dropout": "dropout", "out": "dense", "norm": "LayerNorm", "dropout": "dropout"},
    **{"up": "dense", "act": "intermediate_act_fn"},
}
TELLING = {
    **{"home": "obj_predict_head", "before": "transform", "dense": "dense", "act": "transform_act_fn"},
    **{"norm": "LayerNorm", "out": "decoder_dict"},
}


def about(c: LxmertConfig) -> CrossModality:
    """Texts as BERT embeds them, and layers like BERT's over either side and over both."""
    text = spec.Stack(
        stem=spec.Tokens(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            types=c.type_vocab_size,
            blank=True,
            norm=NORM,
            dropout=c.hidden_dropout_prob,
            padding_idx=0,
        ),
        layers=(),
        names=bert.NAMES,
        width=c.hidden_size,
        pooler=c.hidden_size,
        initial_std=c.initializer_range,
    )
    crossing = Crossing(
        c.hidden_size,
        c.num_attention_heads,
        c.intermediate_size,
        c.hidden_act,
        NORM,
        CROSSING,
        c.hidden_dropout_prob,
        c.attention_probs_dropout_prob,
    )
    counts = {"text": c.l_layers, "crossing": c.x_layers, "regions": c.r_layers}
    return CrossModality(text, crossing, counts, (c.visual_feat_dim, c.visual_pos_dim), PATHS)


def answers(c: LxmertConfig) -> AnswerSpec:
    """Two layers."""
    return AnswerSpec(("answer_head", "logit_fc"), c.num_qa_labels, NORM)


def pretraining(c: LxmertConfig) -> CrossModalitySpec:
    """Words, pairs, answers, and what is told of regions."""
    tells = {
        "obj": (c.visual_obj_loss, c.num_object_labels),
        "attr": (c.visual_attr_loss, c.num_attr_labels),
        "feat": (c.visual_feat_loss, c.visual_feat_dim),
    }
    inside = "cls.predictions"
    return CrossModalitySpec(
        out=f"{inside}.decoder",
        dense=f"{inside}.transform.dense",
        act=c.hidden_act,
        act_path=f"{inside}.transform.transform_act_fn",
        norm=f"{inside}.transform.LayerNorm",
        bias=False,
        bias_path=f"{inside}.bias",
        answers=answers(c) if c.task_qa else replace(answers(c), paths=None),
        regions=TELLING if c.task_obj_predict else None,
        tells={name: count for name, (wanted, count) in tells.items() if wanted},
        weight=c.visual_loss_normalizer,
        words_count=c.task_mask_lm,
        pairs_count=c.task_matched,
    )


LXMERT = register(
    Family(
        model_type="lxmert",
        name="Lxmert",
        config=LxmertConfig,
        base="lxmert",
        assembly=CrossModalityTowers(about),
        heads={
            "ForPreTraining": Head("crossed_pretraining", pretraining, pooler=True),
            "ForQuestionAnswering": Head("crossed_answers", answers, pooler=True),
        },
        ignored=bert.BERT.ignored,
    )
)
