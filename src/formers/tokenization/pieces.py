"""The backends of the named tokenizers whose pieces a SentencePiece file says, by their scores."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from formers.tokenization.components import bert_frame, frame

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.sentencepiece import Model

Settings: TypeAlias = Mapping[str, Any]
SPACE = "▁"
_SPACES = "[\\s\x1c-\x1f\x85]+"  # what Python calls so


def model_of(given: dict[str, Any], where: str) -> Model | None:
    """The SentencePiece file that is given; None where its pieces are.

    Raises:
        TypeError: when neither is.
    """
    from formers.tokenization import sentencepiece

    if "vocab" in given:
        return None
    if "vocab_file" in given:
        return sentencepiece.read(given["vocab_file"])
    raise TypeError(f"{where}() needs vocab_file= (a SentencePiece model) or vocab= ((token, score) pairs)")


def scores_of(vocab: Any, where: str) -> list[tuple[str, float]]:
    """Read pieces that are given as (token, score) pairs."""
    if isinstance(vocab, Mapping) or not isinstance(vocab, Sequence) or isinstance(vocab, str):
        raise TypeError(
            f"{where}: vocab must be a list of (token, score) pairs, but is a {type(vocab).__name__}"
        )
    return [(str(token), float(score)) for token, score in vocab]


def unigram(
    scores: list[tuple[str, float]],
    unk_id: int,
    model: Model | None,
    *,
    prefix: bool,
    first: Sequence[Any] = (),
) -> Tokenizer:
    """A unigram model after SentencePiece's normalization; spaces are part of the tokens."""
    from tokenizers import Tokenizer, models

    backend = Tokenizer(models.Unigram(scores, unk_id=unk_id, byte_fallback=False))
    space(backend, model, prefix=prefix, first=first)
    return backend


def space(backend: Tokenizer, model: Model | None, *, prefix: bool, first: Sequence[Any] = ()) -> None:
    """Let a backend treat spaces as SentencePiece does, after its normalization, and what comes `first`."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    collapse = model is None or model.remove_extra_whitespaces
    steps: list[Any] = list(first)
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


def add_pieces(backend: Tokenizer, model: Model | None, offset: int = 0) -> None:
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
    model = model_of(given, where)
    if model is None:
        scores = scores_of(given["vocab"], where)
    else:
        scores = front + model.scores()[dropped:] + [(token, 0.0) for token in back]
    unk_id = [token for token, _ in scores].index(every["unk_token"])
    backend = unigram(scores, unk_id, model, prefix=every.get("add_prefix_space", True))
    add_pieces(backend, model, offset=dropped)
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


def camembert(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with fairseq's ids as CamemBERT has them: five tokens in front, three of them unused."""
    texts = ("<s>NOTUSED", every["pad_token"], "</s>NOTUSED", every["unk_token"])
    front = [*((text, 0.0) for text in texts), ("<unk>NOTUSED", -100.0)]
    return _fairseq(given, every, where, front, dropped=1, back=[every["mask_token"]])


def xglm(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with fairseq's ids, `</s>` in front of each text, and seven words that nobody wrote."""
    model = model_of(given, where)
    if model is None:
        scores = scores_of(given["vocab"], where)
    else:
        front = [(every[name], 0.0) for name in ("bos_token", "pad_token", "eos_token", "unk_token")]
        scores = front + model.scores()[3:] + [(f"<madeupword{i}>", 0.0) for i in range(7)]
    backend = unigram(scores, 3, model, prefix=every["add_prefix_space"])
    add_pieces(backend, model, offset=3)
    last = every["eos_token"]
    frame(backend, [last], [last, "$A"], [last, "$A", last, last, "$B"])
    return backend


def t5(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece, `</s>` after each text, and sentinels `<extra_id_n>` at the end in falling order."""
    model = model_of(given, where)
    sentinels = [f"<extra_id_{index}>" for index in range(int(every["extra_ids"]) - 1, -1, -1)]
    scores = scores_of(given["vocab"], where) if model is None else model.scores()
    known = {token for token, _ in scores}
    scores = scores + [(token, 0.0) for token in sentinels if token not in known]
    unk_id = model.unk_id if model is not None else [token for token, _ in scores].index(every["unk_token"])
    backend = unigram(scores, unk_id, model, prefix=True)
    add_pieces(backend, model)
    backend.add_special_tokens(sentinels)
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", last, "$B", last])
    return backend


def plain(
    given: dict[str, Any], every: Settings, where: str, cost: Callable[[str], float] = lambda piece: 0.0
) -> Tokenizer:
    """SentencePiece with the ids of its file, after quotes, accents and letters were made plain if asked.

    What a piece `cost`s is taken from its score (a natural logarithm).
    """
    from tokenizers import normalizers, pre_tokenizers

    steps: list[Any] = []
    if "keep_accents" in every:
        steps += [normalizers.Replace(quotes, '"') for quotes in ("``", "''")]
        steps += [] if every["keep_accents"] else [normalizers.NFKD(), normalizers.StripAccents()]
    if every.get("do_lower_case"):
        steps.append(normalizers.Lowercase())
    model = model_of(given, where)
    scores = scores_of(given["vocab"], where) if model is None else model.scores()
    unk_id = [text for text, _ in scores].index(every["unk_token"]) if model is None else model.unk_id
    scores = [(text, score - cost(text)) for text, score in scores]
    backend = unigram(scores, unk_id, model, prefix=every.get("add_prefix_space", True), first=steps)
    if every.get("split_by_punct"):
        apart = pre_tokenizers.Punctuation(behavior="isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([apart, backend.pre_tokenizer])
    add_pieces(backend, model)
    return backend


def spoken(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with the ids of its file, `</s>` after a text, or after two."""
    backend = plain(given, every, where)
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", "$B", last])
    return backend


def bert_pieces(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece with the ids of its file inside BERT's frame, as BigBird and DeBERTa-v2 have it."""
    backend = plain(given, every, where)
    bert_frame(backend, every)
    return backend


def _of_numbers(piece: str) -> float:
    """What keeps a comma apart from the digit before it."""
    return 100.0 if piece[-1:] == "," and piece[-2:-1].isdigit() else 0.0


def albert(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """As `bert_pieces`, where no piece ends in a digit with a comma, as ALBERT and FNet have it."""
    backend = plain(given, every, where, _of_numbers)
    bert_frame(backend, every)
    return backend


def xlnet(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """As ALBERT has it, with the class token at the end, which has a type of its own."""
    backend = plain(given, every, where, _of_numbers)
    cls, sep = every["cls_token"], every["sep_token"]
    first, last = ["$A:0", f"{sep}:0"], f"{cls}:2"
    frame(backend, (sep, cls), [*first, last], [*first, "$B:1", f"{sep}:1", last])
    return backend


def pegasus(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece behind `offset` ids that stand for nothing but masks, `</s>` after each text."""
    model = model_of(given, where)
    if model is None:
        scores = scores_of(given["vocab"], where)
    else:
        count, sentence = int(every["offset"]), every["mask_token_sent"]
        front = [every["pad_token"], every["eos_token"]]
        front += [sentence, every["mask_token"]] if count and sentence else []
        unused = [(f"<unk_{index}>", -100.0) for index in range(2, count)]
        scores = [*((text, 0.0) for text in front), *unused, *model.scores()[2:]]
    unk_id = [text for text, _ in scores].index(every["unk_token"])
    backend = unigram(scores, unk_id, model, prefix=True)
    add_pieces(backend, model, offset=2)
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", "$B", last])
    return backend


def bare(given: dict[str, Any], every: Settings, where: str) -> Tokenizer:
    """SentencePiece of texts without ASCII punctuation, `</s>` after each, as SigLIP has it.

    The first piece of a text begins with a space, wherever the letters of the text begin.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    model = model_of(given, where)
    scores = scores_of(given["vocab"], where) if model is None else model.scores()
    unk_id = [text for text, _ in scores].index(every["unk_token"]) if model is None else model.unk_id
    backend = Tokenizer(models.Unigram(scores, unk_id=unk_id, byte_fallback=False))
    steps: list[Any] = [normalizers.Replace(SPACE, " ")]
    steps += [normalizers.Lowercase()] if every["do_lower_case"] else []
    steps += [normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), "")]
    steps += [normalizers.Replace(Regex(_SPACES), " ")]
    if model is not None and model.charsmap:
        steps += [normalizers.Precompiled(model.charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Strip(), normalizers.Prepend(SPACE)])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never")
    spaced = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    ends = decoders.Replace(Regex(r"\A +| +\z"), "")
    backend.decoder = decoders.Sequence([spaced, decoders.Fuse(), ends])
    last = every["eos_token"]
    frame(backend, [last], ["$A", last], ["$A", last, "$B", last])
    return backend
