"""Saving weights: the bytes of the safetensors library, shards, shared tensors, and no mix after a kill."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.checkpoints import TensorFiles, find_weights, save
from formers.checkpoints.safetensors_file import DTYPES
from formers.checkpoints.saving import parse_size
from formers.hub import Source


def read(folder) -> dict[str, torch.Tensor]:
    files = TensorFiles.of(find_weights(Source.of(folder)))
    return {name: files.tensor(name) for name in files.names()}


def of_every_dtype() -> dict[str, torch.Tensor]:
    return {
        f"{order}.{dtype}": torch.ones(2, 3).to(dtype)
        for order, dtype in enumerate(DTYPES.values())
        if dtype != getattr(torch, "float8_e8m0fnu", None)
    }


def test_the_file_is_byte_for_byte_what_the_safetensors_library_writes(tmp_path):
    tensors = {
        **of_every_dtype(),
        "ä.weight": torch.randn(7),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(2.0),
    }
    save(tensors, tmp_path / "ours")
    safetensors.torch.save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert (tmp_path / "ours/model.safetensors").read_bytes() == (
        tmp_path / "theirs.safetensors"
    ).read_bytes()


def test_tensors_in_any_order_of_memory_are_written_as_they_read(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"turned": base.T, "window": base[1:3, ::2], "spread": torch.ones(1).expand(5)}
    save(tensors, tmp_path)
    assert all(torch.equal(read(tmp_path)[name], value) for name, value in tensors.items())


def test_shards_follow_the_order_of_the_table_and_the_index_says_where(tmp_path):
    tensors = {f"layer.{i}": torch.full((4, 4), float(i)) for i in range(5)}
    written = save(tensors, tmp_path, max_shard_size=150)

    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())

    assert [path.name for path in written] == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    assert index["metadata"]["total_size"] == 5 * 64
    assert index["weight_map"]["layer.3"] == "model-00002-of-00003.safetensors"
    assert all(torch.equal(read(tmp_path)[name], value) for name, value in tensors.items())


@pytest.mark.parametrize("safe", [True, False])
def test_a_tied_name_is_left_out_and_a_shared_tensor_is_written_once(tmp_path, safe):
    shared = torch.randn(100, 100)
    tensors = {"head.weight": shared, "embed.weight": shared, "twin.weight": shared, "other": torch.ones(2)}
    path = save(tensors, tmp_path, ties={"head.weight": "embed.weight"}, safe_serialization=safe)[0]

    back = read(tmp_path)

    assert set(back) == {"embed.weight", "twin.weight", "other"}
    assert torch.equal(back["twin.weight"], shared)
    assert path.stat().st_size < 2 * 40_000


def test_a_tied_name_with_values_of_its_own_is_kept(tmp_path):
    tensors = {"head.weight": torch.zeros(2), "embed.weight": torch.ones(2)}
    save(tensors, tmp_path, ties={"head.weight": "embed.weight"})
    assert set(read(tmp_path)) == {"head.weight", "embed.weight"}


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size", ["5GB", 100])
def test_a_variant_has_its_own_names(tmp_path, safe, size):
    tensors = {"a": torch.ones(20), "b": torch.zeros(20)}
    save(tensors, tmp_path, variant="fp16", safe_serialization=safe, max_shard_size=size)
    files = TensorFiles.of(find_weights(Source.of(tmp_path), variant="fp16"))
    assert all(torch.equal(files.tensor(name), value) for name, value in tensors.items())
    with pytest.raises(OSError, match="leave variant out|is variant="):
        find_weights(Source.of(tmp_path))


def test_what_torch_reads_of_a_bin_save_is_what_was_saved(tmp_path):
    whole = torch.arange(1000.0)
    path = save({"window": whole[3:6]}, tmp_path, safe_serialization=False)[0]
    assert torch.equal(torch.load(path, weights_only=True)["window"], whole[3:6])
    assert path.stat().st_size < 2500


@pytest.mark.parametrize(
    ("text", "size"), [("5GB", 5 * 10**9), ("300MiB", 300 * 2**20), ("1.5kb", 1500), (77, 77), ("12", 12)]
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["big", "5 parsecs", 0, -3, "0GB"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


def test_what_cannot_be_saved_is_refused_before_a_file_is_touched(tmp_path):
    save({"a": torch.ones(1)}, tmp_path)
    with pytest.raises(ValueError, match="meta device"):
        save({"a": torch.empty(1, device="meta")}, tmp_path)
    with pytest.raises(ValueError, match="no tensors"):
        save({}, tmp_path)
    assert read(tmp_path)["a"].item() == 1.0


@pytest.mark.parametrize("before", [("5GB", True), (150, True), (300, True), ("5GB", False), (150, False)])
@pytest.mark.parametrize("after", [("5GB", True), (150, True), (300, True), ("5GB", False), (150, False)])
def test_saving_over_any_checkpoint_leaves_only_the_new_one(tmp_path, before, after):
    old = {f"layer.{i}": torch.zeros(4, 4) for i in range(6)}
    new = {f"layer.{i}": torch.ones(4, 4) for i in range(6)}
    save(old, tmp_path, max_shard_size=before[0], safe_serialization=before[1])
    written = save(new, tmp_path, max_shard_size=after[0], safe_serialization=after[1])

    assert all(bool((value == 1).all()) for value in read(tmp_path).values())
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".bin" and ".bin." not in path.name}
    if after[1]:
        assert left == {path.name for path in written}


def save_and_die(tensors, folder: Path, at: int, size, safe: bool) -> bool:
    """Save in a child that dies before its `at`-th step on the file system; True if it lived to the end."""
    child = os.fork()
    if child == 0:
        count = 0

        def deadly(name):
            true = getattr(os, name)

            def operation(*args, **kwargs):
                nonlocal count
                count += 1
                if count == at:
                    os._exit(9)
                return None if name == "fsync" else true(*args, **kwargs)

            setattr(os, name, operation)

        for name in ("replace", "unlink", "link", "fsync"):
            deadly(name)
        try:
            save(tensors, folder, max_shard_size=size, safe_serialization=safe, texts={"config.json": "1.0"})
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 0


def whole(folder: Path) -> float:
    """The one value that every tensor of the checkpoint has; fails on a mix."""
    values = {float(v) for tensor in read(folder).values() for v in tensor.unique()}
    assert len(values) == 1, f"a mix in {folder}: {sorted(p.name for p in folder.iterdir())}"
    assert len(read(folder)) == 6
    return values.pop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are staged with fork")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("5GB", True), (10**9, True)),  # single -> single
        (("5GB", True), (150, True)),  # single -> shards
        ((150, True), (10**9, True)),  # shards -> single
        ((150, True), (150, True)),  # shards -> shards of the same names
        ((150, True), (300, True)),  # shards -> fewer
        ((300, True), (150, True)),  # shards -> more
        (("5GB", False), (150, True)),  # .bin -> shards
        (("5GB", True), (10**9, False)),  # safetensors -> .bin
        ((150, True), (150, False)),  # shards -> .bin shards
    ],
)
def test_a_save_killed_at_any_moment_leaves_the_old_checkpoint_or_the_new_one_whole(tmp_path, before, after):
    old = {f"layer.{i}": torch.zeros(4, 4) for i in range(6)}
    texts = {"config.json": "0.0"}
    save(old, tmp_path / "old", max_shard_size=before[0], safe_serialization=before[1], texts=texts)
    new = {f"layer.{i}": torch.ones(4, 4) for i in range(6)}
    moments = 0
    lived = False
    while not lived:
        moments += 1
        folder = shutil.copytree(tmp_path / "old", tmp_path / str(moments))
        lived = save_and_die(new, folder, moments, *after)

    outcomes = [whole(tmp_path / str(at)) for at in range(1, moments + 1)]

    assert moments > 3
    assert outcomes[0] == 0.0
    assert outcomes[-1] == 1.0
    assert outcomes == sorted(outcomes), "once the new checkpoint is there, it stays"
    configs = [float((tmp_path / str(at) / "config.json").read_text()) for at in range(1, moments + 1)]
    torn = [
        at for at, (config, weights) in enumerate(zip(configs, outcomes, strict=True)) if config != weights
    ]
    # safetensors count before .bin files: a .bin save over them is done when all of them are removed
    most = 5 if before[1] and not after[1] else 1
    assert len(torn) <= most, "the config follows the weights in the very next step"

    # The next save tidies up what the killed one left.
    new = {f"layer.{i}": torch.full((4, 4), 2.0) for i in range(6)}
    for at in range(1, moments, 4):
        save(new, tmp_path / str(at), max_shard_size=after[0], safe_serialization=after[1])
        assert whole(tmp_path / str(at)) == 2.0
        assert not list((tmp_path / str(at)).glob(".*.partial"))


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=6),
    limit=st.integers(1, 600),
    kinds=st.lists(
        st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]), min_size=6, max_size=6
    ),
)
def test_whatever_is_saved_comes_back_the_same(tmp_path_factory, shapes, limit, kinds):
    tensors = {
        f"t{i}": (torch.randn(shape) * 3).to(kind)
        for i, (shape, kind) in enumerate(zip(shapes, kinds, strict=False))
    }
    folder = tmp_path_factory.mktemp("saved")
    save(tensors, folder, max_shard_size=limit)
    back = read(folder)
    assert set(back) == set(tensors)
    for name, value in tensors.items():
        assert back[name].dtype == value.dtype
        assert back[name].shape == value.shape
        assert torch.equal(back[name], value)


def test_a_mapped_checkpoint_can_be_saved_over_itself(tmp_path):
    save({"a": torch.arange(5000.0), "b": torch.ones(3)}, tmp_path)
    mapped = read(tmp_path)
    mapped["b"] += 1
    save(mapped, tmp_path)
    assert torch.equal(read(tmp_path)["a"], torch.arange(5000.0))
    assert read(tmp_path)["b"].tolist() == [2, 2, 2]
    assert torch.equal(mapped["a"], torch.arange(5000.0))


def test_a_save_that_fails_half_way_leaves_the_old_checkpoint_and_no_litter(tmp_path, monkeypatch):
    save({"a": torch.zeros(4), "b": torch.zeros(4)}, tmp_path)

    def full(path, *rest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("formers.checkpoints.saving.sync_file", full)
    with pytest.raises(OSError, match="No space left"):
        save({"a": torch.ones(4), "b": torch.ones(4)}, tmp_path, max_shard_size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert read(tmp_path)["a"].sum().item() == 0
