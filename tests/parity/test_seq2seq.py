"""Every head of T5, BART and Whisper computes what the reference computes from the same files.

Float32, 1e-5. The encoder computes nothing at padding and returns zeros there, so only real tokens are
compared.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from tests.parity.saved import the_reference_loads
from tests.parity.seq2seq_shapes import (
    CLASSES,
    SHAPES,
    batch,
    decoder_batch,
    inputs_of,
    labels_of,
    seen,
    write_checkpoint,
)

TOLERANCE = 1e-5


def _classes(model_type: str, index: int) -> tuple[str, ...]:
    """All heads in a family's first shape; in the second, those that could show it; then what writes alone.

    What writes shows all that the model without a head computes; spans are two numbers over its last states.
    """
    names = CLASSES[model_type]
    if index > 1:
        return names[:2][-1:]
    kept = tuple(name for name in names[1:] if not name.endswith("QuestionAnswering"))
    return (kept or names) if index else names


CASES = [
    (model_type, shape, name)
    for model_type, shapes in SHAPES.items()
    for index, shape in enumerate(shapes)
    for name in _classes(model_type, index)
]


def _each(cases: list[tuple[str, str, str]]) -> Any:
    return pytest.mark.parametrize("pair", cases, indirect=True, ids=[" / ".join(case) for case in cases])


each_case = _each(CASES)


def _close(theirs: torch.Tensor, ours: torch.Tensor, real: torch.Tensor | None = None) -> None:
    assert theirs.shape == ours.shape
    if real is not None and theirs.shape[: real.dim()] == real.shape:
        theirs, ours = theirs[real], ours[real]
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def _as_tuple(value: Any) -> tuple[torch.Tensor, ...]:
    """Its tensors; the reference shows what stands beside rows as a second one, behind the last states."""
    if isinstance(value, torch.Tensor):
        return (value,)
    return tuple(one[0] if isinstance(one, tuple) else one for one in value)


def _weights(values: Any) -> list[torch.Tensor]:
    """Of all layers: those of what stands beside rows too."""
    return [t for one in values for t in (one.values() if isinstance(one, dict) else [one])]


@each_case
def test_outputs_and_hidden_states_are_the_references(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    inputs = inputs_of(ours)
    with torch.no_grad():
        expected = theirs(**inputs, output_hidden_states=True)
        found = ours(**inputs, output_hidden_states=True)
    values = set(expected.keys()) - {"past_key_values"}
    assert set(found.keys()) - {"past_key_values"} == values
    for key in values:
        for one, two in zip(_as_tuple(expected[key]), _as_tuple(found[key]), strict=True):
            _close(one, two, seen(inputs, key))


@_each([case for case in CASES if case[0] != "prophetnet"])  # whose encoder returns scores in the reference
def test_attention_weights_are_the_references(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    inputs, before = inputs_of(ours), theirs.config._attn_implementation
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        expected = theirs(**inputs, output_attentions=True)
        found = ours(**inputs, output_attentions=True)
    theirs.set_attn_implementation(before)
    # the reference's encoder says that it has no cross attention by an empty tuple
    keys = [key for key in expected if "attentions" in key and expected[key]]
    assert keys == [key for key in found if "attentions" in key] != []
    for key in keys:
        for one, two in zip(*map(_weights, (expected[key], found[key])), strict=True):
            one, two = one.transpose(1, 2), two.transpose(1, 2)
            if one.dim() == 5:  # [B, H, blocks, size, keys]
                one, two = (
                    t.flatten(2, 3).transpose(1, 2)[:, : inputs["input_ids"].shape[1]] for t in (one, two)
                )
            _close(one, two, seen(inputs, key))


@each_case
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_loss_and_gradients_are_the_references(pair: tuple[Any, Any, Path], checkpointing: bool) -> None:
    theirs, ours, _ = pair
    inputs = {**inputs_of(ours), **labels_of(ours)}
    theirs.train(), ours.train()
    if checkpointing:
        ours.gradient_checkpointing_enable()
        assert ours.is_gradient_checkpointing
    try:
        if labels_of(ours):
            expected, found = theirs(**inputs).loss, ours(**inputs).loss
        else:
            real = seen(inputs, "")
            kept = slice(None) if real is None else real
            expected, found = (m(**inputs)[0][kept].square().sum() / 100 for m in (theirs, ours))
        _close(expected, found)
        expected.backward(), found.backward()
        gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
        for name, parameter in theirs.named_parameters():
            mine = gradients[name]
            if parameter.grad is None:
                assert mine is None or not mine.any(), name
            elif mine is None:  # of an expert that padding alone chose
                assert not parameter.grad.any(), name
            else:
                _close(parameter.grad, mine)
    finally:
        theirs.eval().zero_grad(), ours.eval().zero_grad()
        ours.gradient_checkpointing_disable()


@each_case
def test_the_module_tree_is_the_checkpoints_tree(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    expected = {name: tuple(t.shape) for name, t in theirs.state_dict().items()}
    assert {name: tuple(t.shape) for name, t in ours.state_dict().items()} == expected


@each_case
def test_saving_gives_the_same_bytes_and_the_reference_loads_them(
    pair: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    the_reference_loads(theirs, inputs_of(ours), folder, tmp_path)


@each_case
@pytest.mark.filterwarnings("ignore:.*no softcap")
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_every_backend_gives_the_same(pair: tuple[Any, Any, Path], implementation: str) -> None:
    theirs, _, folder = pair
    ours = getattr(formers, type(theirs).__name__).from_pretrained(folder, attn_implementation=implementation)
    inputs = inputs_of(ours)
    with torch.no_grad():
        _close(theirs(**inputs)[0], ours(**inputs)[0], seen(inputs, ""))


@pytest.mark.parametrize(("model_type", "name"), [("t5", "T5Model"), ("bart", "BartModel")])
def test_padding_on_the_left_is_no_different(model_type: str, name: str, tmp_path: Path) -> None:
    theirs = write_checkpoint(model_type, next(iter(SHAPES[model_type])), name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    inputs = {**batch(ours, sided="left"), **decoder_batch()}
    with torch.no_grad():
        expected, found = theirs(**inputs), ours(**inputs)
    for key in ("last_hidden_state", "encoder_last_hidden_state"):
        _close(expected[key], found[key], seen(inputs, key))


@pytest.mark.parametrize("sided", ["right", "left"])
@pytest.mark.parametrize("ending", ["EncoderModel", "ForSequenceClassification", "ForTokenClassification"])
def test_an_encoder_without_its_decoder_does_the_task_where_the_config_says_so(
    ending: str, sided: str, tmp_path: Path
) -> None:
    shape = next(iter(SHAPES["t5gemma"]))
    theirs = write_checkpoint("t5gemma", shape, f"T5Gemma{ending}", tmp_path, is_encoder_decoder=False)
    ours = getattr(formers, f"T5Gemma{ending}").from_pretrained(tmp_path)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    inputs = batch(ours, sided)
    real = inputs["attention_mask"].bool() if ending != "ForSequenceClassification" else None
    with torch.no_grad():
        _close(theirs(**inputs)[0], ours(**inputs)[0], real)
        _close(theirs(inputs["input_ids"])[0], ours(inputs["input_ids"])[0], real)
    if ending.startswith("For"):
        with pytest.raises(ValueError, match="there is no decoder"):
            ours(**inputs, decoder_input_ids=inputs["input_ids"])


@pytest.mark.parametrize("sided", ["right", "left"])
def test_padding_that_no_mask_names_is_not_read_where_the_family_hides_it(sided: str, tmp_path: Path) -> None:
    shape, name = next(iter(SHAPES["t5gemma"])), "T5GemmaForSequenceClassification"
    theirs = write_checkpoint("t5gemma", shape, name, tmp_path)
    ours = formers.T5GemmaForSequenceClassification.from_pretrained(tmp_path)
    inputs = batch(ours, sided)
    with torch.no_grad():
        _close(theirs(**inputs)[0], ours(**inputs)[0])
        assert torch.equal(ours(inputs["input_ids"])[0], ours(**inputs)[0])


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "BartForCausalLM"])
def test_models_survive_pickling_and_copying(name: str, tmp_path: Path) -> None:
    model_type = "t5" if name.startswith("T5") else "bart"
    write_checkpoint(model_type, next(iter(SHAPES[model_type])), name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert twin.get_output_embeddings().weight is twin.get_input_embeddings().weight
        with torch.no_grad():
            assert torch.equal(twin(**inputs).logits, ours(**inputs).logits)


def test_a_gap_in_the_padding_does_not_shorten_distances(tmp_path: Path) -> None:
    theirs = write_checkpoint("t5", "relu, tied, deeper encoder", "T5EncoderModel", tmp_path)
    ours = formers.T5EncoderModel.from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    inputs["attention_mask"][0, 3:6] = 0
    with torch.no_grad():
        _close(theirs(**inputs)[0], ours(**inputs)[0], inputs["attention_mask"].bool())


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "BartForConditionalGeneration"])
def test_labels_alone_are_enough_to_train(name: str, tmp_path: Path) -> None:
    model_type = "t5" if name.startswith("T5") else "bart"
    theirs = write_checkpoint(model_type, next(iter(SHAPES[model_type])), name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    inputs = {k: v for k, v in inputs_of(ours).items() if not k.startswith("decoder")}
    labels = labels_of(ours)["labels"]
    shifted = ours.prepare_decoder_input_ids_from_labels(labels)
    assert torch.equal(shifted, theirs.prepare_decoder_input_ids_from_labels(labels))
    with torch.no_grad():
        expected = theirs(**inputs, labels=labels)
        found = ours(**inputs, labels=labels)
        halves = ours(**inputs, labels=labels, num_items_in_batch=2 * int((labels != -100).sum()))
        again = ours(**inputs, decoder_input_ids=shifted, labels=labels, return_dict=False)
    _close(expected.loss, found.loss)
    _close(expected.logits, found.logits)
    _close(found.loss, halves.loss * 2)
    _close(found.loss, again[0])
    _close(found.logits, again[1])


@pytest.mark.parametrize(("model_type", "name"), [("t5", "T5Model"), ("bart", "BartModel")])
def test_vectors_can_be_given_in_place_of_tokens(model_type: str, name: str, tmp_path: Path) -> None:
    shape = list(SHAPES[model_type])[1]
    theirs = write_checkpoint(model_type, shape, name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    with torch.no_grad():
        whole = ours(**inputs)[0]
        given = dict(inputs)
        given["inputs_embeds"] = ours.get_input_embeddings()(given.pop("input_ids"))
        given["decoder_inputs_embeds"] = ours.get_input_embeddings()(given.pop("decoder_input_ids"))
        _close(theirs(**given)[0], ours(**given)[0])
        _close(whole, ours(**given)[0])


def test_a_summarizer_without_decoder_inputs_reads_its_own_text_shifted(tmp_path: Path) -> None:
    theirs = write_checkpoint("bart", "plain, deeper encoder", "BartForConditionalGeneration", tmp_path)
    ours = formers.BartForConditionalGeneration.from_pretrained(tmp_path)
    inputs = {k: v for k, v in inputs_of(ours).items() if not k.startswith("decoder")}
    with torch.no_grad():
        _close(theirs(**inputs).logits, ours(**inputs).logits)


@pytest.mark.parametrize(
    ("problem", "count", "targets"),
    [
        (None, 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        ("multi_label_classification", 3, torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])),
    ],
    ids=["one number", "several labels"],
)
def test_other_kinds_of_labels_have_the_references_loss(
    problem: str | None, count: int, targets: torch.Tensor, tmp_path: Path
) -> None:
    theirs = write_checkpoint("bart", "plain, deeper encoder", "BartForSequenceClassification", tmp_path)
    theirs.classification_head.out_proj = torch.nn.Linear(32, count)
    theirs.config.num_labels, theirs.config.problem_type = count, problem
    theirs.save_pretrained(tmp_path)
    ours = formers.BartForSequenceClassification.from_pretrained(tmp_path)
    inputs = inputs_of(ours)
    _close(theirs(**inputs, labels=targets).loss, ours(**inputs, labels=targets).loss)


def test_routers_and_what_they_cost_are_the_references(tmp_path: Path) -> None:
    shape = next(iter(SHAPES["switch_transformers"]))
    theirs = write_checkpoint(
        "switch_transformers", shape, "SwitchTransformersForConditionalGeneration", tmp_path
    )
    ours = formers.SwitchTransformersForConditionalGeneration.from_pretrained(tmp_path)
    ids, labels = torch.randint(3, 90, (3, 9)), torch.randint(3, 90, (3, 7))  # it counts padding too
    asked = {"input_ids": ids, "labels": labels, "output_router_logits": True}
    expected, found = theirs(**asked), ours(**asked)
    values = set(expected.keys()) - {"past_key_values"}
    assert set(found.keys()) - {"past_key_values"} == values >= {"encoder_z_loss", "decoder_aux_loss"}
    for key in values:
        for one, two in zip(_as_tuple(expected[key]), _as_tuple(found[key]), strict=True):
            _close(one, two)
    ours.encoder.register_forward_hook(lambda *_: None)  # a part that is called hands its routers on
    _close(expected.loss, ours(**asked).loss)
    assert "encoder_router_logits" not in ours(**{**asked, "output_router_logits": False})


def test_routers_over_all_tokens_and_what_they_cost_are_the_references(tmp_path: Path) -> None:
    name = "NllbMoeForConditionalGeneration"
    theirs = write_checkpoint("nllb-moe", "experts in every other layer", name, tmp_path)
    ours = formers.NllbMoeForConditionalGeneration.from_pretrained(tmp_path)
    inputs = {**inputs_of(ours), **labels_of(ours), "output_router_logits": True}
    expected, found = theirs(**inputs), ours(**inputs)
    values = set(expected.keys()) - {"past_key_values"}
    assert set(found.keys()) - {"past_key_values"} == values >= {"encoder_aux_loss", "decoder_aux_loss"}
    for key in values - {"encoder_router_logits", "decoder_router_logits"}:
        for one, two in zip(_as_tuple(expected[key]), _as_tuple(found[key]), strict=True):
            _close(one, two, seen(inputs, key))
    for key in ("encoder_router_logits", "decoder_router_logits"):
        for one, two in zip(expected[key], found[key], strict=True):
            _close(one, two, (seen(inputs, key) if key[0] == "e" else seen(inputs, "")).flatten())
    del inputs["labels"]
    assert list(ours(**inputs).keys()) == list(theirs(**inputs).keys())


def test_prompts_are_tuned_alone_where_that_is_asked_and_seen_beside_any_mask(tmp_path: Path) -> None:
    shape, name = "prompts, scaled", "MvpForConditionalGeneration"
    theirs = write_checkpoint("mvp", shape, name, tmp_path)
    ours = formers.MvpForConditionalGeneration.from_pretrained(tmp_path)
    for model in (theirs, ours):
        model.set_lightweight_tuning()
    trained = {name for name, p in theirs.named_parameters() if p.requires_grad}
    assert {name for name, p in ours.named_parameters() if p.requires_grad} == trained != set()
    inputs = inputs_of(ours)
    whole = inputs["attention_mask"][:, None].expand(-1, inputs["input_ids"].shape[1], -1)
    bias = (1.0 - whole[:, None].float()) * torch.finfo(torch.float32).min
    with torch.no_grad():
        expected = ours.get_encoder()(inputs["input_ids"], inputs["attention_mask"])[0]
        found = ours.get_encoder()(inputs["input_ids"], bias)[0]
    _close(expected, found, seen(inputs, "encoder"))
    with pytest.raises(TypeError, match="no prompts to tune: load MVP with use_prompt=True"):
        formers.MvpModel(formers.MvpConfig(**SHAPES["mvp"]["plain"])).set_lightweight_tuning()
