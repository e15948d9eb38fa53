"""Weights in fewer bits: the numbers and files of bitsandbytes, and what models make of them."""

import bitsandbytes
import bitsandbytes.functional
import pytest
import torch
import transformers

import formers
from formers.quantization.eight_bits import Linear8bit
from formers.quantization.four_bits import Linear4bit
from formers.quantization.packed import PackedLinear

pytestmark = pytest.mark.filterwarnings("ignore:.*MatMul8bitLt")

DECODERS = {
    "gpt2": lambda: formers.GPT2Config(vocab_size=60, n_embd=64, n_layer=1, n_head=4, n_positions=40),
    "llama": lambda: formers.LlamaConfig(
        # rows of whole blocks: with others the library's kernel departs from its own values
        vocab_size=60,
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=128,
    ),
}
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}


@pytest.fixture
def weight():
    torch.manual_seed(0)
    return torch.randn(48, 192)


def saved(config, folder, auto=formers.AutoModelForCausalLM):
    torch.manual_seed(1)
    model = auto.from_config(config).eval()
    model.save_pretrained(folder)
    return model


def far(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


# the numbers


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bits_are_packed_as_the_library_packs_them(weight, kind, nested):
    ours = Linear4bit(192, 48, False, kind, nested)
    ours.take(weight)
    theirs = bitsandbytes.nn.Linear4bit(
        192, 48, False, torch.float32, compress_statistics=nested, quant_type=kind
    )
    theirs.load_state_dict({"weight": weight})
    files = theirs.to("cpu").state_dict()
    own = ours.state_dict()
    assert own.keys() == files.keys()
    assert {name: value.shape for name, value in own.items()} == {n: v.shape for n, v in files.items()}
    assert torch.equal(own["weight"], files["weight"])
    wanted = bitsandbytes.functional.dequantize_4bit(theirs.weight.data, theirs.weight.quant_state)
    assert torch.allclose(ours.dequantized(), wanted, atol=2e-3 if nested else 0)


def test_eight_bits_are_packed_as_the_library_packs_them(weight):
    ours = Linear8bit(192, 48, False)
    ours.take(weight)
    theirs = bitsandbytes.nn.Linear8bitLt(192, 48, bias=False, has_fp16_weights=False)
    theirs.load_state_dict({"weight": weight})
    files = theirs.to("cpu").state_dict()
    own = ours.state_dict()
    assert own.keys() == files.keys()
    # the library brings weights to half precision first
    assert (own["weight"].int() - files["weight"].int()).abs().max() <= 1
    assert torch.allclose(own["SCB"], files["SCB"], rtol=1e-3)


def test_a_row_does_not_hang_on_its_company(weight):
    leaf = Linear8bit(192, 48, True, threshold=6.0)
    leaf.take(weight)
    leaf.bias = torch.nn.Parameter(torch.randn(48))
    rows = torch.randn(5, 192) * torch.tensor([1.0, 30.0, 0.1, 1.0, 0.0])[:, None]
    assert torch.allclose(leaf(rows), torch.cat([leaf(row[None]) for row in rows]), atol=1e-4)
    assert torch.equal(leaf(rows)[4], leaf.bias)


def test_large_inputs_are_multiplied_in_floating_point(weight):
    rows = torch.randn(4, 192)
    rows[:, 7] = 80.0  # without it, a step of the other inputs would be 0.6
    exact = rows @ weight.t()
    errors = {}
    for threshold in (0.0, 6.0):
        leaf = Linear8bit(192, 48, False, threshold)
        leaf.take(weight)
        errors[threshold] = float((leaf(rows) - exact).abs().mean())
    assert errors[6.0] < errors[0.0] / 3


@pytest.mark.parametrize("leaf", [Linear8bit(192, 48, False), Linear4bit(192, 48, False, "nf4")])
def test_gradients_reach_what_is_before_a_frozen_leaf(weight, leaf):
    leaf.take(weight)
    rows = torch.randn(3, 192, requires_grad=True)
    leaf(rows).sum().backward()
    assert torch.allclose(rows.grad, leaf.dequantized().sum(0).expand(3, -1), atol=1e-4)
    assert leaf.weight.grad is None


def test_a_cast_of_the_model_leaves_the_scales_alone(weight):
    for leaf in (Linear8bit(192, 48, True), Linear4bit(192, 48, True, "nf4", nested=True)):
        leaf.take(weight)
        leaf.bias = torch.nn.Parameter(torch.zeros(48))
        before = leaf.dequantized()
        leaf.half()
        assert torch.equal(leaf.dequantized(), before)
        assert leaf.bias.dtype is torch.float16


# models


@pytest.mark.parametrize("how", [{"load_in_8bit": True}, NF4], ids=["int8", "nf4"])
@pytest.mark.parametrize("name", DECODERS)
def test_files_cross_between_the_libraries(tmp_path, name, how):
    saved(DECODERS[name](), tmp_path / "whole")
    ids = torch.arange(5, 25)[None]
    ours = formers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "whole", quantization_config=formers.BitsAndBytesConfig(**how)
    )
    ours.save_pretrained(tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    for leaf in theirs.modules():
        leaf.support_avx512bf16_for_cpu = False  # else the library computes in bfloat16 where it can
    again = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        logits = ours(ids).logits
        assert torch.equal(again(ids).logits, logits)
        # the library reads activations in half precision, and weights before it brings them to 8 bits
        near = 0.01 if "load_in_8bit" in how else 1e-5
        assert far(theirs(ids).logits, logits) < near
    config = transformers.BitsAndBytesConfig(**how)
    fresh = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "whole", quantization_config=config, dtype=torch.float32
    )
    fresh.save_pretrained(tmp_path / "theirs")
    back = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        assert far(back(ids).logits, logits) < near


def test_any_family_is_loaded_in_eight_bits(tmp_path):
    shapes = {"vocab_size": 60, "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 96}
    heads = {**shapes, "num_attention_heads": 4}
    cases = [
        (formers.AutoModelForSequenceClassification, formers.BertConfig(**heads), 6),
        (formers.AutoModelForCausalLM, formers.MixtralConfig(**heads, num_key_value_heads=2), 4 + 1 + 8 * 3),
        (formers.AutoModelForCausalLM, formers.MambaConfig(**shapes, state_size=8), 4),
        (
            formers.AutoModelForSeq2SeqLM,
            formers.T5Config(vocab_size=60, d_model=64, d_kv=16, d_ff=96, num_layers=1, num_heads=4),
            4 + 1 + 8 + 1,
        ),
    ]
    ids = torch.arange(5, 25).view(2, 10)
    mask = torch.ones_like(ids)
    mask[0, 7:] = 0
    for auto, config, least in cases:
        whole = saved(config, tmp_path / config.model_type, auto)
        packed = auto.from_pretrained(tmp_path / config.model_type, load_in_8bit=True)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if whole.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = ids
        with torch.no_grad():
            assert far(packed(**inputs).logits[1], whole(**inputs).logits[1]) < 0.08, config.model_type
        count = sum(isinstance(one, PackedLinear) for one in packed.modules())
        assert count >= least, config.model_type
        assert packed.get_output_embeddings() is None or not isinstance(
            packed.get_output_embeddings(), PackedLinear
        )


def test_a_model_in_fewer_bits_writes(tmp_path):
    whole = saved(DECODERS["llama"](), tmp_path)
    ids = torch.arange(5, 15).view(2, 5)
    packed = formers.AutoModelForCausalLM.from_pretrained(tmp_path, load_in_8bit=True)
    one = packed.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert torch.equal(one[:1], packed.generate(ids[:1], max_new_tokens=6, do_sample=False, pad_token_id=0))
    assert packed.get_memory_footprint() < 0.5 * whole.get_memory_footprint()


def test_leaves_that_are_named_stay_as_they_are(tmp_path):
    saved(DECODERS["llama"](), tmp_path / "whole")
    config = formers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["lm_head", "q_proj"])
    model = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "whole", quantization_config=config)
    attention = model.model.layers[0].self_attn
    assert type(attention.q_proj) is torch.nn.Linear
    assert type(attention.k_proj) is Linear8bit
    model.save_pretrained(tmp_path / "small")
    again = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "small")
    assert type(again.model.layers[0].self_attn.q_proj) is torch.nn.Linear


# what cannot be


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"load_in_8bit": True, "load_in_4bit": True}, "exclude each other"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf5"}, "nf5"),
        ({"load_in_8bit": True, "llm_int8_has_fp16_weight": True}, "half precision"),
        ({"load_in_8bit": True, "llm_int8_threshold": -1.0}, "0 or more"),
        ({"load_in_4bit": True, "bnb_4bit_quant_storage": "bfloat16"}, "uint8"),
    ],
)
def test_a_config_that_means_nothing_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        formers.BitsAndBytesConfig(**fields)


def test_two_wishes_and_unknown_methods_are_refused(tmp_path):
    saved(DECODERS["llama"](), tmp_path)
    load = formers.AutoModelForCausalLM.from_pretrained
    with pytest.raises(ValueError, match="not both"):
        load(tmp_path, load_in_8bit=True, quantization_config=formers.BitsAndBytesConfig(load_in_8bit=True))
    with pytest.raises(ValueError, match="by 'eetq' are not read"):
        load(tmp_path, quantization_config={"quant_method": "eetq", "weights": "int8"})
    with pytest.raises(TypeError, match="BitsAndBytesConfig or a record"):
        load(tmp_path, quantization_config="int8")
    assert load(tmp_path, load_in_8bit=False, load_in_4bit=None) is not None
