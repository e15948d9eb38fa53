"""Reading weight files: mapped safetensors, damaged files, and `.bin` files that cannot run code."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.checkpoints import CheckpointError, TensorFiles, UnsafeCheckpoint, find_weights, save
from formers.checkpoints.safetensors_file import SafetensorsFile
from formers.hub import Source

TENSORS = {
    "embed.weight": torch.arange(12.0).reshape(3, 4),
    "half": torch.randn(5).half(),
    "brain": torch.randn(2, 2).bfloat16(),
    "ids": torch.arange(6).reshape(2, 3),
    "flags": torch.tensor([True, False]),
    "scalar": torch.tensor(3.5),
    "none": torch.empty(0, 4),
}


def same(files: TensorFiles, tensors) -> bool:
    return set(files.names()) == set(tensors) and all(
        files.tensor(name).dtype == value.dtype and torch.equal(files.tensor(name), value)
        for name, value in tensors.items()
    )


def raw_file(path: Path, header: dict | bytes, body: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + body)
    return path


# -- safetensors ----------------------------------------------------------------------------------


def test_what_the_safetensors_library_wrote_is_read(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "model.safetensors")
    assert same(TensorFiles.of([tmp_path / "model.safetensors"]), TENSORS)


def test_tensors_are_mapped_and_not_read(tmp_path):
    save({"big": torch.zeros(1 << 22)}, tmp_path)
    files = TensorFiles.of([tmp_path / "model.safetensors"])
    before = resident()
    tensor = files.tensor("big")  # 16 MiB
    assert resident() - before < 4 << 20
    assert tensor.sum().item() == 0.0


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_training_in_place_never_reaches_the_file(tmp_path):
    save({"w": torch.zeros(4)}, tmp_path)
    tensor = TensorFiles.of([tmp_path / "model.safetensors"]).tensor("w")
    tensor += 1
    assert tensor.tolist() == [1, 1, 1, 1]
    assert TensorFiles.of([tmp_path / "model.safetensors"]).tensor("w").tolist() == [0, 0, 0, 0]


def test_each_tensor_has_a_storage_of_its_own_that_outlives_the_reader(tmp_path):
    save({"a": torch.ones(4), "b": torch.zeros(400)}, tmp_path)
    files = TensorFiles.of([tmp_path / "model.safetensors"])
    tensor = files.tensor("a")
    del files
    (tmp_path / "model.safetensors").unlink()
    assert tensor.untyped_storage().nbytes() == 16
    assert tensor.tolist() == [1, 1, 1, 1]


def test_a_tensor_at_an_odd_offset_is_copied_to_an_even_one(tmp_path):
    header = {
        "byte": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "odd": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    path = raw_file(tmp_path / "model.safetensors", header, b"\x07" + struct.pack("<2f", 1.5, -2.0))
    tensor = TensorFiles.of([path]).tensor("odd")
    assert tensor.tolist() == [1.5, -2.0]
    assert tensor.data_ptr() % 4 == 0


def test_a_converted_tensor_has_the_values_and_leaves_integers_alone(tmp_path):
    save(TENSORS, tmp_path)
    files = TensorFiles.of([tmp_path / "model.safetensors"])
    assert files.tensor("half", dtype=torch.float32).dtype == torch.float32
    assert torch.equal(files.tensor("half", dtype=torch.float32), TENSORS["half"].float())
    assert files.tensor("ids", dtype=torch.float32).dtype == torch.int64
    assert files.floating_dtype() == torch.float32


def test_converting_lets_go_of_the_pages_but_never_of_a_tensor_in_use(tmp_path):
    save({"w": torch.ones(1 << 16)}, tmp_path)
    file = SafetensorsFile(tmp_path / "model.safetensors")
    mine = file.tensor("w")
    mine += 1
    file.converted("w", torch.float64)
    assert bool((mine == 2).all())


DAMAGE = {
    "empty": (b"", "is empty"),
    "stub": (b"\1\2\3", "only 3 bytes long"),
    "header too long": (struct.pack("<Q", 1 << 40) + b"{}", "truncated or no safetensors"),
    "no json": (struct.pack("<Q", 4) + b"abcd", "the header of .* is not a valid JSON"),
    "a list": (struct.pack("<Q", 2) + b"[]", "no JSON object"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_refused_with_its_name_and_its_fault(tmp_path, kind):
    content, text = DAMAGE[kind]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=text) as caught:
        TensorFiles.of([path])
    assert str(path) in str(caught.value)


ENTRIES = {
    "overlap": ([("F32", [2], [0, 8]), ("F32", [2], [4, 12])], 12, "overlaps"),
    "gap": ([("F32", [1], [0, 4]), ("F32", [1], [8, 12])], 12, "belong to nothing"),
    "past the end": ([("F32", [4], [0, 16])], 8, "truncated"),
    "rest": ([("F32", [1], [0, 4])], 9, "belong to no tensor"),
    "size": ([("F32", [3], [0, 8])], 8, "takes 12 bytes"),
    "dtype": ([("F99", [1], [0, 4])], 4, "dtype 'F99'"),
    "negative": ([("F32", [-1], [0, 4])], 4, "damaged"),
    "backwards": ([("F32", [1], [4, 0])], 4, "damaged"),
    "no offsets": ([("F32", [1], None)], 4, "damaged"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_header_that_contradicts_the_file_is_refused(tmp_path, kind):
    entries, size, text = ENTRIES[kind]
    header = {
        f"t{i}": {"dtype": dtype, "shape": shape, "data_offsets": place}
        for i, (dtype, shape, place) in enumerate(entries)
    }
    path = raw_file(tmp_path / "model.safetensors", header, bytes(size))
    with pytest.raises(CheckpointError, match=text):
        TensorFiles.of([path])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_anywhere_or_with_a_byte_changed_never_crashes_the_reader(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    save({"a": torch.ones(3), "b": torch.zeros(2, 2)}, folder)
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        files = TensorFiles.of([path])
        [files.tensor(name) for name in files.names()]
    except CheckpointError:
        pass


def test_a_tensor_in_two_files_is_a_mix_of_checkpoints(tmp_path):
    save({"a": torch.ones(1)}, tmp_path / "one")
    save({"a": torch.ones(1)}, tmp_path / "two")
    with pytest.raises(CheckpointError, match="mixes two checkpoints"):
        TensorFiles.of([tmp_path / "one/model.safetensors", tmp_path / "two/model.safetensors"])


def test_a_missing_shard_is_named(tmp_path):
    save({"a": torch.ones(9), "b": torch.ones(9)}, tmp_path, max_shard_size=40)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(OSError, match="model-00002-of-00002.safetensors"):
        find_weights(Source.of(tmp_path))


def test_an_index_cannot_point_outside_the_checkpoint(tmp_path):
    index = {"weight_map": {"a": "../../etc/passwd"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside the checkpoint"):
        find_weights(Source.of(tmp_path))


def test_the_format_can_be_chosen(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert find_weights(Source.of(tmp_path))[0].name == "pytorch_model.bin"
    with pytest.raises(OSError, match=r"has no weights: looked for model.safetensors.*pytorch_model.bin"):
        find_weights(Source.of(tmp_path), use_safetensors=True)
    save({"a": torch.ones(1)}, tmp_path)
    assert find_weights(Source.of(tmp_path))[0].name == "model.safetensors"
    assert find_weights(Source.of(tmp_path), use_safetensors=False)[0].name == "pytorch_model.bin"


def test_the_fingerprint_is_of_the_layout_and_the_hash_of_the_content(tmp_path):
    for name, value in (("one", 0.0), ("two", 0.0), ("three", 1.0)):
        save({"a": torch.full((4,), value)}, tmp_path / name)
    one, two, three = (TensorFiles.of([tmp_path / n / "model.safetensors"]) for n in ("one", "two", "three"))
    assert one.fingerprint() == two.fingerprint() == three.fingerprint()
    assert one.content_hash() == two.content_hash() != three.content_hash()


# -- .bin -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_what_torch_saved_is_read(tmp_path, new):
    path = tmp_path / "pytorch_model.bin"
    torch.save(OrderedDict(TENSORS), path, _use_new_zipfile_serialization=new)
    assert same(TensorFiles.of([path]), TENSORS)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_windows_parameters_and_shared_storages_are_read(tmp_path, new):
    base = torch.arange(24.0).reshape(4, 6)
    table = {
        "turned": base.T,
        "window": base[1:3, ::2],
        "whole": base,
        "p": torch.nn.Parameter(torch.ones(2)),
    }
    path = tmp_path / "pytorch_model.bin"
    torch.save(table, path, _use_new_zipfile_serialization=new)
    assert same(TensorFiles.of([path]), {name: value.detach() for name, value in table.items()})


def test_a_module_s_own_state_is_read_also_inside_a_training_checkpoint(tmp_path):
    module = torch.nn.BatchNorm1d(3)
    torch.save(module.state_dict(), tmp_path / "plain.bin")
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, tmp_path / "wrapped.bin")
    for name in ("plain.bin", "wrapped.bin"):
        assert same(TensorFiles.of([tmp_path / name]), module.state_dict())


def test_a_compressed_archive_is_read(tmp_path):
    torch.save({"a": torch.arange(100.0)}, tmp_path / "plain.bin")
    with (
        zipfile.ZipFile(tmp_path / "plain.bin") as plain,
        zipfile.ZipFile(tmp_path / "packed.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for item in plain.namelist():
            packed.writestr(item, plain.read(item))
    assert torch.equal(TensorFiles.of([tmp_path / "packed.bin"]).tensor("a"), torch.arange(100.0))


class Call:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


CALLS = {
    "os.system": Call(os.system, "touch {mark}"),
    "eval": Call(eval, "open('{mark}', 'w')"),
    "getattr": Call(getattr, os, "system"),
    "open": Call(open, "{mark}", "w"),
    "import": Call(__import__, "os"),
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("kind", [name for name in CALLS if name != "getattr"])
def test_a_pickle_that_calls_something_is_refused_and_nothing_is_called(tmp_path, kind, new):
    mark = tmp_path / "was-here"
    call = CALLS[kind]
    call = Call(call.call[0], *[a.format(mark=mark) if isinstance(a, str) else a for a in call.call[1]])
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(1), "evil": call}, path, _use_new_zipfile_serialization=new)

    with pytest.raises(UnsafeCheckpoint, match=call.call[0].__name__):
        TensorFiles.of([path])
    assert not mark.exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpoint, match="torch.nn.modules.linear.Linear"):
        TensorFiles.of([tmp_path / "pytorch_model.bin"])


def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpoint):
        TensorFiles.of([tmp_path / "pytorch_model.bin"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"not a checkpoint at all", "damaged, or no file"),
        (pickle.dumps({"a": 1}), "neither a safetensors file nor|damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_something_else_under_that_name_is_refused(tmp_path, content, text):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=text):
        TensorFiles.of([path])


@functools.cache  # the old format writes memory addresses, so that two saves differ in length
def whole_bin_file(*, zipped: bool) -> bytes:
    written = io.BytesIO()
    tensors = {"a": torch.ones(3), "b": torch.zeros(2, 2)}
    torch.save(tensors, written, _use_new_zipfile_serialization=zipped)
    return written.getvalue()


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_damaged_bin_file_never_crashes_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "pytorch_model.bin"
    content = bytearray(whole_bin_file(zipped=data.draw(st.booleans())))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        files = TensorFiles.of([path])
        [files.tensor(name) for name in files.names()]
    except CheckpointError:
        pass


# -- what a pickle may cost -----------------------------------------------------------------------


def archive(path: Path, steps: bytes, packing: int = zipfile.ZIP_STORED, **more: bytes) -> Path:
    """A `.bin` file with these steps as its pickle, one storage of 100 floats, and more entries."""
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, content in {"data.pkl": steps, "data/0": bytes(400), **more}.items():
            file.writestr(f"model/{name}", content)
    return path


def pickled(value) -> bytes:
    """The steps of a value, without the first and the last."""
    return pickle.dumps(value, 2)[2:-1].replace(b"q\0", b"").replace(b"q\1", b"")


def of_tensor(shape, stride, count=100, storage=b"FloatStorage", call=b"_rebuild_tensor_v2") -> bytes:
    """The pickle of a table with one tensor, "a"."""
    held = b"(X\7\0\0\0storagectorch\n" + storage + b"\nX\1\0\0\x000X\3\0\0\0cpu" + pickled(count) + b"tQ"
    place = pickled(0) + pickled(shape) + pickled(stride)
    return b"\x80\2}X\1\0\0\0actorch._utils\n" + call + b"\n(" + held + place + b"\x89NtRs."


LAUGHS = b"\x80\2K\1q\0" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))  # 2**60 in 300 bytes
LONG = b"\x80\2](" + b"K\1" * 100_000 + b"eq\0"  # a long list, kept under a number

COSTLY = {
    "a text of everything": LAUGHS + b"ctorch\ndevice\nh\x3c\x85Rh\x3cQ.",
    "a name of everything": LAUGHS + b"X\1\0\0\0ah\x3c\x93.",
    "a size of everything": LAUGHS + b"ctorch\nSize\nh\x3c\x85R.",
    "a list again and again": LONG + b"cbuiltins\nset\nh\0\x85R0" * 200 + b".",
    "memory by a number": b"\x80\5\x96" + struct.pack("<Q", 1 << 40) + b".",
    "a call with a number": b"\x80\2cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "a registered class": b"\x80\2\x82\1.",
    "one value a trillion times": of_tensor((10**12,), (0,)),
    "axes beyond counting": of_tensor((1 << 62, 1 << 62), (0, 0)),
    "an axis of a thousand digits": of_tensor((10**1000,), (1,)),
    "a step back": of_tensor((100,), (-1,)),
    "more axes than steps": of_tensor((10, 10), (1,)),
    "values of quarter bytes": of_tensor((100,), (1,), storage=b"QUInt8Storage"),
    "values with a scale": of_tensor((100,), (1,), call=b"_rebuild_qtensor"),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_pickle_that_asks_for_much_is_refused(tmp_path, kind):
    with pytest.raises(CheckpointError):
        TensorFiles.of([archive(tmp_path / "pytorch_model.bin", COSTLY[kind])])


def test_keys_that_take_for_ever_to_compare_are_left_out(tmp_path):
    steps = LAUGHS + b"}h\x3cK\1s" + of_tensor((100,), (1,))[3:-2] + b"s."
    files = TensorFiles.of([archive(tmp_path / "pytorch_model.bin", steps)])
    assert files.shape("a") == (100,)


def test_a_number_in_the_pickle_sets_no_memory_aside(tmp_path):
    before = resident()
    steps = of_tensor((100,), (1,))[:-1] + b"r" + struct.pack("<I", 1 << 31) + b"."
    assert TensorFiles.of([archive(tmp_path / "pytorch_model.bin", steps)]).names() == ["a"]
    assert resident() - before < 64 << 20


def test_an_archive_that_unpacks_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("formers.checkpoints.bin_file._ROOM", 1 << 20)
    bomb = bytes(4 << 20)
    for more in ({"data/1": bomb}, {"byteorder": bomb}, {"data.pkl": b"]" * (9 << 20) + b"."}):
        path = archive(tmp_path / "pytorch_model.bin", b"}.", zipfile.ZIP_DEFLATED, **more)
        with pytest.raises(CheckpointError, match="unpacks to far more"):
            TensorFiles.of([path])


def test_quantized_values_are_named(tmp_path):
    path = archive(tmp_path / "pytorch_model.bin", of_tensor((100,), (1,), storage=b"QUInt8Storage"))
    with pytest.raises(CheckpointError, match=r"quantized tensors \(QUInt8Storage\)"):
        TensorFiles.of([path])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    torch.save({"epoch": {1, 2}, "model": TENSORS}, tmp_path / "w.bin", pickle_protocol=protocol)
    assert same(TensorFiles.of([tmp_path / "w.bin"]), TENSORS)


HEADERS = {
    "nested": b"[" * 100_000 + b"]" * 100_000,
    "an entry nested": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "digits": b'{"a":' + b"9" * 10_000 + b"}",
    "metadata of numbers": b'{"__metadata__":{"a":1}}',
    "metadata of lists": b'{"__metadata__":["a"]}',
    "a dtype that is none": b'{"a":{"dtype":["F32"],"shape":[],"data_offsets":[0,0]}}',
    "axes beyond counting": b'{"a":{"dtype":"F32","shape":[0,4611686018427387904,9],"data_offsets":[0,0]}}',
    "another coding": '{"a":1}'.encode("utf-16"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_no_writer_writes_is_refused(tmp_path, kind):
    with pytest.raises(CheckpointError):
        TensorFiles.of([raw_file(tmp_path / "model.safetensors", HEADERS[kind])])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_pickle_never_crashes_the_reader(tmp_path_factory, data):
    steps = bytearray(of_tensor((2, 3), (3, 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(steps) - 1))
        steps[at] = data.draw(st.sampled_from(b"}]()tRsuehqrQ0b.\x85\x86\x87") | st.integers(0, 255))
    path = archive(tmp_path_factory.mktemp("cut") / "pytorch_model.bin", bytes(steps))
    try:
        files = TensorFiles.of([path])
        [files.tensor(name) for name in files.names()]
    except CheckpointError:
        pass
