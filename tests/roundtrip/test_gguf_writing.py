"""GGUF files that are written: what other readers find in them, and what comes back."""

from __future__ import annotations

import gguf
import pytest
import torch
import transformers

import formers
import gguf_zoo
from formers.checkpoints.gguf_writing import packed
from formers.model.gguf_saving import save_gguf
from formers.models.registry import called_in_gguf


def _made(folder, architecture, **fields):
    """A model of ours with the weights of the reference's."""
    gguf_zoo.reference(architecture, **fields).save_pretrained(folder)
    kind = "AutoModelForSeq2SeqLM" if architecture == "t5" else "AutoModelForCausalLM"
    return getattr(formers, kind).from_pretrained(folder)


def _logits(model, two):
    ids = torch.arange(24).reshape(2, 12) % 45 + 3
    with torch.no_grad():
        return model(input_ids=ids, **({"decoder_input_ids": ids[:, :5]} if two else {})).logits


@pytest.mark.parametrize("architecture", gguf_zoo.SHAPES)
def test_a_written_file_is_read_as_the_same_model(tmp_path, architecture):
    model = _made(tmp_path / "made", architecture)
    called = called_in_gguf(model.config.model_type)
    assert called == architecture
    save_gguf(model, tmp_path / "x.gguf", "f32", called)
    again = type(model).from_pretrained(tmp_path / "x.gguf")
    torch.testing.assert_close(
        _logits(again, architecture == "t5"), _logits(model, architecture == "t5"), atol=1e-5, rtol=0
    )


def test_a_rule_of_frequencies_is_written_as_what_divides_them(tmp_path):
    rule = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope = {**rule, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
    model = _made(tmp_path / "made", "llama", rope_parameters=rope)
    save_gguf(model, tmp_path / "x.gguf", "f32", "llama")
    again = formers.LlamaForCausalLM.from_pretrained(tmp_path / "x.gguf")
    torch.testing.assert_close(_logits(again, False), _logits(model, False), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0", "q4_0", "q4_k_m"])
def test_numbers_of_a_written_file_are_those_that_the_package_reads(tmp_path, kind):
    model = _made(tmp_path / "made", "llama", **gguf_zoo.WIDE)
    save_gguf(model, tmp_path / "x.gguf", kind, "llama")
    again = formers.LlamaForCausalLM.from_pretrained(tmp_path / "x.gguf")
    held = {one.name: one for one in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    for ours, name in (
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight"),
        ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"),
    ):
        found, one = again.state_dict()[ours], held[name]
        assert torch.equal(found, torch.from_numpy(gguf.quants.dequantize(one.data, one.tensor_type)))
        off = (found - model.state_dict()[ours]).norm() / found.norm()
        assert off < {"f16": 1e-3, "bf16": 4e-3, "q8_0": 0.01, "q4_0": 0.12, "q4_k_m": 0.08}[kind], (
            name,
            off,
        )


def test_blocks_whose_numbers_are_all_zero_or_tiny_stay_so():
    x = torch.zeros(2, 512)
    x[1, :256] = 1e-9
    for kind in ("Q4_K", "Q5_K", "Q6_K"):
        back = gguf.quants.dequantize(packed(x, kind).numpy(), gguf.GGMLQuantizationType[kind])
        assert abs(back).max() <= 1e-8, kind


@pytest.mark.parametrize("kind", ["pieces", "bytes"])
def test_a_tokenizer_comes_back_with_its_template(tmp_path, kind):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    if kind == "bytes":
        vocab = [*letters, "el", "lo", "Ġw", "<s>", "</s>"]
        backend = Tokenizer(
            models.BPE({t: i for i, t in enumerate(vocab)}, [("e", "l"), ("l", "o"), ("Ġ", "w")])
        )
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    else:
        bytes_ = [f"<0x{i:02X}>" for i in range(256)]
        vocab = ["<unk>", "<s>", "</s>", *bytes_, "▁", *"Helowrd", "el", "lo", "▁w"]
        merges = [("e", "l"), ("l", "o"), ("▁", "w")]
        ids = {t: i for i, t in enumerate(vocab)}
        backend = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        steps = [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
        backend.decoder = decoders.Sequence(steps)
    tokenizer = formers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        **({} if kind == "bytes" else {"unk_token": "<unk>"}),
    )
    tokenizer.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    architecture = "qwen2" if kind == "bytes" else "llama"
    model = _made(tmp_path / "made", architecture, vocab_size=len(vocab) + 3)
    save_gguf(model, tmp_path / "x.gguf", "f32", architecture, tokenizer)
    again = formers.AutoTokenizer.from_pretrained(tmp_path / "x.gguf")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf")
    for text in ("Hello  world", "héllo\n 12"):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert theirs(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "[Hi]"


def test_what_a_file_cannot_say_is_refused_before_it_is_written(tmp_path):
    model = _made(tmp_path / "made", "llama", hidden_act="gelu")
    with pytest.raises(ValueError, match="cannot say that activation is 'gelu'"):
        save_gguf(model, tmp_path / "x.gguf", "f32", "llama")
    assert not (tmp_path / "x.gguf").exists()
    with pytest.raises(ValueError, match=r"are written of .*, not of 'bert'"):
        called_in_gguf("bert")
