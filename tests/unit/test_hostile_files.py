"""Files that were made to hurt: each is refused soon, with one sentence, before anything is set aside."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from formers import AutoConfig, BertConfig, BertModel, GenerationConfig
from formers.checkpoints import CheckpointError, TensorFiles
from formers.core.jsonfile import BadJson, read_json_object
from formers.hub import Source
from formers.hub.card import licence_of
from formers.models.registry import family_of

SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 9,
}


def config_file(folder: Path, **values: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **SMALL, **values}))
    return folder


def safetensors_with(folder: Path, header: bytes, data: bytes = b"") -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


# -- depth ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [101, 900, 100_000])
def test_json_nested_too_deep_is_refused_by_its_file(depth: int, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": ' * depth + "1" + "}" * depth)
    with pytest.raises(BadJson, match=r"config\.json nests .* more than 100 deep"):
        read_json_object(tmp_path / "config.json")
    with pytest.raises(OSError, match="more than 100 deep"):
        AutoConfig.from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text("[" * depth + "]" * depth)
    with pytest.raises(OSError, match="more than 100 deep"):
        GenerationConfig.from_pretrained(tmp_path)


def test_a_header_nested_too_deep_is_refused(tmp_path: Path) -> None:
    path = safetensors_with(tmp_path, b'{"a": ' * 5000 + b"1" + b"}" * 5000)
    with pytest.raises(CheckpointError, match="more than 100 deep"):
        TensorFiles.of([path])


@pytest.mark.parametrize(
    "text", ['{"a": ' + "9" * 5000 + "}", '{"a": {"__float__": "x"}}', '{"a": [1,', "\x00"]
)
def test_what_is_no_json_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadJson, match=r"config\.json"):
        read_json_object(tmp_path / "config.json")


# -- bounds before work ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", 2**31 - 1),
        ("num_labels", 2**31 - 1),
        ("vocab_size", 2**31),
        ("hidden_size", 2**70),
        ("max_position_embeddings", 10**400),
        ("hidden_size", 0),
        ("num_attention_heads", 0),
        ("layer_norm_eps", 10**400),
        ("layer_norm_eps", float("nan")),
        ("hidden_dropout_prob", float("inf")),
    ],
)
def test_a_number_that_no_model_has_is_refused_before_anything_is_made(
    field: str, value: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=field):
        AutoConfig.from_pretrained(config_file(tmp_path, **{field: value}))


def test_a_padding_id_outside_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="padding id 9 lies outside a table of 9 rows"):
        BertModel(BertConfig(**SMALL, pad_token_id=9))


@pytest.mark.parametrize(
    ("start", "step", "most"),
    [(b"\x80\x04)", b"\x94", None), (b"\x80\x02", b"}", 1 << 12), (b"\x80\x02", b"(", 1 << 12)],
    ids=["remembered, of millions", "tables", "marks"],
)
def test_a_pickle_of_more_steps_than_a_table_needs_is_refused(
    start: bytes, step: bytes, most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if most is not None:  # as many as there may be take seconds
        monkeypatch.setattr("formers.checkpoints.bin_file._MOST_STEPS", most)
    with zipfile.ZipFile(tmp_path / "a.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", start + step * (most or 8_000_000) + b".")
    with pytest.raises(CheckpointError, match="more steps than any table"):
        TensorFiles.of([tmp_path / "a.bin"])


# -- kinds of values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("bert", "hidden_size", [8]),
        ("bert", "hidden_act", {"a": 1}),
        ("bert", "label2id", True),
        ("bert", "id2label", {"a": "b"}),
        ("bert", "label2id", {"a": float("inf")}),
        ("bert", "use_return_dict", True),
        ("bert", "_rules", None),
        ("bert", "to_dict", 3),
        ("llama", "rope_parameters", True),
        ("llama", "rope_scaling", "x"),
        ("llama", "rope_theta", 10**400),
        ("t5", "feed_forward_proj", 3),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_name(kind: str, field: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"{field}|id2label|rotary|'3' is no known"):
        family_of(kind).config.from_dict({field: value})


@pytest.mark.parametrize("field", ["to_dict", "_given", "save_pretrained"])
def test_no_key_of_a_generation_config_takes_the_place_of_a_method(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}' is no setting"):
        GenerationConfig.from_dict({field: 3})


def test_a_switch_in_the_place_of_a_number_counts_as_one(tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(config_file(tmp_path, pad_token_id=True))
    assert type(config.pad_token_id) is int


# -- cards ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "---\n" + "\n" * 300_000,
        "---\nlicense: a" + " " * 300_000 + "b\n---\n",
        "\n" * 300_000 + "---\nlicense:" + "\n" * 300_000 + "x",
    ],
)
def test_a_card_of_blanks_is_read_at_once(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)
    assert licence_of(Source.of(tmp_path)) in (None, "a" + " " * 300_000 + "b")


# -- safetensors' own rules -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata", ["null", "[]", '""', "0", "false", '{"a": 1}', '{"a": null}', '{"a": {}}']
)
def test_metadata_are_a_map_of_texts(metadata: str, tmp_path: Path) -> None:
    path = safetensors_with(tmp_path, f'{{"__metadata__": {metadata}}}'.encode())
    with pytest.raises(CheckpointError, match=r"metadata is no map of texts"):
        TensorFiles.of([path])


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_header_is_strict_json(word: str, tmp_path: Path) -> None:
    entry = f'{{"x": {{"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "more": {word}}}}}'
    with pytest.raises(CheckpointError, match=f"{word} is no number of JSON"):
        TensorFiles.of([safetensors_with(tmp_path, entry.encode(), b"1234")])


def test_what_the_library_of_the_format_writes_is_read(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    assert TensorFiles.of([tmp_path / "a.safetensors"]).metadata == {"format": "pt"}
