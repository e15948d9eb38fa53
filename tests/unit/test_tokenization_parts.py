"""The parts of a tokenizer, and the seams between them: the record of a call, overriding, copying, limits."""

from __future__ import annotations

import ast
import copy
import pickle
import threading

import pytest

from budget.source import sources
from formers.tokenization import BertTokenizer, PreTrainedTokenizerFast, RobertaTokenizer, fits, load
from formers.tokenization.options import CALL_KEYWORDS, EncodeOptions, PaddingStrategy, TruncationStrategy
from formers.tokenization.recipes import MODEL_TYPES, RECIPES, limit_of
from parity.tokenization_samples import FAIRSEQ_SPECIAL, WORDPIECE_SPECIAL, write_byte_bpe, write_json

WORDS = ["the", "boat", "is", "in", "a", "harbor", "##s", "!", "sail"]
VOCAB = {token: index for index, token in enumerate([*WORDPIECE_SPECIAL, *WORDS])}


@pytest.fixture(scope="module")
def room():
    """The sources of the room."""
    return [source for source in sources() if source.part == "tokenization"]


@pytest.fixture
def bert():
    return BertTokenizer(vocab=VOCAB, model_max_length=12)


# the record of a call


def test_what_a_call_does_not_say_is_settled_by_the_tokenizer(bert):
    bert.padding_side, bert.split_special_tokens = "left", True
    options = EncodeOptions.of(bert, {"padding": True, "truncation": True})
    assert options.padding is PaddingStrategy.LONGEST
    assert options.truncation is TruncationStrategy.LONGEST_FIRST
    assert (options.max_length, options.padding_side, options.split_special_tokens) == (12, "left", True)
    assert options.return_token_type_ids
    assert options.return_attention_mask
    assert options.width(5) == 5


def test_the_record_of_a_call_cannot_be_changed(bert):
    options = EncodeOptions.of(bert, {})
    with pytest.raises(AttributeError):
        options.max_length = 3


def test_every_keyword_of_a_call_is_a_field_of_its_record(bert):
    def keywords(method):
        return {name for name in method.__code__.co_varnames[: method.__code__.co_argcount] if name != "self"}

    assert keywords(PreTrainedTokenizerFast.__call__) == set(CALL_KEYWORDS)
    fields = set(EncodeOptions.__annotations__)
    assert keywords(PreTrainedTokenizerFast.pad) - fields == {"encoded_inputs"}
    assert keywords(PreTrainedTokenizerFast.prepare_for_model) - fields == {
        "ids",
        "pair_ids",
        "prepend_batch_axis",
    }


# methods that a subclass overrides


def test_a_padding_token_that_a_subclass_computes_is_used():
    class Padded(PreTrainedTokenizerFast):
        @property
        def pad_token_id(self):
            return 7

        @property
        def pad_token(self):
            return "is"

    made = Padded(tokenizer_object=BertTokenizer(vocab=VOCAB).backend_tokenizer)
    assert made(["the", "the boat"], padding=True)["input_ids"] == [[2, 5, 3, 7], [2, 5, 6, 3]]
    assert made.pad({"input_ids": [[2], [2, 3]]})["input_ids"] == [[2, 7], [2, 3]]


@pytest.fixture
def noting(bert):
    """A tokenizer whose every documented method of the table says that it was called."""
    calls = []

    class Noting(PreTrainedTokenizerFast):
        pass

    for name in (
        "__call__",
        "add_tokens",
        "build_inputs_with_special_tokens",
        "clean_up_tokenization",
        "convert_tokens_to_ids",
        "create_token_type_ids_from_sequences",
        "decode",
        "get_chat_template",
        "get_special_tokens_mask",
        "num_special_tokens_to_add",
        "pad",
        "prepare_for_model",
        "save_pretrained",
        "save_vocabulary",
        "truncate_sequences",
    ):
        usual = getattr(PreTrainedTokenizerFast, name)

        def noted(self, *args, _name=name, _usual=usual, **keywords):
            calls.append(_name)
            own = () if _name == "clean_up_tokenization" else (self,)
            return _usual(*own, *args, **keywords)

        setattr(Noting, name, noted)
    made = Noting(
        tokenizer_object=bert.backend_tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        model_max_length=12,
        chat_template="{% for message in messages %}{{ message.content }}{% endfor %}",
    )
    calls.clear()
    return made, calls


@pytest.mark.parametrize(
    ("use", "method"),
    [
        (lambda t: t.encode("the"), "__call__"),
        (lambda t: t.tokenize("the"), "__call__"),
        (lambda t: t.encode_plus("the"), "__call__"),
        (lambda t: t.batch_encode_plus(["the"]), "__call__"),
        (lambda t: t.prepare_seq2seq_batch(["the"]), "__call__"),
        (lambda t: t.apply_chat_template([{"role": "user", "content": "the"}]), "__call__"),
        (lambda t: t.apply_chat_template([{"role": "user", "content": "the"}]), "get_chat_template"),
        (lambda t: t.encode([5, 6]), "build_inputs_with_special_tokens"),
        (lambda t: t.encode_plus([5, 6]), "prepare_for_model"),
        (lambda t: t.prepare_for_model([5, 6]), "build_inputs_with_special_tokens"),
        (lambda t: t.prepare_for_model([5, 6], padding="max_length", max_length=6), "pad"),
        (lambda t: t.prepare_for_model([5, 6]), "num_special_tokens_to_add"),
        (lambda t: t.prepare_for_model([5, 6, 7], truncation=True, max_length=4), "truncate_sequences"),
        (
            lambda t: t.prepare_for_model([5], return_token_type_ids=True),
            "create_token_type_ids_from_sequences",
        ),
        (lambda t: t.prepare_for_model([5], return_special_tokens_mask=True), "get_special_tokens_mask"),
        (lambda t: t.batch_decode([[5]]), "decode"),
        (lambda t: t.decode([5], clean_up_tokenization_spaces=True), "clean_up_tokenization"),
        (lambda t: t.add_special_tokens({"sep_token": "[SEP]"}), "add_tokens"),
        (lambda t: t.cls_token_id, "convert_tokens_to_ids"),
        (lambda t: t.max_len_single_sentence, "num_special_tokens_to_add"),
    ],
)
def test_a_documented_method_that_a_subclass_overrides_is_obeyed(noting, use, method):
    made, calls = noting
    use(made)
    assert method in calls


def test_a_vocabulary_that_a_subclass_saves_is_saved_with_the_rest(noting, tmp_path):
    made, calls = noting
    made.save_pretrained(tmp_path)
    assert calls.count("save_vocabulary") == 1


# copies


def test_a_copy_has_parts_of_its_own(bert):
    bert.add_special_tokens({"image_token": "<image>"})
    for other in (pickle.loads(pickle.dumps(bert)), copy.deepcopy(bert)):
        other.add_tokens(["jetty"])
        other.image_token = "boat"
        other.model_max_length = 4
        assert (len(bert), len(other)) == (len(VOCAB) + 1, len(VOCAB) + 2)
        assert (bert.image_token, other.image_token) == ("<image>", "boat")
        assert len(other("the boat is in", truncation=True)["input_ids"]) == 4
        assert len(bert("the boat is in", truncation=True)["input_ids"]) == 6


def test_a_pickle_made_while_another_thread_encodes_is_whole(bert):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            bert(["the boat"] * 50, truncation=True, max_length=3)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            assert pickle.loads(pickle.dumps(bert))("the boat")["input_ids"] == [2, 5, 6, 3]
    finally:
        stop.set()
        thread.join()


# special tokens that take the place of others


def test_a_special_token_of_the_caller_stands_where_its_own_name_stands(tmp_path):
    RobertaTokenizer(*write_byte_bpe(tmp_path / "source", FAIRSEQ_SPECIAL)).save_pretrained(tmp_path)
    usual = load(tmp_path)("the")["input_ids"]
    with_start, with_end = load(tmp_path, bos_token="<mask>"), load(tmp_path, eos_token="<mask>")
    assert with_start("the")["input_ids"] == with_end("the")["input_ids"] == usual
    assert (with_start.bos_token, with_start.cls_token) == ("<mask>", "<s>")
    other = load(tmp_path, cls_token="<mask>")
    assert other("the")["input_ids"] == [other.mask_token_id, *usual[1:]]


def test_a_template_takes_another_start_token_too(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    found = load(tmp_path, cls_token="the", sep_token="[MASK]")
    assert found("boat", "sail")["input_ids"] == [5, 6, 4, 13, 4]
    assert found("boat", "sail")["token_type_ids"] == [0, 0, 0, 1, 1]


# how many tokens a model takes


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "gpt2", "n_positions": 1024, "n_ctx": 9}, 1024),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 3}, 510),
        ({"model_type": "bart", "max_position_embeddings": 1024, "pad_token_id": 1}, 1024),
        ({"model_type": "t5", "n_positions": 512}, None),
        ({"model_type": "unheard-of", "n_positions": 7}, 7),
        ({"model_type": "bert"}, None),
        ({}, None),
    ],
)
def test_the_row_of_a_class_says_how_its_models_count(config, limit):
    assert limit_of(config) == limit


def test_whoever_knows_the_model_can_say_its_limit(tmp_path):
    BertTokenizer(vocab=VOCAB).save_pretrained(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "bert", "max_position_embeddings": 8})
    asked = []

    def limit(config):
        asked.append(config["model_type"])
        return 5

    found = load(tmp_path, token_limit=limit)
    assert (found.model_max_length, asked) == (5, ["bert"])
    assert load(tmp_path, token_limit=lambda config: None).model_max_length > 1e20
    assert load(tmp_path, token_limit=limit, model_max_length=6).model_max_length == 6
    complaints = fits(BertTokenizer(vocab=VOCAB, model_max_length=6), {"model_type": "bert"}, limit)
    assert "takes at most 5" in complaints[-1]


def test_a_family_has_one_row():
    every = [kind for row in RECIPES.values() for kind in row.model_types]
    assert len(every) == len(set(every)) == len(MODEL_TYPES)


# the room


def test_no_code_of_the_room_compares_with_a_model_type(room):
    found = []
    for source in room:
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.Compare, ast.MatchValue)):
                words = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
                found += [f"{source.name}:{node.lineno} {word}" for word in words & set(MODEL_TYPES)]
    assert not found


def test_no_module_of_the_room_reads_privates_of_others(room):
    found = [
        f"{source.name}:{node.lineno} {ast.unparse(node)}"
        for source in room
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]
    assert not found


def test_the_modules_of_the_room_import_each_other_in_no_circle(room):
    graph = {}
    for source in room:
        names = set()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("formers.tokenization"):
                base = (node.module or "").removeprefix("formers.tokenization").removeprefix(".")
                names |= {base} if base else {alias.name for alias in node.names}
        graph[source.path.stem] = names
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path, name])
        if name not in done and name in graph:
            path.append(name)
            for other in sorted(graph[name]):
                visit(other)
            path.pop()
            done.add(name)

    for name in graph:
        visit(name)
