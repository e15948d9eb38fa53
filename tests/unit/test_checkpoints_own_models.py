"""Classes of one's own: what was given is kept, what nobody gave is drawn, what a file lacks is said."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import formers
from formers import BertConfig, BertForSequenceClassification, BertModel
from formers.checkpoints import LoadError
from formers.core.notices import Notice

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,
}
IDS = torch.tensor([[2, 10, 11, 3], [2, 12, 3, 0]])
MASK = (IDS != 0).long()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of a classifier with three labels."""
    BertForSequenceClassification(BertConfig(**SMALL, num_labels=3)).save_pretrained(tmp_path / "made")
    return tmp_path / "made"


def loaded(cls: Any, folder: Path, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        return cls.from_pretrained(folder, *args, **options)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# -- what is drawn, and what is not ------------------------------------------------------------------


def test_a_pretrained_part_of_a_wrapper_keeps_its_weights(folder: Path) -> None:
    class Router(formers.PreTrainedModel):
        config_class = BertConfig

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.encoder = formers.AutoModel.from_pretrained(folder)
            self.out = nn.Linear(16, 200)
            self.post_init()

    model = Router(BertConfig(**SMALL))
    assert unchanged(model.encoder, state(BertModel.from_pretrained(folder)))
    assert 0.25 < float(model.out.weight.detach().std()) < 0.35  # the config's, not torch's own
    assert not model.out.bias.any()


@pytest.mark.parametrize("again", ["init_weights", "post_init"])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: m.half()]
)
def test_a_loaded_model_is_never_drawn_again(folder: Path, again: str, copied: Any) -> None:
    model = copied(BertForSequenceClassification.from_pretrained(folder))
    before = state(model)
    getattr(model, again)()
    assert unchanged(model, before)


def test_resized_and_exchanged_tables_are_never_drawn_again() -> None:
    model = formers.LlamaForCausalLM(formers.LlamaConfig(**SMALL, tie_word_embeddings=False))
    model.resize_token_embeddings(50)
    before = state(model)
    model.post_init()
    assert unchanged(model, before)
    model.set_input_embeddings(nn.Embedding.from_pretrained(torch.ones(50, 16), freeze=False))
    model.init_weights()
    assert bool((model.get_input_embeddings().weight == 1).all())


def test_a_layer_that_was_added_later_is_drawn_and_nothing_else(folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    before = state(model)
    model.extra = nn.Linear(16, 300)
    model.init_weights()
    assert not model.extra.bias.any()
    assert 0.25 < float(model.extra.weight.detach().std()) < 0.35
    assert unchanged(model.bert, {name.removeprefix("bert."): v for name, v in before.items()})


def test_values_that_a_constructor_wrote_into_a_drawn_kind_are_kept() -> None:
    class Given(formers.BertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.words = nn.Embedding.from_pretrained(torch.full((5, 4), 2.0), freeze=False)
            self.rare = nn.Linear(4, 2)
            nn.init.constant_(self.rare.bias, -4.6)
            self.zero = nn.Linear(4, 4, bias=False)
            nn.init.zeros_(self.zero.weight)
            self.post_init()

    model = Given(BertConfig(**SMALL))
    assert bool((model.words.weight == 2).all())
    assert bool((model.rare.bias == -4.6).all())
    assert not model.zero.weight.any()


# -- modules of other kinds --------------------------------------------------------------------------


class OwnNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.shift = nn.Parameter(torch.full((4, 4), 0.5))


class Scalars(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(2.66))
        self.mix = nn.ParameterList([nn.Parameter(torch.full((2, 2), float(i))) for i in range(3)])


class Untouched(nn.Linear):
    """A linear map that starts as the identity."""

    def reset_parameters(self) -> None:
        nn.init.eye_(self.weight)


PARTS = {
    "batch norm": lambda: nn.BatchNorm1d(4),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "torch's RMS norm": lambda: nn.RMSNorm(4),
    "instance norm": lambda: nn.InstanceNorm1d(4, affine=True),
    "own norm": OwnNorm,
    "layer norm": lambda: nn.LayerNorm(4),
    "prelu": lambda: nn.PReLU(num_parameters=3, init=0.4),
    "scalars": Scalars,
    "own linear": lambda: Untouched(4, 4, bias=False),
}


def with_part(make: Any, base: Any = formers.BertPreTrainedModel) -> Any:
    class Own(base):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            if base is formers.BertPreTrainedModel:
                self.bert = BertModel(config)
            self.part = make()
            self.post_init()

        def forward(self, *args: Any, **options: Any) -> Any:
            return super().forward(*args, **options)

    return Own


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("base", [formers.BertPreTrainedModel, BertModel, BertForSequenceClassification])
def test_other_kinds_of_modules_start_as_their_constructors_made_them(
    folder: Path, kind: str, base: Any
) -> None:
    wanted = state(PARTS[kind]())
    cls = with_part(PARTS[kind], base)
    assert unchanged(cls(BertConfig(**SMALL)).part, wanted)
    assert unchanged(loaded(cls, folder).part, wanted)


DRAWING = {
    "lstm": lambda: nn.LSTM(4, 4),
    "bag": lambda: nn.EmbeddingBag(9, 4),
    "weight norm": lambda: weight_norm(nn.Linear(4, 4)),
    "attention": lambda: nn.MultiheadAttention(4, 2),
}


@pytest.mark.parametrize("make", DRAWING.values(), ids=list(DRAWING))
def test_modules_that_draw_for_themselves_are_left_alone(folder: Path, make: Any) -> None:
    held: list[nn.Module] = []

    def noted() -> nn.Module:
        held.append(make())
        held.append(copy.deepcopy(held[0]))
        return held[0]

    for build in (lambda cls: cls(BertConfig(**SMALL)), lambda cls: loaded(cls, folder)):
        held.clear()
        model = build(with_part(noted))
        mine = {name: value for name, value in state(held[1]).items() if "out_proj" not in name}
        assert all(torch.equal(model.part.state_dict()[name], value) for name, value in mine.items())


def test_an_initialisation_of_one_s_own_still_reaches_other_kinds(folder: Path) -> None:
    class Own(with_part(PARTS["batch norm"])):  # type: ignore[misc]
        def _init_weights(self, module: nn.Module) -> None:
            if isinstance(module, nn.BatchNorm1d):
                nn.init.constant_(module.weight, 0.25)

    for model in (Own(BertConfig(**SMALL)), loaded(Own, folder)):
        assert bool((model.part.weight == 0.25).all())


def test_a_part_in_the_library_s_own_place_resets_itself(folder: Path) -> None:
    class Placed(BertForSequenceClassification):
        def _place_head(self, spec: Any, config: Any) -> None:
            super()._place_head(spec, config)
            self.norm = nn.BatchNorm1d(16)  # made without storage, as all of the head is

    norm = loaded(Placed, folder).norm
    assert bool((norm.weight == 1).all())
    assert not norm.bias.any()


# -- buffers and plain tensors -----------------------------------------------------------------------

WEIGHTS = [1.0, 2.0, 3.0]


class Holding(BertForSequenceClassification):
    """What people keep beside the parameters."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.loss_fct = nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))
        self.register_buffer("prior", torch.tensor(WEIGHTS).log())
        self.register_buffer("steps", torch.tensor(7), persistent=True)
        self.register_buffer("passing", torch.tensor(WEIGHTS), persistent=False)
        self.plain = torch.tensor(WEIGHTS)
        self.windows = {"hann": torch.hann_window(4)}


def test_buffers_that_no_file_holds_keep_what_the_constructor_computed(folder: Path) -> None:
    model = loaded(Holding, folder)
    assert model.loss_fct.weight.tolist() == model.passing.tolist() == model.plain.tolist() == WEIGHTS
    assert torch.allclose(model.prior.exp(), torch.tensor(WEIGHTS))
    assert model.steps.item() == 7
    assert not model.windows["hann"].is_meta


def test_a_kept_buffer_is_no_weight_to_be_trained(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        model, info = Holding.from_pretrained(folder, output_loading_info=True)
    assert sorted(model.load_report.kept) == ["loss_fct.weight", "prior", "steps"]
    assert "as the constructor made them (3)" in str(model.load_report)
    assert set(info["missing_keys"]) == set(model.load_report.kept)


def test_a_buffer_in_the_file_comes_from_the_file(folder: Path, tmp_path: Path) -> None:
    model = loaded(Holding, folder)
    model.steps.fill_(9)
    model.prior.zero_()
    model.save_pretrained(tmp_path / "saved")
    again = Holding.from_pretrained(tmp_path / "saved")
    assert again.steps.item() == 9
    assert not again.prior.any()
    assert not again.load_report.kept


def test_kept_values_follow_the_dtype_that_is_asked_for(folder: Path) -> None:
    class Warm(Holding):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.temperature = nn.Parameter(torch.tensor(1.5))

    model = loaded(Warm, folder, dtype="bfloat16", device_map="cpu")
    assert model.temperature.dtype == model.prior.dtype == torch.bfloat16
    assert model.temperature.item() == 1.5
    assert model.steps.dtype == torch.int64


def test_one_parameter_under_two_names_stays_one(tmp_path: Path) -> None:
    class Twins(formers.BertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.one = nn.Linear(4, 4)
            self.two = nn.Linear(4, 4)
            self.two.weight = self.one.weight
            self.post_init()

    made = Twins(BertConfig(**SMALL))
    made.save_pretrained(tmp_path)
    again = Twins.from_pretrained(tmp_path)
    assert again.two.weight is again.one.weight
    assert unchanged(again, state(made))


# -- layers that a file lacks ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["BertModel", "RobertaModel", "GPT2Model", "T5Model"])
def test_a_layer_added_to_a_base_model_is_new_and_said(name: str, tmp_path: Path) -> None:
    base = getattr(formers, name)
    made = base(getattr(formers, name.replace("Model", "Config"))(**SMALL))
    made.save_pretrained(tmp_path)

    class Longer(base):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.convolution = nn.Conv1d(16, 16, 3)
            self.post_init()

    with pytest.warns(Notice, match=r"2 weights .* initialised afresh: convolution\.weight"):
        model = Longer.from_pretrained(tmp_path)
    assert model.load_report.new == ["convolution.weight", "convolution.bias"]
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in made.state_dict().items())


class GrowingConfig(formers.PretrainedConfig):
    model_type = "growing"
    wide: bool = False


class Growing(formers.PreTrainedModel):
    config_class = GrowingConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.first = nn.Linear(4, 4)
        if config.wide:
            self.second = nn.Linear(4, 4)
        self.post_init()


def test_an_own_model_may_grow_by_a_layer(tmp_path: Path) -> None:
    made = Growing(GrowingConfig())
    made.save_pretrained(tmp_path)
    with pytest.warns(Notice, match=r"second\.weight, second\.bias"):
        model = Growing.from_pretrained(tmp_path, wide=True)
    assert torch.equal(model.first.weight, made.first.weight)


def test_files_of_which_nothing_fits_are_refused_all_the_same(folder: Path, tmp_path: Path) -> None:
    Growing(GrowingConfig()).save_pretrained(tmp_path)
    save_file({"other.weight": torch.ones(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LoadError, match=r"first\.bias, first\.weight|first\.weight, first\.bias"):
        Growing.from_pretrained(tmp_path)


def test_a_missing_part_of_the_library_s_trunk_is_refused_in_a_subclass_too(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["bert.encoder.layer.0.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(LoadError, match=r"missing from the files \(1\).*layer\.0\.output\.dense\.weight"):
        with_part(PARTS["scalars"]).from_pretrained(folder)


# -- several dtypes in one file ----------------------------------------------------------------------

MIXES = {
    "half trunk": lambda name: torch.float16 if "classifier" not in name else None,
    "bfloat16 embeddings": lambda name: torch.bfloat16 if "embeddings" in name else None,
    "one double bias": lambda name: torch.float64 if name == "classifier.bias" else None,
}


def mix(folder: Path, kind: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: value.to(kind(name) or value.dtype) for name, value in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("kind", MIXES)
@pytest.mark.parametrize("dtype", [None, "auto"])
def test_a_file_of_several_dtypes_is_loaded_in_one_and_said(folder: Path, kind: str, dtype: Any) -> None:
    mix(folder, MIXES[kind])
    with pytest.warns(Notice, match=r"several dtypes \(.*, .*\): all were loaded in float32"):
        model = BertForSequenceClassification.from_pretrained(folder, dtype=dtype)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert model(IDS, attention_mask=MASK).logits.shape == (2, 3)


def test_the_commonest_dtype_counts_where_the_config_names_none_of_them(folder: Path) -> None:
    mix(folder, lambda name: torch.float64 if name == "classifier.bias" else torch.float16)
    with pytest.warns(Notice, match="loaded in float16"):
        model = BertForSequenceClassification.from_pretrained(folder)
    assert model.dtype == torch.float16


def test_tensors_that_are_not_read_do_not_count(folder: Path) -> None:
    mix(folder, lambda name: torch.float16 if "classifier" not in name else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        model = BertModel.from_pretrained(folder)  # the head, in float32, is another's
    assert {value.dtype for value in model.parameters()} == {torch.float16}


# -- constructors ------------------------------------------------------------------------------------


class Keyworded(formers.BertPreTrainedModel):
    def __init__(self, config: Any, hidden: int = 8, *, twice: bool = False, num_labels: int = 2) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.out = nn.Linear(16, hidden)
        self.twice, self.labels = twice, num_labels
        self.post_init()


@pytest.mark.parametrize(("args", "options"), [((12,), {}), ((), {"hidden": 12}), ((12,), {"twice": True})])
def test_keywords_of_one_s_own_constructor_reach_it(folder: Path, args: Any, options: Any) -> None:
    model = loaded(Keyworded, folder, *args, **options)
    assert model.out.out_features == 12
    assert model.twice is options.get("twice", False)


def test_a_keyword_of_the_constructor_and_of_the_config_reaches_both(folder: Path) -> None:
    model = loaded(Keyworded, folder, num_labels=5)
    assert model.labels == model.config.num_labels == 5


def test_a_constructor_that_takes_any_keyword_gets_those_that_are_no_config_field(folder: Path) -> None:
    class Open(formers.BertPreTrainedModel):
        def __init__(self, config: Any, **more: Any) -> None:
            super().__init__(config)
            self.bert = BertModel(config)
            self.more = more
            self.post_init()

    model = loaded(Open, folder, pool="mean", hidden_dropout_prob=0.3)
    assert model.more == {"pool": "mean"}
    assert model.config.hidden_dropout_prob == 0.3


def test_a_keyword_that_nobody_takes_is_refused_with_the_constructor_s_names(folder: Path) -> None:
    with pytest.raises(TypeError, match="did you mean 'hidden'"):
        Keyworded.from_pretrained(folder, hiden=3)
    with pytest.raises(TypeError, match="part"):
        BertModel.from_pretrained(folder, part=True)  # the library's own constructors have private ones


# -- what a module knows of its bare tensors ---------------------------------------------------------


class Counting:
    """Fills a tensor with 1, 2, 3, ..."""

    def fill_(self, tensor: torch.Tensor) -> None:
        tensor.copy_(torch.arange(1.0, tensor.numel() + 1).reshape(tensor.shape))


class Scan(nn.Module):
    """A module with bare tensors, one of which is always wide."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.empty(4))
        self.skip = nn.Parameter(torch.empty(4))
        self.fixed = nn.Parameter(torch.ones(4), requires_grad=False)
        self._fresh = dict.fromkeys(("rate", "skip", "fixed"), Counting())
        self._keep_float32 = {"rate"}


class Scanning(formers.BertForSequenceClassification):
    def _place_head(self, spec: Any, config: Any) -> None:
        super()._place_head(spec, config)
        self.scan = Scan()


def test_a_module_says_how_its_tensors_start(folder: Path) -> None:
    for model in (Scanning(BertConfig(**SMALL)), loaded(Scanning, folder, ignore_mismatched_sizes=True)):
        assert model.scan.rate.tolist() == model.scan.skip.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_a_tensor_that_stays_wide_is_float32_whatever_is_asked_for(tmp_path: Path, dtype: Any) -> None:
    made = Scanning(BertConfig(**SMALL))
    made.save_pretrained(tmp_path / "wide")
    made.half().save_pretrained(tmp_path / "narrow")
    for name in ("wide", "narrow"):
        model = loaded(Scanning, tmp_path / name, dtype=dtype)
        assert model.scan.rate.dtype == torch.float32
        assert model.scan.skip.dtype == model.dtype != torch.float32
        assert not model.scan.fixed.requires_grad
    model = Scanning._from_config(BertConfig(**SMALL), dtype=dtype)
    assert (model.scan.rate.dtype, model.scan.skip.dtype) == (torch.float32, model.dtype)


def test_a_wide_tensor_is_no_second_dtype_of_the_file(tmp_path: Path) -> None:
    Scanning._from_config(BertConfig(**SMALL), dtype="bfloat16").save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        model = Scanning.from_pretrained(tmp_path)
    assert (model.scan.rate.dtype, model.dtype) == (torch.float32, torch.bfloat16)


# -- names of one's own ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["head", "family", "settle", "unread", "load_report", "tied_weights", "task"]
)
def test_an_own_layer_may_have_a_name_that_was_the_library_s(name: str, tmp_path: Path) -> None:
    class Own(formers.BertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.bert = BertModel(config)
            setattr(self, name, nn.Linear(16, 7))
            self.post_init()

        def forward(self, ids: Any, mask: Any) -> Any:
            return getattr(self, name)(self.bert(ids, attention_mask=mask)[1])

    model = Own(BertConfig(**SMALL)).eval()
    model.save_pretrained(tmp_path)
    assert torch.equal(Own.from_pretrained(tmp_path)(IDS, MASK), model(IDS, MASK))
