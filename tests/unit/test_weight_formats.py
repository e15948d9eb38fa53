"""Weights in whole numbers and short floats: what files hold, and what is computed."""

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import formers
from formers.nn import low_bit_products
from formers.nn.leaves import Conv1D, OffsetLayerNorm, RMSNorm
from formers.quantization import scaling
from formers.quantization.calibrating import fitted
from formers.quantization.floats import FloatLinear
from formers.quantization.formats import FORMATS, settled
from formers.quantization.groups import GroupedLinear
from formers.quantization.hearing import hessian_of
from formers.quantization.layouts import Awq, Compressed, Gptq, Hqq
from formers.quantization.packed import PackedLinear

pytestmark = pytest.mark.filterwarnings("ignore:(GPTQ|Awq)Config without dataset=")

OUT, READ = 64, 96
LAYOUTS = [
    *(
        Gptq(bits, 32, sym, second)
        for bits in (2, 3, 4, 8)
        for sym in (True, False)
        for second in (True, False)
    ),
    Gptq(4),
    Awq(4, 32, False),
    *(Compressed(bits, 32, sym, packs=True) for bits in (4, 8) for sym in (True, False)),
    Compressed(8, -1),
    *(Hqq(bits, 32, False, axis) for bits in (1, 2, 3, 4, 8) for axis in (0, 1)),
]


def far(found, wanted):
    found, wanted = found.detach().float(), wanted.detach().float()
    return float((found - wanted).norm() / wanted.norm())


@pytest.fixture
def weight():
    return torch.randn(OUT, READ, generator=torch.Generator().manual_seed(0)) * 0.1


def packed(weight, layout):
    leaf = GroupedLinear(weight.shape[1], weight.shape[0], False, layout)
    leaf.take(weight)
    return leaf


# files, read bit by bit


def bits_of(word, start, count):
    """A whole number out of a row of words, the lowest bit first."""
    return sum(((int(word[(start + i) // 32]) >> (start + i) % 32) & 1) << i for i in range(count))


def gptq_values(files, layout, out, read):
    words, zeros = files["qweight"].numpy(), files["qzeros"].numpy()
    scales, order = files["scales"].double().numpy(), files["g_idx"].numpy()
    found = np.zeros((out, read))
    for o in range(out):
        for i in range(read):
            group = order[i]
            zero = bits_of(zeros[group], o * layout.bits, layout.bits) + (0 if layout.second else 1)
            code = bits_of(words[:, o], i * layout.bits, layout.bits)
            found[o, i] = (code - zero % (1 << layout.bits)) * scales[group, o]
    return found


def awq_values(files, layout, out, read):
    place = {0: 0, 1: 4, 2: 1, 3: 5, 4: 2, 5: 6, 6: 3, 7: 7}  # column of eight -> half byte of its word
    words, zeros = files["qweight"].numpy(), files["qzeros"].numpy()
    scales = files["scales"].double().numpy()
    found = np.zeros((out, read))
    for o in range(out):
        shift = 4 * place[o % 8]
        for i in range(read):
            group = i // layout.size
            code, zero = ((int(row[o // 8]) >> shift) & 15 for row in (words[i], zeros[group]))
            found[o, i] = (code - zero) * scales[group, o]
    return found


def compressed_values(files, layout, out, read):
    scales = files["weight_scale"].double().numpy()
    if not layout.packs:
        return files["weight"].double().numpy() * scales
    words, middle = files["weight_packed"].numpy(), 1 << (layout.bits - 1)
    found = np.zeros((out, read))
    for o in range(out):
        for i in range(read):
            group, zero = i // layout.size, 0
            if not layout.symmetric:
                zero = (
                    bits_of(files["weight_zero_point"].numpy()[:, group], o * layout.bits, layout.bits)
                    - middle
                )
            code = bits_of(words[o], i * layout.bits, layout.bits) - middle
            found[o, i] = (code - zero) * scales[o, group]
    return found


def hqq_values(files, layout, out, read):
    each = {8: 1, 4: 2, 3: 10, 2: 4, 1: 8}[layout.bits]
    rows = files["W_q"].numpy().astype(np.int64)
    shifts = [layout.bits * (each - 1 - i) for i in range(each)]
    codes = np.concatenate([(rows >> shift) & ((1 << layout.bits) - 1) for shift in shifts])
    count = out * read // layout.size
    codes = codes[: count if layout.axis else layout.size]
    zero, scale = (files[name].double().numpy() for name in ("zero", "scale"))
    return ((codes - zero) * scale).reshape(out, read)


READERS = {Gptq: gptq_values, Awq: awq_values, Compressed: compressed_values, Hqq: hqq_values}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_files_hold_what_their_published_layout_says(weight, layout):
    leaf = packed(weight, layout)
    if isinstance(layout, Gptq):
        assert leaf.state_dict()["qweight"].shape == (READ * layout.bits // 32, OUT)
    wanted = READERS[type(layout)](leaf.state_dict(), layout, OUT, READ)
    assert np.allclose(leaf.dequantized().numpy(), wanted, atol=1e-6)
    assert far(leaf.dequantized(), weight) < {1: 1.0, 2: 0.5, 3: 0.25, 4: 0.12, 8: 0.01}[layout.bits]


def test_columns_in_an_order_of_their_own_keep_their_groups(weight):
    layout = Gptq(4, 32, False)
    leaf = packed(weight, layout)
    turn = torch.randperm(READ, generator=torch.Generator().manual_seed(1))
    files = {name: value.clone() for name, value in leaf.state_dict().items()}
    files["g_idx"] = files["g_idx"][turn].contiguous()
    other = GroupedLinear(READ, OUT, False, layout)
    other.expect(lambda name: tuple(files[name].shape), {*files})
    other.load_state_dict(files, assign=True)
    wanted = torch.tensor(gptq_values(files, layout, OUT, READ)).float()
    assert torch.allclose(other.dequantized(), wanted, atol=1e-6)
    rows = torch.randn(3, READ)
    assert far(other(rows), rows @ wanted.t()) < 5e-3
    assert torch.equal(other.state_dict()["qweight"], files["qweight"])


def test_floats_in_eight_bits_are_scaled_by_blocks_rows_or_whole():
    weight = torch.randn(40, 50)
    for block, shape in {(16, 32): (3, 2), (1, -1): (40, 1), (-1, -1): (1, 1)}.items():
        leaf = FloatLinear(50, 40, False, "weight_scale_inv", block)
        leaf.take(weight)
        scale = leaf.state_dict()["weight_scale_inv"]
        assert scale.shape == shape
        wide = leaf.weight.float().numpy()
        rows, columns = (n if size < 0 else size for size, n in zip(block, (40, 50), strict=True))
        wanted = [[wide[o, i] * scale[o // rows, i // columns].item() for i in range(50)] for o in range(40)]
        assert np.allclose(leaf.dequantized().numpy(), wanted)
        assert far(leaf.dequantized(), weight) < 0.04


def test_block_scales_are_read_as_the_reference_reads_them(weight):
    fp8 = pytest.importorskip("transformers.integrations.finegrained_fp8")
    leaf = FloatLinear(READ, OUT, False, "weight_scale_inv", (16, 32))
    leaf.take(weight)
    scale = leaf.state_dict()["weight_scale_inv"]
    wanted = fp8.Fp8Dequantize(None)._dequantize_one(leaf.weight.data, scale, torch.float32)
    assert torch.equal(leaf.dequantized(), wanted)


# numbers chosen by what is read


def one_by_one(weight, hessian, grid, damp):
    """The paper's rule in float64: round the first column left, make it good, take it out of the inverse."""
    w, h = weight.double().numpy().copy(), hessian.double().numpy().copy()
    h += damp * np.diag(h).mean() * np.eye(len(h))
    inverse, found = np.linalg.inv(h), np.zeros_like(w)
    for i in range(len(h)):
        if i % grid.size == 0:
            scale, zero = (
                each.numpy() for each in grid.scales(torch.tensor(w[:, i : i + grid.size]).float())
            )
            scale = scale.astype(np.float16).astype(np.float64)
        code = np.clip(np.round(w[:, i] / scale + zero), 0, (1 << grid.bits) - 1)
        found[:, i] = (code - zero) * scale
        w[:, i + 1 :] -= np.outer(w[:, i] - found[:, i], inverse[i, i + 1 :] / inverse[i, i])
        inverse -= np.outer(inverse[:, i], inverse[i]) / inverse[i, i]
        inverse[i, i] = 1.0  # taken out
    return found


@pytest.fixture
def inputs():
    drawn = torch.Generator().manual_seed(2)
    mixed = torch.randn(200, READ, generator=drawn) @ torch.randn(READ, READ, generator=drawn)
    return mixed * torch.logspace(-1, 1, READ)


def test_errors_are_made_good_as_the_paper_says(weight, inputs):
    grid = Gptq(4, 32, False)
    found = fitted(weight, hessian_of(inputs), grid, 0.1).values()
    wanted = torch.tensor(one_by_one(weight, hessian_of(inputs), grid, 0.1)).float()
    assert ((found - wanted).abs() > 1e-5).float().mean() < 0.01  # a tie may go the other way in float32


@pytest.mark.parametrize("by_size", [False, True])
def test_a_fitted_weight_moves_results_less_than_the_nearest(weight, inputs, by_size):
    grid = Gptq(3, 32, False)
    groups = fitted(weight, hessian_of(inputs), grid, 0.01, by_size)
    assert (groups.order is not None) == by_size
    leaf = GroupedLinear(READ, OUT, False, grid)
    leaf.put(groups)
    exact, nearest = inputs @ weight.t(), grid.nearest(weight).values()
    # the last inputs are the largest, and in that order nobody makes good what they are off
    least = 0.7 if by_size else 1.0
    assert far(inputs @ leaf.dequantized().t(), exact) < least * far(inputs @ nearest.t(), exact)
    assert torch.equal(leaf.dequantized(), groups.values())


# products


@pytest.mark.parametrize(
    "layout", [Gptq(4, 32, False), Awq(4, 32, False), Compressed(8, -1), Gptq(3, 32)], ids=str
)
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_a_product_is_that_of_the_dequantized_weight(layout, rows):
    leaf = packed(torch.randn(128, 256), layout)
    x = torch.randn(rows, 256)
    assert far(leaf(x), F.linear(x, leaf.dequantized())) < 5e-3  # inputs may be read in bfloat16
    assert far(leaf(x[0]), F.linear(x[0], leaf.dequantized())) < 5e-3


@pytest.mark.parametrize("dynamic", ["tensor", "token"])
def test_inputs_in_eight_bits_come_near_the_dequantized_weight(dynamic):
    leaf = packed(torch.randn(128, 256), Compressed(8, -1, dynamic=dynamic))
    x = torch.randn(300, 256)
    assert far(leaf(x), F.linear(x, leaf.dequantized())) < 0.02
    alone = torch.cat([leaf(row[None]) for row in x[:4]])
    assert far(leaf(x)[:4], alone) < (1e-6 if dynamic == "token" else 0.02)


@pytest.mark.parametrize("dynamic", ["", "tensor"])
def test_products_without_fast_operators_agree(monkeypatch, dynamic):
    leaf, x = packed(torch.randn(64, 64), Compressed(8, -1, dynamic=dynamic)), torch.randn(4, 64)
    four = packed(torch.randn(64, 64), Gptq(4, 32))
    fast = leaf(x), four(x)
    monkeypatch.setattr(low_bit_products, "_by_64", lambda: False)
    monkeypatch.setattr(low_bit_products, "_vector_int8", lambda: False)
    for one in (leaf, four):
        one.plain()
    assert far(leaf(x), fast[0]) < 0.02
    assert far(four(x), fast[1]) < 5e-3
    assert leaf.packed_bytes == four.packed_bytes == 0


@pytest.mark.parametrize("layout", [Gptq(4, 32, False), Compressed(8, -1, dynamic="tensor")], ids=str)
def test_a_leaf_that_has_computed_is_saved_copied_and_cast_as_before(weight, layout):
    leaf = packed(weight, layout)
    before = {name: value.clone() for name, value in leaf.state_dict().items()}
    rows = torch.randn(2, READ)
    found = leaf(rows)
    again = copy.deepcopy(leaf)
    assert torch.equal(again(rows), found)
    leaf(rows)
    leaf.half()
    after = leaf.state_dict()
    assert {name: value.dtype for name, value in after.items()} == {n: v.dtype for n, v in before.items()}
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_gradients_pass_through_whole_numbers(weight):
    leaf = packed(weight, Gptq(4, 32))
    rows = torch.randn(3, READ, requires_grad=True)
    leaf(rows).sum().backward()
    assert torch.allclose(rows.grad, leaf.dequantized().sum(0).expand(3, -1), atol=1e-4)


# models

WAYS = {
    "int8 dynamic": (formers.Int8DynamicConfig(), 0.03),
    "quanto int8": (formers.QuantoConfig("int8"), 0.02),
    "torchao int4": (formers.TorchAoConfig("int4_weight_only", group_size=32), 0.15),
    "gptq": (formers.GPTQConfig(bits=4, group_size=32), 0.15),
    "awq": (formers.AwqConfig(group_size=32), 0.15),
    "hqq": (formers.HqqConfig(nbits=8), 0.02),
    "fp8": (formers.FineGrainedFP8Config(weight_block_size=(32, 32)), 0.05),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.manual_seed(1)
    config = formers.LlamaConfig(
        vocab_size=60, hidden_size=64, num_hidden_layers=1, num_attention_heads=4, intermediate_size=128
    )
    model = formers.AutoModelForCausalLM.from_config(config).eval()
    folder = tmp_path_factory.mktemp("whole")
    model.save_pretrained(folder)
    return model, folder


@pytest.mark.parametrize("name", WAYS)
def test_a_model_is_stored_saved_and_read_again(whole, tmp_path, name):
    model, folder = whole
    config, near = WAYS[name]
    ids = torch.arange(5, 25)[None]
    small = formers.AutoModelForCausalLM.from_pretrained(folder, quantization_config=copy.deepcopy(config))
    assert sum(isinstance(one, PackedLinear) for one in small.modules()) == 7
    with torch.no_grad():
        found = small(ids).logits
    assert far(found, model(ids).logits) < near
    assert small.get_memory_footprint() < 0.6 * model.get_memory_footprint()
    small.save_pretrained(tmp_path)
    again = formers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(ids).logits, found)


@pytest.mark.parametrize("by_size", [False, True])
def test_a_model_is_quantized_by_what_it_reads(whole, tmp_path, by_size):
    model, folder = whole
    pages = torch.randint(5, 60, (12, 40), generator=torch.Generator().manual_seed(3))
    wishes = {"bits": 3, "group_size": 32, "sym": False}
    read = {"dataset": pages.tolist(), "desc_act": by_size, "damp_percent": 0.01}
    nearest, small = (
        formers.AutoModelForCausalLM.from_pretrained(folder, quantization_config=formers.GPTQConfig(**fields))
        for fields in (wishes, {**wishes, **read})
    )
    with torch.no_grad():
        wanted = model(pages).logits
        found = small(pages).logits
        assert far(found, wanted) < far(nearest(pages).logits, wanted)
    small.save_pretrained(tmp_path)
    again = formers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config.quantization_config["bits"] == 3
    with torch.no_grad():
        assert torch.equal(again(pages).logits, found)


LARGE = torch.where(torch.arange(64) % 13 == 0, 12.0, 1.0)  # few columns, as models have them


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "olmo2"])
def test_columns_that_read_much_are_spared_by_factors_that_change_nothing_else(kind, tmp_path):
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    inner = {"llama": "intermediate_size", "olmo2": "intermediate_size", "opt": "ffn_dim", "gpt2": "n_inner"}
    config = formers.AutoConfig.for_model(kind, **sizes, **{inner[kind]: 2048})
    model = formers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            large = LARGE[torch.arange(len(value)) % 64]
            if value.ndim == 1 and name.endswith("weight") and kind != "olmo2":
                value.mul_(large)
            elif value.ndim == 2:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
            if kind == "olmo2" and name.endswith(("v_proj.weight", "up_proj.weight")):
                value.mul_(large[:, None])  # its norms come after, so only products are read with factors
    model.save_pretrained(tmp_path)
    pages = torch.randint(5, 100, (12, 40), generator=generator)
    nearest, small = (
        formers.AutoModelForCausalLM.from_pretrained(
            tmp_path, quantization_config=formers.AwqConfig(group_size=32, dataset=texts)
        )
        for texts in (None, pages[:8].tolist())
    )
    with torch.no_grad():
        wanted, found = (one(pages[8:]).logits for one in (model, small))
        assert far(found, wanted) < 0.95 * far(nearest(pages[8:]).logits, wanted)
    assert not {"dataset", "tokenizer"} & {*small.config.to_dict()["quantization_config"]}


@pytest.mark.parametrize("maker", [torch.nn.LayerNorm, RMSNorm, OffsetLayerNorm, "offset", "linear", "conv"])
def test_factors_are_moved_from_what_makes_to_what_reads(maker):
    made = {
        "offset": lambda: RMSNorm(8, 1e-6, offset=1.0),
        "linear": lambda: torch.nn.Linear(8, 8),
        "conv": lambda: Conv1D(8, 8),
    }
    first = made[maker]() if isinstance(maker, str) else maker(8, 1e-6)
    with torch.no_grad():
        for value in first.parameters():
            value.add_(torch.randn(value.shape))
    second, x, by = torch.nn.Linear(8, 5), torch.randn(3, 8), torch.rand(8) + 0.5
    wanted = second(first(x))
    scaling.divide(first, by)
    scaling.multiply(second, by)
    assert torch.allclose(second(first(x)), wanted, atol=1e-5)


def test_the_range_of_a_group_is_cut_where_that_loses_less(weight):
    weight[0, 5] = 3.0  # one weight far out of its group, and read as nothing
    rows = torch.randn(200, READ)
    rows[:, 5] *= 0.01
    hessian, grid = hessian_of(rows), Awq(4, 32, False)
    lost, cut = (
        scaling.error(weight, grid.nearest(one).values(), hessian)
        for one in (weight, scaling.cut(weight, hessian, grid))
    )
    assert cut < 0.8 * lost


def test_an_adapter_learns_on_whole_numbers(whole):
    config = formers.GPTQConfig(bits=4, group_size=32)
    model = formers.AutoModelForCausalLM.from_pretrained(whole[1], quantization_config=config)
    model.add_adapter(formers.LoraConfig(r=2, init_lora_weights=False))
    model(input_ids=torch.arange(5, 15)[None], labels=torch.arange(5, 15)[None]).loss.backward()
    learning = [name for name, value in model.named_parameters() if value.grad is not None]
    assert learning
    assert all("lora_" in name for name in learning)


def test_every_method_is_found_by_its_record():
    for method, one in FORMATS.items():
        assert one.config.quant_method == method
    assert settled({"quant_method": "quanto", "weights": "int4"}, None, {}).format == "pack-quantized"


# what cannot be


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: formers.GPTQConfig(bits=5), "bits is one of 2, 3, 4, 8, not 5"),
        (lambda: formers.GPTQConfig(bits=4, group_size=0), "group_size"),
        (lambda: formers.GPTQConfig(bits=4, dataset="c4"), "list of texts"),
        (lambda: formers.AwqConfig(version="gemv"), "'gemm'"),
        (lambda: formers.AwqConfig(dataset="pileval"), "list of texts"),
        (lambda: formers.HqqConfig(nbits=5), "nbits"),
        (lambda: formers.QuantoConfig(weights="int2"), "'int8', 'int4'"),
        (lambda: formers.TorchAoConfig("float8_weight_only"), "Int8WeightOnlyConfig"),
        (lambda: formers.FineGrainedFP8Config(weight_block_size=(128,)), "two numbers"),
        (lambda: settled({"quant_method": "mxfp4"}, None, {}), "files in MXFP4 are read"),
        (lambda: formers.CompressedTensorsConfig(sparsity_config={"format": "24"}), "sparse"),
    ],
)
def test_a_record_that_means_nothing_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_setting_that_a_method_does_not_have_is_refused():
    with pytest.raises(TypeError, match=r"unexpected.*'group_sise'.*did you mean 'group_size'"):
        settled({"quant_method": "awq", "group_sise": 32}, None, {})


def test_texts_to_quantize_by_need_a_tokenizer(whole):
    wishes = ((["a text"], "give tokenizer="), ([], "is empty"))
    for make, (texts, said) in itertools.product((formers.GPTQConfig, formers.AwqConfig), wishes):
        config = make(bits=4, dataset=texts)
        with pytest.raises(ValueError, match=said):
            formers.AutoModelForCausalLM.from_pretrained(whole[1], quantization_config=config)


def test_files_without_scales_and_files_of_other_classes_are_refused(whole, tmp_path):
    config = formers.GPTQConfig(bits=4, group_size=32)
    formers.AutoModelForCausalLM.from_pretrained(whole[1], quantization_config=config).save_pretrained(
        tmp_path
    )
    path = tmp_path / "model.safetensors"
    left = {name: value for name, value in load_file(path).items() if not name.endswith("q_proj.scales")}
    save_file(left, path)
    with pytest.raises(ValueError, match="lacks scales in the files"):
        formers.AutoModelForCausalLM.from_pretrained(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    record["quantization_config"] = {"quant_method": "torchao", "quant_type": "int8_weight_only"}
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="class of its own"):
        formers.AutoModelForCausalLM.from_pretrained(tmp_path)


def test_what_a_record_says_of_inputs_and_is_not_done_is_told():
    group = {
        "targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "float"},
        "input_activations": {"num_bits": 8, "type": "float", "dynamic": False},
    }
    with pytest.warns(UserWarning, match="inputs are multiplied as they are"):
        formers.CompressedTensorsConfig({"group_0": group}, "float-quantized")
