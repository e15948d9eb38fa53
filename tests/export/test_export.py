"""Models as ONNX graphs: what ONNX Runtime computes is what the model does, over sizes not exported with."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import formers
import tiny
from formers.export import BrokenGraph, ExportError, export_model

_SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_SIZES = {**_SIZES, "intermediate_size": 48}
_PAIR = {"vocab_size": 60, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48}
_PAIR = {**_PAIR, "decoder_ffn_dim": 48, "encoder_attention_heads": 2, "decoder_attention_heads": 2}


def made(name: str, **fields: Any) -> Any:
    """A model with random weights."""
    torch.manual_seed(0)
    kind = getattr(formers, name)
    return kind(kind.config_class(**fields)).eval()


def texts(rows: int, length: int) -> dict[str, torch.Tensor]:
    """Ids and a mask with padding on the right of all rows but the first."""
    ids = torch.randint(1, 60, (rows, length), generator=torch.Generator().manual_seed(rows))
    mask = torch.ones_like(ids)
    mask[1:, length - 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def weights_of(folder: Path) -> int:
    """Bytes of the matrices that a graph multiplies by."""
    import onnx

    made = onnx.load(str(folder / "model.onnx")).graph
    read = {
        name
        for node in made.node
        if node.op_type.startswith(("MatMul", "Gemm", "DequantizeLinear"))
        for name in node.input
    }
    held = [onnx.numpy_helper.to_array(one) for one in made.initializer if one.name in read]
    return sum(one.nbytes for one in held if one.ndim == 2)


def run(*words: object) -> int:
    """How `formers export` of a classifier ends."""
    from formers.cli.app import main

    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, words)])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A saved classifier, and its export, which answers as a golden file says."""
    from formers.desk import golden
    from formers.jobs.predictor import Predictor

    folder = tmp_path_factory.mktemp("export")
    saved, file = tiny.save_classifier(folder / "router"), folder / "golden.jsonl"
    golden.record(Predictor.load(str(saved)).predict, [text for text, _ in tiny.tickets(2)], file)
    assert run(saved, folder / "graph", "--to", "onnx", "--check", file) == 0
    return saved, folder / "graph"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A Llama whose heads share keys, and its export."""
    folder = tmp_path_factory.mktemp("decoder")
    model = made("LlamaForCausalLM", **_SIZES, num_key_value_heads=2, pad_token_id=0)
    export_model(model, folder)
    return model, folder


@pytest.mark.parametrize(("rows", "length"), [(1, 4), (5, 21)])
def test_a_classifier_answers_as_it_does_over_other_batches_and_lengths(
    classifier: tuple[Path, Path], rows: int, length: int
) -> None:
    saved, graph = classifier
    model = formers.AutoModelForSequenceClassification.from_pretrained(saved)
    exported = formers.export.ORTModelForSequenceClassification.from_pretrained(graph)
    given = {name: value % 30 for name, value in texts(rows, length).items()}
    with torch.no_grad():
        wanted = model(**given).logits
    torch.testing.assert_close(exported(**given).logits, wanted, atol=1e-4, rtol=0)
    arrays = exported(**{name: value.numpy() for name, value in given.items()}).logits
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_allclose(arrays, wanted.numpy(), atol=1e-4)


def test_an_exported_folder_is_a_model_folder_like_any_other(classifier: tuple[Path, Path]) -> None:
    from formers.jobs.predictor import Predictor

    saved, graph = classifier
    asked = ["my card was charged again", "the parcel is late please help"]
    wanted = formers.pipeline("text-classification", model=str(saved))(asked)
    named = formers.pipeline(model=str(graph))
    assert isinstance(named.model, formers.export.ORTModel)
    loaded = formers.export.ORTModelForSequenceClassification.from_pretrained(graph)
    tokenizer = formers.AutoTokenizer.from_pretrained(graph)
    given = formers.pipeline("text-classification", model=loaded, tokenizer=tokenizer)
    served = [answer.ranked[0] for answer in Predictor.load(str(graph / "model.onnx")).answer([asked])]
    found = [named(asked), given(asked), [{"label": label, "score": score} for label, score in served]]
    for answers in found:
        assert [one["label"] for one in answers] == [one["label"] for one in wanted]
        assert [one["score"] for one in answers] == pytest.approx([one["score"] for one in wanted], abs=1e-4)


def test_graphs_have_the_names_that_optimum_gives(classifier: tuple[Path, Path]) -> None:
    import onnxruntime

    graph = classifier[1]
    assert {"model.onnx", "config.json", "tokenizer.json"} <= {path.name for path in graph.iterdir()}
    session = onnxruntime.InferenceSession(str(graph / "model.onnx"))
    assert {one.name: one.shape for one in session.get_inputs()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), ["batch_size", "sequence_length"]
    )
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("logits", ["batch_size", 3])]


@pytest.mark.parametrize("static", [False, True])
def test_int8_keeps_scores_near_in_less_room(
    classifier: tuple[Path, Path], tmp_path: Path, static: bool
) -> None:
    from formers.export.reducing import batches_of, to_int8

    graph, small = classifier[1], tmp_path / "small"
    shutil.copytree(graph, small)
    asked = [text for text, _ in tiny.tickets(8)]
    to_int8(
        small / "model.onnx",
        batches_of(asked, formers.AutoTokenizer.from_pretrained(graph)) if static else None,
    )
    whole, found = (
        [{one["label"]: one["score"] for one in answer} for answer in pipe(asked, top_k=None)]
        for pipe in (formers.pipeline(model=str(folder)) for folder in (graph, small))
    )
    moved = [abs(a[label] - b[label]) for a, b in zip(whole, found, strict=True) for label in tiny.LABELS]
    assert 0 < max(moved) < (0.25 if static else 0.1)  # random weights have wide ranges
    assert weights_of(small) < 0.3 * weights_of(graph)


def test_float16_stays_within_its_tolerance(classifier: tuple[Path, Path], tmp_path: Path) -> None:
    from formers.export.reducing import to_fp16

    graph, half = classifier[1], tmp_path / "half"
    shutil.copytree(graph, half)
    to_fp16(half / "model.onnx")
    given = {name: value % 30 for name, value in texts(4, 12).items()}
    kind = formers.export.ORTModelForSequenceClassification
    whole, found = (kind.from_pretrained(folder)(**given).logits for folder in (graph, half))
    torch.testing.assert_close(found, whole, atol=3e-2, rtol=3e-2)
    assert weights_of(half) < 0.55 * weights_of(graph)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_decoder_goes_on_behind_its_cache_token_for_token(decoder: tuple[Any, Path], beams: int) -> None:
    model, folder = decoder
    exported = formers.export.ORTModelForCausalLM.from_pretrained(folder)
    assert exported.sessions["model.onnx"].shapes["past_key_values.1.value"][1:] == (
        2,
        "past_sequence_length",
        8,
    )
    given = {name: value.flip(1) for name, value in texts(3, 9).items()}  # padding on the left
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "num_beams": beams}
    assert torch.equal(exported.generate(**given, **options), model.generate(**given, **options))


def test_prompts_of_any_lengths_share_the_engine_of_a_graph(decoder: tuple[Any, Path]) -> None:
    from formers.configs import GenerationConfig
    from formers.generation.engine import Engine, Request

    model, folder = decoder
    exported = formers.export.ORTModelForCausalLM.from_pretrained(folder)
    config = GenerationConfig(max_new_tokens=5, eos_token_id=None)
    prompts = [[5, 9, 2, 40], [7], [11, 3, 3, 50, 21, 8, 1]]
    engine = Engine(exported, rows=2)
    asked = [engine.submit(Request(prompt, config)) for prompt in prompts]
    engine.run()
    for request in asked:
        wanted = model.generate(torch.tensor([request.prompt]), max_new_tokens=5, eos_token_id=None)
        assert request.tokens == wanted[0, len(request.prompt) :].tolist(), request.error


def test_an_encoder_decoder_is_written_in_its_parts_and_writes_token_for_token(tmp_path: Path) -> None:
    model = made("BartForConditionalGeneration", **_PAIR)
    export_model(model, tmp_path)
    parts = {path.name for path in tmp_path.glob("*.onnx")}
    assert parts == {"encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"}
    exported = formers.export.ORTModelForSeq2SeqLM.from_pretrained(tmp_path)
    given, options = texts(2, 7), {"max_new_tokens": 6, "min_new_tokens": 6, "num_beams": 2}
    assert torch.equal(exported.generate(**given, **options), model.generate(**given, **options))


def test_a_graph_of_any_name_is_served_and_told_from_another(
    classifier: tuple[Path, Path], tmp_path: Path
) -> None:
    from formers.serving import Settings
    from formers.serving.adapt import service_of

    graph, renamed = classifier[1], tmp_path / "renamed"
    shutil.copytree(graph, renamed)
    (renamed / "model.onnx").rename(renamed / "model_quantized.onnx")
    settings = Settings(queue_path=tmp_path / "queue.sqlite3")
    first, second = (service_of(str(folder), settings).revision for folder in (graph, renamed))
    assert first == second  # the same bytes
    with (renamed / "model_quantized.onnx").open("ab") as file:
        file.write(b"\x0a\x00")  # an empty field: another file, the same graph
    other = formers.export.ORTModelForSequenceClassification.from_pretrained(renamed)
    from formers.model.revision import revision_of

    assert revision_of(other) != first


def test_speech_is_written_down_token_for_token(tmp_path: Path) -> None:
    sizes = {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 20, "pad_token_id": 0}
    sizes |= {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3, "suppress_tokens": None}
    model = made("WhisperForConditionalGeneration", **_PAIR, **sizes, begin_suppress_tokens=None)
    export_model(model, tmp_path)
    exported = formers.export.ORTModelForSpeechSeq2Seq.from_pretrained(tmp_path)
    sound = torch.randn(2, 8, 40)
    options = {"max_new_tokens": 6, "min_new_tokens": 6}
    assert torch.equal(exported.generate(sound, **options), model.generate(sound, **options))


def test_pictures_are_classified_as_the_model_does(tmp_path: Path) -> None:
    model = made(
        "ViTForImageClassification", **{**_SIZES, "image_size": 16, "patch_size": 8, "num_labels": 3}
    )
    model.save_pretrained(tmp_path, export=True)
    exported = formers.export.ORTModelForImageClassification.from_pretrained(tmp_path)
    pixels = torch.randn(5, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(exported(pixels).logits, model(pixels).logits, atol=1e-4, rtol=0)


def test_sounds_of_any_length_are_heard_as_the_model_does(tmp_path: Path) -> None:
    sizes = {**_SIZES, "conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2)}
    sizes |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2}
    model = made("Wav2Vec2ForCTC", **sizes)
    export_model(model, tmp_path)
    exported = formers.export.ORTModelForCTC.from_pretrained(tmp_path)
    sound = torch.randn(2, 1234)
    with torch.no_grad():
        torch.testing.assert_close(exported(sound).logits, model(sound).logits, atol=1e-4, rtol=0)


def test_axes_of_spectra_are_named_as_the_stem_reads_them() -> None:
    from formers.export.samples import axes_of, sample

    sizes = {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 20, "pad_token_id": 0}
    whisper = made("WhisperModel", **_PAIR, **sizes, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)
    other = made(
        "Speech2TextModel", **_PAIR, input_feat_per_channel=8, conv_channels=16, max_source_positions=60
    )
    named = []
    for model in (whisper, other):
        given = sample(model, ("input_features",))["input_features"]
        named.append(dict(zip(axes_of("input_features", given, model), given.shape, strict=True)))
    assert named == [
        {"batch_size": 3, "feature_size": 8, "nb_max_frames": 40},
        {"batch_size": 3, "nb_max_frames": 120, "feature_size": 8},
    ]
    assert [list(one) for one in named] == [
        ["batch_size", "feature_size", "nb_max_frames"],
        ["batch_size", "nb_max_frames", "feature_size"],
    ]


@pytest.mark.parametrize("options", [{}, {"int8": True}, {"fp16": True}])
def test_weights_of_large_graphs_lie_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    from formers.export import folder

    monkeypatch.setattr(folder, "LARGE", 0)
    model = made(
        "ViTForImageClassification", **{**_SIZES, "image_size": 16, "patch_size": 8, "num_labels": 3}
    )
    export_model(model, tmp_path, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.onnx", "model.onnx_data"}
    exported = formers.export.ORTModelForImageClassification.from_pretrained(tmp_path)
    pixels = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(exported(pixels).logits, model(pixels).logits, atol=0.05, rtol=0)


def test_a_recurrence_is_recorded_for_sequences_of_any_length() -> None:
    from formers.nn.mixers.time_mixing import weighed

    class Called(torch.nn.Module):
        def forward(self, values: tuple[torch.Tensor, ...]) -> Any:
            return weighed(*values)

    def given(rows: int, length: int) -> tuple[torch.Tensor, ...]:
        hidden, state = torch.rand(rows, length, 1) > 0.2, torch.randn(rows, 3, 6).exp()
        return (*torch.randn(2, rows, length, 6), *torch.randn(2, 6), state, hidden)

    torch.manual_seed(0)
    example = given(3, 13)
    free = tuple(dict.fromkeys(range(one.dim()), torch.export.Dim.AUTO) for one in example)
    with torch.no_grad():
        recorded = torch.export.export(Called(), (example,), dynamic_shapes=(free,), strict=False).module()
        for rows, length in ((2, 5), (4, 150)):
            other = given(rows, length)
            torch.testing.assert_close(recorded(other), weighed(*other), atol=1e-4, rtol=1e-4)


def written_and_checked(tmp_path: Path, factor: Callable[[int], int]) -> Path:
    """The checked graph of a model that multiplies tokens by a number that their count decides."""
    from formers.export.graph import Graph, write
    from formers.export.parity import check

    class Called(torch.nn.Module):
        def run(self, given: Any) -> dict[str, torch.Tensor]:
            ids = given["input_ids"]
            return {"logits": ids.float() * factor(ids.shape[1])}

    called = Called()
    graph = Graph("model.onnx", called.run, called, {"input_ids": texts(3, 13)["input_ids"]}, {})
    file = write(graph, tmp_path)
    check(graph, file)
    return file


def test_a_bound_of_a_recording_stays_where_other_numbers_lie_above_it(tmp_path: Path) -> None:
    from formers.export.session import Session

    with pytest.raises(ExportError, match=r"logits differs by .* for input_ids \[3, 27\]"):
        written_and_checked(tmp_path, lambda length: 1 if length <= 16 else 2)
    file = written_and_checked(tmp_path, lambda length: 2 if length <= 16 else 4 // 2)
    assert not Session(file).limits


@pytest.mark.parametrize("bits", [32, 16, 8])
def test_a_graph_that_does_not_hold_for_one_token_says_so(tmp_path: Path, bits: int) -> None:
    from formers.core.notices import Notice
    from formers.export.reducing import to_fp16, to_int8
    from formers.export.session import Session

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        file = written_and_checked(tmp_path, lambda length: 3 if length == 1 else 2)
    if bits < 32:
        (to_fp16 if bits == 16 else to_int8)(file)
    session, ids = Session(file), torch.tensor([[4, 5]])
    assert session.run({"input_ids": ids})["logits"].tolist() == [[8, 10]]
    with pytest.raises(ValueError, match=r"reads sequence_length from 2, and input_ids has 1"):
        session.run({"input_ids": ids[:, :1]})


def test_the_command_writes_nothing_that_a_golden_file_does_not_agree_with(
    classifier: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, file = classifier[0], tmp_path / "golden.jsonl"
    head, first, *rest = (saved.parent / "golden.jsonl").read_text().splitlines()
    wrong = json.loads(first)
    label = next(name for name in tiny.LABELS if name != wrong["label"])
    wrong["scores"] = {label: 0.9, **{n: 0.05 for n in tiny.LABELS if n != label}}
    wrong |= {"label": label, "score": 0.9}
    file.write_text("\n".join([head, json.dumps(wrong), *rest]) + "\n")
    assert run(saved, tmp_path / "bad", "--to", "onnx", "--check", file) != 0
    assert wrong["text"] in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["golden.jsonl"]


def test_a_graph_that_is_cut_off_is_named(classifier: tuple[Path, Path], tmp_path: Path) -> None:
    graph = classifier[1] / "model.onnx"
    (tmp_path / "config.json").write_bytes((classifier[1] / "config.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(BrokenGraph, match=r"model\.onnx \(5,000 bytes\) is cut off"):
        formers.AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    classifier: tuple[Path, Path], tmp_path: Path
) -> None:
    from formers.jobs import exporting

    for options, says in (
        ({"opset": 11}, "opset 11 is not written: use one of 18"),
        (
            {"task": "automatic-speech-recognition"},
            "Bert has no head for 'automatic-speech-recognition'; it has",
        ),
        ({"task": "text-clasification"}, "there is no task 'text-clasification'"),
        ({"int8": True, "fp16": True}, "ask for one"),
    ):
        with pytest.raises(ExportError, match=says):
            exporting.export(str(classifier[0]), tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_otherwise_in_longer_rows_is_refused(tmp_path: Path) -> None:
    model = made("BigBirdModel", **_SIZES, block_size=4, num_random_blocks=1, pad_token_id=0)
    with pytest.raises(ExportError, match="load the model with attention_type='original_full'"):
        export_model(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_a_graph_cannot_give_is_refused(classifier: tuple[Path, Path]) -> None:
    exported = formers.export.ORTModelForSequenceClassification.from_pretrained(classifier[1])
    given = texts(2, 5)
    given["input_ids"] %= 30
    for more, says in (
        ({"labels": torch.zeros(2)}, "takes no labels"),
        ({"output_attentions": True}, "output_attentions is not among what the graph returns"),
        ({"position_ids": torch.zeros(2, 5)}, "got position_ids, which the graph model.onnx does not read"),
    ):
        with pytest.raises(TypeError, match=says):
            exported(**given, **more)


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    from formers.core.extras import MissingExtra

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'formers\[onnx\]'"):
        export_model(made("ViTModel", **_SIZES, image_size=16, patch_size=8), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_commands_of_optimum_mean_ours(
    classifier: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from formers.dropin import commands, optimum_export

    said: list[dict[str, Any]] = []
    monkeypatch.setattr(
        optimum_export, "main_export", lambda model, output, **given: said.append({"model": model, **given})
    )
    line = f"export onnx --model m --task text-generation-with-past --fp16 --trust-remote-code {tmp_path}"
    assert commands.main("optimum-cli", line.split()) == 0
    wanted = {"model": "m", "task": "text-generation-with-past", "dtype": "fp16", "trust_remote_code": True}
    assert said == [wanted]
    line = f"onnxruntime quantize --onnx_model {classifier[1]} --per_channel --avx2 -o {tmp_path / 'small'}"
    assert commands.main("optimum-cli", line.split()) == 0
    assert (tmp_path / "small" / "model_quantized.onnx").is_file()
    assert commands.main("optimum-cli", ["export", "onxn"]) == 2


def test_optimum_means_formers_under_the_drop_in(classifier: tuple[Path, Path]) -> None:
    from formers import dropin

    with dropin.using("4.57.6", dropin.PACKAGES):
        from optimum.exporters.onnx import main_export
        from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
        from optimum.onnxruntime.configuration import AutoQuantizationConfig

        assert ORTModelForSequenceClassification is formers.export.ORTModelForSequenceClassification
        model = ORTModelForSequenceClassification.from_pretrained(classifier[1])
        made = ORTQuantizer.from_pretrained(model)
        settings = AutoQuantizationConfig.avx512_vnni(is_static=False)
        with pytest.raises(ExportError, match="slim"):
            main_export(str(classifier[0]), classifier[1].parent / "out", slim=True)
    assert made.onnx_model_path == classifier[1] / "model.onnx"
    assert not settings.is_static
