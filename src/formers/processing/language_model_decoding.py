"""A speech processor whose texts are found by beam search with an n-gram language model (`pyctcdecode`)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formers.core.extras import need
from formers.core.jsonfile import read_json_object
from formers.core.model_output import ModelOutput
from formers.hub import Source, split_hub_keywords
from formers.processing.saving import FILE, NESTED_FILE
from formers.processing.speech import SpeechProcessor, as_array

_ALPHABET, _MODEL = "alphabet.json", "language_model/"
_WEIGHTS = ("alpha", "beta", "unk_score_offset", "score_boundary")
_PADDING = -100.0  # of logits that were brought to one length


@dataclass
class Wav2Vec2DecoderWithLMOutput(ModelOutput):
    """Texts that a beam search found: of one sound, or a list with those of each.

    Attributes:
        text: the best text, or with `n_best` above one a list of the best.
        logit_score: the log-probability of each by the model of speech alone.
        lm_score: the same with the language model's share.
        word_offsets: of each, a list of `{"word", "start_offset", "end_offset"}` in moments of the logits.
    """

    text: Any = None
    logit_score: Any = None
    lm_score: Any = None
    word_offsets: Any = None


def names_language_model(source: Source) -> bool:
    """Whether a checkpoint's files name a processor with a language model."""
    for name in (NESTED_FILE, FILE):
        path = source.find(name)
        if path is not None and str(read_json_object(path).get("processor_class")).endswith("WithLM"):
            return True
    return False


def load_decoder(source: Source, unigram_encoding: str | None = "utf-8") -> Any:
    """The beam search of a checkpoint: its letters from `alphabet.json`, the model from `language_model/`.

    Args:
        source: folder or repository.
        unigram_encoding: of the list of words beside the model.

    Returns:
        A `pyctcdecode.BeamSearchDecoderCTC`; without a model where there is no such folder.

    Raises:
        OSError: without `alphabet.json`.
        MissingExtra: without `pyctcdecode`, or without `kenlm`, which reads the model.
    """
    library = need("pyctcdecode", "ctc-lm", "beam search with a language model")
    letters, model = library.Alphabet.loads(source.get(_ALPHABET).read_text(encoding="utf-8")), None
    names = [name for name in source.listing() if name.startswith(_MODEL)]
    if names:
        need("kenlm", "ctc-lm", "the language model of this checkpoint")
        folder = source.get_all(names)[0].parent
        model = library.LanguageModel.load_from_dir(str(folder), unigram_encoding=unigram_encoding)
    return library.BeamSearchDecoderCTC(letters, language_model=model)


class LanguageModelProcessor(SpeechProcessor):
    """Sounds to the inputs of a model that spells (CTC), and its logits to the likeliest texts.

    A beam search weighs what the model heard against a language model of n-grams.

    Args:
        feature_extractor: of sounds.
        tokenizer: of transcripts.
        decoder: a `pyctcdecode.BeamSearchDecoderCTC`, as `pyctcdecode.build_ctcdecoder` makes it.

    Raises:
        MissingExtra: without `pyctcdecode`.
        TypeError: for another decoder.
        ValueError: for one that lacks letters of the tokenizer.
    """

    def __init__(
        self, feature_extractor: Any = None, tokenizer: Any = None, decoder: Any = None, **named: Any
    ) -> None:
        library = need(
            "pyctcdecode", "ctc-lm", f"{type(self).__name__}, which searches with a language model"
        )
        super().__init__(feature_extractor, tokenizer, **named)
        if not isinstance(decoder, library.BeamSearchDecoderCTC):
            raise TypeError(
                f"{type(self).__name__} takes a pyctcdecode.BeamSearchDecoderCTC as decoder=, not "
                f"{type(decoder).__name__}: pyctcdecode.build_ctcdecoder(labels, kenlm_model_path) makes one"
            )
        missing = self.get_missing_alphabet_tokens(decoder, tokenizer)
        if missing:
            raise ValueError(
                f"the decoder's alphabet lacks {sorted(missing)}, which are tokens: build it from all of "
                "tokenizer.get_vocab(), in the order of their ids"
            )
        self.decoder = decoder

    @property
    def language_model(self) -> Any:
        """The decoder's language model; None where it has none."""
        return _model_of(self.decoder)

    @staticmethod
    def get_missing_alphabet_tokens(decoder: Any, tokenizer: Any) -> set[str]:
        """Tokens that the decoder's alphabet does not have, in the spelling of `pyctcdecode`."""
        signs = need("pyctcdecode.alphabet", "ctc-lm")

        def spelled(token: str) -> str:
            if signs.BLANK_TOKEN_PTN.match(token):
                return ""
            if token == tokenizer.word_delimiter_token:
                return " "
            return str(signs.UNK_TOKEN) if signs.UNK_TOKEN_PTN.match(token) else token

        return set(map(spelled, tokenizer.get_vocab())) - set(vars(decoder)["_alphabet"].labels)

    # -- texts -------------------------------------------------------------------------------------

    def decode(
        self,
        logits: Any,
        beam_width: int | None = None,
        beam_prune_logp: float | None = None,
        token_min_logp: float | None = None,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
        output_word_offsets: bool = False,
        n_best: int = 1,
    ) -> Wav2Vec2DecoderWithLMOutput:
        """The likeliest texts of one sound.

        Args:
            logits: [T, V], array or tensor.
            beam_width: beams that are kept at every moment.
            beam_prune_logp: beams that are so much less likely than the best are dropped; at most 0.
            token_min_logp: letters less likely than this are skipped, unless they are the likeliest.
            hotwords: words that count more; the language model need not know them.
            hotword_weight: how much more.
            alpha: weight of the language model; stays in use, as the three next.
            beta: weight of the number of words.
            unk_score_offset: what a word costs that the language model does not know.
            lm_score_boundary: whether it scores the beginning and end of the text.
            output_word_offsets: whether to say when words begin and end.
            n_best: how many texts.

        Returns:
            The record; lists with `n_best` above one.

        Raises:
            ValueError: for `n_best` below one.
        """
        self._weigh(alpha, beta, unk_score_offset, lm_score_boundary)
        asked = _settings(beam_width, beam_prune_logp, token_min_logp, hotwords, hotword_weight)
        beams = self.decoder.decode_beams(as_array(logits), **asked)
        return _record(*_read(beams, n_best, output_word_offsets))

    def batch_decode(
        self,
        logits: Any,
        pool: Any = None,
        num_processes: int | None = None,
        beam_width: int | None = None,
        beam_prune_logp: float | None = None,
        token_min_logp: float | None = None,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
        output_word_offsets: bool = False,
        n_best: int = 1,
    ) -> Wav2Vec2DecoderWithLMOutput:
        """The likeliest texts of several sounds.

        Args:
            logits: [B, T, V], or a list of [T, V]; moments that are -100 throughout are padding.
            pool: a `multiprocessing.Pool` with the "fork" context, made after the processor.
            num_processes: without one, how many processes to search in; None for this one alone.
            beam_width: this and all that follow are as of `decode`.
            beam_prune_logp: likewise.
            token_min_logp: likewise.
            hotwords: likewise.
            hotword_weight: likewise.
            alpha: likewise.
            beta: likewise.
            unk_score_offset: likewise.
            lm_score_boundary: likewise.
            output_word_offsets: likewise.
            n_best: likewise.

        Returns:
            The record, of lists.

        Raises:
            ValueError: for `n_best` below one, or for `num_processes` beside a pool.
        """
        if pool is not None and num_processes is not None:
            raise ValueError("pool= has its own number of processes: leave num_processes out")
        self._weigh(alpha, beta, unk_score_offset, lm_score_boundary)
        asked = _settings(beam_width, beam_prune_logp, token_min_logp, hotwords, hotword_weight)
        rows = [as_array(one) for one in logits]
        rows = [row[(row != _PADDING).all(axis=-1)] for row in rows]
        own: Any = contextlib.nullcontext(pool)
        if (num_processes or 1) > 1:  # the model lies in the class, which only forks share
            own = multiprocessing.get_context("fork").Pool(num_processes)
        with own as workers:
            every = self.decoder.decode_beams_batch(workers, rows, **asked)
        read = [_read(beams, n_best, output_word_offsets) for beams in every]
        texts, heard, scores, words = ([one[i] for one in read] for i in range(4))
        return _record(texts, heard, scores, words if output_word_offsets else None)

    def _weigh(self, *weights: Any) -> None:
        names = ("alpha", "beta", "unk_score_offset", "lm_score_boundary")
        self.decoder.reset_params(**dict(zip(names, weights, strict=True)))

    # -- files -------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the parts that lie in a folder or under a Hub id, the language model in `language_model/`.

        Args:
            pretrained_model_name_or_path: folder, or `owner/name`.
            **options: see `ProcessorMixin.from_pretrained`; `unigram_encoding` of the list of words, and
                `alpha`, `beta`, `unk_score_offset` and `score_boundary` of the language model.

        Raises:
            OSError: when the files of a part are missing.
            MissingExtra: without `pyctcdecode` or `kenlm`.
            ValueError: for weights of a language model where there is none.
        """
        hub, _ = split_hub_keywords(dict(options))
        source = Source.of(pretrained_model_name_or_path, **hub)
        said = {name: options.pop(name) for name in _WEIGHTS if name in options}
        decoder = load_decoder(source, options.pop("unigram_encoding", "utf-8"))
        weights = {name: value for name, value in said.items() if value is not None}
        model = _model_of(decoder)
        if weights and model is None:
            raise ValueError(f"{source} has no language model, which {', '.join(weights)} would weigh")
        for name, value in weights.items():
            setattr(model, name, value)
        return cls(*cls._loaded(pretrained_model_name_or_path, options), decoder)

    def to_dict(self) -> dict[str, Any]:
        """The settings of the feature extractor, and the name of the class; the decoder has own files."""
        return {name: value for name, value in super().to_dict().items() if name != "decoder"}

    def written(self, folder: Path) -> list[str]:
        """Write what a processor of speech writes, `alphabet.json` and the folder `language_model`."""
        files = super().written(folder)
        with tempfile.TemporaryDirectory(dir=folder) as draft:  # it would refuse a folder that is there
            self.decoder.save_to_dir(draft)
            for path in sorted(one for one in Path(draft).rglob("*") if one.is_file()):
                target = folder / path.relative_to(draft)
                target.parent.mkdir(exist_ok=True)
                os.replace(path, target)
                files.append(str(target))
        return files


def _model_of(decoder: Any) -> Any:
    return decoder.model_container[vars(decoder)["_model_key"]]


def _settings(
    width: int | None, prune: float | None, least: float | None, words: Any, weight: float | None
) -> dict[str, Any]:
    """Keywords of a search, those without a value left to the library."""
    names = ("beam_width", "beam_prune_logp", "token_min_logp", "hotwords", "hotword_weight")
    given = zip(names, (width, prune, least, words, weight), strict=True)
    return {name: value for name, value in given if value is not None}


def _read(beams: Any, count: int, words: bool) -> tuple[Any, Any, Any, Any]:
    """Texts, the two scores and the words of the best beams, or of the best one."""
    if count < 1:
        raise ValueError(f"n_best is how many texts are wanted, at least one, not {count}")
    best = [
        (one[0], one[-2], one[-1], [_word(*word) for word in one[-3]] if words else None)
        for one in beams[:count]
    ]
    if count == 1:
        return best[0]
    texts, heard, scores, said = (list(part) for part in zip(*best, strict=True))
    return texts, heard, scores, said if words else None


def _word(word: str, place: tuple[int, int]) -> Mapping[str, Any]:
    return {"word": word, "start_offset": place[0], "end_offset": place[1]}


def _record(texts: Any, heard: Any, scores: Any, words: Any) -> Wav2Vec2DecoderWithLMOutput:
    return Wav2Vec2DecoderWithLMOutput(text=texts, logit_score=heard, lm_score=scores, word_offsets=words)
