"""What packages of the ecosystem do to models, beside calling them: each found by a package's own tests."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle

import peft
import pytest
import torch
import transformers
from peft.helpers import rescale_adapter_scale

import formers
import formers.dropin
from formers.dropin import additions
from formers.nn.leaves import token_table

SIZES = {"vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
ROWS = torch.tensor([[3, 4, 5], [6, 7, 8]])


def opt() -> formers.OPTForCausalLM:
    torch.manual_seed(0)
    more = {"ffn_dim": 8, "max_position_embeddings": 16, "word_embed_proj_dim": 8, "init_std": 1.0}
    return formers.OPTForCausalLM(formers.OPTConfig(**SIZES, **more)).eval()


def test_who_looks_inside_sees_a_row_for_each_text_until_all_have_ended() -> None:
    model, seen = opt(), []
    texts = torch.tensor([[i, i + 1, i + 2] for i in range(2, 10)])
    first = model(texts).logits[:, -1].argmax(-1)
    texts = texts[[0, int((first != first[0]).nonzero()[0])]]  # of which one ends at once
    layer = model.model.decoder.layers[0]
    layer.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    model.generate(texts, max_new_tokens=4, do_sample=False, eos_token_id=int(first[0]), pad_token_id=1)
    assert seen[1:]
    assert set(seen) == {2}


def test_hooks_of_a_layer_fire_again_where_it_is_computed_again() -> None:
    model = opt().train()
    model.gradient_checkpointing_enable()
    layers = [one for one in model.modules() if isinstance(one, formers.GradientCheckpointingLayer)]
    assert len(layers) == 2
    assert all(layer.gradient_checkpointing for layer in layers)
    calls: list[int] = []
    for i, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda module, given, i=i: calls.append(i))
    model(ROWS, labels=ROWS).loss.backward()
    assert sorted(calls) == [0, 0, 1, 1]


def test_a_decoder_s_class_makes_another_from_a_config_alone() -> None:
    decoder = opt().model.decoder
    other = type(decoder)(decoder.config).eval()
    assert other(ROWS).last_hidden_state.shape == (2, 3, 8)
    for twin in (copy.deepcopy(decoder), pickle.loads(pickle.dumps(decoder))):
        assert type(twin) is type(decoder)
        assert torch.equal(twin(ROWS).last_hidden_state, decoder(ROWS).last_hidden_state)


def test_what_is_written_into_a_table_s_scale_counts() -> None:
    table = token_table(5, 4, scale=3.0, rounded=True)
    before = table(ROWS[0] - 3)
    table.embed_scale.fill_(6.0)
    assert torch.equal(table(ROWS[0] - 3), 2 * before)
    assert token_table(5, 4, scale=3.0).embed_scale == 3.0


def test_signatures_name_token_types_where_a_model_has_them() -> None:
    kinds = (formers.BertModel, formers.DistilBertModel, formers.DistilBertForSequenceClassification)
    names = ["token_type_ids" in inspect.signature(kind.forward).parameters for kind in kinds]
    assert names == [True, False, False]
    config = formers.DistilBertConfig(vocab_size=13, dim=8, n_layers=1, n_heads=2, hidden_dim=8)
    for kind in kinds[1:]:
        model = kind(config).eval()
        model(ROWS, token_type_ids=None)
        with pytest.raises(TypeError, match="have no token types; leave token_type_ids out"):
            model(ROWS, token_type_ids=torch.zeros_like(ROWS))


def test_helpers_of_peft_know_the_adapters_that_models_hold() -> None:
    model = opt()
    plain = model(ROWS).logits
    model.add_adapter(peft.LoraConfig(init_lora_weights=False, target_modules=["q_proj"]))
    additions.add()
    additions.remove()
    names = peft.get_peft_model_state_dict(model)
    assert sorted(names)[0] == "model.decoder.layers.0.self_attn.q_proj.lora_A.weight"
    assert len(names) == 4
    with rescale_adapter_scale(model, 0.0):
        assert torch.allclose(model(ROWS).logits, plain, atol=1e-6)
    assert not torch.allclose(model(ROWS).logits, plain, atol=1e-3)


def test_an_encoder_sees_the_prefix_that_it_is_given() -> None:
    torch.manual_seed(0)
    sizes = {**SIZES, "intermediate_size": 8, "initializer_range": 0.5}
    model = formers.BertModel(formers.BertConfig(**sizes)).eval()
    theirs = transformers.BertModel(transformers.BertConfig(**sizes)).eval()
    theirs.load_state_dict(model.state_dict())
    prefix = [tuple(torch.randn(2, 2, 2, 5, 4)) for _ in range(2)]  # keys and values, [B, H, S, D] each
    mask = torch.ones(2, 8)
    wanted = theirs(ROWS, attention_mask=mask, past_key_values=transformers.DynamicCache(prefix))
    for given in (formers.DynamicCache(prefix), tuple(prefix)):
        seen = model(ROWS, attention_mask=mask, past_key_values=given)
        assert torch.allclose(seen.last_hidden_state, wanted.last_hidden_state, atol=1e-5)


def test_a_pair_s_cache_is_made_of_layers_of_the_older_form() -> None:
    layers = [torch.randn(4, 1, 2, 3, 4) for _ in range(2)]  # keys and values of both, [B, H, S, D] each
    cache = formers.EncoderDecoderCache(layers)
    assert torch.equal(cache[1][0], layers[1][0])
    assert cache.is_updated == {0: True, 1: True}
    cache.cross_attention_cache = formers.DynamicCache()
    assert cache.is_updated == {0: False, 1: False}


def test_any_logger_says_a_thing_once_until_that_is_forgotten(monkeypatch) -> None:
    for name in ("warning_once", "info_once"):  # which the reference puts there too
        monkeypatch.delattr(logging.Logger, name, raising=False)
    logger, said = logging.getLogger("of.a.package"), []
    logger.addFilter(lambda record: said.append(record.getMessage()))
    with formers.dropin.using():
        for _ in range(2):
            logger.warning_once("said")
        assert said == ["said"]
        logging.Logger.warning_once.cache_clear()
        logger.warning_once("said")
        assert said == ["said", "said"]
    assert not hasattr(logger, "warning_once")
