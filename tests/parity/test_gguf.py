"""GGUF files: what they hold is what the reference reads in them, or what it wrote."""

from __future__ import annotations

import pytest
import torch
import transformers

import formers
import gguf_zoo
from formers.jobs.predictor import model_name
from formers.quantization.groups import GroupedLinear

# the reference leaves sizes, or the activation, of these unread, and takes its defaults
_UNREAD_THERE = ("qwen2moe", "qwen3moe", "t5")
_TEXTS = [
    "Hello world",
    "  two  spaces ",
    "é ▁ 漢字 🙂",
    "a\n\nb\t1234 don't",
    "<s>x</s> <sep>y",
    "",
    "I'LL 3 ÀB",
]


def _logits(model, two):
    ids = torch.arange(24).reshape(2, 12) % 45 + 3
    more = {"decoder_input_ids": ids[:, :5]} if two else {}
    with torch.no_grad():
        return model(input_ids=ids, **more).logits


def _loaded(library, folder, name, two):
    kind = "AutoModelForSeq2SeqLM" if two else "AutoModelForCausalLM"
    return getattr(library, kind).from_pretrained(folder, gguf_file=name)


@pytest.mark.parametrize("architecture", gguf_zoo.SHAPES)
def test_a_file_is_read_as_the_model_that_it_was_made_of(tmp_path, architecture):
    model, two = gguf_zoo.write(tmp_path / "x.gguf", architecture), architecture == "t5"
    found = _logits(_loaded(formers, tmp_path, "x.gguf", two), two)
    wanted = model if architecture in _UNREAD_THERE else _loaded(transformers, tmp_path, "x.gguf", two)
    torch.testing.assert_close(found, _logits(wanted, two), atol=2e-5, rtol=0)


def _divisors(model):
    rotary = model.model.rotary_emb
    return {"rope_freqs.weight": 10000.0 ** -(torch.arange(0, 16, 2) / 16) / rotary.inv_freq}


def test_frequencies_that_a_file_divides_by_a_tensor_are_those_of_the_rule_behind_it(tmp_path):
    rule = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope = {**rule, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
    model = gguf_zoo.write(tmp_path / "x.gguf", "llama", beside=_divisors, rope_parameters=rope)
    found = _loaded(formers, tmp_path, "x.gguf", False)
    torch.testing.assert_close(_logits(found, False), _logits(model, False), atol=2e-5, rtol=0)


@pytest.mark.parametrize("trained", [8, 32])  # shorter than the texts, and longer
def test_short_and_long_divisors_of_a_file_are_both_read(tmp_path, trained):
    lists = {"short_factor": [1.0 + i / 9 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]}
    rope = {"rope_type": "longrope", **lists, "rope_theta": 10000.0}
    lengths = {"original_max_position_embeddings": trained}
    model = gguf_zoo.write(
        tmp_path / "x.gguf",
        "phi3",
        beside=lambda _: {f"rope_factors_{name[:-7]}.weight": value for name, value in lists.items()},
        trained=trained,
        rope_parameters={**rope, **lengths},
        **lengths,
    )
    found = _loaded(formers, tmp_path, "x.gguf", False)
    torch.testing.assert_close(_logits(found, False), _logits(model, False), atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"])
def test_numbers_of_every_type_are_those_that_the_reference_reads(tmp_path, kind):
    gguf_zoo.write(tmp_path / "x.gguf", "llama", kind, **gguf_zoo.WIDE)
    ours, theirs = (_loaded(library, tmp_path, "x.gguf", False) for library in (formers, transformers))
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def _same_ids(tmp_path):
    ours = formers.AutoTokenizer.from_pretrained(tmp_path / "x.gguf")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf")
    for text in _TEXTS:
        ids = ours(text)["input_ids"]
        assert ids == theirs(text)["input_ids"], text
        assert ours.decode(ids) == theirs.decode(ids), text
    return ours


def _sentence_pieces():
    words = [
        "▁",
        "e",
        "l",
        "o",
        "H",
        "w",
        "r",
        "d",
        "el",
        "lo",
        "▁w",
        "or",
        "ello",
        "▁H",
        "▁Hello",
        "▁world",
        "ld",
    ]
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    tokens = ["<unk>", "<s>", "</s>", "<sep>", *bytes_, *words, "worl", "world", "  "]
    types = [2, 3, 3, 4, *[6] * 256, *[1] * (len(tokens) - 260)]
    return tokens, [-float(i) for i in range(len(tokens))], types


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_sentence_pieces_of_a_file_give_the_ids_of_the_reference(tmp_path, architecture):
    tokens, scores, types = _sentence_pieces()
    if architecture == "gemma2":
        tokens[:3] = ["<pad>", "<eos>", "<bos>"]
        tokens[4:4] = ["<unk>", "<mask>"]
        scores, types = [-float(i) for i in range(len(tokens))], [*types[:4], 2, 4, *types[4:]]
    ends = {"bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 0}
    if architecture == "gemma2":
        ends = {"bos_token_id": 2, "eos_token_id": 1, "unk_token_id": 4, "pad_token_id": 0}
    path = tmp_path / "x.gguf"
    template = {"chat_template": "{% for m in messages %}[{{ m.content }}]{% endfor %}"}
    gguf_zoo.write_tokenizer(path, architecture, "llama", tokens, scores, types, **ends, **template)
    ours = _same_ids(tmp_path)
    assert ours.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "[Hi]"


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "tekken", "gpt-4o"])
def test_pairs_of_bytes_are_cut_as_the_file_says(tmp_path, pre):
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = ["1 2", "12 3", "l l", "Ġ w", "d o", "do n", "e l", "' t", "don 't", "' L", "'L L"]
    tokens = [*letters, *(merge.replace(" ", "") for merge in merges), "<s>", "</s>", "<sep>"]
    types = [*[1] * (len(tokens) - 3), 3, 3, 4]
    ends = {"bos_token_id": len(tokens) - 3, "eos_token_id": len(tokens) - 2}
    path = tmp_path / "x.gguf"
    more = {"token_merges": merges, "tokenizer_pre": pre, **ends}
    gguf_zoo.write_tokenizer(path, "qwen2", "gpt2", tokens, None, types, **more)
    _same_ids(tmp_path)


def test_a_unigram_file_gives_the_ids_of_the_reference(tmp_path):
    tokens = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "H",
        "e",
        "l",
        "o",
        "▁Hello",
        "▁wo",
        "r",
        "d",
        "[PAD12]",
        "[PAD13]",
    ]
    types = [3, 3, 2, *[1] * 9, 5, 5]
    ends = {"eos_token_id": 1, "unk_token_id": 2, "pad_token_id": 0}
    scores = [-float(i) for i in range(len(tokens))]
    gguf_zoo.write_tokenizer(tmp_path / "x.gguf", "t5", "t5", tokens, scores, types, **ends)
    _same_ids(tmp_path)


def test_a_file_is_a_model_by_its_own_name(tmp_path):
    gguf_zoo.write(tmp_path / "x.gguf", "llama")
    path = str(tmp_path / "x.gguf")
    assert formers.AutoConfig.from_pretrained(path).architectures == ["LlamaForCausalLM"]
    assert isinstance(formers.LlamaForCausalLM.from_pretrained(path), formers.LlamaForCausalLM)
    pipe = formers.pipeline("text-generation", model=path)
    assert pipe("ab", max_new_tokens=2, do_sample=False)[0]["generated_text"].startswith("ab")
    assert model_name(path) == path  # what commands take


def _with(data, at, value):
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-200], "truncated"),
        (lambda data: data[:300], "truncated or damaged"),
        (lambda data: b"PK\3\4" + data[4:], "is no GGUF file"),
        (lambda data: _with(data, 4, b"\1"), "GGUF of version 1"),
        (lambda data: data.replace(b"llama", b"xlama"), "'xlama' is not read; .* Read are bloom, falcon, "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path, spoil, says):
    gguf_zoo.write(tmp_path / "x.gguf", "llama")
    path = tmp_path / "bad.gguf"
    path.write_bytes(spoil((tmp_path / "x.gguf").read_bytes()))
    with pytest.raises((OSError, ValueError), match=says):
        formers.AutoModelForCausalLM.from_pretrained(path)


@pytest.mark.filterwarnings("ignore::formers.core.notices.Notice")
@pytest.mark.parametrize("architecture", ["qwen2", "xlama"])
def test_a_class_of_another_kind_of_model_than_the_files_is_told_apart(tmp_path, architecture):
    gguf_zoo.write(tmp_path / "x.gguf", "qwen2")
    data = (tmp_path / "x.gguf").read_bytes()
    path = tmp_path / "other.gguf"
    path.write_bytes(data.replace(b"qwen2", architecture.encode()))
    said = f"holds the config of a '{architecture}' model; LlamaConfig is for 'llama'"
    with (
        pytest.warns(formers.core.notices.Notice, match=said),
        pytest.raises(RuntimeError, match=r"(?s)other\.gguf do not fit.*is this the right model class"),
    ):
        formers.LlamaForCausalLM.from_pretrained(path)


def test_a_type_of_numbers_that_nobody_knows_is_named(tmp_path):
    gguf_zoo.write(tmp_path / "x.gguf", "llama")
    name = b"output_norm.weight"
    data = (tmp_path / "x.gguf").read_bytes()
    at = data.index(name) + len(name) + 4 + 8  # axes, one size
    (tmp_path / "bad.gguf").write_bytes(_with(data, at, (77).to_bytes(4, "little")))
    with pytest.raises(OSError, match=r"'output_norm.weight' is stored as type 77, which is not read"):
        formers.AutoModelForCausalLM.from_pretrained(tmp_path / "bad.gguf")


@pytest.mark.parametrize(("kind", "most", "near"), [("Q8_0", 0.55, 1e-5), ("Q4_0", 0.32, 2e-2)])
def test_a_file_in_whole_numbers_stays_packed_where_that_is_asked(tmp_path, kind, most, near):
    gguf_zoo.write(tmp_path / "x.gguf", "llama", kind, **gguf_zoo.WIDE)
    whole = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "x.gguf")
    ours = formers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "x.gguf", quantization_config=formers.GgufConfig()
    )
    found, wanted = _logits(ours, False), _logits(whole, False)  # after a product in few bits
    assert float((found - wanted).norm() / wanted.norm()) < near
    leaves = [leaf for leaf in ours.modules() if isinstance(leaf, GroupedLinear)]
    assert len(leaves) == 8
    held = sum(
        leaf.packed_bytes + sum(x.nbytes for x in (*leaf.buffers(), *leaf.parameters())) for leaf in leaves
    )
    assert held <= most * 2 * sum(leaf.in_features * leaf.out_features for leaf in leaves)
    for path, leaf in ours.named_modules():
        if isinstance(leaf, GroupedLinear):  # bfloat16 has 8 bits of a scale
            values = whole.get_submodule(path).weight
            off = 0 if kind == "Q8_0" else 2**-8
            torch.testing.assert_close(leaf.dequantized(), values, atol=0, rtol=off)
    ours.save_pretrained(tmp_path / "kept")
    again = formers.AutoModelForCausalLM.from_pretrained(tmp_path / "kept")
    assert torch.equal(_logits(again, False), found)


def test_a_folder_has_no_numbers_of_a_gguf_file_to_keep(tmp_path):
    formers.LlamaForCausalLM(formers.LlamaConfig(**gguf_zoo.SHAPES["llama"][1])).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="GgufConfig keeps the numbers of a GGUF file"):
        formers.LlamaForCausalLM.from_pretrained(tmp_path, quantization_config=formers.GgufConfig())
