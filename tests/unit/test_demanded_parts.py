"""Small parts that packages import from the ecosystem's files: each does what the reference's does."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from transformers import activations, trainer_optimizer, video_utils, vision_utils
from transformers.models.bert import modeling_bert
from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer, WordpieceTokenizer
from transformers.models.big_bird import modeling_big_bird
from transformers.models.electra import modeling_electra
from transformers.models.roberta import modeling_roberta
from transformers.models.xlm import modeling_xlm
from transformers.utils import chat_template_utils

import formers
from formers.core import more_script_names
from formers.training import resuming_names

SIZES = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16}
MORE = {"vocab_size": 11, "num_labels": 3, "classifier_dropout": 0.1, "hidden_dropout_prob": 0.2}
CONFIG = types.SimpleNamespace(**SIZES, **MORE, layer_norm_eps=1e-5, hidden_act="gelu")
SUMMARY = {"summary_use_proj": True, "summary_proj_to_labels": True, "summary_activation": "tanh"}


def summing(kind):
    """A config whose summary is of that kind."""
    return types.SimpleNamespace(**vars(CONFIG), **SUMMARY, summary_type=kind)


HEADS = {
    "BertPooler": (modeling_bert, CONFIG),
    "BigBirdClassificationHead": (modeling_big_bird, CONFIG),
    "ElectraClassificationHead": (modeling_electra, CONFIG),
    "RobertaClassificationHead": (modeling_roberta, CONFIG),
    "RobertaLMHead": (modeling_roberta, CONFIG),
    **{
        f"XLMSequenceSummary {kind}": (modeling_xlm, summing(kind))
        for kind in ("first", "last", "mean", "cls_index")
    },
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_compute_as_the_reference_with_its_weights(name):
    module, config = HEADS[name]
    torch.manual_seed(0)
    theirs = getattr(module, name.split()[0])(config).eval()
    ours = getattr(formers, name.split()[0])(config).eval()
    ours.load_state_dict(theirs.state_dict())
    states = torch.randn(2, 4, 8)
    torch.testing.assert_close(ours(states), theirs(states))
    if name.endswith("cls_index"):
        at = torch.tensor([1, 3])
        torch.testing.assert_close(ours(states, at), theirs(states, at))


def test_xielu_is_that_of_the_reference():
    x = torch.linspace(-4, 4, 21)
    ours, theirs = (
        formers.XIELUActivation(dtype=torch.float32),
        activations.XIELUActivation(dtype=torch.float32),
    )
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.parametrize("text", ["Héllo, WORLD!  don't 你好x", "[MASK] Ünïcode\tend."])
@pytest.mark.parametrize(
    "how",
    [{}, {"do_lower_case": False}, {"do_lower_case": False, "strip_accents": True}, {"strip_accents": False}],
)
def test_halves_of_berts_tokenizer_cut_as_the_reference(text, how):
    given = {**how, "never_split": ["[MASK]"]}
    words = BasicTokenizer(**given).tokenize(text)
    assert formers.BasicTokenizer(**given).tokenize(text) == words
    pieces = {one: i for i, one in enumerate(("[UNK]", "he", "##llo", "world", "don", "##t", "x", "'"))}
    joined = " ".join(words)
    expected = WordpieceTokenizer(pieces, "[UNK]").tokenize(joined)
    assert formers.WordpieceTokenizer(pieces, "[UNK]").tokenize(joined) == expected


def test_films_of_one_shape_go_together_and_come_back_in_order():
    films = [torch.full((count, 3, 4, 4), float(i)) for i, count in enumerate((2, 3, 2))]
    ours, theirs = formers.group_videos_by_shape(films), video_utils.group_videos_by_shape(films)
    assert ours[1] == theirs[1]
    assert all(torch.equal(ours[0][shape], theirs[0][shape]) for shape in theirs[0])
    assert all(map(torch.equal, formers.reorder_videos(*ours), films))
    frames = [np.zeros((4, 4, 3), np.uint8)] * 2
    assert [one.shape for one in formers.make_batched_videos(frames)] == [(2, 4, 4, 3)]
    known = formers.VideoMetadata(8, fps=4.0, frames_indices=[0, 2])
    assert (known.timestamps, known.sampled_fps, known["fps"], len(dict(known))) == ([0, 0.5], 1.0, 4.0, 7)
    with pytest.raises(ValueError, match="timestamps"):
        _ = formers.VideoMetadata(8).timestamps


def test_text_files_become_rows(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "c": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = formers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    path = tmp_path / "text.txt"
    path.write_text("a b c\n\nb\n", encoding="utf-8")
    lines = formers.LineByLineTextDataset(tokenizer, path, block_size=2)
    assert [row["input_ids"].tolist() for row in lines] == [[1, 2], [2]]
    blocks = formers.TextDataset(tokenizer, path, block_size=2)
    assert [blocks[i].tolist() for i in range(len(blocks))] == [[1, 2], [3, 2]]
    with pytest.raises(ValueError, match="not found"):
        formers.TextDataset(tokenizer, tmp_path / "none", block_size=2)


def test_values_of_a_config_fill_what_a_call_leaves_out():
    class Own(torch.nn.Module):
        config = types.SimpleNamespace(use_cache=True)
        gradient_checkpointing = False

        @formers.merge_with_config_defaults
        def forward(self, x, use_cache=None):
            return use_cache

    model = Own()
    assert [model(1), model(1, False), model(1, use_cache=False)] == [True, False, False]
    model.gradient_checkpointing = True
    assert (model(1), model.eval()(1)) == (False, True)


def test_small_questions_are_answered_as_by_the_reference(tmp_path):
    for message in ({"role": "user", "content": "x"}, {"role": "user"}, "x"):
        assert formers.is_valid_message(message) == chat_template_utils.is_valid_message(message)
    with pytest.raises(ValueError, match="'role' and 'content'"):
        formers.Chat([{"role": "user"}])
    for kind in (torch.optim.SGD, lambda *_: None):
        assert formers.is_optimizer_factory(kind) == trainer_optimizer.is_optimizer_factory(kind)
    assert formers.resolve_internal_import(torch, "nn.functional.gelu") is torch.nn.functional.gelu
    assert formers.resolve_internal_import(torch, "nn.nothing") is None
    shared = formers.get_device_map(5, [0, 1])
    assert shared == {0: [0, 1, 2], 1: [3, 4]}
    formers.assert_device_map(shared, 5)
    with pytest.raises(
        ValueError, match=r"Duplicate attention blocks: \[2\].*Missing attention blocks: \[5\]"
    ):
        formers.assert_device_map({0: [0, 1, 2], 1: [2, 3, 4]}, 6)
    with resuming_names.safe_globals():
        torch.save(np.arange(3, dtype=np.uint32), tmp_path / "state")
        assert torch.load(tmp_path / "state", weights_only=True).tolist() == [0, 1, 2]
    config = formers.AcceleratorConfig(even_batches=False)
    assert formers.AcceleratorConfig(**config.to_dict()) == config
    assert more_script_names.InputFeatures([1]).label is None


def test_nothing_is_drawn_where_nobody_wants_it():
    config = formers.BertConfig(vocab_size=8, **SIZES)
    with formers.no_init_weights():
        model = formers.BertModel(config)
    torch.manual_seed(0)
    model.load_state_dict(formers.BertModel(config).state_dict())
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_rotary_settings_that_no_rule_reads_are_refused():
    config = formers.LlamaConfig(vocab_size=8, **SIZES)
    formers.rope_config_validation(config)
    config.rope_parameters = {"rope_type": "linaer", "factor": 2.0}
    with pytest.raises(ValueError, match="linear"):
        formers.rope_config_validation(config)


def test_models_of_processors_are_named_by_type():
    assert formers.PROCESSOR_MAPPING_NAMES["clip"] == "CLIPProcessor"
    assert formers.IMAGE_PROCESSOR_MAPPING_NAMES["vit"] == "ViTImageProcessor"


def test_flex_attention_is_attention():
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8), torch.randn(1, 2, 3, 8)
    mask = torch.full((1, 1, 3, 3), -torch.inf).triu(1)
    found, _ = formers.flex_attention_forward(torch.nn.Identity(), q, k, v, mask, scaling=0.3)
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(found, expected.transpose(1, 2))
    with pytest.raises(ValueError, match="no dropout"):
        formers.flex_attention_forward(torch.nn.Identity(), q, k, v, mask, dropout=0.1)


def test_names_are_found_in_modules_or_in_the_package():
    assert formers.getattribute_from_module(torch.nn, ("Linear", "BertConfig")) == (
        torch.nn.Linear,
        formers.BertConfig,
    )
    with pytest.raises(ValueError, match="neither torch.nn nor formers has"):
        formers.getattribute_from_module(torch.nn, "NothingOfTheKind")
    box = np.array([[2.0, 2.0, 2.0, 4.0]])
    assert formers.center_to_corners_format(box).tolist() == [[1.0, 0.0, 3.0, 4.0]]
    assert formers.center_to_corners_format(torch.tensor(box)).tolist() == [[1.0, 0.0, 3.0, 4.0]]
    assert not formers.is_dtensor(torch.zeros(1))


def test_rows_of_patches_lie_where_the_reference_has_them():
    grid = torch.tensor([[1, 4, 6], [2, 6, 10]])
    for how in (False, True):
        assert torch.equal(
            formers.get_vision_cu_seqlens(grid, how), vision_utils.get_vision_cu_seqlens(grid, how)
        )
        ours, theirs = (one.get_vision_position_ids(grid, 2, how) for one in (formers, vision_utils))
        assert torch.equal(ours, theirs)
    ours, theirs = (one.get_vision_window_index(grid, 2, 56, 14) for one in (formers, vision_utils))
    assert all(map(torch.equal, ours, theirs))
    told = {"cu_seqlens": grid, "position_ids": grid}
    assert formers.get_vision_cu_seqlens(grid, kwargs=told) is formers.get_vision_position_ids(
        grid, 2, kwargs=told
    )
