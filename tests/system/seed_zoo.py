"""Checkpoints of a few thousand weights under the names that tutorials use: their code runs as printed."""

from __future__ import annotations

from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "i love hate this using transformers the api is so clean hello how are you am fine thank and not product "
    "great service terrible experience average quality movie was restaurant awesome what capital of france a "
    "country in europe its paris city refund request card charged twice billing dispute on invoice my name "
    "john live new york short text much longer first second third once upon time , . ? ! ' #"
)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = tuple(
    dict.fromkeys([*SPECIAL, *WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS)])
)


def build(folder: Path) -> Path:
    """Write the checkpoints; each folder is named as its original is on the Hub."""
    import torch

    torch.manual_seed(0)
    _encoders(folder)
    _decoders(folder)
    _sequence_to_sequence(folder)
    return folder


def _encoders(folder: Path) -> None:
    from formers import (
        BertConfig,
        BertForPreTraining,
        DistilBertConfig,
        DistilBertForMaskedLM,
        DistilBertForSequenceClassification,
    )

    bert = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=512,
    )  # fmt: skip
    _with_wordpiece(folder / "bert-base-uncased", BertForPreTraining(bert), "BertTokenizer")
    small = {"vocab_size": len(VOCABULARY), "dim": 24, "n_layers": 6, "n_heads": 12, "hidden_dim": 32}
    for name in ("distilbert-base-uncased", "distilbert-base-cased", "distilbert/distilbert-base-cased"):
        _with_wordpiece(
            folder / name, DistilBertForMaskedLM(DistilBertConfig(**small)), "DistilBertTokenizer"
        )
    names = {0: "NEGATIVE", 1: "POSITIVE"}
    tuned = DistilBertConfig(**small, id2label=names, initializer_range=0.4)
    _with_wordpiece(
        folder / "distilbert-base-uncased-finetuned-sst-2-english",
        DistilBertForSequenceClassification(tuned),
        "DistilBertTokenizer",
    )


def _with_wordpiece(folder: Path, model, tokenizer: str) -> None:
    import formers

    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    made = getattr(formers, tokenizer)(vocab_file=folder / "vocab.txt", model_max_length=512)
    made.save_pretrained(folder)


def _decoders(folder: Path) -> None:
    import torch
    from tokenizers import ByteLevelBPETokenizer

    from formers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, LlamaConfig, LlamaForCausalLM

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        [WORDS], vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False
    )
    gpt2 = folder / "gpt2"
    GPT2LMHeadModel(
        GPT2Config(vocab_size=trained.get_vocab_size(), n_embd=24, n_layer=2, n_head=2, n_positions=64)
    ).save_pretrained(gpt2)
    trained.save_model(str(gpt2))
    tokenizer = GPT2Tokenizer(gpt2 / "vocab.json", gpt2 / "merges.txt")
    tokenizer.save_pretrained(gpt2)
    llama = folder / "meta-llama" / "Llama-2-7b-chat-hf"
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=trained.get_vocab_size(),
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=32,
            max_position_embeddings=64,
        )  # fmt: skip
    ).to(torch.bfloat16).save_pretrained(llama)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tokenizer.save_pretrained(llama)


def _sequence_to_sequence(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import Unigram
    from tokenizers.processors import TemplateProcessing

    from formers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        *(f"▁{word}" for word in dict.fromkeys(WORDS.split())),
        *LETTERS,
        ":",
    ]
    made = Tokenizer(Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    t5 = folder / "t5-small"
    T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(pieces),
            d_model=24,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=3,
            decoder_start_token_id=0,
        )
    ).save_pretrained(t5)
    T5Tokenizer(tokenizer_object=made, extra_ids=0, model_max_length=512).save_pretrained(t5)
