"""The reference's text-classification pipeline and this one give the same answers on tiny checkpoints."""

from __future__ import annotations

import pytest
import torch

import formers

transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-5  # float32
LETTERS = [
    "the",
    "a",
    "of",
    "parser",
    "crash",
    "when",
    "import",
    "fails",
    "on",
    "windows",
    "fixed",
    "memory",
    "leak",
    "in",
    "json",
    "docs",
    "now",
]


def texts(count=24):
    return [
        " ".join(LETTERS[(i * 5 + j * 3) % len(LETTERS)] for j in range(i % 11 + 1)) for i in range(count)
    ]


def write_tokenizer(folder, types=True):
    """A WordPiece tokenizer of the words above, written by the reference."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(LETTERS), "##s", "!", ","]
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ["input_ids", "token_type_ids", "attention_mask"] if types else ["input_ids", "attention_mask"]
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
        model_input_names=names,
    ).save_pretrained(folder)
    return len(words)


def write_bert(folder, **config):
    torch.manual_seed(1)
    made = transformers.BertConfig(
        vocab_size=write_tokenizer(folder),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
        initializer_range=0.5,  # answers that differ from text to text
        **config,
    )
    transformers.BertForSequenceClassification(made).save_pretrained(folder)
    return str(folder)


KINDS = {
    "single label": {"id2label": {0: "core", 1: "library", 2: "docs", 3: "tests"}},
    "two labels": {"num_labels": 2, "problem_type": "single_label_classification"},
    "multi-label": {"num_labels": 5, "problem_type": "multi_label_classification"},
    "one label": {"num_labels": 1},
    "regression": {"num_labels": 1, "problem_type": "regression"},
    "several numbers": {"num_labels": 3, "problem_type": "regression"},
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return {kind: write_bert(tmp_path_factory.mktemp("bert"), **config) for kind, config in KINDS.items()}


def both(folder, task="text-classification", **options):
    theirs = transformers.pipeline(task, model=folder, device="cpu", **options)
    return formers.pipeline(task, model=folder, device="cpu", **options), theirs


@pytest.fixture(scope="module")
def pipelines(checkpoints):
    """Ours and the reference's, of every kind."""
    return {kind: both(folder) for kind, folder in checkpoints.items()}


def same(ours, theirs):
    """Equal shape and labels, scores within the tolerance."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=TOLERANCE)
    else:
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)


FORMS = {
    "string": (texts()[5], {}),
    "string, three best": (texts()[5], {"top_k": 3}),
    "string, the best": (texts()[5], {"top_k": 1}),
    "string, every label": (texts()[5], {"top_k": None}),
    "list": (texts(), {}),
    "list, batched": (texts(), {"batch_size": 8}),
    "list, every label": (texts(), {"top_k": None}),
    "pair": ({"text": "the parser", "text_pair": "crash on windows"}, {}),
    "pair, every label": ({"text": "the parser", "text_pair": "crash on windows"}, {"top_k": None}),
    "pairs": ([{"text": a, "text_pair": b} for a, b in zip(texts(), reversed(texts()), strict=True)], {}),
    "older pairs": ([[["the parser", "crash"]], [["a leak", "docs"]]], {}),
    "sigmoid": (texts(6), {"function_to_apply": "sigmoid", "top_k": None}),
    "softmax": (texts(6), {"function_to_apply": "softmax", "top_k": None}),
    "no function": (texts(6), {"function_to_apply": "none", "top_k": None}),
    "cut": ([" ".join(LETTERS * 4), "docs"], {"truncation": True, "max_length": 12}),
    "padded": (texts(5), {"padding": "max_length", "max_length": 20, "truncation": True}),
    "no special tokens": (texts(5), {"add_special_tokens": False}),
    "empty text": (["", "docs"], {}),
    "unknown words": (["zzz qqq!", "ümläut"], {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_the_same_answers(pipelines, kind, form):
    inputs, options = FORMS[form]
    ours, theirs = pipelines[kind]
    same(ours(inputs, **options), theirs(inputs, **options))


@pytest.mark.parametrize(
    "options", [{"top_k": None}, {"top_k": 2}, {"function_to_apply": "none"}, {"batch_size": 3}]
)
def test_the_same_answers_with_defaults_of_the_constructor(checkpoints, options):
    ours, theirs = both(checkpoints["single label"], **options)
    same(ours(texts()[3]), theirs(texts()[3]))
    same(ours(texts()), theirs(texts()))


def test_the_same_answers_to_generators_and_key_datasets(pipelines):
    from torch.utils.data import Dataset
    from transformers.pipelines.pt_utils import KeyDataset as TheirKeyDataset

    from formers.pipelines.pt_utils import KeyDataset

    class Rows(Dataset):
        def __len__(self):
            return 24

        def __getitem__(self, index):
            return {"body": texts()[index]}

    ours, theirs = pipelines["single label"]
    same(list(ours(text for text in texts())), list(theirs(text for text in texts())))
    mine, reference = ours(KeyDataset(Rows(), "body")), theirs(TheirKeyDataset(Rows(), "body"))
    assert len(mine) == len(reference)
    same(list(mine), list(reference))


@pytest.mark.parametrize("model_type", ["distilbert", "roberta", "gpt2"])
def test_the_same_answers_of_other_families(tmp_path, model_type):
    torch.manual_seed(2)
    size = write_tokenizer(tmp_path, types=False)
    sizes = {
        "distilbert": {
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 32,
        },
        "roberta": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 34,
            "pad_token_id": 0,
        },
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32, "pad_token_id": 0},
    }
    config = transformers.AutoConfig.for_model(model_type, vocab_size=size, num_labels=3, **sizes[model_type])
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    ours, theirs = both(str(tmp_path))
    same(ours(texts(), top_k=None), theirs(texts(), top_k=None))
    pair = {"text": "the parser", "text_pair": "crash on windows"}
    same(ours(pair, top_k=None), theirs(pair, top_k=None))


# on a processor without bfloat16 instructions the library says that half precision is slow there
@pytest.mark.filterwarnings("ignore:.*(slow|slower than float32):formers.core.notices.Notice")
def test_half_precision_stays_near_the_reference(checkpoints):
    ours, theirs = both(checkpoints["single label"], dtype=torch.bfloat16)
    assert ours.dtype is torch.bfloat16
    for mine, reference in zip(ours(texts(), top_k=None), theirs(texts(), top_k=None), strict=True):
        expected = {one["label"]: one["score"] for one in reference}
        # bf16 keeps 8 bits: two ways to sum differ by more than 1e-2 in a logit
        assert all(one["score"] == pytest.approx(expected[one["label"]], abs=0.05) for one in mine)
