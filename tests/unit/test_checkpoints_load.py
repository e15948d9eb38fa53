"""Weights into a model: mapped, renamed, tied, new where allowed, and one error for all that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from formers.checkpoints import LoadError, Rename, TensorFiles, find_weights, load, save
from formers.checkpoints.renames import LEGACY, candidates, written
from formers.core.notices import Notice
from formers.hub import Source


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.norm = nn.LayerNorm(4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))


class Model(nn.Module):
    """A trunk under the prefix "base", and a head."""

    def __init__(self, labels=3):
        super().__init__()
        self.base = Trunk()
        self.head = nn.Linear(4, labels)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.lm = nn.Linear(4, 6, bias=False)
        self.other = nn.Linear(4, 6, bias=False)


TIES = {"lm.weight": "embed.weight", "other.weight": "embed.weight"}


def meta(kind, *args) -> nn.Module:
    with torch.device("meta"):
        return kind(*args)


def files_of(folder, tensors, **options) -> TensorFiles:
    save(tensors, folder, **options)
    return TensorFiles.of(find_weights(Source.of(folder)))


def set_to(value):
    def initialise(model, names):
        table = model.state_dict(keep_vars=True)
        for name in names:
            table[name].fill_(value)

    return initialise


def test_every_parameter_and_buffer_comes_from_the_file_without_a_copy(tmp_path):
    source = Model()
    source.base.steps.fill_(7)
    files = files_of(tmp_path, source.state_dict())
    model = meta(Model)

    report = load(model, files, prefix="base")

    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())
    assert (report.loaded, report.new, report.missing, report.unexpected) == (6, [], [], [])
    assert report.values == sum(value.numel() for value in source.state_dict().values())
    assert report.dtypes == {"float32": 5, "int64": 1}
    mapped = files.tensor("head.weight")
    assert model.head.weight.data_ptr() == mapped.data_ptr()
    assert model.head.weight.requires_grad
    assert not model.base.steps.requires_grad


def test_a_loaded_model_trains_and_the_file_stays_as_it_was(tmp_path):
    files = files_of(tmp_path, Model().state_dict())
    before = (tmp_path / "model.safetensors").read_bytes()
    model = meta(Model)
    load(model, files)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.head(model.base.norm(model.base.embed(torch.tensor([1, 2])))).sum().backward()
    optimizer.step()
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_dtype_is_given_to_what_floats_and_to_nothing_else(tmp_path, dtype):
    model = meta(Model)
    load(model, files_of(tmp_path, Model().half().state_dict()), dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model.base.steps.dtype == torch.int64


def test_without_a_dtype_the_file_decides(tmp_path):
    model = meta(Model)
    load(model, files_of(tmp_path, Model().bfloat16().state_dict()))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_a_trunk_s_file_fills_a_model_with_a_head_and_only_the_head_is_new(tmp_path):
    trunk = Trunk()
    model = meta(Model)
    with pytest.warns(Notice, match=r"2 weights .* were initialised afresh: head.weight, head.bias"):
        report = load(
            model,
            files_of(tmp_path, trunk.state_dict()),
            prefix="base",
            may_be_new=lambda name: name.startswith("head."),
            initialise=set_to(0.5),
        )
    assert report.new == ["head.weight", "head.bias"]
    assert bool((model.head.weight == 0.5).all())
    assert torch.equal(model.base.embed.weight, trunk.embed.weight)


def test_a_file_with_a_head_fills_a_trunk_and_says_nothing_of_the_head(tmp_path):
    source = Model()
    trunk = meta(Trunk)
    report = load(trunk, files_of(tmp_path, source.state_dict()), prefix="base")
    assert torch.equal(trunk.embed.weight, source.base.embed.weight)
    assert report.unexpected == []
    assert sorted(report.other_heads) == ["head.bias", "head.weight"]


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    state = Model(labels=5).state_dict()
    del state["base.norm.weight"], state["base.embed.weight"]
    with pytest.raises(LoadError) as caught:
        load(meta(Model), files_of(tmp_path, state), prefix="base")
    text = str(caught.value)
    assert "missing from the files (2): base.embed.weight, base.norm.weight" in text
    assert "head.weight is [5, 4] in the file and [3, 4] in the model" in text
    assert "ignore_mismatched_sizes=True" in text
    assert isinstance(caught.value, RuntimeError)


def test_a_trunk_weight_can_never_be_missing_quietly(tmp_path):
    state = Model().state_dict()
    del state["base.embed.weight"]
    with pytest.raises(LoadError, match="Only heads may be new"):
        load(meta(Model), files_of(tmp_path, state), prefix="base", may_be_new=lambda name: "head" in name)


def test_another_number_of_labels_is_new_when_asked_for(tmp_path):
    model = meta(Model)
    with pytest.warns(Notice, match="initialised afresh"):
        report = load(
            model,
            files_of(tmp_path, Model(labels=5).state_dict()),
            ignore_mismatched_sizes=True,
            initialise=set_to(0.0),
        )
    assert report.mismatched == [("head.weight", (5, 4), (3, 4)), ("head.bias", (5,), (3,))]
    assert report.as_dict()["mismatched_keys"] == report.mismatched
    assert model.head.weight.shape == (3, 4)


def test_a_new_weight_that_nothing_initialises_is_an_error_and_not_noise(tmp_path):
    with pytest.raises(LoadError, match="nothing initialised them: head.weight"):
        load(
            meta(Model),
            files_of(tmp_path, Trunk().state_dict()),
            prefix="base",
            may_be_new=lambda name: "head" in name,
            initialise=lambda model, names: None,
        )


def test_a_weight_of_the_trunk_with_no_place_is_noticed_or_refused(tmp_path):
    files = files_of(tmp_path, {**Model().state_dict(), "base.extra.weight": torch.ones(1)})
    with pytest.warns(Notice, match=r"no place in the model and were not used: base.extra.weight"):
        report = load(meta(Model), files, prefix="base")
    assert report.unexpected == ["base.extra.weight"]
    with pytest.raises(LoadError, match="no place in the model"):
        load(meta(Model), files, prefix="base", strict=True)
    assert load(meta(Model), files, prefix="base", ignored=[r"\.extra\."]).ignored == ["base.extra.weight"]


def test_a_buffer_that_is_not_saved_must_have_been_computed(tmp_path):
    class Positions(Trunk):
        def __init__(self):
            super().__init__()
            self.register_buffer("positions", torch.arange(5), persistent=False)

    with pytest.raises(LoadError, match="no values after loading: positions"):
        load(meta(Positions), files_of(tmp_path, Trunk().state_dict()))


def test_old_names_of_a_normalisation_and_of_wrappers_are_understood(tmp_path):
    source = Model()
    old = {
        f"module.{name}".replace("norm.weight", "norm.gamma").replace("norm.bias", "norm.beta"): value
        for name, value in source.state_dict().items()
    }
    model = meta(Model)
    report = load(model, files_of(tmp_path, old))
    assert torch.equal(model.base.norm.bias, source.base.norm.bias)
    assert report.renamed["base.norm.weight"] == "module.base.norm.gamma"


def test_a_family_s_own_renames_are_applied_under_a_missing_prefix_too(tmp_path):
    source = Trunk()
    old = {name.replace("embed", "tok_embeddings"): value for name, value in source.state_dict().items()}
    model = meta(Model)
    with pytest.warns(Notice):
        load(
            model,
            files_of(tmp_path, old),
            prefix="base",
            renames=[Rename("tok_embeddings.{leaf}", "embed.{leaf}")],
            may_be_new=lambda name: "head" in name,
            initialise=set_to(0.0),
        )
    assert torch.equal(model.base.embed.weight, source.embed.weight)


@pytest.mark.parametrize("held", ["embed.weight", "lm.weight", "other.weight"])
def test_tied_names_share_one_parameter_whichever_the_file_has(tmp_path, held):
    value = torch.randn(6, 4)
    model = meta(Tied)
    load(model, files_of(tmp_path, {held: value}), ties=TIES)
    assert model.lm.weight is model.embed.weight is model.other.weight
    assert torch.equal(model.lm.weight, value)


def test_tied_names_that_the_file_holds_twice_are_joined_when_equal(tmp_path):
    value = torch.randn(6, 4)
    model = meta(Tied)
    table = {"embed.weight": value, "lm.weight": value.clone(), "other.weight": value.clone()}
    load(model, files_of(tmp_path, table), ties=TIES)
    assert model.lm.weight is model.embed.weight is model.other.weight


def test_tied_names_with_two_values_are_kept_apart_and_noticed(tmp_path):
    model = meta(Tied)
    table = {"embed.weight": torch.zeros(6, 4), "lm.weight": torch.ones(6, 4)}
    with pytest.warns(Notice, match="kept apart"):
        report = load(model, files_of(tmp_path, table), ties=TIES)
    assert report.untied == ["lm.weight"]
    assert model.lm.weight.sum().item() == 24
    assert model.other.weight is model.embed.weight


def test_tied_names_that_the_file_lacks_are_missing_once(tmp_path):
    class Whole(Tied):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(LoadError, match=r"missing from the files \(1\): embed.weight"):
        load(meta(Whole), files_of(tmp_path, {"scale": torch.ones(1)}), ties=TIES)


def test_shards_and_single_files_load_alike(tmp_path):
    source = Model()
    files = files_of(tmp_path, source.state_dict(), max_shard_size=60)
    model = meta(Model)
    report = load(model, files)
    assert len(report.files) > 1
    assert torch.equal(model.head.weight, source.head.weight)
    assert "6 tensors" in str(report)


@pytest.mark.parametrize("device_map", ["cpu", torch.device("cpu"), {"": "cpu"}, "auto"])
def test_every_spelling_of_one_device_is_read(tmp_path, device_map):
    source = Model()
    model = meta(Model)
    load(model, files_of(tmp_path, source.state_dict()), device_map=device_map)
    assert torch.equal(model.head.weight, source.head.weight)
    assert set(map(str, model.hf_device_map.values())) == {"cpu"}


def test_part_of_a_model_can_live_on_disk(tmp_path):
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)

        def forward(self, x):
            return self.second(self.first(x))

    source = Chain()
    model = meta(Chain)
    load(
        model,
        files_of(tmp_path / "w", source.state_dict()),
        device_map={"first": "cpu", "second": "disk"},
        offload_folder=tmp_path / "off",
    )
    assert model.second.weight.is_meta
    x = torch.randn(2, 4)
    assert torch.allclose(model(x), source(x))


def test_tied_and_new_parameters_can_live_on_disk_too(tmp_path):
    class Speaker(Tied):
        def __init__(self):
            super().__init__()
            self.scale = nn.Linear(6, 2)

        def forward(self, ids):
            return self.scale(self.lm(self.embed(ids)))

    weight = torch.randn(6, 4)
    model = meta(Speaker)
    with pytest.warns(Notice, match="initialised afresh"):
        load(
            model,
            files_of(tmp_path / "w", {"embed.weight": weight}),
            ties=TIES,
            may_be_new=lambda name: name.startswith("scale"),
            initialise=set_to(0.25),
            device_map={"embed": "cpu", "lm": "disk", "other": "disk", "scale": "disk"},
            offload_folder=tmp_path / "off",
        )
    ids = torch.tensor([1, 3])
    expected = (weight[ids] @ weight.T).sum(-1, keepdim=True).expand(2, 2) * 0.25 + 0.25
    assert torch.allclose(model(ids), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("device_map", "text"),
    [
        ("gpu-ish", "is no device"),
        ({"base": "cpu"}, "no device for head.weight"),
        ({"": "disk"}, "offload_folder"),
    ],
)
def test_a_device_map_that_cannot_be_followed_is_refused(tmp_path, device_map, text):
    with pytest.raises(ValueError, match=text):
        load(meta(Model), files_of(tmp_path, Model().state_dict()), device_map=device_map)


def test_loading_adds_no_memory_beyond_the_weights(tmp_path):
    wide = 1 << 22  # 16 MiB a tensor
    save({f"{i}.weight": torch.zeros(wide // 64, 64) for i in range(4)}, tmp_path)
    model = meta(nn.Sequential, *[nn.Embedding(wide // 64, 64) for _ in range(4)])
    before = resident()
    load(model, TensorFiles.of([tmp_path / "model.safetensors"]))
    assert resident() - before < 8 << 20
    load(model, TensorFiles.of([tmp_path / "model.safetensors"]), dtype=torch.float16)
    assert resident() - before < 44 << 20  # the halves, and at most one tensor of the file


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_table_of_tensors_loads_like_a_file():
    source = Model()
    model = meta(Model)
    report = load(model, TensorFiles.holding(source.state_dict()), dtype=torch.float64)
    assert torch.equal(model.head.weight, source.head.weight.double())
    assert report.files == []
    assert "6 tensors" in str(report)
    with pytest.raises(LoadError, match=r"the given tensors do not fit.*"):
        load(meta(Model), TensorFiles.holding({"head.bias": torch.ones(3)}))


# -- renames --------------------------------------------------------------------------------------

words = st.text(st.sampled_from("abcxyz_."), min_size=1, max_size=8)


@given(path=words, number=st.integers(0, 999), leaf=words)
def test_a_rename_and_back_is_the_same_name(path, number, leaf):
    rename = Rename("{path}.h.{i}.{leaf}", "{path}.layers.{i}.block.{leaf}")
    name = f"{path}.h.{number}.{leaf}"
    there = rename.forward(name)
    assert there is not None
    back = rename.backward(there)
    assert back is not None
    assert rename.forward(back) == there
    assert rename.reversed().forward(there) == back


@given(number=st.integers(0, 10**6), leaf=st.sampled_from(["weight", "bias", "c_attn.weight"]))
def test_a_rename_with_fixed_ends_is_undone_exactly(number, leaf):
    rename = Rename("h.{i}.{leaf}", "model.layers.{i}.{leaf}")
    assert rename.backward(rename.forward(f"h.{number}.{leaf}")) == f"h.{number}.{leaf}"


@given(path=words)
def test_the_legacy_names_are_undone_exactly(path):
    for rename in LEGACY:
        end = rename.old.rpartition(".")[2]
        assert rename.backward(rename.forward(f"{path}.{end}")) == f"{path}.{end}"


def test_a_rename_that_loses_a_word_is_refused():
    with pytest.raises(ValueError, match="the same words"):
        Rename("{a}.{i}.w", "{a}.w")


def test_a_rename_that_does_not_fit_gives_no_name():
    assert Rename("h.{i}.w", "l.{i}.w").forward("h.x.w") is None


def test_the_file_s_own_spelling_is_tried_first():
    assert candidates("a.gamma", (), "base")[0] == "a.gamma"
    assert "base.a.weight" in candidates("a.gamma", (), "base")
    assert "a.weight" in candidates("base.a.gamma", (), "base")


WRITTEN = Rename("lm_head.{leaf}", "embed_out.{leaf}", written=True)


@given(number=st.integers(0, 99), leaf=st.sampled_from(["weight", "bias"]), prefixed=st.booleans())
def test_what_is_written_under_a_newer_name_is_found_again(number, leaf, prefixed):
    rename = Rename("blocks.{i}.{leaf}", "layers.{i}.{leaf}", written=True)
    name = f"{'base.' * prefixed}layers.{number}.{leaf}"
    spelt = written([name, "other.weight"], [rename], "base")
    assert spelt == {name: f"{'base.' * prefixed}blocks.{number}.{leaf}", "other.weight": "other.weight"}
    assert name in candidates(spelt[name], [rename], "base")
    assert rename.reversed().written


def test_a_name_that_is_only_read_is_never_written():
    assert written(["a.weight"], [Rename("a.gamma", "a.weight")]) == {"a.weight": "a.weight"}
    assert written(["embed_out.weight"], [WRITTEN], "base") == {"embed_out.weight": "lm_head.weight"}


def test_two_names_are_never_written_as_one():
    with pytest.raises(ValueError, match=r"under one name: embed_out\.weight, lm_head\.weight"):
        written(["embed_out.weight", "lm_head.weight"], [WRITTEN])
