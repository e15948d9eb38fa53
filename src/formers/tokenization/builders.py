"""The backends of the named tokenizers, built from vocabulary files or values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.jsonfile import read_json, read_json_object
from formers.tokenization import pieces
from formers.tokenization.components import bert_frame, frame, id_of, surround
from formers.tokenization.pieces import SPACE, Settings, add_pieces, model_of, space, unigram
from formers.tokenization.reading import japanese_vocabulary, merges_of
from formers.tokenization.recipe import Recipe
from formers.tokenization.spelling import sounding, spelling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.vocabulary import Segmenter


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
    backend = _word_pieces(given, every, where, "cls_token")
    bert_frame(backend, every)
    return backend


def ended_wordpiece(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """The same, each text before a separator, as in ProphetNet."""
    backend, sep = _word_pieces(given, every, where), every["sep_token"]
    frame(backend, (sep,), ["$A:0", f"{sep}:0"], ["$A:0", f"{sep}:0", "$B:1", f"{sep}:1"])
    return backend


def _word_pieces(given: dict[str, Any], every: Settings, where: str, *needed: str) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocab = _listed(given, every, where, "unk_token", "sep_token", *needed)
    backend = Tokenizer(models.WordPiece(vocab, unk_token=every["unk_token"], max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=every["tokenize_chinese_chars"],
        strip_accents=every["strip_accents"],
        lowercase=every["do_lower_case"],
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def framed_wordpiece(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """WordPiece inside `<s>` and `</s>`, pairs parted by two `</s>`, as in MPNet."""
    from tokenizers import processors

    backend = wordpiece(given, every, where)
    last, first = ((every[name], id_of(backend, every[name])) for name in ("sep_token", "cls_token"))
    backend.post_processor = processors.RobertaProcessing(
        last, first, trim_offsets=True, add_prefix_space=False
    )
    return backend


def funnel(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """WordPiece where the class token has a type of its own, as in Funnel Transformer."""
    backend = wordpiece(given, every, where)
    bert_frame(backend, every, kind=2)
    return backend


def splinter(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """WordPiece where a question, the first of a pair, ends in a token that stands for its answer."""
    backend = wordpiece(given, every, where)
    cls, sep, asked = (every[name] for name in ("cls_token", "sep_token", "question_token"))
    single = [f"{cls}:0", "$A:0", f"{sep}:0"]
    pair = [*single[:2], f"{asked}:0", ".:0", f"{sep}:0", "$B:1", f"{sep}:1"]
    frame(backend, (cls, sep, asked, "."), single, pair)
    return backend


def _byte_pairs(given: dict[str, Any], where: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    if "vocab" in given:
        vocab = _as_ids(given["vocab"], where)
    elif "vocab_file" in given:
        vocab = _as_ids(read_json(given["vocab_file"]), where)
    else:
        raise _missing(where, "vocab_file= (vocab.json) and merges_file= (merges.txt), or vocab= and merges=")
    return vocab, merges_of(given, where)


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


def deberta(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE inside BERT's frame (arXiv:2006.03654)."""
    backend = byte_bpe(given, every, where)
    bert_frame(backend, every)
    return backend


def composed_byte_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE after composing letters and accents, as in GPT-NeoX."""
    from tokenizers import normalizers

    backend = byte_bpe(given, every, where)
    backend.normalizer = normalizers.NFC()
    return backend


def cohere(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """As GPT-NeoX has it, with digits one by one."""
    from tokenizers import pre_tokenizers

    backend = composed_byte_bpe(given, every, where)
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    return backend


def ended_byte_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE with `</s>` after each text, as in Blenderbot."""
    backend = byte_bpe(given, every, where)
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", "$B", last])
    return backend


# Contractions, letters with one sign in front, single digits, signs with the line ends behind, spaces.
ONE_DIGIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What CLIP takes for words; what lies between them is dropped.
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def cut_bytes(backend: Tokenizer, cuts: str, prefix: bool) -> None:
    """Let a backend pair bytes inside what an expression finds, with a space before a text for a `prefix`."""
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(cuts), behavior="isolated")
    spaced = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, spaced])


def split_byte_bpe(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Byte-level BPE without a frame, digits one by one, as in Qwen2."""
    from tokenizers import normalizers

    backend = byte_bpe(given, every, where)
    backend.normalizer = normalizers.NFC()
    cut_bytes(backend, ONE_DIGIT, every["add_prefix_space"])
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


def m2m(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece whose ids a vocab.json says, and tokens of languages behind them, as M2M-100 has them."""
    from tokenizers import Tokenizer, models

    from formers.tokenization.sentencepiece import Kind

    if "vocab_file" not in given or "spm_file" not in given:
        raise _missing(where, "vocab_file= (vocab.json) and spm_file= (a SentencePiece model)")
    ids = _as_ids(read_json(given["vocab_file"]), where)
    model = model_of({"vocab_file": given["spm_file"]}, where)
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
        space(backend, model, prefix=True)
    else:
        known = dict(model.scores())  # what is no piece is never the better way to write a text
        scores = [(text, known.get(text, -1e4)) for text in sorted(ids, key=ids.__getitem__)]
        backend = unigram(scores, ids[unknown], model, prefix=True)
    backend.add_special_tokens([every[name] for name in ("bos_token", "pad_token", "eos_token", "unk_token")])
    backend.add_special_tokens(every["codes"])
    return backend


def heard(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """The same pieces without languages, and the end behind them, as S2T has them."""
    from tokenizers import normalizers

    if every["do_upper_case"] or every["lang_codes"]:
        raise ValueError(
            f"{where}: capitals (do_upper_case) and tokens of languages (lang_codes) are not written here"
        )
    backend, last = m2m(given, {**every, "codes": []}, where), every["eos_token"]
    if every["do_lower_case"]:
        rest = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *rest])
    frame(backend, [last], ["$A", last], ["$A", "$B", last])
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
    spaced, ends = decoders.Replace(SPACE, " "), decoders.Replace(Regex(r"\A +| +\z"), "")
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
        space(cutter, model, prefix=True)
    else:
        cutter = unigram(model.scores(), model.unk_id, model, prefix=True)
    add_pieces(cutter, model)
    codes = [token for token in ids if token.startswith(">>") and token.endswith("<<")]
    cutter.add_tokens([AddedToken(code, normalized=False) for code in codes])
    made = Segmenter(cutter, ids, ids[unknown])
    made.add(vocabulary.get_added_tokens_decoder())
    frame(cutter, [last], ["$A", last], ["$A", "$B", last])
    return made


def nllb(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece BPE with fairseq's ids, and tokens of languages behind the file's."""
    front = [every[name] for name in ("bos_token", "pad_token", "eos_token", "unk_token")]
    return _merged(given, every, where, front, [*every["codes"], every["mask_token"]])


def seamless(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Likewise behind padding; settings say which tokens of languages there are, as SeamlessM4T has them."""
    front = [every[name] for name in ("pad_token", "unk_token", "bos_token", "eos_token")]
    return _merged(given, every, where, front, [])


def _merged(
    given: dict[str, Any], every: Settings, where: str, front: list[str], back: list[str]
) -> Tokenizer:
    """SentencePiece BPE with tokens in front, in the place of the file's first three, and behind."""
    from tokenizers import Tokenizer, models

    model = model_of(given, where)
    if model is None:
        vocab = _as_ids(given["vocab"], where)
        _, merges = _byte_pairs({**given, "vocab": vocab}, where)
    else:
        if not model.bpe:
            raise ValueError(f"{where}: {given['vocab_file']} is no BPE model, which this class reads")
        texts = [*front, *(piece.text for piece in model.pieces[3:]), *back]
        vocab, merges = {text: index for index, text in enumerate(texts)}, model.merges()
    backend = Tokenizer(models.BPE(vocab, merges, unk_token=every["unk_token"], fuse_unk=True))
    space(backend, model, prefix=True)
    add_pieces(backend, model, offset=3)
    backend.add_special_tokens(list(every["codes"]))
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

    model = model_of(given, where)
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
    add_pieces(backend, model)
    surround(
        backend,
        every["bos_token"] if every["add_bos_token"] else None,
        every["eos_token"] if every["add_eos_token"] else None,
    )
    return backend


def marked(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Pieces that are marked with `@@` where a word goes on, and their ids; Python cuts texts (`cutting`)."""
    from tokenizers import Regex, Tokenizer, decoders, models

    vocab, _ = _byte_pairs(given, where)
    backend = Tokenizer(models.WordLevel(vocab, unk_token=every["unk_token"]))
    joined, ends = decoders.WordPiece(prefix="\0", cleanup=False), Regex(r"\A\s+|\s+\z")
    backend.decoder = decoders.Sequence(
        [joined, decoders.Fuse(), decoders.Replace("@@ ", ""), decoders.Replace(ends, "")]
    )
    return backend


def ended(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Pieces that are marked with `</w>` where a word ends; Python cuts texts (`moses`)."""
    from tokenizers import Regex, Tokenizer, decoders, models

    file = given.get("vocab_file", given.get("src_vocab_file"))
    if file is None:
        raise _missing(where, "its files by name; from_pretrained finds those of a folder")
    backend = Tokenizer(models.WordLevel(_as_ids(read_json(file), where), unk_token=every["unk_token"]))
    spaced, ends = decoders.Replace("</w>", " "), decoders.Replace(Regex(r"\A\s+|\s+\z"), "")
    backend.decoder = decoders.Sequence([decoders.Fuse(), spaced, ends])
    return backend


def enclosed(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Likewise, inside `<s>` and `</s>`, as in XLM and FlauBERT."""
    backend = ended(given, every, where)
    first, last = every["bos_token"], every["sep_token"]
    single = [f"{first}:0", "$A:0", f"{last}:0"]
    frame(backend, (first, last), single, [*single, "$B:1", f"{last}:1"])
    return backend


def escaped(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Likewise, behind `</s>`, as in BioGPT."""
    backend = ended(given, every, where)
    last = every["sep_token"]
    frame(backend, [last], [f"{last}:0", "$A:0"], [f"{last}:0", "$A:0", f"{last}:1", "$B:1"])
    return backend


def escaped_pair(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Likewise, before `</s>`, as in FSMT."""
    backend = ended(given, every, where)
    last = every["sep_token"]
    frame(backend, [last], ["$A:0", f"{last}:0"], ["$A:0", f"{last}:0", "$B:1", f"{last}:1"])
    return backend


def chinese(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """WordPiece in BERT's frame, of words of Chinese that Python finds (`cutting`), as in RoFormer."""
    return wordpiece(given, {**every, "tokenize_chinese_chars": False}, where)


def japanese(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """Spellings that share ids, and tokens of bytes and emoji; Python cuts texts (`cutting`)."""
    from tokenizers import Regex, Tokenizer, decoders, models

    if "vocab_file" not in given or "emoji_file" not in given:
        raise _missing(where, "vocab_file= (vocab.txt) and emoji_file= (emoji.json)")
    _, spelt = japanese_vocabulary(Path(given["vocab_file"]))
    vocab = {token: index for index, token in enumerate(spelt)}
    backend = Tokenizer(models.WordLevel(vocab, unk_token=every["unk_token"]))
    said = {"<SP>": " ", "<BR>": "\n", "<TAB>": "\t", "<BLOCK>": "▀", "<KIGOU>": "ǀ", "<U2000U2BFF>": "‖"}
    said |= read_json_object(Path(given["emoji_file"]))["emoji_inv"]
    said |= {f"<|byte{byte}|>": f"<0x{byte:02X}>" for byte in range(256)}
    backend.decoder = decoders.Sequence(
        [
            *(decoders.Replace(token, text) for token, text in said.items() if token in vocab),
            *(decoders.ByteFallback(), decoders.Fuse()),
            decoders.Replace(Regex(r"\A\s+|\s+\z"), ""),
        ]
    )
    return backend


BUILDERS: dict[str, Callable[[dict[str, Any], Settings, str], Tokenizer]] = {
    "letters": letters,
    "sounding": sounding,
    "spelling": spelling,
    "wordpiece": wordpiece,
    "framed_wordpiece": framed_wordpiece,
    "ended_wordpiece": ended_wordpiece,
    "funnel": funnel,
    "splinter": splinter,
    "deberta": deberta,
    "composed_byte_bpe": composed_byte_bpe,
    "cohere": cohere,
    "ended_byte_bpe": ended_byte_bpe,
    "byte_bpe": byte_bpe,
    "word_bpe": word_bpe,
    "framed_byte_bpe": framed_byte_bpe,
    "split_byte_bpe": split_byte_bpe,
    "clip": clip,
    "xlm_roberta": pieces.xlm_roberta,
    "camembert": pieces.camembert,
    "xglm": pieces.xglm,
    "coded_fairseq": pieces.coded_fairseq,
    "m2m": m2m,
    "heard": heard,
    "words": words,
    "nllb": nllb,
    "seamless": seamless,
    "t5": pieces.t5,
    "utf8": utf8,
    "code_points": code_points,
    "marked_inside": marked,
    "marked_lower": marked,
    "moses": enclosed,
    "french": enclosed,
    "escaped": escaped,
    "escaped_pair": escaped_pair,
    "chinese": chinese,
    "japanese": japanese,
    "plain_pieces": pieces.plain,
    "bert_pieces": pieces.bert_pieces,
    "albert": pieces.albert,
    "xlnet": pieces.xlnet,
    "pegasus": pieces.pegasus,
    "bare_pieces": pieces.bare,
    "spoken_pieces": pieces.spoken,
    "llama": llama,
}
