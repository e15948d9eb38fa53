"""Special tokens: the ones with a name (`pad_token`, ...), a model's own, and the additional ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from formers.core.notices import did_you_mean, notice
from formers.tokenization.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import AddedToken

# In the order in which the ecosystem lists them.
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
ADDITIONAL = ("additional_special_tokens", "extra_special_tokens")

Token: TypeAlias = "str | AddedToken"


class NamedToken:
    """The attribute of a named special token: reads as a string or None, and can be set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, tokenizer: None, owner: type) -> NamedToken: ...
    @overload
    def __get__(self, tokenizer: SpecialTokens, owner: type) -> str | None: ...
    def __get__(self, tokenizer: SpecialTokens | None, owner: type) -> NamedToken | str | None:
        if tokenizer is None:
            return self
        token = tokenizer._named.get(self.name)
        return None if token is None else str(token)

    def __set__(self, tokenizer: SpecialTokens, value: Token | None) -> None:
        tokenizer._set_named(self.name, value)


class NamedTokenId:
    """The id of a named special token: reads as an int or None, and can be set to an id that exists."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    @overload
    def __get__(self, tokenizer: None, owner: type) -> NamedTokenId: ...
    @overload
    def __get__(self, tokenizer: SpecialTokens, owner: type) -> int | None: ...
    def __get__(self, tokenizer: SpecialTokens | None, owner: type) -> NamedTokenId | int | None:
        return self if tokenizer is None else tokenizer._named_id(self.name)

    def __set__(self, tokenizer: SpecialTokens, value: int | None) -> None:
        tokenizer._set_named(self.name, None if value is None else tokenizer._token_of(value))


class SpecialTokens(Vocabulary):
    """The part of a tokenizer that knows its special tokens."""

    SPECIAL_TOKENS_ATTRIBUTES = NAMED
    pad_token_type_id: int
    _named: dict[str, Token | None]
    _additional: list[Token]

    bos_token = NamedToken()
    eos_token = NamedToken()
    unk_token = NamedToken()
    sep_token = NamedToken()
    pad_token = NamedToken()
    cls_token = NamedToken()
    mask_token = NamedToken()
    bos_token_id = NamedTokenId()
    eos_token_id = NamedTokenId()
    unk_token_id = NamedTokenId()
    sep_token_id = NamedTokenId()
    pad_token_id = NamedTokenId()
    cls_token_id = NamedTokenId()
    mask_token_id = NamedTokenId()

    def __getattr__(self, name: str) -> Any:
        # A model's own special tokens (`image_token`, ...) are read under the names their file gives.
        named = self.__dict__.get("_named", {})
        if name in named:
            return None if named[name] is None else str(named[name])
        if name.endswith("_id") and name.removesuffix("_id") in named:
            return self._named_id(name.removesuffix("_id"))
        hint = "" if name.startswith("_") else did_you_mean(name, dir(type(self)))
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        named = self.__dict__.get("_named", {})
        if name in named and name not in NAMED:
            self._set_named(name, value)
        elif name.endswith("_id") and name[:-3] in named and name[:-3] not in NAMED:
            self._set_named(name[:-3], None if value is None else self._token_of(value))
        else:
            super().__setattr__(name, value)

    def _named_id(self, name: str) -> int | None:
        token = self._named.get(name)
        return None if token is None else self.convert_tokens_to_ids(str(token))

    def _token_of(self, index: int) -> str:
        token = self._tokenizer.id_to_token(int(index))
        if token is None:
            raise ValueError(f"no token has the id {index}: ids run from 0 to {len(self) - 1}")
        return str(token)

    def _set_named(self, name: str, value: Token | None) -> None:
        from tokenizers import AddedToken

        if value is not None and not isinstance(value, (str, AddedToken)):
            raise ValueError(f"{name} must be a string or an AddedToken, but is {value!r}")
        if value is not None and self._tokenizer.token_to_id(str(value)) is None:
            self._add_special([value])
            notice(
                f"{name} = {str(value)!r} was not in the vocabulary and got the new id "
                f"{self._tokenizer.token_to_id(str(value))}. The model has no embedding for it yet: call "
                "model.resize_token_embeddings(len(tokenizer))",
            )
        self._named[name] = value

    def _add_special(self, tokens: Sequence[Token]) -> int:
        from tokenizers import AddedToken

        return self.add_tokens(
            [
                AddedToken(token, normalized=False, special=True) if isinstance(token, str) else token
                for token in tokens
            ],
            special_tokens=True,
        )

    def _unknown_id(self) -> int | None:
        token = self._named.get("unk_token")
        found = None if token is None else self._tokenizer.token_to_id(str(token))
        return None if found is None else int(found)

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
        from tokenizers import AddedToken

        replace = (
            replace_additional_special_tokens
            if replace_extra_special_tokens is None
            else replace_extra_special_tokens
        )
        before = len(self)
        for name, value in special_tokens_dict.items():
            if name in ADDITIONAL:
                if not isinstance(value, (list, tuple)):
                    raise ValueError(f"{name} must be a list of tokens, but is {value!r}")
                for token in value:
                    if not isinstance(token, (str, AddedToken)):
                        raise ValueError(
                            f"{name} holds {token!r}, which is neither a string nor an AddedToken"
                        )
                known = [] if replace else list(self._additional)
                texts = {str(token) for token in known}
                self._additional = known + [token for token in value if str(token) not in texts]
                self._add_special(list(value))
            elif name in self._named or name.endswith("_token"):
                if not isinstance(value, (str, AddedToken)):
                    raise ValueError(f"{name} must be a string or an AddedToken, but is {value!r}")
                self._add_special([value])
                self._named[name] = value
            else:
                hint = did_you_mean(name, [*NAMED, *ADDITIONAL])
                raise ValueError(
                    f"{name!r} is not the name of a special token{hint}; names are {[*NAMED, *ADDITIONAL]}"
                )
        return len(self) - before

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens that have no name of their own."""
        return [str(token) for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, value: Sequence[Token] | None) -> None:
        self._additional = list(value or [])
        missing = [token for token in self._additional if self._tokenizer.token_to_id(str(token)) is None]
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

    @property
    def extra_special_tokens(self) -> list[str]:
        """The same as `additional_special_tokens`, under the newer name."""
        return self.additional_special_tokens

    @extra_special_tokens.setter
    def extra_special_tokens(self, value: Sequence[Token] | None) -> None:
        self.additional_special_tokens = value

    @property
    def extra_special_tokens_ids(self) -> list[int | None]:
        """The ids of `extra_special_tokens`."""
        return self.additional_special_tokens_ids

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens by name, as strings; the additional ones as a list where there are any."""
        found: dict[str, Any] = {name: str(token) for name, token in self._in_order() if token is not None}
        if self._additional:
            found["additional_special_tokens"] = self.additional_special_tokens
        return found

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """What `special_tokens_map` holds, with AddedTokens where the tokenizer has them."""
        found: dict[str, Any] = {
            name: self._as_added(token) for name, token in self._in_order() if token is not None
        }
        if self._additional:
            found["additional_special_tokens"] = [self._as_added(token) for token in self._additional]
        return found

    def _in_order(self) -> list[tuple[str, Token | None]]:
        own = [name for name in self._named if name not in NAMED]
        return [(name, self._named.get(name)) for name in (*NAMED, *own)]

    def _as_added(self, token: Token) -> Token:
        """Return the AddedToken that the backend matches `token` with, `token` itself where it has none."""
        index = self._tokenizer.token_to_id(str(token))
        added = self._tokenizer.get_added_tokens_decoder()
        return added.get(index, token) if index is not None else token

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, as strings: the named ones, then the additional ones."""
        every = [token for _, token in self._in_order() if token is not None] + self._additional
        return list(dict.fromkeys(str(token) for token in every))

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """Every special token once, as AddedTokens where the tokenizer has them."""
        return [self._as_added(token) for token in self.all_special_tokens]

    @property
    def all_special_ids(self) -> list[int | None]:
        """The ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def _special_ids(self) -> list[int]:
        return [index for index in self.all_special_ids if index is not None]

    def _padding_token(self) -> tuple[str, int]:
        """Return the token that rows are padded with, and its id.

        Raises:
            ValueError: when there is neither a padding token nor an end token to take its place.
        """
        index = self.pad_token_id
        if index is not None:
            return str(self.pad_token), index
        end = self.eos_token_id
        if end is None:
            raise ValueError(
                "asked to pad, but this tokenizer has no pad_token, and no eos_token that could take its "
                "place. Name one that the vocabulary has (tokenizer.pad_token = '...'), or add one and "
                "grow the model: tokenizer.add_special_tokens({'pad_token': '[PAD]'}); "
                "model.resize_token_embeddings(len(tokenizer))"
            )
        notice(
            f"this tokenizer has no pad_token: padding with its eos_token {self.eos_token!r}, which the "
            "attention mask hides. Set tokenizer.pad_token to choose another",
            key="tokenizer pads with eos",
        )
        return str(self.eos_token), end
