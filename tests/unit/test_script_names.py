"""Small functions that packages take from the ecosystem's files, against the reference's."""

from __future__ import annotations

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers.models.deepseek_v3 import modeling_deepseek_v3
from transformers.models.jamba.modeling_jamba import load_balancing_loss_func
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils.generic import is_flash_attention_requested
from transformers.utils.hp_naming import TrialShortNamer

import formers


def test_bytes_stand_for_the_characters_of_vocabularies():
    found = formers.bytes_to_unicode()
    assert set(found.values()) == set(ByteLevel.alphabet())
    assert [found[byte] for byte in (*b" \n\xadA", 255)] == ["Ġ", "Ċ", "Ń", "A", "ÿ"]


def test_queries_whose_pairs_stand_side_by_side_are_turned_alike():
    torch.manual_seed(0)
    q, k, cos, sin = (
        torch.randn(2, 3, 5, 8),
        torch.randn(2, 1, 5, 8),
        torch.rand(2, 5, 8),
        torch.rand(2, 5, 8),
    )
    cos, sin = (torch.cat((one[..., :4],) * 2, -1) for one in (cos, sin))
    expected = modeling_deepseek_v3.apply_rotary_pos_emb_interleave(q, k, cos, sin)
    for ours, theirs in zip(formers.apply_rotary_pos_emb_interleave(q, k, cos, sin), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert formers.yarn_get_mscale(40, 0.7) == modeling_deepseek_v3.yarn_get_mscale(40, 0.7)


def test_the_gradient_of_a_softmax_and_the_balance_of_experts_are_the_same():
    torch.manual_seed(1)
    x = torch.randn(2, 6, requires_grad=True)
    weight, y = torch.randn(2, 6), x.softmax(-1)
    (y * weight).sum().backward()
    parent = type("Parent", (), {"dim": -1})
    torch.testing.assert_close(formers.softmax_backward_data(parent, weight, y), x.grad)
    logits, mask = tuple(torch.randn(8, 4) for _ in range(3)), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    for given in (None, mask):
        torch.testing.assert_close(
            formers.load_balancing_loss_func(logits, 4, 2, given),
            load_balancing_loss_func(logits, 4, 2, given),
        )
    with pytest.raises(ValueError, match="num_experts=5"):
        formers.load_balancing_loss_func(logits, 5)


def test_neighbours_are_of_like_length_and_the_longest_comes_first():
    lengths = [(7 * i) % 31 for i in range(40)]
    found = formers.get_length_grouped_indices(lengths, 4)
    assert sorted(found) == list(range(40))
    assert lengths[found[0]] == lengths[get_length_grouped_indices(lengths, 4)[0]] == max(lengths)


@pytest.mark.parametrize("name", [None, "sdpa", "flash_attention_2", "kernels-community/vllm-flash-attn3"])
def test_who_asks_for_flash_attention(name):
    config = type("Config", (), {"_attn_implementation": name})()
    for version in (None, 2, [2, 3]):
        theirs = is_flash_attention_requested(config, version=version)
        assert formers.is_flash_attention_requested(config, version=version) == theirs
    with pytest.raises(ValueError, match="give one of"):
        formers.is_flash_attention_requested()


def test_trials_are_named_by_what_is_not_usual():
    usual = {"max_iter": 100, "solver": "lbfgs", "solid": True, "learning_rate": 0.1}
    given = {"max_iter": 5, "solver": "saga", "solid": False, "learning_rate": 0.25}
    ours = type("Ours", (formers.TrialShortNamer,), {"DEFAULTS": usual})
    theirs = type("Theirs", (TrialShortNamer,), {"DEFAULTS": usual})
    assert ours.shortname(given) == theirs.shortname(given)
    assert ours.parse_repr(ours.shortname(given)) == given
    with pytest.raises(ValueError, match="has no 'depth'"):
        ours.shortname({"depth": 3})


def test_a_test_is_skipped_where_what_it_needs_is_missing(monkeypatch):
    from formers.core import available

    monkeypatch.setattr(available, "is_optuna_available", lambda: False, raising=False)
    assert formers.require_optuna(lambda: None).__unittest_skip__
    assert not hasattr(formers.require_torch(lambda: None), "__unittest_skip__")


def test_what_scripts_of_examples_call_beside_their_work_is_there():
    """Telemetry, captured logs, TPUs, and the filter of scores that tutorials sampled with."""
    from formers.generation_utils import top_k_top_p_filtering
    from formers.testing_utils import CaptureLogger
    from formers.utils import is_torch_tpu_available, send_example_telemetry

    logger = formers.get_logger("formers.tokenization_utils_base")
    with CaptureLogger(logger) as said:
        logger.warning("Token indices")
    assert said.out == "Token indices\n"
    assert not is_torch_tpu_available(check_device=False)
    with pytest.warns(match="nothing is sent"):
        send_example_telemetry("run_glue", object(), framework="pytorch")
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    kept = torch.isfinite(top_k_top_p_filtering(scores, top_k=3, top_p=0.8))
    assert kept.tolist() == [[False, False, True, True]]
    assert torch.equal(top_k_top_p_filtering(scores), scores)


def test_a_model_without_its_pooler_says_so():
    from formers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = BertModel(BertConfig(vocab_size=10, **sizes), add_pooling_layer=False)
    assert model.pooler is None
    assert not any("pooler" in name for name in model.state_dict())
