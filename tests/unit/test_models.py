"""What a model can do besides computing: grow tables, freeze, copy, take keywords, be subclassed, explain."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import formers
from formers import BertConfig, BertForSequenceClassification, BertModel
from formers.checkpoints import LoadError
from formers.core.notices import Notice

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}
IDS = torch.tensor([[2, 7, 8, 3], [2, 9, 3, 4]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def config(**more: Any) -> BertConfig:
    return BertConfig(**{**SMALL, **more})


def gpt2(**more: Any) -> Any:
    values = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 20}
    return formers.GPT2LMHeadModel(formers.GPT2Config(**{**values, **more})).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved classifier of three labels."""
    torch.manual_seed(0)
    BertForSequenceClassification(config(num_labels=3)).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


# -- token tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [57, 31])
@pytest.mark.parametrize("tied", [True, False])
def test_tables_grow_and_shrink_with_their_output_tables_and_biases(count: int, tied: bool) -> None:
    torch.manual_seed(0)
    model = formers.BertForMaskedLM(config(tie_word_embeddings=tied)).eval()
    nn.init.normal_(model.get_output_embeddings().bias)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept = min(50, count)

    table = model.resize_token_embeddings(count)

    assert table is model.get_input_embeddings()
    assert table.weight.shape == (count, 16)
    assert model.config.vocab_size == count
    output = model.get_output_embeddings()
    assert output.weight.shape == (count, 16)
    assert output.out_features == count
    assert (output.weight is table.weight) == tied
    assert model.cls.predictions.bias.shape == (count,)
    assert torch.equal(table.weight[:kept], before["bert.embeddings.word_embeddings.weight"][:kept])
    assert torch.equal(output.weight[:kept], before["cls.predictions.decoder.weight"][:kept])
    assert torch.equal(output.bias[:kept], before["cls.predictions.decoder.bias"][:kept])
    assert not output.bias[kept:].any()
    assert model(IDS, attention_mask=MASK, labels=IDS).logits.shape == (2, 4, count)


@pytest.mark.parametrize("count", [57, 31])
def test_a_decoder_s_tables_grow_and_shrink(count: int) -> None:
    model = gpt2()
    model.resize_token_embeddings(count)
    assert model.lm_head.weight is model.transformer.wte.weight
    loss = model(IDS, labels=IDS).loss
    loss.backward()
    assert model.transformer.wte.weight.grad.shape == (count, 16)


def test_new_rows_lie_near_the_mean_of_the_old_ones_and_apart_from_each_other() -> None:
    model = BertModel(config(pad_token_id=None))
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(3.0)
    table = model.resize_token_embeddings(60).weight
    mean, deviation = table[:50].mean(0), table[:50].std(0).mean()
    assert (table[50:] - mean).abs().max() < deviation
    assert not torch.equal(table[50], table[51])


def test_a_resized_model_saves_and_loads(tmp_path: Path) -> None:
    model = formers.BertForMaskedLM(config())
    model.resize_token_embeddings(53, pad_to_multiple_of=8)
    model.save_pretrained(tmp_path)
    again = formers.BertForMaskedLM.from_pretrained(tmp_path)
    assert again.config.vocab_size == 56
    assert torch.equal(again.get_output_embeddings().weight, model.get_input_embeddings().weight)


def test_resizing_keeps_what_was_frozen_and_the_padding_row() -> None:
    model = BertModel(config()).requires_grad_(False)
    table = model.resize_token_embeddings(60)
    assert not table.weight.requires_grad
    assert table.padding_idx == 0


def test_resizing_to_the_same_size_or_to_none_is_harmless() -> None:
    model = BertModel(config())
    table = model.get_input_embeddings()
    assert model.resize_token_embeddings(50) is table
    assert model.resize_token_embeddings() is table
    with pytest.raises(ValueError, match="positive"):
        model.resize_token_embeddings(0)


def test_a_table_of_one_s_own_is_used() -> None:
    model = formers.BertForMaskedLM(config(tie_word_embeddings=False)).eval()
    own = nn.Embedding(50, 16)
    model.set_input_embeddings(own)
    assert model.get_input_embeddings() is own
    assert model.bert.embeddings.word_embeddings is own
    expected = model(inputs_embeds=own(IDS)).logits
    torch.testing.assert_close(model(IDS).logits, expected)


# -- freezing and training ---------------------------------------------------------------------------


def test_the_usual_recipe_freezes_the_trunk() -> None:
    model = formers.DistilBertForSequenceClassification(
        formers.DistilBertConfig(vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=24)
    )
    for parameter in model.distilbert.parameters():
        parameter.requires_grad = False
    model(IDS, attention_mask=MASK, labels=torch.tensor([0, 1])).loss.backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {
        "pre_classifier.weight",
        "pre_classifier.bias",
        "classifier.weight",
        "classifier.bias",
    }
    assert model.num_parameters(only_trainable=True) == 16 * 16 + 16 + 2 * 16 + 2


def test_freeze_base_and_freeze_embeddings() -> None:
    model = BertForSequenceClassification(config())
    model.freeze_embeddings()
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["bert.embeddings.word_embeddings.weight"]
    model.freeze_base()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["classifier.weight", "classifier.bias"]


def test_the_upper_layers_alone_may_train() -> None:
    model = BertForSequenceClassification(config())
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(("bert.encoder.layer.1", "classifier"))
    model(IDS, labels=torch.tensor([0, 1])).loss.backward()
    assert model.bert.encoder.layer[1].output.dense.weight.grad is not None
    assert model.bert.encoder.layer[0].output.dense.weight.grad is None


def test_recomputing_layers_is_switched_on_and_off() -> None:
    model = BertForSequenceClassification(config())
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert model.is_gradient_checkpointing
    model.train()(IDS, labels=torch.tensor([0, 1])).loss.backward()
    assert model.bert.encoder.layer[0].output.dense.weight.grad.any()
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_gradients_can_be_made_to_reach_the_embeddings_output() -> None:
    model = BertModel(config()).requires_grad_(False)
    assert not model(IDS).last_hidden_state.requires_grad
    model.enable_input_require_grads()
    assert model(IDS).last_hidden_state.requires_grad
    model.disable_input_require_grads()
    assert not model(IDS).last_hidden_state.requires_grad


def test_parameters_are_counted_once() -> None:
    model = gpt2()
    tables = 50 * 16 + 20 * 16
    total = sum(p.numel() for p in model.parameters())
    assert model.num_parameters() == total
    assert model.num_parameters(exclude_embeddings=True) == total - tables
    assert model.get_memory_footprint() >= 4 * total
    assert "lm_head.weight" in model.state_dict()


# -- configuration -----------------------------------------------------------------------------------


def test_keys_that_nobody_declared_survive(tmp_path: Path) -> None:
    made = BertForSequenceClassification(config(my_note="kept", nested={"a": [1, None]}))
    made.save_pretrained(tmp_path)
    again = BertForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.my_note == "kept"
    assert again.config.nested == {"a": [1, None]}
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()


def test_config_fields_are_keywords_of_loading(folder: Path) -> None:
    names = {0: "no", 1: "perhaps", 2: "yes"}
    model = formers.AutoModelForSequenceClassification.from_pretrained(
        folder,
        id2label=names,
        label2id={name: i for i, name in names.items()},
        output_hidden_states=True,
        hidden_dropout_prob=0.3,
        attn_implementation="eager",
        problem_type="single_label_classification",
    )
    assert model.config.num_labels == 3
    assert model.config.id2label[1] == "perhaps"
    assert model.config._attn_implementation == "eager"
    assert model.config.hidden_dropout_prob == 0.3
    assert len(model(IDS).hidden_states) == 3


def test_labels_decide_how_many_outputs_a_new_head_has(tmp_path: Path) -> None:
    BertModel(config()).save_pretrained(tmp_path)
    with pytest.warns(Notice, match="initialised afresh"):
        model = formers.AutoModelForTokenClassification.from_pretrained(tmp_path, num_labels=7)
    assert model(IDS).logits.shape == (2, 4, 7)
    assert len(model.config.id2label) == 7


def test_a_config_edited_before_is_taken_and_left_alone(folder: Path) -> None:
    edited = formers.AutoConfig.from_pretrained(folder)
    edited.num_hidden_layers = 1
    with pytest.warns(Notice, match=r"16 weights.*no place in the model"):
        model = formers.AutoModelForSequenceClassification.from_pretrained(
            folder, config=edited, output_attentions=True
        )
    assert len(model.bert.encoder.layer) == 1
    assert model.load_report.unexpected
    assert model.config.output_attentions
    assert not edited.output_attentions


@pytest.mark.parametrize(
    "loader", [BertForSequenceClassification, formers.AutoModelForSequenceClassification]
)
def test_a_wrong_keyword_is_refused_with_the_right_one(loader: Any, folder: Path) -> None:
    with pytest.raises(TypeError, match="num_label.*did you mean 'num_labels'"):
        loader.from_pretrained(folder, num_label=3)
    with pytest.raises(TypeError, match="device_mapp.*did you mean 'device_map'"):
        loader.from_pretrained(folder, device_mapp="cpu")


def test_a_wrong_keyword_of_a_call_is_refused_with_the_right_one() -> None:
    with pytest.raises(TypeError, match="attention_masks.*did you mean 'attention_mask'"):
        BertModel(config())(IDS, attention_masks=MASK)
    with pytest.raises(TypeError, match="label.*did you mean 'labels'"):
        BertForSequenceClassification(config())(IDS, label=torch.tensor([0, 1]))


def test_an_unknown_attention_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"eager.*sdpa"):
        formers.AutoModel.from_pretrained(folder, attn_implementation="magic")


# -- copies, dtypes, calls ---------------------------------------------------------------------------


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS, attention_mask=MASK).logits


def test_copies_are_models_of_their_own(folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    twin = copy.deepcopy(model)
    assert torch.equal(logits(model), logits(twin))
    with torch.no_grad():
        twin.classifier.bias.add_(1.0)
        twin.bert.encoder.layer[0].output.dense.weight.zero_()
    assert not torch.equal(logits(model), logits(twin))
    assert model.bert.encoder.layer[0].output.dense.weight.any()


def test_the_layers_of_a_loaded_model_share_nothing(folder: Path) -> None:
    one, two = BertForSequenceClassification.from_pretrained(folder).bert.encoder.layer
    fired: list[str] = []
    one.attention.register_forward_hook(lambda *_: fired.append("one"))
    one.output.dense = nn.Identity()
    one.intermediate.dense.weight.data.zero_()
    assert not {id(p) for p in one.parameters()} & {id(p) for p in two.parameters()}
    assert not {id(m) for m in one.modules()} & {id(m) for m in two.modules()}
    assert isinstance(two.output.dense, nn.Linear)
    assert two.intermediate.dense.weight.any()
    two(torch.zeros(1, 3, 16))
    assert not fired


def test_a_copy_of_a_tied_model_is_tied() -> None:
    twin = copy.deepcopy(gpt2())
    assert twin.lm_head.weight is twin.transformer.wte.weight


@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_whole_models_can_be_pickled(how: str, folder: Path, tmp_path: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    if how == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        torch.save(model, tmp_path / "whole.pt")
        again = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert type(again) is BertForSequenceClassification
    assert again.config.to_dict() == model.config.to_dict()
    assert torch.equal(logits(model), logits(again))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_are_changed_in_place_and_stay_near(dtype: torch.dtype, folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    expected = logits(model)
    assert model.to(dtype) is model
    assert model.dtype == dtype
    found = logits(model)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


def test_half_float_and_the_device(folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    assert model.half().dtype == torch.float16
    assert model.float().dtype == torch.float32
    assert model.device == torch.device("cpu")
    assert model.framework == "pt"


def test_outputs_are_records_or_tuples() -> None:
    model = BertForSequenceClassification(config(num_labels=3)).eval()
    labels = torch.tensor([0, 2])
    record = model(IDS, MASK, labels=labels, output_hidden_states=True)
    plain = model(IDS, MASK, labels=labels, output_hidden_states=True, return_dict=False)
    assert isinstance(plain, tuple)
    assert [key for key, _ in record.items()] == ["loss", "logits", "hidden_states"]
    assert torch.equal(plain[0], record.loss)
    assert torch.equal(plain[1], record[1])
    assert torch.equal(plain[2][-1], record["hidden_states"][-1])
    model.config.return_dict = False
    assert isinstance(model(IDS), tuple)


def test_positional_and_named_arguments_mean_the_same() -> None:
    model = BertModel(config()).eval()
    types = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])
    named = model(input_ids=IDS, attention_mask=MASK, token_type_ids=types)
    torch.testing.assert_close(model(IDS, MASK, types)[0], named.last_hidden_state)
    torch.testing.assert_close(model(IDS, MASK, types).pooler_output, named[1])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_recorded_and_training_goes_on_after(context: Any) -> None:
    model = BertForSequenceClassification(config()).eval()
    with context():
        quiet = model(IDS, attention_mask=MASK).logits
    assert not quiet.requires_grad
    loud = model(IDS, attention_mask=MASK).logits
    torch.testing.assert_close(quiet.clone(), loud.detach())
    loud.sum().backward()
    assert model.bert.embeddings.word_embeddings.weight.grad.any()


def test_a_weight_changed_in_place_is_seen_by_the_next_call() -> None:
    model = BertForSequenceClassification(config()).eval()
    with torch.inference_mode():
        before = model(IDS).logits
    with torch.no_grad():
        model.bert.encoder.layer[0].intermediate.dense.weight.mul_(3.0)
        model.bert.encoder.layer[1].attention.self.query.weight.mul_(3.0)
    with torch.inference_mode():
        after = model(IDS).logits
    plain = model(IDS).logits.detach()
    assert not torch.allclose(before, after, atol=1e-6)
    torch.testing.assert_close(after.clone(), plain, atol=1e-6, rtol=1e-5)


def test_a_printed_model_shows_the_checkpoint_s_tree() -> None:
    text = str(BertForSequenceClassification(config(num_labels=3)))
    assert text.startswith("BertForSequenceClassification(")
    for part in ("(bert)", "(word_embeddings): Embedding(50, 16, padding_idx=0)", "(query): Linear(",
                 "(classifier): Linear(in_features=16, out_features=3, bias=True)"):  # fmt: skip
        assert part in text


# -- fresh weights -----------------------------------------------------------------------------------


def test_fresh_weights_have_the_deviation_of_the_config_and_plain_biases_and_norms() -> None:
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        config(hidden_size=64, intermediate_size=256, initializer_range=0.05)
    )
    for name, value in model.named_parameters():
        value = value.detach()
        if name.endswith("bias"):
            assert not value.any(), name
        elif "LayerNorm" in name:
            assert (value == 1).all(), name
        else:
            rows = value[1:] if "word_embeddings" in name else value
            assert abs(float(rows.mean())) < 0.02, name
            if rows.numel() > 500:
                assert abs(float(rows.std()) - 0.05) < 0.006, name
    assert not model.bert.embeddings.word_embeddings.weight[0].any()


def test_the_same_seed_gives_the_same_weights() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(BertForSequenceClassification(config()).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


# -- classes of one's own ----------------------------------------------------------------------------


class MyModel(formers.BertPreTrainedModel):
    """A head of one's own, as tutorials write it."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Any = None, attention_mask: Any = None, labels: Any = None) -> Any:
        outputs = self.bert(input_ids, attention_mask=attention_mask)
        return self.classifier(self.dropout(outputs[1]))


def test_a_class_of_one_s_own_takes_the_trunk_and_initialises_its_head(folder: Path) -> None:
    # the classifier of the file fits MyModel by name and shape too, so another number of labels is asked for
    with pytest.warns(Notice, match=r"classifier\.weight") as said:
        model = MyModel.from_pretrained(folder, num_labels=5, ignore_mismatched_sizes=True)
    assert len(said) == 1
    reference = BertForSequenceClassification.from_pretrained(folder)
    assert all(
        torch.equal(value, reference.bert.state_dict()[name])
        for name, value in model.bert.state_dict().items()
    )
    assert 0.005 < float(model.classifier.weight.detach().std()) < 0.05
    assert not model.classifier.bias.any()
    assert model.eval()(IDS, MASK).shape == (2, 5)


def test_a_class_of_one_s_own_on_a_bare_trunk(tmp_path: Path) -> None:
    trunk = BertModel(config())
    trunk.save_pretrained(tmp_path)
    with pytest.warns(Notice, match="2 weights") as said:
        model = MyModel.from_pretrained(tmp_path)
    assert len(said) == 1
    assert model.load_report.new == ["classifier.weight", "classifier.bias"]
    assert torch.equal(model.bert.pooler.dense.weight, trunk.pooler.dense.weight)
    model.save_pretrained(tmp_path / "mine")
    again = MyModel.from_pretrained(tmp_path / "mine")
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    assert again.config.architectures == ["MyModel"]


def test_a_class_of_one_s_own_can_initialise_as_it_likes(tmp_path: Path) -> None:
    class Sevens(MyModel):
        def _init_weights(self, module: nn.Module) -> None:
            if module is getattr(self, "classifier", None):
                module.weight.data.fill_(7.0)
                module.bias.data.fill_(7.0)

    BertModel(config()).save_pretrained(tmp_path)
    with pytest.warns(Notice, match="initialised afresh"):
        model = Sevens.from_pretrained(tmp_path)
    assert (model.classifier.weight == 7.0).all()
    assert (Sevens(config()).classifier.weight == 7.0).all()


def test_the_upper_layers_can_be_started_anew(folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(9.0)
    model.bert.encoder.layer[-1].apply(model._init_weights)
    anew = {name for name, p in model.named_parameters() if not (p == 9.0).all()}
    assert anew == {name for name, _ in model.named_parameters() if name.startswith("bert.encoder.layer.1.")}
    assert 0.01 < float(model.bert.encoder.layer[1].output.dense.weight.std().detach()) < 0.03
    assert (model.bert.encoder.layer[1].output.LayerNorm.weight == 1.0).all()


def test_a_class_of_one_s_own_can_be_registered(folder: Path) -> None:
    class TicketConfig(BertConfig):
        model_type = "ticket-bert"

    class TicketModel(MyModel):
        config_class = TicketConfig

    formers.AutoConfig.register("ticket-bert", TicketConfig)
    formers.AutoModelForSequenceClassification.register(TicketConfig, TicketModel)
    made = TicketModel(TicketConfig(**SMALL, num_labels=3))
    made.save_pretrained(folder / "ticket")
    again = formers.AutoModelForSequenceClassification.from_pretrained(folder / "ticket")
    assert type(again) is TicketModel
    assert torch.equal(again.classifier.weight, made.classifier.weight)
    with pytest.raises(ValueError, match="already"):
        formers.AutoModelForSequenceClassification.register(TicketConfig, TicketModel)


# -- what is wrong is said ---------------------------------------------------------------------------


def test_an_unknown_model_type_names_its_neighbours(folder: Path) -> None:
    text = (folder / "config.json").read_text().replace('"bert"', '"bertt"')
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"bertt.*bert"):
        formers.AutoModel.from_pretrained(folder)


def test_a_config_without_a_type_is_explained(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="model_type"):
        formers.AutoModel.from_pretrained(folder)


def test_a_head_that_the_family_lacks_names_those_it_has(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"AutoModelForMaskedLM.*AutoModelForCausalLM"):
        formers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    with pytest.raises(AttributeError, match="BertForMaskedLM"):
        _ = formers.BertForMaskLM


@pytest.mark.parametrize(
    "name", ["AutoModel", "AutoModelForSequenceClassification", "AutoConfig", "AutoTokenizer"]
)
def test_auto_classes_are_not_made(name: str) -> None:
    with pytest.raises(OSError, match="from_pretrained"):
        getattr(formers, name)()


def test_a_model_is_made_from_a_config_and_not_from_a_name() -> None:
    with pytest.raises(TypeError, match="from_pretrained"):
        BertModel("bert-base-uncased")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        formers.AutoModel.from_pretrained(tmp_path / "absent")


def test_a_text_longer_than_the_model_takes_is_explained() -> None:
    with pytest.raises(ValueError, match=r"21.*20.*truncation"):
        BertModel(config())(torch.ones(1, 21, dtype=torch.long))


def test_ids_outside_the_table_are_explained() -> None:
    with pytest.raises((IndexError, ValueError), match="50"):
        BertModel(config())(torch.tensor([[1, 50]]))


def test_both_or_neither_of_ids_and_vectors_is_refused() -> None:
    model = BertModel(config())
    for inputs in ({}, {"input_ids": IDS, "inputs_embeds": torch.zeros(2, 4, 16)}):
        with pytest.raises(ValueError, match="exactly one"):
            model(**inputs)


def test_labels_in_the_place_of_an_option_are_refused() -> None:
    made = formers.BertForSequenceClassification(config())
    with pytest.raises(TypeError, match="return_dict.*by name"):  # the labels stand one place earlier
        made(IDS, MASK, None, None, None, None, torch.tensor([1, 0]))


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 4\].*\[2, 3\]"):
        BertModel(config())(IDS, attention_mask=MASK[:, :3])


def test_a_decoder_classifies_a_batch_only_where_it_knows_the_padding() -> None:
    model = formers.GPT2ForSequenceClassification(
        formers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=20)
    )
    with pytest.raises(ValueError, match="pad_token_id"):
        model(IDS)
    model.config.pad_token_id = 0
    assert model(IDS).logits.shape == (2, 2)


def test_labels_out_of_range_are_explained() -> None:
    with pytest.raises((IndexError, ValueError), match=r"2"):
        BertForSequenceClassification(config())(IDS, labels=torch.tensor([0, 2]))


def test_saving_over_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        BertModel(config()).save_pretrained(tmp_path / "taken")
    with pytest.raises(TypeError, match="did you mean 'max_shard_size'"):
        BertModel(config()).save_pretrained(tmp_path / "new", max_shard_sizes="1GB")


def test_the_load_report_tells_what_happened(folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    report = model.load_report
    assert report.loaded == len(model.state_dict())
    assert report.values == model.num_parameters()
    assert report.dtypes == {"float32": report.loaded}
    assert [path.name for path in report.files] == ["model.safetensors"]
    assert not [*report.new, *report.missing, *report.unexpected, *report.mismatched, *report.untied]
    assert str(report).startswith(f"loaded {report.loaded} tensors")
    assert BertForSequenceClassification(config()).load_report is None


def test_load_errors_are_runtime_errors_too(folder: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        BertForSequenceClassification.from_pretrained(folder, hidden_size=32)
    assert isinstance(caught.value, LoadError)


def test_loading_leaves_the_garbage_collector_as_it_was(folder: Path) -> None:
    for running in (False, True):
        (gc.enable if running else gc.disable)()
        try:
            BertForSequenceClassification.from_pretrained(folder)
            with pytest.raises(TypeError):
                BertForSequenceClassification.from_pretrained(folder, nonsense=1)
            assert gc.isenabled() == running
        finally:
            gc.enable()


def test_loading_imports_no_compiler(folder: Path) -> None:
    code = (
        "import sys; from formers import AutoModelForSequenceClassification as Auto; "
        f"Auto.from_pretrained({str(folder)!r}); "
        "print([name for name in ('torch._dynamo', 'torch._inductor', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
