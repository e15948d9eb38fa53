"""Every head of every family computes what the reference computes from the same files.

Checkpoints are written by the reference; formers loads them through its own loading code. Float32,
1e-5. At padding formers computes nothing and returns zeros, so only real tokens are compared.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

import formers
from formers.checkpoints.renames import written
from formers.core.notices import Notice
from formers.model.structure import renames_of
from formers.models.registry import family_of
from tests.parity.shapes import (
    CAUSAL,
    EAGER,
    SHAPES,
    batch,
    class_names,
    in_the_file,
    in_training,
    inputs_of,
    labels,
    learned,
    lets_padding_in,
    real_of,
    reference_config,
    write_checkpoint,
)

TOLERANCE = 1e-5


CACHES = {"past_key_values", "cache_params", "state", "mems"}


def _cases() -> list[tuple[str, str, str]]:
    """All heads in the first shape of a family; base, and one head, in the others.

    A decoder's head for the next token shows all that its base computes: in the others it stands alone.
    """
    found = []
    for model_type, shapes in SHAPES.items():
        family = family_of(model_type)
        names = class_names(family)
        for index, shape in enumerate(shapes):
            ends = ("Model", "LM", "ImageClassification", "ConditionalGeneration")
            chosen = [n for n in names if n.endswith(ends)]
            if _decodes(model_type):
                chosen = [n for n in names if n.endswith(CAUSAL)][:1] or chosen
            found += [(model_type, shape, name) for name in (chosen if index else names)]
    return found


def _stack_of(model_type: str) -> Any:
    """The stack that heads of a family read, of a config by default."""
    family = family_of(model_type)
    return family.assembly.spec(family.config())


def _decodes(model_type: str) -> bool:
    """Whether the family predicts the next token."""
    return bool(_stack_of(model_type).decoder)


CASES = _cases()
# Falcon: asked for weights, the reference adds whether a key may be seen to the scores, and slopes twice
# Pixtral's patches: zeros between pictures, which are computed apart here
# SqueezeBERT: it returns scores before their softmax; YOSO and Qwen-VL's patches: what was mixed in place of
# weights; MRA: none; WavLM: their mean over heads, once for every head; OneFormer: those of two kinds;
# BridgeTower: pairs, of texts and pictures (`test_united` compares them)
# Grounding DINO: its text model then adds yes and no to scores (`test_grounding` asks for others)
UNLIKE = (
    *(
        "bridgetower",
        "falcon",
        "grounding-dino",
        "mra",
        "oneformer",
        "pixtral",
        "qwen2_5_vl_vision",
        "qwen3_vl_vision",
        "squeezebert",
        "wavlm",
        "yoso",
    ),
)
# the reference notes what layers of its text model make, and no others
SHOWS_NONE = {"mllama_vision_model"}
ATTENDING = [
    case
    for case in CASES
    if case[0] not in (*UNLIKE, *SHOWS_NONE) and _stack_of(case[0]).attention is not None
]


def _each(cases: list[tuple[str, str, str]]) -> Any:
    return pytest.mark.parametrize("pair", cases, indirect=True, ids=[" / ".join(case) for case in cases])


each_case = _each(CASES)


def _close(theirs: Any, ours: Any, real: torch.Tensor | None = None) -> None:
    if isinstance(theirs, tuple):  # of every router, [B * T, experts]
        flat = None if real is None else real.flatten()
        for one, other in zip(theirs, ours, strict=True):
            _close(one, other, flat)
        return
    if isinstance(theirs, dict):  # of a layer before the last
        for key, value in theirs.items():
            _close(value, ours[key])
        return
    if isinstance(theirs, int):  # of a size
        assert theirs == ours
        return
    assert theirs.shape == ours.shape
    if real is not None and theirs.shape[: real.dim()] == real.shape:
        theirs, ours = theirs[real], ours[real]
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def _flat(record: Any, start: str = "") -> dict[str, Any]:
    """The values of a record by name, and those of records within it."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, (formers.ModelOutput, transformers.utils.ModelOutput)):
            found |= _flat(value, f"{start}{key}.")
        elif key not in CACHES and isinstance(value, list):  # something for each of several pictures
            found |= {f"{start}{i}.{key}": one for i, one in enumerate(value)}
        elif key not in CACHES and not (isinstance(value, tuple) and all(one == () for one in value)):
            found[start + key] = value
    return found


def _pad(model: Any) -> int:
    pad = model.config.pad_token_id
    return 0 if pad is None else pad


@each_case
def test_outputs_and_hidden_states_are_the_references(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    inputs = inputs_of(ours)
    real = real_of(inputs)
    with torch.no_grad():
        asks = {} if theirs.config.model_type in SHOWS_NONE else {"output_hidden_states": True}
        expected = _flat(theirs(**inputs, **asks))
        found = _flat(ours(**inputs, **asks))
        plain = _flat(ours(**inputs))
    assert set(found) == set(expected)
    states = ("hidden_states", "intermediate_states")
    kept = {key for key in found if key.endswith(states) and isinstance(found[key], tuple)}
    assert kept or not asks
    for key in set(found) - kept:
        _close(expected[key], found[key], real)
        _close(expected[key], plain[key], real)
    flat = None if real is None else real.reshape(-1, real.shape[-1])
    for key in kept:
        for theirs_state, ours_state in zip(expected[key], found[key], strict=True):
            _close(theirs_state, ours_state, flat)


@_each(ATTENDING)
def test_attention_weights_are_the_references(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    inputs, before = inputs_of(ours), theirs.config._attn_implementation
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        expected, found = (_flat(model(**inputs, output_attentions=True)) for model in (theirs, ours))
    if not hasattr(theirs.config, "backbone_config"):  # the reference's networks over maps refuse the others
        theirs.set_attn_implementation(before)
    real = real_of(inputs)
    real = None if real is None else real.reshape(-1, real.shape[-1])
    across = [
        one for key in expected if key.split(".")[-1] == "cross_attentions" for one in expected[key] or ()
    ]
    kept = [key for key in expected if key.split(".")[-1] == "attentions" or key == "cross_attentions"]
    kept = [key for key in kept if len(expected[key])]
    assert kept
    for key in kept:
        # the reference's querying transformer lists the weights of cross attention among the others too
        own = expected[key] if key == "cross_attentions" else _without(expected[key], across)
        assert len(found[key]) == len(own) > 0
        for theirs_weights, ours_weights in zip(own, found[key], strict=True):
            _close(theirs_weights.transpose(1, 2), ours_weights.transpose(1, 2), real)


def _without(weights: Any, others: Any) -> list[torch.Tensor]:
    """Those that are not among the others."""
    return [one for one in weights if not any(one is other for other in others)]


@each_case
def test_loss_and_gradients_are_the_references(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, _ = pair
    name = type(ours).__name__
    inputs, real = inputs_of(ours), real_of(inputs_of(ours))
    given = labels(name, inputs)
    # ranges and means that training follows
    held = [(model, {k: b.clone() for k, b in model.named_buffers()}) for model in (theirs, ours)]
    frozen = [p for p in theirs.parameters() if not p.requires_grad]  # some of which are freed to be compared
    in_training(theirs, ours)
    try:
        if given:
            losses = []
            for model in (theirs, ours):
                torch.manual_seed(0)  # where points of masks are drawn
                losses.append(model(**inputs, **given).loss.squeeze())  # OneFormer's has an axis
            expected, found = losses
        else:
            first = [learned(m(**inputs)) for m in (theirs, ours)]
            first = [one[-1] if isinstance(one, tuple) else one for one in first]  # the last map of several
            kept = real if real is not None and first[0].shape[:2] == real.shape else slice(None)
            expected, found = (one[kept].square().sum() / 100 for one in first)
        _close(expected, found)
        expected.backward(), found.backward()
        gradients = {key: p.grad for key, p in ours.named_parameters(remove_duplicate=False)}
        theirs_named = ((name, parameter.grad) for name, parameter in theirs.named_parameters())
        for parameter_name, gradient in in_the_file(theirs, theirs_named, ours):
            mine = gradients[parameter_name]
            if gradient is None or mine is None:  # or an expert that read nothing
                assert not any(g is not None and g.any() for g in (gradient, mine)), parameter_name
            else:
                _close(gradient, mine)
    finally:
        theirs.eval().zero_grad(), ours.eval().zero_grad()
        for parameter in frozen:
            parameter.requires_grad_(False)
        with torch.no_grad():
            for model, buffers in held:
                for key, before in buffers.items():
                    model.get_buffer(key).copy_(before)


@each_case
def test_the_module_tree_is_the_checkpoints_tree(pair: tuple[Any, Any, Path]) -> None:
    theirs, ours, folder = pair
    named = in_the_file(theirs, theirs.state_dict().items(), ours)
    expected = {name: tuple(t.shape) for name, t in named}
    assert {name: tuple(t.shape) for name, t in ours.state_dict().items()} == expected
    with safe_open(folder / "model.safetensors", "pt") as file:  # which holds one of two that are tied
        spelt = written(expected, renames_of(ours), ours.base_model_prefix)
        assert set(file.keys()) <= set(spelt.values())


@each_case
def test_saving_gives_the_same_bytes_and_the_reference_loads_them(
    pair: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    kind = {"attn_implementation": "eager"} if theirs.config.model_type in EAGER else {}
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True, **kind)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    inputs = inputs_of(ours)
    with torch.no_grad():
        _close(theirs(**inputs)[0], again.eval()(**inputs)[0])


def _decoders() -> list[tuple[str, str, str]]:
    """Every family that predicts the next token, in all its shapes; BERT stands for encoders that can."""
    found = [("bert", "plain", "BertLMHeadModel")]
    for model_type, shapes in SHAPES.items():
        family = family_of(model_type)
        if _decodes(model_type):
            ending = next((e for e, head in family.heads.items() if head.task == "causal_lm"), None)
            if ending is None or not hasattr(transformers, family.class_name(ending)):
                continue  # a composite, or a part that has no name of its own there: their own tests decode
            # past the trained length LongRoPE turns by other angles than those that are in the cache already
            kept = [shape for shape, c in shapes.items() if "longrope" not in str(c.get("rope_parameters"))]
            found += [(model_type, shape, family.class_name(ending)) for shape in kept]
    return found


DECODERS = _decoders()


@pytest.mark.parametrize("sided", ["left", "right"])
@pytest.mark.parametrize(("model_type", "shape", "name"), DECODERS)
def test_decoding_with_a_cache_gives_what_one_pass_gives(
    model_type: str, shape: str, name: str, sided: str, tmp_path: Path
) -> None:
    theirs = write_checkpoint(model_type, shape, name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    inputs = batch(name, _pad(ours), sided=sided)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    cache = ours._assembly.cache
    with torch.no_grad():
        whole = ours(**inputs).logits
        if not (sided == "left" and lets_padding_in(ours)):
            _close(theirs(**inputs).logits, whole, mask.bool())
        past, steps, at = None, [], 0
        for width in (4, 1, 1, 3, 2):
            part = slice(at, at + width)
            given = {"attention_mask": mask[:, : at + width], cache: past, "use_cache": True}
            output = ours(ids[:, part], **given)
            past, at = output[cache], at + width
            steps.append(output.logits)
    assert past.get_seq_length() == ids.shape[1]
    _close(whole, torch.cat(steps, dim=1), mask.bool())


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("mistral", "MistralForCausalLM"),
        ("gemma2", "Gemma2ForCausalLM"),
        ("mamba", "MambaForCausalLM"),
        ("opt", "OPTForCausalLM"),
    ],
)
def test_a_gap_in_a_row_counts_as_the_reference_counts_it(model_type: str, name: str, tmp_path: Path) -> None:
    theirs = write_checkpoint(model_type, next(iter(SHAPES[model_type])), name, tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    inputs = batch(name, _pad(ours))
    inputs["attention_mask"][:, 3:5] = 0
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**inputs).logits
        for use_cache in (False, True):
            _close(expected, ours(**inputs, use_cache=use_cache).logits, real)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_a_cap_on_scores_is_kept_whatever_backend_is_asked_for(
    tmp_path: Path,
) -> None:
    shape = next(iter(SHAPES["gemma2"]))
    theirs = write_checkpoint("gemma2", shape, "Gemma2Model", tmp_path)
    inputs = batch("Gemma2Model", 0)
    real = inputs["attention_mask"].bool()
    for asked in ({}, {"attn_implementation": "sdpa"}, {"attn_implementation": "flex_attention"}):
        ours = formers.Gemma2Model.from_pretrained(tmp_path, **asked)
        told = pytest.warns(Notice, match="no softcap") if "sdpa" in asked.values() else nullcontext()
        with torch.no_grad(), told:
            _close(theirs(**inputs)[0], ours(**inputs)[0], real)


def test_a_sequence_gives_the_same_alone_and_in_company(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)
    model = formers.BertForSequenceClassification.from_pretrained(tmp_path)
    inputs = batch("BertForSequenceClassification", 0)
    with torch.no_grad():
        together = model(**inputs).logits
        for row in range(4):
            real = inputs["attention_mask"][row].bool()
            alone = model(input_ids=inputs["input_ids"][row, real][None]).logits
            _close(together[row], alone[0])


@pytest.mark.parametrize(
    ("model_type", "name"),
    [("bert", "BertLMHeadModel"), ("gpt2", "GPT2LMHeadModel"), ("xglm", "XGLMForCausalLM")],
)
def test_a_decoder_reads_an_encoder_across(model_type: str, name: str, tmp_path: Path) -> None:
    config = reference_config(model_type, next(iter(SHAPES[model_type])), name)
    config.is_decoder = config.add_cross_attention = True
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = getattr(formers, name).from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path / "again")
    files = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path, tmp_path / "again")]
    assert files[0] == files[1]
    inputs = batch(name, _pad(ours))
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    seen = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 6, [1] * 2 + [0] * 4])
    across = {"encoder_hidden_states": torch.randn(4, 6, 32), "encoder_attention_mask": seen}
    with torch.no_grad():
        expected = theirs(**inputs, **across).logits
        _close(expected, ours(**inputs, **across).logits, mask.bool())
        first = ours(ids[:, :6], attention_mask=mask[:, :6], use_cache=True, **across)
        rest = ours(ids[:, 6:], attention_mask=mask, past_key_values=first.past_key_values, **across)
    _close(expected, torch.cat((first.logits, rest.logits), 1), mask.bool())
    loss = theirs(**inputs, **across, labels=ids).loss
    found = ours(**inputs, **across, labels=ids).loss
    _close(loss, found)
    loss.backward(), found.backward()
    gradients = {key: p.grad for key, p in ours.named_parameters(remove_duplicate=False)}
    for key, parameter in theirs.named_parameters():
        _close(parameter.grad, gradients[key])


@pytest.mark.parametrize(
    ("problem", "count", "targets"),
    [
        (None, 5, torch.tensor([0, 4, 2, 2])),
        (None, 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        ("regression", 3, torch.randn(4, 3)),
        ("multi_label_classification", 3, torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])),
    ],
    ids=["one label", "one number", "several numbers", "several labels"],
)
def test_every_kind_of_label_has_the_references_loss(
    problem: str | None, count: int, targets: torch.Tensor, tmp_path: Path
) -> None:
    config = transformers.BertConfig(
        vocab_size=101, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config.num_labels, config.problem_type = count, problem
    theirs = transformers.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = formers.BertForSequenceClassification.from_pretrained(tmp_path)
    inputs = batch("BertForSequenceClassification", 0)
    _close(theirs(**inputs, labels=targets).loss, ours(**inputs, labels=targets).loss)


def test_a_token_loss_that_counts_padding_counts_what_the_reference_counts(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertForTokenClassification", tmp_path)
    ours = formers.BertForTokenClassification.from_pretrained(tmp_path)
    inputs = batch("BertForTokenClassification", 0)
    everywhere = torch.randint(0, 5, inputs["input_ids"].shape)
    _close(theirs(**inputs, labels=everywhere).loss, ours(**inputs, labels=everywhere).loss)


def test_embeddings_positions_and_segments_can_be_given(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertModel", tmp_path)
    ours = formers.BertModel.from_pretrained(tmp_path)
    inputs = batch("BertModel", 0)
    vectors = torch.randn(4, 11, 32)
    more = {
        "attention_mask": inputs["attention_mask"],
        "token_type_ids": (torch.arange(11)[None] > 5).long().expand(4, -1),
        "position_ids": torch.arange(11).flip(0)[None].expand(4, -1),
        "inputs_embeds": vectors,
    }
    with torch.no_grad():
        expected, found = theirs(**more)[0], ours(**more)[0]
    _close(expected, found, inputs["attention_mask"].bool())


def test_a_mask_with_a_query_axis_is_obeyed(tmp_path: Path) -> None:
    theirs = write_checkpoint("bert", "plain", "BertModel", tmp_path)
    ours = formers.BertModel.from_pretrained(tmp_path)
    ids = batch("BertModel", 0)["input_ids"]
    seen = torch.tril(torch.ones(11, 11))[None].expand(4, -1, -1)
    additive = (1 - seen[:, None]) * torch.finfo(torch.float32).min
    with torch.no_grad():
        expected = theirs(ids, attention_mask=additive)[0]
        _close(expected, ours(ids, attention_mask=seen.long())[0])
        _close(expected, ours(ids, attention_mask=additive)[0])


def test_recomputing_layers_changes_memory_not_gradients(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForSequenceClassification", tmp_path)
    inputs = {**batch("BertForSequenceClassification", 0), "labels": torch.tensor([0, 1, 2, 3])}
    gradients = []
    for checkpointing in (False, True):
        model = formers.BertForSequenceClassification.from_pretrained(tmp_path).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        model(**inputs).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        _close(gradient, gradients[1][name])


def test_items_in_the_whole_window_normalise_the_loss(tmp_path: Path) -> None:
    write_checkpoint("bert", "plain", "BertForTokenClassification", tmp_path)
    model = formers.BertForTokenClassification.from_pretrained(tmp_path)
    inputs = batch("BertForTokenClassification", 0)
    given = labels("BertForTokenClassification", inputs)["labels"]
    items = int((given != -100).sum())
    whole = model(**inputs, labels=given).loss
    parts = [
        model(**{k: v[rows] for k, v in inputs.items()}, labels=given[rows], num_items_in_batch=items).loss
        for rows in (slice(0, 1), slice(1, 4))
    ]
    assert math.isclose(whole.item(), sum(parts).item(), abs_tol=1e-6)
