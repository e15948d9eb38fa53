"""Tokenizers of translators that cut texts and targets by a SentencePiece file each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from formers.core.atomic import write_atomically
from formers.tokenization.decoder import Decoder
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import NO_LIMIT
from formers.tokenization.vocabulary import Vocabulary


class FilesMethods:
    """What a tokenizer has that only the files say which it was read from."""

    vocab_files_names: ClassVar[dict[str, str]]
    _vocabulary: Vocabulary
    _given: Mapping[str, Any]
    _files: dict[str, bytes]

    def _keep_files(self) -> None:
        given = {name: Path(self._given[name]) for name in self.vocab_files_names if name in self._given}
        self._files = {self.vocab_files_names[name]: path.read_bytes() for name, path in given.items()}
        self._vocabulary.in_file = False

    def save_vocabulary(self, save_directory: Any, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the files that the tokenizer was read from, and return their paths."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        paths = {Path(save_directory) / f"{prefix}{name}": data for name, data in self._files.items()}
        for path, data in paths.items():
            with write_atomically(path) as part:
                part.write_bytes(data)
        return tuple(map(str, paths))

    def train_new_from_iterator(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: the files are made by tools of their own."""
        raise ValueError(
            f"{type(self).__name__} cannot be trained anew: its pieces and their ids come from files "
            f"({', '.join(self.vocab_files_names.values())}) that have tools of their own. Make them with "
            "those, and pass them by name"
        )


class OneFileMethods(FilesMethods):
    """What SigLIP's tokenizer has: others read the file that it was read from, and no tokenizer.json."""

    model_max_length: int

    def _begin(self) -> None:
        if self.model_max_length == NO_LIMIT:
            self.model_max_length = 64
        if "vocab_file" in self._given:
            self._keep_files()


class TwoFilesMethods(FilesMethods):
    """What a tokenizer has whose pieces come from two files, and their ids from others.

    Where targets have ids of their own (`separate_vocabs`), ids are decoded as those of targets; with
    `use_source_tokenizer=True` as those of texts.
    """

    init_kwargs: dict[str, Any]
    _decoder: Decoder
    unk_token: Any
    eos_token: Any
    pad_token: Any

    def _begin(self) -> None:
        self._keep_files()
        given = {name: Path(path) for name, path in self._given.items() if name in self.vocab_files_names}
        self._target_decoder = self._decoder
        self._vocabulary.in_file = not {"source_spm", "target_spm"} <= set(given)
        if self._vocabulary.in_file:
            return
        from formers.tokenization import builders

        targets = self._vocabulary.backend
        if self.init_kwargs.get("separate_vocabs"):
            if "target_vocab_file" not in given:
                raise ValueError(
                    "separate_vocabs=True, but nothing says the ids of targets: pass target_vocab_file= "
                    "(target_vocab.json)"
                )
            special = {name: str(getattr(self, name)) for name in ("unk_token", "eos_token", "pad_token")}
            files = {"vocab_file": given["target_vocab_file"]}
            targets = builders.words(files, special, type(self).__name__)
            self._target_decoder = Decoder(Vocabulary(targets))
        unknown, last = str(self.unk_token), str(self.eos_token)
        self._vocabulary.segmenters = tuple(
            builders.segmenter(given[name], vocabulary, unknown, last)
            for name, vocabulary in (("source_spm", self._vocabulary.backend), ("target_spm", targets))
        )
        self._vocabulary.segmenter = self._vocabulary.segmenters[0]

    def _reader(self, source: bool) -> Decoder:
        return self._decoder if source else self._target_decoder

    def _encode(self, *args: Any) -> BatchEncoding:
        if not self._vocabulary.segmenters and self._vocabulary.model == "WordLevel":
            raise self._uncut("texts")
        with self._vocabulary.lock:  # nobody goes over to targets meanwhile
            found: BatchEncoding = super()._encode(*args)  # type: ignore[misc]  # of the class beside this
        return found

    def _uncut(self, what: str) -> ValueError:
        return ValueError(
            f"{type(self).__name__} needs source_spm= and target_spm= (the files source.spm and target.spm) "
            f"to cut {what} into pieces"
        )

    @contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Encode targets inside this block: they are cut by the file of targets. Other threads wait."""
        if not self._vocabulary.segmenters:
            raise self._uncut("targets")
        with self._vocabulary.lock:
            source, self._vocabulary.segmenter = self._vocabulary.segmenters
            try:
                yield
            finally:
                self._vocabulary.segmenter = source
