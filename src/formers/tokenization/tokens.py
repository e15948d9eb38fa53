"""The tokens of a tokenizer, by id and by name: the methods and attributes that are about nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from formers.core.notices import did_you_mean, notice
from formers.core.overriding import overridden
from formers.tokenization.decoder import check_ids, plain
from formers.tokenization.special import NAMED, SpecialTokens, Token, as_special, is_token
from formers.tokenization.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


def _named(name: str) -> Any:
    """The attribute of a named special token, or of its id: reads as None where there is none; can be set."""

    def read(self: TokenMethods) -> Any:
        return self.__getattr__(name)

    def write(self: TokenMethods, value: Any) -> None:
        self._set_special(name, value)

    return property(read, write)


class TokenMethods:
    """What a tokenizer says of its vocabulary and its special tokens."""

    _vocabulary: Vocabulary
    _special: SpecialTokens
    SPECIAL_TOKENS_ATTRIBUTES = NAMED
    bos_token: str | None = _named("bos_token")
    eos_token: str | None = _named("eos_token")
    unk_token: str | None = _named("unk_token")
    sep_token: str | None = _named("sep_token")
    pad_token: str | None = _named("pad_token")
    cls_token: str | None = _named("cls_token")
    mask_token: str | None = _named("mask_token")
    bos_token_id: int | None = _named("bos_token_id")
    eos_token_id: int | None = _named("eos_token_id")
    unk_token_id: int | None = _named("unk_token_id")
    sep_token_id: int | None = _named("sep_token_id")
    pad_token_id: int | None = _named("pad_token_id")
    cls_token_id: int | None = _named("cls_token_id")
    mask_token_id: int | None = _named("mask_token_id")

    @property
    def is_fast(self) -> bool:
        """Always True: every tokenizer here runs on the `tokenizers` library."""
        return True

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The `tokenizers.Tokenizer` that does the work."""
        return self._vocabulary.backend

    @property
    def _tokenizer(self) -> Tokenizer:
        """The name by which scripts change a part of the backend, or put another in its place."""
        return self._vocabulary.backend

    @_tokenizer.setter
    def _tokenizer(self, backend: Tokenizer) -> None:
        self._vocabulary.backend = backend

    @property
    def decoder(self) -> Any:
        """The part of the backend that turns tokens into text; classes written by hand may set their own."""
        return self.__dict__.get("decoder") or self._vocabulary.backend.decoder

    @decoder.setter
    def decoder(self, value: Any) -> None:
        self.__dict__["decoder"] = value

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary without added tokens."""
        return int(self._vocabulary.backend.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return len(self._vocabulary)

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Return every token, added ones included, with its id."""
        return dict(self._vocabulary.backend.get_vocab(with_added_tokens=True))

    @property
    def vocab(self) -> dict[str, int]:
        """Every token, added ones included, with its id; classes written by hand may set their own."""
        held: dict[str, int] | None = self.__dict__.get("vocab")
        return self.get_vocab() if held is None else held

    @vocab.setter
    def vocab(self, value: dict[str, int]) -> None:
        self.__dict__["vocab"] = value

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        """The tokens of a text without special ones; classes written by hand have their own."""
        return list(self._vocabulary.cutter.encode(text, add_special_tokens=False).tokens)

    def _convert_token_to_id(self, token: str) -> int | None:
        """The id of a token that was not added; that of `unk_token` where there is no such."""
        index = self._vocabulary.id_of(token)
        return self._vocabulary.id_of(self._special.named["unk_token"]) if index is None else index

    def _convert_id_to_token(self, index: int) -> str | None:
        """The token of an id that was not added."""
        return self._written().backend.id_to_token(index)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return self._vocabulary.added()

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return {token.content: index for index, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Return the added tokens with their ids."""
        return self.added_tokens_encoder

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens that the vocabulary has not got, at its end.

        Args:
            new_tokens: one or several tokens; a `tokenizers.AddedToken` says how it matches.
            special_tokens: whether decoding with `skip_special_tokens` leaves them out.

        Returns:
            How many were new. When it is more than none, resize the model's embeddings to `len(tokenizer)`.
        """
        return self._vocabulary.add(new_tokens, special_tokens)

    def __repr__(self) -> str:
        added = "".join(f"\n\t{index}: {token!r}," for index, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"added_tokens_decoder={{{added}\n}})"
        )

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int | None]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | None | list[int | None]:
        """Return the id of a token, or a list of ids; an unknown token has the id of `unk_token`."""
        if not isinstance(tokens, (str, list, tuple)):
            raise TypeError(f"expected a token or a list of tokens, but got a {type(tokens).__name__}")
        find = self._vocabulary.id_of
        if not overridden(type(self), TokenMethods, "_convert_token_to_id"):
            unknown = find(self._special.named["unk_token"])
        else:  # of a class written by hand
            added = self.added_tokens_encoder
            find, unknown = (lambda token: added.get(token, self._convert_token_to_id(token))), None
        found = [
            unknown if (index := find(token)) is None else index
            for token in ([tokens] if isinstance(tokens, str) else tokens)
        ]
        return found[0] if isinstance(tokens, str) else found

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or a list of tokens.

        Args:
            ids: an int, or a list, array or tensor of int.
            skip_special_tokens: whether to leave special tokens out of the list.
        """
        ids = plain(ids)
        name: Any = self._written().backend.id_to_token
        check_ids([ids] if isinstance(ids, int) else ids)
        if overridden(type(self), TokenMethods, "_convert_id_to_token"):  # written by hand
            added = {index: token.content for index, token in self.added_tokens_decoder.items()}
            name = lambda index: added[index] if index in added else self._convert_id_to_token(index)  # noqa: E731
        if isinstance(ids, int):
            return name(ids)
        left_out = set(self.all_special_ids) if skip_special_tokens else ()
        return [name(index) for index in ids if index not in left_out]

    def _written(self) -> Vocabulary:
        """The vocabulary of the ids that a model writes."""
        return self._vocabulary

    def __getattr__(self, name: str) -> Any:
        # A model's own special tokens (`image_token`, ...) are read under the names their file gives.
        known = self.__dict__.get("_special")
        base = name.removesuffix("_id")
        if known is None or (name not in known.named and base not in known.named):
            hint = "" if name.startswith("_") else did_you_mean(name, dir(type(self)))
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")
        token = known.named[name if name in known.named else base]
        if token is None:
            return None
        return str(token) if name in known.named else self.convert_tokens_to_ids(str(token))

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.__dict__.get("_special")
        own = {} if known is None else known.own
        if name in own or name.removesuffix("_id") in own:
            self._set_special(name, value)
        else:
            super().__setattr__(name, value)

    def _set_special(self, name: str, value: Any) -> None:
        """Name a special token, or by a name with `_id` the token of an id; one that is new is added."""
        if name not in self._special.named:
            name = name.removesuffix("_id")
            value = None if value is None else self._vocabulary.token_of(value)
        if value is not None and not is_token(value):
            raise ValueError(f"{name} must be a string or an AddedToken, but is {value!r}")
        if value is not None and self._vocabulary.id_of(value) is None:
            self._add_special([value])
            notice(
                f"{name} = {str(value)!r} was not in the vocabulary and got the new id "
                f"{self._vocabulary.id_of(value)}. The model has no embedding for it yet: call "
                "model.resize_token_embeddings(len(tokenizer))",
            )
        self._special.named[name] = value

    def _add_special(self, tokens: Sequence[Token]) -> int:
        return self.add_tokens(as_special(tokens), special_tokens=True)

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Any],
        replace_additional_special_tokens: bool = True,
        replace_extra_special_tokens: bool | None = None,
    ) -> int:
        """Name special tokens, and add those that the vocabulary has not got at its end.

        Args:
            special_tokens_dict: from names (`pad_token`, ..., a model's own such as `image_token`, or
                `additional_special_tokens`, which `extra_special_tokens` is another word for) to a token
                or, for the last two, a list.
            replace_additional_special_tokens: whether a list takes the place of the earlier list or is
                appended. Replaced tokens stay in the vocabulary.
            replace_extra_special_tokens: the same under the newer name.

        Returns:
            How many were new. When it is more than none, resize the model's embeddings to `len(tokenizer)`.

        Raises:
            ValueError: for a name that is not one of a special token.
        """
        replace = replace_additional_special_tokens
        if replace_extra_special_tokens is not None:
            replace = replace_extra_special_tokens
        return self._add_special(self._special.take(special_tokens_dict, replace))

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens that have no name of their own."""
        return [str(token) for token in self._special.additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, value: Sequence[Token] | None) -> None:
        self._special.additional = list(value or [])
        missing = [token for token in self._special.additional if self._vocabulary.id_of(token) is None]
        if missing:
            self._add_special(missing)
            notice(
                f"{[str(token) for token in missing]} were not in the vocabulary and got new ids: call "
                "model.resize_token_embeddings(len(tokenizer))"
            )

    @property
    def additional_special_tokens_ids(self) -> list[int | None]:
        """The ids of `additional_special_tokens`."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    # The same under the newer name.
    extra_special_tokens = additional_special_tokens
    extra_special_tokens_ids = additional_special_tokens_ids

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens by name, as strings; the additional ones as a list where there are any."""
        return self._special.by_name(str)

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """What `special_tokens_map` holds, with AddedTokens where the tokenizer has them."""
        return self._special.by_name(self._vocabulary.as_added)

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, as strings: the named ones, then the additional ones."""
        return [str(token) for token in self._special.every()]

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """Every special token once, as AddedTokens where the tokenizer has them."""
        return [self._vocabulary.as_added(token) for token in self.all_special_tokens]

    @property
    def all_special_ids(self) -> list[int | None]:
        """The ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)
