"""The backends of the named tokenizers, built from vocabulary files or values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from formers.core.jsonfile import read_json
from formers.tokenization.components import frame, id_of, surround
from formers.tokenization.recipes import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.sentencepiece import Model
    from formers.tokenization.vocabulary import Segmenter

Settings: TypeAlias = Mapping[str, Any]
SPACE = "▁"


def build(recipe: Recipe, given: Mapping[str, Any], settings: Settings, where: str) -> Tokenizer:
    """Build the backend of a recipe.

    Args:
        recipe: which.
        given: files (`vocab_file`, `merges_file`) or values (`vocab`, `merges`).
        settings: special tokens and options of the caller or checkpoint; the recipe's own fill in.
        where: the class, for messages.

    Raises:
        OSError: when a file is missing.
        TypeError: when a part of the vocabulary is not given.
        ValueError: when a file is not what it should be.
    """
    every: dict[str, Any] = {}
    for name, token in recipe.special.items():
        usual = token["content"] if isinstance(token, dict) else token
        every[name] = str(settings[name]) if settings.get(name) is not None else usual
    every |= recipe.options
    every |= {name: settings[name] for name in recipe.options if settings.get(name) is not None}
    if recipe.languages is not None:
        every["codes"] = recipe.languages.tokens(every.get("language_codes"))
    for name in given:
        if name.endswith(("_file", "_spm")) and not Path(given[name]).is_file():
            raise OSError(f"{where}: {name}={str(given[name])!r} is not a file")
    return BUILDERS[recipe.kind](dict(given), every, where)


def _missing(where: str, wanted: str) -> TypeError:
    return TypeError(f"{where}() needs {wanted}")


def _read_vocab_txt(path: Path) -> dict[str, int]:
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    return {line.rstrip("\r"): index for index, line in enumerate(lines)}


def _as_ids(vocab: Any, where: str) -> dict[str, int]:
    """Read a vocabulary value: token -> id, or tokens in the order of their ids."""
    if isinstance(vocab, Mapping):
        return {str(token): int(index) for token, index in vocab.items()}
    if isinstance(vocab, (list, tuple)):
        tokens = [one[0] if isinstance(one, (list, tuple)) and one else one for one in vocab]
        if all(isinstance(token, str) for token in tokens):
            return {token: index for index, token in enumerate(tokens)}
    raise TypeError(f"{where}: vocab must map tokens to ids or list tokens, but is a {type(vocab).__name__}")


def _listed(given: dict[str, Any], every: Settings, where: str, *needed: str) -> dict[str, int]:
    """The ids of a vocab.txt, which must have the special tokens that are needed."""
    if "vocab" in given:
        vocab = _as_ids(given["vocab"], where)
    elif "vocab_file" in given:
        vocab = _read_vocab_txt(Path(given["vocab_file"]))
    else:
        raise _missing(where, "vocab_file= (vocab.txt) or vocab=")
    for name in needed:
        if every[name] not in vocab:
            raise ValueError(
                f"{where}: the vocabulary of {len(vocab)} tokens has no {name} {every[name]!r}; pass "
                f"{name}= to name it"
            )
    return vocab


def letters(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Every token of the vocabulary wherever it stands, what lies between as words, as in ESM (vocab.txt)."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    vocab = _listed(given, every, where, "unk_token", "cls_token", "eos_token")
    backend = Tokenizer(models.WordLevel(vocab, unk_token=every["unk_token"]))
    known = "|".join(re.escape(token) for token in sorted(vocab, key=lambda token: -len(token)) if token)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(known), "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    first, last = every["cls_token"], every["eos_token"]
    single = [f"{first}:0", "$A:0", f"{last}:0"]
    frame(backend, (first, last), single, [*single, "$B:0", f"{last}:0"])
    return backend


def wordpiece(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """WordPiece after BERT's normalizer and splitter (arXiv:1810.04805; vocab.txt)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocab = _listed(given, every, where, "unk_token", "cls_token", "sep_token")
    backend = Tokenizer(models.WordPiece(vocab, unk_token=every["unk_token"], max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=every["tokenize_chinese_chars"],
        strip_accents=every["strip_accents"],
        lowercase=every["do_lower_case"],
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = every["cls_token"], every["sep_token"]
    single = [f"{cls}:0", "$A:0", f"{sep}:0"]
    frame(backend, (cls, sep), single, [*single, "$B:1", f"{sep}:1"])
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def _byte_pairs(given: dict[str, Any], where: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    if "vocab" in given:
        vocab = _as_ids(given["vocab"], where)
    elif "vocab_file" in given:
        vocab = _as_ids(read_json(given["vocab_file"]), where)
    else:
        raise _missing(where, "vocab_file= (vocab.json) and merges_file= (merges.txt), or vocab= and merges=")
    if "merges" in given:
        merges = [
            tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in given["merges"]
        ]
    elif "merges_file" in given:
        lines = Path(given["merges_file"]).read_text(encoding="utf-8").split("\n")
        merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    else:
        raise _missing(
            where, "the merges too: merges_file= (merges.txt) or merges=; without them text falls apart"
        )
    for merge in merges:
        if len(merge) != 2:
            raise ValueError(f"{where}: a merge is two tokens, but found {merge!r}")
    return vocab, [(left, right) for left, right in merges]


def byte_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE without a frame, as in GPT-2, or with a start token in front, as in OPT."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    vocab, merges = _byte_pairs(given, where)
    backend = Tokenizer(
        models.BPE(vocab, merges, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=every["add_prefix_space"])
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    if every.get("add_bos_token"):
        surround(backend, every["bos_token"], None)
    return backend


def word_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Lower-case BPE of words as BERT splits them, whose tokens mark the end of a word, as in GPT."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocab, merges = _byte_pairs(given, where)
    model = models.BPE(vocab, merges, unk_token=every["unk_token"], end_of_word_suffix="</w>")
    backend = Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    return backend


def framed_byte_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE inside `<s>` and `</s>`, pairs parted by two `</s>`, as in RoBERTa and BART."""
    from tokenizers import processors

    backend = byte_bpe(given, every, where)
    last, first = ((every[name], id_of(backend, every[name])) for name in ("sep_token", "cls_token"))
    backend.post_processor = processors.RobertaProcessing(
        last, first, trim_offsets=every["trim_offsets"], add_prefix_space=every["add_prefix_space"]
    )
    return backend


# Contractions, letters with one sign in front, single digits, signs with the line ends behind, spaces.
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What CLIP takes for words; what lies between them is dropped.
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def split_byte_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE without a frame, digits one by one, as in Qwen2."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    backend = byte_bpe(given, every, where)
    backend.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated")
    spaced = pre_tokenizers.ByteLevel(add_prefix_space=every["add_prefix_space"], use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, spaced])
    backend.add_special_tokens(sorted({every[name] for name in ("unk_token", "eos_token", "pad_token")}))
    return backend


def clip(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Lower-case byte-level BPE whose tokens mark the end of a word, inside start and end tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocab, merges = _byte_pairs(given, where)
    model = models.BPE(vocab, merges, unk_token=every["unk_token"], end_of_word_suffix="</w>")
    backend = Tokenizer(model)
    steps = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    backend.normalizer = normalizers.Sequence(steps)
    words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    last, first = ((every[name], id_of(backend, every[name])) for name in ("eos_token", "bos_token"))
    backend.post_processor = processors.RobertaProcessing(
        last, first, trim_offsets=False, add_prefix_space=False
    )
    return backend


def _pieces(given: dict[str, Any], where: str) -> Model | None:
    from formers.tokenization import sentencepiece

    if "vocab" in given:
        return None
    if "vocab_file" in given:
        return sentencepiece.read(given["vocab_file"])
    raise _missing(where, "vocab_file= (a SentencePiece model) or vocab= ((token, score) pairs)")


def _scores(vocab: Any, where: str) -> list[tuple[str, float]]:
    if isinstance(vocab, Mapping) or not isinstance(vocab, Sequence) or isinstance(vocab, str):
        raise TypeError(
            f"{where}: vocab must be a list of (token, score) pairs, but is a {type(vocab).__name__}"
        )
    return [(str(token), float(score)) for token, score in vocab]


def _unigram(
    scores: list[tuple[str, float]],
    unk_id: int,
    model: Model | None,
    *,
    prefix: bool,
    byte_fallback: bool = False,
) -> Tokenizer:
    """A unigram model after SentencePiece's normalization; spaces are part of the tokens."""
    from tokenizers import Tokenizer, models

    backend = Tokenizer(models.Unigram(scores, unk_id=unk_id, byte_fallback=byte_fallback))
    _space(backend, model, prefix=prefix)
    return backend


def _space(backend: Tokenizer, model: Model | None, *, prefix: bool) -> None:
    """Let a backend treat spaces as SentencePiece does, after its normalization."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    collapse = model is None or model.remove_extra_whitespaces
    steps: list[Any] = []
    if model is not None and model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if collapse and not prefix:
        steps += [normalizers.Strip(left=True, right=True), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence(steps) if steps else None
    scheme = "always" if prefix else "never"
    spaced = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme)
    if collapse and prefix:
        # Every word gets its space from the prefix. Splitting drops the spaces of the text, so that a token
        # starts at its first letter and not at the space before, as in the published tokenizer.json files.
        words = pre_tokenizers.WhitespaceSplit()
        backend.pre_tokenizer = pre_tokenizers.Sequence([words, spaced])
    else:
        backend.pre_tokenizer = spaced
    backend.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme)


def _add_pieces(backend: Tokenizer, model: Model | None, offset: int = 0) -> None:
    """Register control symbols as special tokens and user-defined symbols as added ones."""
    from tokenizers import AddedToken

    from formers.tokenization.sentencepiece import Kind

    for piece in (model.pieces if model is not None else [])[offset:]:
        if piece.kind in (Kind.CONTROL, Kind.USER_DEFINED):
            special = piece.kind is Kind.CONTROL
            token = AddedToken(piece.text, normalized=False, special=special)
            (backend.add_special_tokens if special else backend.add_tokens)([token])


def _fairseq(
    given: dict[str, Any],
    every: Settings,
    where: str,
    front: list[tuple[str, float]],
    dropped: int,
    back: Sequence[str],
) -> Tokenizer:
    """SentencePiece with fairseq's ids: tokens of its own in front, in the place of the file's first ones."""
    model = _pieces(given, where)
    if model is None:
        scores = _scores(given["vocab"], where)
    else:
        scores = front + model.scores()[dropped:] + [(token, 0.0) for token in back]
    unk_id = [token for token, _ in scores].index(every["unk_token"])
    backend = _unigram(scores, unk_id, model, prefix=every.get("add_prefix_space", True))
    _add_pieces(backend, model, offset=dropped)
    first, last = every["cls_token"], every["sep_token"]
    frame(backend, (first, last), [first, "$A", last], [first, "$A", last, last, "$B", last])
    return backend


def xlm_roberta(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with fairseq's ids: four special tokens in front take the place of the file's three."""
    front = [(every[name], 0.0) for name in ("bos_token", "pad_token", "eos_token", "unk_token")]
    return _fairseq(given, every, where, front, dropped=3, back=[every["mask_token"]])


def coded_fairseq(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """As XLM-R has it, with tokens of languages behind the file's, as mBART and PLBART have them."""
    front = [(every[name], 0.0) for name in ("cls_token", "pad_token", "eos_token", "unk_token")]
    masks = every.get("language_codes") != "multi"
    back = [*every["codes"], *([every["mask_token"]] if masks else [])]
    backend = _fairseq(given, every, where, front, dropped=3, back=back)
    backend.add_special_tokens(list(every["codes"]))
    return backend


def m2m(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece whose ids a vocab.json says, and tokens of languages behind them, as M2M-100 has them."""
    from tokenizers import Tokenizer, models

    from formers.tokenization.sentencepiece import Kind

    if "vocab_file" not in given or "spm_file" not in given:
        raise _missing(where, "vocab_file= (vocab.json) and spm_file= (a SentencePiece model)")
    ids = _as_ids(read_json(given["vocab_file"]), where)
    model = _pieces({"vocab_file": given["spm_file"]}, where)
    assert model is not None
    unknown = every["unk_token"]
    lost = [piece.text for piece in model.pieces if piece.kind == Kind.NORMAL and piece.text not in ids]
    if lost or sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(
            f"{where}: {given['vocab_file']} must have the ids 0 to {len(ids) - 1}, and one for every piece "
            f"of {given['spm_file']}, of which {len(lost)} have none (such as {lost[:3]})"
        )
    if model.bpe:
        backend = Tokenizer(models.BPE(ids, model.merges(), unk_token=unknown, fuse_unk=True))
        _space(backend, model, prefix=True)
    else:
        known = dict(model.scores())  # what is no piece is never the better way to write a text
        scores = [(text, known.get(text, -1e4)) for text in sorted(ids, key=ids.__getitem__)]
        backend = _unigram(scores, ids[unknown], model, prefix=True)
    backend.add_special_tokens([every[name] for name in ("bos_token", "pad_token", "eos_token", "unk_token")])
    backend.add_special_tokens(every["codes"])
    return backend


def words(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Pieces and their ids alone, with `</s>` behind; Marian cuts texts by SentencePiece (`segmenter`)."""
    from tokenizers import Regex, Tokenizer, decoders, models

    if "vocab_file" not in given:
        raise _missing(where, "source_spm= and target_spm= (SentencePiece models) and vocab= (vocab.json)")
    ids = _as_ids(read_json(given["vocab_file"]), where)
    unknown, last, pad = (every[name] for name in ("unk_token", "eos_token", "pad_token"))
    for token in (unknown, last):
        if token not in ids:
            raise ValueError(f"{where}: {given['vocab_file']} has no {token!r}, which every text may need")
    backend = Tokenizer(models.WordLevel(ids, unk_token=unknown))
    spaced, ends = decoders.Replace(SPACE, " "), decoders.Replace(Regex("^ +| +$"), "")
    backend.decoder = decoders.Sequence([spaced, decoders.Fuse(), ends])
    backend.add_special_tokens([token for token in (unknown, last, pad) if token in ids])
    frame(backend, [last], ["$A", last], ["$A", "$B", last])
    return backend


def segmenter(file: Path, vocabulary: Tokenizer, unknown: str, last: str) -> Segmenter:
    """SentencePiece whose pieces have the ids of a vocabulary, where codes of languages are tokens too."""
    from tokenizers import AddedToken, Tokenizer, models

    from formers.tokenization import sentencepiece
    from formers.tokenization.vocabulary import Segmenter

    model = sentencepiece.read(file)
    ids = vocabulary.get_vocab(with_added_tokens=True)
    if model.bpe:
        own = {piece.text: index for index, piece in enumerate(model.pieces)}
        name = model.pieces[model.unk_id].text
        cutter = Tokenizer(models.BPE(own, model.merges(), unk_token=name, fuse_unk=True))
        _space(cutter, model, prefix=True)
    else:
        cutter = _unigram(model.scores(), model.unk_id, model, prefix=True)
    _add_pieces(cutter, model)
    codes = [token for token in ids if token.startswith(">>") and token.endswith("<<")]
    cutter.add_tokens([AddedToken(code, normalized=False) for code in codes])
    made = Segmenter(cutter, ids, ids[unknown])
    made.add(vocabulary.get_added_tokens_decoder())
    frame(cutter, [last], ["$A", last], ["$A", "$B", last])
    return made


def nllb(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece BPE with fairseq's ids, and tokens of languages behind the file's."""
    from tokenizers import Tokenizer, models

    model = _pieces(given, where)
    if model is None:
        vocab = _as_ids(given["vocab"], where)
        _, merges = _byte_pairs({**given, "vocab": vocab}, where)
    else:
        if not model.bpe:
            raise ValueError(f"{where}: {given['vocab_file']} is no BPE model, which NLLB has")
        front = [every[name] for name in ("bos_token", "pad_token", "eos_token", "unk_token")]
        back = [*every["codes"], every["mask_token"]]
        texts = [*front, *(piece.text for piece in model.pieces[3:]), *back]
        vocab, merges = {text: index for index, text in enumerate(texts)}, model.merges()
    backend = Tokenizer(models.BPE(vocab, merges, unk_token=every["unk_token"], fuse_unk=True))
    _space(backend, model, prefix=True)
    _add_pieces(backend, model, offset=3)
    backend.add_special_tokens(list(every["codes"]))
    return backend


def camembert(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with fairseq's ids as CamemBERT has them: five tokens in front, three of them unused."""
    texts = ("<s>NOTUSED", every["pad_token"], "</s>NOTUSED", every["unk_token"])
    front = [*((text, 0.0) for text in texts), ("<unk>NOTUSED", -100.0)]
    return _fairseq(given, every, where, front, dropped=1, back=[every["mask_token"]])


def xglm(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with fairseq's ids, `</s>` in front of each text, and seven words that nobody wrote."""
    model = _pieces(given, where)
    if model is None:
        scores = _scores(given["vocab"], where)
    else:
        front = [(every[name], 0.0) for name in ("bos_token", "pad_token", "eos_token", "unk_token")]
        scores = front + model.scores()[3:] + [(f"<madeupword{i}>", 0.0) for i in range(7)]
    backend = _unigram(scores, 3, model, prefix=every["add_prefix_space"])
    _add_pieces(backend, model, offset=3)
    last = every["eos_token"]
    frame(backend, [last], [last, "$A"], [last, "$A", last, last, "$B"])
    return backend


def t5(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece, `</s>` after each text, and sentinels `<extra_id_n>` at the end in falling order."""
    model = _pieces(given, where)
    sentinels = [f"<extra_id_{index}>" for index in range(int(every["extra_ids"]) - 1, -1, -1)]
    scores = _scores(given["vocab"], where) if model is None else model.scores()
    known = {token for token, _ in scores}
    scores = scores + [(token, 0.0) for token in sentinels if token not in known]
    unk_id = model.unk_id if model is not None else [token for token, _ in scores].index(every["unk_token"])
    backend = _unigram(scores, unk_id, model, prefix=True)
    _add_pieces(backend, model)
    backend.add_special_tokens(sentinels)
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", last, "$B", last])
    return backend


def utf8(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """The bytes of UTF-8, behind three tokens of its own and before sentinels, as ByT5 has them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    # tokens are the characters of those numbers; the library writes some bytes as other characters
    other = [b for b in range(256) if not (33 <= b <= 126 or 161 <= b <= 172 or b >= 174)]
    written = [(chr(256 + index), chr(byte)) for index, byte in enumerate(other)]
    own = [every[name] for name in ("pad_token", "eos_token", "unk_token")]
    vocab = {token: index for index, token in enumerate([*own, *map(chr, range(256))])}
    backend = Tokenizer(models.BPE(vocab, []))
    backend.normalizer = normalizers.Sequence(
        [normalizers.ByteLevel(), *(normalizers.Replace(theirs, ours) for theirs, ours in written)]
    )
    backend.decoder = decoders.Sequence(
        [*(decoders.Replace(ours, theirs) for theirs, ours in written), decoders.ByteLevel()]
    )
    stripped = [AddedToken(token, lstrip=True, rstrip=True, normalized=False, special=True) for token in own]
    backend.add_special_tokens(stripped)
    backend.add_special_tokens([f"<extra_id_{index}>" for index in range(int(every["extra_ids"]))])
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", last, "$B", last])
    return backend


def code_points(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Every character is a token, whose id is its code point, as CANINE has it."""
    from tokenizers import Tokenizer, decoders, models

    backend = Tokenizer(models.BPE({chr(i): i for i in range(0x110000) if not 0xD800 <= i < 0xE000}, []))
    backend.decoder = decoders.Fuse()
    first, last = every["cls_token"], every["sep_token"]
    single = [f"{first}:0", "$A:0", f"{last}:0"]
    frame(backend, (first, last), single, [*single, "$B:0", f"{last}:0"])
    return backend


def llama(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece BPE with byte fallback. `legacy=False` puts no space after a special token."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    model = _pieces(given, where)
    if model is None:
        vocab = _as_ids(given["vocab"], where)
        _, merges = _byte_pairs({**given, "vocab": vocab}, where)
    elif model.bpe:
        vocab, merges = {piece.text: index for index, piece in enumerate(model.pieces)}, model.merges()
    else:
        vocab, merges = {}, []
    if model is not None and not model.bpe:
        backend = Tokenizer(
            models.Unigram(model.scores(), unk_id=model.unk_id, byte_fallback=model.byte_fallback)
        )
    else:
        backend = Tokenizer(
            models.BPE(vocab, merges, unk_token=every["unk_token"], fuse_unk=True, byte_fallback=True)
        )
    prefix = bool(every["add_prefix_space"])
    if every["legacy"]:
        front: list[Any] = [normalizers.Prepend(SPACE)] if prefix else []
        backend.normalizer = normalizers.Sequence([*front, normalizers.Replace(" ", SPACE)])
    else:
        scheme = "first" if prefix else "never"
        backend.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=SPACE, prepend_scheme=scheme, split=False
        )
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)] if prefix else steps)
    backend.add_special_tokens([every[name] for name in ("unk_token", "bos_token", "eos_token")])
    _add_pieces(backend, model)
    surround(
        backend,
        every["bos_token"] if every["add_bos_token"] else None,
        every["eos_token"] if every["add_eos_token"] else None,
    )
    return backend


BUILDERS: dict[str, Callable[[dict[str, Any], Settings, str], Tokenizer]] = {
    "letters": letters,
    "wordpiece": wordpiece,
    "byte_bpe": byte_bpe,
    "word_bpe": word_bpe,
    "framed_byte_bpe": framed_byte_bpe,
    "split_byte_bpe": split_byte_bpe,
    "clip": clip,
    "xlm_roberta": xlm_roberta,
    "camembert": camembert,
    "xglm": xglm,
    "coded_fairseq": coded_fairseq,
    "m2m": m2m,
    "words": words,
    "nllb": nllb,
    "t5": t5,
    "utf8": utf8,
    "code_points": code_points,
    "llama": llama,
}
