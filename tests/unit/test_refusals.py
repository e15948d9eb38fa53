"""Nothing is swallowed: a misspelt keyword is refused with the right one, and what is not there says so."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import formers
from formers import public
from formers.core.notices import Notice, forget_notices
from tiny import save_classifier

pytestmark = pytest.mark.filterwarnings("ignore:.*were initialised afresh:formers.core.notices.Notice")
IDS = torch.tensor([[2, 5, 3]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    return formers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder):
    return formers.AutoModelForSequenceClassification.from_pretrained(folder)


def llama():
    return formers.LlamaForCausalLM(
        formers.LlamaConfig(
            vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
        )  # fmt: skip
    )


def t5():
    return formers.T5ForConditionalGeneration(
        formers.T5Config(
            vocab_size=8, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1, decoder_start_token_id=0
        )
    )


# -- keywords -------------------------------------------------------------------------------------------

MISSPELT = {
    "loading": ("num_lables", "num_labels", lambda c, kw: formers.AutoModel.from_pretrained(c.folder, **kw)),
    "loading from a revision": (
        "revison",
        "revision",
        lambda c, kw: formers.AutoModel.from_pretrained(c.folder, **kw),
    ),
    "a config file": (
        "hiden_size",
        "hidden_size",
        lambda c, kw: formers.AutoConfig.from_pretrained(c.folder, **kw),
    ),
    "saving": (
        "safe_serialisation",
        "safe_serialization",
        lambda c, kw: c.model.save_pretrained(c.out, **kw),
    ),
    "saving a config": ("privat", "private", lambda c, kw: c.model.config.save_pretrained(c.out, **kw)),
    "saving a tokenizer": (
        "legacy_fromat",
        "legacy_format",
        lambda c, kw: c.tokenizer.save_pretrained(c.out, **kw),
    ),
    "pushing a model": ("privat", "private", lambda c, kw: c.model.push_to_hub("a/b", **kw)),
    "pushing a config": ("privat", "private", lambda c, kw: c.model.config.push_to_hub("a/b", **kw)),
    "pushing a tokenizer": (
        "commit_mesage",
        "commit_message",
        lambda c, kw: c.tokenizer.push_to_hub("a/b", **kw),
    ),
    "computing": ("atention_mask", "attention_mask", lambda c, kw: c.model(IDS, **kw)),
    "computing without a head": (
        "output_attention",
        "output_attentions",
        lambda c, kw: c.model.bert(IDS, **kw),
    ),
    "computing with a decoder": ("use_cach", "use_cache", lambda c, kw: llama()(IDS, **kw)),
    "computing with two stacks": (
        "decoder_inputs_ids",
        "decoder_input_ids",
        lambda c, kw: t5()(IDS, labels=IDS, **kw),
    ),
    "recomputing": (
        "use_reentant",
        "use_reentrant",
        lambda c, kw: c.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kw),
    ),
    "tokenizing": ("max_lenght", "max_length", lambda c, kw: c.tokenizer("my card", **kw)),
    "encoding": (
        "add_special_token",
        "add_special_tokens",
        lambda c, kw: c.tokenizer.encode("my card", **kw),
    ),
    "decoding": ("skip_special_token", "skip_special_tokens", lambda c, kw: c.tokenizer.decode([2], **kw)),
    "loading a tokenizer": (
        "model_max_lenght",
        "model_max_length",
        lambda c, kw: formers.AutoTokenizer.from_pretrained(c.folder, **kw),
    ),
    "a pipeline": (
        "devise",
        "device",
        lambda c, kw: formers.pipeline("text-classification", str(c.folder), **kw),
    ),
    "calling a pipeline": (
        "topk",
        "top_k",
        lambda c, kw: formers.pipeline("text-classification", str(c.folder))("my card", **kw),
    ),
    "training arguments": (
        "lerning_rate",
        "learning_rate",
        lambda c, kw: formers.TrainingArguments(c.out, **kw),
    ),
    "a trainer": ("train_datset", "train_dataset", lambda c, kw: formers.Trainer(c.model, **kw)),
    "a collator": ("pading", "padding", lambda c, kw: formers.DataCollatorWithPadding(c.tokenizer, **kw)),
    "a masking collator": (
        "mlm_probabilty",
        "mlm_probability",
        lambda c, kw: formers.DataCollatorForLanguageModeling(c.tokenizer, **kw),
    ),
    "a callback": (
        "early_stoping_patience",
        "early_stopping_patience",
        lambda c, kw: formers.EarlyStoppingCallback(**kw),
    ),
    "an optimizer": ("weight_dcay", "weight_decay", lambda c, kw: formers.AdamW(c.model.parameters(), **kw)),
}


@pytest.mark.parametrize("where", MISSPELT)
def test_a_misspelt_keyword_is_refused_with_the_right_one(where, folder, tokenizer, model, tmp_path):
    class Case:
        out = tmp_path / "out"

    Case.folder, Case.tokenizer, Case.model = folder, tokenizer, model
    wrong, right, use = MISSPELT[where]
    with pytest.raises(TypeError, match=f"'{wrong}'; did you mean '{right}'"):
        use(Case, {wrong: 1})


def test_a_field_that_no_config_declares_is_noticed():
    with pytest.warns(Notice, match="did you mean 'hidden_size'"):
        formers.BertConfig(hiden_size=8)


def test_fields_that_contradict_each_other_are_named(folder):
    load = formers.AutoModelForSequenceClassification.from_pretrained
    with pytest.raises(ValueError, match="num_labels=3, but id2label names 2"):
        load(folder, num_labels=3, id2label={0: "a", 1: "b"})
    with pytest.raises(ValueError, match="'multilabel' is not known"):
        load(folder, problem_type="multilabel")
    with pytest.warns(Notice, match="answers follow id2label"):
        formers.BertConfig(id2label={0: "a", 1: "b"}, label2id={"b": 0, "a": 1})


def test_a_method_s_name_is_no_field(folder):
    with pytest.raises(TypeError, match="update"):
        formers.AutoModel.from_pretrained(folder, update=3)


def test_a_model_takes_a_configuration_alone(model):
    with pytest.raises(TypeError, match="num_lables"):
        type(model)(model.config, num_lables=3)
    with pytest.raises(TypeError, match="from_pretrained"):
        type(model)("bert-base-uncased")
    with pytest.raises(TypeError, match=r"AutoModel\.from_config takes a configuration"):
        formers.AutoModel.from_config("bert-base-uncased")


# -- what this version does not do ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ({"use_flash_attention_2": True}, "attn_implementation"),
        ({"from_tf": True}, "TensorFlow"),
    ],
)
def test_wishes_that_cannot_be_fulfilled_name_the_way_out(folder, keyword, text):
    with pytest.raises(ValueError, match=text):
        formers.AutoModel.from_pretrained(folder, **keyword)
    refused = next(iter(keyword))
    assert formers.AutoModel.from_pretrained(folder, **{refused: None}) is not None


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("trust_remote_code", True),
        ("weights_only", False),
        ("low_cpu_mem_usage", False),
        ("resume_download", True),
    ],
)
def test_keywords_without_effect_are_noticed(folder, keyword, value):
    with pytest.warns(Notice, match=keyword):
        formers.AutoModel.from_pretrained(folder, **{keyword: value})


def rewritten(folder, target, **fields):
    shutil.copytree(folder, target)
    path = target / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return target


def test_a_quantized_checkpoint_is_refused_before_its_weights_are_read(folder, tmp_path):
    place = rewritten(folder, tmp_path / "q", quantization_config={"quant_method": "eetq"})
    with pytest.raises(ValueError, match=r"quantized by 'eetq'"):
        formers.AutoModel.from_pretrained(place)


def test_code_of_a_checkpoint_s_own_is_named_and_not_run(folder, tmp_path):
    place = rewritten(folder, tmp_path / "r", model_type="own", auto_map={"AutoModel": "code.Model"})
    with pytest.raises(ValueError, match=r"no code is loaded.*AutoModel\.register"):
        formers.AutoModel.from_pretrained(place, trust_remote_code=True)


def test_names_of_other_versions_say_why_they_are_missing():
    with pytest.raises(ImportError, match="quantized loading is not part of this version"):
        from formers import EetqConfig  # noqa: F401
    with pytest.raises(ImportError, match="PyTorch alone; use BertModel"):
        from formers import TFBertModel  # noqa: F401
    with pytest.raises(ImportError, match="did you mean 'AutoModelForSequenceClassification'"):
        from formers import AutoModelForSequenceClasification  # noqa: F401
    with pytest.raises(AttributeError, match="did you mean 'pipeline'"):
        _ = formers.pipelin
    assert not hasattr(formers, "VptqConfig")


def test_every_name_that_is_said_to_be_missing_is():
    from formers import names

    there = set(public.MODULE_OF)
    assert not [name for name in there for beginning, _ in names._ABSENT if name.startswith(beginning)]


def test_a_misspelt_task_is_told_what_was_meant():
    with pytest.raises(KeyError, match="did you mean 'sentiment-analysis'"):
        formers.pipeline("sentimnt-analysis")


def test_older_names_of_classes_lead_to_today_s(folder, tmp_path):
    assert formers.BartPretrainedModel is formers.BartPreTrainedModel
    assert type(formers.AutoModelWithLMHead.from_config(llama().config)) is formers.LlamaForCausalLM
    t5().save_pretrained(tmp_path)
    assert type(formers.AutoModelForTextEncoding.from_pretrained(tmp_path)) is formers.T5EncoderModel
    assert type(formers.AutoModelForTextEncoding.from_pretrained(folder)) is formers.BertModel
    with pytest.raises(ValueError, match=r"'llama'.*AutoModelForCausalLM"):
        formers.AutoModelForTextEncoding.from_config(llama().config)


# -- places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("./nowhere", OSError, "no folder"),
        ("https://example.org/owner/name", OSError, "address"),
        ("bert base uncased", OSError, "neither a folder here nor a repository id"),
        (5, TypeError, "not by a int"),
        (None, TypeError, "not by a NoneType"),
        ({"model_type": "bert"}, TypeError, "not by a dict"),
    ],
)
def test_what_names_no_checkpoint_is_explained(name, kind, text):
    with pytest.raises(kind, match=text):
        formers.AutoModel.from_pretrained(name)


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for load in (formers.AutoModel, formers.AutoTokenizer, formers.AutoConfig):
        with pytest.raises(OSError, match="internet connection"):
            load.from_pretrained("owner/never-downloaded")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match="HF_HUB_OFFLINE"):
        formers.AutoModel.from_pretrained("owner/never-downloaded")


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("config.json", b"", "not a valid JSON file"),
        ("config.json", b"[]", "an object"),
        ("model.safetensors", b"", "empty"),
        ("model.safetensors", b"<html>not found</html>", "truncated or no safetensors file"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_damaged_files_are_named(folder, tmp_path, file, content, text):
    place = shutil.copytree(folder, tmp_path / "damaged")
    (place / file).write_bytes(content)
    with pytest.raises(OSError, match=text):
        formers.AutoModel.from_pretrained(place)


def test_a_weight_file_is_no_folder(folder):
    with pytest.raises(OSError, match="give the folder"):
        formers.AutoModel.from_pretrained(folder / "model.safetensors")


# -- inputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("my card", "tokenize it"),
        ([[2, 5, 3]], "return_tensors='pt'"),
        (np.array([[2, 5, 3]]), "return_tensors='pt'"),
        (torch.ones(1, 3), r"\.long\(\)"),
    ],
)
def test_what_is_no_tensor_of_ids_is_explained(model, given, text):
    for one in (model, llama(), t5()):
        with pytest.raises(TypeError, match=text):
            one(given)


def test_an_encoding_is_to_be_unpacked(model, tokenizer):
    with pytest.raises(TypeError, match=r"model\(\*\*inputs\)"):
        model(tokenizer("my card", return_tensors="pt"))
    with pytest.raises(TypeError, match="attention_mask must be a tensor"):
        model(IDS, attention_mask=[[1, 1, 1]])


def test_labels_are_checked(model):
    with pytest.raises(TypeError, match=r"torch\.tensor\(labels\)"):
        model(IDS, labels=[1])
    with pytest.raises(IndexError, match="labels hold 7, but the model tells 3 apart"):
        model(IDS, labels=torch.tensor([7]))
    with pytest.raises(TypeError, match="AutoModelForSequenceClassification"):
        model.bert(IDS, labels=torch.tensor([1]))
    with pytest.raises(AttributeError, match="AutoModelForSequenceClassification"):
        _ = model.bert(IDS).logits


def test_a_head_whose_targets_are_named_otherwise_says_how(model):
    spans = formers.BertForQuestionAnswering(model.config)
    with pytest.raises(TypeError, match="targets are start_positions and end_positions"):
        spans(IDS, labels=torch.tensor([1]))
    with pytest.raises(TypeError, match="targets are start_positions and end_positions"):
        formers.T5ForQuestionAnswering(t5().config)(IDS, decoder_input_ids=IDS, labels=torch.tensor([1]))


def test_what_would_change_the_answer_unnoticed_is_refused(model):
    with pytest.raises(ValueError, match="relative_key"):
        formers.BertConfig(position_embedding_type="relative_key")
    with pytest.raises(ValueError, match="relative_key"):
        formers.RobertaConfig(position_embedding_type="relative_key")
    for one in (model, model.bert, t5()):
        with pytest.raises(TypeError, match="takes no head_mask"):
            one(IDS, head_mask=torch.ones(2, 2))
    with_none = model(IDS, head_mask=None).logits  # as code for older versions passes it on
    assert torch.equal(with_none, model(IDS).logits)


def test_padding_without_a_mask_is_noticed(model):
    with pytest.warns(Notice, match="attention_mask"):
        model(torch.tensor([[2, 5, 3, 0], [2, 5, 6, 3]]))
    model(torch.tensor([[2, 5, 3, 0]]), attention_mask=torch.tensor([[1, 1, 1, 0]]))


# -- training -------------------------------------------------------------------------------------------


def trainer(model, tokenizer, tmp_path, rows):
    args = formers.TrainingArguments(tmp_path, num_train_epochs=1, report_to="none", disable_tqdm=True)
    return formers.Trainer(model, args, train_dataset=rows, processing_class=tokenizer)


def test_numbers_and_switches_may_be_text_if_they_are_numbers_and_switches(tmp_path):
    args = formers.TrainingArguments(tmp_path, learning_rate="2e-5", seed="7", gradient_checkpointing="false")
    assert (args.learning_rate, args.seed, args.gradient_checkpointing) == (2e-5, 7, False)
    with pytest.raises(ValueError, match="num_train_epochs must be a number, got 'three'"):
        formers.TrainingArguments(tmp_path, num_train_epochs="three")
    with pytest.raises(ValueError, match="bf16 is True or False, got 'perhaps'"):
        formers.TrainingArguments(tmp_path, bf16="perhaps")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"model": "bert-base-uncased"}, r"model must be a model, not str.*from_pretrained"),
        ({"args": {"learning_rate": 1e-5}}, r"args must be TrainingArguments, not dict"),
        ({"compute_metrics": "accuracy"}, "compute_metrics must be a function"),
        ({"callbacks": ["early stopping"]}, "callbacks must be TrainerCallbacks"),
        ({"optimizers": torch.optim.AdamW([torch.zeros(1)])}, r"a pair, \(optimizer, scheduler\)"),
    ],
)
def test_a_trainer_says_which_of_its_parts_is_of_the_wrong_kind(model, wrong, text):
    with pytest.raises(TypeError, match=text):
        formers.Trainer(**{"model": model, **wrong})


def test_metrics_come_as_a_dictionary_and_examples_as_mappings(model, tokenizer, tmp_path):
    judge = trainer(model, tokenizer, tmp_path, None)
    judge.compute_metrics = lambda _: 0.5
    with pytest.raises(TypeError, match="must return a dict.*returned float"):
        judge.evaluate([{**tokenizer("my card"), "label": 1}])
    with pytest.raises(TypeError, match="predict needs a dataset"):
        judge.predict(None)
    with pytest.raises(TypeError, match="not a tuple; pass a data_collator"):
        judge.predict([(1, 2)])
    with pytest.raises(TypeError, match="pass a model as model="):
        formers.pipeline(model)


def test_a_file_s_name_is_no_dataset(model, tokenizer, tmp_path):
    with pytest.raises(TypeError, match=r"load_table.*tokenize_rows"):
        trainer(model, tokenizer, tmp_path, "reviews.csv")


def test_labels_that_are_text_are_to_be_numbered(model, tokenizer, tmp_path):
    rows = [{**tokenizer("my card"), "label": "billing"}] * 4
    with pytest.raises(ValueError, match="'label' holds text \\('billing'\\)"):
        trainer(model, tokenizer, tmp_path, rows).train()


def test_a_column_named_as_the_forward_s_rest_is_left_out(folder, tokenizer, tmp_path):
    rows = [{**tokenizer("my card"), "label": 1, "keywords": 3}] * 4
    model = formers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert np.isfinite(trainer(model, tokenizer, tmp_path, rows).train().training_loss)


def test_labels_win_over_a_column_that_they_were_made_from(tokenizer):
    rows = [{**tokenizer("my card"), "label": 0, "labels": [1, 2, 3]}]
    batch = formers.DataCollatorForSeq2Seq(tokenizer)(rows)
    assert batch["labels"].tolist() == [[1, 2, 3]]


def test_probabilities_where_logits_belong_are_noticed():
    from formers.evaluation import fit_temperature

    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]] * 5)
    with pytest.warns(Notice, match="look like probabilities"):
        fit_temperature(probabilities, np.array([0, 1, 1, 1] * 5))


# -- the format of numbers ------------------------------------------------------------------------------


def test_a_config_s_dtype_equals_the_dtype_and_its_name(folder, tmp_path):
    config = formers.AutoModel.from_pretrained(folder, torch_dtype=torch.bfloat16).config
    for value in (config.dtype, config.torch_dtype):
        assert value == torch.bfloat16
        assert torch.bfloat16 == value
        assert value == "bfloat16"
        assert value != torch.float16
        assert (value != torch.bfloat16) is False
        assert value in (torch.float16, torch.bfloat16)
    assert formers.BertConfig().dtype is None
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert type(config.to_dict()["torch_dtype"]) is str


def test_a_notice_names_the_line_of_the_caller(folder):
    forget_notices()
    with pytest.warns(Notice, match="use_fast") as told:
        formers.AutoTokenizer.from_pretrained(folder, use_fast=False)
    assert told[0].filename == __file__


# what tutorials do in passing


SMALL = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}


@pytest.mark.parametrize("shape", [(2, 0), (0, 0)])
def test_inputs_without_tokens_are_refused_by_every_kind_of_stem(shape):
    empty = torch.zeros(*shape, dtype=torch.long)
    for model in (
        formers.BertForSequenceClassification(formers.BertConfig(**SMALL)),
        formers.GPT2Model(formers.GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4)),
    ):
        with pytest.raises(ValueError, match=r"hold no tokens: their shape is \[\d, 0\]"):
            model.eval()(empty)
    with pytest.raises(ValueError, match="hold no tokens"):
        formers.BertModel(formers.BertConfig(**SMALL))(inputs_embeds=torch.zeros(2, 0, 32))


def test_a_folder_with_an_adapter_alone_says_where_its_model_is(tmp_path):
    model = formers.BertModel(formers.BertConfig(**SMALL))
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "adapter_model.safetensors")
    with pytest.raises(OSError, match="holds an adapter alone.*adapter_config.json does not name"):
        formers.AutoModel.from_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base"}')
    with pytest.raises(OSError, match="acme/base"):  # the model below it is looked for
        formers.AutoModel.from_pretrained(tmp_path)


def test_downloading_again_without_the_network_is_refused(tmp_path, monkeypatch):
    for options in ({"local_files_only": True}, {}):
        if not options:
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(OSError, match="force_download=True downloads 'acme/tiny' again, but"):
            formers.AutoConfig.from_pretrained(
                "acme/tiny", cache_dir=tmp_path, force_download=True, **options
            )


def test_the_sizes_of_attention_can_be_read_off_its_node():
    bert = formers.BertModel(formers.BertConfig(**SMALL)).encoder.layer[0].attention.self
    assert (bert.num_attention_heads, bert.attention_head_size, bert.all_head_size) == (4, 8, 32)
    config = formers.LlamaConfig(**SMALL, num_key_value_heads=2, intermediate_size=64)
    llama = formers.LlamaModel(config).layers[0].self_attn
    assert (llama.head_dim, llama.num_key_value_groups) == (8, 2)
    gpt = formers.GPT2Model(formers.GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4)).h[0]
    assert gpt.attn.num_heads == 4
    assert (gpt.attn.c_attn.nf, gpt.attn.c_attn.nx) == (96, 32)


def test_heads_that_cannot_share_states_are_refused_before_anything_is_computed():
    towers = {"vision_config": {"hidden_size": 16, "num_hidden_layers": 1}}
    with pytest.raises(ValueError, match="hidden_size=16 of the image tower has to be a multiple of 64"):
        formers.BridgeTowerModel(formers.BridgeTowerConfig(**towers))
    with pytest.raises(ValueError, match="8 heads cannot share states of width 20"):
        formers.Mask2FormerModel(formers.Mask2FormerConfig(hidden_dim=20, num_attention_heads=8))
