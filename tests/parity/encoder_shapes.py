"""Shapes of encoders."""

from __future__ import annotations

from typing import Any

from tests.parity.plain_shapes import ENCODER, SPECIAL, VOCABULARY

_XLM = {
    "vocab_size": VOCABULARY,
    "emb_dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 40,
    "summary_first_dropout": 0.0,
    "start_n_top": 3,
    "end_n_top": 2,
}
_ESM = {**ENCODER, **SPECIAL, "mask_token_id": 32}
_XMOD = {**ENCODER, "pad_token_id": 1, "languages": ["en_XX", "de_DE"], "default_language": "de_DE"}
# model_type -> shapes, see `shapes.py`; MORE are those of the whole grid alone
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "esm": {
        "turned, hidden tokens erased": {**_ESM, "position_embedding_type": "rotary", "token_dropout": True},
        "a table of positions, a norm first": {**_ESM, "emb_layer_norm_before": True},
    },
    "nomic_bert": {
        "turned, gated": {**ENCODER, "pad_token_id": 0},
    },
    "eurobert": {
        "logits of every token, grouped heads": {**ENCODER, **SPECIAL, "num_key_value_heads": 2},
    },
    "jina_embeddings_v3": {
        "turned": {**ENCODER, "pad_token_id": 1},
    },
    "layoutlm": {"boxes": {**ENCODER, "max_2d_position_embeddings": 30}},
    "splinter": {"questions": {**ENCODER, "question_token_id": 5}},
    "tapas": {
        "operators by the answer alone": {
            **ENCODER,
            "num_aggregation_labels": 4,
            "use_answer_as_supervision": True,
            "cell_selection_preference": 0.9,
            "huber_loss_delta": 2.0,
            "max_num_rows": 4,
            "max_num_columns": 3,
        },
    },
    "dpr": {"states as they are": ENCODER},
    "ibert": {"floating point": {**ENCODER, "pad_token_id": 1}},
    "xmod": {"two languages": _XMOD},
    "luke": {
        "queries for text and entities": {
            **ENCODER,
            "pad_token_id": 1,
            "entity_vocab_size": 23,
            "entity_emb_size": 20,
        },
    },
    "flaubert": {
        "a summary behind tanh": {**_XLM, "summary_activation": "tanh"},
    },
    "xlm": {
        "parts of layers in lists, languages": {**_XLM, "n_langs": 3},
    },
    "roformer": {
        "narrow embeddings": {**ENCODER, "embedding_size": 20},
        "a decoder, values turned too": {**ENCODER, "is_decoder": True, "rotary_value": True},
    },
}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "xmod": {
        "norms before, one of the adapters' own, untied": {
            **_XMOD,
            "pre_norm": True,
            "adapter_layer_norm": True,
            "tie_word_embeddings": False,
        },
        "norms before, one that serves adapters too": {
            **_XMOD,
            "pre_norm": True,
            "adapter_reduction_factor": 3,
        },
        "one of the adapters' own, the sum of what is not normed": {
            **_XMOD,
            "adapter_layer_norm": True,
            "ln_before_adapter": False,
            "hidden_act": "relu",
            "pad_token_id": 0,
        },
        "no norm before adapters": {**_XMOD, "adapter_reuse_layer_norm": False},
        "the sum of what is not normed": {**_XMOD, "ln_before_adapter": False},
    },
    "xlm": {
        "looks back alone, sinusoids, relu, the mean behind tanh, untied": {
            **_XLM,
            "causal": True,
            "sinusoidal_embeddings": True,
            "gelu_activation": False,
            "summary_type": "mean",
            "summary_activation": "tanh",
            "layer_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
        "languages without a table, the last place": {
            **_XLM,
            "n_langs": 3,
            "use_lang_emb": False,
            "summary_type": "last",
        },
    },
    "luke": {
        "one kind of query, entities as wide as states, untied, relu": {
            **ENCODER,
            "pad_token_id": 0,
            "entity_vocab_size": 23,
            "entity_emb_size": 32,
            "use_entity_aware_attention": False,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
    },
    "nomic_bert": {
        "five heads, other epsilon, a longer context, untied": {
            **ENCODER,
            "hidden_size": 30,
            "num_attention_heads": 5,
            "head_dim": 4,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu",
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 2.0},
            "max_position_embeddings": 8,
            "tie_word_embeddings": False,
        },
    },
    "eurobert": {
        "the mean, biases, tied": {
            **ENCODER,
            **SPECIAL,
            "classifier_pooling": "mean",
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": True,
        },
        "the first token, own width": {**ENCODER, **SPECIAL, "classifier_pooling": "bos", "head_dim": 12},
    },
    "jina_embeddings_v3": {
        "padding id zero, relu, three kinds, untied": {
            **ENCODER,
            "pad_token_id": 0,
            "hidden_act": "relu",
            "type_vocab_size": 3,
            "num_attention_heads": 2,
            "tie_word_embeddings": False,
        },
    },
    "roformer": {
        "five heads, values turned too, relu, untied": {
            **ENCODER,
            "hidden_size": 30,
            "num_attention_heads": 5,
            "rotary_value": True,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "layoutlm": {
        "relu, other epsilon, untied": {
            **ENCODER,
            "max_2d_position_embeddings": 20,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
    },
    "splinter": {
        "relu, three kinds": {**ENCODER, "question_token_id": 7, "hidden_act": "relu", "type_vocab_size": 3}
    },
    "tapas": {
        "cells alone, places of the whole text, relu, untied": {
            **ENCODER,
            "reset_position_index_per_cell": False,
            "hidden_act": "relu",
            "tie_word_embeddings": False,
        },
    },
    "dpr": {"projected, relu": {**ENCODER, "projection_dim": 32, "hidden_act": "relu"}},
    "esm": {
        "turned, looking back": {**_ESM, "position_embedding_type": "rotary", "is_decoder": True},
        "a table, hidden tokens erased": {**_ESM, "token_dropout": True, "layer_norm_eps": 0.1},
    },
}
