"""Every module whose hook fires in the reference fires here, with the same shapes, and is obeyed.

Hooks stand on every module of the reference's tree and on ours of the same name. The reference computes all
places, so a pass that is hooked here does too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.parity import seq2seq_shapes, shapes
from tests.parity.shapes import file_name, known_parts
from tests.parity.test_families import CASES as SINGLE
from tests.parity.test_seq2seq import CASES as PAIRS

TOLERANCE = 1e-5
CASES = [*SINGLE, *PAIRS]
READ = (
    "input_values",
    "hidden_states",
    "token_hidden_states",
    "input_ids",
    "flattened_patches",
    "pixel_values",
    "input_features",
    "query_embeds",
    "latents",
    "inputs_embeds",
    "query",
    "queries",
    "input_points",
    "task_token",
    "vision_features",
    "output",
)  # what parts read, by name
FIRST = [one for one in CASES if one[1] == next(iter({**shapes.SHAPES, **seq2seq_shapes.SHAPES}[one[0]]))]


@pytest.fixture
def case(pair: tuple[Any, Any, Path]) -> tuple[Any, Any, Any]:
    """The reference's model and ours, from one folder, and inputs that both read."""
    theirs, ours, _ = pair
    room = seq2seq_shapes if ours._family.model_type in seq2seq_shapes.SHAPES else shapes
    return theirs, ours, room.inputs_of(ours)


def _each(cases: list[tuple[str, str, str]]) -> Any:
    return pytest.mark.parametrize("pair", cases, indirect=True, ids=[" / ".join(one) for one in cases])


each_case = _each(CASES)


# nodes that the reference's newer tree has and the file's has not
ONLY_THERE = {
    # both halves of the feed-forward stand by themselves in the file, and each sum has a dropout of its own
    "beit": re.compile(
        r"(^|\.)layers\.\d+\.(mlp(\.activation_fn)?|dropout)$|"
        r"^(beit\.layernorm|beit|fpn(\.fpn1)?)$|\.blocks\.\d+$"
    ),
    **dict.fromkeys(
        ("audio-spectrogram-transformer", "deit", "ijepa", "vit", "vit_mae", "vit_msn", "vivit"),
        re.compile(r"(^|\.)(decoder_)?layers\.\d+\.(mlp(\.activation_fn)?|dropout)$"),
    ),
    # one in the file
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), re.compile(r"\.mlp\.(gate|up)_proj$")),
    "dinov3_vit": re.compile(r"^model$"),  # the list of layers stands by itself in the file
    # what stands for a stage, and for keys and values, lies in several places of the file
    "segformer": re.compile(r"(^|\.)stages\.\d+$|\.sequence_reduction$"),
    # all experts' two tensors stand beside their router in the file
    "swin": re.compile(r"^swin$|\.mlp$|\.relative_position_bias$|\.blocks\.\d+\.dropout$"),
    "granitemoe": re.compile(r"\.experts(\.act_fn)?$"),
    "granitemoeshared": re.compile(r"\.experts(\.act_fn)?$"),
    # all experts' tensors, which no part is called for, and what holds the router's layer alone
    "jetmoe": re.compile(r"\.(input_linear|output_linear|router|activation)$"),
    # what holds the router's layer, and the experts, alone
    "switch_transformers": re.compile(r"\.router$|\.experts$"),
    "nllb-moe": re.compile(r"\.router$"),  # what holds the router's layer alone
    # all experts' two tensors stand for themselves
    "llama4_text": re.compile(r"\.experts(\.act_fn)?$"),
    # what holds the router's layer alone; and experts that are called one by one, whose rows become [B, T, E]
    "dbrx": re.compile(r"\.router$|\.experts(\.mlp(\.activation_fn)?)?$"),
    # products and a softmax without weights, which no fused attention has
    "squeezebert": re.compile(r"(^|\.)attention\.(matmul_qkv?|softmax)$"),
    # likewise, and what the reference's activation holds
    "ibert": re.compile(r"\.self\.softmax$|\.intermediate_act_fn\.activation_fn$"),
    # a feed-forward's halves, convolutions and their norms stand by themselves in the file
    "detr": re.compile(r"layers\.\d+\.mlp$|mask_head\.(conv\d|fpn_stages\.\d(\.refine)?)(\.activation)?$"),
    # a feed-forward's halves; and what looks at maps, which has no weights
    **dict.fromkeys(
        ("deformable_detr", "rt_detr", "rt_detr_v2"),
        re.compile(r"layers\.\d+\.mlp$|\.(encoder|self)_attn\.attn$"),
    ),
    # likewise, and what attends in the decoder, whose layers stand beside it in the file
    "conditional_detr": re.compile(
        r"layers\.\d+\.mlp$|mask_head\.(conv\d|fpn_stages\.\d(\.refine)?)(\.activation)?$|"
        r"(^|\.)decoder\.layers\.\d+\.(self|encoder)_attn$"
    ),
    "maskformer": re.compile(r"layers\.\d+\.mlp$"),
    # what looks at maps, which has no weights; and what holds places beside maps, and is not called
    "grounding-dino": re.compile(r"\.(encoder|self)_attn\.attn$|(^|\.)backbone$"),
    "table-transformer": re.compile(r"(^|\.)backbone$"),  # it holds places beside maps, and is not called
    "yolos": re.compile(r"\.interpolation$"),  # what stretches positions has no node of its own
    # the table of distances stands for itself
    "phi4_multimodal_audio": re.compile(r"^relative_attention_bias_layer$"),
    "recurrent_gemma": re.compile(r"\.temporal_block\.rotary_emb$"),  # here all layers share the turns
    "falcon": re.compile(r"(^|\.)rotary_emb$"),  # it fires where slopes stand for positions too
    # what makes a kernel of its directions and lengths, which has no weights
    **dict.fromkeys(
        ("hubert", "sew", "sew-d", "unispeech-sat", "vits", "wav2vec2", "wavlm"),
        re.compile(r"\.parametrizations\.weight\.0$"),
    ),
    # tables of places, which here all layers share
    **dict.fromkeys(("wav2vec2-bert", "wav2vec2-conformer"), re.compile(r"(^|\.)embed_positions$")),
    **dict.fromkeys(("parakeet_ctc", "parakeet_encoder"), re.compile(r"(^|\.)encode_positions$")),
    # likewise, and letters that are made there and not returned
    "unispeech": re.compile(r"\.parametrizations\.weight\.0$|^(ctc_proj|dropout)$"),
    "layoutlmv2": re.compile(r"\.top_block$"),  # what makes a map of every other place, which nothing reads
    "openai-gpt": re.compile(r"\.mlp\.act$"),  # one module serves all layers
    **dict.fromkeys(("flaubert", "xlm"), re.compile(r"(^|\.)ffns\.\d+\.act$")),  # likewise
    **dict.fromkeys(("jina_embeddings_v3", "nomic_bert"), re.compile(r"\.[qkv]_proj$")),  # one in the file
}
# nodes whose result the reference does not read: it takes the last of the hidden states beside it
UNREAD = {"deberta": "encoder", "deberta-v2": "encoder"}
# nodes to which the reference hands what they read more than once: for queries, and for keys and values
THRICE = {
    "ctrl": "multi_head_attention",
    "canine": "self",
    "grounding-dino": "self_attn",
    "mask2former": "self_attn",
    "oneformer": "self_attn",
}
# nodes that read numbers of rows and columns among those of patches
PLACED = {"pix2struct": "encoder|embeddings", "pix2struct_vision_model": "embeddings"}
SHAPED = "ProphetNetposition_embeddings"  # in the reference it reads the shape of what is read
STACKED = re.compile(r"\.experts\.act_fn$")  # of all experts, which stand by themselves in the file


def only_there(name: str, ours: Any) -> bool:
    """Whether our tree has no such node, because files of the family, or of a part, do not know it."""
    for start, part in known_parts(ours).items():
        if name.startswith(f"{start}."):
            return only_there(name.removeprefix(f"{start}."), part)
    return bool(ONLY_THERE.get(ours._family.model_type, STACKED).search(name))


def here(name: str, ours: Any) -> str:
    """The name in our tree, which is the file's, of a module that the reference knows by a newer one."""
    return file_name(f"{name}.", ours)[:-1] if name else name


def by_file(seen: dict[str, Any], ours: Any) -> dict[str, Any]:
    """What the reference's modules saw, by the names that they have here."""
    return {here(name, ours): value for name, value in seen.items() if not only_there(name, ours)}


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor that a module read or returned: of a record or a tuple, its first value's."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "to_tuple"):
        value = value.to_tuple()
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return next((t for t in map(first_tensor, value) if t is not None), None)
    return None


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Its shape."""
    found = first_tensor(value)
    return None if found is None else tuple(found.shape)


@contextmanager
def hooked(model: nn.Module, register: Callable[[str, nn.Module], Any]) -> Iterator[None]:
    """Hooks on every module of a tree."""
    handles = [register(name, module) for name, module in model.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def outputs(model: nn.Module, inputs: dict[str, Any]) -> dict[str, list[tuple[int, ...] | None]]:
    """Name -> shapes that a forward hook there sees, in order."""
    seen: dict[str, list[Any]] = {}

    def register(name: str, module: nn.Module) -> Any:
        return module.register_forward_hook(
            lambda _m, _a, _k, out: seen.setdefault(name, []).append(shape_of(out)), with_kwargs=True
        )

    with hooked(model, register), torch.no_grad():
        model(**inputs)
    return seen


def events(
    model: nn.Module, inputs: dict[str, Any], chosen: Callable[[str], bool]
) -> dict[str, dict[str, list[tuple[int, ...] | None]]]:
    """Kind of hook -> name -> shapes that a hook of that kind there sees, in a forward and backward pass."""
    seen: dict[str, dict[str, list[Any]]] = {"pre": {}, "backward": {}, "backward pre": {}}

    def register(name: str, module: nn.Module) -> Any:
        if not chosen(name):
            return _All()

        def note(kind: str, value: Any) -> None:
            seen[kind].setdefault(name, []).append(shape_of(value))

        def read(_module: nn.Module, args: Any, keywords: Any) -> None:
            note("pre", args or tuple(keywords.get(name) for name in READ))

        return _All(
            module.register_forward_pre_hook(read, with_kwargs=True),
            module.register_full_backward_hook(lambda _m, _i, grads: note("backward", grads)),
            module.register_full_backward_pre_hook(lambda _m, grads: note("backward pre", grads)),
        )

    with hooked(model, register):
        record = model(**inputs)
        found = first_tensor(record)
        assert found is not None
        learned = [one for one in record.to_tuple() if isinstance(one, Tensor) and one.requires_grad]
        found = found if found.requires_grad else learned[0]  # places and numbers of points do not learn
        found.square().sum().backward()
    model.zero_grad()
    return seen


class _All:
    """Any number of handles as one."""

    def __init__(self, *handles: Any) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def _differs(name: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Whether two shapes are not the same.

    A table of positions that serves every row alike is read once here, [1, T, E], where the reference's
    encoders of BART and FlauBERT read it for every row, or without an axis for rows: what a hook makes of it
    is added to all rows either way. The reference's DeepSeek-V2 has cosines and sines as complex numbers,
    half as many. Its mixtures of Llama 4 return rows. An expert with little room reads as many rows as find
    room, and there padding takes some. Before the reference's ViLT labels tokens it drops out rows of the
    picture too, which nothing reads.
    """
    if name == "dropout" and len(theirs) == 3 and theirs[1] > ours[1]:
        return (theirs[0], theirs[2]) != (ours[0], ours[2])
    if ".adapter" in name:  # the reference computes a map anew for every query
        return theirs[1:] != ours[1:]
    if ".experts.expert_" in name:
        return theirs[-1] != ours[-1]
    if name.endswith("feed_forward") and len(theirs) == 2:
        return theirs != (ours[0] * ours[1], ours[2])
    if name.endswith("rotary_emb") and 2 * theirs[-1] == ours[-1]:
        return theirs[:-1] != ours[:-1]
    if name.endswith(("embed_positions", "position_embeddings")) and ours[:1] == (1,):
        return theirs[-2:] != ours[1:]
    return theirs != ours


@each_case
def test_every_hook_that_fires_in_the_reference_fires_here_with_its_shapes(
    case: tuple[Any, Any, Any],
) -> None:
    theirs, ours, inputs = case
    expected, found = by_file(outputs(theirs, inputs), ours), outputs(ours, inputs)
    assert [name for name in expected if name not in found] == []
    for name, seen in expected.items():
        assert len(found[name]) == len(seen), name
        for one, two in zip(seen, found[name], strict=True):
            assert not _differs(name, one, two), (name, one, two)


PARTS = re.compile(
    r"(^|\.)(embeddings|encoder|decoder|transformer|attention|attn|self_attn|SelfAttention|EncDecAttention|"
    r"encoder_attn|self|output|intermediate|mlp|ffn|DenseReluDense|pooler|lm_head|cls|predictions|classifier|"
    r"qa_outputs|score|\d+|LayerNorm|ln_1|input_layernorm)$"
)


# the reference changes in place what a feed-forward, a norm, a convolution, a linear leaf or a stage of maps
# returned, which backward hooks forbid; its RWKV writes states in place that the backward pass wants as they
# were
_IN_PLACE = (
    "bit",
    "chameleon",
    "conditional_detr",
    "deformable_detr",
    "falcon",
    "flaubert",
    "maskformer",
    "regnet",
    "resnet",
    "rt_detr",
    "rt_detr_resnet",
    "rt_detr_v2",
    "rwkv",
    "swin2sr",
    "swinv2",
    "vits",
    "xlm",
)
BACKWARD = [one for one in CASES if one[0] not in _IN_PLACE]


@_each(BACKWARD)
def test_pre_hooks_and_backward_hooks_fire_where_the_references_do(case: tuple[Any, Any, Any]) -> None:
    theirs, ours, inputs = case
    expected = events(theirs, inputs, lambda name: bool(PARTS.search(name)))
    chosen = {here(name, ours) for name, _ in theirs.named_modules() if PARTS.search(name)}
    found = events(ours, inputs, lambda name: name in chosen)
    for kind, seen_there in expected.items():
        by_name = by_file(seen_there, ours)
        assert by_name
        missing = [name for name in by_name if name not in found[kind]]
        assert missing == [], kind
        for name, seen in by_name.items():
            assert found[kind][name] == seen, (kind, name)


def _edit_output(_module: nn.Module, _args: Any, out: Any) -> Any:
    """Scale and shift what a part returned, and its first place more."""

    def edited(x: Tensor) -> Tensor:
        x = x * 1.25 + torch.linspace(-1, 1, x.shape[-1])
        x[:, 0] *= 1.5
        return x

    if isinstance(out, Tensor):
        return edited(out)
    if isinstance(out, (tuple, list)):
        return type(out)((_edit_output(_module, _args, out[0]), *out[1:]))
    key = next(iter(out.keys()))
    held = out[key]
    out[key] = tuple(edited(one) for one in held) if isinstance(held, tuple) else edited(held)  # all maps
    return out


def _edit_input(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Scale the states that a part reads, or change some of the ids."""

    def edited(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x.where(x < 4, x - 1)
        return x * 0.75 + torch.linspace(-1, 1, x.shape[-1])

    if args:
        return ((edited(args[0]), *args[1:]), keywords)
    name = next(name for name in READ if keywords.get(name) is not None)
    return (args, {**keywords, name: edited(keywords[name])})


# nodes by kind of model at which an edit does not say the same in both
BEYOND: dict[Any, dict[str, str]] = {_edit_output: UNREAD, _edit_input: THRICE | PLACED}


def beyond(edit: Any, ours: Any) -> list[str]:
    """Names of those nodes of a model."""
    return BEYOND[edit].get(ours._family.model_type, "").split("|")


# nodes that return several maps
SEVERAL = dict.fromkeys(("rt_detr", "rt_detr_v2"), "encoder")


def _editing(part: nn.Module, edits: list[Any]) -> _All:
    """Hooks that edit what a node reads, or returns."""
    return _All(
        *(part.register_forward_pre_hook(edit, with_kwargs=True) for edit in edits if edit is _edit_input),
        *(part.register_forward_hook(edit) for edit in edits if edit is _edit_output),
    )


def _logits(model: nn.Module, inputs: dict[str, Any], real: Tensor | None, name: str = "") -> Tensor:
    """What the model returns first, at real tokens; what follows from the pooler for a part of that."""
    with torch.no_grad():
        out = model(**inputs)
    keys = [key for key in ("pooler_output", "seq_relationship_logits") if "pooler" in name and key in out]
    found = out[keys[0]] if keys else first_tensor(out)
    if found is not None and not found.is_floating_point():  # numbers of points hide what changes them
        found = first_tensor([one for one in out.to_tuple() if torch.is_floating_point(one)])
    assert found is not None
    return found[real] if real is not None and found.shape[: real.dim()] == real.shape else found


# kinds of parts, one name of each kind is edited at a time
EDITED = re.compile(
    r"(embeddings|encoder|\.?attention|self_attn|attn|SelfAttention|EncDecAttention|encoder_attn|attention\.self|"
    r"output|intermediate|mlp|ffn|DenseReluDense|pooler|lm_head|cls|predictions|transform|classifier|dense|"
    r"layer\.\d+|layers\.\d+|h\.\d+|block\.\d+|dropout|activation|intermediate_act_fn|act_fn|score|LayerNorm|"
    r"query|q_proj|rotary_emb|final_layer_norm)$"
)


def _kinds(model: nn.Module, fired: dict[str, Any]) -> list[str]:
    """One name for each kind of part; those within a base model are edited without a head."""
    chosen: dict[str, str] = {}
    base = getattr(model, "base_model_prefix", "") + "."
    for name in fired:
        if EDITED.search(name) and not (name.startswith(base) and name.count(".") > 1):
            chosen.setdefault(re.sub(r"\d+", "#", name), name)
    return list(chosen.values())


@_each(FIRST)
def test_hooks_that_edit_are_obeyed_with_the_references_numbers(case: tuple[Any, Any, Any]) -> None:
    theirs, ours, inputs = case
    keys = [key for key in ("decoder_attention_mask", "attention_mask") if key in inputs]
    real = inputs[keys[0]].bool() if keys else None
    plain, unedited = (_logits(model, inputs, real) for model in (ours, theirs))
    pooled = _logits(ours, inputs, real, "pooler")
    # each edit by itself where there is no head; before a head, both of a node at once
    rounds = ((_edit_output,), (_edit_input,)) if ours.base_model is ours else ((_edit_input, _edit_output),)
    for name in _kinds(theirs, outputs(theirs, inputs)):
        last = name.split(".")[-1]
        # a node that returns two tables, not states, or that reads a shape
        if only_there(name, ours) or last == "rotary_emb" or ours._family.name + last == SHAPED:
            continue
        if last == SEVERAL.get(ours._family.model_type):
            continue
        for edits in rounds:
            results = []
            for model in (theirs, ours):
                part = model.get_submodule(name if model is theirs else here(name, ours))
                handles = _editing(part, [e for e in edits if last not in beyond(e, ours)])
                results.append(_logits(model, inputs, real, name))
                handles.remove()
            where = f"{', '.join(edit.__name__ for edit in edits)} at {name}"
            torch.testing.assert_close(
                results[1], results[0], atol=TOLERANCE, rtol=TOLERANCE, msg=lambda m, w=where: f"{w}: {m}"
            )
            if results[0].shape != unedited.shape or (results[0] - unedited).abs().max() > 1e-4:
                before = pooled if "pooler" in name else plain
                longer = results[1].shape != before.shape  # speech
                assert longer or (results[1] - before).abs().max() > 1e-4, where
    assert torch.equal(_logits(ours, inputs, real), plain)
