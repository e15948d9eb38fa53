"""SentencePiece model files, read without the library or protobuf.

A model is one protobuf message (`sentencepiece_model.proto` of google/sentencepiece). Only its wire format
is needed: fields are a number, a wire type and a value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from formers.tokenization import checks


class Kind(IntEnum):
    """What a piece is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """One token: its text, its log-probability (natural logarithm) or rank, and what it is."""

    text: str
    score: float
    kind: Kind


@dataclass
class Model:
    """What a SentencePiece file says.

    Attributes:
        pieces: the tokens, in the order of their ids.
        bpe: byte-pair merges; else a unigram language model, which of single characters has no choice.
        byte_fallback: whether unknown characters become byte tokens.
        unk_id: id of the unknown token.
        charsmap: the compiled normalization table, empty for none.
        add_dummy_prefix: whether a space goes in front of a text.
        remove_extra_whitespaces: whether spaces are stripped and runs of them collapsed.
    """

    pieces: list[Piece] = field(default_factory=list)
    bpe: bool = False
    byte_fallback: bool = False
    unk_id: int = 0
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True

    def scores(self) -> list[tuple[str, float]]:
        """Return (token, score) in the order of ids."""
        return [(piece.text, piece.score) for piece in self.pieces]

    def merges(self) -> list[tuple[str, str]]:
        """Return the merges that a byte-pair model implies, the first to apply first.

        A piece says only how good it is. Every way to split it into two pieces is a merge of that rank.
        """
        ids = {piece.text: index for index, piece in enumerate(self.pieces)}
        found: list[tuple[float, int, int, str, str]] = []
        for piece in self.pieces:
            if piece.kind is not Kind.NORMAL and piece.kind is not Kind.UNUSED:
                continue
            text = piece.text
            for cut in range(1, len(text)):
                left, right = text[:cut], text[cut:]
                if left in ids and right in ids:
                    found.append((-piece.score, ids[left], ids[right], left, right))
        found.sort(key=lambda merge: merge[:3])
        return [(left, right) for *_, left, right in found]


def read(path: str | Path) -> Model:
    """Read a SentencePiece model.

    Raises:
        OSError: when there is no such file.
        ValueError: when it is not a SentencePiece model.
    """
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    data = Path(path).read_bytes()
    try:
        for number, value in _fields(data):
            if number == 1:
                pieces.append(_piece(dict(_fields(value))))
            elif number == 2:
                trainer = dict(_fields(value))
            elif number == 3:
                normalizer = dict(_fields(value))
        normal = [piece.text for piece in pieces if piece.kind is Kind.NORMAL]
        letters = trainer.get(3) == 4 and all(len(text) == 1 for text in normal)
        if trainer.get(3, 1) not in (1, 2) and not letters:
            raise ValueError(
                f"its model type {trainer[3]} is neither unigram (1) nor BPE (2), nor characters (4) alone"
            )
    except (AttributeError, IndexError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is not a SentencePiece model: {error}") from error
    checks.check_pieces((piece.text for piece in pieces), str(path))
    if normalizer.get(2):
        checks.check_charsmap(normalizer[2], str(path))
    if not pieces:
        raise ValueError(f"{path} is not a SentencePiece model: it holds no pieces")
    return Model(
        pieces,
        bpe=trainer.get(3) == 2,
        byte_fallback=bool(trainer.get(35)),
        unk_id=trainer.get(40, 0),
        charsmap=normalizer.get(2, b""),
        add_dummy_prefix=bool(normalizer.get(3, True)),
        remove_extra_whitespaces=bool(normalizer.get(4, True)),
    )


def _piece(message: dict[int, Any]) -> Piece:
    return Piece(message.get(1, b"").decode(), message.get(2, 0.0), Kind(message.get(3, Kind.NORMAL)))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Walk over the fields of a message: (number, value)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 1:
            yield number, struct.unpack_from("<d", data, at)[0]
            at += 8
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("a field runs past the end of the file")
            yield number, data[at : at + size]
            at += size
        elif wire == 5:
            yield number, struct.unpack_from("<f", data, at)[0]
            at += 4
        else:
            raise ValueError(f"a field has the wire type {wire}, which no such file has")
