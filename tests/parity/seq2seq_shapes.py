"""Tiny random encoder-decoders that the reference writes, and inputs for them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.mvp import modeling_mvp
from transformers.models.nllb_moe import modeling_nllb_moe
from transformers.models.prophetnet import modeling_prophetnet

from formers.models.table import FAMILIES

VOCABULARY = 101

_T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 12,
    "d_ff": 48,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 10,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.0,
}
_SWITCH = {
    **_T5,
    "num_layers": 4,
    "num_decoder_layers": 2,
    "num_experts": 5,
    "router_jitter_noise": 0.0,
}
_BART = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 56,
    "max_position_embeddings": 40,
    "dropout": 0.0,
}
_FSMT = {
    **_BART,
    "langs": ["en", "de"],
    "tgt_vocab_size": VOCABULARY,
    "src_vocab_size": VOCABULARY + 9,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "use_cache": False,  # with a cache the reference lets tokens of one call see each other
    "tie_word_embeddings": False,
}
_WHISPER = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "num_mel_bins": 8,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 56,
    "max_source_positions": 10,
    "max_target_positions": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "classifier_proj_size": 20,
    "begin_suppress_tokens": [1, 2],
}
_OF_WINDOWS = ("begin_suppress_tokens", "classifier_proj_size", "num_mel_bins", "pad_token_id")
_THINNED = {
    **{name: value for name, value in _WHISPER.items() if name not in _OF_WINDOWS},
    **{"encoder_layers": 2, "decoder_layers": 2, "input_feat_per_channel": 6, "conv_channels": 12},
    **{"pad_token_id": 1, "bos_token_id": 0, "decoder_start_token_id": 2, "dropout": 0.0},
}

_SAMPLES = {
    **{"vocab_size": 101, "hidden_size": 40, "intermediate_size": 48, "max_position_embeddings": 64},
    **{f"{half}_num_attention_heads": 4 for half in ("encoder", "decoder")},
    **{"encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 2, "pad_token_id": 3},
    **{"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.8}},
}

_LED = {
    **{name: value for name, value in _BART.items() if name != "max_position_embeddings"},
    "max_encoder_position_embeddings": 40,
    "max_decoder_position_embeddings": 30,
    "attention_window": [4, 12],
    "encoder_layers": 2,
    "decoder_layers": 1,
}
_SMALL = {**_BART, "pad_token_id": 0, "eos_token_id": 2, "encoder_layers": 2, "decoder_layers": 1}
_SCALED = {"scale_embedding": True, "encoder_layers": 1, "decoder_layers": 2}

_TOWER = {
    "model_type": "bert",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
}
_DECODES = {"is_decoder": True, "add_cross_attention": True}
_JOINT = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 1}

_GEMMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "query_pre_attn_scalar": 10,
    "sliding_window": 6,  # less, and some padding would see nothing, of which the two make different things
}
_NLLB = {
    **_BART,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "attention_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "num_experts": 5,
    "encoder_sparse_step": 2,
    "decoder_sparse_step": 1,
    "moe_token_dropout": 0.0,
}

_PROPHET = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 2,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 56,
    "num_encoder_layers": 2,  # no fewer than of the decoder: by them the reference sizes its cache
    "num_decoder_layers": 2,
    "max_position_embeddings": 40,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}
_SPARSE = {**_SMALL, "block_size": 1, "num_random_blocks": 2, "attention_dropout": 0.0}

SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "t5": {
        "relu, tied, deeper encoder": {**_T5, "num_layers": 3, "num_decoder_layers": 2},
        "gated gelu, output apart, deeper decoder": {
            **_T5,
            "num_layers": 1,
            "num_decoder_layers": 3,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
        "gated silu, as deep, narrow heads": {
            **_T5,
            "d_kv": 4,
            "num_layers": 2,
            "feed_forward_proj": "gated-silu",
        },
    },
    "bart": {
        "plain, deeper encoder": {**_BART, "encoder_layers": 3, "decoder_layers": 2},
        "scaled tables, relu, deeper decoder": {
            **_BART,
            "encoder_layers": 1,
            "decoder_layers": 3,
            "scale_embedding": True,
            "activation_function": "relu",
        },
    },
    "mbart": {
        "plain": {**_BART, "encoder_layers": 2, "decoder_layers": 1},
        "scaled tables, relu, deeper decoder": {**_BART, **_SCALED, "activation_function": "relu"},
    },
    "plbart": {
        "scaled tables": {**_BART, "encoder_layers": 2, "decoder_layers": 1, "attention_dropout": 0.0}
    },
    "mvp": {
        "plain": {**_BART, "encoder_layers": 2, "decoder_layers": 1},
        "prompts, scaled": {
            **_BART,
            **_SCALED,
            "use_prompt": True,
            "prompt_length": 3,
            "prompt_mid_dim": 20,
        },
    },
    "pegasus": {"plain": _SMALL, "scaled, deeper decoder": {**_SMALL, **_SCALED}},
    "bigbird_pegasus": {
        "blocks, two of them at random": _SPARSE,
        "all see all, biases, not scaled, deeper decoder": {
            **_SPARSE,
            **_SCALED,
            "scale_embedding": False,
            "attention_type": "original_full",
            "use_bias": True,
        },
    },
    "pegasus_x": {
        "staggered chunks": {**_SMALL, "block_size": 4, "num_global_tokens": 3},
        "even chunks, not scaled, relu, deeper decoder": {
            **_SMALL,
            **_SCALED,
            "block_size": 6,
            "num_global_tokens": 2,
            "stagger_local_blocks": False,
            "scale_embedding": False,
            "activation_function": "relu",
        },
    },
    "blenderbot": {"plain": _SMALL, "scaled tables, deeper decoder": {**_SMALL, **_SCALED}},
    "blenderbot-small": {"plain": _SMALL, "scaled, deeper decoder": {**_SMALL, **_SCALED}},
    "m2m_100": {
        "longer than the config says": {
            **_BART,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "max_position_embeddings": 4,
            "attention_dropout": 0.0,
            "encoder_layerdrop": 0.0,
            "decoder_layerdrop": 0.0,
        },
    },
    "fsmt": {
        "two vocabularies": _FSMT,
        "one table for all, not scaled, gelu": {
            **_FSMT,
            "src_vocab_size": VOCABULARY,
            "scale_embedding": False,
            "activation_function": "gelu",
            "tie_word_embeddings": True,
        },
    },
    "nllb-moe": {
        "experts in every other layer": {**_NLLB, "router_bias": True},
        "the surest first, with little room, normed early": {
            **_NLLB,
            "encoder_layers": 1,
            "encoder_sparse_step": 1,
            "decoder_sparse_step": 2,  # what is read at once has room together: steps would differ
            "num_experts": 3,
            "expert_capacity": 5,
            "moe_eval_capacity_token_fraction": -1.0,
            "batch_prioritized_routing": True,
            "normalize_router_prob_before_dropping": True,
        },
        "half of the room, padding has some": {
            **_NLLB,
            "decoder_sparse_step": 2,
            "num_experts": 3,
            "moe_eval_capacity_token_fraction": 0.4,
            "router_ignore_padding_tokens": True,
        },
    },
    "marian": {
        "one table": {**_SMALL, "decoder_start_token_id": 0},
        "one table, scaled, deeper decoder": {**_SMALL, **_SCALED, "decoder_start_token_id": 0},
        "two vocabularies, scaled": {
            **_SMALL,
            **_SCALED,
            "vocab_size": 120,
            "decoder_vocab_size": VOCABULARY,
            "share_encoder_decoder_embeddings": False,
            "decoder_start_token_id": 0,
        },
    },
    "mt5": {
        "gated gelu, deeper encoder": {**_T5, "num_layers": 2, "num_decoder_layers": 1},
        "relu": {**_T5, "num_layers": 1, "feed_forward_proj": "relu"},
    },
    "t5gemma": {
        "as wide, windows in turn": {"encoder": _GEMMA, "decoder": {**_GEMMA, "num_hidden_layers": 3}},
        "narrower decoder, no caps": {
            "encoder": {**_GEMMA, "attn_logit_softcapping": None},
            "decoder": {
                **_GEMMA,
                "hidden_size": 24,
                "attn_logit_softcapping": None,
                "final_logit_softcapping": None,
            },
        },
    },
    "umt5": {
        "tables of their own, deeper encoder": {**_T5, "num_layers": 3, "num_decoder_layers": 2},
    },
    "switch_transformers": {
        "experts in two layers of four, a router with a bias": {
            **_SWITCH,
            "num_sparse_encoder_layers": 2,
            "num_sparse_decoder_layers": 1,
            "router_bias": True,
        },
        "experts everywhere, with little room, output apart": {
            **_SWITCH,
            "num_layers": 2,
            "num_sparse_encoder_layers": 2,
            "num_sparse_decoder_layers": 2,
            "num_experts": 2,
            "expert_capacity": 6,
        },
    },
    "encoder-decoder": {
        "as wide": {"encoder": _TOWER, "decoder": {**_TOWER, **_DECODES, "num_hidden_layers": 1}, **_JOINT},
        "narrower decoder of another family": {
            "encoder": {**_TOWER, "num_hidden_layers": 1},
            "decoder": {**_TOWER, **_DECODES, "model_type": "roberta", "hidden_size": 24},
            **_JOINT,
        },
        "half of a pair as the decoder": {
            "encoder": {**_TOWER, "model_type": "electra", "embedding_size": 16},
            "decoder": {"model_type": "bart", **_BART, "encoder_layers": 2, "decoder_layers": 2},
            **_JOINT,
        },
    },
    "led": {"two windows": _LED},
    "prophetnet": {
        "three streams, few buckets, smooth targets": {
            **_PROPHET,
            "ngram": 3,
            "num_buckets": 8,
            "relative_max_distance": 10,
            "eps": 0.1,
        },
        "one stream in the loss, deeper encoder": {
            **_PROPHET,
            "num_decoder_layers": 1,
            "activation_function": "relu",
            "disable_ngram_loss": True,
        },
    },
    "longt5": {
        "windows, deeper encoder": {**_T5, "num_layers": 2, "num_decoder_layers": 1, "local_radius": 3},
        "sums of blocks, gated, output apart": {
            **_T5,
            "num_layers": 2,
            "local_radius": 3,
            "global_block_size": 4,
            "encoder_attention_type": "transient-global",
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
    },
    "moonshine": {
        "plain": _SAMPLES,
        "biases, other activations, untied, deeper decoder": {
            **_SAMPLES,
            **{"attention_bias": True, "encoder_hidden_act": "relu", "decoder_hidden_act": "gelu"},
            **{"tie_word_embeddings": False, "decoder_num_hidden_layers": 3},
        },
    },
    "speech_to_text": {
        "two convolutions": _THINNED,
        "three, without a scale, untied": {
            **_THINNED,
            **{"num_conv_layers": 3, "conv_kernel_sizes": [5, 3, 3], "scale_embedding": False},
            **{"tie_word_embeddings": False, "activation_function": "gelu", "pad_token_id": 0},
        },
    },
    "whisper": {
        "plain, deeper decoder": {**_WHISPER, "encoder_layers": 2, "decoder_layers": 3},
        "all states mixed, relu, untied, deeper encoder": {
            **_WHISPER,
            "encoder_layers": 3,
            "decoder_layers": 1,
            "activation_function": "relu",
            "use_weighted_layer_sum": True,
            "tie_word_embeddings": False,
        },
    },
}

_READERS = ("Model", "ForConditionalGeneration", "ForSequenceClassification", "ForQuestionAnswering")
_LANGUAGE = ("Model", "ForConditionalGeneration", "ForCausalLM")
_ENDINGS = {
    "Bart": (*_READERS, "ForCausalLM"),
    "BigBirdPegasus": (*_READERS, "ForCausalLM"),
    "Blenderbot": _LANGUAGE,
    "BlenderbotSmall": _LANGUAGE,
    "FSMT": _LANGUAGE[:2],
    "LongT5": ("Model", "ForConditionalGeneration", "EncoderModel"),
    "M2M100": _LANGUAGE[:2],
    "NllbMoe": _LANGUAGE[:2],
    "LED": (*_READERS[:2], "ForQuestionAnswering"),
    "MBart": (*_READERS, "ForCausalLM"),
    "Moonshine": _LANGUAGE[:2],
    "Speech2Text": _LANGUAGE[:2],
    "Marian": ("Model", "MTModel", "ForCausalLM"),
    "Mvp": (*_READERS, "ForCausalLM"),
    "PLBart": (*_READERS[:3], "ForCausalLM"),
    "Pegasus": _LANGUAGE,
    "PegasusX": _LANGUAGE[:2],
    "ProphetNet": (*_LANGUAGE, "Encoder", "Decoder"),
    "T5Gemma": (*_READERS[:3], "ForTokenClassification"),
    "SwitchTransformers": (*_LANGUAGE[:2], "EncoderModel"),
    **dict.fromkeys(("T5", "MT5", "UMT5"), (*_READERS, "EncoderModel", "ForTokenClassification")),
}
CLASSES = {
    **{
        model_type: tuple(name + ending for ending in _ENDINGS[name])
        for model_type, (_, name) in FAMILIES.items()
        if name in _ENDINGS
    },
    "encoder-decoder": ("EncoderDecoderModel",),
    "whisper": (
        "WhisperModel",
        "WhisperForConditionalGeneration",
        "WhisperForAudioClassification",
        "WhisperForCausalLM",
    ),
}


def writes(name: str) -> bool:
    """Whether a class of that name turns one text into another."""
    return name.endswith(("ForConditionalGeneration", "MarianMTModel", "EncoderDecoderModel"))


def write_checkpoint(model_type: str, shape: str, class_name: str, folder: Path, **values: Any) -> Any:
    """Make a random model with the reference, save it, and return it in evaluation mode."""
    _mend()
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **{**SHAPES[model_type][shape], **values})
    config.num_labels = 2 if "QuestionAnswering" in class_name else 5
    model = getattr(transformers, class_name)(config)
    for name, parameter in model.named_parameters():
        if model_type == "fsmt" and "embed_positions" in name:  # it says that it does not train them
            parameter.requires_grad_(False)
    with torch.no_grad():  # biases, norms and buffers start at constants, which would hide a mix-up
        held = model.state_dict().keys() - set(model._keys_to_ignore_on_save or ())  # what the file has
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if name not in held:
                continue
            value.add_(torch.randn_like(value) * 0.05)
        if writes(class_name) and not values.get("tie_word_embeddings", config_ties(model_type, shape)):
            # an output table of its own, as T5 v1.1 has it
            table = model.get_output_embeddings()
            table.weight = torch.nn.Parameter(torch.randn_like(table.weight) * 0.2)
    model.save_pretrained(folder)
    return model.eval()


@cache
def _mend() -> None:
    """Put right where the reference departs from what it was made from.

    MVP: it hands `use_prompt` to the encoder in another's place, and to a decoder alone not at all.
    NLLB-MoE: it lets two of all experts read, keeps the room of the last pass, and, with a cache, asks the
    mask of other tokens.
    ProphetNet: it takes streams, places and heads for each other where it looks distances up for streams.
    """
    for half in (modeling_mvp.MvpEncoder, modeling_mvp.MvpDecoder):

        def begin(self: Any, config: Any, *_: Any, first: Any = half.__init__) -> None:
            first(self, config, use_prompt=config.use_prompt)

        half.__init__ = begin

    def read(self: Any, states: torch.Tensor, _: Any, shares: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(states)
        for i in range(self.num_experts):
            rows = shares[:, i].nonzero()[:, 0]
            if len(rows):
                found = self[f"expert_{i}"](states[rows]) * shares[rows, i, None]
                kept = self.token_dropout(found) if self.training else found * (1 - self.moe_token_dropout)
                out = out.index_add(0, rows, kept)
        return out

    modeling_nllb_moe.NllbMoeExperts.forward = read

    def far(self: Any, states: Any, weights: Any, places: Any, buckets: Any) -> torch.Tensor:
        batch, length, streams, _ = states.shape
        if buckets is None:
            at = torch.arange(weights.shape[-1])[None, None] - places[:, None]
            buckets = modeling_prophetnet.compute_relative_buckets(
                self.num_buckets, self.relative_max_distance, at.expand(batch, -1, -1)
            )
        found = self.relative_pos_embeddings(states.transpose(1, 2))
        found = found.unflatten(-1, (self.num_buckets, self.num_attn_heads)).permute(0, 1, 4, 2, 3)
        return found.gather(-1, buckets.long()[:, None, None].expand(*found.shape[:3], -1, -1))

    modeling_prophetnet.ProphetNetNgramSelfAttention.get_predict_relative_pos_embeddings = far
    router = modeling_nllb_moe.NllbMoeTop2Router
    route = router.route_tokens

    def route_tokens(self: Any, logits: torch.Tensor, dtype: Any = None, mask: Any = None) -> Any:
        self.expert_capacity = self.__dict__.setdefault("room", self.expert_capacity)
        if mask is not None:
            mask = mask[:, 0, -1, -(len(logits) // len(mask)) :].reshape(-1)
        return route(self, logits, dtype, mask)

    router.route_tokens = route_tokens


def config_ties(model_type: str, shape: str) -> bool:
    """Whether checkpoints of this shape have one table for input and output."""
    return bool(SHAPES[model_type][shape].get("tie_word_embeddings", True))


def batch(model: Any, sided: str = "right") -> dict[str, Any]:
    """Four texts of different lengths that end in one end-of-sequence token, padded; or four sounds."""
    generator = torch.Generator().manual_seed(1)
    config = model.config
    if hasattr(config, "conv_kernel_sizes"):
        return {"input_features": torch.randn(4, 37, config.input_feat_per_channel, generator=generator)}
    if model.main_input_name == "input_values":
        return {"input_values": torch.randn(4, 6000, generator=generator)}
    if model.main_input_name == "input_features":
        shape = (4, config.num_mel_bins, 2 * config.max_source_positions)
        return {"input_features": torch.randn(shape, generator=generator)}
    whole = hasattr(config, "attention_window") or hasattr(config, "num_global_tokens")
    length = 12 if whole else 11  # to others the reference adds padding
    ids = torch.randint(3, VOCABULARY, (4, length), generator=generator)
    mask = torch.ones_like(ids)
    for row, real in enumerate((length, 7, 5, 7)):
        hole, last = (slice(real, None), real - 1) if sided == "right" else (slice(0, length - real), -1)
        mask[row, hole], ids[row, hole] = 0, config.pad_token_id
        ids[row, last] = config.eos_token_id
    return {"input_ids": ids, "attention_mask": mask}


def decoder_batch(width: int = 6) -> dict[str, Any]:
    """What a decoder reads: four texts, padded on the right."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, VOCABULARY, (4, width), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    mask[3, 3:] = 0
    return {"decoder_input_ids": ids, "decoder_attention_mask": mask}


def inputs_of(model: Any) -> dict[str, Any]:
    """Inputs that fit the head; those that predict tokens get a decoder's too."""
    name = type(model).__name__
    inputs = batch(model)
    base = name.endswith("Model") and not name.endswith("EncoderModel")
    if base or writes(name):
        inputs |= decoder_batch()
    if name.endswith("CausalLM"):
        inputs["use_cache"] = False  # the reference sizes it by the encoder's depth
    return inputs


def labels_of(model: Any) -> dict[str, Any]:
    """Labels that fit the head; none for a model without one."""
    name, generator = type(model).__name__, torch.Generator().manual_seed(3)
    if "QuestionAnswering" in name:
        return {"start_positions": torch.tensor([1, 2, 0, 30]), "end_positions": torch.tensor([4, 3, 2, 6])}
    if "SequenceClassification" in name or "AudioClassification" in name:
        return {"labels": torch.tensor([0, 4, 2, 2])}
    if "TokenClassification" in name:
        return {"labels": torch.randint(0, 5, (4, 11), generator=generator)}
    words = getattr(model.config, "decoder_vocab_size", None)
    if "CausalLM" in name and words not in (None, model.config.vocab_size):
        return {}  # the reference's loss counts the encoder's words there, and fails
    if writes(name) or "CausalLM" in name:
        labels = torch.randint(3, VOCABULARY, (4, 6 if writes(name) else 11), generator=generator)
        labels[1, 4:] = -100
        return {"labels": labels}
    return {}


def seen(inputs: dict[str, Any], key: str) -> torch.Tensor | None:
    """Which places of an output are those of real tokens; None where all are."""
    if key.startswith("encoder") or "decoder_input_ids" not in inputs:
        return inputs["attention_mask"].bool() if "attention_mask" in inputs else None
    return inputs["decoder_attention_mask"].bool()
