"""Tiny checkpoints under the names that outside test suites ask for, written by transformers itself.

    python outside_zoo.py folder          # in an environment that has transformers

Weights are random; tokenizers learn their vocabulary from a few sentences. `datasets/` has small data sets.
"""

from __future__ import annotations

import codecs
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = (
    "the a of and to in is was for on with this that it as be are by from at or an not have has had he she "
    "they i you we who which what where when how why all one two three more some no so if but out up about "
    "into over after love hate good bad great terrible man woman child dog cat playing eating walking piano "
    "guitar movie film book happy sad weather sunny driving stadium food market house home city world people "
    "time day year "
    "paris berlin france germany capital president science learning machine deep model language data neural "
    "network training test sentence similarity search query document answer question red green blue small big"
)
TEXTS = [" ".join(WORDS.split()[i : i + 12]) + "." for i in range(0, 150, 3)]
DIMS = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "hidden_size": 32}
GROUPED = {**DIMS, "num_key_value_heads": 2, "max_position_embeddings": 512}
SIZE = 1024


def _bytes_tokenizer(**special: str) -> Any:
    """Pieces of bytes, as GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    marks = list(dict.fromkeys(special.values()))
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - 8,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=512, **special)


def _pieces_tokenizer() -> Any:
    """Pieces by scores, as T5's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    marks = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=marks, unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def _word_tokenizer(limit: int = 512) -> Any:
    """Words and their letters, as BERT's."""
    from transformers import BertTokenizer

    letters = [chr(i) for i in range(33, 127) if not chr(i).isupper()]
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [word for word in dict.fromkeys(WORDS.split()) if len(word) > 1]
    tokens = [*marks, *letters, *words, *(f"##{one}" for one in letters)]
    return BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}, model_max_length=limit)


GPT = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
OPT = {"pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"}
BART = {**GPT, "mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}
_OPT_SIZES = {
    **{"hidden_size": 16, "num_hidden_layers": 5, "num_attention_heads": 4, "ffn_dim": 4, "vocab_size": SIZE},
    **{"word_embed_proj_dim": 16, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1},
    "eos_token_id": 1,
}
_GPT2 = {"n_embd": 32, "n_layer": 5, "n_head": 4, "n_positions": 512, "vocab_size": SIZE}
_ENDS = {"bos_token_id": 0, "eos_token_id": 1}
_GPT2_ENDS = {**_GPT2, **_ENDS}
_T5: dict[str, Any] = {
    **{"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 5, "num_heads": 4, "vocab_size": SIZE},
    **{"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1},
}
_BART: dict[str, Any] = {
    **{"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4},
    **{"decoder_attention_heads": 4, "encoder_ffn_dim": 4, "decoder_ffn_dim": 4, "vocab_size": SIZE},
    **{"max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 3},
    **{"decoder_start_token_id": 1, "forced_eos_token_id": 1},
}
_ROBERTA = {**DIMS, "vocab_size": SIZE, "max_position_embeddings": 514, "type_vocab_size": 1}
_ROBERTA_ENDS = {**_ROBERTA, "pad_token_id": 3, "bos_token_id": 0, "eos_token_id": 1}
_LLAMA = {**GROUPED, "vocab_size": SIZE, **_ENDS}
_WORDS = {**DIMS, "vocab_size": 400}
_DISTIL = {"vocab_size": 400, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
_MIXTRAL = {**_LLAMA, "num_local_experts": 4}
_QWEN_MOE = {**_LLAMA, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}

# name -> class of the model, fields of its config, what makes its tokenizer
Row = tuple[str, dict[str, Any], Callable[[], Any] | None]
GPT_TOKENS: Callable[[], Any] = lambda: _bytes_tokenizer(**GPT)  # noqa: E731
OPT_TOKENS: Callable[[], Any] = lambda: _bytes_tokenizer(**OPT)  # noqa: E731
BART_TOKENS: Callable[[], Any] = lambda: _bytes_tokenizer(**BART)  # noqa: E731
_P, _H, _T = "peft-internal-testing/", "hf-internal-testing/", "trl-internal-testing/"
MODELS: dict[str, Row] = {
    **dict.fromkeys(
        (
            f"{_P}tiny-random-OPTForCausalLM",
            f"{_H}tiny-random-OPTForCausalLM",
            f"{_P}tiny-random-OPTForCausalLM-extended-vocab",
            f"{_P}opt-tokenizer-revision",
        ),
        ("OPTForCausalLM", _OPT_SIZES, OPT_TOKENS),
    ),
    f"{_P}opt-125m": ("OPTForCausalLM", {**_OPT_SIZES, "num_hidden_layers": 12}, OPT_TOKENS),
    "facebook/opt-125m": ("OPTForCausalLM", {**_OPT_SIZES, "num_hidden_layers": 12}, OPT_TOKENS),
    **dict.fromkeys(
        (f"{_P}tiny-random-GPT2LMHeadModel", f"{_P}tiny-random-gpt2", f"{_H}tiny-random-gpt2", "gpt2"),
        ("GPT2LMHeadModel", _GPT2_ENDS, GPT_TOKENS),
    ),
    f"{_P}tiny-random-GPTJForCausalLM": (
        "GPTJForCausalLM",
        {**_GPT2_ENDS, "rotary_dim": 4, "n_inner": 64},
        GPT_TOKENS,
    ),
    f"{_P}tiny-random-GPTNeoXForCausalLM": (
        "GPTNeoXForCausalLM",
        {**DIMS, "vocab_size": SIZE, **_ENDS},
        GPT_TOKENS,
    ),
    f"{_P}tiny-random-BloomForCausalLM": (
        "BloomForCausalLM",
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": SIZE, **_ENDS, "pad_token_id": 3},
        GPT_TOKENS,
    ),
    **dict.fromkeys(
        (
            f"{_T}tiny-random-LlamaForCausalLM",
            f"{_P}tiny-random-LlamaForCausalLM",
            f"{_H}tiny-random-LlamaForCausalLM",
        ),
        ("LlamaForCausalLM", _LLAMA, GPT_TOKENS),
    ),
    f"{_T}tiny-LlamaForSequenceClassification-3.2": (
        "LlamaForSequenceClassification",
        {**_LLAMA, "pad_token_id": 3},
        GPT_TOKENS,
    ),
    f"{_H}tiny-random-MistralForCausalLM": ("MistralForCausalLM", _LLAMA, GPT_TOKENS),
    f"{_P}tiny-dummy-qwen2": ("Qwen2ForCausalLM", _LLAMA, GPT_TOKENS),
    "Qwen/Qwen2-0.5B": ("Qwen2ForCausalLM", _LLAMA, GPT_TOKENS),
    f"{_T}tiny-Qwen3ForCausalLM": ("Qwen3ForCausalLM", {**_LLAMA, "head_dim": 8}, GPT_TOKENS),
    f"{_T}tiny-Qwen3MoeForCausalLM": ("Qwen3MoeForCausalLM", _QWEN_MOE, GPT_TOKENS),
    f"{_H}tiny-qwen3-moe": ("Qwen3MoeForCausalLM", _QWEN_MOE, GPT_TOKENS),
    f"{_H}Mixtral-tiny": ("MixtralForCausalLM", _MIXTRAL, GPT_TOKENS),
    f"{_H}tiny-random-Gemma3ForCausalLM": (
        "Gemma3ForCausalLM",
        {**_LLAMA, "head_dim": 8, "pad_token_id": 3, "sliding_window": 512},
        GPT_TOKENS,
    ),
    f"{_T}tiny-GptOssForCausalLM": (
        "GptOssForCausalLM",
        {**_LLAMA, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
        GPT_TOKENS,
    ),
    **dict.fromkeys(
        (
            f"{_P}tiny-random-T5ForConditionalGeneration-calibrated",
            f"{_P}tiny-random-T5ForConditionalGeneration",
            f"{_P}tiny-random-t5",
            "google/flan-t5-small",
            "google/flan-t5-base",
        ),
        ("T5ForConditionalGeneration", _T5, _pieces_tokenizer),
    ),
    f"{_P}tiny-random-BartForConditionalGeneration": ("BartForConditionalGeneration", _BART, BART_TOKENS),
    **dict.fromkeys(
        (f"{_P}tiny-random-BertModel", f"{_H}tiny-random-BertModel", "prajjwal1/bert-tiny"),
        ("BertModel", _WORDS, _word_tokenizer),
    ),
    f"{_P}tiny-random-BertForSequenceClassification": (
        "BertForSequenceClassification",
        _WORDS,
        _word_tokenizer,
    ),
    f"{_P}tiny-random-RobertaModel": ("RobertaModel", _ROBERTA_ENDS, BART_TOKENS),
    f"{_P}tiny-random-RobertaForSequenceClassification": (
        "RobertaForSequenceClassification",
        _ROBERTA_ENDS,
        BART_TOKENS,
    ),
    f"{_P}tiny-random-DebertaModel": ("DebertaModel", {**_ROBERTA, "type_vocab_size": 0}, BART_TOKENS),
    f"{_P}tiny-random-DebertaV2Model": ("DebertaV2Model", {**_ROBERTA, "type_vocab_size": 0}, BART_TOKENS),
    f"{_P}tiny-random-ResNetForImageClassification": (
        "ResNetForImageClassification",
        {"embedding_size": 10, "hidden_sizes": [10, 20, 30, 40], "depths": [1, 1, 2, 1]},
        None,
    ),
    "distilbert-base-uncased": (
        "DistilBertForMaskedLM",
        {**_DISTIL, "dim": 768, "n_heads": 12},
        _word_tokenizer,
    ),
    # transformers-interpret's
    "distilbert-base-uncased-finetuned-sst-2-english": (
        "DistilBertForSequenceClassification",
        {**_DISTIL, "id2label": {0: "NEGATIVE", 1: "POSITIVE"}},
        _word_tokenizer,
    ),
    "mrm8488/bert-mini-finetuned-age_news-classification": (
        "BertForSequenceClassification",
        {**_WORDS, "id2label": {0: "World", 1: "Sports", 2: "Business", 3: "Sci/Tech"}},
        _word_tokenizer,
    ),
    "cross-encoder/ms-marco-TinyBERT-L-2-v2": (
        "BertForSequenceClassification",
        {**_WORDS, "num_labels": 1},
        _word_tokenizer,
    ),
    "typeform/distilbert-base-uncased-mnli": (
        "DistilBertForSequenceClassification",
        {**_DISTIL, "id2label": {0: "ENTAILMENT", 1: "NEUTRAL", 2: "CONTRADICTION"}},
        _word_tokenizer,
    ),
    "mrm8488/bert-tiny-5-finetuned-squadv2": ("BertForQuestionAnswering", _WORDS, _word_tokenizer),
    "dslim/bert-base-NER": (
        "BertForTokenClassification",
        {**_WORDS, "id2label": dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))},
        _word_tokenizer,
    ),
    "elastic/distilbert-base-cased-finetuned-conll03-english": (
        "DistilBertForTokenClassification",
        {**_DISTIL, "id2label": dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))},
        _word_tokenizer,
    ),
    "sshleifer/tiny-gpt2": ("GPT2LMHeadModel", _GPT2_ENDS, GPT_TOKENS),
    "lysandre/tiny-bert-random": ("BertForPreTraining", _WORDS, _word_tokenizer),
    # spacy-transformers' and accelerate's
    f"{_H}tiny-random-DistilBertModel": ("DistilBertModel", _DISTIL, _word_tokenizer),
    "sgugger/tiny-distilbert-classification": (
        "DistilBertForSequenceClassification",
        _DISTIL,
        _word_tokenizer,
    ),
    "roberta-base": ("RobertaModel", _ROBERTA_ENDS, BART_TOKENS),
    "bigscience/bloom-560m": (
        "BloomForCausalLM",
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": SIZE, **_ENDS, "pad_token_id": 3},
        GPT_TOKENS,
    ),
    # sentence-transformers', setfit's and keybert's
    "distilroberta-base": ("RobertaModel", _ROBERTA_ENDS, BART_TOKENS),
    **{
        name: ("BertForSequenceClassification", {**_WORDS, "num_labels": 1}, _word_tokenizer)
        for name in (
            "cross-encoder-testing/reranker-bert-tiny-gooaq-bce",
            "cross-encoder/ms-marco-MiniLM-L6-v2",
            "cross-encoder/ms-marco-TinyBERT-L2-v2",
        )
    },
    "cross-encoder/stsb-distilroberta-base": (
        "RobertaForSequenceClassification",
        {**_ROBERTA_ENDS, "num_labels": 1},
        BART_TOKENS,
    ),
    "cross-encoder/nli-MiniLM2-L6-H768": (
        "RobertaForSequenceClassification",
        {**_ROBERTA_ENDS, "num_labels": 3},
        BART_TOKENS,
    ),
}
# a model that makes vectors of sentences -> class, sizes
SENTENCES: dict[str, tuple[str, dict[str, Any]]] = {
    "sentence-transformers-testing/stsb-bert-tiny-safetensors": (
        "BertModel",
        {**_WORDS, "hidden_size": 128, "num_attention_heads": 2},
    ),
    "sentence-transformers/paraphrase-albert-small-v2": (
        "AlbertModel",
        {**_WORDS, "hidden_size": 768, "num_attention_heads": 12, "embedding_size": 32},
    ),
    "sentence-transformers/paraphrase-MiniLM-L3-v2": ("BertModel", {**_WORDS, "hidden_size": 384}),
    "sentence-transformers/paraphrase-MiniLM-L6-v2": ("BertModel", {**_WORDS, "hidden_size": 384}),
    "sentence-transformers/all-MiniLM-L6-v2": ("BertModel", {**_WORDS, "hidden_size": 384}),
    "sentence-transformers/paraphrase-distilroberta-base-v1": ("BertModel", {**_WORDS, "hidden_size": 768}),
}
SPARSE = ("sparse-encoder-testing/splade-bert-tiny-nq",)


def write(folder: Path) -> None:
    """Write all of them."""
    import torch
    import transformers

    for name, (kind, fields, tokens) in MODELS.items():
        torch.manual_seed(0)
        _save(transformers, folder / name, kind, fields, tokens)
    for name, (kind, fields) in SENTENCES.items():
        torch.manual_seed(0)
        _save(transformers, folder / name, kind, fields, _word_tokenizer)
        _write_json(folder / name / "modules.json", _modules("Transformer", "Pooling"))
        _write_json(
            folder / name / "1_Pooling" / "config.json",
            {"word_embedding_dimension": fields["hidden_size"], "pooling_mode_mean_tokens": True},
        )
        _write_json(
            folder / name / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False}
        )
    for name in SPARSE:
        torch.manual_seed(0)
        _save(transformers, folder / name, "BertForMaskedLM", _WORDS, _word_tokenizer)
        rows = _modules("MLMTransformer", "SpladePooling")
        for row in rows:
            row["type"] = f"sentence_transformers.sparse_encoder.models.{row['type'].rpartition('.')[2]}"
        _write_json(folder / name / "modules.json", rows)
        _write_json(
            folder / name / "1_SpladePooling" / "config.json",
            {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": 400},
        )
        _write_json(folder / name / "sentence_bert_config.json", {"max_seq_length": 128})
        _write_json(
            folder / name / "config_sentence_transformers.json",
            {"model_type": "SparseEncoder", "prompts": {}, "similarity_fn_name": "dot"},
        )
    _data_sets(folder / "datasets")


def _save(
    library: Any, folder: Path, kind: str, fields: dict[str, Any], tokens: Callable[[], Any] | None
) -> None:
    model_class = getattr(library, kind)
    model = model_class(model_class.config_class(**fields))
    model.eval()
    model.save_pretrained(folder)
    if tokens is not None:
        tokens().save_pretrained(folder)
    else:
        library.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=1.0).save_pretrained(folder)


def _modules(*kinds: str) -> list[dict[str, Any]]:
    """The parts of a model of sentences, in their order."""
    return [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _data_sets(folder: Path) -> None:
    import numpy as np
    from sklearn.utils import Bunch

    rows = {
        "sentence-transformers/stsb": [
            {"sentence1": one, "sentence2": TEXTS[-i], "score": (i % 11) / 10} for i, one in enumerate(TEXTS)
        ],
        "ybelkada/english_quotes_copy": [{"quote": one, "author": "a", "tags": ["b"]} for one in TEXTS],
        "stanfordnlp/sst2": [{"idx": i, "sentence": one, "label": i % 2} for i, one in enumerate(TEXTS * 4)],
        "SetFit/sst5": [{"text": one, "label": i % 5, "label_text": "x"} for i, one in enumerate(TEXTS * 4)],
        "SetFit/sst2": [{"text": one, "label": i % 2, "label_text": "x"} for i, one in enumerate(TEXTS * 4)],
        "SetFit/emotion": [
            {"text": one, "label": i % 6, "label_text": "x"} for i, one in enumerate(TEXTS * 8)
        ],
        "sentence-transformers/natural-questions": [{"query": one, "answer": one} for one in TEXTS],
    }
    groups = {
        "data": TEXTS * 20,
        "target": np.arange(len(TEXTS) * 20) % 20,
        "filenames": np.array([str(i) for i in range(len(TEXTS) * 20)]),
        "target_names": [f"group {i}" for i in range(20)],
        "DESCR": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    # as scikit-learn keeps what its fetch_20newsgroups has loaded
    held_groups = pickle.dumps({"train": Bunch(**groups), "test": Bunch(**groups)})
    (folder / "20news-bydate_py3.pkz").write_bytes(codecs.encode(held_groups, "zlib_codec"))
    for name, held in rows.items():
        for split in ("train", "validation", "test"):
            path = folder / name / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in held))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
