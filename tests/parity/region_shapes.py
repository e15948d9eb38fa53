"""Shapes of models of texts and vectors of a picture's regions, with inputs and labels that fit."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

_VISUAL_BERT = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20},
    **{"vocab_size": 101, "max_position_embeddings": 20, "visual_embedding_dim": 10, "pad_token_id": 0},
}
_LXMERT = {
    **{"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 20, "vocab_size": 101},
    **{"l_layers": 2, "x_layers": 2, "r_layers": 1, "max_position_embeddings": 20, "visual_feat_dim": 10},
    **{"num_qa_labels": 6, "num_object_labels": 5, "num_attr_labels": 3},
}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "lxmert": {"plain": _LXMERT},
    "visual_bert": {"plain": _VISUAL_BERT},
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "lxmert": {
        "fewer tasks, relu": {
            **_LXMERT,
            **{"hidden_act": "relu", "visual_attr_loss": False, "task_matched": False, "x_layers": 1},
        },
        "words alone": {**_LXMERT, "task_obj_predict": False, "task_qa": False},
    },
    "visual_bert": {
        "relu, three types": {**_VISUAL_BERT, "hidden_act": "relu", "type_vocab_size": 3},
        "untied": {**_VISUAL_BERT, "tie_word_embeddings": False},
    },
}


def seen(model: Any, ids: Tensor) -> dict[str, Tensor]:
    """Three regions beside every text, and which words they show."""
    generator = torch.Generator().manual_seed(5)
    count = (*ids.shape[:-1], 3)
    if hasattr(model.config, "visual_feat_dim"):
        wide = model.config.visual_feat_dim, model.config.visual_pos_dim
        feats, boxes = (torch.randn(4, 3, one, generator=generator) for one in wide)
        return {"visual_feats": feats, "visual_pos": boxes}
    found = {"visual_embeds": torch.randn(*count, model.config.visual_embedding_dim, generator=generator)}
    found["visual_attention_mask"] = torch.ones(count, dtype=torch.long)
    if ids.dim() == 2:  # the reference takes none for every choice
        found["image_text_alignment"] = torch.randint(-1, 6, (*count, 2), generator=generator)
    if "region_to_phrase_position" in inspect.signature(model.forward).parameters:
        found["region_to_phrase_position"] = torch.tensor([[1, 3], [2, -1], [0, 4], [5, 13]])
    return found


def labels(class_name: str, ids: Tensor) -> dict[str, Any]:
    """Labels of texts [4, T] with three regions behind."""
    generator = torch.Generator().manual_seed(2)
    if class_name.endswith("Model"):
        return {}
    if class_name == "LxmertForQuestionAnswering":
        return {"labels": torch.tensor([0, 5, 2, 1])}
    if class_name == "LxmertForPreTraining":
        counts = torch.rand(4, 3, generator=generator)
        which = {name: torch.randint(3, (4, 3), generator=generator) for name in ("obj", "attr")}
        which["feat"] = torch.randn(4, 3, 10, generator=generator)
        return {
            "labels": ids.clone().index_fill(1, torch.tensor([2]), -100),
            "obj_labels": {name: (one, counts) for name, one in which.items()},
            "matched_label": torch.tensor([0, 1, 1, 0]),
            "ans": torch.tensor([0, 5, 2, 1]),
        }
    if class_name.endswith("QuestionAnswering"):
        return {"labels": torch.rand(4, 2, generator=generator).softmax(-1)}
    if class_name.endswith("Alignment"):
        return {"labels": torch.rand(4, 2, 3, generator=generator).softmax(-1)}
    if class_name.endswith("PreTraining"):
        words = torch.nn.functional.pad(ids, (0, 3), value=-100)
        return {"labels": words, "sentence_image_labels": torch.tensor([0, 1, 1, 0])}
    return {"labels": torch.tensor([0, 1, 2, 0])}
